"""Campaign: tiny valid inputs of every reader with one to three random mutations, ingested.

Holds where ingest gives rows or refuses in one line; where it gives rows, where images alone were
touched, all other images are among them with their bytes, and `verify` finds the folder sound; and
where nothing has changed beside the project's own output, nothing outside is in a shard, nothing
was run, and it ended in time.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from pipeline import datasets
from pipeline.commands.build import run_stage
from reid.project.errors import ReidError
from reid.project.params import load, section
from reid.shards.folder import Shards
from reid.shards.verify import verify
from tests.soak import contents_of_files, labels_in_files, places_of_files, settings_in_yaml, trees
from tests.soak.cases import Case, TookTooLong, changes, last_lines, snapshot, time_limit
from tests.soak.contents_of_files import CANARY
from tests.soak.names_of_files import rename

SECONDS = 120  # of one case; most take a tenth of one
LONGEST_LINE = 2_000  # characters of what a user is told
NOBODY = 65_534  # the user to whom access rights apply where the tests run as root
PARAMS, WORK = "params.yaml", ".work"  # targets beside the readers
TARGETS = (*datasets.READERS, PARAMS, WORK)


class Field:
    """The valid tree of a target, made once; each case works on a copy."""

    def __init__(self, base: Path, target: str, *, keep: bool = False) -> None:
        self.target, self.base = target, base
        self.reader = target if target in datasets.READERS else "market1501"
        self.valid = base / f"valid-{target}"
        project = trees.make(self.valid, self.reader)
        with contextlib.chdir(project), silent():
            ingest(trees.NAME)
            self.images = images_of(Path("data/1-shards") / trees.NAME)
        if target != WORK and not keep:
            shutil.rmtree(project / "data/1-shards")
            shutil.rmtree(project / ".work")

    def case(self, seed: int) -> Case:
        """Copy, mutate, ingest, look."""
        case, random = Case(self.target, seed), Random(f"{self.target} {seed}")
        home = self.base / f"case-{self.target}"
        shutil.copytree(self.valid, home, symlinks=True)
        try:
            Attempt(self, home, case).run(random)
        finally:
            _allow(home)
            shutil.rmtree(home)
        return case


class Attempt:
    """One case at work in its own folder."""

    def __init__(self, field: Field, home: Path, case: Case) -> None:
        self.field, self.home, self.case = field, home, case
        self.project, self.outside = home / "project", home / trees.OUTSIDE
        self.name = trees.NAME
        self.touched: set[str] = set()  # kinds of files: images, labels, folders
        self.stems: set[str] = set()  # of images that were touched

    def run(self, random: Random) -> None:
        for _ in range(random.choice((1, 1, 2, 3))):
            self.case.steps.append(self.mutate(random))
        own = [self.project / "data/1-shards", self.project / ".work"]
        before = snapshot(self.home, own)
        with contextlib.chdir(self.project), self.as_user():
            self.attempt()
        changed = changes(before, snapshot(self.home, own))
        if changed:
            self.case.fail(f"changed outside its own folders: {changed}")

    def mutate(self, random: Random) -> str:
        """One mutation of whatever the target has; in words."""
        if self.field.target == PARAMS:
            said, name = settings_in_yaml.change(random, self.project / PARAMS)
            self.name = self.named(name)
            return said
        if self.field.target == WORK:
            files = sorted(p for p in (self.project / WORK).rglob("*") if p.is_file())
            path = random.choice(files)
            if path.suffix in (".json", ".keys") and random.random() < 0.6:
                return labels_in_files.as_json(random, path)
            return contents_of_files.rewrite(random, path)
        try:
            return self.mutate_raw(random)
        except Exception as error:  # the mutation before has left what this one cannot open
            return f"not possible: {type(error).__name__}"

    def mutate_raw(self, random: Random) -> str:
        """A folder, an image or a file of labels gets another name, content, place or label."""
        raw = self.project / "data/0-raw" / trees.NAME
        paths = sorted(p for p in raw.rglob("*") if not p.is_symlink())
        labels = [p for p in paths if p.suffix in labels_in_files.BY_ENDING and p.is_file()]
        path = random.choice(labels if labels and random.random() < 0.5 else paths or [raw])
        is_image = path.is_file() and path not in labels
        kind = random.choice(("name", "place", "content", "content", "label", "label"))
        self.touched.add("images" if is_image else "labels" if path in labels else "folders")
        self.stems.add(path.stem)
        if kind == "name":
            return rename(random, path)
        if kind == "place" or path.is_dir():
            said = places_of_files.move(random, path, self.outside)
            self.touched |= {"links"} if said.startswith("link") else set()
            return said
        if kind == "label" and path in labels:
            return labels_in_files.relabel(random, path)
        return contents_of_files.rewrite(random, path) if path.is_file() else "no file"

    def named(self, name: str) -> str:
        """The data set's name as the command would get it, where YAML can be read."""
        try:
            builds = [*section(load(self.project), "ingest", "on")]
        except Exception:  # the attempt itself will meet it
            return name
        return str(builds[0]) if builds else name

    @contextlib.contextmanager
    def as_user(self) -> Iterator[None]:
        """As nobody where rights were taken away and root would not notice."""
        if os.geteuid() != 0 or not any("forbidden" in step for step in self.case.steps):
            yield
            return
        for path in (self.home, *self.home.rglob("*")):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        codecs.lookup("utf-8-sig")  # Python's own files may be forbidden too
        os.seteuid(NOBODY)
        try:
            yield
        finally:
            os.seteuid(0)

    def attempt(self) -> None:
        """Ingest and judge what came of it."""
        case = self.case
        try:
            with time_limit(SECONDS), silent():
                for repair in (False, True) if self.field.target == WORK else (False,):
                    ingest(self.name, repair=repair)
                self.judge()
            case.outcome = "rows"
        except ReidError as error:
            case.outcome = "refused"
            text = str(error)
            if not text.isprintable():
                case.fail(f"not one printable line: {text[:200]!r}")
            if len(text) > LONGEST_LINE:
                case.fail(f"a line of {len(text):,} characters: {text[:200]!r}")
        except TookTooLong as error:
            case.fail(f"hung: {last_lines(error)}")
        except Exception as error:
            case.fail(last_lines(error))
        if Path(CANARY).exists():
            case.fail("ran code of the input")

    def judge(self) -> None:
        """Rows were published: sound, complete, and none from outside."""
        folder = Path("data/1-shards") / self.name
        problems = verify(folder)
        if problems:
            self.case.fail(f"published what is not sound: {problems[0]}")
        built = images_of(folder)
        if trees.secret() in built.values() and "links" not in self.touched:
            self.case.fail("an image from outside is in a shard")
        if self.touched <= {"images"}:
            lost = [i for i, data in self.field.images.items() if self.is_lost(i, data, built)]
            if lost:
                self.case.fail(f"lost good rows: {', '.join(lost[:3])} ({len(lost)} in all)")

    def is_lost(self, image_id: str, data: bytes, built: dict[str, bytes]) -> bool:
        """Whether a row is gone whose own files, colour and depth, nobody touched."""
        stem = image_id.rpartition("/")[2]
        related = {stem, stem.replace("rgb_", "depth_")}
        if self.field.reader == "dpit":  # maps belong to images by their place in the video
            related = {s for s in self.stems if s[:6] == stem[:6]}
        return not related & self.stems and built.get(image_id) != data


def ingest(name: str, *, repair: bool = False) -> None:
    """As `reid ingest NAME` does, in this process."""
    run_stage("ingest", name, None, None, "cpu", repair)


def images_of(folder: Path) -> dict[str, bytes]:
    """The images of a built folder by image_id."""
    rows: dict[str, bytes] = {}
    for shard in Shards(folder).shards:
        table: dict[str, list[Any]] = shard.table(["image_id", "image"]).to_pydict()
        rows |= {i: v["bytes"] for i, v in zip(*table.values(), strict=True)}
    return rows


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Nothing on the terminal, and a warning is an error: it says that a value was not checked."""
    quiet = io.StringIO()
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(quiet),
        contextlib.redirect_stderr(quiet),
    ):
        warnings.simplefilter("error")
        yield


def _allow(home: Path) -> None:
    for path in [home, *home.rglob("*")]:
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)


def cases(target: str, seeds: range | list[int], base: Path) -> Iterator[Case]:
    """The cases of one target by seed, in folders below `base`."""
    field = Field(base, target)
    for seed in seeds:
        yield field.case(seed)
