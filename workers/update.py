"""One round's update on one rank: examples in, optimizer steps out. Owns accumulation, the reference's log-probs and
what a step must know of itself beforehand; the formulas are `recipes.losses`'."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..orchestrator.cluster.step_report import StepReport
from ..orchestrator.config.schema import Config
from ..orchestrator.data.records import TokenSequence, TrainingExample
from ..orchestrator.errors import NonFiniteError, RunError
from ..orchestrator.parts.objective import NoiseRule, ObjectivePart
from ..recipes.losses.batches import Loss, Metrics, TokenBatch
from ..recipes.losses.micro_batches import MicroBatch
from ..recipes.losses.policy_batches import Measured
from ..recipes.losses.self_labelled import global_quantile_threshold
from ..recipes.schedules import learning_rate_factor
from .completion_model import extrapolated_logps
from .formulas import formula
from .losses import denominator, extras_of, losses, score_losses, trained_sequences
from .noise import NoiseWindow
from .packing import PackedBatch, micro_batches, packed_length
from .policy_losses import policy_losses
from .prepared import with_advantages
from .steps import optimizer_step


class Update:
    """The state of an update between its steps.

    Args:
        engine: DeepSpeed's, around a `CompletionModel`.
        rank, world_size: of this process among the learner's ranks.
    """

    def __init__(self, config: Config, engine: Any, device: torch.device, rank: int, world_size: int):
        self.config, self.engine, self.device = config, engine, device
        self.rank, self.world_size = rank, world_size
        self.reference: Any = None
        self.reference_is_start = False  # whether the update began with the reference's own weights
        self.known_logps: dict[str, Tensor] = {}  # the reference's, by example
        self.pending: list[TrainingExample] = []
        self.round: list[TrainingExample] = []  # a policy gradient's, as far as they are prepared
        self.prepared: dict[str, Measured] = {}  # by example
        self.noise = NoiseWindow.of(config.objective.noise())
        self.steps = 0

    def measure_against(self, reference: Any, *, is_start: bool) -> None:
        """Set the reference's model (None without one), and say whether the update began with its very weights."""
        self.reference, self.reference_is_start = reference, is_start
        self.known_logps = {}

    # Checkpoints ------------------------------------------------------------------------------------------------

    def notes(self) -> dict[str, Any]:
        """What a checkpoint says of the update beside tensors; a collective call."""
        return {
            "steps": self.steps,
            "noise": self._over_ranks(list(self.noise.margins)),
            "zero_stage": self.config.learner.zero_stage,
        }

    def known_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """The reference's log-probs that are known so far, and what a policy gradient prepared."""
        for identity, values in self.known_logps.items():
            yield f"reference/{identity}", values
        for identity, measured in self.prepared.items():
            for name, values in measured.items():
                yield f"prepared/{name}/{identity}", values

    def go_on(self, tensors: Mapping[str, Tensor], notes: Mapping[str, Any]) -> str:
        """Go on after `notes["steps"]` steps; in words, how exactly."""
        self.steps = notes["steps"]
        for key in tensors:
            kind, _, rest = key.partition("/")
            if kind == "reference":
                self.known_logps[rest] = tensors[key].to(self.device)
            if kind == "prepared":
                name, _, identity = rest.partition("/")
                self.prepared.setdefault(identity, {})[name] = tensors[key].to(self.device)
        same_ranks = notes["world_size"] == self.world_size
        share = len(notes["noise"]) // self.world_size
        for margin in notes["noise"][self.rank * share : (self.rank + 1) * share] if same_ranks else ():
            self.noise.add(margin)
        now = {"world_size": self.world_size, "zero_stage": self.config.learner.zero_stage}
        changed = [f"{name} {notes[name]} → {value}" for name, value in now.items() if notes[name] != value]
        if not changed:
            return f"the update goes on after step {self.steps}, from its checkpoint"
        forgotten = "; SPA's window of margins starts empty" if notes["noise"] and not same_ranks else ""
        return f"the update goes on after step {self.steps} with {', '.join(changed)}: equal up to rounding{forgotten}"

    # Before the steps, and beside them --------------------------------------------------------------------------

    def prepare(self, examples: Sequence[TrainingExample], last: bool) -> None:
        """Measure a policy gradient's examples under the policy as it is; after the `last` ones, their advantages."""
        objective = self.config.objective
        assert objective.policy_gradient and self.steps == 0
        self.round.extend(examples)
        mine: dict[str, Measured] = {}
        for micro in self._plan(examples) if examples else []:
            batch = self._pack([example.sequences for example in micro or examples[:1]])
            extras = ("values",) if objective.value_model() else ()
            with torch.no_grad():
                outputs = self.engine(batch, extras)
                old_N = outputs["logps"]
                reference_N = old_N if self.reference is None else self.reference(batch)["logps"]
            named = {"old_logps": old_N, "reference": reference_N, **{name: outputs[name] for name in extras}}
            sizes = [sum(len(sequence.token_ids) for sequence in example.sequences) for example in micro]
            for index, example in enumerate(micro):
                mine[example.id] = {name: values.split(sizes)[index].cpu() for name, values in named.items()}
        for part in self._objects_over_ranks(mine):
            self.prepared |= {
                identity: {name: values.to(self.device) for name, values in measured.items()}
                for identity, measured in part.items()
            }
        if last and self.round:
            self.prepared = with_advantages(objective, self.round, self.prepared)
            self.round = []

    def measure(self, examples: Sequence[TrainingExample]) -> list[dict[str, float]]:
        """The objective's loss and metrics on this rank's share of `examples`, a row an example. Nothing is learnt."""
        # Ids of their own: what the reference says of a trained example is never taken for them.
        examples = [replace(example, id=f"measured/{example.id}") for example in examples]
        plan = self._plan(examples)
        with torch.no_grad():
            statistics = self._statistics(plan, examples)
            rows = []
            for micro in plan:
                losses_E, metrics = self._losses(micro or examples[:1], statistics)
                rows.extend(_rows(micro, losses_E, metrics))
        return rows

    # Steps ------------------------------------------------------------------------------------------------------

    def take(self, examples: Sequence[TrainingExample], flush: bool) -> list[StepReport]:
        """Take examples in order; make an optimizer step whenever `pairs_per_step` have come together.

        Args:
            examples: the next ones of the round, the same on every rank.
            flush: whether to step on what is left (the end of an epoch).

        Raises:
            NonFiniteError: a loss or gradient is not finite, or DeepSpeed skipped the step; with the examples' ids.
        """
        self.pending.extend(examples)
        size = self.config.learner.pairs_per_step
        reports = []
        while len(self.pending) >= size or (flush and self.pending):
            step, self.pending = self.pending[:size], self.pending[size:]
            reports.append(self._step(step))
        return reports

    def _step(self, examples: Sequence[TrainingExample]) -> StepReport:
        started = time.monotonic()
        plan = self._plan(examples)
        statistics = self._statistics(plan, examples)
        total = denominator(self.config.objective, examples)
        rows: list[dict[str, float]] = []
        for micro in plan:
            losses_E, metrics = self._losses(micro or examples[:1], statistics)
            if micro:
                rows.extend(_rows(micro, losses_E, metrics))
                if "spa/margins" in metrics:
                    self.noise.add(float(metrics["spa/margins"].mean()))
            # DeepSpeed averages over ranks: the step's gradient is that of the sum over its examples, by `total`.
            scale = self.world_size / total if micro else 0.0
            self.engine.backward(losses_E.sum() * scale)
        learning_rate = self._set_learning_rate(examples[0].progress, examples[-1].progress + examples[-1].share)
        grad_norm = optimizer_step(self.engine, f"step {self.steps + 1} on {_ids(examples)}")
        self.steps += 1
        seconds = time.monotonic() - started
        return StepReport(
            step=self.steps, learning_rate=learning_rate, grad_norm=grad_norm, seconds=seconds,
            tokens=sum(_num_tokens(example) for micro in plan for example in micro), rows=tuple(rows),
        )  # fmt: skip

    def _plan(self, examples: Sequence[TrainingExample]) -> list[Sequence[TrainingExample]]:
        """This rank's micro-batches, as many as the rank with the most has (ZeRO needs every rank in every pass)."""
        learner = self.config.learner
        by_rank = []
        for rank in range(self.world_size):
            mine = examples[rank :: self.world_size]
            costs = [self._cost(example) for example in mine]
            ranges = micro_batches(costs, tokens=learner.tokens_per_device, examples=learner.pairs_per_device)
            by_rank.append([mine[part.start : part.stop] for part in ranges])
        mine = by_rank[self.rank]
        return mine + [()] * (max(map(len, by_rank)) - len(mine))

    def _cost(self, example: TrainingExample) -> int:
        """Tokens of the larger of the passes that an example goes through: the trained one, and KTO's other."""
        trained = trained_sequences(self.config.objective, example)
        return max(packed_length(trained), packed_length(example.sequences[len(trained) :]))

    def _set_learning_rate(self, progress: float, end: float) -> float:
        learner = self.config.learner
        rate = learner.learning_rate * learning_rate_factor(
            progress,
            end=end,
            schedule=learner.schedule,
            warmup_fraction=learner.warmup_fraction,
            final_fraction=learner.final_lr_fraction,
        )
        for group in self.engine.optimizer.param_groups:
            group["lr"] = rate
        return rate

    def _losses(self, examples: Sequence[TrainingExample], statistics: Mapping[str, float]) -> Loss:
        losses_E, metrics = self._losses_of(examples, statistics)
        if not torch.isfinite(losses_E).all():
            raise NonFiniteError(f"loss {losses_E.tolist()} at step {self.steps + 1} on {_ids(examples)}")
        return losses_E, metrics

    def _losses_of(self, examples: Sequence[TrainingExample], statistics: Mapping[str, float]) -> Loss:
        objective = self.config.objective
        batch = self._pack([trained_sequences(objective, example) for example in examples])
        outputs = self.engine(batch, extras_of(objective))
        if objective.trains == "reward_model":
            return score_losses(objective, examples, outputs["scores"])
        if objective.policy_gradient:
            tokens = _token_batch(examples, batch, outputs["logps"], objective)
            prepared = _joined([self.prepared[example.id] for example in examples])
            max_tokens = self.config.generation.sampled_with().max_tokens
            return policy_losses(objective, examples, tokens, outputs, prepared, max_tokens)
        micro = MicroBatch(
            examples=examples,
            tokens=_token_batch(examples, batch, outputs["logps"], objective),
            reference_N=self._reference_logps(examples, batch, outputs["logps"].detach()),
            extras=outputs,
            step=statistics,
        )
        if (noise := objective.noise()) is not None:
            margins_E = self._denoised_margins(noise, batch, micro)
            threshold = statistics["threshold"] if noise.whole_step else self.noise.threshold()
            micro = replace(micro, extras={"denoised_margins": margins_E}, step={"threshold": threshold})
        return losses(objective, micro)

    def _statistics(
        self, plan: Sequence[Sequence[TrainingExample]], step: Sequence[TrainingExample]
    ) -> dict[str, float]:
        """What losses need to know of their whole step, over all ranks: KTO's KL, SPA's quantile of margins."""
        objective = self.config.objective
        values: list[float] = []
        if objective.kl_of_step is not None:
            for micro in plan:
                others = [example.sequences[objective.trained_sequences :] for example in micro]
                unrelated = [sequences for sequences in others if sequences]
                batch = self._pack(unrelated or [step[0].sequences[:1]])  # every rank makes as many passes
                with torch.no_grad():
                    ratios_N = self.engine(batch)["logps"] - self.reference(batch)["logps"]
                values.extend(float(part.sum()) for part in batch.split(ratios_N) if unrelated)
            return {"kl": float(formula(objective.kl_of_step)(torch.tensor(self._over_ranks(values))))}
        if (noise := objective.noise()) is not None and noise.whole_step:
            for micro in plan:
                examples = micro or step[:1]
                batch = self._pack([example.sequences for example in examples])
                with torch.no_grad():
                    outputs = self.engine(batch, extras_of(objective))
                seen = MicroBatch(
                    examples=examples,
                    tokens=_token_batch(examples, batch, outputs["logps"], objective),
                    reference_N=self._reference_logps(examples, batch, outputs["logps"]),
                    extras=outputs,
                    step={},
                )
                values.extend(self._denoised_margins(noise, batch, seen).tolist() if micro else [])
            margins = torch.tensor(self._over_ranks(values))
            return {"threshold": global_quantile_threshold(margins, noise.fraction)}
        return {}

    def _over_ranks(self, values: Sequence[float]) -> list[float]:
        return [value for part in self._objects_over_ranks(list(values)) for value in part]

    def _objects_over_ranks(self, value: Any) -> list[Any]:
        gathered: list[Any] = [None] * self.world_size
        torch.distributed.all_gather_object(gathered, value)
        return gathered

    def _denoised_margins(self, noise: NoiseRule, batch: PackedBatch, micro: MicroBatch) -> Tensor:
        """SPA's m̃ = β[(L̃_w − L̃_l) − (R_w − R_l)] with L̃ from extrapolated logits, without gradient, shape (E,)."""
        logps_N = micro.tokens.logps_N.detach()
        if noise.extrapolation > 0:
            with torch.no_grad():
                frozen = self.reference(batch, ("hidden",))["hidden"]
                logps_N = extrapolated_logps(
                    self.engine.module, micro.extras["hidden"], self.reference, frozen, batch, noise.extrapolation
                )
        ratios = micro.tokens.sums(logps_N - micro.reference_N).view(-1, 2)
        return noise.beta * (ratios[:, 0] - ratios[:, 1])

    def _reference_logps(self, examples: Sequence[TrainingExample], batch: PackedBatch, policy_N: Tensor) -> Tensor:
        """The reference's log-probs of a batch's response tokens, shape (N,); zeros without a reference."""
        reference = self.config.objective.reference
        if reference.policy == "none":
            return torch.zeros_like(policy_N)
        if reference.logps == "rollout":
            sampler_N = _sampler_logps(examples, self.device)
            if self.steps == 0:
                _check_rollout_logps(examples, batch, policy_N - sampler_N, self.config.model.dtype)
            return sampler_N
        known = [self.known_logps.get(example.id) for example in examples]
        if all(values is not None for values in known) and self.config.learner.zero_stage != 3:
            return torch.cat([values for values in known if values is not None])
        # Before its first step the policy is the reference, if that is what it started from: nothing to compute twice.
        untouched = self.steps == 0 and self.reference_is_start
        with torch.no_grad():
            reference_N = policy_N if untouched else self.reference(batch)["logps"]
        sizes = [sum(len(s.token_ids) for s in trained_sequences(self.config.objective, e)) for e in examples]
        self.known_logps.update(
            {example.id: values for example, values in zip(examples, reference_N.split(sizes), strict=True)}
        )
        return reference_N

    def _pack(self, groups: Sequence[Sequence[TokenSequence]]) -> PackedBatch:
        return PackedBatch.of(groups, self.device)

    def step_on_nothing(self) -> None:
        """Make ZeRO create the optimizer's state, which it does in its first step: zero gradients, learning rate 0."""
        if self.config.learner.zero_stage == 0:
            return
        batch = self._pack([[TokenSequence(prompt_token_ids=(0,), token_ids=(0,))]])
        outputs = self.engine(batch, extras_of(self.config.objective))
        self.engine.backward(sum(values.sum() for values in outputs.values() if values.requires_grad) * 0.0)
        for group in self.engine.optimizer.param_groups:
            group["lr"] = 0.0
        self.engine.step()


def _check_rollout_logps(
    examples: Sequence[TrainingExample], batch: PackedBatch, differences_N: Tensor, dtype: str
) -> None:
    """Before the first step policy and sampler are the same model: their log-probs must agree.

    Raises:
        RunError: a response's mean difference a token is over the tolerance, or not finite.
    """
    tolerance = {"float32": 1e-4, "bfloat16": 5e-2, "float16": 1e-2}[dtype]
    for gap in (float(part.mean().abs()) for part in batch.split(differences_N)):
        if not gap <= tolerance:
            raise RunError(
                f"objective.reference.logps=rollout: sampler and learner differ by {gap:.2e} nats a token "
                f"(tolerance {tolerance:.0e}) on {_ids(examples)}",
                "set objective.reference.logps=recompute",
            )


def _sampler_logps(examples: Sequence[TrainingExample], device: torch.device) -> Tensor:
    logps: list[float] = []
    for example in examples:
        for sequence in example.sequences:
            assert sequence.sampler_logps is not None, f"example {example.id} has no sampler's log-probs"
            logps.extend(sequence.sampler_logps)
    return torch.tensor(logps, device=device)


def _token_batch(
    examples: Sequence[TrainingExample], batch: PackedBatch, logps_N: Tensor, objective: ObjectivePart
) -> TokenBatch:
    weights: list[float] = []
    for example in examples:
        for sequence in trained_sequences(objective, example):
            weights.extend(sequence.weights or [1.0] * len(sequence.token_ids))
    return TokenBatch(
        logps_N=logps_N,
        rows_N=batch.rows_N,
        weights_N=torch.tensor(weights, device=logps_N.device),
        num_responses=len(batch.lengths),
    )


def _joined(measured: Sequence[Measured]) -> Measured:
    return {name: torch.cat([each[name] for each in measured]) for name in measured[0]}


def _num_tokens(example: TrainingExample) -> int:
    return sum(len(sequence.prompt_token_ids) + len(sequence.token_ids) for sequence in example.sequences)


def _rows(examples: Sequence[TrainingExample], losses_E: Tensor, metrics: Metrics) -> list[dict[str, float]]:
    columns = {"loss": losses_E.detach().tolist()} | {name: values.tolist() for name, values in metrics.items()}
    return [{name: values[index] for name, values in columns.items()} for index in range(len(examples))]


def _ids(examples: Sequence[TrainingExample]) -> list[str]:
    return [example.id for example in examples]
