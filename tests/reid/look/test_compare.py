"""Two runs side by side: which queries, which gallery images, right and wrong by frame and mark."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from pipeline.commands.main import app
from reid import experiments
from reid.arrays import draw, images
from reid.data.dataset import open as open_data
from reid.evaluation.evaluate import evaluate
from reid.look import compare, pictures
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.report import page
from reid.results import evaluated
from reid.shards.folder import write_shard
from tests.reid.conftest import copy_of

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")

HEIGHT, WIDTH = pictures.CELL_PX
STEP_Y, STEP_X = HEIGHT + draw.LABEL_PX + 2 * pictures.EDGE_PX, WIDTH + pictures.EDGE_PX
TOP = pictures.EDGE_PX + 2 * pictures.LINE_PX  # of the first line of images


def cell(picture: np.ndarray, line: int, column: int) -> np.ndarray:
    y, x = TOP + line * STEP_Y, pictures.EDGE_PX + column * STEP_X
    return picture[y : y + HEIGHT, x : x + WIDTH]


def seen(picture: np.ndarray, line: int, column: int) -> str:
    """What a cell shows, by its frame and its background."""
    shown = cell(picture, line, column)
    for name, colour in (("right", pictures.RIGHT), ("wrong", pictures.WRONG)):
        if (shown[1] == colour).all():
            return name
    for name, colour in (("white", draw.WHITE), ("gone", draw.PAPER)):
        if (shown == colour).all():
            return name
    return "image"


def ranked(query: str, gallery: list[str], match: list[bool], precision: float) -> dict[str, Any]:
    return {
        "query": query, "gallery": gallery, "match": match, "average_precision": precision,
        "first_match": 1,
    }  # fmt: skip


def make_run(project: Project, name: str, rows: list[dict[str, Any]], dataset: str = "toy") -> None:
    """An evaluated run as it would be published, with lists made here."""
    metrics = {"experiment": name, "paper": "attention_driven", "params": {"dataset": dataset}}
    folder = project.run(name) / "evaluate"
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps(metrics))
    write_shard(folder / "ranked.parquet", pa.Table.from_pylist(rows), {})


@pytest.fixture(scope="module")
def names(trained: Project) -> dict[str, list[str]]:
    """The image_ids of each role of `toy`."""
    rows = open_data(trained.root / "data", "toy").rows.to_pylist()
    return {role: [row["image_id"] for row in rows if row[role]] for role in ("query", "gallery")}


@pytest.fixture(scope="module")
def project(trained: Project, names, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Two made runs over `toy` whose lists are known, one over `other`, and the trained ones."""
    project = copy_of(trained, tmp_path_factory.mktemp("compare") / "project")
    gallery = names["gallery"]
    for name, shift in (("made-a", 0.0), ("made-b", 0.05)):
        rows = []
        for i, query in enumerate(names["query"]):
            match = [j % 2 == (name == "made-b") for j in range(7)]
            rows.append(ranked(query, gallery[i : i + 7], match, 0.9 - i / 20 - shift))
        make_run(project, name, rows)
    make_run(project, "made-other", [ranked("x", ["y"], [True], 0.5)], dataset="other")
    return project


def test_each_run_s_first_images_with_frames(project: Project):
    picture = compare.compare(project, "made-a", "made-b", queries=2)
    for line in range(2):
        cells = [seen(picture, line, column) for column in range(compare.COLUMNS)]
        assert cells == [
            "image", "white", "right", "wrong", "right", "wrong", "right",
            "white", "wrong", "right", "wrong", "right", "wrong",
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("queries", "positions"),
    [
        pytest.param(1, [6], id="one: the middle"),
        pytest.param(3, [2, 6, 10], id="three: the middles of the thirds"),
        pytest.param(99, [*range(12)], id="more than there are: all"),
    ],
)
def test_queries_from_the_best_to_the_worst(project: Project, names, queries, positions):
    """The made runs rank the twelve queries in the order of their names."""
    picture = compare.compare(project, "made-a", "made-b", queries)
    assert picture.shape[0] == 2 * pictures.LINE_PX + len(positions) * STEP_Y
    for line, position in enumerate(positions):
        raw = images.decode((project.raw("toy") / f"{names['query'][position]}.jpg").read_bytes())
        np.testing.assert_array_equal(cell(picture, line, 0), draw.fitted(raw, HEIGHT, WIDTH))


def test_the_images_are_those_of_the_lists(project: Project, names):
    picture = compare.compare(project, "made-a", "made-b", queries=1)
    for column, image_id in enumerate(names["gallery"][6:11]):
        raw = images.decode((project.raw("toy") / f"{image_id}.jpg").read_bytes())
        for run, first in enumerate((2, 8)):
            expected = pictures.framed(raw, column % 2 == run)
            np.testing.assert_array_equal(cell(picture, 0, first + column), expected)


def test_evaluated_runs_show_what_matches(project: Project):
    """With real lists a frame is right where the image_ids name the same person."""
    picture = compare.compare(project, "toy-baseline", "toy-intra", queries=1)
    runs = {
        run.name: run
        for dataset_runs in compare.sources.runs(project, compare.sources.built_data(project))
        for run in dataset_runs.evaluated
    }
    pair = [runs["toy-baseline"].ranked, runs["toy-intra"].ranked]
    mean = {q: sum(run[q]["average_precision"] for run in pair) for q in sorted(pair[0])}
    query = sorted(mean, key=lambda q: -mean[q])[6]
    for run, first in zip(pair, (2, 8), strict=True):
        for column, image_id in enumerate(run[query]["gallery"][:5]):
            same = image_id.split("/")[1][:4] == query.split("/")[1][:4]
            assert seen(picture, 0, first + column) == ("right" if same else "wrong")


def test_short_lists_and_images_that_are_gone(project: Project, names, tmp_path: Path):
    copy = copy_of(project, tmp_path / "project")
    query, here = names["query"][0], names["gallery"][0]
    make_run(copy, "short", [ranked(query, [here, "gone"], [True, False], 0.5)])
    make_run(copy, "long", [ranked(query, [here] * 5, [True] * 5, 0.5)])
    picture = compare.compare(copy, "short", "long")
    cells = [seen(picture, 0, column) for column in range(2, 7)]
    assert cells == ["right", "gone", "gone", "gone", "gone"]
    assert [seen(picture, 0, column) for column in range(8, 13)] == ["right"] * 5


@pytest.mark.parametrize(
    ("first", "second", "queries", "said"),
    [
        pytest.param("made-a", "made-b", 0, "queries: 0, must be at least 1", id="none asked for"),
        pytest.param(
            "made-a", "toy-inter", 3,
            "toy-inter: not evaluated; run `reid evaluate toy-inter` .evaluated: .*made-a",
            id="not evaluated",
        ),
        pytest.param(
            "made-a", "made-other", 3, "made-a is on toy, made-other on other; no pair",
            id="two data sets",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_compared(project: Project, first, second, queries, said):
    with pytest.raises(ReidError, match=said) as error:
        compare.compare(project, first, second, queries)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("query", "precision"),
    [
        pytest.param("elsewhere", 0.5, id="no query that both ranked"),
        pytest.param(None, float("nan"), id="no query with a match"),
    ],
)
def test_without_a_common_query(project: Project, names, tmp_path: Path, query, precision):
    copy = copy_of(project, tmp_path / "project")
    rows = [ranked(query or names["query"][0], names["gallery"][:5], [False] * 5, precision)]
    make_run(copy, "lonely", rows)
    with pytest.raises(ReidError, match="no query that both ranked and that has a match"):
        compare.compare(copy, "made-a", "lonely")


def test_the_command_writes_the_picture(project: Project):
    with contextlib.chdir(project.root):
        done = CliRunner().invoke(app, ["compare", "made-a", "made-b", "--queries", "2"])
    assert done.exit_code == 0, done.output
    path = project.reports / "pictures" / "compare-made-a-made-b.png"
    shown = images.decode(path.read_bytes())
    np.testing.assert_array_equal(shown, compare.compare(project, "made-a", "made-b", 2))


@pytest.mark.parametrize("kept", [True, False])
def test_lists_that_are_gone_name_the_command_that_makes_them(trained: Project, tmp_path, kept):
    project = copy_of(trained, tmp_path / "project")
    path = project.run("toy-intra") / "evaluate/ranked.parquet"
    before = path.read_bytes()
    path.unlink()
    if not kept:
        shutil.rmtree(project.work / "evaluate")
    said = r"toy-intra/evaluate/ranked.parquet: no such file; run `reid evaluate toy-intra`"
    experiment = experiments.load(project, "toy-intra")
    with contextlib.chdir(project.root):
        for needs in (
            lambda: compare.compare(project, "toy-baseline", "toy-intra"),
            lambda: page.chapters(project),
        ):
            with pytest.raises(ReidError, match=said):
                needs()
        assert evaluated.comparable(project, experiment) is None
        evaluate(experiment, project, device="cpu")
        assert evaluated.comparable(project, experiment) is not None
    assert path.read_bytes() == before
