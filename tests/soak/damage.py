"""Campaign: shards with flipped bytes or cut off, as `reid verify` and as every reader sees them.

What is promised, and holds or is found: `reid verify`, `reid.open` and a stage that reads the shard
notice any damage at all, by the SHA-256 of the manifest. A shard opened by itself, without its
manifest, never gives a picture of another length or of another row, and never fails but with one
line. What is not promised there is counted as `unseen`: a bit flipped within one picture reaches
whoever decodes it, unless it decodes to nothing; labels are compressed, where most flips break the
page.
"""

from __future__ import annotations

import contextlib
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from pipeline.engine import inputs
from pipeline.stages import masks
from reid.arrays import images
from reid.data import dataset as library
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.shards.folder import Shard
from reid.shards.verify import verify
from tests.soak import trees
from tests.soak.cases import Case, last_lines, say, time_limit
from tests.soak.mutations import Field

TARGETS = ("flipped", "cut")
SECONDS = 120
Values = dict[str, Any]


def by_offset(path: Path) -> Values:
    """Each image by its own read."""
    shard = Shard(path)
    return {"image": [shard.read("image", row) for row in range(len(shard))]}


def together(path: Path) -> Values:
    """All images in few reads."""
    shard = Shard(path)
    return {"image": shard.read_many("image", range(len(shard)))}


def as_table(path: Path) -> Values:
    """All columns, read by Parquet."""
    table = Shard(path).table()
    images_ = [cell["bytes"] for cell in table["image"].to_pylist()]
    return {**table.drop_columns(["image"]).to_pydict(), "image": images_}


def in_order(path: Path) -> Values:
    """All images, one after the other."""
    return {"image": list(Shard(path).in_order("image"))}


READERS: dict[str, Callable[[Path], Values]] = {
    "by offset": by_offset, "together": together, "as a table": as_table, "in order": in_order,
}  # fmt: skip


class Damage:
    """One sound shard, and the same damaged anew in each case."""

    def __init__(self, base: Path, target: str) -> None:
        self.target = target
        field = Field(base, "market1501", keep=True)
        self.folder = field.valid / "project/data/1-shards" / trees.NAME
        self.path = sorted((self.folder / "rows").iterdir())[0]
        self.sound = self.path.read_bytes()
        self.path.unlink()  # a hard link to the journal's
        self.path.write_bytes(self.sound)
        self.values = {name: read(self.path) for name, read in READERS.items()}
        self.counts: Counter[str] = Counter()  # what became of it, by reader
        project = Project(field.valid / "project")
        read = inputs.find(masks.STAGE, trees.NAME, masks.Params(), project)
        self.checks: dict[str, Callable[[], object]] = {
            "reid.open": lambda: library.open(project.root / "data", trees.NAME),
            "a stage": lambda: read.check({"rows": self.path}),
        }

    def case(self, seed: int) -> Case:
        case, random = Case(self.target, seed), Random(f"{self.target} {seed}")
        at = random.randrange(len(self.sound))
        data = bytearray(self.sound)
        if self.target == "cut":
            data = data[:at]
        else:
            data[at] ^= 1 << random.randrange(8)
        self.path.write_bytes(data)
        case.steps.append(f"{self.target} at byte {at} of {len(self.sound)}")
        with time_limit(SECONDS):
            if not verify(self.folder):
                case.fail("verify finds nothing")
            for name, check in self.checks.items():
                try:
                    check()
                except ReidError as error:
                    if not str(error).isprintable():
                        case.fail(f"{name}: not one printable line: {str(error)[:200]!r}")
                else:
                    case.fail(f"{name}: finds nothing")
            seen = [self.read(name, case) for name in READERS]
        case.outcome = "refused" if all(seen) else "rows"
        self.path.write_bytes(self.sound)
        return case

    def read(self, name: str, case: Case) -> bool:
        """Whether a reader noticed before the value was used, or the values are right."""
        try:
            values = READERS[name](self.path)
        except ReidError as error:
            self.counts[f"{name}: refused"] += 1
            if not str(error).isprintable():
                case.fail(f"{name}: not one printable line: {str(error)[:200]!r}")
            return True
        except Exception as error:
            case.fail(f"{name}: {last_lines(error)}")
            return True
        expected = self.values[name]
        if values == expected:
            self.counts[f"{name}: right all the same"] += 1
            return True
        return self.differs(name, values, case)

    def differs(self, name: str, values: Values, case: Case) -> bool:
        """Wrong values without an error: what kind, and whether decoding shows it."""
        expected = self.values[name]
        wrong = [c for c in expected if values.get(c) != expected[c]]
        if wrong != ["image"]:
            self.counts[f"{name}: labels unseen ({', '.join(wrong)})"] += 1
            return False
        pairs = zip(values["image"], expected["image"], strict=False)
        if [len(d or b"") for d in values["image"]] != [len(d) for d in expected["image"]]:
            case.fail(f"{name}: a picture of another length, without an error")
        changed = [data for data, right in pairs if data != right]
        with contextlib.suppress(images.BadImage):
            for data in changed:
                images.decode(data)
            self.counts[f"{name}: picture unseen, decodes"] += 1
            return False
        self.counts[f"{name}: picture seen when decoded"] += 1
        return True


def cases(target: str, seeds: range, base: Path) -> Iterator[Case]:
    """Damage of one kind; what became of it by reader is printed at the end."""
    home = base / target
    home.mkdir()
    damage = Damage(home, target)
    for seed in seeds:
        yield damage.case(seed)
    for what, count in sorted(damage.counts.items()):
        say(f"{target}: {what}: {count}")
    shutil.rmtree(home)
