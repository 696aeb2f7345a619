"""Our objectives equal TRL's own code, run here on the same responses: loss, gradient and metrics, to 1e-6.

TRL's trainers are made without `__init__` (no dataset, no optimizer), and their real collators and loss methods are
called. The model is a table of next-token logits by token, in float64 (TRL's fused head is float32, and is compared on
its own); ours are computed from that table without padding. TRL 1.16 has no PPO: its clipped token loss is compared
with GRPO's; the value loss, GAE and whitening are not compared.
"""

from collections import defaultdict
from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PretrainedConfig
from trl.experimental.cpo import CPOTrainer
from trl.experimental.orpo import ORPOTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference, DPOTrainer
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference, KTOTrainer
from trl.trainer.reward_trainer import RewardTrainer
from trl.trainer.rloo_trainer import RLOOTrainer
from trl.trainer.utils import FusedCausalLMOutput, add_fused_lm_head

from roundelay.recipes.losses.advantages import grpo_advantages, kl_penalty, rloo_advantages, scale_by
from roundelay.recipes.losses.batches import Loss, PairBatch, TokenBatch
from roundelay.recipes.losses.pairwise import cdpo, dpo, hinge, ipo, rdpo, soft_labels, sppo
from roundelay.recipes.losses.policy_gradient import aggregate, kl_k3, ppo_policy_loss, sequence_policy_loss
from roundelay.recipes.losses.reference_free import orpo, simpo, slic
from roundelay.recipes.losses.reward_models import bradley_terry
from roundelay.recipes.losses.self_labelled import cream, spa
from roundelay.recipes.losses.supervised import nll
from roundelay.recipes.losses.unpaired import kto, kto_kl
from roundelay.recipes.losses.weighting import pair_weights, wpo_weights

VOCABULARY = 7
BETA = 0.3

# prompt, chosen, rejected: token ids, every length its own. 0 pads.
PAIRS = [
    ([1, 2], [3, 4, 5, 6], [2, 1]),
    ([4], [6, 2], [5, 5, 1, 3, 2]),
    ([3, 3, 1], [2], [4, 6, 1]),
    ([5, 6], [1, 1, 2, 4, 6, 3], [3, 2, 6, 5]),
    ([6, 1, 2, 4], [5, 3, 3], [1]),
]


class Bigram(nn.Module):
    """A language model whose next-token logits are the current token's row of a table."""

    is_gradient_checkpointing = False

    def __init__(self, seed: int) -> None:
        super().__init__()
        table = torch.randn(VOCABULARY, VOCABULARY, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        self.table = nn.Embedding.from_pretrained(table, freeze=False)

    def forward(self, input_ids: Tensor, labels: Tensor | None = None, **flags: object) -> Any:
        """Logits, or what TRL's fused head makes of them: fields that are 0 where the label is −100."""
        logits = self.table(input_ids)
        if not flags.get("fused_lm_head"):
            return SimpleNamespace(logits=logits)
        assert labels is not None
        logits, labels = logits[:, :-1], labels[:, 1:]
        logps = logits.log_softmax(-1)
        fields = {
            "log_probs": logps.gather(-1, labels.clamp(min=0)[..., None]).squeeze(-1),
            "entropy": -(logps.exp() * logps).sum(-1),
            "log_sum_sq_probs": (logps.exp() ** 2).sum(-1).log().detach(),
            "mean_logits": logits.mean(-1).detach(),
            "is_top1": logits.argmax(-1) == labels,
        }
        return FusedCausalLMOutput(**{name: values.masked_fill(labels == -100, 0) for name, values in fields.items()})

    def gradient(self) -> Tensor:
        """The table's gradient, taken off it."""
        gradient = self.table.weight.grad
        assert gradient is not None
        self.table.weight.grad = None
        return gradient

    # Ours: nothing of TRL's from here on.

    def logps(self, prompt: list[int], completion: list[int]) -> Tensor:
        """Log-probs of the completion's tokens."""
        before, after = [prompt[-1], *completion[:-1]], completion
        return self.table.weight.log_softmax(-1)[before, after]

    def log_collisions(self, prompt: list[int], completion: list[int]) -> Tensor:
        """log Σ_v π(v)² where the completion's tokens are predicted."""
        return (self.table.weight.softmax(-1) ** 2).sum(-1).log()[[prompt[-1], *completion[:-1]]]


class OneProcess:
    """The part of `accelerate.Accelerator` that the losses use."""

    device = torch.device("cpu")
    num_processes = 1
    process_index = 0
    is_main_process = True
    sync_gradients = True

    @staticmethod
    def gather(values: Tensor) -> Tensor:
        return values

    gather_for_metrics = gather

    @staticmethod
    def reduce(values: Tensor, reduction: str) -> Tensor:
        return values

    @staticmethod
    def autocast() -> nullcontext[None]:
        return nullcontext()


def trainer_of(trainer_class: Any, model: nn.Module | None, **attributes: object) -> Any:
    """A trainer without its `__init__`, with what every loss method reads; `attributes` are the test's own."""
    trainer = object.__new__(trainer_class)
    common = {
        "model": model,
        "accelerator": OneProcess(),
        "aux_loss_enabled": False,
        "_metrics": {"train": defaultdict(list), "eval": defaultdict(list)},
        "_total_train_tokens": 0,
        "_tp_size": 1,
    }
    for name, value in (common | attributes).items():
        setattr(trainer, name, value)
    return trainer


@pytest.fixture
def policy() -> Bigram:
    return Bigram(seed=1)


@pytest.fixture
def reference() -> Bigram:
    return Bigram(seed=2)


def same(expected: object) -> Any:
    return pytest.approx(expected, rel=1e-6, abs=1e-6)


def sums(model: Bigram, side: int, pairs: list[Any]) -> Tensor:
    return torch.stack([model.logps(pair[0], pair[side]).sum() for pair in pairs])


def pair_batch(policy: Bigram, reference: Bigram | None, pairs: list[Any]) -> PairBatch:
    """The pairs as our objectives take them. Without a reference, the fields it would fill are no numbers at all."""
    none = torch.full((len(pairs),), torch.nan, dtype=torch.float64)
    return PairBatch(
        chosen_B=sums(policy, 1, pairs),
        rejected_B=sums(policy, 2, pairs),
        reference_chosen_B=none if reference is None else sums(reference, 1, pairs).detach(),
        reference_rejected_B=none if reference is None else sums(reference, 2, pairs).detach(),
        chosen_lengths_B=torch.tensor([float(len(pair[1])) for pair in pairs]),
        rejected_lengths_B=torch.tensor([float(len(pair[2])) for pair in pairs]),
    )


def token_batch(policy: Bigram, prompts: list[list[int]], completions: list[list[int]]) -> TokenBatch:
    logps = [policy.logps(prompt, completion) for prompt, completion in zip(prompts, completions, strict=True)]
    rows = [torch.full((len(completion),), row) for row, completion in enumerate(completions)]
    return TokenBatch(
        logps_N=torch.cat(logps),
        rows_N=torch.cat(rows),
        weights_N=torch.ones(sum(map(len, completions))),
        num_responses=len(completions),
    )


def assert_equal_with_gradient(model: Bigram, theirs: Tensor, ours: Tensor, *, may_be_flat: bool = False) -> None:
    """The same loss, and the same gradient in every logit of the policy; not zero, unless it may be."""
    assert ours.item() == same(theirs.item())
    theirs.backward()
    their_gradient = model.gradient()
    ours.backward()
    our_gradient = model.gradient()
    assert our_gradient.numpy() == same(their_gradient.numpy())
    assert may_be_flat or their_gradient.abs().max() > 1e-3


class FusedBigram(Bigram):
    """The same table, in float32 under TRL's own head."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.config = PretrainedConfig()
        self.head = nn.Linear(VOCABULARY, VOCABULARY, bias=False)
        nn.init.eye_(self.head.weight)
        self.float()
        add_fused_lm_head(self, outputs=HEAD_FIELDS)  # pyright: ignore[reportArgumentType]

    def base_model(self, input_ids: Tensor, **_: object) -> SimpleNamespace:
        return SimpleNamespace(last_hidden_state=self.table(input_ids))

    def get_output_embeddings(self) -> nn.Linear:
        return self.head


HEAD_FIELDS = ("log_probs", "entropy", "log_sum_sq_probs", "mean_logits", "is_top1")


def test_the_models_head_is_trls_in_double_precision() -> None:
    """Log-probs of the labels and log Σ_v π(v)² among others, each for the token that follows."""
    inputs = dpo_inputs(PAIRS)
    labels = inputs["input_ids"].masked_fill(inputs["completion_mask"] == 0, -100)
    theirs = FusedBigram(seed=1)(input_ids=inputs["input_ids"], labels=labels, fused_lm_head=True)
    here = Bigram(seed=1)(input_ids=inputs["input_ids"], labels=labels, fused_lm_head=True)
    for name in HEAD_FIELDS:
        assert here[name].detach().numpy() == same(theirs[name].detach().numpy())


# DPO's losses


def dpo_trainer(policy: Bigram, reference: Bigram, *loss_types: str, **attributes: object) -> Any:
    defaults: dict[str, object] = {
        "ref_model": reference,
        "args": SimpleNamespace(gradient_checkpointing_kwargs=None),
        "precompute_ref_logps": False,
        "ld_alpha": None,
        "f_divergence_type": "reverse_kl",
        "use_weighting": False,
        "beta": BETA,
        "label_smoothing": 0.0,
        "loss_types": list(loss_types),
        "loss_weights": [1.0] * len(loss_types),
    }
    return trainer_of(DPOTrainer, policy, **defaults | attributes)


def dpo_inputs(pairs: list[Any]) -> dict[str, Tensor]:
    examples = [{"prompt_ids": prompt, "chosen_ids": won, "rejected_ids": lost} for prompt, won, lost in pairs]
    return DataCollatorForPreference(pad_token_id=0)(examples)


def hard(pairs: PairBatch) -> tuple[Tensor, Tensor]:
    return torch.ones_like(pairs.chosen_B), torch.zeros_like(pairs.chosen_B)


# TRL's loss type and label smoothing, and ours.
PAIRWISE: dict[str, tuple[str, float, Callable[[PairBatch], Loss]]] = {
    "dpo": ("sigmoid", 0.0, lambda pairs: dpo(pairs, beta=BETA)),
    "hinge": ("hinge", 0.0, lambda pairs: hinge(pairs, beta=BETA)),
    "ipo of means": ("ipo", 0.0, lambda pairs: ipo(pairs, beta=BETA, tokens="mean")),
    "rdpo": ("robust", 0.2, lambda pairs: rdpo(pairs, beta=BETA, label_smoothing=0.2)),
    "sppo": ("sppo_hard", 0.0, lambda pairs: sppo(pairs, *hard(pairs), beta=BETA)),
}


@pytest.mark.parametrize("name", PAIRWISE)
def test_pairwise_losses_are_those_of_the_dpo_trainer(name: str, policy: Bigram, reference: Bigram) -> None:
    """Of all pairs at once, and of each pair alone."""
    loss_type, label_smoothing, ours = PAIRWISE[name]
    trainer = dpo_trainer(policy, reference, loss_type, label_smoothing=label_smoothing)
    for pairs in [PAIRS, *([pair] for pair in PAIRS)]:
        theirs = trainer._compute_loss(policy, dpo_inputs(pairs), return_outputs=False)
        losses_B, _ = ours(pair_batch(policy, reference, pairs))
        assert_equal_with_gradient(policy, theirs, losses_B.mean(), may_be_flat=name == "hinge" and len(pairs) == 1)


# TRL's `aot` sorts margins over the batch: of a single pair it is (1−ε)ℓ(z) + εℓ(−z), which its `sigmoid` lacks.
SMOOTHED: dict[str, Callable[[PairBatch, float], Loss]] = {
    "cdpo": lambda pairs, flipped: cdpo(pairs, beta=BETA, label_smoothing=flipped),
    "soft_labels of dpo": lambda pairs, flipped: soft_labels(
        lambda batch: dpo(batch, beta=BETA), pairs, torch.full_like(pairs.chosen_B, 1 - flipped)
    ),
    "cream": lambda pairs, flipped: cream(pairs, torch.full_like(pairs.chosen_B, 1 - flipped), beta=BETA),
    "spa of a noisy pair": lambda pairs, flipped: spa(
        pairs, torch.zeros_like(pairs.chosen_B), 0.0, beta=BETA, label_smoothing=flipped
    ),
}


@pytest.mark.parametrize("name", SMOOTHED)
@pytest.mark.parametrize("pair", range(len(PAIRS)))
def test_smoothed_labels_are_those_of_the_dpo_trainers_aot_of_one_pair(
    name: str, pair: int, policy: Bigram, reference: Bigram
) -> None:
    flipped = 0.15
    pairs = [PAIRS[pair]]
    trainer = dpo_trainer(policy, reference, "aot", label_smoothing=flipped)
    theirs = trainer._compute_loss(policy, dpo_inputs(pairs), return_outputs=False)
    losses_B, _ = SMOOTHED[name](pair_batch(policy, reference, pairs), flipped)
    assert_equal_with_gradient(policy, theirs, losses_B.mean())


def test_trls_sigmoid_ignores_label_smoothing(policy: Bigram, reference: Bigram) -> None:
    """Why cDPO is ours and not TRL's `sigmoid`."""
    losses = [
        dpo_trainer(policy, reference, "sigmoid", label_smoothing=smoothing)._compute_loss(
            policy, dpo_inputs(PAIRS), return_outputs=False
        )
        for smoothing in (0.0, 0.4)
    ]
    assert losses[0].item() == losses[1].item()


def test_reward_metrics_are_those_of_the_dpo_trainer(policy: Bigram, reference: Bigram) -> None:
    """TRL logs the mean over pairs."""
    trainer = dpo_trainer(policy, reference, "sigmoid")
    trainer._compute_loss(policy, dpo_inputs(PAIRS), return_outputs=False)
    _, metrics = dpo(pair_batch(policy, reference, PAIRS), beta=BETA)
    theirs = {name: values for name, (values,) in trainer._metrics["train"].items() if name in metrics}
    assert theirs == {name: same(values_B.mean().item()) for name, values_B in metrics.items()}
    assert 0 < theirs["rewards/accuracies"] < 1


def test_wpo_weights_are_those_of_the_dpo_trainer(policy: Bigram, reference: Bigram) -> None:
    """TRL's `use_weighting` does not cap the weight. The weight has no gradient on either side."""
    trainer = dpo_trainer(policy, reference, "sigmoid", use_weighting=True)
    theirs = trainer._compute_loss(policy, dpo_inputs(PAIRS), return_outputs=False)
    weights = []
    for side in (1, 2):
        prompts, completions = [pair[0] for pair in PAIRS], [pair[side] for pair in PAIRS]
        collisions = [policy.log_collisions(*example) for example in zip(prompts, completions, strict=True)]
        tokens = token_batch(policy, prompts, completions)
        weights.append(wpo_weights(tokens, torch.cat(collisions), clip=False))
    losses_B, _ = dpo(pair_batch(policy, reference, PAIRS), beta=BETA)
    assert_equal_with_gradient(policy, theirs, (pair_weights(*weights, clip=False) * losses_B).mean())


def test_nll_over_the_steps_tokens_is_the_dpo_trainers_sft(policy: Bigram, reference: Bigram) -> None:
    """TRL's is the mean over all chosen tokens of the batch: our sums over the sum of the weights."""
    trainer = dpo_trainer(policy, reference, "sft")
    theirs = trainer._compute_loss(policy, dpo_inputs(PAIRS), return_outputs=False)
    losses_S, metrics = nll(token_batch(policy, [pair[0] for pair in PAIRS], [pair[1] for pair in PAIRS]))
    assert_equal_with_gradient(policy, theirs, losses_S.sum() / metrics["weights"].sum())


def test_dpo_with_nll_is_the_dpo_trainers_sum_of_the_two(policy: Bigram, reference: Bigram) -> None:
    """NLL-DPO of one pair: ℓ(z) + α·NLL_w/|y_w|."""
    trainer = dpo_trainer(policy, reference, "sigmoid", "sft", loss_weights=[1.0, 0.7])
    for pair in PAIRS:
        theirs = trainer._compute_loss(policy, dpo_inputs([pair]), return_outputs=False)
        pairs = pair_batch(policy, reference, [pair])
        losses_B, _ = dpo(pairs, beta=BETA)
        likelihoods_B, _ = nll(token_batch(policy, [pair[0]], [pair[1]]))
        assert_equal_with_gradient(policy, theirs, (losses_B + 0.7 * likelihoods_B / pairs.chosen_lengths_B).mean())


# Losses without a reference


def padded(prompt: list[int], completion: list[int], width: int) -> tuple[list[int], list[int], list[int]]:
    """Token ids, attention mask and labels of the experimental trainers' batches."""
    rest = width - len(prompt) - len(completion)
    ids = prompt + completion
    return ids + [0] * rest, [1] * len(ids) + [0] * rest, [-100] * len(prompt) + completion + [-100] * rest


def unreferenced_inputs(pairs: list[Any]) -> dict[str, Tensor]:
    batch: dict[str, Tensor] = {}
    for side, name in ((1, "chosen"), (2, "rejected")):
        width = max(len(pair[0]) + len(pair[side]) for pair in pairs)
        columns = zip(*(padded(pair[0], pair[side], width) for pair in pairs), strict=True)
        for kind, rows in zip(("input_ids", "attention_mask", "labels"), columns, strict=True):
            batch[f"{name}_{kind}"] = torch.tensor(list(rows))
    return batch


def cpo_trainer(policy: Bigram, loss_type: str, **attributes: object) -> Any:
    defaults: dict[str, object] = {
        "loss_type": loss_type,
        "beta": BETA,
        "alpha": 0.0,
        "cpo_alpha": 0.0,
        "label_smoothing": 0.0,
        "is_encoder_decoder": False,
        "pad_token_id": 0,
    }
    return trainer_of(CPOTrainer, policy, **defaults | attributes)


def test_simpo_is_that_of_the_cpo_trainer(policy: Bigram) -> None:
    """TRL's `simpo_gamma` is the margin itself, as ours; and `cpo_alpha` has to be 0. Metrics are means over pairs."""
    trainer = cpo_trainer(policy, "simpo", simpo_gamma=0.45)
    for pairs in [PAIRS, *([pair] for pair in PAIRS)]:
        theirs, their_metrics = trainer.get_batch_loss_metrics(policy, unreferenced_inputs(pairs))
        losses_B, metrics = simpo(pair_batch(policy, None, pairs), beta=BETA, gamma=0.45)
        assert_equal_with_gradient(policy, theirs, losses_B.mean())
        for name in ("rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies"):
            assert metrics[name].mean().item() == same(their_metrics[name])


def test_a_cpo_alpha_left_at_its_default_is_not_simpo(policy: Bigram) -> None:
    """At TRL's default of 1 the CPO trainer adds the chosen response's NLL."""
    trainer = cpo_trainer(policy, "simpo", simpo_gamma=0.45, cpo_alpha=1.0)
    theirs, _ = trainer.get_batch_loss_metrics(policy, unreferenced_inputs(PAIRS))
    losses_B, _ = simpo(pair_batch(policy, None, PAIRS), beta=BETA, gamma=0.45)
    assert theirs.item() > losses_B.mean().item() + 0.1


@pytest.mark.parametrize("pair", range(len(PAIRS)))
@pytest.mark.parametrize("delta", [0.5, 4.0])
def test_slic_is_the_cpo_trainers_hinge_with_its_nll(pair: int, delta: float, policy: Bigram) -> None:
    """Per pair: max(0, δ − d) = δ·max(0, 1 − d/δ), so β = 1/δ and a loss times δ; TRL's NLL is a mean over tokens, ours
    a sum, so TRL's weight is ours times the length over δ."""
    weight = 0.2
    pairs = pair_batch(policy, None, [PAIRS[pair]])
    cpo_alpha = weight * pairs.chosen_lengths_B.item() / delta
    trainer = cpo_trainer(policy, "hinge", beta=1 / delta, cpo_alpha=cpo_alpha)
    theirs, _ = trainer.get_batch_loss_metrics(policy, unreferenced_inputs([PAIRS[pair]]))
    losses_B, _ = slic(pairs, delta=delta, weight=weight)
    assert_equal_with_gradient(policy, delta * theirs, losses_B.mean())


def test_ipo_of_sums_is_that_of_the_cpo_trainer(policy: Bigram, reference: Bigram) -> None:
    """CPO's loss takes log-probs without a reference: log-ratios are given in their place."""
    trainer = cpo_trainer(policy, "ipo")
    pairs = pair_batch(policy, reference, PAIRS)
    theirs, _, _ = trainer.cpo_loss(
        pairs.chosen_B - pairs.reference_chosen_B, pairs.rejected_B - pairs.reference_rejected_B
    )
    losses_B, _ = ipo(pairs, beta=BETA, tokens="sum")
    assert losses_B.tolist() == same(theirs.tolist())


def test_cdpo_of_log_ratios_is_the_cpo_trainers_smoothed_sigmoid(policy: Bigram, reference: Bigram) -> None:
    """As above, of a whole batch."""
    trainer = cpo_trainer(policy, "sigmoid", label_smoothing=0.15)
    pairs = pair_batch(policy, reference, PAIRS)
    theirs, _, _ = trainer.cpo_loss(
        pairs.chosen_B - pairs.reference_chosen_B, pairs.rejected_B - pairs.reference_rejected_B
    )
    losses_B, _ = cdpo(pairs, beta=BETA, label_smoothing=0.15)
    assert losses_B.tolist() == same(theirs.tolist())


ORPO_METRICS = ("rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies", "log_odds_ratio")


@pytest.mark.parametrize("pair", range(len(PAIRS)))
def test_orpo_is_that_of_the_orpo_trainer(pair: int, policy: Bigram) -> None:
    """TRL's NLL includes the prompt: with a prompt of one token there is none of it to predict. Per pair, since TRL's
    NLL is a mean over the batch's tokens and ours over a response's."""
    prompt, chosen, rejected = PAIRS[pair]
    pairs = [(prompt[-1:], chosen, rejected)]
    trainer = trainer_of(ORPOTrainer, policy, beta=0.25, is_encoder_decoder=False, padding_value=0)
    theirs, their_metrics = trainer.get_batch_loss_metrics(policy, unreferenced_inputs(pairs))
    losses_B, metrics = orpo(pair_batch(policy, None, pairs), weight=0.25)
    assert_equal_with_gradient(policy, theirs, losses_B.mean())
    for name in (*ORPO_METRICS, "log_odds_chosen", "nll_loss"):
        assert metrics[name].mean().item() == same(their_metrics[name])


# Unpaired


def kto_case(policy: Bigram, reference: Bigram, trainer: Any) -> tuple[Tensor, Tensor, Loss]:
    """TRL's loss, our KL, and our loss: the first response of each pair is desirable, the second is not, and each
    prompt's mismatched response is the next example's."""
    examples = [(pair[0], pair[side], side == 1) for side in (1, 2) for pair in PAIRS]
    mismatched = [examples[(index + 1) % len(examples)][1] for index in range(len(examples))]
    rows = [
        {"prompt_ids": prompt, "completion_ids": completion, "KL_completion_ids": other, "label": label}
        for (prompt, completion, label), other in zip(examples, mismatched, strict=True)
    ]
    inputs = DataCollatorForUnpairedPreference(pad_token_id=0)(rows)
    theirs = trainer._compute_loss(policy, inputs, return_outputs=False)

    def log_ratios(completions: list[list[int]]) -> Tensor:
        prompts = [prompt for prompt, _, _ in examples]
        differences = [
            (policy.logps(*example) - reference.logps(*example).detach()).sum()
            for example in zip(prompts, completions, strict=True)
        ]
        return torch.stack(differences)

    kl = kto_kl(log_ratios(mismatched))
    ours = kto(
        log_ratios([completion for _, completion, _ in examples]),
        torch.tensor([label for _, _, label in examples]),
        kl,
        beta=BETA,
        desirable_weight=1.3,
        undesirable_weight=0.8,
    )
    return theirs, kl, ours


@pytest.mark.parametrize("swapped", [False, True], ids=["KL 0", "KL positive"])
def test_kto_is_that_of_the_kto_trainer(swapped: bool, policy: Bigram, reference: Bigram) -> None:
    """With the policy and the reference in each other's place, the mean mismatched log-ratio changes its sign."""
    model, against = (reference, policy) if swapped else (policy, reference)
    trainer = trainer_of(
        KTOTrainer,
        model,
        ref_model=against,
        args=SimpleNamespace(gradient_checkpointing_kwargs=None),
        precompute_ref_logps=False,
        calculate_KL=True,
        loss_type="kto",
        beta=BETA,
        desirable_weight=1.3,
        undesirable_weight=0.8,
    )
    theirs, kl, (losses_S, metrics) = kto_case(model, against, trainer)
    assert_equal_with_gradient(model, theirs, losses_S.mean())
    logged = {name: values[-1] for name, values in trainer._metrics["train"].items()}
    assert kl.item() == same(logged["kl"])
    assert (kl.item() > 0.01) == swapped
    for name in ("rewards/chosen", "rewards/rejected"):
        assert metrics[name].nanmean().item() == same(logged[name])


# Reward models


@pytest.mark.parametrize("centring", [None, 0.02])
@pytest.mark.parametrize("margins", [None, [0.5, 0.1, 1.2, 0.3]])
def test_bradley_terry_is_that_of_the_reward_trainer(centring: float | None, margins: list[float] | None) -> None:
    scores = torch.tensor([1.0, -0.5, 2.5, 0.3, 0.2, 0.4, -1.0, 1.9], requires_grad=True)  # chosen, then rejected

    class Scores(nn.Module):
        def forward(self, **_: object) -> SimpleNamespace:
            return SimpleNamespace(logits=scores[:, None])

    model = Scores()
    trainer = trainer_of(RewardTrainer, model, args=SimpleNamespace(center_rewards_coefficient=centring))
    inputs = {"attention_mask": torch.ones(8, 2)} | ({} if margins is None else {"margin": torch.tensor(margins)})
    theirs = trainer.compute_loss(model, inputs)
    losses_B, metrics = bradley_terry(
        scores[:4],
        scores[4:],
        margins_B=None if margins is None else torch.tensor(margins),
        centring=0.0 if centring is None else centring,
    )
    assert losses_B.mean().item() == same(theirs.item())
    (their_gradient,) = torch.autograd.grad(theirs, scores)
    (our_gradient,) = torch.autograd.grad(losses_B.mean(), scores)
    assert our_gradient.tolist() == same(their_gradient.tolist())
    logged = {name: values for name, (values,) in trainer._metrics["train"].items() if name in metrics}
    assert logged == {name: same(values_B.mean().item()) for name, values_B in metrics.items()}


# Policy gradients

REWARDS = [0.3, 1.0, -0.4, 0.9, 2.0, 2.0, 2.0, 2.0, -1.5, 0.1, 0.2, 0.4]  # three groups of four; one without a signal
GROUP = 4
SAMPLED = [pair[side] for side in (1, 2, 1, 2) for pair in PAIRS[:3]]
SAMPLED_PROMPTS = [pair[0] for _ in range(4) for pair in PAIRS[:3]]


def sampling_trainer(trainer_class: Any, model: Bigram, rewards: list[float], **attributes: object) -> Any:
    """A trainer that generates `SAMPLED` and scores it with the rewards given; the rest is its own code."""
    defaults: dict[str, object] = {
        "_tokenizer": SimpleNamespace(pad_token_id=0),
        "pad_to_multiple_of": None,
        "mask_truncated_completions": False,
        "args": SimpleNamespace(
            per_device_train_batch_size=len(SAMPLED),
            gradient_checkpointing_kwargs=None,
            gradient_accumulation_steps=1,
            steps_per_generation=1,
        ),
        "num_iterations": 1,
        "num_generations": GROUP,
        "use_vllm": False,
        "reward_weights": torch.ones(1),
        "reward_func_names": ["score"],
        "reward_funcs": [None],
        "tools": None,
        "environments": None,
        "environment_factories": None,
        "_logs": {name: defaultdict(list) if name in ("rewards", "extra") else [] for name in LOGS},
        "_pending_extra_logs": defaultdict(list),
        "_pending_metrics": defaultdict(list),
        "_calculate_rewards": lambda *_: torch.tensor(rewards)[:, None],
    }
    return trainer_of(trainer_class, model, **defaults | attributes)


LOGS = ("prompt", "completion", "advantages", "rewards", "extra", "images")


def grpo_scored(model: Bigram, rewards: list[float], **attributes: object) -> Tensor:
    """The advantages that the GRPO trainer computes from rewards."""
    sampled = (SAMPLED_PROMPTS, SAMPLED, None, ["" for _ in SAMPLED], None, {}, None, None)
    trainer = sampling_trainer(
        GRPOTrainer,
        model,
        rewards,
        _generate=lambda _: sampled,
        beta=0.0,
        multi_objective_aggregation="sum_then_normalize",
        **attributes,
    )
    return trainer._generate_and_score_completions([{"prompt": ""} for _ in SAMPLED])["advantages"]


def groups(rewards: list[float]) -> list[Tensor]:
    return list(torch.tensor(rewards).view(-1, GROUP))


@pytest.mark.parametrize("scale", ["group", "none"])
def test_grpo_advantages_are_those_of_the_grpo_trainer(scale: Any, policy: Bigram) -> None:
    theirs = grpo_scored(policy, REWARDS, scale_rewards=scale)
    ours = torch.cat([grpo_advantages(rewards_K, scale=scale) for rewards_K in groups(REWARDS)])
    assert ours.tolist() == same(theirs.tolist())
    assert ours[GROUP : 2 * GROUP].tolist() == [0.0] * GROUP


def test_advantages_scaled_by_the_batch_are_those_of_the_grpo_trainer(policy: Bigram) -> None:
    theirs = grpo_scored(policy, REWARDS, scale_rewards="batch")
    centred = torch.cat([grpo_advantages(rewards_K, scale="none") for rewards_K in groups(REWARDS)])
    assert scale_by(centred, torch.tensor(REWARDS).std()).tolist() == same(theirs.tolist())


def test_unscored_responses_count_as_in_the_grpo_trainer(policy: Bigram) -> None:
    """NaN, no score: advantage 0, and left out of the others' mean and standard deviation."""
    rewards = [*REWARDS[:2], torch.nan, *REWARDS[3:]]
    theirs = grpo_scored(policy, rewards, scale_rewards="group")
    ours = torch.cat([grpo_advantages(rewards_K, scale="group") for rewards_K in groups(rewards)])
    assert ours.tolist() == same(theirs.tolist())
    assert ours[2] == 0


def rloo_scored(policy: Bigram, reference: Bigram, rewards: list[float], *, beta: float) -> Tensor:
    trainer = sampling_trainer(
        RLOOTrainer,
        policy,
        rewards,
        _generate=lambda _: (SAMPLED_PROMPTS, SAMPLED, ["" for _ in SAMPLED]),
        ref_model=reference,
        beta=beta,
        reward_clip_range=None,
        normalize_advantages=False,
    )
    return trainer._generate_and_score_completions([{"prompt": ""} for _ in SAMPLED])["advantages"]


@pytest.mark.parametrize("beta", [0.0, 0.05])
def test_rloo_advantages_are_those_of_the_rloo_trainer(beta: float, policy: Bigram, reference: Bigram) -> None:
    """With the KL penalty, k1 summed over the response's tokens, taken off the rewards first."""
    theirs = rloo_scored(policy, reference, REWARDS, beta=beta)
    tokens = token_batch(policy, SAMPLED_PROMPTS, SAMPLED)
    reference_N = token_batch(reference, SAMPLED_PROMPTS, SAMPLED).logps_N
    penalties_N = kl_penalty(tokens.logps_N, reference_N, coefficient=beta, estimator="k1", clamp_min=None)
    rewards = torch.tensor(REWARDS) - tokens.sums(penalties_N)
    ours = torch.cat([rloo_advantages(rewards_K) for rewards_K in rewards.view(-1, GROUP)])
    assert ours.tolist() == same(theirs.tolist())


def policy_gradient_inputs(old: Bigram, reference: Bigram, advantages_S: Tensor) -> dict[str, Tensor]:
    """What TRL's loss methods take: prompts padded left, completions right, log-probs under two other models."""
    width = max(map(len, SAMPLED_PROMPTS))
    length = max(map(len, SAMPLED))

    def right(rows: list[Any]) -> Tensor:
        return torch.stack([F.pad(torch.as_tensor(row), (0, length - len(row))) for row in rows])

    def left(rows: list[list[int]]) -> Tensor:
        return torch.tensor([[0] * (width - len(row)) + row for row in rows])

    examples = list(zip(SAMPLED_PROMPTS, SAMPLED, strict=True))
    return {
        "prompt_ids": left(SAMPLED_PROMPTS),
        "prompt_mask": left([[1] * len(prompt) for prompt in SAMPLED_PROMPTS]),
        "completion_ids": right(SAMPLED),
        "completion_mask": right([[1] * len(completion) for completion in SAMPLED]),
        "advantages": advantages_S,
        "old_per_token_logps": right([old.logps(*example).detach() for example in examples]),
        "ref_per_token_logps": right([reference.logps(*example).detach() for example in examples]),
        "old_logps": torch.stack([old.logps(*example).sum().detach() for example in examples]),
        "num_items_in_batch": torch.tensor(sum(map(len, SAMPLED))),
    }


@pytest.fixture
def old() -> Bigram:
    """Close enough to the policy that some ratios are clipped and some are not."""
    model = Bigram(seed=1)
    with torch.no_grad():
        model.table.weight.add_(0.4 * Bigram(seed=3).table.weight)
    return model


@pytest.mark.parametrize("kl_coefficient", [0.0, 0.04])
@pytest.mark.parametrize("normaliser", ["grpo", "bnpo", "dr_grpo", "dapo"])
def test_clipped_token_losses_and_their_normalisers_are_those_of_the_grpo_trainer(
    normaliser: Any, kl_coefficient: float, policy: Bigram, old: Bigram, reference: Bigram
) -> None:
    """`ppo_policy_loss`, k3 added to each token's loss, and all four ways to make one number of them."""
    clip, max_tokens = 0.2, 9
    advantages_S = torch.linspace(-1.5, 1.2, len(SAMPLED))
    trainer = trainer_of(
        GRPOTrainer,
        policy,
        args=SimpleNamespace(delta=None, use_bias_correction_kl=False, steps_per_generation=1),
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        importance_sampling_level="token",
        beta=kl_coefficient,
        epsilon_low=clip,
        epsilon_high=clip,
        loss_type=normaliser,
        use_vllm=False,
        _entropy_bonus_enabled=False,
        current_gradient_accumulation_steps=1,
        max_completion_length=max_tokens,
    )
    theirs = trainer._compute_loss(policy, policy_gradient_inputs(old, reference, advantages_S))

    tokens = token_batch(policy, SAMPLED_PROMPTS, SAMPLED)
    old_N, reference_N = (token_batch(model, SAMPLED_PROMPTS, SAMPLED).logps_N for model in (old, reference))
    losses_N, metrics = ppo_policy_loss(tokens.logps_N, old_N, advantages_S[tokens.rows_N], clip=clip)
    ours = aggregate(
        losses_N + kl_coefficient * kl_k3(tokens.logps_N, reference_N),
        tokens,
        normaliser=normaliser,
        max_tokens=max_tokens,
        num_sequences=len(SAMPLED),
        total_tokens=len(tokens.rows_N),
    )
    assert_equal_with_gradient(policy, theirs, ours)
    (clipped,) = trainer._metrics["train"]["clip_ratio/region_mean"]
    assert metrics["policy/clipfrac_avg"].mean().item() == same(clipped)
    assert 0.1 < clipped < 0.9


def test_the_sequence_policy_loss_is_that_of_the_rloo_trainer(policy: Bigram, old: Bigram, reference: Bigram) -> None:
    clip = 0.2
    advantages_S = torch.linspace(-1.5, 1.2, len(SAMPLED))
    trainer = trainer_of(RLOOTrainer, policy, epsilon_low=clip, epsilon_high=clip)
    theirs = trainer._compute_loss(policy, policy_gradient_inputs(old, reference, advantages_S))
    examples = list(zip(SAMPLED_PROMPTS, SAMPLED, strict=True))
    logps_S, old_S = (torch.stack([model.logps(*example).sum() for example in examples]) for model in (policy, old))
    losses_S, metrics = sequence_policy_loss(logps_S, old_S, advantages_S, clip=clip)
    assert_equal_with_gradient(policy, theirs, losses_S.mean())
    (clipped,) = trainer._metrics["train"]["clip_ratio/region_mean"]
    assert metrics["clip_ratio/region_mean"].mean().item() == same(clipped)
    assert 0 < clipped < 1
