"""Policies that learn to judge."""

import json
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean, pstdev

import pytest
import torch
from support.recipe_ledgers import best_over_worst, by_construction, outcomes, scored_responses
from support.recipe_runs import given_responses
from transformers import AutoModelForCausalLM, AutoTokenizer

from roundelay.orchestrator.data.records import Judgment, PromptCandidate, Rollout
from roundelay.orchestrator.ledger.ledger import Ledger

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def decoded_judgments(where: str) -> list[str]:
    """A tiny model writes no verdict: it is decoded among its forms here, hot enough that all of them come."""
    sampling = {"temperature": "2.0", "top_p": "1.0", "max_tokens": "5"}
    return [f"{where}.sampling.{field}={value}" for field, value in sampling.items()]


def right_letter(ranks: Sequence[int], letters: str) -> str:
    """Of two responses shown the better-ranked one's name."""
    return letters[0] if ranks[0] < ranks[1] else letters[1]


def judging_prompts(ledger: Ledger, round: int) -> dict[str, PromptCandidate]:
    return {c.prompt.id: c for c in ledger.read_stage(round, "prompts", PromptCandidate) if c.reason is None}


def test_self_taught_evaluator_learns_right_judgments_of_pairs_that_it_made(
    play: Callable[..., Ledger], tiny_model: Path
) -> None:
    """Round 1 keeps the policy and pairs an answer with one to another instruction, both under the prompt. Round 2 asks
    about every such pair in both orders; the last verdict of what it prefers is right, of what it rejects it is wrong,
    and as many of those learnt name A as name B."""
    short = [f"generation.sampling.{field}" for field in ("temperature=1.0", "top_p=1.0", "max_tokens=24", "stop=[e]")]
    ledger = play(
        "self_taught_evaluator", "run.rounds=2", "run.prompts_per_round=16", *short,
        "generation@phases.judge.generation=judgments", *decoded_judgments("phases.judge.generation"),
        "phases.judge.generation.samples_per_prompt=4", "phases.judge.learner.pairs_per_step=2",
        "phases.judge.prompts_per_round=64", "phases.judge.learner.learning_rate=1e-3",
    )  # fmt: skip
    first, second = ledger.manifest(1), ledger.manifest(2)
    assert first["policy"]["sha256"] == ledger.header()["initial_policy"]["sha256"] != second["policy"]["sha256"]
    assert first["learn"]["steps"] == 0 and (second["start"]["version"], second["policy"]["version"]) == (0, 2)
    made = {o.pair.prompt.id: o.pair for o in outcomes(ledger, 1) if o.pair is not None}
    assert len(made) >= 4
    for pair in made.values():
        assert by_construction(pair, [])
        assert pair.chosen.prompt_token_ids == pair.chosen.sampler_token_ids == pair.rejected.prompt_token_ids
        assert pair.rejected.sampler_token_ids != pair.rejected.prompt_token_ids
    asked = judging_prompts(ledger, 2)
    assert sorted(asked) == sorted(f"{name}/{order}" for name in made for order in ("0-1", "1-0"))
    for candidate in asked.values():
        truth = candidate.prompt.truth
        assert truth is not None
        shown = [(made[truth.source].chosen, made[truth.source].rejected)[rank].text for rank in truth.ranks]
        assert re.fullmatch(
            rf'.*option="A">\n{re.escape(shown[0])}\n<.*option="B">\n{re.escape(shown[1])}\n<.*',
            candidate.prompt.messages[-1].content,
            re.DOTALL,
        )
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    learnt = [o.pair for o in outcomes(ledger, 2, "selected") if o.pair is not None]
    letters = []
    for pair in learnt:
        assert pair.prompt.truth is not None
        right = right_letter(pair.prompt.truth.ranks, "AB")
        verdicts = [re.findall(r"\[\[(.)\]\]", one.text)[-1] for one in (pair.chosen, pair.rejected)]
        assert verdicts[0] == right != verdicts[1]
        assert tokenizer.decode(pair.chosen.token_ids).removesuffix(tokenizer.eos_token) == pair.chosen.text
        letters.append(verdicts[0])
    assert letters.count("A") == letters.count("B") >= 1
    assert second["learn"]["pairs_trained"] == len(learnt)
    rate = fmean(one.agrees for one in ledger.read_stage(2, "judgments", Judgment) if one.agrees is not None)
    assert second["data"]["judge"]["agreement_rate"] == pytest.approx(rate) and 0.1 < rate < 0.9


def test_pandalm_imitates_verdicts_that_are_right_both_ways_round(play: Callable[..., Ledger], tmp_path: Path) -> None:
    """On the first line stands the number of the better given response, in both orders, or the pair is left out; what
    is imitated is the first judgment of a prompt that is right."""
    seed = (f"prompts.seed.path={given_responses(tmp_path)}", "prompts.seed.responses=[chosen,rejected]")
    decoded = ("generation=judgments", "generation.samples_per_prompt=4", *decoded_judgments("generation"))
    sizes = ("run.rounds=1", "run.prompts_per_round=16", "learner.pairs_per_step=2")
    ledger = play("pandalm", *sizes, *seed, *decoded)
    asked = judging_prompts(ledger, 1)
    assert len(asked) == 16
    said: dict[str, dict[int, str]] = {}
    for rollout in ledger.read_stage(1, "rollouts", Rollout):
        said.setdefault(rollout.prompt_id, {})[rollout.sample] = rollout.text.partition("\n")[0]
    assert {verdict for own in said.values() for verdict in own.values()} == {"1", "2"}
    right = {}
    for name, candidate in asked.items():
        assert candidate.prompt.truth is not None
        wanted = right_letter(candidate.prompt.truth.ranks, "12")
        found = [sample for sample, verdict in sorted(said[name].items()) if verdict == wanted]
        if found:
            right[name] = found[0]
    both = {name for name in right if {f"{name.partition('/')[0]}/{order}" for order in ("0-1", "1-0")} <= right.keys()}
    learnt = [o.group for o in outcomes(ledger, 1, "selected") if o.group is not None]
    assert len(learnt) >= 4
    assert {g.prompt.id: [one.sample for one in g.responses] for g in learnt} == {name: [right[name]] for name in both}
    manifest = ledger.manifest(1)
    assert manifest["learn"]["pairs_trained"] == 2 * len(learnt)
    assert manifest["policy"]["sha256"] != ledger.header()["initial_policy"]["sha256"]


def test_meta_rewarding_learns_short_good_responses_and_then_judgments_that_win(
    play: Callable[..., Ledger], tmp_path: Path
) -> None:
    """Round 1: best over worst by the mean of 11 votes. Round 2: about the response to each of its prompts whose votes
    vary most, three judgments; each two are compared both ways round, and the one with the highest strength is learnt
    over that with the lowest: those that maximise Σ B log σ(ε_i − ε_j) − 0.005 Σ ε², at which its gradient is 0. Short
    prompts: two judgments of a response have to fit the tiny model."""
    decoded = ("generation@phases.judge_1.generation=judgments", *decoded_judgments("phases.judge_1.generation"))
    words = [f"{where}.{what}" for where in ("judge", "phases.judge_1.judge")
             for what in ("constrain_last_line=true", "sampling.max_tokens=5")]  # fmt: skip
    ledger = play(
        "meta_rewarding", f"prompts.train.path={given_responses(tmp_path)}",
        "run.rounds=2", "run.prompts_per_round=8", "generation.samples_per_prompt=3", *words,
        *decoded, "phases.judge_1.generation.samples_per_prompt=3", "learner.pairs_per_step=2",
    )  # fmt: skip
    scored = scored_responses(ledger, 1)
    pairs = [outcome.pair for outcome in outcomes(ledger, 1) if outcome.pair is not None]
    assert len(pairs) >= 4 and all(best_over_worst(pair, scored[pair.prompt.id]) for pair in pairs)
    votes: dict[str, dict[int, list[float]]] = {}
    for judgment in ledger.read_stage(1, "judgments", Judgment):
        if judgment.score is not None:
            votes.setdefault(judgment.prompt_id, {}).setdefault(judgment.sample, []).append(judgment.score)
    asked = judging_prompts(ledger, 2)
    assert len(asked) == 8
    for name in asked:
        source, _, sample = name.rpartition("/")
        spread = {one: pstdev(scores) for one, scores in votes[source].items() if len(scores) > 1}
        assert spread[int(sample)] == pytest.approx(max(spread.values()))
    compared: dict[str, list[Judgment]] = {}
    for judgment in ledger.read_stage(2, "judgments", Judgment):
        assert judgment.other is not None and judgment.probability is not None
        compared.setdefault(judgment.prompt_id, []).append(judgment)
    assert all(len(own) == 6 for own in compared.values())
    learnt = [outcome.pair for outcome in outcomes(ledger, 2) if outcome.pair is not None]
    assert learnt
    for pair in learnt:
        assert pair.margin is not None
        strengths = strongest(compared[pair.prompt.id])
        best, worst = strengths[pair.chosen.sample], strengths[pair.rejected.sample]
        assert best == pytest.approx(max(strengths.values()), abs=2e-3)
        assert worst == pytest.approx(min(strengths.values()), abs=2e-3)
        assert best - worst == pytest.approx(pair.margin, abs=2e-3) and len(pair.chosen.text) <= 1100
    assert ledger.manifest(2)["learn"]["pairs_trained"] == len(learnt)
    assert ledger.manifest(2)["start"]["version"] == ledger.manifest(2)["reference"]["version"] == 1


def strongest(compared: Sequence[Judgment]) -> dict[int, float]:
    """Bradley-Terry strengths of three judgments, by gradient ascent; a win counts by how rare its place's wins are."""
    wins = [
        ((one.sample, one.other) if one.probability > 0.5 else (one.other, one.sample), one.vote % 2)
        for one in compared
        if one.other is not None and one.probability is not None and one.probability != 0.5
    ]
    second = sum((winner > loser) != bool(vote) for (winner, loser), vote in wins)  # wins of what is shown second
    strengths = {sample: 0.0 for one in compared for sample in (one.sample, one.other) if sample is not None}
    for _ in range(20000):
        slope = {sample: -0.01 * strength for sample, strength in strengths.items()}
        for (winner, loser), vote in wins:
            shown_second = (winner > loser) != bool(vote)
            weight = (len(wins) - second if shown_second else second) / len(wins)
            loss = weight / (1 + math.exp(strengths[winner] - strengths[loser]))
            slope[winner] += loss
            slope[loser] -= loss
        strengths = {sample: strength + slope[sample] for sample, strength in strengths.items()}
    return strengths


def test_self_rewarding_starts_from_demonstrations_and_from_scores_that_rank_as_people_did(
    play: Callable[..., Ledger], tmp_path: Path
) -> None:
    """The best given response; judgments whose scores, one attempt a sample number, fall from the better to the worse
    response, no score more than three tenths of them; then best over worst by the trained judge's words."""
    seed = (f"prompts.seed.path={given_responses(tmp_path)}", "prompts.seed.responses=[chosen,rejected]")
    words = [f"{where}judge.{what}" for where in ("", "phases.self_rewarding.")
             for what in ("constrain_last_line=true", "sampling.max_tokens=5")]  # fmt: skip
    ledger = play(
        "self_rewarding_eft", "run.rounds=3", "run.prompts_per_round=8", "phases.sft.prompts_per_round=8",
        "phases.eft.prompts_per_round=16", "generation@phases.eft.generation=judgments",
        "phases.eft.generation.samples_per_prompt=8", *decoded_judgments("phases.eft.generation"), *words, *seed,
        "learner.pairs_per_step=4",
    )  # fmt: skip
    for outcome in outcomes(ledger, 1):
        assert outcome.group is not None and [one.sample for one in outcome.group.responses] == [0]
    asked, attempts = judging_prompts(ledger, 2), dict[tuple[str, int], dict[int, float]]()
    assert len(asked) == 16
    for judgment in ledger.read_stage(2, "judgments", Judgment):
        source, _, rank = judgment.prompt_id.rpartition("/")
        if judgment.score is not None:
            attempts.setdefault((source, judgment.sample), {})[int(rank)] = judgment.score
    agree = {key: scores for key, scores in attempts.items() if len(scores) == 2 and scores[0] > scores[1]}
    assert 4 <= len(agree) < len(attempts)
    scores = [score for pair in agree.values() for score in pair.values()]
    learnt = {
        (group.prompt.id, one.sample): score
        for outcome in outcomes(ledger, 2, "selected")
        if (group := outcome.group) is not None
        for one, score in zip(group.responses, group.scores, strict=True)
    }
    for (name, sample), score in learnt.items():
        source, _, rank = name.rpartition("/")
        assert agree[source, sample][int(rank)] == score
    for score in set(scores):
        assert sum(one == score for one in learnt.values()) == min(scores.count(score), math.floor(0.3 * len(scores)))
    assert ledger.manifest(2)["learn"]["pairs_trained"] == len(learnt)
    scored = scored_responses(ledger, 3)
    pairs = [outcome.pair for outcome in outcomes(ledger, 3) if outcome.pair is not None]
    assert len(pairs) >= 3 and all(best_over_worst(pair, scored[pair.prompt.id]) for pair in pairs)
    policies = [ledger.manifest(round)["policy"]["sha256"] for round in (0, 1, 2, 3)]
    assert len(set(policies)) == 4


def test_a_judge_learns_to_say_its_own_expected_scores(play: Callable[..., Ledger], tiny_model: Path) -> None:
    """Round 1 scores all responses and keeps the policy. Round 2 asks about each of them and imitates the whole score
    that is nearest to the mean that was found; the policy says more of those scores after it."""
    digits = tuple("0123456789")
    ledger = play(
        "alma_judge", "run.rounds=2", "run.prompts_per_round=8", "generation.samples_per_prompt=2",
        f"judge.scores={json.dumps(digits)}", "phases.distill.prompts_per_round=16",
        "phases.distill.learner.pairs_per_step=4", "phases.distill.learner.epochs=10",
        "phases.distill.learner.learning_rate=2e-3",
    )  # fmt: skip
    first, second = ledger.manifest(1), ledger.manifest(2)
    assert first["policy"]["sha256"] == ledger.header()["initial_policy"]["sha256"] != second["policy"]["sha256"]
    texts = {(one.prompt_id, one.sample): one.text for one in ledger.read_stage(1, "rollouts", Rollout)}
    scores = {(one.prompt_id, one.sample): one.score for one in ledger.read_stage(1, "judgments", Judgment)}
    asked = judging_prompts(ledger, 2)
    assert len(asked) == len(scores) == 16 and sorted(asked) == sorted(f"{name}/{sample}" for name, sample in scores)
    answers = {}
    for name, candidate in asked.items():
        source, _, sample = name.rpartition("/")
        (answer,) = candidate.prompt.responses
        answers[name], score = answer.removeprefix("Score: "), scores[source, int(sample)]
        assert answers[name] in digits and score is not None and abs(int(answers[name]) - score) <= 0.5
        assert f"<response>\n{texts[source, int(sample)]}\n</response>" in candidate.prompt.messages[-1].content
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    learnt = {o.group.prompt.id: o.group.responses for o in outcomes(ledger, 2) if o.group is not None}
    for name, (response,) in learnt.items():
        assert tokenizer.decode(response.token_ids) == f"Score: {answers[name]}{tokenizer.eos_token}"
    assert sorted(learnt) == sorted(asked) and second["learn"]["pairs_trained"] == 160
    before, after = (
        said_scores(ledger.absolute(manifest["policy"]["path"]), [one for (one,) in learnt.values()], digits)
        for manifest in (first, second)
    )
    assert fmean(after) > fmean(before) + 0.1


def said_scores(path: str, responses: Sequence[Rollout], digits: Sequence[str]) -> list[float]:
    """The probability, among the scores, of the one that each response says after "Score: "."""
    tokenizer, model = AutoTokenizer.from_pretrained(path), AutoModelForCausalLM.from_pretrained(path)
    opening = tokenizer("Score: ", add_special_tokens=False).input_ids
    choices = [tokenizer(f"Score: {digit}", add_special_tokens=False).input_ids[len(opening)] for digit in digits]
    found = []
    for response in responses:
        with torch.no_grad():
            logits = model(torch.tensor([[*response.prompt_token_ids, *opening]])).logits[0, -1, choices]
        found.append(float(logits.softmax(-1)[choices.index(response.token_ids[len(opening)])]))
    return found
