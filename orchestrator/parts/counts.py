"""Numbers of a round that are known before it, or their bounds."""

from dataclasses import dataclass, replace

AT_MOST, AT_LEAST = "at most ", "at least "


@dataclass(frozen=True, kw_only=True, slots=True)
class Count:
    """A number, and whether the round may have fewer ("at most ") or more ("at least ").

    Example:
        >>> str(Count(number=12)), str(Count(number=12, bound="at most "))
        ('12', 'at most 12')
    """

    number: int
    bound: str = ""

    def __str__(self) -> str:
        return f"{self.bound}{self.number}"

    def times(self, factor: int) -> "Count":
        return replace(self, number=factor * self.number)
