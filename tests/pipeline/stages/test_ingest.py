"""Shards of a data set that has columns of its own, and of one that has none."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import datasets
from pipeline.datasets import market1501
from pipeline.datasets.base import Sample
from pipeline.datasets.rap import reader as rap
from pipeline.datasets.rap.labels import EXTRA
from pipeline.engine import run as engine
from pipeline.stages import ingest
from reid.arrays import images
from reid.project.layout import Project
from reid.shards.folder import Shard
from reid.shards.manifest import manifest_of
from reid.shards.schema import ROW
from reid.shards.verify import verify
from tests.conftest import toy_samples

UPPER = [2.0, 3.0, 8.0, 14.5]


@pytest.fixture
def mall(tmp_path: Path) -> Project:
    """Six images of three persons in RAP's layout, of which some have labels of their own."""
    image = np.full((24, 12, 3), (200, 40, 90), np.uint8)
    extras = [{"box_upper_body": UPPER, "occlusion_left": True}, {"occlusion_left": False}, {}]
    written = [
        Sample(image, person, camera, role, viewpoint=camera, extra=extra)
        for person, role in ((1, "train"), (2, "query"), (-1, "gallery"))
        for camera, extra in zip((1, 2), extras[person == 2 :], strict=False)
    ]
    list(rap.write(tmp_path / "data/0-raw/mall", written))
    return Project(tmp_path)


def build(project: Project, dataset: str, reader: str, **params) -> list[Path]:
    plan = ingest.plan(dataset, ingest.Params(reader=reader, **params), project)
    folder = engine.run(plan, project, executor="local").folder
    return sorted((folder / "rows").iterdir())


def test_columns_of_a_data_set_follow_those_of_every_row(mall):
    paths = build(mall, "mall", "rap")
    for path in paths:
        assert Shard(path).columns == [*ROW.names, *EXTRA.names]
        assert [pq.read_schema(path).field(f.name).type for f in EXTRA] == [f.type for f in EXTRA]
    assert manifest_of(mall.shards("mall"), "")["columns"] == [*ROW.names, *EXTRA.names]
    assert verify(mall.shards("mall")) == []


def test_values_and_nulls_of_its_columns(mall):
    rows = pa.concat_tables([pq.read_table(path) for path in build(mall, "mall", "rap")])
    found = {(r["person"], r["camera"]): r for r in rows.to_pylist()}
    assert len(found) == 6
    assert found[1, 1]["box_upper_body"] == UPPER
    assert found[1, 1]["occlusion_left"] is True
    assert found[1, 2]["box_upper_body"] is None
    assert found[1, 2]["occlusion_left"] is False
    assert [found[2, 2][name] for name in EXTRA.names] == [None] * 7
    assert [found[p, c]["viewpoint"] for p, c in found] == [c for _, c in found]


def test_a_broken_image_takes_its_labels_with_it(mall):
    ids = rap.read(mall.raw("mall")).files["path"].to_pylist()
    (mall.raw("mall") / ids[0]).write_bytes(b"no image")
    (test, train) = build(mall, "mall", "rap", max_reject_rate=0.5)
    assert Shard(test).num_rows == 4
    assert Shard(train).table(["occlusion_left"])["occlusion_left"].to_pylist() == [False]


def test_a_changed_label_makes_another_shard_and_no_other(mall):
    params = ingest.Params(reader="rap")
    before = {t.name: t.key for t in ingest.plan("mall", params, mall).tasks}
    listing = rap.read(mall.raw("mall"))
    column = listing.files.column_names.index("occlusion_up")
    flags = [True if r["person"] == 1 else None for r in listing.files.to_pylist()]
    listing.files = listing.files.set_column(column, EXTRA.field("occlusion_up"), pa.array(flags))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rap, "read", lambda root: listing)
        after = {t.name: t.key for t in ingest.plan("mall", params, mall).tasks}
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"train-00000-of-00001.parquet"}


def test_a_renamed_column_makes_other_shards(mall, monkeypatch):
    params = ingest.Params(reader="rap")
    before = {t.key for t in ingest.plan("mall", params, mall).tasks}
    listing = rap.read(mall.raw("mall"))
    names = [*listing.files.column_names[:-1], "box_legs"]
    listing.files = listing.files.rename_columns(names)
    monkeypatch.setattr(rap, "EXTRA", pa.schema([*list(EXTRA)[:-1], listing.files.schema[-1]]))
    monkeypatch.setattr(rap, "read", lambda root: listing)
    assert not before & {t.key for t in ingest.plan("mall", params, mall).tasks}


def test_a_data_set_without_its_own_columns_is_as_if_there_were_none(tmp_path, monkeypatch):
    """The same keys and bytes whether the module says nothing or that it has no columns."""
    project = Project(tmp_path)
    list(market1501.write(project.raw("toy"), toy_samples(persons=4)))
    plain = ingest.plan("toy", ingest.Params(reader="market1501"), project)
    paths = build(project, "toy", "market1501")
    data = [path.read_bytes() for path in paths]
    assert Shard(paths[0]).columns == ROW.names
    monkeypatch.setattr(market1501, "EXTRA", pa.schema([]), raising=False)
    empty = ingest.plan("toy", ingest.Params(reader="market1501"), project)
    assert [t.key for t in empty.tasks] == [t.key for t in plain.tasks]
    engine.run(empty, Project(tmp_path), executor="local", repair=True)
    assert [path.read_bytes() for path in paths] == data


def test_images_out_of_a_container_may_have_columns_too(tmp_path, monkeypatch):
    """A reader with `open_source` and `EXTRA`: the two do not meet."""
    module = ModuleType("pipeline.datasets.boxed")
    vars(module).update({name: getattr(rap, name) for name in ("read", "INFO", "EXTRA")})
    png = images.encode_png(np.zeros((4, 3, 3), np.uint8))
    vars(module)["open_source"] = lambda root: lambda path: png
    monkeypatch.setitem(datasets.READERS, "boxed", lambda: module)
    image = np.full((8, 6, 3), 9, np.uint8)
    extra = {"occlusion_down": True}
    list(rap.write(tmp_path / "data/0-raw/box", [Sample(image, 1, 1, "train", extra=extra)]))
    (path,) = build(Project(tmp_path), "box", "boxed")
    (row,) = pq.read_table(path).to_pylist()
    assert (row["height"], row["width"], row["occlusion_down"]) == (4, 3, True)
    assert row["image"]["bytes"] == png
