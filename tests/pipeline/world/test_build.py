from dataclasses import replace
from itertools import pairwise

import pyarrow.parquet as pq
import pytest

from pipeline import datasets
from pipeline.commands.build import world
from pipeline.datasets import market1501
from pipeline.fit import crowd, people
from pipeline.world.build import build_world
from pipeline.world.scenes import scenes
from pipeline.world.scenes.street import Params
from pipeline.world.truth import SCHEMA
from reid.arrays.images import decode_depth, decode_mask
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.project.locks import lock

TINY = Params(
    train_identities=1, test_identities=1, cameras=2, images_min=2, images_max=2, height=32,
    width=16, distractor_share=0.3, junk_share=0.3,
)  # fmt: skip


@pytest.fixture(autouse=True)
def layouts(monkeypatch):
    """A layout that writes numbered files and one that breaks half-way."""

    def write(root, samples):
        for number, sample in enumerate(samples):
            image_id = f"{sample.role}/{number:03d}_{sample.person}"
            (root / sample.role).mkdir(exist_ok=True)
            (root / f"{image_id}.jpg").write_bytes(sample.encoded)
            yield image_id

    def write_badly(root, samples):
        for number, image_id in enumerate(write(root, samples)):
            if number == 2:
                raise OSError("disk full")
            yield image_id

    for name, function in (("numbered", write), ("broken", write_badly)):
        reader = replace(market1501.READER, write=function)
        monkeypatch.setitem(datasets.READERS, name, lambda reader=reader: reader)


def build(root, layout="numbered", **changes):
    return build_world("tiny", TINY.model_copy(update=changes), layout, root, workers=1)


def files_of(root):
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_truth_rows_are_those_of_the_images(tmp_path):
    counts = build(tmp_path)
    truth = pq.read_table(tmp_path / "tiny.truth" / "rows")
    assert truth.schema.equals(SCHEMA)
    ids = truth["image_id"].to_pylist()
    files = sorted(p.relative_to(tmp_path / "tiny") for p in (tmp_path / "tiny").rglob("*.jpg"))
    assert sorted(ids) == [p.with_suffix("").as_posix() for p in files]
    assert counts["images"] == len(ids) == counts["train"] + counts["query"] + counts["gallery"]


def test_truth_sizes_and_pictures(tmp_path):
    build(tmp_path)
    for row in pq.read_table(tmp_path / "tiny.truth" / "rows").to_pylist():
        for name in ("mask", "depth", "parts"):
            assert row[f"{name}_size"] == len(row[name]["bytes"])
        assert decode_mask(row["mask"]["bytes"]).shape == (32, 16)
        assert decode_depth(row["depth"]["bytes"]).shape == (32, 16)


def test_flow_leads_to_the_next_image_of_the_pass(tmp_path):
    build(tmp_path)
    rows = pq.read_table(tmp_path / "tiny.truth" / "rows").to_pylist()
    ends = 0
    for row, following in pairwise(rows):
        if row["flow"] is None:
            assert row["flow_to"] is None
            ends += 1
        else:
            assert row["flow_to"] == following["image_id"]
    assert 0 < ends < len(rows) - 1


def test_equal_seeds_give_equal_bytes_and_a_rebuild_replaces(tmp_path):
    build(tmp_path / "a")
    build(tmp_path / "b", seed=5)
    assert files_of(tmp_path / "a") != files_of(tmp_path / "b")
    build(tmp_path / "b")
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")
    assert sorted(p.name for p in (tmp_path / "b").iterdir()) == ["tiny", "tiny.truth"]


def test_a_broken_build_leaves_the_earlier_world(tmp_path):
    build(tmp_path)
    before = files_of(tmp_path / "tiny")
    with pytest.raises(OSError, match="disk full"):
        build(tmp_path, "broken")
    assert files_of(tmp_path / "tiny") == before
    build(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["tiny", "tiny.truth"]


def test_a_wrong_layout_is_one_line(tmp_path):
    with pytest.raises(ReidError, match="no reader `nowhere`"):
        build(tmp_path, "nowhere")
    assert list(tmp_path.iterdir()) == []


def test_bytes_columns_are_stored_as_they_are(tmp_path):
    build(tmp_path)
    (path,) = (tmp_path / "tiny.truth" / "rows").iterdir()
    group = pq.ParquetFile(path).metadata.row_group(0)
    columns = [group.column(i) for i in range(group.num_columns)]
    assert {c.compression for c in columns} == {"UNCOMPRESSED"}  # PNG does not shrink again
    assert not any(c.has_dictionary_page for c in columns)


def test_two_renders_of_one_world_are_kept_apart(toy: Project):
    """Both would write into one folder."""
    params = (toy.root / "params.yaml").read_text()
    street = "world: {with: {}, on: {street: {scene: street, layout: market1501}}}"
    (toy.root / "params.yaml").write_text(params.replace("world: {with: {}, on: {}}", street))
    with (
        lock(toy.work / "locks" / "world-street", "the other"),
        pytest.raises(ReidError, match="world street is at work already: process"),
    ):
        world("street")
    assert [path.name for path in toy.raw("toy").parent.iterdir()] == ["toy"]


@pytest.mark.parametrize("scene", scenes.SCENES)
@pytest.mark.parametrize("seed", [people.SEEDS, crowd.SEEDS, 2**40])
def test_a_world_shares_no_people_with_the_fits(scene, seed):
    assert scenes.FIT_SEEDS == people.SEEDS < crowd.SEEDS
    written = {"scene": scene, "layout": "folder"}
    on = {"a": {**written, "seed": people.SEEDS - 1}, "b": {**written, "seed": seed}}
    loaded = {"world": {"with": {}, "on": on}}
    assert scenes.of_world(loaded, "a")[1].seed == people.SEEDS - 1
    with pytest.raises(ReidError, match=rf"world.on.b.seed: {seed}, must be below 1,000,000,000"):
        scenes.of_world(loaded, "b")
