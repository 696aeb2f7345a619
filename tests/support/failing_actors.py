"""Classes that fail as an engine may, to be spawned as actors."""

import os
import signal

from roundelay.orchestrator.errors import ConfigError

COLOURED = "\x1b[36mlm_head.weight\x1b[39m is not in the checkpoint"


class Unpicklable(Exception):
    """As many libraries' errors are: its own constructor takes other arguments than it hands on."""

    def __init__(self, tensor: str, file: str):
        super().__init__(f"{tensor} is not in {file}")


class NeverBuilt:
    """An engine whose start fails, for a reason that its outermost error does not tell."""

    def __init__(self) -> None:
        try:
            raise KeyError(COLOURED)
        except KeyError as error:
            raise RuntimeError("the engine did not start") from error


class Failing:
    def unpicklable(self) -> None:
        raise Unpicklable("lm_head", "model.safetensors")

    def refuse(self) -> None:
        raise ConfigError("model.path=x holds no tokenizer", "give one that does")

    def kill(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def exit(self) -> None:
        raise SystemExit(4)


class FailingAsync:
    async def unpicklable(self) -> None:
        raise Unpicklable("lm_head", "model.safetensors")
