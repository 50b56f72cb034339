"""What an experiment reads from other sources: every stage after the one that changes follows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import reid
from pipeline.builds import sources as chains
from pipeline.commands.build import make_plan
from pipeline.engine import run as engine
from reid.arrays.flow import encode_flow
from reid.arrays.images import decode_mask, encode_png
from reid.arrays.poses import joints_column
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.shards.folder import Shards
from reid.shards.manifest import manifest_of
from reid.shards.schema import IMAGE
from tests.conftest import contents, standing_joints
from tests.pipeline import overhead
from tests.pipeline.conftest import make_swaps_project
from tests.pipeline.conftest import rows_of as swap_rows
from tests.pipeline.video import run_flow, shifted, write_video

FLOW = """\
run: {executor: local}
flow:
  on:
    toy: {dataset: toy, backend: dis, scale: 2}
    lucas: {dataset: toy, backend: lucas_kanade, window: 9}
"""


def write_truth(project: Project, dataset: str, **columns: pa.Array) -> None:
    """Truth of a data set whose rows are built, as a rendered world has it beside its images."""
    ids = ids_of(project, dataset)
    folder = project.raw(f"{dataset}.truth") / "rows"
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"image_id": ids, **columns}), folder / "00000.parquet")


def ids_of(project: Project, dataset: str) -> list[str]:
    return Shards(project.shards(dataset)).scalars(["image_id"])["image_id"].to_pylist()


def pictures(images: list[bytes]) -> pa.Array:
    return pa.array([{"bytes": data, "path": None} for data in images], IMAGE)


@pytest.fixture
def street(toy: Project) -> Project:
    """The toy data set with its parts, and a truth in which people stand a little further right."""
    for stage in ("ingest", "joints", "parts"):
        engine.run(make_plan(stage, "toy", toy), toy, executor="local")
    joints = np.tile(standing_joints(64, 32), (len(ids_of(toy, "toy")), 1, 1))
    joints[:, :, 0] += 4
    write_truth(toy, "toy", joints=joints_column(joints, np.zeros(len(joints), bool)))
    return toy


def test_what_comes_of_the_changed_stage_follows(street: Project):
    before = contents(street.derived("parts", "toy"))
    (chain,) = chains.from_sources(street, "toy", {"parts": "toy"}, ["truth"])
    assert (chain.dataset, chain.builds, chain.found) == (
        "toy", {"parts": "toy~truth"}, {"joints": "toy~truth"},
    )  # fmt: skip
    data = reid.open("data", "toy", ["joints", "parts"], {"joints": "toy~truth", **chain.builds})
    np.testing.assert_allclose(data.value("joints", 3)[:, 0], standing_joints(64, 32)[:, 0] + 4)
    own = reid.open("data", "toy", ["parts"])
    assert data.value("parts", 3)[0][0] > own.value("parts", 3)[0][0] + 1
    assert contents(street.derived("parts", "toy")) == before


def test_a_second_time_nothing_is_computed(street: Project, monkeypatch: pytest.MonkeyPatch):
    first = chains.from_sources(street, "toy", {"parts": "toy"}, ["truth"])
    monkeypatch.setattr(engine.Journal, "keep", lambda *_: pytest.fail("a shard is computed"))
    assert chains.from_sources(street, "toy", {"parts": "toy"}, ["truth"]) == first


def test_params_yaml_s_own_source_is_not_built_again(street: Project):
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("path: joints.csv", "path: data/0-raw/toy.truth"))
    engine.run(make_plan("joints", "toy", street), street, executor="local")
    (chain,) = chains.from_sources(street, "toy", {"parts": "toy"}, ["truth"])
    assert (chain.builds, chain.found) == ({"parts": "toy"}, {"joints": "toy"})
    assert not street.derived("joints", "toy~truth").exists()


def test_a_data_set_made_by_the_changed_stage_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    project = overhead.make_overhead(tmp_path / "project", monkeypatch, persons=3)
    overhead.change("top-crops: {dataset: crops/top}",
                    "top-crops: {dataset: crops/top, missing: near, rows: x}")  # fmt: skip
    for stage, name in (("ingest", "top"), ("crops", "top"), ("jet", "top-crops")):
        overhead.build(project, stage, name)
    rows = overhead.rows_of(project.shards("top"))
    boxes = [[{"person": r["person"], "box": [1.0, 2.0, 21.0, 30.0]}] for r in rows]
    write_truth(project, "top", people=pa.array(boxes))
    truth, free = chains.from_sources(
        project, "crops/top", {"jet": "top-crops"}, ["truth", "weight-free"]
    )
    assert (truth.dataset, truth.builds) == ("crops/top~truth", {"jet": "top-crops~truth"})
    assert truth.found == {"crops": "top~truth"}
    assert overhead.rows_of(project.shards("crops/top~truth"))[0]["crop_box"] == [1, 2, 21, 30]
    told = manifest_of(project.derived("jet", "top-crops~truth"), "")
    assert told["dataset"] == "crops/top~truth"
    assert told["parameters"]["missing"] == "near", "as the build has it that it stands for"
    assert (free.name, free.dataset, free.builds) == ("depth", "crops/top", {"jet": "top-crops"})


def test_a_data_set_of_swaps_follows_masks_over_two_stages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    project = make_swaps_project(tmp_path / "project", monkeypatch)
    for stage in ("ingest", "masks", "backgrounds", "swaps"):
        engine.run(make_plan(stage, "toy", project), project, executor="local")
    left = np.zeros((64, 32), np.uint8)
    left[8:60, 4:16] = 255
    masks = [encode_png(left)] * len(ids_of(project, "toy"))
    write_truth(project, "toy", mask=pictures(masks))
    (chain,) = chains.from_sources(project, "swaps/toy", {}, ["truth"])
    assert (chain.dataset, chain.found) == ("swaps/toy~truth", {"masks": "toy~truth"})
    areas = {row["mask_area"] for row in swap_rows(project, "masks", "toy~truth")}
    assert areas == {52 * 12}
    regions = [row["region"] for row in swap_rows(project, "backgrounds", "toy~truth")]
    shown = {int(decode_mask(region["bytes"]).sum()) for region in regions if region}
    assert shown == {52 * 12}


@pytest.fixture
def hall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Two tracklets with flow by DIS; in truth every pixel goes two to the right."""
    frames = {(1, c, 1): shifted(32, 24, 2, 0, 4, seed=c) for c in (1, 2)}
    write_video(tmp_path / "project", [frames])
    monkeypatch.chdir(tmp_path / "project")
    Path("params.yaml").write_text(FLOW)
    project = Project(Path())
    run_flow(project, scale=2)
    flow = np.zeros((32, 24, 2), np.float32)
    flow[..., 0] = 2
    cells = pictures([encode_flow(flow, np.ones((32, 24), bool))] * len(ids_of(project, "toy")))
    write_truth(project, "toy", flow=cells)
    return project


def test_each_backend_without_weights_is_a_source_and_builds_of_params_yaml_are_taken(
    hall: Project,
):
    free = chains.from_sources(hall, "toy", {"flow": "toy"}, ["weight-free"])
    assert [(c.kind, c.name, c.builds) for c in free] == [
        ("weight-free", "dis", {"flow": "toy"}), ("weight-free", "lucas_kanade", {"flow": "lucas"}),
    ]  # fmt: skip
    (truth,) = chains.from_sources(hall, "toy", {"flow": "lucas"}, ["truth"])
    assert truth.builds == {"flow": "lucas~truth"}
    told = manifest_of(hall.derived("flow", "lucas~truth"), "")["parameters"]
    assert (told["backend"], told["path"]) == ("given", "data/0-raw/toy.truth")
    flow = reid.open("data", "toy", ["flow"], truth.builds).value("flow", 0)
    np.testing.assert_allclose(np.asarray(flow)[5, 5][:2], [2, 0], atol=1 / 64)


def test_the_networks_are_those_fitted_to_worlds(
    hall: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("pipeline.backends.choices.WORLD", tmp_path)
    found = [source.kind for source in chains.sources(hall, "toy", {"flow": "toy"})]
    assert set(found) == {"truth", "weight-free"}, "no weights for rendered worlds come with it"
    (tmp_path / "flow_ptlflow.safetensors").touch()
    kinds = {s.kind: s.wanted for s in chains.sources(hall, "toy", {"flow": "toy"})}
    assert list(kinds) == ["truth", "networks", "weight-free"]
    assert kinds["networks"] == {"flow": {"backend": "ptlflow", "weights": "world"}}


def test_another_backend_has_its_own_defaults(hall: Project):
    from pipeline.stages.flow import Params

    own = Params(backend="dis", model="fast", scale=2)
    changed = chains._overrides(own, {"backend": "ptlflow", "weights": "world"})
    assert changed == {
        "backend": "ptlflow", "weights": "world", "model": "", "trusted": False, "path": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("dataset", "builds", "kinds", "message"),
    [
        pytest.param("toy", {"flow": "toy"}, ["trut"], r"no source `trut` \(there", id="kind"),
        pytest.param("toy", {}, [], "nothing that is read of it", id="nothing derived"),
        pytest.param("toy", {"flow": "hal"}, [], "flow.on has no `hal`", id="no such build"),
    ],
)  # fmt: skip
def test_what_has_no_source(hall: Project, dataset, builds, kinds, message: str):
    with pytest.raises(ReidError, match=message):
        chains.from_sources(hall, dataset, builds, kinds)


def test_a_data_set_without_truth(toy: Project):
    for stage in ("ingest", "joints", "parts"):
        engine.run(make_plan(stage, "toy", toy), toy, executor="local")
    with pytest.raises(
        ReidError, match=r"toy\.truth: no such folder; the truth is known of rendered"
    ):
        chains.from_sources(toy, "toy", {"parts": "toy"})


def test_a_stage_has_no_source_without_weights(street: Project):
    assert chains.from_sources(street, "toy", {"parts": "toy"}, ["weight-free"]) == []
