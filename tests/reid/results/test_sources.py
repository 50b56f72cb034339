"""One training with each source of what it reads: which are trained, and the table of them."""

from __future__ import annotations

import contextlib
import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from pipeline.builds import sources as chains
from pipeline.commands.main import app
from reid import experiments
from reid.arrays.flow import encode_flow
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.results import evaluated
from reid.results import sources as sources_compared
from reid.results.sources import Comparison, NoSource, compare
from reid.shards.folder import Shards
from reid.shards.schema import IMAGE
from tests.reid import overhead, video

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


def write_truth(project: Project, dataset: str, column: str, cells: list) -> None:
    """Truth of a data set whose rows are built; a cell a row."""
    ids = Shards(project.shards(dataset)).scalars(["image_id"])["image_id"]
    folder = project.raw(f"{dataset}.truth") / "rows"
    folder.mkdir(parents=True)
    values = pa.array(cells, IMAGE if column == "flow" else None)
    pq.write_table(pa.table({"image_id": ids, column: values}), folder / "00000.parquet")


def images_of(project: Project, dataset: str) -> list[dict]:
    names = ["person", "camera", "height", "width"]
    return Shards(project.shards(dataset)).scalars(names).to_pylist()


def how(project: Project, said: list[str]) -> Comparison:
    return Comparison(project, "cpu", chains.from_sources, said.append)


@pytest.fixture(scope="module")
def hall(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A hall with flow by DIS and by Lucas and Kanade, the true flow, and one trained network."""
    project = video.make_built(tmp_path_factory.mktemp("sources") / "project")
    cells = []
    for row in images_of(project, "hall"):
        flow = np.tile(np.float32(video.MOTION[row["camera"]]), (row["height"], row["width"], 1))
        data = encode_flow(flow, np.ones(flow.shape[:2], bool))
        cells.append({"bytes": data, "path": None})
    write_truth(project, "hall", "flow", cells)
    path = project.reports / "accuracy" / "flow-hall.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"epe": 0.25, "far": 0.5}))
    return project


def test_every_source_has_a_row_and_nothing_is_trained_twice(hall: Project):
    said: list[str] = []
    with contextlib.chdir(hall.root):
        found = compare(how(hall, said), "hall-convlstm", 2, ["truth", "weight-free"])
        assert len(said) == 6, "two seeds of three sources"
        assert compare(how(hall, said), "hall-convlstm", 2, ["truth", "weight-free"]) == found
    assert len(said) == 6
    assert found["title"] == (
        "attentive_convlstm, hall-convlstm: flow from several sources. On hall, 2 seeds"
    )
    rows = found["rows"]
    assert [row["source"] for row in rows] == [
        "truth", "weight-free: dis", "weight-free: lucas_kanade",
    ]  # fmt: skip
    assert [row["builds"] for row in rows] == ["flow hall~truth", "flow hall", "flow hall-lucas"]
    assert [row["accuracy"] for row in rows] == ["", "epe 0.250", ""]
    assert all("±" in row["r1"] for row in rows)
    assert {row["queries"] for row in rows} == {3}
    assert hall.reports.joinpath("tables/sources-attentive_convlstm-hall.md").is_file()
    path = hall.reports / "tables/sources-attentive_convlstm-hall.csv"
    with path.open(newline="") as file:
        assert [row["r1"] for row in csv.DictReader(file)] == [row["r1"] for row in rows]
    assert json.loads(path.with_suffix(".json").read_text()) == found


def test_only_the_data_differ_and_their_content_decides_the_training(hall: Project):
    with contextlib.chdir(hall.root):
        own = experiments.load(hall, "hall-mutual")
        values = sources_compared._training(hall, own)
        builds = {"flow": "hall-lucas"}
        varied = experiments.variant(hall, own.paper.name, "hall", {**values, "builds": builds})
        assert {**varied.described(), "builds": {}} == {**own.described(), "builds": {}}
        assert varied.key(hall) != own.key(hall)


def test_an_experiment_that_is_evaluated_already_is_taken(
    hall: Project, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(evaluated, "metrics_of", lambda _, e: {
        "rank1": 0.75, "map": 0.5, "queries": 4, "gallery": 5, "of": e.name,
    } if e.name == "hall-one" else None)  # fmt: skip
    own = experiments.load(hall, "hall-one")
    chain = chains.Chain("weight-free", "dis", "hall", {}, {})
    found = sources_compared._result(how(hall, []), own, chain, 0)
    assert found["of"] == "hall-one"


def test_crops_from_another_source_are_another_data_set_at_the_same_scale(tmp_path: Path):
    project = overhead_project(tmp_path / "project")
    said: list[str] = []
    with contextlib.chdir(project.root):
        found = compare(how(project, said), "top-mat", 1, ["truth", "weight-free"])
        names = [name.split(":")[0] for name in said]
        told = json.loads((project.run(names[0]) / "evaluate/metrics.json").read_text())
    assert [row["builds"] for row in found["rows"]] == ["crops top~truth", "crops top"]
    assert told["params"]["dataset"] == "crops/top~truth"
    assert told["params"]["builds"] == {"jet": "top-crops~truth"}
    assert told["params"]["width_scale"] == 0.03125, "what params.yaml has of crops/top"


def overhead_project(root: Path) -> Project:
    """Crops by depth, and true boxes a little larger."""
    root.mkdir(parents=True)
    (root / "params.yaml").write_text(overhead.PARAMS + overhead.SECTION)
    project = Project(root.resolve())
    list(overhead.tvpr.write(project.raw("top"), overhead.samples()))
    for stage, name in (("ingest", "top"), ("crops", "top"), ("jet", "top-crops")):
        overhead.build(project, stage, name)
    rows = images_of(project, "top")
    boxes = [[{"person": row["person"], "box": [4.0, 4.0, 44.0, 40.0]}] for row in rows]
    write_truth(project, "top", "people", boxes)
    return project


def test_the_default_is_each_paper_s_last_experiment_that_reads_derived_data(hall: Project):
    with contextlib.chdir(hall.root):
        assert sources_compared.of_worlds(hall) == ["hall-mutual", "hall-plain"]


def test_a_paper_without_such_a_source_is_left_out_unless_it_was_named(
    hall: Project, monkeypatch: pytest.MonkeyPatch
):
    def nothing(how: Comparison, name: str, *_: object) -> dict:
        if name == "hall-mutual":
            raise NoSource("hall-mutual: what it reads has no source networks")
        return {"title": name, "rows": [{"source": "networks"}], "note": "a note"}

    monkeypatch.setattr(sources_compared, "compare", nothing)
    with contextlib.chdir(hall.root):
        done = CliRunner().invoke(app, ["sources", "--source", "networks"])
        assert done.exit_code == 0
        assert "left out: hall-mutual: what it reads has no source networks" in done.output
        assert "hall-plain" in done.output
        done = CliRunner().invoke(app, ["sources", "hall-mutual", "--source", "networks"])
        assert done.exit_code == 1
        with pytest.raises(NoSource, match="hall-mutual: what it reads has no source networks"):
            compare(Comparison(hall, "cpu", lambda *_: [], print), "hall-mutual", 1, ["networks"])


def test_what_cannot_be_compared(hall: Project, trained: Project):
    with contextlib.chdir(hall.root), pytest.raises(ReidError, match="hall-one: reads no derived"):
        compare(how(hall, []), "hall-one", 1)
    with contextlib.chdir(trained.root):
        with pytest.raises(ReidError, match="no experiment reads derived data of a rendered world"):
            sources_compared.of_worlds(trained)
        with pytest.raises(ReidError, match="the truth is known of rendered worlds alone"):
            compare(how(trained, []), "toy-baseline", 1)


def test_an_unreadable_accuracy_names_its_command(hall: Project):
    path = hall.reports / "accuracy" / "flow-bad.json"
    path.write_text("{")
    with pytest.raises(ReidError, match="run `reid accuracy flow bad`"):
        sources_compared._accuracy(hall, "flow", "bad")
