"""A protocol by name: CUHK03's classic splits from the raw file to the CMC."""

from __future__ import annotations

import contextlib
import csv
import json

import numpy as np
import pyarrow.parquet as pq
import pytest

import reid
from pipeline.commands.build import make_plan
from pipeline.datasets.base import Sample
from pipeline.datasets.cuhk03 import labeled as cuhk03_labeled
from pipeline.engine import run as engine
from reid import experiments
from reid.arrays import images
from reid.evaluation.evaluate import evaluate
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.report import page as report
from reid.results import evaluated as results
from reid.training.train import train
from tests.conftest import PARAMS, standing_joints

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")

PERSONS = 16  # half of them in the first pair of cameras, half in the second
EXPERIMENTS = """\
    split-2: {dataset: toy, model: baseline, protocol: classic-02}
    new: {dataset: toy, model: baseline}
"""


def campus_samples():
    """Two images of each person in each of the two cameras of his pair."""
    random = np.random.default_rng(4)
    for person in range(1, PERSONS + 1):
        pattern = random.integers(30, 225, (4, 2, 3), dtype=np.uint8)
        pair = 0 if person <= PERSONS // 2 else 1
        for camera in (2 * pair + 1, 2 * pair + 2):
            for shot in range(2):
                noisy = images.resize(pattern, 64, 32) + random.normal(0, 25, (64, 32, 3))
                role = "train" if person % 2 else "query" if shot == 0 else "gallery"
                yield Sample(noisy.clip(0, 255).astype(np.uint8), person, camera, role)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    built = Project(tmp_path_factory.mktemp("protocols"))
    text = PARAMS.replace("reader: market1501", "reader: cuhk03_labeled")
    text = text[: text.index("    toy-baseline")] + EXPERIMENTS
    (built.root / "params.yaml").write_text(text)
    ids = list(cuhk03_labeled.write(built.raw("toy"), campus_samples()))
    joints = ",".join(str(v) for v in standing_joints(64, 32).ravel())
    header = ",".join(["image_id", *(f"{a}{i}" for i in range(18) for a in "xyc")])
    lines = [header, *(f"{image_id},{joints}" for image_id in ids)]
    (built.root / "joints.csv").write_text("\n".join(lines) + "\n")
    with contextlib.chdir(built.root):
        for stage in ("ingest", "joints", "parts"):
            engine.run(make_plan(stage, "toy", built), built, executor="local")
        for name in ("split-2", "new"):
            train(experiments.load(built, name), built, device="cpu")
    return built


def test_a_classic_split_trains_on_its_own_persons(project: Project):
    data = reid.open(project.root / "data", "toy")
    split = data.under("classic-02")
    description = json.loads((project.run("split-2") / "train/experiment.json").read_text())
    assert description["people"] == sorted(set(split.role("train").labels("person")))
    assert description["people"] != sorted(set(data.role("train").labels("person")))
    assert len(set(split.role("query").labels("person"))) == 8


def test_its_cmc_is_the_expectation_over_single_shot_galleries(project: Project):
    metrics = evaluate(experiments.load(project, "split-2"), project, device="cpu")
    assert metrics["single_gallery_shot"]
    assert metrics["protocol"] == "classic-02"
    assert metrics["map"] is None
    rows = pq.read_table(project.run("split-2") / "evaluate/features.parquet")
    feature = np.array(rows["feature"].to_pylist())
    person, view = rows["person"].to_numpy(), (rows["camera"].to_numpy() - 1) % 2
    assert metrics["queries"] == len(person) == 32, "every test image is a query"
    assert metrics["rank1"] == pytest.approx(expected_rank1(feature, person, view), abs=1e-9)
    with (project.run("split-2") / "evaluate/cmc.csv").open(newline="") as file:
        curve = [float(line["share"]) for line in csv.DictReader(file)]
    assert curve[0] == pytest.approx(metrics["rank1"], abs=1e-6)
    assert curve == sorted(curve)


def expected_rank1(feature: np.ndarray, person: np.ndarray, view: np.ndarray) -> float:
    """By plain loops: the drawn match is first where no other person's drawn image is nearer."""
    unit = feature / np.linalg.norm(feature, axis=1, keepdims=True)
    shares = []
    for q in range(len(person)):
        distance = 1 - unit @ unit[q]
        others = np.flatnonzero(view != view[q])
        chances = []
        for match in others[person[others] == person[q]]:
            chance = 1.0
            for p in set(person[others]) - {person[q]}:
                other_images = others[person[others] == p]
                chance *= np.mean(distance[other_images] > distance[match])
            chances.append(chance)
        shares.append(np.mean(chances))
    return float(np.mean(shares))


def test_a_protocol_that_tests_on_training_persons_is_refused(project: Project):
    experiment = experiments.load(project, "new")
    data = reid.open(project.root / "data", "toy")
    trained = {*data.role("train").labels("person").tolist()}
    tested = {*data.under("classic-03").role("query").labels("person").tolist()}
    with pytest.raises(ReidError, match=f"new was trained on {len(trained & tested)} of the 8"):
        evaluate(experiment, project, device="cpu", protocol="classic-03")


def test_another_protocol_of_a_training_has_a_folder_of_its_own(project: Project, monkeypatch):
    experiment = experiments.load(project, "new")
    # So few persons are in the training and the test of both protocols.
    monkeypatch.setattr("reid.evaluation.run._check_persons", lambda *_: None)
    own = evaluate(experiment, project, device="cpu")
    other = evaluate(experiment, project, device="cpu", protocol="classic-03")
    assert own["protocol"] == "new"
    assert not own["single_gallery_shot"]
    assert own["map"] > 0
    assert other["protocol"] == "classic-03"
    assert other["map"] is None
    folder = project.run("new")
    assert json.loads((folder / "evaluate/metrics.json").read_text())["protocol"] == "new"
    assert (folder / "evaluate-by-classic-03/ranked.parquet").is_file()
    with pytest.raises(ReidError, match="no protocol `classic-99`"):
        evaluate(experiment, project, device="cpu", protocol="classic-99")


def test_results_without_a_map_leave_its_cell_empty(project: Project):
    for name in ("split-2", "new"):
        evaluate(experiments.load(project, name), project, device="cpu")
    with contextlib.chdir(project.root):
        (lines,) = results.evaluated(project).values()
        page = report.write(project).read_text()
    by_name = {line["experiment"]: line for line in lines}
    assert "none, as with a single gallery shot" not in page, "`new` has one"
    assert "classic-02" in page
    assert by_name["split-2"]["mAP"] == ""
    assert by_name["split-2"]["r1"]
    assert float(by_name["new"]["mAP"]) > 0


def test_an_unknown_protocol_in_params_is_named_before_training(project: Project):
    overrides = {"model": "baseline", "protocol": "classic-2"}
    wrong = experiments.variant(project, "attention_driven", "toy", overrides)
    with pytest.raises(
        ReidError,
        match=r"no protocol `classic-2`; did you mean `classic-20`\? \(there are new, classic-01",
    ):
        train(wrong, project, device="cpu")
