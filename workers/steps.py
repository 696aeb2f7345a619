"""DeepSpeed's optimizer step, held to what it says of itself: a gradient that is not finite stops the update.

DeepSpeed 0.19.8 skips such a step (bf16; stages 1 to 3; fp16 at any loss scale) and counts it in `global_steps` all the
same. Without ZeRO in float32 it has no norm to tell, and steps with whatever the gradients are.
"""

import math
from typing import Any

import torch

from ..orchestrator.errors import NonFiniteError, RunError


def reports_norm(engine: Any) -> bool:
    """Whether the engine's optimizer is one of DeepSpeed's, which measures the gradient by itself."""
    return hasattr(engine.optimizer, "_global_grad_norm")


def optimizer_step(engine: Any, what: str) -> float:
    """Step on the gradients of the passes since the last one. A collective call.

    Args:
        what: the step and its examples, in words, for errors.

    Returns:
        the norm of the whole gradient before it is clipped.

    Raises:
        NonFiniteError: the gradient is not finite, or the engine left the step out. Where the engine measures nothing
            by itself, no weight has changed then.
        RunError: the engine is configured to measure nothing.
    """
    if reports_norm(engine):
        engine.step()
        norm = engine.get_global_grad_norm()
        if norm is None:
            raise RunError(
                f"DeepSpeed measures no gradient norm ({what})",
                "leave zero_optimization.compute_grad_norm out of learner.deepspeed, then resume the run",
            )
        norm = float(norm)
    else:
        norm = _reduced_norm(engine)
        if math.isfinite(norm):
            engine.step()
    if not math.isfinite(norm) or norm < 0:  # DeepSpeed's −1 is a norm that is not finite
        raise NonFiniteError(f"gradient norm {norm} at {what}")
    if not engine.was_step_applied():
        raise NonFiniteError(f"DeepSpeed skipped {what}: it met a gradient that is not finite")
    return norm


def _reduced_norm(engine: Any) -> float:
    """The norm of the gradients, averaged over ranks here instead of in `engine.step`."""
    engine.enable_backward_allreduce = False
    engine.buffered_allreduce_fallback()
    gradients = [parameter.grad for parameter in engine.module.parameters() if parameter.grad is not None]
    return float(torch.nn.utils.get_total_norm(gradients))
