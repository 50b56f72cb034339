"""splits_prid2011.json: which persons of PRID 2011 are to train and which to test, ten times over.

    [{"train": ["person_0001", ...], "test": ["person_0003", ...], "num_train": 89, ...}, ...]

Keys other than train and test are left alone.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.datasets.base import Reject
from pipeline.datasets.layouts import names
from pipeline.datasets.layouts.two_camera_splits import Split
from reid.project.errors import ReidError

FILE = "splits_prid2011.json"
HALVES = ("train", "test")
MOST = 99  # splits
LARGEST = 10_000_000  # bytes; the usual file has fewer than 100,000
PERSON = re.compile(r"person_([0-9]{4})")


def find(*folders: Path) -> Path | None:
    """Where the file lies."""
    return next((folder / FILE for folder in folders if os.path.lexists(folder / FILE)), None)


def load(path: Path, shared: int) -> list[dict[str, list[int]]]:
    """Persons by half, of each split; they are among the first `shared`. Raises `ReidError`."""
    splits = _parsed(path)
    if not isinstance(splits, list) or not 1 <= len(splits) <= MOST:
        kind = f"{len(splits)} splits" if isinstance(splits, list) else type(splits).__name__
        raise ReidError(f"{path}: expected a list of 1 to {MOST} splits, found {kind}")
    return [_split(f"{path}: split {k}", one, shared) for k, one in enumerate(splits, 1)]


def _parsed(path: Path) -> Any:
    data = names.read_labels(path, most=LARGEST)
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:  # no text, no JSON, or nested without end
        reason = names.printable(str(error))[:120]
        raise ReidError(f"{path}: not JSON ({reason}); copy or download it anew") from None


def _split(where: str, one: Any, shared: int) -> dict[str, list[int]]:
    if not isinstance(one, dict) or not all(isinstance(one.get(h), list) for h in HALVES):
        raise ReidError(f"{where} must have two lists of persons' folders, train and test")
    halves = {half: [_person(where, name, shared) for name in one[half]] for half in HALVES}
    for half, persons in halves.items():
        if not persons:
            raise ReidError(f"{where}: nobody is in {half}")
    twice = [p for p, times in Counter(halves["train"] + halves["test"]).items() if times > 1]
    if twice:
        raise ReidError(f"{where}: person_{min(twice):04d} is named twice")
    return halves


def _person(where: str, name: Any, shared: int) -> int:
    match = PERSON.fullmatch(name) if isinstance(name, str) else None
    if match is None:
        shown = names.printable(name)[:40] if isinstance(name, str) else type(name).__name__
        raise ReidError(f"{where}: `{shown}` is not a person's folder such as person_0001")
    if not 1 <= int(match[1]) <= shared:
        raise ReidError(f"{where}: {name}: only person_0001 to person_{shared:04d} are the same in "
                        "both cameras")  # fmt: skip
    return int(match[1])


def absent(path: Path, splits: Sequence[dict[str, list[int]]], there: set[int]) -> list[Reject]:
    """A reject for each person that is named without being there; the splits do without them."""
    named = {person for split in splits for persons in split.values() for person in persons}
    return [
        Reject(f"{path.name}#person_{person:04d}", "no frame of one camera, or of both")
        for person in sorted(named - there)
    ]


def save(path: Path, splits: Sequence[Split]) -> None:
    """Write splits; equal ones give equal bytes."""
    made = [
        {half: [f"person_{person:04d}" for person in persons]
         for half, persons in (("train", split.train), ("test", split.test))}
        for split in splits
    ]  # fmt: skip
    names.write_file(path, json.dumps(made, indent=1).encode())
