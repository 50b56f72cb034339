# pyarrow has no types:
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
"""A shard's footer: read and checked, and what is wrong with a file that has no sound one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from reid.project.errors import ReidError
from reid.project.layout import check_regular, sha256_of
from reid.shards import schema
from reid.shards.remote import RangeFile, Remote, tails

VERSION_KEY = "reid.schema_version"
BROKEN = (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError)

_PLAIN = {"PLAIN", "RLE", "BIT_PACKED"}  # the latter two are the null levels' encodings


def read_footer(path: Path | Remote, tail: bytes | None = None) -> pq.FileMetaData:
    """The footer of a file; `tail` are a remote file's last bytes, where they are read already."""
    try:
        if not isinstance(path, Remote):
            check_regular(path)
            return pq.read_metadata(path)
        tail = tails([path])[0] if tail is None else tail
        with RangeFile(path, {path.size - len(tail): tail}) as file:
            return pq.read_metadata(file)
    except FileNotFoundError:
        raise ReidError(f"{path}: no such file{which_command(path)}") from None
    except BROKEN as error:
        raise ReidError(diagnosis(path, f"damaged: {error}")) from None


def metadata_of(path: Path | Remote, footer: pq.FileMetaData) -> dict[str, str]:
    """What a footer says beside the columns; refuses the schema of a newer program."""
    pairs = {k.decode(errors="replace"): v for k, v in (footer.metadata or {}).items()}
    pairs.pop("ARROW:schema", None)
    texts = {k: v.decode(errors="replace") for k, v in pairs.items()}
    version = texts.get(VERSION_KEY, "0")
    if not re.fullmatch("[0-9]{1,9}", version):
        shown = version if len(version) <= 20 else f"{version[:20]}..."
        raise ReidError(f"{path}: damaged footer: schema version {shown!r}{which_command(path)}")
    if wrong := newer(int(version)):
        raise ReidError(f"{path}: {wrong}")
    return texts


def newer(version: int) -> str:
    """What is wrong with the schema of a newer program; empty where this one reads it."""
    known = schema.SCHEMA_VERSION
    words = f"schema version {version}, this program reads up to {known}"
    return f"{words}; install a newer reid-pipeline" if version > known else ""


def is_one_plain_chunk(chunk: Any) -> bool:
    """Whether a column chunk may be one page of plain values, as this project writes it."""
    return (
        chunk is not None
        and chunk.compression == "UNCOMPRESSED"
        and not chunk.has_dictionary_page
        and set(chunk.encodings) <= _PLAIN
    )


def extent(chunk: Any) -> tuple[int, int]:
    """The bytes of a column chunk: first, end."""
    start = chunk.data_page_offset
    if chunk.has_dictionary_page and chunk.dictionary_page_offset:
        start = min(start, chunk.dictionary_page_offset)
    return start, start + chunk.total_compressed_size


def diagnosis(path: Path | Remote, damage: str) -> str:
    """What is wrong with a file, in one line: `damage` where both its ends are those of Parquet."""
    damage = " ".join(damage.split())
    if isinstance(path, Remote):
        return f"{path}: {damage}"
    size = path.stat().st_size if path.is_file() else -1
    if size < 0:
        return f"{path}: not a file"
    with path.open("rb") as file:
        head = file.read(4)
        file.seek(max(0, size - 4))
        tail = file.read(4)
    if size == 0:
        what = "empty file"
    elif head != b"PAR1":
        what = "not a Parquet file, or its first bytes are damaged"
    elif tail != b"PAR1" or size < 12:
        what = f"truncated at byte {size:,}"
    else:
        what = damage
    return f"{path}: {what}{which_command(path)}"


def changed(path: Path | Remote) -> str:
    """What a reader says of a file that is not the one that it opened."""
    return f"{path}: changed or removed since it was opened; open its data again"


def check_digest(path: Path, sha256: str) -> None:
    """Raises `ReidError` where a file is not, byte for byte, what its manifest says was built."""
    try:
        digest = sha256_of(path)
    except OSError as error:
        raise ReidError(f"{path}: {error.strerror}{which_command(path)}") from None
    if digest != sha256:
        damage = "damaged: not the bytes that were built, by the sha256 of manifest.json"
        raise ReidError(diagnosis(path, damage))


def which_command(path: Path | Remote) -> str:
    """Which command writes the file again, by its position in the tree; none for a remote one.

    The work folder's shard is the same file on disk, so that a run alone would take it as it is.
    """
    if isinstance(path, Remote):
        return ""
    parts = path.parts
    if path.parent.name == "rows" and len(parts) >= 4 and parts[-4] == "1-shards":
        return f"; run `reid ingest {parts[-3]} --repair`"
    if path.parent.name == "rows" and len(parts) >= 5 and parts[-5] == "2-derived":
        return f"; run `reid {parts[-4]} {parts[-3]} --repair`"
    return ""
