"""Evaluation: what is published, ranked lists against plain loops, and cross-domain tests."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reid import experiments
from reid.evaluation.evaluate import evaluate, folder_of
from reid.evaluation.features import pool_passages
from reid.evaluation.run import LABELS, RANKED
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.project.locks import lock
from reid.shards.folder import Shard
from tests.conftest import contents
from tests.reid.conftest import copy_of, distances

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")

ON_OTHER = "evaluate-on-other"


def table(folder: Path, name: str) -> list[dict[str, Any]]:
    return Shard(folder / f"{name}.parquet").table().to_pylist()


def by_hand(rows: list[dict[str, Any]], junk: int = -1) -> dict[str, dict[str, Any]]:
    """Of each query: the gallery's image_ids, matches and average precision, by plain loops."""
    gallery = [row for row in rows if row["gallery"] and row["person"] != junk]
    expected = {}
    for query in (row for row in rows if row["query"]):
        own = (query["person"], query["camera"])
        seen = [row for row in gallery if (row["person"], row["camera"]) != own]
        away = distances(np.array(query["feature"]), np.array([row["feature"] for row in seen]))
        order = sorted(range(len(seen)), key=lambda i: away[i])
        match = [seen[i]["person"] == query["person"] for i in order]
        ranks = [rank for rank, right in enumerate(match, 1) if right]
        expected[query["image_id"]] = {
            "gallery": [seen[i]["image_id"] for i in order],
            "match": match,
            "first_match": ranks[0],
            "average_precision": np.mean([(i + 1) / rank for i, rank in enumerate(ranks)]),
        }
    return expected


@pytest.fixture(scope="module")
def crossed(trained: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """`toy-intra` evaluated on `other` too."""
    project = copy_of(trained, tmp_path_factory.mktemp("evaluate") / "project")
    evaluate(experiments.load(project, "toy-intra"), project, device="cpu", dataset="other")
    return project


@pytest.mark.parametrize("folder", ["evaluate", ON_OTHER])
def test_published_numbers_are_those_of_the_features(crossed: Project, folder: str):
    path = crossed.run("toy-intra") / folder
    expected = by_hand(table(path, "features"))
    metrics = json.loads((path / "metrics.json").read_text())
    first = [query["first_match"] for query in expected.values()]
    precision = [query["average_precision"] for query in expected.values()]
    assert metrics["queries"] == len(expected) > 0
    assert metrics["rank1"] == pytest.approx(np.mean([rank == 1 for rank in first]))
    assert metrics["rank5"] == pytest.approx(np.mean([rank <= 5 for rank in first]))
    assert metrics["map"] == pytest.approx(np.mean(precision), abs=1e-9)
    with (path / "cmc.csv").open() as file:
        curve = {int(line["rank"]): float(line["share"]) for line in csv.DictReader(file)}
    assert curve[1] == pytest.approx(metrics["rank1"], abs=1e-6)
    assert curve[10] == pytest.approx(metrics["rank10"], abs=1e-6)


@pytest.mark.parametrize("folder", ["evaluate", ON_OTHER])
def test_ranked_lists_are_the_nearest_that_a_query_sees(crossed: Project, folder: str):
    path = crossed.run("toy-intra") / folder
    expected = by_hand(table(path, "features"))
    ranked = {row["query"]: row for row in table(path, "ranked")}
    assert ranked.keys() == expected.keys()
    for query, row in ranked.items():
        assert row["gallery"] == expected[query]["gallery"][:RANKED]
        assert row["match"] == expected[query]["match"][:RANKED]
        assert row["first_match"] == expected[query]["first_match"]
        assert row["average_precision"] == pytest.approx(expected[query]["average_precision"])


def test_another_data_set_has_a_folder_of_its_own(trained: Project, crossed: Project):
    run = crossed.run("toy-intra")
    assert {path.name for path in run.iterdir()} == {"train", "evaluate", ON_OTHER}
    assert contents(run / "evaluate") == contents(trained.run("toy-intra") / "evaluate")
    metrics = json.loads((run / ON_OTHER / "metrics.json").read_text())
    assert metrics["dataset"] == "other"
    assert metrics["params"]["dataset"] == "toy"  # of the training
    assert {*contents(run / ON_OTHER)} == {*contents(run / "evaluate")}


def test_features_are_of_queries_and_gallery_with_their_labels(crossed: Project):
    rows = table(crossed.run("toy-intra") / ON_OTHER, "features")
    assert [*rows[0]] == [*LABELS, "feature"]
    assert sum(row["query"] for row in rows) == 4  # persons 2 and 4 in two cameras
    assert sum(row["gallery"] for row in rows) == 20  # two more shots each, 6 junk, 6 distractors
    assert not any(row["train"] for row in rows)
    assert sorted({row["person"] for row in rows}) == [-1, 0, 2, 4]


def test_junk_counts_for_nothing_and_distractors_do(crossed: Project):
    metrics = json.loads((crossed.run("toy-intra") / ON_OTHER / "metrics.json").read_text())
    assert metrics["junk_dropped"] == 6
    assert metrics["gallery"] == 14
    ranked = table(crossed.run("toy-intra") / ON_OTHER, "ranked")
    listed = {image_id for row in ranked for image_id in row["gallery"]}
    assert any("/0000_" in image_id for image_id in listed)
    assert not any("/-1_" in image_id for image_id in listed)


def test_its_own_data_set_by_name_is_the_ordinary_evaluation(trained: Project, tmp_path: Path):
    project = copy_of(trained, tmp_path / "project")
    experiment = experiments.load(project, "toy-baseline")
    assert folder_of(experiment, project, "toy") == folder_of(experiment, project)
    shutil.rmtree(project.run("toy-baseline") / "evaluate")
    shutil.rmtree(project.work / "evaluate")
    evaluate(experiment, project, device="cpu", dataset="toy")
    assert contents(project.run("toy-baseline")) == contents(trained.run("toy-baseline"))
    assert not any((project.work / "publish").iterdir()), "nothing is left behind"


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        pytest.param(
            "toy-baseline", {"dataset": "nowhere"}, "run `reid ingest nowhere`",
            id="a data set that is not built",
        ),
        pytest.param(
            "toy-baseline", {"dataset": "other", "device": "abacus"}, "device: no `abacus`",
            id="an unknown device",
        ),
        pytest.param(
            "toy-inter", {"dataset": "other"}, "run `reid train toy-inter`", id="not trained"
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_evaluated(trained: Project, name: str, options: dict[str, str], said: str):
    with pytest.raises(ReidError, match=said) as error:
        evaluate(experiments.load(trained, name), trained, **{"device": "cpu", **options})
    assert "\n" not in str(error.value)
    assert not (trained.run(name) / ON_OTHER).exists()


class Computed(Exception):
    """An evaluation is computed."""


def test_what_is_evaluated_is_not_computed_again(
    trained: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    project, name = copy_of(trained, tmp_path / "project"), "toy-baseline"
    folder, kept = project.run(name) / "evaluate", project.work / "evaluate/evaluate@toy-baseline"
    before = contents(folder)

    def computed(*_: Any, **__: Any) -> None:
        raise Computed

    def again(**options: str) -> dict[str, Any]:
        return evaluate(experiments.load(project, name), project, device="cpu", **options)

    monkeypatch.setattr("reid.evaluation.run.run", computed)
    assert again() == json.loads(before["metrics.json"]) == again(dataset="toy")
    shutil.rmtree(folder)  # as DVC does before it runs a stage
    assert again() == json.loads(before["metrics.json"])
    assert contents(folder) == before
    with pytest.raises(Computed):
        again(dataset="other")
    for damaged in folder, kept:
        (damaged / "cmc.csv").unlink()
    with pytest.raises(Computed):
        again()
    shutil.copytree(trained.run(name) / "evaluate", folder, dirs_exist_ok=True)
    assert again() == json.loads(before["metrics.json"])
    params = project.root / "params.yaml"
    params.write_text(
        params.read_text().replace("model: baseline", "model: baseline, distance: euclidean")
    )
    with pytest.raises(Computed):
        again()


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("metrics.json", None), ("features.parquet", b""), ("cmc.csv", b"rank,share\n"),
        ("../train/model.safetensors", b"other weights"),
    ],
)  # fmt: skip
def test_what_was_written_into_is_computed_again(
    trained: Project,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    damage: bytes | None,
):
    """Also where its second name, which is the same file, is asked for."""
    project = copy_of(trained, tmp_path / "project")
    folder, experiment = project.run("toy-baseline") / "evaluate", "toy-baseline"
    shutil.rmtree(folder)
    shutil.rmtree(project.work / "evaluate", ignore_errors=True)
    evaluate(experiments.load(project, experiment), project, device="cpu")
    key = json.loads((folder / "metrics.json").read_text())["key"]
    (folder / name).write_bytes(json.dumps({"key": key}).encode() if damage is None else damage)

    def computed(*_: Any, **__: Any) -> None:
        raise Computed

    monkeypatch.setattr("reid.evaluation.run.run", computed)
    for _ in range(2):
        with pytest.raises(Computed):
            evaluate(experiments.load(project, experiment), project, device="cpu")
        shutil.rmtree(folder, ignore_errors=True)  # as DVC does before it runs a stage


@pytest.mark.parametrize(("pool", "reduce"), [("mean", np.mean), ("max", np.max)])
def test_a_passage_s_images_become_one_feature(trained: Project, pool: str, reduce):
    """By plain loops: a person's images in a camera, queries and gallery apart."""
    data = experiments.load(trained, "toy-baseline").open(trained)
    feature = np.random.default_rng(3).normal(size=(len(data), 5)).astype(np.float32)
    pooled, vectors = pool_passages(data, feature, pool)
    labels = ("person", "camera", "query", "gallery")
    of_row = list(zip(*(data.labels(name) for name in labels), strict=True))
    of_passage = list(zip(*(pooled.labels(name) for name in labels), strict=True))
    assert sorted(of_passage) == sorted(set(of_row))
    assert len(of_passage) < len(of_row)
    for passage, vector in zip(of_passage, vectors, strict=True):
        own = feature[[i for i, row in enumerate(of_row) if row == passage]]
        np.testing.assert_allclose(vector, reduce(own, axis=0), rtol=1e-5)


def test_two_evaluations_of_one_experiment_are_kept_apart(trained: Project, tmp_path: Path):
    project = copy_of(trained, tmp_path / "project")
    before = contents(project.run("toy-baseline"))
    with (
        lock(project.work / "locks" / "evaluate@toy-baseline", "the other"),
        pytest.raises(ReidError, match="evaluate toy-baseline is at work already: process"),
    ):
        evaluate(experiments.load(project, "toy-baseline"), project, device="cpu")
    assert contents(project.run("toy-baseline")) == before
