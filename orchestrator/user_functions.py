"""Functions of the user's, named as "package.module:name" in the configuration."""

import importlib
from collections.abc import Callable
from typing import Annotated, Any, TypeAlias

from pydantic import Field

from .errors import ConfigError

FunctionName: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]


def load_function(name: str, field: str) -> Callable[..., Any]:
    """The function that "package.module:name" names. Its module is imported, and runs with that.

    Raises:
        ConfigError: there is no such module or function, or the module cannot be imported.
    """
    module_name, _, attribute = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ConfigError(
            f"{field}={name}: cannot import {module_name}: {error}",
            "name it as package.module:function, and put the folder that holds it into PYTHONPATH",
        ) from error
    function = getattr(module, attribute, None)
    if not callable(function):
        raise ConfigError(
            f"{field}={name}: {module_name} has no function {attribute}",
            "name a function that the module defines at its top level",
        )
    return function
