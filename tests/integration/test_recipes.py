"""Every recipe plays small rounds on the real engines, and what it learns from obeys its paper's rule.

The rules are written here from methods and numbers in the ledger alone: nothing of `recipes` is used.
"""

import json
import math
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from statistics import fmean, median, pstdev
from typing import Any, TypeAlias

import pytest
import torch
from safetensors import safe_open
from support.one_engine import OneEngine
from support.plain_logps import chat_ids, plain_logps
from support.tiny_model import write_moved, write_tiny_model
from support.updates import assert_close, furthest, tensors_in
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from roundelay.launch.config_loading import group_members, load_config
from roundelay.orchestrator.ledger import Ledger
from roundelay.orchestrator.policies import weights_hash
from roundelay.orchestrator.prompts import PromptStore
from roundelay.orchestrator.records import (
    Judgment,
    PairingOutcome,
    PreferencePair,
    PromptCandidate,
    ResponseGroup,
    Rollout,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

STARTER_SEED = Path(__file__).parents[2] / "configs" / "prompts" / "starter" / "seed.jsonl"
GUIDE = Path(__file__).parents[2] / "docs" / "adding-a-method.md"

Scored: TypeAlias = list[tuple[Rollout, float]]  # a prompt's responses with the means of their parsed votes
PairRule: TypeAlias = Callable[[PreferencePair, Scored], bool]

SIZES = (
    "model.max_model_len=1024",
    "run.prompts_per_shard=4",
    "evaluation.num_prompts=4",
    "evaluation.sampling.max_tokens=10",
)
SAMPLED = "generation.sampling.max_tokens=10"
# Steps of two prompts: warmed up from zero, the first of several steps moves nothing.
ONE_PHASE = ("run.rounds=1", "run.prompts_per_round=8", "learner.pairs_per_step=2")
TWO_PHASES = (
    "run.rounds=2",
    "phases.reward_model.prompts_per_round=8",
    "phases.ppo.prompts_per_round=8",
    "phases.ppo.generation.sampling.max_tokens=10",
    "phases.ppo.learner.pairs_per_step=4",
)
# Two digits are two tokens in the tiny model's tokenizer.
ALMA_ON_TINY = ("judge.scores=['0','1','2','3','4','5']", "learner.pairs_per_step=2", "learner.learning_rate=1e-3")


def best_over_worst(pair: PreferencePair, scored: Scored) -> bool:
    scores = [score for _, score in scored]
    of = {rollout.sample: score for rollout, score in scored}
    return (of[pair.chosen.sample], of[pair.rejected.sample]) == (max(scores), min(scores)) and min(scores) < max(
        scores
    )


def ties_by_length(pair: PreferencePair, scored: Scored) -> bool:
    """The shortest of the best, and of the worst the nearest to it in length."""
    top, bottom = max(score for _, score in scored), min(score for _, score in scored)
    best = [len(rollout.text) for rollout, score in scored if score == top]
    gaps = [abs(len(rollout.text) - len(pair.chosen.text)) for rollout, score in scored if score == bottom]
    return (
        best_over_worst(pair, scored)
        and len(pair.chosen.text) == min(best)
        and abs(len(pair.rejected.text) - len(pair.chosen.text)) == min(gaps)
    )


def sweet_spot(pair: PreferencePair, scored: Scored) -> bool:
    """The best, over the other response nearest to μ − 2σ."""
    scores = [score for _, score in scored]
    of = {rollout.sample: score for rollout, score in scored}
    target = fmean(scores) - 2 * pstdev(scores)
    nearest = min(abs(score - target) for sample, score in of.items() if sample != pair.chosen.sample)
    return of[pair.chosen.sample] == max(scores) and abs(abs(of[pair.rejected.sample] - target) - nearest) < 1e-5


def by_construction(pair: PreferencePair, scored: Scored) -> bool:
    return (pair.chosen.variant, pair.rejected.variant, scored) == ("positive", "negative", [])


def with_win_probabilities(pair: PreferencePair, scored: Scored) -> bool:
    wins = pair.win_probabilities
    return best_over_worst(pair, scored) and wins is not None and 1 > wins[0] > 0.5 > wins[1] > 0


PAIR_RULES: dict[str, PairRule] = {
    "self_rewarding": best_over_worst,
    "simpo": best_over_worst,
    "ilr_dpo": best_over_worst,
    "mipo": best_over_worst,
    "slic": best_over_worst,
    "best_of_n": best_over_worst,
    "raft": best_over_worst,
    "wpo": ties_by_length,
    "sppo": with_win_probabilities,
    "sweet_spot": sweet_spot,
    "rlcd_dpo": by_construction,
    "context_distillation": by_construction,
}
RANKED = ("rrhf", "pro")
IMITATING = ("sft", "alpagasus", "long_is_more")  # learn from demonstrations alone
CRITIQUED = ("cut",)
COMPARED = ("cream", "cdr", "spa")  # whose judges compare models by their log-probs
MIXTURES = ("self_moa", "aft")
OTHER_PHASES = ("autopm", "janus")
AGAINST_GIVEN = ("spin",)
CONDITIONED = ("coh", "conditional_bc", "steerlm")
SEVERAL_SAMPLERS = ("alma", "wrpo", "temporal_self_rewarding")
REWARD_MODELS = {"rlcd": "contrast", "rlcd_rescore": "judge", "rlaif": "judge"}  # and where their pairs come from
OF_THEIR_OWN = ("rip", "gv_consistency", "alpacafarm")  # recipes that have a test of their own below
TRAINING_JUDGES = ("self_taught_evaluator", "pandalm", "self_rewarding_eft", "meta_rewarding")
MAKING_PROMPTS = ("self_rip", "skillmix")
# A tiny model writes no sentences: short answers that end somewhere, of which most pass the rules that are left.
LOOSE = {
    "sampling.temperature": "1.0", "sampling.top_p": "1.0", "sampling.max_tokens": "24", "sampling.stop": "[e]",
    "rules.min_words": "1", "rules.max_rouge_l": "1.0", "requests_per_batch": "6", "max_batches": "40",
}  # fmt: skip


def loosened(where: str) -> list[str]:
    return [f"{where}.{field}={value}" for field, value in LOOSE.items()]


def test_every_shipped_recipe_is_played_here() -> None:
    played = [
        *PAIR_RULES,
        *RANKED,
        *IMITATING,
        *REWARD_MODELS,
        *CRITIQUED,
        *COMPARED,
        *MIXTURES,
        *OTHER_PHASES,
        *MAKING_PROMPTS,
        *TRAINING_JUDGES,
        *AGAINST_GIVEN,
        *CONDITIONED,
        *SEVERAL_SAMPLERS,
        *OF_THEIR_OWN,
    ]
    assert sorted(played) == group_members("recipe")


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The two files of docs/adding-a-method.md, in a folder of a user's that Python finds modules in."""
    folder = tmp_path_factory.mktemp("mine")
    blocks = re.findall(r"```(python|yaml)\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    (python,), (yaml,) = ([text for kind, text in blocks if kind == wanted] for wanted in ("python", "yaml"))
    assert len((python + yaml).splitlines()) < 60
    (folder / "my_paper.py").write_text(python)
    (folder / "configs" / "recipe").mkdir(parents=True)
    (folder / "configs" / "recipe" / "my_paper.yaml").write_text(yaml)
    return folder


@pytest.fixture(scope="module")
def engine(tiny_model: Path, mine: Path) -> Iterator[OneEngine]:
    sys.path.insert(0, str(mine))
    words = ["model=local", f"model.path={tiny_model}", "model.max_model_len=1024"]
    one = OneEngine(load_config(words, default_name="x"), folder=mine)
    yield one
    one.close()
    sys.path.remove(str(mine))


@pytest.fixture
def play(engine: OneEngine, tiny_model: Path, tmp_path: Path) -> Callable[..., Ledger]:
    def run(recipe: str, *overrides: str, config_dir: Path | None = None) -> Ledger:
        words = ["model=local", f"model.path={tiny_model}", f"recipe={recipe}", *SIZES, *overrides]
        if recipe not in (*IMITATING, "steerlm"):  # these sample nothing
            words.insert(0, SAMPLED)
        return engine.run(load_config([*words, f"run.root={tmp_path}", f"run.name={recipe}"], config_dir=config_dir))

    return run


def sampled(ledger: Ledger, round: int) -> list[Rollout]:
    """By all samplers, each a stage of its own."""
    stages = sorted(path.name for path in Path(ledger.root, f"rounds/{round:03d}").glob("rollouts*"))
    return [rollout for stage in stages for rollout in ledger.read_stage(round, stage, Rollout)]


def scored_responses(ledger: Ledger, round: int) -> dict[str, Scored]:
    votes: dict[tuple[str, int], list[float]] = {}
    for judgment in ledger.read_stage(round, "judgments", Judgment):
        if judgment.score is not None:
            votes.setdefault((judgment.prompt_id, judgment.sample), []).append(judgment.score)
    found: dict[str, Scored] = {}
    for rollout in sampled(ledger, round):
        scores = votes.get((rollout.prompt_id, rollout.sample))
        if scores:
            found.setdefault(rollout.prompt_id, []).append((rollout, fmean(scores)))
    return found


def outcomes(ledger: Ledger, round: int, stage: str = "pairs") -> Sequence[PairingOutcome]:
    """One for each of the round's prompts."""
    found = list(ledger.read_stage(round, stage, PairingOutcome))
    assert len(found) == ledger.manifest(round)["data"]["prompts"] >= 8
    return found


def ids(made: Sequence[PreferencePair | ResponseGroup]) -> list[str]:
    return [one.prompt.id for one in made]


@pytest.mark.parametrize("recipe", PAIR_RULES)
def test_a_recipes_pairs_obey_its_papers_rule(recipe: str, play: Callable[..., Ledger]) -> None:
    more = ("generation.samples_per_prompt=12",) if recipe == "sweet_spot" else ()
    ledger = play(recipe, *ONE_PHASE, *more)
    scored = scored_responses(ledger, 1)
    pairs = [outcome.pair for outcome in outcomes(ledger, 1) if outcome.pair is not None]
    assert len(pairs) >= 4, "a round of ties shows nothing"
    for pair in pairs:
        assert PAIR_RULES[recipe](pair, scored.get(pair.prompt.id, [])), pair
    learned = ledger.manifest(1)["learn"]
    assert learned["pairs_trained"] == len(pairs) * ledger.header()["config"]["learner"]["epochs"]
    assert ledger.manifest(1)["policy"]["sha256"] != ledger.header()["initial_policy"]["sha256"]


def test_the_guides_paper_runs_from_a_users_own_folder(play: Callable[..., Ledger], mine: Path) -> None:
    """Its pairing rule and its loss, with its YAML: docs/adding-a-method.md as it stands."""
    ledger = play("my_paper", *ONE_PHASE, config_dir=mine / "configs")
    scored = scored_responses(ledger, 1)
    pairs = [outcome.pair for outcome in outcomes(ledger, 1) if outcome.pair is not None]
    assert len(pairs) >= 4
    for pair in pairs:
        worth = {rollout.sample: score - len(rollout.text) / 200 for rollout, score in scored[pair.prompt.id]}
        assert worth[pair.chosen.sample] == max(worth.values()) > min(worth.values()) == worth[pair.rejected.sample]
    learned = ledger.manifest(1)["learn"]
    # At the start policy and reference agree: −log σ(−margin), and less from there on.
    assert 0.5 < learned["loss"] <= math.log(1 + math.exp(0.1)) + 1e-3
    assert ledger.manifest(1)["policy"]["sha256"] != ledger.header()["initial_policy"]["sha256"]


@pytest.mark.parametrize("recipe", RANKED)
def test_a_ranking_recipe_learns_from_all_responses_best_first(recipe: str, play: Callable[..., Ledger]) -> None:
    ledger = play(recipe, *ONE_PHASE)
    scored = scored_responses(ledger, 1)
    groups: list[ResponseGroup] = [o.group for o in outcomes(ledger, 1) if o.group is not None]
    assert len(groups) >= 4
    for group in groups:
        of = {rollout.sample: score for rollout, score in scored[group.prompt.id]}
        assert {response.sample for response in group.responses} == of.keys()
        assert list(group.scores) == sorted(group.scores, reverse=True) and group.scores[0] > group.scores[-1]
        assert group.scores == pytest.approx([of[response.sample] for response in group.responses], abs=1e-6)
    assert "rewards/accuracies" in ledger.manifest(1)["learn"]


def given_responses(folder: Path, rows: int = 8) -> str:
    """A file of prompts with two responses each, the better one first; the better ones grow."""
    path = folder / "seed.jsonl"
    lines = [
        json.dumps({"id": f"s{n}", "prompt": f"Say {n}.", "chosen": f"It is {n}{'!' * n}", "rejected": "No."})
        for n in range(rows)
    ]
    path.write_text("\n".join(lines))
    return str(path)


def test_supervised_fine_tuning_imitates_the_best_given_response(play: Callable[..., Ledger], tmp_path: Path) -> None:
    """Nothing is sampled, held-out prompts have no responses to pair, and the update sees every demonstration."""
    seed = (f"prompts.seed.path={given_responses(tmp_path)}", "prompts.seed.responses=[chosen,rejected]")
    ledger = play("sft", "run.rounds=1", "run.prompts_per_round=8", "learner.pairs_per_step=4", *seed)
    rollouts = list(ledger.read_stage(1, "rollouts", Rollout))
    assert len(rollouts) == 16 and not any(rollout.logprobs for rollout in rollouts)
    for outcome in outcomes(ledger, 1):
        assert outcome.group is not None
        (imitated,) = outcome.group.responses
        assert imitated.text.startswith("It is ") and imitated.sample == 0
        others = {rollout.token_ids[-1] for rollout in rollouts}
        assert others == {imitated.token_ids[-1]}, "every given response ends with the end-of-turn token"
    dropped = [outcome.dropped for outcome in ledger.read_stage(0, "heldout-pairs", PairingOutcome)]
    assert [drop.reason for drop in dropped if drop] == ["no_response"] * 4
    learned = ledger.manifest(1)["learn"]
    assert learned["pairs_trained"] == 8 * ledger.header()["config"]["learner"]["epochs"]
    assert ledger.manifest(1)["policy"]["sha256"] != ledger.header()["initial_policy"]["sha256"]


@pytest.mark.parametrize("recipe", CRITIQUED)
def test_a_response_is_learnt_after_its_judgment_or_is_good_as_it_is(
    recipe: str, play: Callable[..., Ledger], tiny_model: Path
) -> None:
    """CUT: a response that scores 7 or more, or whose judgment has no words, comes after the plain prompt alone; all
    others after one in which the judgment can be read. No other response is left out."""
    constrained = ("judge.constrain_last_line=true", "judge.sampling.max_tokens=10", "pairing.keep_good=1.0")
    ledger = play(recipe, *ONE_PHASE, *constrained, "generation.samples_per_prompt=2")
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    judged = {(j.prompt_id, j.sample): j for j in ledger.read_stage(1, "judgments", Judgment)}
    groups: list[ResponseGroup] = [o.group for o in outcomes(ledger, 1) if o.group is not None]
    told = good = 0
    for group in groups:
        assert list(group.scores) == sorted(group.scores, reverse=True)
        for rollout, score, ids in zip(group.responses, group.scores, group.critiqued_prompt_token_ids, strict=True):
            words, _, digit = judged[rollout.prompt_id, rollout.sample].text.rpartition("\nScore: ")
            assert score == float(digit)
            if score >= 7 or not words.strip():
                good += 1
                assert ids == rollout.prompt_token_ids
            else:
                told += 1
                assert words.strip() in tokenizer.decode(ids) and len(ids) > len(rollout.prompt_token_ids)
    assert told and good and told + good == sum(judgment.score is not None for judgment in judged.values())
    learned = ledger.manifest(1)["learn"]
    assert learned["pairs_trained"] == told + good and learned["cut/judged_nll"] > 0
    assert ledger.manifest(1)["policy"]["sha256"] != ledger.header()["initial_policy"]["sha256"]


def test_a_panels_members_are_in_the_ledger_and_its_majority_makes_the_pairs(play: Callable[..., Ledger]) -> None:
    """Votes 0, 1–3 and 4 of three members on scales of their own. The chosen response is preferred by most members to
    at least as many others as any other is, the rejected one to the fewest."""
    constrained = [f"judge.members.{name}.constrain_last_line=true" for name in ("additive", "rating")]
    short = [f"judge.members.{name}.sampling.max_tokens=5" for name in ("additive", "rating")]
    ledger = play("self_rewarding", *ONE_PHASE, "judge=panel", *constrained, *short)
    votes: dict[str, dict[int, dict[int, float]]] = {}
    for judgment in ledger.read_stage(1, "judgments", Judgment):
        assert judgment.score is not None and judgment.vote in range(5)
        votes.setdefault(judgment.prompt_id, {}).setdefault(judgment.sample, {})[judgment.vote] = judgment.score
    pairs = [outcome.pair for outcome in outcomes(ledger, 1) if outcome.pair is not None]
    assert len(pairs) >= 4
    for pair in pairs:
        members = {s: (v[0], fmean((v[1], v[2], v[3])), v[4]) for s, v in votes[pair.prompt.id].items()}
        shares = {
            a: fmean(
                0.5
                + 0.5 * ((n := sum((x > y) - (x < y) for x, y in zip(members[a], members[b], strict=True))) > 0)
                - 0.5 * (n < 0)
                for b in members
                if b != a
            )
            for a in members
        }
        assert shares[pair.chosen.sample] == max(shares.values()) > min(shares.values())
        assert shares[pair.rejected.sample] == min(shares.values())


def test_spin_learns_given_over_own_responses_of_two_rounds(play: Callable[..., Ledger], tmp_path: Path) -> None:
    """The better given response over what the policy of the round's start sampled. The second round, on the same
    prompts, sees the first's pairs too: other examples of the same prompts."""
    seed = (f"prompts.seed.path={given_responses(tmp_path)}", "prompts.seed.responses=[chosen,rejected]")
    sizes = ("run.rounds=2", "run.prompts_per_round=8", "learner.pairs_per_step=4", "learner.epochs=1")
    ledger = play("spin", *sizes, *seed, "learner.learning_rate=1e-3")
    for round in (1, 2):
        pairs = [outcome.pair for outcome in outcomes(ledger, round) if outcome.pair is not None]
        assert len(pairs) >= 6
        for pair in pairs:
            number = int(pair.prompt.id.removeprefix("s"))
            assert pair.chosen.text == f"It is {number}{'!' * number}" and not pair.chosen.logprobs
            assert (pair.rejected.policy_version, len(pair.rejected.logprobs)) == (
                round - 1,
                len(pair.rejected.token_ids),
            )
    trained = [ledger.manifest(round)["learn"]["pairs_trained"] for round in (1, 2)]
    made = [ledger.manifest(round)["data"]["pairs"] for round in (1, 2)]
    assert trained == [made[0], made[0] + made[1]]
    assert ledger.manifest(2)["start"]["version"] == ledger.manifest(2)["reference"]["version"] == 1


def test_a_chain_of_hindsight_is_learnt_and_the_policy_is_asked_with_the_helpful_words(
    play: Callable[..., Ledger], tiny_model: Path
) -> None:
    """Four orders of the best and the worst response. Behind the first marker the responses' tokens weigh 1, the second
    marker's 0; held-out prompts are asked with the helpful marker and recorded without it."""
    ledger = play("coh", *ONE_PHASE, "run.prompts_per_round=16", "generation.truncated=keep")
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    conditioning = ledger.header()["config"]["conditioning"]
    markers = [conditioning["helpful"], conditioning["unhelpful"]]
    scored, lengths = scored_responses(ledger, 1), set[tuple[int, ...]]()
    made = [outcome for outcome in outcomes(ledger, 1) if outcome.pair is not None]
    assert len(made) >= 8
    for outcome in made:
        pair, (sequence,) = outcome.pair, outcome.sequences
        assert pair is not None and best_over_worst(pair, scored[pair.prompt.id])
        first = tokenizer.decode(sequence.prompt_token_ids).endswith(markers[1])
        links = [(pair.chosen.token_ids, markers[0]), (pair.rejected.token_ids, markers[1])][:: -1 if first else 1]
        assert tokenizer.decode(sequence.prompt_token_ids).endswith(links[0][1])
        second = tuple(tokenizer(links[1][1], add_special_tokens=False)["input_ids"])
        whole = (*links[0][0], *second, *links[1][0])
        weights = [1.0] * len(links[0][0]) + [0.0] * len(second) + [1.0] * len(links[1][0])
        size = len(sequence.token_ids)
        assert size in (len(links[0][0]), len(whole)) and sequence.token_ids == whole[:size]
        assert list(sequence.weights or ()) == weights[:size]
        lengths.add((int(first), int(size == len(whole))))
    assert len(lengths) >= 3, "one order shows nothing of the others"
    assert ledger.manifest(1)["learn"]["pairs_trained"] == len(made)
    assert ledger.manifest(1)["policy"]["sha256"] != ledger.header()["initial_policy"]["sha256"]
    for round in (0, 1):
        for rollout in ledger.read_stage(round, "eval-rollouts", Rollout):
            asked = tokenizer.decode(rollout.sampler_token_ids)
            assert asked == tokenizer.decode(rollout.prompt_token_ids) + markers[0]


def test_each_class_is_learnt_under_its_own_words_with_its_own_weight(
    play: Callable[..., Ledger], tiny_model: Path, tmp_path: Path
) -> None:
    """Given responses, weight 1, after a system message for experts; the policy's own, weight 0.1, after the other one;
    held-out prompts are asked as experts are."""
    seed = (f"prompts.seed.path={given_responses(tmp_path)}", "prompts.seed.responses=[chosen]")
    ledger = play("conditional_bc", *ONE_PHASE, *seed, "generation.truncated=keep", "learner.epochs=1")
    tokenizer, asked = AutoTokenizer.from_pretrained(tiny_model), ledger.header()["config"]["conditioning"]
    made = [outcome for outcome in outcomes(ledger, 1) if outcome.pair is not None]
    assert len(made) >= 6
    for outcome in made:
        pair = outcome.pair
        assert pair is not None and (pair.chosen.logprobs, pair.chosen.variant) == ((), "positive")
        rows = zip(outcome.sequences, (pair.chosen, pair.rejected), ("expert", "other"), (1.0, 0.1), strict=True)
        for sequence, response, name, weight in rows:
            assert sequence.token_ids == response.token_ids
            assert set(sequence.weights or ()) == {weight}
            said = [asked[one]["system"] in tokenizer.decode(sequence.prompt_token_ids) for one in ("expert", "other")]
            assert said == [name == "expert", name == "other"]
            assert f"Say {pair.prompt.id[1:]}." in tokenizer.decode(sequence.prompt_token_ids)
    assert ledger.manifest(1)["learn"]["pairs_trained"] == 2 * len(made)
    assert ledger.manifest(1)["policy"]["sha256"] != ledger.header()["initial_policy"]["sha256"]
    for rollout in ledger.read_stage(1, "eval-rollouts", Rollout):
        assert asked["expert"]["system"] in tokenizer.decode(rollout.sampler_token_ids)
        assert asked["expert"]["system"] not in tokenizer.decode(rollout.prompt_token_ids)


ATTRIBUTES = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")


def test_an_attribute_model_learns_what_people_say_and_annotates_what_is_learnt(
    play: Callable[..., Ledger], tiny_model: Path, tmp_path: Path
) -> None:
    """Round 1: a head of five outputs, whose scores are the learner's; the policy stays. Round 2: each response is
    learnt after a line of its five values by that model, clamped to 0–4, each the whole number next to it; the score is
    their weighted sum. Held-out prompts are asked with the line of the wanted values."""
    rows: list[dict[str, Any]] = [
        {"id": f"r{index}", "prompt": f"Say {index}.", "response": f"Here you are: {index}"}
        | {name: (index + place) % 5 for place, name in enumerate(ATTRIBUTES) if (index, place) != (3, 2)}
        for index in range(8)
    ]
    path = tmp_path / "labelled.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    faster = ("phases.attribute_model.learner.learning_rate=1e-2", "phases.attribute_model.learner.epochs=4")
    words = ("run.prompts_per_round=8", "learner.pairs_per_step=2", "learner.learning_rate=1e-3", *faster)
    ledger = play("steerlm", *words, f"prompts.seed.path={path}")
    tokenizer, config = AutoTokenizer.from_pretrained(tiny_model), ledger.header()["config"]

    first = ledger.manifest(1)
    with safe_open(Path(first["reward_model"]["path"], "model.safetensors"), framework="pt") as tensors:
        assert tensors.get_slice("score.weight").get_shape()[0] == len(ATTRIBUTES)
    assert first["policy"]["sha256"] == ledger.header()["initial_policy"]["sha256"]
    assert first["score_parity"] < 1e-4 and first["learn"]["attributes/present"] == pytest.approx(39 / 8)
    attribute_model = AutoModelForSequenceClassification.from_pretrained(first["reward_model"]["path"])

    weights = config["phases"]["steer"]["judge"]["weights"]
    assert tuple(weights) == ATTRIBUTES
    judged_ones = {one.prompt_id: one for one in ledger.read_stage(2, "judgments", Judgment)}
    made = [outcome for outcome in outcomes(ledger, 2) if outcome.group is not None]
    assert len(made) == len(judged_ones) == 8
    for outcome in made:
        assert outcome.group is not None
        judgment = judged_ones[outcome.group.prompt.id]
        (response,), (sequence,) = outcome.group.responses, outcome.sequences
        with torch.no_grad():
            values = attribute_model(torch.tensor([response.prompt_token_ids + response.token_ids])).logits[0]
        assert judgment.attributes == pytest.approx(values.tolist(), abs=1e-4)
        assert judgment.score == pytest.approx(
            sum(weight * value for weight, value in zip(weights.values(), judgment.attributes, strict=True)), abs=1e-3
        )
        line = tokenizer.decode(sequence.prompt_token_ids).rstrip("\n").rpartition("\n")[2]
        told = dict(part.rsplit(":", 1) for part in line[line.index("helpfulness") :].split(","))
        assert tuple(told) == ATTRIBUTES
        for value, written in zip(judgment.attributes, told.values(), strict=True):
            assert abs(min(max(value, 0), 4) - int(written)) <= 0.5
        assert sequence.token_ids == response.token_ids and set(sequence.weights or ()) == {1.0}
    said = {row["id"]: [row.get(name) for name in ATTRIBUTES] for row in rows}
    errors = [
        ((value - label) ** 2, label**2)  # beside those of the head of zeros that it began as
        for one in judged_ones.values()
        for value, label in zip(one.attributes, said[one.prompt_id], strict=True)
        if label is not None
    ]
    assert sum(learnt for learnt, _ in errors) < 0.9 * sum(before for _, before in errors)
    assert ledger.manifest(2)["policy"]["sha256"] != ledger.header()["initial_policy"]["sha256"]
    wanted = config["evaluation"]["condition"]["assistant_prefix"]
    assert all(
        tokenizer.decode(rollout.sampler_token_ids).endswith(wanted)
        for rollout in ledger.read_stage(2, "eval-rollouts", Rollout)
    )


def test_the_policy_itself_may_annotate(play: Callable[..., Ledger], tmp_path: Path) -> None:
    """`judge=attributes`: five values from 0 to 4 a response, by the policy's own next-token probabilities."""
    seed = (f"prompts.seed.path={given_responses(tmp_path)}", "prompts.seed.responses=[chosen,rejected]")
    annotate = ("judge=attributes", "pairing=annotated", "conditioning=attributes")
    ledger = play("sft", *ONE_PHASE, *seed, *annotate, "learner.epochs=1")
    judged_ones = list(ledger.read_stage(1, "judgments", Judgment))
    assert len(judged_ones) == 16
    weights = ledger.header()["config"]["judge"]["weights"]
    assert tuple(weights) == ATTRIBUTES
    for one in judged_ones:
        assert all(0 <= value <= 4 for value in one.attributes)
        expected = sum(weight * value for weight, value in zip(weights.values(), one.attributes, strict=True))
        assert one.score == pytest.approx(expected, abs=1e-3)
    assert ledger.manifest(1)["learn"]["pairs_trained"] == 16


@pytest.mark.parametrize("recipe", REWARD_MODELS)
def test_a_reward_model_is_learnt_from_its_labels_and_judges_the_next_phase(
    recipe: str, play: Callable[..., Ledger]
) -> None:
    """RLCD's labels are hard and by construction; RLAIF's and Rescore's are the probabilities of the two questions'
    answers, averaged, and never even."""
    ledger = play(recipe, *TWO_PHASES)
    first, second = ledger.manifest(1), ledger.manifest(2)
    pairs = [outcome.pair for outcome in outcomes(ledger, 1) if outcome.pair is not None]
    asked: dict[str, list[float]] = {}
    for judgment in ledger.read_stage(1, "judgments", Judgment):
        if judgment.probability is not None:
            asked.setdefault(judgment.prompt_id, []).append(judgment.probability)
    assert pairs
    for pair in pairs:
        assert pair.provenance == REWARD_MODELS[recipe]
        if pair.provenance == "contrast":
            assert pair.label_probability == 1.0 and by_construction(pair, [])
            continue
        mean = fmean(asked[pair.prompt.id])
        assert len(asked[pair.prompt.id]) == 2 and pair.label_probability > 0.5
        assert pair.label_probability == pytest.approx(max(mean, 1 - mean), abs=1e-6)
        assert (pair.chosen.sample == 0) == (mean > 0.5)
    assert first["policy"]["sha256"] == ledger.header()["initial_policy"]["sha256"] != second["policy"]["sha256"]
    assert second["judged_by"] == {"reward_model": first["reward_model"]}
    assert second["data"]["groups"] == 8 and "objective/scores" in second["learn"]


def test_simulated_annotators_take_turns_and_a_reward_model_learns_their_noisy_labels(
    play: Callable[..., Ledger],
) -> None:
    """Two annotators here, told apart by whether both orders are asked (a tiny model's verdicts in words are none). A
    prompt has one of them, and its label is his or, of some prompts and not all, the opposite; what was said is in the
    ledger as it was said, and held-out pairs have it. PPO then learns by the reward model."""
    words = ("explains_first", "answers_first", "decides_first")
    members = (*(f"~judge.members.{name}" for name in words), "judge.members.careful.orders=both")
    sizes = [size.replace("phases.ppo", "phases.train").replace("=8", "=24") for size in TWO_PHASES]
    ledger = play("alpacafarm", *sizes, *members, "judge.flipped_fraction=0.4")

    def said(round: int, stage: str) -> dict[str, list[float]]:
        found: dict[str, list[float]] = {}
        for judgment in ledger.read_stage(round, stage, Judgment):
            assert judgment.probability is not None
            found.setdefault(judgment.prompt_id, []).append(judgment.probability)
        return found

    def turned(pairs: Sequence[PreferencePair], labels: dict[str, list[float]]) -> list[bool]:
        found = []
        for pair in pairs:
            mean = fmean(labels[pair.prompt.id])
            assert pair.label_probability == pytest.approx(max(mean, 1 - mean), abs=2e-6)
            found.append((pair.chosen.sample == 0) != (mean > 0.5))
        return found

    labels = said(1, "judgments")
    assert {len(own) for own in labels.values()} == {1, 2}, "both annotators have prompts"
    pairs = [outcome.pair for outcome in outcomes(ledger, 1) if outcome.pair is not None]
    assert len(pairs) >= 12 and 0 < sum(turned(pairs, labels)) < len(pairs)
    heldout = [o.pair for o in ledger.read_stage(0, "heldout-pairs", PairingOutcome) if o.pair is not None]
    assert heldout and not any(turned(heldout, said(0, "heldout-judgments")))
    first, second = ledger.manifest(1), ledger.manifest(2)
    assert first["policy"]["sha256"] == ledger.header()["initial_policy"]["sha256"] != second["policy"]["sha256"]
    assert second["judged_by"] == {"reward_model": first["reward_model"]}
    assert second["data"]["groups"] == 24 and "objective/scores" in second["learn"]


def test_rip_learns_from_pairs_whose_rejected_response_is_good_and_long_and_near(play: Callable[..., Ledger]) -> None:
    """On or above the medians of rejected scores and lengths, on or under that of the margins; the rest is dropped."""
    ledger = play("rip", *ONE_PHASE, "run.prompts_per_round=24", "generation.samples_per_prompt=6")
    scored = scored_responses(ledger, 1)
    pairs = [outcome.pair for outcome in outcomes(ledger, 1) if outcome.pair is not None]
    assert all(best_over_worst(pair, scored[pair.prompt.id]) for pair in pairs)
    score = {(rollout.prompt_id, rollout.sample): score for own in scored.values() for rollout, score in own}
    bad = [score[pair.prompt.id, pair.rejected.sample] for pair in pairs]
    gap = [score[pair.prompt.id, pair.chosen.sample] - low for pair, low in zip(pairs, bad, strict=True)]
    size = [len(pair.rejected.token_ids) for pair in pairs]
    kept = [
        pair.prompt.id
        for pair, low, long, wide in zip(pairs, bad, size, gap, strict=True)
        if low > median(bad) - 1e-5 and long >= median(size) and wide < median(gap) + 1e-5
    ]
    assert 0 < len(kept) < len(pairs)
    assert ids([outcome.pair for outcome in outcomes(ledger, 1, "selected") if outcome.pair is not None]) == kept
    manifest = ledger.manifest(1)
    assert manifest["learn"]["pairs_trained"] == manifest["data"]["pairs"] == len(kept)
    reasons = ("low_rejected_score", "short_rejected", "wide_margin")
    assert sum(manifest["data"]["dropped"].get(reason, 0) for reason in reasons) == len(pairs) - len(kept)
    assert manifest["data"]["limits"] == pytest.approx(
        {"rejected_score": median(bad), "rejected_length": median(size), "margin": median(gap)}, abs=1e-5
    )
    assert manifest["policy"]["sha256"] != ledger.header()["initial_policy"]["sha256"]


def test_rafts_global_ranking_imitates_the_best_fifth_of_a_round(play: Callable[..., Ledger]) -> None:
    """Of 8 prompts with 5 responses each 8 responses, whoever's they are; equal ones from the front."""
    ledger = play("raft", *ONE_PHASE, "pairing=group", "filter=top_fraction")
    scored = [one for own in scored_responses(ledger, 1).values() for one in own]
    assert len(scored) == 40
    groups = [outcome.group for outcome in outcomes(ledger, 1, "selected") if outcome.group is not None]
    kept = [score for group in groups for score in group.scores]
    assert sorted(kept) == pytest.approx(sorted(score for _, score in scored)[-8:], abs=1e-5)
    assert all(list(group.scores) == sorted(group.scores, reverse=True) for group in groups)
    manifest = ledger.manifest(1)
    assert manifest["learn"]["pairs_trained"] == 8
    assert manifest["data"]["dropped"] == ({"not_top": 8 - len(groups)} if len(groups) < 8 else {})


def test_where_generator_and_validator_agree_both_are_imitated(play: Callable[..., Ledger]) -> None:
    """Yes (here X, against C: the tiny model says both) is the more probable one; the validation is the judging prompt
    with the single token of yes."""
    words = ("judge.answers=[X,C]", "evaluation.judge.answers=[X,C]", "generation.samples_per_prompt=4")
    ledger = play("gv_consistency", *ONE_PHASE, *words)
    judged = {(one.prompt_id, one.sample): one for one in ledger.read_stage(1, "judgments", Judgment)}
    rollouts = {(one.prompt_id, one.sample): one for one in ledger.read_stage(1, "rollouts", Rollout)}
    assert judged.keys() == rollouts.keys() and len(judged) == 32
    said = {one.judge_token_ids: one.text for one in judged.values()}
    assert sorted(said.values()) == ["C", "X"], "a validator that always says the same shows nothing"
    assert all(one.choice_mass is not None and 0 < one.choice_mass < 1 for one in judged.values())
    agreeing = [key for key in rollouts if (judged[key].score or 0) > 0.5]
    assert [key for key, one in judged.items() if one.text == "X"] == [key for key in judged if key in agreeing]
    learnt = [response for outcome in outcomes(ledger, 1) if outcome.group for response in outcome.group.responses]
    assert [(one.prompt_id, one.sample) for one in learnt] == [key for key in agreeing for _ in range(2)]
    for response, validation in zip(learnt[::2], learnt[1::2], strict=True):
        key = (response.prompt_id, response.sample)
        assert response == rollouts[key]
        assert validation.prompt_token_ids == judged[key].judge_prompt_token_ids
        assert said[validation.token_ids] == "X"
    manifest = ledger.manifest(1)
    assert manifest["learn"]["pairs_trained"] == len(learnt)
    assert manifest["data"]["judge"]["agreement_rate"] == pytest.approx(len(agreeing) / 32)
    assert 0 <= manifest["evaluation"]["judge"]["agreement_rate"] <= 1
    assert manifest["policy"]["sha256"] != ledger.header()["initial_policy"]["sha256"]


def test_alpagasus_imitates_the_given_responses_that_rate_high(play: Callable[..., Ledger], tmp_path: Path) -> None:
    """A tiny policy rates none 4.5 of 5: the threshold here lies within what it gives."""
    seed = (f"prompts.seed.path={given_responses(tmp_path)}", "prompts.seed.responses=[chosen]")
    ledger = play("alpagasus", *ONE_PHASE, *seed, "filter.min_score=2.0")
    scored = [one for own in scored_responses(ledger, 1).values() for one in own]
    assert len(scored) == 8
    high = [rollout.prompt_id for rollout, score in scored if score >= 2.0]
    assert 0 < len(high) < 8
    assert ids([outcome.group for outcome in outcomes(ledger, 1, "selected") if outcome.group is not None]) == high
    assert ledger.manifest(1)["data"]["dropped"] == {"low_score": 8 - len(high)}
    assert ledger.manifest(1)["learn"]["pairs_trained"] == 3 * len(high)


def test_long_is_more_imitates_the_longest_given_responses(play: Callable[..., Ledger], tmp_path: Path) -> None:
    seed = (f"prompts.seed.path={given_responses(tmp_path)}", "prompts.seed.responses=[chosen]")
    ledger = play("long_is_more", *ONE_PHASE, *seed, "filter.count=3")
    sizes = [len(rollout.token_ids) for rollout in ledger.read_stage(1, "rollouts", Rollout)]
    groups = [outcome.group for outcome in outcomes(ledger, 1, "selected") if outcome.group is not None]
    kept = [len(response.token_ids) for group in groups for response in group.responses]
    assert sorted(kept) == sorted(sizes)[-3:] and len(set(sizes)) > 1
    assert ledger.manifest(1)["data"]["dropped"] == {"not_longest": 5}
    assert ledger.manifest(1)["learn"]["pairs_trained"] == 9


def by_prompt(rollouts: Sequence[Rollout], rewards: Sequence[float]) -> dict[str, dict[int, float]]:
    """Each prompt's rewards by sample."""
    found: dict[str, dict[int, float]] = {}
    for rollout, reward in zip(rollouts, rewards, strict=True):
        found.setdefault(rollout.prompt_id, {})[rollout.sample] = reward
    return found


def judged(ledger: Ledger, round: int, vote: int) -> dict[str, dict[int, float]]:
    found: dict[str, dict[int, float]] = {}
    for judgment in ledger.read_stage(round, "judgments", Judgment):
        if judgment.vote == vote and judgment.score is not None:
            found.setdefault(judgment.prompt_id, {})[judgment.sample] = judgment.score
    return found


def assert_rewards(found: dict[str, dict[int, float]], expected: dict[str, dict[int, float]]) -> None:
    """The same responses, in the same order, with the same values."""
    assert found.keys() == expected.keys()
    for prompt_id, rewards in expected.items():
        assert found[prompt_id] == pytest.approx(rewards, abs=1e-3)
        for one, other in combinations(rewards, 2):
            if abs(rewards[one] - rewards[other]) > 2e-3:
                ahead = found[prompt_id][one] > found[prompt_id][other]
                assert ahead == (rewards[one] > rewards[other])


def policy_path(ledger: Ledger, round: int) -> str:
    """Of the policy after a round."""
    return ledger.manifest(round)["policy"]["path"]


def test_spas_labels_are_the_log_density_ratio_of_the_policy_to_the_first_one(play: Callable[..., Ledger]) -> None:
    """0.1·(Σ log π − Σ log π_0) in plain transformers, π the policy that sampled. The labels' reference stays the first
    policy where the objective's is the policy before, and the sign of the difference is the label. Before that the
    policy has learnt the starter set's gold pairs, three times over: no label is needed for them."""
    sizes = (*ONE_PHASE[1:], "phases.seed.prompts_per_round=8")
    ledger = play("spa", "run.rounds=3", *sizes, "learner.learning_rate=3e-3")
    gold = {row["id"]: row for row in map(json.loads, STARTER_SEED.read_text().splitlines())}
    seeded = [outcome.pair for outcome in outcomes(ledger, 1) if outcome.pair is not None]
    assert len(seeded) == 8 and ledger.manifest(1)["learn"]["pairs_trained"] == 3 * 8
    for pair in seeded:
        row = gold[pair.prompt.id]
        assert (pair.chosen.text, pair.rejected.text) == (row["chosen"], row["rejected"])
    first = policy_path(ledger, 0)
    for round in (2, 3):
        rollouts = list(ledger.read_stage(round, "rollouts", Rollout))
        now, start = (plain_logps(path, rollouts) for path in (policy_path(ledger, round - 1), first))
        expected = [0.1 * (sum(one) - sum(other)) for one, other in zip(now, start, strict=True)]
        assert max(map(abs, expected)) > 0.1, "a policy that learnt nothing shows nothing"
        assert_rewards(judged(ledger, round, 0), by_prompt(rollouts, expected))
        scored = scored_responses(ledger, round)
        pairs = [outcome.pair for outcome in outcomes(ledger, round) if outcome.pair is not None]
        assert len(pairs) >= 4
        assert all(best_over_worst(pair, scored[pair.prompt.id]) for pair in pairs)
        manifest = ledger.manifest(round)
        assert manifest["judged_by"] == {"initial": {"version": 0, **ledger.header()["initial_policy"]}}
        assert manifest["reference"]["sha256"] == ledger.manifest(round - 1)["policy"]["sha256"]
        assert "spa/noisy" in manifest["learn"]


def test_creams_labels_are_the_policys_ranking_and_how_far_the_one_before_agrees(play: Callable[..., Ledger]) -> None:
    """Mean log-probs, recomputed in plain transformers. In round 1 there is no policy before: every c is 1. In rounds 2
    and 3 the policies are those of the rounds before, and c is counted here, pair by pair. What is learnt from has the
    mean of the round's pairs."""
    ledger = play("cream", "run.rounds=3", *ONE_PHASE[1:], "learner.learning_rate=3e-3")
    consistencies: list[list[float]] = []
    for round in (1, 2, 3):
        rollouts = list(ledger.read_stage(round, "rollouts", Rollout))
        paths = [policy_path(ledger, before) for before in (round - 1, max(0, round - 2))]
        votes = [by_prompt(rollouts, [fmean(logps) for logps in plain_logps(path, rollouts)]) for path in paths]
        for vote, expected in enumerate(votes):
            assert_rewards(judged(ledger, round, vote), expected)
        assert (
            ledger.manifest(round)["judged_by"]["previous"]["sha256"]
            == (ledger.manifest(max(0, round - 2))["policy"]["sha256"])
        )
        now, before = (judged(ledger, round, vote) for vote in (0, 1))
        pairs = [outcome.pair for outcome in outcomes(ledger, round) if outcome.pair is not None]
        assert len(pairs) >= 4
        for pair in pairs:
            mine, theirs = now[pair.prompt.id], before[pair.prompt.id]
            assert (mine[pair.chosen.sample], mine[pair.rejected.sample]) == (max(mine.values()), min(mine.values()))
            agree = [
                0.5 + 0.5 * _sign(mine[one] - mine[other]) * _sign(theirs[one] - theirs[other])
                for one, other in combinations(mine, 2)
            ]
            assert pair.label_probability == pytest.approx(fmean(agree), abs=1e-9)
        consistencies.append([pair.label_probability for pair in pairs])
        mean = fmean(consistencies[-1])
        learnt = [outcome.pair for outcome in outcomes(ledger, round, "selected") if outcome.pair is not None]
        assert [replace(pair, label_probability=0.0) for pair in learnt] == [
            replace(pair, label_probability=0.0) for pair in pairs
        ]
        assert [pair.label_probability for pair in learnt] == pytest.approx([mean] * len(pairs), abs=1e-6)
        assert ledger.manifest(round)["data"]["limits"] == pytest.approx({"label_probability": mean}, abs=1e-6)
        assert "rewards/accuracies" in ledger.manifest(round)["learn"]
    assert set(consistencies[0]) == {1.0}
    assert {*consistencies[1], *consistencies[2]} != {1.0}, "policies that always agree show nothing"


def _sign(number: float) -> int:
    return (number > 0) - (number < 0)


@pytest.mark.parametrize("instruction", [None, "Answer for children."], ids=["plain", "instructed"])
def test_the_density_ratio_is_the_strong_models_log_probs_less_the_weak_ones(
    instruction: str | None, play: Callable[..., Ledger], tiny_model: Path, tmp_path: Path
) -> None:
    """Summed over tokens, under the plain prompt or after an instruction; the best is taken over the worst, and both
    are trained under the plain prompt."""
    strong = write_moved(tiny_model, tmp_path / "strong", scale=0.05, seed=3)
    words = (f"judge.strong={strong}", "judge.weak=initial", f"judge.instruction={instruction or 'null'}")
    ledger = play("cdr", *ONE_PHASE, *words)
    rollouts = list(ledger.read_stage(1, "rollouts", Rollout))
    prompts = {prompt.id: prompt for prompt in PromptStore(ledger, "train")}
    ids = None
    if instruction:
        asked = {
            name: [replace(turns[0], content=f"{instruction}\n\n{turns[0].content}"), *turns[1:]]
            for name, turns in ((rollout.prompt_id, prompts[rollout.prompt_id].messages) for rollout in rollouts)
        }
        ids = [chat_ids(tiny_model, asked[rollout.prompt_id]) for rollout in rollouts]
    high, low = (plain_logps(path, rollouts, ids) for path in (strong, tiny_model))
    expected = [sum(one) - sum(other) for one, other in zip(high, low, strict=True)]
    assert_rewards(judged(ledger, 1, 0), by_prompt(rollouts, expected))
    scored = scored_responses(ledger, 1)
    pairs = [outcome.pair for outcome in outcomes(ledger, 1) if outcome.pair is not None]
    assert len(pairs) >= 4
    for pair in pairs:
        assert best_over_worst(pair, scored[pair.prompt.id])
        assert list(pair.chosen.prompt_token_ids) == chat_ids(tiny_model, pair.prompt.messages)
    by = ledger.manifest(1)["judged_by"]
    assert by[str(strong)]["sha256"] == weights_hash(str(strong))
    assert by["initial"]["sha256"] == ledger.header()["initial_policy"]["sha256"]


# A tiny random model seldom ends a response: with so many stops most of its texts end by themselves.
STOPS = "generation.sampling.stop=[a,e,i,o]"
TWO_ROUNDS = ("run.rounds=2", "run.prompts_per_round=8", "learner.pairs_per_step=2")


def rollouts_by_prompt(ledger: Ledger, round: int) -> dict[str, list[Rollout]]:
    found: dict[str, list[Rollout]] = {}
    for rollout in ledger.read_stage(round, "rollouts", Rollout):
        found.setdefault(rollout.prompt_id, []).append(rollout)
    return found


@pytest.mark.parametrize("recipe", MIXTURES)
def test_what_is_learnt_was_made_of_the_proposals_that_could_be_read(
    recipe: str, play: Callable[..., Ledger], tiny_model: Path
) -> None:
    """Under the plain prompt (Self-MoA distilled), or under the request that shows the proposals (AFT)."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    ledger = play(recipe, *ONE_PHASE, STOPS)
    num_proposals = ledger.header()["config"]["generation"]["proposals"]
    learnt = {o.group.prompt.id: o.group.responses for o in outcomes(ledger, 1) if o.group is not None}
    assert len(learnt) >= 4
    remarks: list[str] = []
    for prompt_id, texts in rollouts_by_prompt(ledger, 1).items():
        proposals, response = texts[:num_proposals], texts[num_proposals:]
        usable = [text for text in proposals if text.finish_reason == "stop" and text.text.strip()]
        remarks += [text.remark for text in proposals if text.remark]
        assert all((text in usable) == (text.remark == "") and text.variant == "interim" for text in proposals)
        assert len(response) == (1 if usable else 0)
        if prompt_id not in learnt:
            continue
        assert learnt[prompt_id] == tuple(response)
        shown = tokenizer.decode(response[0].sampler_token_ids)
        for number, proposal in enumerate(usable, start=1):
            assert f'<response option="{number}">\n{proposal.text}\n</response>' in shown
        assert shown.count("<response option=") == len(usable)
        plain = proposals[0].sampler_token_ids
        assert response[0].prompt_token_ids == (plain if recipe == "self_moa" else response[0].sampler_token_ids)
    assert sum(ledger.manifest(1)["data"]["remarks"].values()) == len(remarks) > 0
    assert ledger.manifest(1)["policy"]["sha256"] != ledger.header()["initial_policy"]["sha256"]


def test_several_models_propose_and_the_policy_makes_one_response(
    play: Callable[..., Ledger], tiny_model: Path, tmp_path: Path
) -> None:
    """MoA: the other model's proposals, which stand first, are committed before the policy's turn, and shown with its
    own."""
    source = str(write_tiny_model(tmp_path / "source", seed=1))
    words = (*ONE_PHASE, STOPS, f"generation.samplers=[{source},policy]", "generation.proposals=3")
    ledger, tokenizer = play("self_moa", *words), AutoTokenizer.from_pretrained(tiny_model)
    (theirs,) = Path(ledger.root, "rounds", "001").glob("rollouts-*")
    committed = list(ledger.read_stage(1, theirs.name, Rollout))
    responses = 0
    for texts in rollouts_by_prompt(ledger, 1).values():
        assert [text.sampler for text in texts[:6]] == [source] * 3 + ["policy"] * 3
        assert [text.sample for text in texts] == list(range(len(texts)))
        assert {replace(text, remark="") for text in texts[:3]} <= {*committed}
        assert [text.policy_version for text in texts] == [-1] * 3 + [0] * (len(texts) - 3)
        for response in texts[6:]:
            shown = tokenizer.decode(response.sampler_token_ids)
            readable = [text for text in texts[:6] if not text.remark]
            assert all(f"\n{text.text}\n</response>" in shown for text in readable)
            assert shown.count("<response option=") == len(readable)
            responses += 1
    assert responses >= 4
    assert ledger.manifest(1)["samplers"][source]["version"] == -1


def test_autopm_learns_from_pairs_in_breadth_and_then_in_depth(play: Callable[..., Ledger]) -> None:
    ledger = play("autopm", *TWO_ROUNDS, "phases.depth.generation.sampling.max_tokens=10")
    breadth, depth = ([o.pair for o in outcomes(ledger, round) if o.pair is not None] for round in (1, 2))
    assert len(breadth) >= 4 and len(depth) >= 4
    assert all(by_construction(pair, []) for pair in breadth)
    for pair in depth:
        assert (pair.chosen.variant, pair.rejected.variant, pair.provenance) == ("ranked", "ranked", "ranked")
        assert (pair.chosen.sample, pair.rejected.sample) == (0, 4)
        assert pair.chosen.prompt_token_ids == pair.rejected.prompt_token_ids
        assert pair.chosen.sampler_token_ids != pair.rejected.sampler_token_ids
    assert all(len(rollouts) == 5 for rollouts in rollouts_by_prompt(ledger, 2).values())
    assert ledger.manifest(1)["policy"]["sha256"] != ledger.manifest(2)["policy"]["sha256"]


def test_janus_learns_to_follow_a_system_message_alone_and_then_rather_than_another(
    play: Callable[..., Ledger], tiny_model: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    ledger = play("janus", *TWO_ROUNDS)
    texts = ledger.header()["config"]["generation"]["system_messages"]
    followed = [response for o in outcomes(ledger, 1) if o.group is not None for response in o.group.responses]
    pairs = [o.pair for o in outcomes(ledger, 2) if o.pair is not None]
    assert len(followed) >= 4 and len(pairs) >= 4

    def said(token_ids: Sequence[int]) -> list[str]:
        return [text for text in texts if text in tokenizer.decode(token_ids)]

    for response in followed:
        assert response.prompt_token_ids == response.sampler_token_ids and len(said(response.prompt_token_ids)) == 1
    for pair in pairs:
        assert pair.chosen.prompt_token_ids == pair.chosen.sampler_token_ids == pair.rejected.prompt_token_ids
        assert said(pair.rejected.sampler_token_ids) != said(pair.chosen.sampler_token_ids)


def test_a_revised_answer_is_learnt_rather_than_the_first_one(play: Callable[..., Ledger]) -> None:
    """As the reviews say by the line that is decoded for them; what they end with is counted."""
    ledger = play("rlcd_dpo", "generation=revise", *ONE_PHASE)
    made, ended = rollouts_by_prompt(ledger, 1), ledger.manifest(1)["data"]["remarks"]
    pairs = 0
    for outcome in outcomes(ledger, 1):
        texts = made[outcome.pair.prompt.id if outcome.pair else outcome.dropped.prompt_id]  # pyright: ignore
        answers, reviews = texts[::2], texts[1::2]
        verdicts = [review.text[-1] for review in reviews]
        assert len(answers) == 1 + verdicts.count("1") and set(verdicts) <= {"0", "1"}
        if outcome.pair is None:
            assert verdicts[0] == "0" or answers[0].text.strip() == answers[-1].text.strip() or not answers[-1].text
            continue
        pairs += 1
        assert (outcome.pair.chosen, outcome.pair.rejected) == (answers[-1], answers[0])
        assert outcome.pair.chosen.prompt_token_ids == outcome.pair.rejected.prompt_token_ids
    assert pairs >= 2
    assert ended == {"nothing_to_mend": sum(texts[-1].remark == "nothing_to_mend" for texts in made.values())}


def check_new_prompts(ledger: Ledger, round: int) -> list[PromptCandidate]:
    """The round was sampled from its eight new prompts and no others; each is new, and obeys the rules that are left.
    All that was written is accounted for."""
    candidates = list(ledger.read_stage(round, "prompts", PromptCandidate))
    kept = [candidate for candidate in candidates if candidate.reason is None]
    earlier = {c.prompt.id for r in range(1, round) for c in ledger.read_stage(r, "prompts", PromptCandidate)}
    ids = [candidate.prompt.id for candidate in kept]
    assert len(set(ids)) == 8 and not set(ids) & {*earlier, *(prompt.id for prompt in PromptStore(ledger, "train"))}
    assert {rollout.prompt_id for rollout in ledger.read_stage(round, "rollouts", Rollout)} == set(ids)
    for candidate in kept:
        text = candidate.prompt.messages[-1].content
        assert text[0].isascii() and text[0].isalnum() and 1 <= len(text.split()) <= 300 and "e" not in text
    counts = ledger.manifest(round)["new_prompts"]
    assert (counts["kept"], sum(counts["dropped"].values())) == (8, len(candidates) - 8)
    assert {candidate.policy_version for candidate in candidates} == {round - 1}
    return candidates


@pytest.mark.parametrize("kind", ["self_instruct", "evolve"])
def test_a_round_is_sampled_from_prompts_that_the_policy_wrote(kind: str, play: Callable[..., Ledger]) -> None:
    """Two rounds: the second one's prompts are of the trained policy. Self-Instruct shows six prompts of the file and
    two new ones, as soon as there are two; an evolved prompt has one origin."""
    sizes = ("run.rounds=2", "run.prompts_per_round=8", "learner.pairs_per_step=2")
    ledger = play("self_rewarding", *sizes, f"new_prompts={kind}", *loosened("new_prompts"))
    file = {prompt.id for prompt in PromptStore(ledger, "train")}
    first, second = check_new_prompts(ledger, 1), check_new_prompts(ledger, 2)
    made = {candidate.prompt.id for candidate in (*first, *second) if candidate.reason is None}
    assert all(set(candidate.shown) <= file | made for candidate in second)
    if kind == "self_instruct":
        new = [sum(name not in file for name in candidate.shown) for candidate in second]
        assert new == [2] * len(new) and {len(candidate.shown) for candidate in second} == {8}
    else:
        assert {len(candidate.shown) for candidate in second} == {1}


def test_skillmix_learns_the_answers_to_prompts_that_the_policy_wrote(play: Callable[..., Ledger]) -> None:
    """Each prompt was to need two of the skills, and its answer is learnt, three times over."""
    ledger = play("skillmix", *ONE_PHASE, *loosened("new_prompts"))
    skills = ledger.header()["config"]["new_prompts"]["skills"]
    candidates = check_new_prompts(ledger, 1)
    assert all(len({*c.shown}) == 2 and {*c.shown} <= set(skills) for c in candidates)
    groups = [outcome.group for outcome in outcomes(ledger, 1) if outcome.group is not None]
    assert len(groups) >= 4 and all(len(group.responses) == 1 for group in groups)
    learned = ledger.manifest(1)["learn"]
    assert learned["pairs_trained"] == 3 * len(groups) and learned["loss"] > 0


def test_self_rip_writes_prompts_by_the_example_of_those_that_survived(play: Callable[..., Ledger]) -> None:
    """24 prompts of the file, then eight new ones; each of these was written after eight survivors. So that there are
    as many, only the median of rejected scores is a threshold here: it leaves half of the pairs, or more with ties."""
    sizes = (
        "run.rounds=2", "phases.rip.prompts_per_round=24", "phases.self_rip.prompts_per_round=8",
        "generation.samples_per_prompt=6", "learner.pairs_per_step=2",
        "filter.rejected_length.at=0.0", "filter.margin.at=1.0",
    )  # fmt: skip
    ledger = play("self_rip", *sizes, *loosened("phases.self_rip.new_prompts"))
    paired = {o.pair.prompt.id for o in outcomes(ledger, 1) if o.pair is not None}
    survivors = {o.pair.prompt.id for o in outcomes(ledger, 1, "selected") if o.pair is not None}
    assert survivors < paired
    candidates = check_new_prompts(ledger, 2)
    assert all(len({*c.shown}) == 8 and {*c.shown} <= survivors for c in candidates)
    assert ledger.manifest(1)["new_prompts"] is None


# --------------------------------------------------------------------------------------------------------- the judge


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


# ----------------------------------------------------------------------------------------------------- several samplers


def logps_alone(model: Any, rollout: Rollout) -> list[float]:
    """A response's log-probs in plain transformers."""
    ids, first = rollout.prompt_token_ids + rollout.token_ids, len(rollout.prompt_token_ids)
    with torch.no_grad():
        logprobs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
    return [float(logprobs[first + t - 1, token]) for t, token in enumerate(rollout.token_ids)]


def test_alma_learns_from_the_base_model_on_the_best_of_three_samplers_in_all_rounds(
    play: Callable[..., Ledger],
) -> None:
    """Two responses from each of the newest policy, the one before it and the initial one, with the log-probs of the
    weights that they name; round 2's update starts from the base model and sees the pairs of both rounds."""
    ledger = play("alma", "run.rounds=2", "run.prompts_per_round=8", "generation.samples_per_prompt=2", *ALMA_ON_TINY)
    for round in (1, 2):
        scored = scored_responses(ledger, round)
        pairs = [outcome.pair for outcome in outcomes(ledger, round) if outcome.pair is not None]
        assert len(pairs) >= 4 and all(best_over_worst(pair, scored[pair.prompt.id]) for pair in pairs)
    assert {(r.sampler, r.sample, r.policy_version) for r in sampled(ledger, 2)} == {
        ("policy", 0, 1), ("policy", 1, 1), ("previous", 2, 0), ("previous", 3, 0), ("initial", 4, 0), ("initial", 5, 0)
    }  # fmt: skip
    paths = {0: ledger.header()["initial_policy"]["path"], 1: ledger.model_path(1, "policy")}
    models = {version: AutoModelForCausalLM.from_pretrained(path) for version, path in paths.items()}
    for rollout in sampled(ledger, 2)[::7]:
        right, wrong = (logps_alone(models[v], rollout) for v in (rollout.policy_version, 1 - rollout.policy_version))
        assert list(rollout.logprobs) == pytest.approx(right, abs=1e-3) != pytest.approx(wrong, abs=1e-3)
    manifest, learnt = ledger.manifest(2), [ledger.manifest(round)["data"]["pairs"] for round in (1, 2)]
    assert manifest["start"]["sha256"] == ledger.header()["initial_policy"]["sha256"]
    assert (manifest["rounds_learnt"], manifest["learn"]["pairs_trained"]) == ([1, 2], sum(learnt))


def test_wrpo_puts_the_best_of_another_model_beside_the_policys_own_pair(
    play: Callable[..., Ledger], tmp_path: Path
) -> None:
    """First fine-tuning on the source's best alone, then triples: the source's best, the policy's best and its worst,
    all by the policy's judgment."""
    source = str(write_tiny_model(tmp_path / "source", seed=1))
    ledger = play(
        "wrpo",
        f"generation.samplers=[policy,{source}]",
        f"phases.sft.generation.samplers=[{source}]",
        *(f"phases.{name}.prompts_per_round=8" for name in ("sft", "wrpo")),
        *(f"phases.{name}.learner.pairs_per_step=2" for name in ("sft", "wrpo")),
    )
    for round in (1, 2):
        scored = scored_responses(ledger, round)
        pairs = [outcome.pair for outcome in outcomes(ledger, round) if outcome.pair is not None]
        assert len(pairs) >= 3
        for pair in pairs:
            theirs = [(r, score) for r, score in scored[pair.prompt.id] if r.sampler == source]
            own = [(r, score) for r, score in scored[pair.prompt.id] if r.sampler == "policy"]
            assert len(theirs) == 5 and len(own) == (0, 5)[round - 1]
            if round == 1:
                assert pair.source is None and best_over_worst(pair, theirs)
                continue
            assert best_over_worst(pair, own) and pair.source is not None
            of = {r.sample: score for r, score in scored[pair.prompt.id]}
            assert of[pair.source.sample] == max(score for _, score in theirs) > of[pair.rejected.sample]
    assert ledger.manifest(2)["samplers"][source]["version"] == -1
    assert "wrpo/margins" in ledger.manifest(2)["learn"]


def test_temporal_self_rewarding_anchors_rejected_and_improves_chosen_responses(play: Callable[..., Ledger]) -> None:
    """Round 1: the policy's best over the lowest of both; round 2: the same prompts and rejected responses, chosen the
    best of before and of round 1's policy, scored and trained by the policy that round 1 began with."""
    ledger = play("temporal_self_rewarding", "run.rounds=2", "run.prompts_per_round=8", "learner.pairs_per_step=2")
    first = {o.pair.prompt.id: o.pair for o in outcomes(ledger, 1) if o.pair is not None}
    scored, future = scored_responses(ledger, 1), scored_responses(ledger, 2)
    assert len(first) >= 4
    for prompt_id, pair in first.items():
        of = {r.sample: score for r, score in scored[prompt_id]}
        own, initial = ([s for r, s in scored[prompt_id] if r.sampler == name] for name in ("policy", "initial"))
        assert len(own) == len(initial) == 7 and pair.chosen.sampler == "policy"
        assert (of[pair.chosen.sample], of[pair.rejected.sample]) == (max(own), min(own + initial))
        assert (pair.rejected.sampler == "initial") == (min(initial) < min(own))
    second = {o.pair.prompt.id: o.pair for o in outcomes(ledger, 2) if o.pair is not None}
    assert second.keys() == first.keys()
    for prompt_id, pair in second.items():
        before = {r.sample: score for r, score in scored[prompt_id]}
        old, best = before[first[prompt_id].chosen.sample], max(score for _, score in future[prompt_id])
        assert pair.rejected.token_ids == first[prompt_id].rejected.token_ids
        assert (pair.chosen.policy_version, pair.chosen.sampler) == (
            (1, "latest") if best > old else (0, "chosen_before")
        )
        assert pair.margin == pytest.approx(max(old, best) - before[first[prompt_id].rejected.sample], abs=2e-6)
    assert ledger.manifest(2)["start"]["version"] == ledger.manifest(2)["reference"]["version"] == 0


# -------------------------------------------------------------------------------------------------- published policies


@pytest.mark.parametrize(
    "how", ["learner.zero_stage=0", "learner.zero_stage=3", "learner.lora={rank: 4, alpha: 8, target_modules: []}"]
)
def test_what_is_published_and_synced_is_the_extrapolation_of_what_was_trained(
    how: str, engine: OneEngine, tiny_model: Path, tmp_path: Path
) -> None:
    """ExPO, θ₁ + 0.5(θ₁ − θ₀), in plain torch on the same round without it; at α = 0 to the bit what was trained. A
    sync of anything else would have stopped the run."""

    def run(name: str, *more: str) -> Ledger:
        words = ["model=local", f"model.path={tiny_model}", "recipe=self_rewarding", *SIZES, *ONE_PHASE, how, *more]
        return engine.run(
            load_config([*words, "learner.learning_rate=1e-3", f"run.root={tmp_path}", f"run.name={name}"])
        )

    origin = ", origin: start, metric: loss}"
    plain, same = run("plain"), run("same", "learner.extrapolation={alphas: [0.0]" + origin)
    further = run("further", "learner.extrapolation={alphas: [0.5]" + origin)
    trained = plain.manifest(1)["policy"]["sha256"]
    assert trained == same.manifest(1)["policy"]["sha256"] == further.manifest(1)["trained"]["sha256"]
    before, after = (tensors_in(path) for path in (tiny_model, plain.model_path(1, "policy")))
    found = tensors_in(further.model_path(1, "policy"))
    assert_close(found, {name: w + 0.5 * (w - before[name]) for name, w in after.items()}, atol=1e-6)
    assert furthest(found, after) > 1e-5


def test_the_best_extrapolation_on_held_out_pairs_is_published_then_averaged_rounds(
    play: Callable[..., Ledger],
) -> None:
    """Every α is measured by the objective on round 0's pairs, and the lowest loss wins. Averages of two rounds name
    both policies, and the second round goes on from the first's."""
    extrapolation = "learner.extrapolation={alphas: [0.0, 0.5, 2.0], origin: initial, metric: loss}"
    tried = play("self_rewarding", *ONE_PHASE, "learner.learning_rate=1e-3", extrapolation).manifest(1)["extrapolation"]
    losses = {one["alpha"]: one["loss"] for one in tried["measured"]}
    assert list(losses) == [0.0, 0.5, 2.0] and len(set(losses.values())) == 3
    assert losses[tried["alpha"]] == min(losses.values())
    sizes = ("run.rounds=2", "run.prompts_per_round=8", "learner.pairs_per_step=2", "learner.learning_rate=1e-3")
    averaged = play("simpo", *sizes, "learner.average_rounds=2").manifest(2)
    assert [policy["version"] for policy in averaged["averaged"]] == [2, 1]
    assert averaged["policy"]["sha256"] not in {policy["sha256"] for policy in averaged["averaged"]}
