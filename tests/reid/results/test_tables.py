"""Our results beside the papers': matching rows, mean and spread, resuming, Markdown."""

from __future__ import annotations

import contextlib
import csv
import json
import shutil
from importlib import metadata
from pathlib import Path

import pytest

from pipeline.builds import variants
from pipeline.commands.build import make_plan
from pipeline.engine import run as engine
from reid import experiments
from reid.evaluation.evaluate import evaluate
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.results import evaluated, made_with
from reid.results import tables as results
from reid.results.printed_row import EvaluatedOn
from reid.training.train import train
from tests.conftest import make_project

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = make_project(tmp_path_factory.mktemp("results") / "project")
    (made.root / "data/0-raw/toy.truth").mkdir()  # as a rendered world has it
    with contextlib.chdir(made.root):
        for name in ("ingest", "joints", "parts"):
            engine.run(make_plan(name, "toy", made), made, executor="local")
        for name in ("toy-baseline", "toy-inter"):
            experiment = experiments.load(made, name)
            train(experiment, made, device="cpu")
            evaluate(experiment, made, device="cpu")
    return made


def test_experiments_stand_beside_the_paper_s_row(project: Project):
    (title, lines), *others = evaluated.evaluated(project).items()
    assert not others
    assert title == (
        "attention_driven on toy (rendered; 36 training images of 4 persons; 12 queries, "
        "24 gallery images)"
    )
    assert [line["experiment"] for line in lines] == ["toy-baseline", "toy-inter"]
    assert lines[0]["paper, market1501 r1"] == 86.63
    assert lines[1]["paper, market1501 mAP"] == 78.46
    assert lines[1]["paper, market1501 r20"] == 99.02, "of table 9"
    assert lines[0]["paper, market1501 r20"] == "not printed"
    assert lines[0].keys() == lines[1].keys()
    assert float(lines[0]["r20"]) >= float(lines[0]["r1"]) >= 0


def test_the_tables_for_programs_say_what_made_them(project: Project):
    found = evaluated.evaluated_object(project)
    assert found["code"] == made_with.commit()
    assert found["versions"]["torch"] == metadata.version("torch")
    (one,) = found["tables"]
    assert {one["title"]: one["rows"]} == evaluated.evaluated(project)
    told = one["paper"], one["dataset"], one["kind"], one["seeds"]
    assert told == ("attention_driven", "toy", "rendered", [0])


def test_a_short_training_on_a_real_data_set_is_no_printed_row(project: Project):
    truth = project.root / "data/0-raw/toy.truth"
    truth.rmdir()
    try:
        (lines,) = evaluated.evaluated(project).values()
        run = results.Run(project, "attention_driven", "toy", "cpu", variants.build, print)
        with contextlib.chdir(project.root):
            table = results.run_table(run, "6", 1, ["Inter"])
    finally:
        truth.mkdir()
    assert [line["paper"] for line in lines] == ["not printed", "not printed"]
    by_name = {row["row"]: row for row in table["rows"]}
    assert by_name["Inter"]["paper, market1501 r1"] == "not printed", "it is smaller"
    assert by_name["Aligned"]["paper, market1501 r1"] == 89.98, "nothing of ours stands beside it"
    assert all("dukemtmc_reid" not in key for key in by_name["Inter"])


def test_results_with_other_parameters_are_not_shown(project: Project, tmp_path: Path):
    text = (project.root / "params.yaml").read_text()
    with contextlib.chdir(project.root):
        (project.root / "params.yaml").write_text(text.replace("epochs: 2", "epochs: 3"))
        try:
            assert evaluated.evaluated(project) == {}
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
    ("values", "shown"),
    [
        pytest.param([0.5], "50.00", id="one seed has no spread"),
        pytest.param([None, None], "", id="a protocol without this number"),
        pytest.param([0.4, 0.6], "50.00 ± 14.14", id="mean and sample deviation of raw values"),
    ],
)
def test_spread(values, shown):
    assert evaluated.spread(values) == shown


def test_the_figure_s_rank_50_is_shown_though_not_printed():
    figure = results.find_table("implicit_attention", "figure-3")
    printed = [row.printed for row in figure.rows]
    assert evaluated.metrics_shown(printed, figure.metrics) == ["r1", "r5", "r10", "r50", "mAP"]
    assert "r50" not in evaluated.metrics_shown(printed)


def test_an_unknown_table_lists_those_there_are():
    with pytest.raises(ReidError, match=r"no table `99` \(it has .*6.*\)"):
        results.find_table("attention_driven", "99")


@pytest.mark.parametrize(
    ("paper", "on", "rule"),
    [
        pytest.param("attention_driven", EvaluatedOn("cuhk03_labeled"), "classic-01", id="CUHK03"),
        pytest.param("attention_driven", EvaluatedOn("market1501"), "", id="the only rule"),
        pytest.param("mutual_attention", EvaluatedOn("ilids_vid"), "", id="the first of several"),
        pytest.param(
            "attention_driven", EvaluatedOn("cuhk03_labeled", world=True), "", id="a world"
        ),
    ],
)
def test_the_rows_of_a_table_are_tested_by_the_papers_rule(paper, on, rule):
    run = results.Run(Project(Path()), paper, "mine", "cpu", variants.build, print)
    assert run.rule(on) == rule


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


def test_a_row_that_cannot_be_trained_loses_no_other(project: Project):
    class Failing(results.Run):
        def results(self, row, seeds):
            if row.name == "Concatenation":
                raise ReidError("weights: of another network")
            return super().results(row, seeds)

    run = Failing(project, "attention_driven", "toy", "cpu", variants.build, print)
    path = project.reports / "tables/attention_driven-9-toy.csv"
    with contextlib.chdir(project.root):
        path.unlink(missing_ok=True)
        with pytest.raises(ReidError, match=r"row `Concatenation` is not trained: weights: of an"):
            results.run_table(run, "9", 1, ["Concatenation", "FC fusion"])
        with path.open(newline="") as file:
            filled = {row["row"] for row in csv.DictReader(file) if row["r1"]}
        assert filled == {"FC fusion"}
        with pytest.raises(ReidError, match=r"^weights: of another network$"):
            results.run_table(run, "9", 1, ["Concatenation"])


@pytest.mark.slow
def test_a_table_is_trained_once_and_written_as_markdown(project: Project, tmp_path: Path):
    without = shutil.ignore_patterns("3-runs", "train")  # of the tests before
    project = Project(Path(shutil.copytree(project.root, tmp_path / "new", ignore=without)))
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
