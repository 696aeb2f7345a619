"""A shard's file: records as parquet, and the checksum that lies beside it.

The checksum names the file and the run as well, so that another shard's file, or one of another run, is not taken for
this one.
"""

import json
from collections.abc import Sequence
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from ..data.tables import from_table, to_table
from ..errors import DamagedFile
from .checksums import bytes_hash

T = TypeVar("T")

SUFFIX = ".parquet"


def shard_file(index: int) -> str:
    """The name of a shard's file.

    Example:
        >>> shard_file(3)
        'shard-00003.parquet'
    """
    return f"shard-{index:05d}{SUFFIX}"


def checksum_file(name: str) -> str:
    """Where a shard's checksum is. Who reads a whole directory of parquet files passes over names with an underscore.

    Example:
        >>> checksum_file("shard-00003.parquet")
        '_shard-00003.json'
    """
    return f"_{name.removesuffix(SUFFIX)}.json"


def encoded(cls: type[T], records: Sequence[T]) -> bytes:
    """Records as a parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(to_table(cls, records), sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def decoded(cls: type[T], data: bytes, path: str) -> list[T]:
    """The records of a parquet file.

    Not by `pq.read_table`: its scanner's threads may still hold a Python file when the interpreter ends, which aborts
    the process.

    Raises:
        DamagedFile: it holds something else.
    """
    try:
        return from_table(cls, pq.ParquetFile(pa.BufferReader(data)).read())
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise DamagedFile.at(path, f"it holds no {cls.__name__} records ({reason})") from error


def checksum(data: bytes, file: str, run: str | None) -> bytes:
    """What lies beside a shard's file: `file` is its place in the run directory, `run` tells the run from others."""
    return json.dumps({"file": file, "bytes": len(data), "sha256": bytes_hash(data), "run": run}).encode() + b"\n"


def verify(data: bytes, recorded: bytes, file: str, run: str | None, path: str) -> None:
    """Compare a shard's file with its recorded checksum.

    Raises:
        DamagedFile: they differ; it is named by its `path`.
    """
    try:
        said = json.loads(recorded)
        place, content = (said["file"], said["run"]), (said["bytes"], said["sha256"])
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedFile.at(path, f"{checksum_file(file.rpartition('/')[2])} beside it is no checksum") from error
    if place != (file, run):
        raise DamagedFile.at(path, f"by its checksum it is {place[0]} of run {place[1]}")
    if content != (len(data), bytes_hash(data)):
        raise DamagedFile.at(path, "its content is not what was written: its checksum differs")


def checksum_parts(parts: Sequence[str]) -> tuple[str, ...]:
    """Where the checksum of the shard at `parts` is."""
    return (*parts[:-1], checksum_file(parts[-1]))
