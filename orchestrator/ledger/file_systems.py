"""Paths and URLs: which file system they are on."""

from typing import Any

import fsspec
from fsspec.registry import known_implementations

from ..errors import ConfigError, cause_of


def file_system(url: str) -> tuple[Any, str]:
    """The file system of a path or URL, and the path in it.

    Raises:
        ConfigError: its scheme is unknown, or the package for it is not installed.
    """
    scheme = url.partition("://")[0]
    try:
        return fsspec.core.url_to_fs(url)
    except ImportError as error:
        said = known_implementations.get(scheme, {}).get("err") or str(error)
        package = known_implementations.get(scheme, {}).get("class", "").partition(".")[0]
        raise ConfigError(
            f"{url}: no package for {scheme}:// is installed ({said})",
            f"pip install {package}" if package and package != "fsspec" else "install the package that it names",
        ) from error
    except ValueError as error:
        if "://" not in url:
            raise
        raise ConfigError(
            f"{url}: there is no file system for {scheme}:// ({error!s})",
            "give a local path, or a URL whose scheme fsspec knows, such as s3:// or gs://",
        ) from error
    except Exception as error:  # each file system raises its own
        raise ConfigError(
            f"{url}: the file system for {scheme}:// does not start ({cause_of(error)})",
            "mend what it needs, or give a local path",
        ) from error
