"""Functions and modules of the user's, named as "package.module:name" and "package.module" in the configuration."""

import importlib
import inspect
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Annotated, Any, TypeAlias

from pydantic import Field

from ..errors import ConfigError, RunError, cause_of

MODULE_NAME = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$"
ModuleName: TypeAlias = Annotated[str, Field(pattern=MODULE_NAME)]
FunctionName: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]


def load_function(name: str, field: str, package: str | None = None) -> Callable[..., Any]:
    """The function that "package.module:name" names. Its module is imported, and runs with that. One that begins with a
    dot is of `package`.

    Raises:
        ConfigError: there is no such module or function, or the module cannot be imported.
    """
    module_name, _, attribute = name.partition(":")
    module = load_module(module_name, f"{field}={name}", "name it as package.module:function", package)
    function = getattr(module, attribute, None)
    if not callable(function):
        raise ConfigError(
            f"{field}={name}: {module_name} has no function {attribute}",
            "name a function that the module defines at its top level",
        )
    return function


def load_module(
    name: str, where: str, how_to_name: str = "name it as package.module", package: str | None = None
) -> ModuleType:
    """A module of the user's, imported: it runs with that.

    Args:
        where: the field and its value, for errors.
        package: what a name that begins with a dot is of.

    Raises:
        ConfigError: there is no such module, or it cannot be imported (whatever it raises, or writes that is no
            Python).
    """
    try:
        return importlib.import_module(name, package)
    except ConfigError:  # of a part that it registers
        raise
    except ImportError as error:
        raise ConfigError(
            f"{where}: cannot import {name}: {error}",
            f"{how_to_name}, and put the folder that holds it into PYTHONPATH",
        ) from error
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"{where}: importing {name} raises {cause_of(error)}{_line_of(error)}", "mend that module"
        ) from error


def check_arguments(function: Callable[..., Any], field: str, positional: int, named: Sequence[str] = ()) -> None:
    """Refuse a function that cannot be called with so many positional arguments and these named ones.

    Raises:
        ConfigError: naming the function and what it takes.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # builtins that say nothing of their arguments
        return
    try:
        signature.bind(*range(positional), **dict.fromkeys(named))
    except TypeError as error:
        given = ", ".join([f"{positional} positional argument{'s' if positional > 1 else ''}", *named])
        raise ConfigError(
            f"{field} takes {signature}, and is called with {given} ({error})",
            "give it these arguments (docs/adding-a-method.md)",
        ) from error


@contextmanager
def calling(field: str, about: str) -> Iterator[None]:
    """What a user's function raises stops the run, by the function's own words and line.

    Raises:
        RunError: naming the field, and what the function was called about.
    """
    try:
        yield
    except Exception as error:
        raise RunError(
            f"{cause_of(error)}{_line_of(error)}\n  {field}, for {about}", "mend the function, then resume the run"
        ) from error


def _line_of(error: BaseException) -> str:
    """Where in the user's code an error was raised; a syntax error says so itself."""
    frames = traceback.extract_tb(error.__traceback__)
    return f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
