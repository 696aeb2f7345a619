"""NaN is neither equal, larger nor smaller: what is not finite is refused by name before anything is decided by it."""

import math
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from ..errors import RunError

REMEDY = (
    "a model overflowed: look at its weights, and at the gradient norms of the phase that trained it; float16 "
    "overflows where model.dtype=bfloat16 does not"
)

C = TypeVar("C", bound=type)


def require_finite(what: str, values: Iterable[float], remedy: str = REMEDY) -> None:
    """Refuse NaN and infinities among `values`; `what` says whose they are.

    Raises:
        RunError: naming the first one and its place.
    """
    for index, value in enumerate(values):
        if not math.isfinite(value):
            raise RunError(f"{what}: number {index} is {value}, which is not finite", remedy)


def finite_fields(*names: str) -> Callable[[C], C]:
    """Of a record about a prompt, fields (a number, a tuple of them, or None) that hold nothing but finite numbers.

    Goes below `@dataclass`. A record that would hold another number cannot be made: it raises a RunError that names
    the record's prompt, the field and the number.
    """

    def decorate(cls: C) -> C:
        def check(record: Any) -> None:
            for name in names:
                value = getattr(record, name)
                if value is None or _is_finite(value):
                    continue
                prompt = getattr(record, "prompt_id", None) or record.prompt.id
                place = f", sample {record.sample}" if hasattr(record, "sample") else ""
                raise RunError(
                    f"{cls.__name__} of prompt {prompt!r}{place}: {name} is {value!r:.200}, which is not finite", REMEDY
                )

        cls.__post_init__ = check
        return cls

    return decorate


def _is_finite(value: float | tuple[float | None, ...]) -> bool:
    values = value if isinstance(value, tuple) else (value,)
    return all(one is None or math.isfinite(one) for one in values)
