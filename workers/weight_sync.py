"""Weights from the learner to the rollout engines, through memory.

On CPU, and where rollout and learner share a GPU, all weights travel as one buffer in Ray's shared object store: the
learner packs it once, every engine on the node maps it. Between GPUs of their own, vLLM's NCCL weight transfer is used
(see `learner.Learner.connect_nccl`).
"""

import math
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

# vLLM imports the extension by this name in each of its workers.
EXTENSION = "roundelay.workers.weight_sync.WeightSyncExtension"


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorSpec:
    """Where one tensor lies in a `HostWeights` buffer; `offset` in bytes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int


@dataclass(frozen=True, kw_only=True, slots=True)
class HostWeights:
    """A model's weights in one buffer: a flat uint8 array, which Ray maps into every process of a node uncopied."""

    buffer: np.ndarray
    specs: tuple[TensorSpec, ...]


def pack(tensors: Iterable[tuple[str, torch.Tensor]]) -> HostWeights:
    """One buffer with every tensor, each aligned to 64 bytes."""
    tensors = [(name, tensor.detach().cpu().contiguous()) for name, tensor in tensors]
    specs, offset = [], 0
    for name, tensor in tensors:
        specs.append(TensorSpec(name=name, dtype=_dtype_name(tensor), shape=tuple(tensor.shape), offset=offset))
        offset += math.ceil(tensor.nbytes / 64) * 64
    buffer = np.empty(offset, dtype=np.uint8)
    for spec, (_, tensor) in zip(specs, tensors, strict=True):
        buffer[spec.offset : spec.offset + tensor.nbytes] = tensor.view(-1).view(torch.uint8).numpy()
    return HostWeights(buffer=buffer, specs=tuple(specs))


def unpack(weights: HostWeights) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of a buffer, as read-only views of it."""
    for spec in weights.specs:
        dtype: torch.dtype = getattr(torch, spec.dtype)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*not writable.*")  # nobody writes: vLLM copies
            flat = torch.frombuffer(weights.buffer, dtype=dtype, count=math.prod(spec.shape), offset=spec.offset)
        yield spec.name, flat.view(spec.shape)


class WeightSyncExtension:
    """Mixed into vLLM's worker class (`worker_extension_cls`)."""

    def load_host_weights(self, weights: HostWeights) -> None:
        """Load a full set of weights in checkpoint format into the live model."""
        runner = self.model_runner  # pyright: ignore[reportAttributeAccessIssue]
        runner.reload_weights(weights_iterator=unpack(weights))
        self.refresh_lm_head()

    def refresh_lm_head(self) -> None:
        """Repack a tied head from the new embedding.

        vLLM's CPU build keeps a packed copy of the head, and `reload_weights` does not renew it where the head is tied
        to the embedding: log-probs would silently stay those of the old policy.
        """
        model = self.model_runner.get_model()  # pyright: ignore[reportAttributeAccessIssue]
        model.lm_head.quant_method.process_weights_after_loading(model.lm_head)


def _dtype_name(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
