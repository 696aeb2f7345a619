"""Policy gradients on real DeepSpeed, one rank: a step is the papers' equations, its critic is the one it names, and
what a round leaves in files is all that the next one, or the same one after a crash, needs."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest
import torch
from support.learner_host import RemoteLearner, start_of, written
from support.tiny_model import write_moved
from support.updates import (
    POLICY_GRADIENT,
    Learners,
    assert_close,
    assert_equal,
    config_of,
    exported,
    furthest,
    groups,
    pairs,
    ref,
    scorer_at,
    steps_by_hand,
    tensors_in,
    weights_of,
)
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from roundelay.orchestrator.data.records import PolicyRef, TokenSequence, TrainingExample
from roundelay.recipes.objectives.ppo import PpoObjective

pytestmark = pytest.mark.slow

GROUPS = groups(6)
PAIRS = pairs(6)
PPO = ("objective=ppo", *POLICY_GRADIENT)


@pytest.fixture(scope="module")
def reference(tiny_model: Path) -> PolicyRef:
    return ref(tiny_model)


@pytest.fixture(scope="module")
def policy(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> PolicyRef:
    """A policy near its reference."""
    return ref(write_moved(tiny_model, tmp_path_factory.mktemp("models") / "moved", scale=0.02, seed=1))


@pytest.fixture(scope="module")
def reward_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> PolicyRef:
    """Of another backbone than the policy's, with a head of its own."""
    directory = tmp_path_factory.mktemp("models")
    backbone = write_moved(tiny_model, directory / "backbone", scale=0.02, seed=2)
    torch.manual_seed(3)
    scorer_at(backbone).save_pretrained(directory / "reward-model")
    return ref(directory / "reward-model")


def prepare(learner: RemoteLearner, examples: Sequence[TrainingExample] = GROUPS) -> None:
    """The round in two shards, the second small."""
    learner.prepare(examples[:5], False)
    learner.prepare(examples[5:], True)


def values_in(checkpoint: Path) -> dict[str, Tensor]:
    """The critic's values that the update prepared, by example."""
    prefix = "prepared/values/"
    return {name.removeprefix(prefix): t for name, t in tensors_in(checkpoint).items() if name.startswith(prefix)}


def critic_of(learner: RemoteLearner, path: Path) -> dict[str, Tensor]:
    learner.save_critic(str(path))
    return tensors_in(path)


# ------------------------------------------------------------------------------------------ PPO's step in plain PyTorch


def logps_alone(model: Any, one: TokenSequence) -> Tensor:
    """From full logits, a sequence at a time."""
    logprobs = model(torch.tensor([one.prompt_token_ids + one.token_ids])).logits[0].log_softmax(-1)
    first = len(one.prompt_token_ids) - 1
    return torch.stack([logprobs[first + t, token] for t, token in enumerate(one.token_ids)])


def values_alone(backbone: Any, head: nn.Linear, one: TokenSequence) -> Tensor:
    """Of the states before each response token."""
    hidden = backbone(torch.tensor([one.prompt_token_ids + one.token_ids])).last_hidden_state[0]
    return head(hidden[len(one.prompt_token_ids) - 1 : -1])[:, 0]


def whitened(values: Sequence[Sequence[float]], centre: float) -> list[list[float]]:
    """With unit variance over all, and this mean."""
    flat = [value for part in values for value in part]
    return [[(value - mean(flat)) / stdev(flat) + centre for value in part] for part in values]


class PpoByHand:
    """Models in plain transformers, and PPO on `GROUPS` as it stands in its papers."""

    def __init__(self, objective: PpoObjective, policy: PolicyRef, reference: PolicyRef, critic_from: PolicyRef | None):
        self.objective = objective
        self.policy: Any = AutoModelForCausalLM.from_pretrained(policy.path)
        self.reference: Any = AutoModelForCausalLM.from_pretrained(reference.path)
        self.critic: Any = scorer_at((critic_from or policy).path)
        if critic_from is None:
            nn.init.zeros_(self.critic.score.weight)
        self.shared = objective.critic == "shared"
        self.sequences = [one for group in GROUPS for one in group.sequences]

    def values(self, one: TokenSequence) -> Tensor:
        return values_alone(self.policy.model if self.shared else self.critic.model, self.critic.score, one)

    def values_by_example(self) -> dict[str, Tensor]:
        with torch.no_grad():
            return {group.id: torch.cat([self.values(one) for one in group.sequences]) for group in GROUPS}

    def critic_weights(self) -> dict[str, Tensor]:
        weights = weights_of(self.critic)
        return {"score.weight": weights["score.weight"]} if self.shared else weights

    def steps(self, number: int, learning_rate: float) -> list[float]:
        """Steps on the whole round. Returns the loss before each."""
        ppo = self.objective
        with torch.no_grad():
            old = [logps_alone(self.policy, one) for one in self.sequences]
            kl = [(o - logps_alone(self.reference, one)).tolist() for o, one in zip(old, self.sequences, strict=True)]
            old_values = [self.values(one) for one in self.sequences]
        assert min(map(min, kl)) < -0.1 and max(map(max, kl)) > 0.1, "a KL of one sign does not show its clamp"
        # r_t = −k·max(log π − log r, 0), and the score with the last token (arXiv 1909.08593, eq. 2)
        rewards = [[-ppo.kl_coefficient * max(value, 0.0) for value in response] for response in kl]
        scores = [score for group in GROUPS for score in group.scores]
        for response, score in zip(rewards, scores, strict=True):
            response[-1] += score
        rewards = whitened(rewards, mean(value for response in rewards for value in response))
        # A_t = δ_t + γλ·A_{t+1} with δ_t = r_t + γ·V_{t+1} − V_t (arXiv 1506.02438, eq. 16); G = A + V
        advantages: list[list[float]] = []
        for response, values in zip(rewards, old_values, strict=True):
            backwards: list[float] = []
            advantage = following = 0.0
            for reward, value in zip(reversed(response), reversed(values.tolist()), strict=True):
                advantage = reward + ppo.gamma * following - value + ppo.gamma * ppo.lam * advantage
                backwards.append(advantage)
                following = value
            advantages.append(backwards[::-1])
        returns = [torch.tensor(a) + values for a, values in zip(advantages, old_values, strict=True)]
        weights = [torch.tensor(response) for response in whitened(advantages, 0.0)]

        def loss() -> Tensor:
            """The mean over tokens of eq. 7 of arXiv 1707.06347, and of the clipped value loss."""
            terms = []
            for i, one in enumerate(self.sequences):
                ratio = (logps_alone(self.policy, one) - old[i]).exp()
                terms.append(-torch.minimum(ratio * weights[i], ratio.clamp(1 - ppo.clip, 1 + ppo.clip) * weights[i]))
                values = self.values(one)
                clipped = old_values[i] + (values - old_values[i]).clamp(-ppo.value_clip, ppo.value_clip)
                squares = torch.maximum((values - returns[i]) ** 2, (clipped - returns[i]) ** 2)
                terms[-1] = terms[-1] + ppo.value_weight * 0.5 * squares
            return torch.cat(terms).mean()

        trained = [self.policy, self.critic.score if self.shared else self.critic]
        return steps_by_hand(trained, loss, steps=number, learning_rate=learning_rate)


@pytest.mark.parametrize("start", ["reward model", "policy"])
@pytest.mark.parametrize("critic", ["separate", "shared"])
def test_ppo_is_its_papers_equations_and_its_critic_starts_where_it_is_told(
    learners: Learners,
    policy: PolicyRef,
    reference: PolicyRef,
    reward_model: PolicyRef,
    tiny_model: Path,
    tmp_path: Path,
    critic: str,
    start: str,
):
    """Two steps on the round, the second with ratios and values beyond their clips; then the next round's critic goes
    on with the values that this round's has at its end."""
    config = config_of(
        tiny_model, *PPO, f"objective.critic={critic}", "objective.kl_coefficient=0.1", "objective.gamma=0.98",
        "objective.lam=0.9", "objective.value_weight=0.5", "objective.value_clip=0.05", "learner.learning_rate=1e-2",
    )  # fmt: skip
    assert isinstance(config.objective, PpoObjective)
    critic_from = reward_model if start == "reward model" else None
    learner = learners(config, start_of(policy, reference, critic=critic_from))
    hand = PpoByHand(config.objective, policy, reference, critic_from)
    before, initial = weights_of(hand.policy), hand.values_by_example()
    prepare(learner)
    reports = [learner.update(GROUPS, True)[0] for _ in range(2)]
    expected = hand.steps(2, learning_rate=1e-2)

    learner.save_checkpoint(str(tmp_path / "checkpoint"))
    assert_close(values_in(tmp_path / "checkpoint"), initial, atol=1e-5)
    assert any(bool(values.any()) for values in initial.values()) == (start == "reward model")
    num_tokens = sum(len(one.token_ids) for group in GROUPS for one in group.sequences)
    for report, loss in zip(reports, expected, strict=True):
        assert sum(row["loss"] for row in report.rows) / num_tokens == pytest.approx(loss, abs=1e-5)
    for name in ("policy/clipfrac_avg", "val/clipfrac_avg"):
        assert not any(row[name] for row in reports[0].rows) and any(row[name] for row in reports[1].rows)
    assert_close(exported(learner), weights_of(hand.policy), atol=1e-5)
    assert_close(critic_of(learner, tmp_path / "critic"), hand.critic_weights(), atol=1e-5)
    assert furthest(weights_of(hand.policy), before) > 1e-3

    learner.save_policy(str(tmp_path / "policy"))
    following = start_of(
        ref(tmp_path / "policy", version=1), reference, round=2, critic=ref(tmp_path / "critic", version=1)
    )
    learner.begin(following)
    prepare(learner)
    learner.update(GROUPS, True)
    learner.save_checkpoint(str(tmp_path / "next"))
    assert_close(values_in(tmp_path / "next"), hand.values_by_example(), atol=1e-4)


# ----------------------------------------------------------------------------------------------- stopping and going on


@pytest.mark.parametrize(
    ("zero_stage", "overrides"),
    [
        (0, PPO),
        (1, PPO),
        (1, (*PPO, "objective.critic=shared")),
        (1, ("objective=grpo", *POLICY_GRADIENT, "pairing.min_responses=2")),
        (1, (*PPO, "learner.lora={rank: 4, alpha: 8, target_modules: []}")),
        (3, PPO),
    ],
    ids=["ppo, ZeRO-0", "ppo, ZeRO-1", "ppo with a shared critic", "grpo", "ppo with adapters", "ppo, ZeRO-3"],
)
def test_an_update_goes_on_from_its_checkpoint_as_if_never_stopped(
    learners: Learners,
    policy: PolicyRef,
    reference: PolicyRef,
    tiny_model: Path,
    tmp_path: Path,
    zero_stage: int,
    overrides: tuple[str, ...],
):
    """After the first of two epochs. What was prepared is in the checkpoint: nothing is measured again, under weights
    that have moved."""
    config = config_of(tiny_model, *overrides, f"learner.zero_stage={zero_stage}")
    start = start_of(policy, reference if config.objective.reference.policy == "initial" else None)
    whole, broken, again = (learners(config, start) for _ in range(3))
    for learner in (whole, broken):
        prepare(learner)
        learner.update(GROUPS, True)
    broken.save_checkpoint(str(tmp_path / "checkpoint"))
    again.restore(start, written(tmp_path / "checkpoint"))
    reports = [learner.update(GROUPS, True)[0] for learner in (whole, again)]
    assert reports[0].rows == reports[1].rows and reports[1].step == 2
    assert_equal(exported(again), exported(whole))
    if isinstance(config.objective, PpoObjective):
        assert_equal(critic_of(again, tmp_path / "again"), critic_of(whole, tmp_path / "whole"))


@pytest.mark.parametrize("zero_stage", [0, 1])
def test_an_update_that_is_stopped_twice_goes_on_as_if_never_stopped(
    learners: Learners, policy: PolicyRef, tiny_model: Path, tmp_path: Path, zero_stage: int
):
    """The second checkpoint is of an update that came from the first: Adam has made two steps then, not more."""
    config = config_of(tiny_model, f"learner.zero_stage={zero_stage}", "learner.pairs_per_step=2")
    start = start_of(policy, policy)
    whole, broken, again, at_last = (learners(config, start) for _ in range(4))
    whole.update(PAIRS, True)
    broken.update(PAIRS[:2], True)
    broken.save_checkpoint(str(tmp_path / "first"))
    again.restore(start, written(tmp_path / "first"))
    again.update(PAIRS[2:4], True)
    again.save_checkpoint(str(tmp_path / "second"))
    at_last.restore(start, written(tmp_path / "second"))
    at_last.update(PAIRS[4:], True)
    assert_equal(exported(at_last), exported(whole))


@pytest.mark.parametrize("zero_stage", [0, 1])
def test_an_optimizer_that_is_carried_through_files_goes_on_as_in_one_update(
    learners: Learners, policy: PolicyRef, reference: PolicyRef, tiny_model: Path, tmp_path: Path, zero_stage: int
):
    """Three rounds of one step each, against the same reference; with a new optimizer every round they differ."""
    config = config_of(
        tiny_model, "objective.reference.policy=initial", "learner.optimizer=carried",
        f"learner.zero_stage={zero_stage}", "learner.pairs_per_step=2",
    )  # fmt: skip
    whole = learners(config, start_of(policy, reference))
    whole.update(PAIRS, True)

    def in_rounds(name: str, carried: bool) -> dict[str, Tensor]:
        start = start_of(policy, reference)
        learner = learners(config, start)
        for round in (1, 2, 3):
            directory = tmp_path / name / str(round)
            learner.update(PAIRS[2 * round - 2 : 2 * round], True)
            learner.save_checkpoint(str(directory / "optimizer"))
            learner.save_policy(str(directory / "policy"))
            optimizer = written(directory / "optimizer", round) if carried else None
            start = replace(start, round=round, policy=ref(directory / "policy", round), optimizer=optimizer)
            if round < 3:
                learner.begin(start)
        return exported(learner)

    expected = exported(whole)
    assert_equal(in_rounds("carried", True), expected)
    assert furthest(in_rounds("fresh", False), expected) > 1e-5


# ------------------------------------------------------------------------------------------------------------ measuring


@pytest.mark.parametrize("zero_stage", [1, 3])
def test_measuring_changes_nothing_and_is_the_loss_of_the_next_step(
    learners: Learners, policy: PolicyRef, reference: PolicyRef, tiny_model: Path, zero_stage: int
):
    """Before the first step, and between two."""
    config = config_of(tiny_model, f"learner.zero_stage={zero_stage}")
    plain, measuring = (learners(config, start_of(policy, reference)) for _ in range(2))
    for _ in range(2):
        measured = measuring.measure(PAIRS)
        reports = [learner.update(PAIRS, True)[0] for learner in (plain, measuring)]
        assert measured == list(reports[0].rows) == list(reports[1].rows)
    assert_equal(exported(measuring), exported(plain))


def test_what_is_measured_is_not_taken_for_what_is_learnt(
    learners: Learners, policy: PolicyRef, reference: PolicyRef, tiny_model: Path
):
    """Held-out prompts come from another file and may have the ids of training prompts (rows are often numbered): the
    reference's log-probs of the one are not the other's."""
    heldout = [replace(pair, sequences=pair.sequences[::-1]) for pair in PAIRS]
    plain, measuring = (learners(config_of(tiny_model), start_of(policy, reference)) for _ in range(2))
    measuring.measure(heldout)
    reports = [learner.update(PAIRS, True)[0] for learner in (plain, measuring)]
    assert reports[0].rows == reports[1].rows
