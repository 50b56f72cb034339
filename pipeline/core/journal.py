"""The work journal: finished shards by key, what a rerun may reuse, and who is at work.

`.work/<stage>/<key>.parquet` is a finished shard; `<key>.json` beside it says its rows, bytes,
SHA-256 and rejects, and is written first, so that a shard that lies there is whole and described.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.core.errors import ReidError
from pipeline.core.project import as_json, sha256_of, write_atomically
from pipeline.core.shards import write_shard


@dataclass(frozen=True)
class Outcome:
    """What is known of a finished shard."""

    rows: int
    bytes: int
    sha256: str
    rejects: list[list[str]]  # [image_id, reason]


class Journal:
    """The finished shards of one stage below `.work/<stage>`."""

    def __init__(self, folder: Path):
        self.folder = folder

    def shard(self, key: str) -> Path:
        return self.folder / f"{key}.parquet"

    def outcome(self, key: str) -> Outcome | None:
        """What was noted of a finished shard; None where it is missing or was left half done."""
        try:
            noted = Outcome(**json.loads((self.folder / f"{key}.json").read_text("utf-8")))
            whole = self.shard(key).stat().st_size == noted.bytes
        except (OSError, ValueError, TypeError):
            return None
        return noted if whole else None

    def sound(self, key: str) -> bool:
        """Whether a finished shard still has the bytes that were written (reads them all)."""
        noted = self.outcome(key)
        return noted is not None and sha256_of(self.shard(key)) == noted.sha256

    def drop(self, key: str) -> None:
        """Forget a shard; it will be computed again."""
        for path in (self.shard(key), self.folder / f"{key}.json"):
            path.unlink(missing_ok=True)

    def keep(
        self, key: str, table: pa.Table, rejects: list[list[str]], metadata: Mapping[str, str]
    ) -> Outcome:
        """Write a finished shard: temporary name, fsync, note, rename last."""
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f".{key}.{os.getpid()}.tmp"
        write_shard(temporary, table, metadata)
        size, digest = temporary.stat().st_size, sha256_of(temporary)
        outcome = Outcome(table.num_rows, size, digest, rejects)
        write_atomically(self.folder / f"{key}.json", as_json(asdict(outcome)))
        temporary.replace(self.shard(key))
        return outcome


@contextmanager
def lock(path: Path, what: str) -> Iterator[None]:
    """Keep two runs of the same thing apart. Says who holds it; a killed holder leaves no lock."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise ReidError(f"{what} is at work already: {holder}; wait for it or end it") from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}, since {time.strftime('%X')}")
        file.flush()
        yield


def note_keys(work: Path, stage: str, dataset: str, keys: list[str]) -> None:
    """Remember which keys the published data set uses: `gc` keeps these."""
    write_atomically(work / stage / f"{dataset}.keys", as_json(sorted(set(keys))))


def unused(work: Path) -> list[Path]:
    """Finished shards, fits and temporary files that no published data set uses."""
    found: list[Path] = []
    for folder in sorted(p for p in work.glob("*") if any(p.glob("*.keys"))):
        used: set[str] = set()
        for noted in folder.glob("*.keys"):
            used |= set(json.loads(noted.read_text("utf-8")))
        for path in sorted(folder.iterdir()):
            done = path.suffix in {".parquet", ".json", ".fit"}
            if (done and path.stem not in used) or (path.suffix == ".tmp" and not _alive(path)):
                found.append(path)
    return found


def _alive(temporary: Path) -> bool:
    """Whether the process whose number a temporary file carries still runs."""
    number: Any = temporary.name.split(".")[-2]
    try:
        os.kill(int(number), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True
