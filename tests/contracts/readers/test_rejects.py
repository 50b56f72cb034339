"""What every reader leaves out with a reason, keeping all other rows: odd names, files, images."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.datasets.base import LISTED
from pipeline.engine import run as engine
from pipeline.stages import ingest
from reid.project.layout import Project
from reid.shards.verify import verify
from tests.contracts.readers.layouts import (
    BY_NAME,
    CUHK03,
    IN_FILES,
    copy,
    image_folders,
    read,
    read_or_refused,
    rows_of,
)
from tests.soak import contents_of_files, labels_in_files, places_of_files, trees
from tests.soak.names_of_files import rename

OTHER_DIGITS = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
STRAY = (  # names that may lie beside a good one
    "{stem}{end}{end}", "{stem}", "{stem} (1){end}", "{stem}{end}.part", "Copy of {stem}{end}",
    " {stem}{end}", "{end}", "*{end}", "[red]{stem}{end}", "readme.txt", "行人{end}", "x" * 255,
    "9" * 255,
)  # fmt: skip
PLAIN = ("tvpr", "prid2011")  # whose names are numbers, which others may have too
UNPRINTABLE = {
    b"a\nb.jpg": "a\\nb.jpg", b"\xff\xfe.jpg": "\\xff\\xfe.jpg",
    b"\x1b[31mred.png": "\\x1b[31mred.png", "\u202egpj.1".encode(): "\\u202egpj.1",
    b"\xed\xa0\x80.jpg": "\\xed\\xa0\\x80.jpg",
}  # fmt: skip
ODD: dict[str, tuple[Callable[[Path], object], str]] = {  # what an image's name is of; the reason
    "nothing": (lambda path: None, "no such file"),
    "a folder": (lambda path: path.mkdir(), "a folder among the images"),
    "a link to nothing": (lambda path: path.symlink_to("nowhere"), "a link to nothing"),
    "a link to itself": (
        lambda path: path.symlink_to(path.name),
        "cannot be looked at: Too many levels of symbolic links",
    ),
    "a pipe": (os.mkfifo, "neither file nor folder"),
}
SEEDS = 25  # of random damage, for each reader


@pytest.mark.parametrize("name", BY_NAME)
def test_a_stray_name_is_a_reject(name, written, tmp_path):
    root = copy(written, name, tmp_path)
    expected = read(name, root)
    path = root / next(row["path"] for row in rows_of(expected).values() if row["train"])
    stray = [form.format(stem=path.stem, end=path.suffix) for form in STRAY]
    stray += [path.name.translate(OTHER_DIGITS)]
    stray += [name_of_another(one, written) for one in BY_NAME if one not in (name, *PLAIN)]
    for one in stray:
        (path.parent / one).touch()
    listing = read(name, root)
    assert listing.files == expected.files
    rejects = {Path(image_id).name: reason for image_id, reason in listing.rejects}
    assert rejects.keys() == set(stray)
    for reason in rejects.values():
        assert reason.startswith("not named in" if name == "rap" else "not a")


def name_of_another(name: str, written: dict[str, Path]) -> str:
    """The name of an image of this data set, which is none in another one."""
    return Path(read(name, written[name]).files["path"][0].as_py()).name


@pytest.mark.parametrize("name", IN_FILES)
def test_a_name_that_is_no_text_is_shown_escaped(name, written, tmp_path):
    root = copy(written, name, tmp_path)
    expected = read(name, root)
    folders = image_folders(expected, root)
    for folder in folders:
        for one in UNPRINTABLE:
            (folder / os.fsdecode(one)).touch()
    listing = read(name, root)
    assert listing.files == expected.files
    assert listing.found.items() >= {
        (n, count) for n, count in expected.found.items() if not n.startswith("files_without")
    }
    assert all(reject.reason.isprintable() for reject in listing.rejects)
    if name != "folder":  # which lists what its table names, and nothing else
        shown = [Path(reject.image_id).name for reject in listing.rejects]
        assert sorted(shown) == sorted([*UNPRINTABLE.values()] * len(folders))


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("name", IN_FILES)
def test_what_is_no_image_file_costs_its_own_row(name, odd, written, tmp_path):
    root = copy(written, name, tmp_path)
    before = rows_of(read(name, root))
    image_id, row = next((i, row) for i, row in before.items() if row["train"])
    path = root / row["path"]
    path.unlink()
    put, reason = ODD[odd]
    put(path)
    listing = read(name, root)
    lost = {image_id}
    if name == "dpit":  # the maps of a video are those of its frames by position
        lost = {i for i in before if i.rpartition("/")[0] == image_id.rpartition("/")[0]}
    assert set(rows_of(listing)) == set(before) - lost
    if odd != "nothing" and name in BY_NAME:
        assert reason in [why for image, why in listing.rejects if row["path"].endswith(image)]
    silent = odd == "nothing" and name not in ("rap", "mars", "tvpr", "opr", "dpit", "folder")
    assert silent == (not listing.rejects)


@pytest.mark.parametrize("name", IN_FILES)
def test_a_link_to_an_image_is_an_image(name, written, tmp_path):
    root = copy(written, name, tmp_path)
    expected = read(name, root)
    path = root / expected.files["path"][0].as_py()
    target = (root if name == "folder" else tmp_path) / "moved"  # a table may not lead outside
    path.rename(target)
    path.symlink_to(target)
    assert read(name, root).files == expected.files


def tracklet_of(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["person"], row["camera"], row["tracklet"]


@pytest.mark.parametrize("name", IN_FILES)
def test_a_broken_image_is_a_reject_of_ingest_and_not_the_end(name, tmp_path):
    project = Project(trees.make(tmp_path, name))
    root = project.raw(trees.NAME)
    listing = read(name, root)
    rows = rows_of(listing)
    broken = next(i for i, row in rows.items() if row["train"])
    (root / rows[broken]["path"]).write_bytes(b"no image")
    params = ingest.Params(reader=name, shard_rows=4, max_reject_rate=0.5)
    folder = engine.run(ingest.plan(trees.NAME, params, project), project, executor="local").folder
    assert verify(folder) == []
    (reject,) = pq.read_table(folder / "rejects.parquet").to_pylist()
    assert reject == {"image_id": broken, "reason": "neither JPEG nor PNG"}
    shards = [pq.read_table(path).to_pylist() for path in sorted((folder / "rows").iterdir())]
    built = {row["image_id"]: row for shard in shards for row in shard}
    assert set(built) == set(rows) - {broken}
    for image_id, row in built.items():
        for column in LISTED.names[3:11]:
            assert row[column] == rows[image_id][column]
    tracklets = [{tracklet_of(row) for row in shard} for shard in shards]
    if None not in listing.files["tracklet"].to_pylist():
        assert sum(map(len, tracklets)) == len(set.union(*tracklets))  # none is in two shards
        for shard in shards:
            order = [(*tracklet_of(row), row["frame"]) for row in shard]
            assert order == sorted(order)
    protocols = json.loads((folder / "protocol.json").read_text())["protocols"]
    assert [p["name"] for p in protocols] == [p["name"] for p in listing.protocols]


@pytest.mark.parametrize("seed", range(SEEDS))
def test_damage_at_random_is_rows_rejects_or_one_line(name, seed, written, tmp_path):
    root, random = copy(written, name, tmp_path), Random(f"{name} {seed}")
    (tmp_path / "outside").mkdir()
    for number in range(random.choice((1, 1, 2, 3))):
        harm(random, root, tmp_path / "outside", whole=number == 0)
    listing = read_or_refused(name, root)
    if listing is None:
        return
    ids = listing.files["image_id"].to_pylist()
    assert len(set(ids)) == len(ids)
    for reject in listing.rejects:
        assert reject.reason
        assert f"{reject.image_id}{reject.reason}".isprintable()
    if name not in CUHK03:
        assert all((root / path).exists() for path in listing.files["path"].to_pylist())


def harm(random: Random, root: Path, outside: Path, whole: bool) -> None:
    """One name, path, content or, as long as all files are whole, label gets another."""
    paths = sorted(path for path in root.rglob("*") if not path.is_symlink())
    labels = [p for p in paths if p.suffix in labels_in_files.BY_ENDING and p.is_file()]
    path = random.choice(labels if labels and random.random() < 0.5 else paths or [root])
    kind = random.choice(("name", "path", "content", *(("label",) * whole)))
    if kind == "name":
        rename(random, path)
    elif kind == "path" or not path.is_file():
        places_of_files.move(random, path, outside)
    elif kind == "label" and path in labels:
        labels_in_files.relabel(random, path)
    else:
        contents_of_files.rewrite(random, path)
