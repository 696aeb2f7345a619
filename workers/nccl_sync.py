"""The learner's end of vLLM's NCCL weight transfer. Needs GPUs: written against vLLM 0.32, not exercised by CI."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import deepspeed
import ray
import torch
from vllm.distributed.weight_transfer.base import ParamMeta, WeightSource
from vllm.distributed.weight_transfer.nccl_engine import NCCLTrainerInitInfo, NCCLTrainerWeightTransferEngine

from ..orchestrator.cluster.weight_transfer import nccl_layout
from .lora import full_weights


class GatheredSource(WeightSource):
    """A policy's weights under checkpoint names, adapters merged; under ZeRO-3 one is gathered at a time."""

    def __init__(self, language_model: Any, zero_stage: int):
        self._model, self._sharded = language_model, zero_stage == 3

    def metadata(self) -> list[ParamMeta]:
        return [
            ParamMeta(name.replace(".base_layer", ""), p.dtype, tuple(p.ds_shape if self._sharded else p.shape))
            for name, p in self._model.named_parameters()
            if ".lora_" not in name
        ]

    def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]:
        return full_weights(self._model, self._gather, sharded=self._sharded)

    def _gather(self, parameters: list[torch.nn.Parameter]) -> AbstractContextManager[Any]:
        return deepspeed.zero.GatheredParameters(parameters, enabled=self._sharded)


class RolloutClient:
    """vLLM's weight-sync client over our rollout actors, each with its own first rank in the NCCL group."""

    def __init__(self, handles: Sequence[Any], tensor_parallel_size: int):
        self._handles = list(handles)
        self.world_size, self._offsets = nccl_layout(len(self._handles), tensor_parallel_size)

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None:
        ray.get(
            [
                handle.call.remote("init_weight_transfer", {**init_info, "rank_offset": offset})
                for handle, offset in zip(self._handles, self._offsets, strict=True)
            ]
        )

    def shutdown_weight_transfer_engine(self) -> None:
        self._all("shutdown_weight_transfer")

    def start_weight_update(self) -> None:
        self._all("start_weight_update")

    def update_weights(self, update_info: Any) -> None:
        self._all("update_weights", update_info)

    def finish_weight_update(self, weight_version: str | None = None) -> None:
        self._all("finish_weight_update")

    def _all(self, method: str, *args: Any) -> None:
        ray.get([handle.call.remote(method, *args) for handle in self._handles])


def open_sender(
    source: GatheredSource, client: RolloutClient, *, rank: int, master: tuple[str, int]
) -> NCCLTrainerWeightTransferEngine:
    """This rank's end of the transfer: rank 0 sends, the others take part in gathering."""
    info = NCCLTrainerInitInfo(master[0], master[1], client.world_size, rank=rank)
    return NCCLTrainerWeightTransferEngine.trainer_init(info, client=client, source=source)
