"""The functions of tensors that objectives name."""

from collections.abc import Callable
from typing import Any

from ..orchestrator.parts.user_functions import load_function
from ..recipes import losses


def formula(name: str) -> Callable[..., Any]:
    """The function "module:function": of `recipes.losses`, if the module begins with a dot."""
    return load_function(name, "a loss", losses.__name__)
