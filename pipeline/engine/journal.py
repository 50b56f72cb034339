# pyarrow has no types:
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
"""The work journal: finished shards by key, what a rerun may reuse.

`.work/<stage>/<key>.parquet` is a finished shard; `<key>.json` beside it says its rows, bytes,
SHA-256 and rejects, and is written first, so that a shard that lies there is whole and described.
Temporary files carry host and process: `.work/` may be shared by several machines.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt

from reid.project.errors import ReidError
from reid.project.layout import as_json, link, sha256_of, this_host, this_process, write_atomically
from reid.project.threads import is_running
from reid.shards.folder import Shard, write_shard

ABANDONED_S = 7 * 24 * 3600.0  # another host's temporary file, untouched so long, is nobody's


class Outcome(BaseModel):
    """What is known of a finished shard."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    rows: NonNegativeInt
    bytes: NonNegativeInt
    sha256: str
    rejects: list[Annotated[list[str], Field(min_length=2, max_length=2)]]  # image_id, reason
    adopted: str = ""  # the fingerprint of the code that computed it, where it is not its key's


class Journal:
    """The finished shards of one stage below `.work/<stage>`."""

    def __init__(self, folder: Path):
        self.folder = folder

    def shard(self, key: str) -> Path:
        return self.folder / f"{key}.parquet"

    def outcome(self, key: str) -> Outcome | None:
        """What was noted of a finished shard; None where it is missing or was left half done."""
        try:
            noted = Outcome.model_validate_json((self.folder / f"{key}.json").read_bytes())
            whole = self.shard(key).stat().st_size == noted.bytes
        except (OSError, ValueError):
            return None
        return noted if whole else None

    def sound(self, key: str) -> bool:
        """Whether a finished shard still has the bytes that were written (reads them all)."""
        noted = self.outcome(key)
        if noted is None or sha256_of(self.shard(key)) != noted.sha256:
            return False
        return Shard(self.shard(key)).num_rows == noted.rows

    def drop(self, key: str) -> None:
        """Forget a shard; it will be computed again."""
        for path in (self.shard(key), self.folder / f"{key}.json"):
            path.unlink(missing_ok=True)

    def keep(
        self, key: str, table: pa.Table, rejects: list[list[str]], metadata: Mapping[str, str]
    ) -> Outcome:
        """Write a finished shard: temporary name, fsync, note, rename last."""
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f".{key}.{this_process()}.tmp"
        digest = write_shard(temporary, table, metadata)
        size = temporary.stat().st_size
        outcome = Outcome(rows=table.num_rows, bytes=size, sha256=digest, rejects=rejects)
        write_atomically(self.folder / f"{key}.json", as_json(outcome.model_dump()))
        temporary.replace(self.shard(key))
        return outcome

    def adopt(self, former: str, key: str, code: str) -> None:
        """Keep the finished shard `former`, which the code `code` computed, under `key` as well."""
        outcome = self.outcome(former)
        if outcome is None:
            raise KeyError(former)
        note = {**outcome.model_dump(), "adopted": outcome.adopted or code}
        temporary = self.folder / f".{key}.{this_process()}.tmp"
        temporary.unlink(missing_ok=True)
        link(self.shard(former), temporary)
        write_atomically(self.folder / f"{key}.json", as_json(note))
        temporary.replace(self.shard(key))

    def sweep(self, process: str) -> None:
        """Remove the temporary files of a process that has ended, see `this_process`."""
        for path in self.folder.glob(f".*.{process}.tmp"):
            path.unlink(missing_ok=True)

    def refresh(self) -> None:
        """Ask a network file system for the folder anew: other machines' shards show at once."""
        if self.folder.is_dir():
            next(self.folder.iterdir(), None)


def note_keys(work: Path, stage: str, dataset: str, keys: list[str]) -> None:
    """Remember which keys the published data set uses: `gc` keeps these."""
    write_atomically(work / stage / f"{dataset}.keys", as_json(sorted(set(keys))))


def unused(work: Path) -> list[Path]:
    """Finished shards, fits and temporary files that no published data set uses."""
    paths: list[Path] = []
    for folder in sorted(p for p in work.glob("*") if any(p.glob("*.keys"))):
        used: set[str] = set()
        for noted in folder.glob("*.keys"):
            used |= _keys(noted)
        for path in sorted(folder.iterdir()):
            done = path.suffix in {".parquet", ".json", ".fit"}
            if (done and path.stem not in used) or (path.suffix == ".tmp" and not alive(path)):
                paths.append(path)
    return paths


def _keys(noted: Path) -> set[str]:
    """The keys of a data set. `ReidError` where they cannot be read: nothing is removed then."""
    try:
        return set(json.loads(noted.read_text("utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        raise ReidError(
            f"{noted}: damaged; run `reid {noted.parent.name} {noted.stem}` again, or delete it"
        ) from None


def alive(temporary: Path) -> bool:
    """Whether the process whose host and number a temporary file carries may still run."""
    host, _, number = temporary.name.split(".")[-2].rpartition("-")
    if host not in ("", this_host()):  # nobody here can ask for it; files without a host are ours
        return time.time() - temporary.stat().st_mtime < ABANDONED_S
    return number.isdecimal() and is_running(int(number))
