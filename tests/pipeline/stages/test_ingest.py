"""Shards of a data set that has columns of its own, and of one that has none."""

from __future__ import annotations

import gc
import io
import json
import pickle
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import datasets
from pipeline.datasets import market1501
from pipeline.datasets.base import Sample
from pipeline.datasets.folder import reader as folder
from pipeline.datasets.folder.labels import Row
from pipeline.datasets.layouts import names
from pipeline.datasets.rap import reader as rap
from pipeline.datasets.rap.labels import EXTRA
from pipeline.engine import code as codes
from pipeline.engine import run as engine
from pipeline.stages import ingest
from reid.arrays import images
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.shards.folder import Shard
from reid.shards.manifest import manifest_of
from reid.shards.schema import IMAGE, ROW
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
        patch.setattr(rap, "READER", replace(rap.READER, read=lambda root: listing))
        after = {t.name: t.key for t in ingest.plan("mall", params, mall).tasks}
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"train-00000-of-00001.parquet"}


def test_a_renamed_column_makes_other_shards(mall, monkeypatch):
    params = ingest.Params(reader="rap")
    before = {t.key for t in ingest.plan("mall", params, mall).tasks}
    listing = rap.read(mall.raw("mall"))
    names = [*listing.files.column_names[:-1], "box_legs"]
    listing.files = listing.files.rename_columns(names)
    extra = pa.schema([*list(EXTRA)[:-1], listing.files.schema[-1]])
    other = replace(rap.READER, read=lambda root: listing, extra=extra)
    monkeypatch.setattr(rap, "READER", other)
    assert not before & {t.key for t in ingest.plan("mall", params, mall).tasks}


def test_a_data_set_without_columns_of_its_own_has_those_of_every_row(tmp_path):
    project = Project(tmp_path)
    list(market1501.write(project.raw("toy"), toy_samples(persons=4)))
    assert Shard(build(project, "toy", "market1501")[0]).columns == ROW.names


def test_images_out_of_a_container_may_have_columns_too(tmp_path, monkeypatch):
    """A reader with `open_source` and `extra`: the two do not meet."""
    png = images.encode_png(np.zeros((4, 3, 3), np.uint8))
    boxed = replace(rap.READER, open_source=lambda root: lambda path: png)
    monkeypatch.setitem(datasets.READERS, "boxed", lambda: boxed)
    image = np.full((8, 6, 3), 9, np.uint8)
    extra = {"occlusion_down": True}
    list(rap.write(tmp_path / "data/0-raw/box", [Sample(image, 1, 1, "train", extra=extra)]))
    (path,) = build(Project(tmp_path), "box", "boxed")
    (row,) = pq.read_table(path).to_pylist()
    assert (row["height"], row["width"], row["occlusion_down"]) == (4, 3, True)
    assert row["image"]["bytes"] == png


def own_folder(root: Path, files: dict[str, bytes]) -> Project:
    """A folder of one's own: a person to train on, one to test, by two cameras."""
    folder = root / "data/0-raw/mine"
    folder.mkdir(parents=True)
    roles = ["train", "query", "gallery"]
    lines = ["path,person,camera,role"]
    for number, (name, data) in enumerate(files.items()):
        (folder / name).write_bytes(data)
        role = roles[number % 3]
        lines.append(f"{name},{'anna' if role == 'train' else 'eva'},{1 + number % 2},{role}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return Project(root)


def test_every_reader_of_a_shard_sees_an_image_upright_in_the_row_s_size(tmp_path):
    Image = pytest.importorskip("PIL.Image")
    loaded = pytest.importorskip("datasets")
    picture = np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8)
    tags = Image.Exif()
    tags[0x0112] = 6
    files = {}
    for kind in ("jpeg", "png", "webp", "tiff"):
        for number in range(3):
            file = io.BytesIO()
            Image.fromarray(picture).save(file, kind, exif=tags)
            files[f"{kind}_{number}.{kind}"] = file.getvalue()
    project = own_folder(tmp_path, files)
    paths = build(project, "mine", "folder")
    for path in paths:
        table = loaded.Dataset.from_parquet(str(path), cache_dir=str(tmp_path / "cache"))
        for row, other in zip(Shard(path).table().to_pylist(), table, strict=True):
            found = images.decode(row["image"]["bytes"])
            assert found.shape[:2] == (row["height"], row["width"]) == (64, 32)
            np.testing.assert_array_equal(found, np.asarray(other["image"]))
            np.testing.assert_array_equal(
                found, np.asarray(Image.open(io.BytesIO(row["image"]["bytes"])))
            )
            encoded = np.frombuffer(row["image"]["bytes"], np.uint8)
            np.testing.assert_array_equal(found, cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., ::-1])
    folder = project.shards("mine")
    protocol = json.loads((folder / "protocol.json").read_text("utf-8"))
    assert protocol["notes"][-1] == "12 images turned by their EXIF orientation, and stored as PNG"
    assert json.loads((folder / "names.json").read_text("utf-8")) == {
        "persons": {"anna": 1, "eva": 2}
    }


@pytest.mark.parametrize(("farthest", "used"), [(3, False), (99, False), (100, True)])
def test_depth_in_metres_is_a_reject(tmp_path, farthest, used):
    depth = np.arange(12, dtype=np.uint16).reshape(4, 3)
    depth[0, 0] = farthest
    depth_file = images.encode_png(np.where(depth > 11, depth, depth % 3).astype(np.uint16))
    files = {"a.png": images.encode_png(np.full((4, 3, 3), 9, np.uint8)), "d.png": depth_file}
    if used:
        assert ingest.read_images(files.__getitem__, "a.png", "d.png").depth == depth_file
    else:
        with pytest.raises(images.BadImage, match="is it in metres"):
            ingest.read_images(files.__getitem__, "a.png", "d.png")


def test_a_shard_whose_images_are_all_broken_has_no_rows(tmp_path):
    png = images.encode_png(np.full((4, 3, 3), 9, np.uint8))
    project = own_folder(tmp_path, {"0.png": b"none", "1.png": png, "2.png": png})
    paths = build(project, "mine", "folder", max_reject_rate=0.5)
    rows = {path.name.partition("-")[0]: Shard(path).num_rows for path in paths}
    assert rows == {"test": 2, "train": 0}
    assert all(Shard(path).columns == ROW.names for path in paths)


def test_a_person_of_another_name_is_told_though_no_row_changes(tmp_path):
    png = images.encode_png(np.full((4, 3, 3), 9, np.uint8))
    project = own_folder(tmp_path, {f"{number}.png": png for number in range(3)})
    before = [path.read_bytes() for path in build(project, "mine", "folder")]
    labels = project.raw("mine") / "labels.csv"
    labels.write_text(labels.read_text().replace("anna", "berta"))
    assert [path.read_bytes() for path in build(project, "mine", "folder")] == before
    persons = json.loads((project.shards("mine") / "names.json").read_text("utf-8"))["persons"]
    assert persons == {"berta": 1, "eva": 2}


def test_a_task_carries_its_own_rows_alone(tmp_path):
    project = own_folder(tmp_path, {f"{number}.jpg": b"" for number in range(1_200)})
    few, many = (
        ingest.plan("mine", ingest.Params(reader="folder", shard_rows=rows), project).tasks
        for rows in (20, 1_200)
    )
    size = max(len(pickle.dumps(task.payload)) for task in few)
    assert len(few) >= 60
    assert size < min(len(pickle.dumps(task.payload)) for task in many) / 5


def test_a_plan_holds_few_bytes_an_image(tmp_path, monkeypatch):
    """Rows are made up, so that nothing but the plan of ingest is measured."""
    (tmp_path / "data/0-raw/mine").mkdir(parents=True)
    images = 0

    def rows(*_) -> Iterator[Row]:
        for number in range(images):
            person, frame = divmod(number, 100)
            path = f"{person:05d}/{frame % 6 + 1}_{number:06d}.jpg"
            labels = {"path": path, "person": str(person + 1), "camera": str(frame % 6 + 1)}
            labels |= {"tracklet": str(frame // 50), "frame": str(frame)}
            yield Row(path, {**labels, "roles": ("gallery",)})

    monkeypatch.setattr(names, "PACKED", 500)
    monkeypatch.setattr(ingest, "AT_ONCE", 50)
    code = codes.of_reader("folder", Project(tmp_path))
    monkeypatch.setattr(codes, "of_reader", lambda *_: code)
    monkeypatch.setattr(codes, "of_texts", lambda *_: "")
    monkeypatch.setattr(folder, "_rows", rows)
    monkeypatch.setattr(folder.Files, "check", lambda self, path, label="": path)
    monkeypatch.setattr(ingest, "_status", lambda file: (1_000 + len(file), 1))

    def held() -> int:
        """The most bytes that Python and numpy held while they planned, and what Arrow holds."""
        gc.collect()
        before = pa.total_allocated_bytes()
        tracemalloc.start()
        try:
            params = ingest.Params(reader="folder", split=0.5, shard_rows=100)
            planned = ingest.plan("mine", params, Project(tmp_path))
            assert sum(task.rows for task in planned.tasks) == images
            return tracemalloc.get_traced_memory()[1] + pa.total_allocated_bytes() - before
        finally:
            tracemalloc.stop()

    bytes_held = []
    for images in (1_000, 5_000, 15_000):  # noqa: B007  (`rows` reads it)
        bytes_held.append(held())
    assert (bytes_held[2] - bytes_held[1]) / 10_000 < 200


def test_a_file_of_several_rows_is_counted_in_equal_shares(tmp_path):
    (tmp_path / "one.h5").write_bytes(bytes(90))
    (tmp_path / "two.png").write_bytes(bytes(7))
    paths = ["one.h5#a", None, "two.png", "one.h5#b", "gone.png", "one.h5#a#\n"]
    told = ingest._sizes(tmp_path, pa.chunked_array([paths[:2], paths[2:]]))
    assert told[:, 0].tolist() == [30, 0, 7, 30, 0, 30]
    assert [bool(time) for time in told[:, 1]] == [True, False, True, True, False, True]


def test_a_raw_link_whose_target_is_gone_is_one_line(tmp_path):
    raw = tmp_path / "data/0-raw"
    raw.mkdir(parents=True)
    (raw / "mine").symlink_to(tmp_path / "gone")
    with pytest.raises(ReidError, match=r"mine: links to .*gone, which is gone; bring it back"):
        ingest.plan("mine", ingest.Params(reader="folder"), Project(tmp_path))


@pytest.mark.parametrize("data", [[b"ab", None, b"", b"xyz"], [None, None], []])
def test_images_laid_into_one_buffer_are_the_column_that_a_list_makes(data):
    column = ingest.Encoded("image")
    for one in data:
        column.add(one)
    made = column.columns()
    cells = [None if one is None else {"bytes": one, "path": None} for one in data]
    assert made["image"].equals(pa.array(cells, IMAGE))
    assert made["image_size"].to_pylist() == [None if one is None else len(one) for one in data]


def test_a_shard_that_would_be_too_large_is_refused_before_it_is_read_whole(monkeypatch):
    monkeypatch.setattr(ingest, "MAX_PAGE", 5)
    column = ingest.Encoded("depth")
    column.add(b"abc")
    column.add(b"de")
    with pytest.raises(ReidError, match="`depth`: a shard of more than 2 GiB"):
        column.add(b"f")
