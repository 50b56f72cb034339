"""Our results beside the papers': matching rows, mean and spread, resuming, Markdown."""

from __future__ import annotations

import contextlib
import csv
import json
from pathlib import Path

import pytest

from pipeline.builds import variants
from pipeline.commands.build import make_plan
from pipeline.engine import run as engine
from reid import experiments
from reid.evaluation.evaluate import evaluate
from reid.papers import paper_of
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.results import tables as results
from reid.training.train import train
from tests.conftest import make_project

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = make_project(tmp_path_factory.mktemp("results") / "project")
    with contextlib.chdir(made.root):
        for name in ("ingest", "joints", "parts"):
            engine.run(make_plan(name, "toy", made), made, executor="local")
        for name in ("toy-baseline", "toy-inter"):
            experiment = experiments.load(made, name)
            train(experiment, made, device="cpu")
            evaluate(experiment, made, device="cpu")
    return made


def test_experiments_stand_beside_the_paper_s_row(project: Project):
    (title, lines), *others = results.evaluated(project).items()
    assert not others
    assert title == (
        "attention_driven on toy (photographs; 36 training images of 4 persons; 12 queries, "
        "24 gallery images)"
    )
    assert [line["experiment"] for line in lines] == ["toy-baseline", "toy-inter"]
    assert lines[0]["paper, market1501 r1"] == 86.63
    assert lines[1]["paper, market1501 mAP"] == 78.46
    assert float(lines[0]["r1"]) >= 0


def test_results_with_other_parameters_are_not_shown(project: Project, tmp_path: Path):
    text = (project.root / "params.yaml").read_text()
    with contextlib.chdir(project.root):
        (project.root / "params.yaml").write_text(text.replace("epochs: 2", "epochs: 3"))
        try:
            assert results.evaluated(project) == {}
            with pytest.raises(ReidError, match="trained with other parameters"):
                evaluate(experiments.load(project, "toy-inter"), project)
        finally:
            (project.root / "params.yaml").write_text(text)


def test_metrics_name_their_rule(project: Project):
    path = project.run("toy-inter") / "evaluate/metrics.json"
    found = json.loads(path.read_text())
    assert found["exclude"] == "same_person_same_camera"
    assert found["average_precision"] == "rectangle"
    assert found["queries"] + found["queries_without_match"] == 12
    assert found["chance_rank1"] == pytest.approx(1 / 4, abs=0.1)


def test_a_row_with_an_experiment_s_parameters_is_that_experiment(project: Project):
    same = experiments.variant(project, "attention_driven", "toy", {"model": "inter"})
    other = experiments.variant(project, "attention_driven", "toy", {"model": "inter", "seed": 1})
    loaded = experiments.load(project, "toy-inter")
    assert same.described() == loaded.described()
    assert same.key(project) == loaded.key(project)
    assert other.key(project) != loaded.key(project)
    assert same.name != other.name


@pytest.mark.parametrize(
    ("paper", "values", "row"),
    [
        pytest.param(
            "implicit_attention", {"dataset": "mall", "builds": {"backgrounds": "mall"}},
            "Full body, triplet", id="the data set's own build",
        ),
        pytest.param(
            "implicit_attention",
            {"dataset": "mall", "builds": {"backgrounds": "up"}, "swap_probability": 0.5},
            "Upper body, triplet", id="another build, where rows differ by it",
        ),
        pytest.param(
            "implicit_attention", {"dataset": "mall", "builds": {"backgrounds": "up"}},
            None, id="no such row",
        ),
        pytest.param(
            "multimodal_attention", {"dataset": "crops/top", "builds": {"jet": "top-crops"}},
            "MAT", id="another build, where no row says any",
        ),
    ],
)  # fmt: skip
def test_the_printed_row_of_an_experiment(paper: str, values, row: str | None):
    checked = experiments.params_model(paper).model_validate(values)
    found = results._printed_row(experiments.Experiment("x", paper_of(paper), checked))
    assert (found.name if found else None) == row


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        pytest.param([0.5], "50.00", id="one seed has no spread"),
        pytest.param([None, None], "", id="a protocol without this number"),
        pytest.param([0.4, 0.6], "50.00 ± 14.14", id="mean and sample deviation of raw values"),
    ],
)
def test_spread(values, shown):
    assert results.spread(values) == shown


def test_an_unknown_table_lists_those_there_are():
    with pytest.raises(ReidError, match=r"no table `99` \(it has .*6.*\)"):
        results.find_table("attention_driven", "99")


def test_a_row_by_name_is_trained_alone(project: Project):
    said: list[str] = []
    run = results.Run(project, "attention_driven", "toy", "cpu", variants.build, said.append)
    with contextlib.chdir(project.root):
        found = results.run_table(run, "9", 1, ["FC fusion"])
    filled = {row["row"] for row in found["rows"] if row["r1"]}
    assert filled == {"FC fusion"}
    assert len(said) == 1
    with pytest.raises(ReidError, match=r"table 9 trains no row `Inter` \(it has Concatenation"):
        results.run_table(run, "9", 1, ["Inter"])


@pytest.mark.slow
def test_a_table_is_trained_once_and_written_as_markdown(project: Project):
    said: list[str] = []
    run = results.Run(project, "attention_driven", "toy", "cpu", variants.build, said.append)
    with contextlib.chdir(project.root):
        first = results.run_table(run, "6", 1)
        names = [row["row"] for row in first["rows"]]
        assert names[:2] == ["Baseline", "Aligned"]
        trained = len(said)
        assert trained == 6, "five models, and the tuned one with other parts"
        assert "toy~beta-0.0625" in said[-1]
        assert results.run_table(run, "6", 1) == first
        assert len(said) == trained, "nothing is trained twice"
    text = (project.reports / "tables/attention_driven-6-toy.md").read_text()
    assert text.count("\n| ") >= 6
    with (project.reports / "tables/attention_driven-6-toy.csv").open(newline="") as file:
        assert [row["row"] for row in csv.DictReader(file)] == names
