"""Claims as measured: trained once, resumed, compared query by query, read back, never invented."""

from __future__ import annotations

import contextlib
import json
import math
from pathlib import Path

import numpy as np
import pytest

from pipeline.builds import variants
from pipeline.commands.build import make_plan
from pipeline.engine import run as engine
from reid.experiments import Experiment
from reid.papers import PAPERS, paper_of
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.report import page
from reid.report.blocks import Table, Text
from reid.results import claims as results
from reid.results import claims_shown as texts
from reid.results.tables import Run
from reid.results.training_time import work
from reid.shards.folder import Shard
from tests.conftest import make_project

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
NAMES = ("intra+inter > intra", "intra+inter > inter")  # three rows in all, no control


def never(experiment: Experiment) -> float:
    raise AssertionError(f"{experiment.name} is rehearsed")


@pytest.fixture(scope="module")
def said() -> list[str]:
    return []


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, said: list[str]):
    """Both claims trained with two seeds, after a run that was stopped."""
    made = make_project(tmp_path_factory.mktemp("claims") / "project")
    (made.root / "data/0-raw/toy.truth").mkdir()  # as a rendered world has it
    with contextlib.chdir(made.root):
        for name in ("ingest", "joints", "parts"):
            engine.run(make_plan(name, "toy", made), made, executor="local")
        yield Project(made.root)


def asked(project: Project, said: list[str], trainings: int = 2, names=NAMES) -> results.Asked:
    run = Run(project, "attention_driven", "toy", "cpu", variants.build, said.append)
    return results.asked(run, trainings, names)


@pytest.fixture(scope="module")
def rows(project: Project, said: list[str]) -> list[results.ClaimRow]:
    of_paper = asked(project, said)
    before = work(project, of_paper.experiments, lambda experiment: 100.0)
    assert (before.trainings, before.missing, before.rehearsed) == (6, 6, 3)
    assert before.seconds == 600
    assert "6 of 6 trainings" in before.told()
    assert [row.verdict for row in results.claim_rows(of_paper)] == ["not measured"] * 2

    passes = results.train([of_paper])
    next(passes)  # one seed of each row; then it is stopped
    passes.close()
    assert len(said) == 3
    one = results.claim_rows(of_paper)
    assert [len(row.trainings) for row in one] == [1, 1]
    between = work(project, of_paper.experiments, never)
    assert (between.missing, between.rehearsed) == (3, 0)
    assert between.seconds > 0
    assert "rehearsed" not in between.told()

    for again in results.train([of_paper]):
        texts.write(again)
    assert len(said) == 6, "what was there is not trained again"
    assert work(project, of_paper.experiments, never).told() == "6 trainings, all of them done"
    return results.claim_rows(of_paper)


def test_a_row_says_what_was_compared(rows: list[results.ClaimRow]):
    first = rows[0]
    assert (first.better, first.worse) == ("Intra+inter", "Intra")
    assert first.printed["market1501"] == {"r1": 2.61, "mAP": 6.3}
    assert (first.seeds, first.splits, first.persons) == (2, 0, 4)
    assert first.queries == 12
    assert texts.lines(rows)[0]["trainings"] == "2 seeds x 12 queries, 4 persons"
    assert len(first.trainings) == 2
    assert set(first.differences) == {"mAP", "r1"}
    for found in first.differences.values():
        assert found.low <= found.mean <= found.high


def test_differences_are_those_of_the_published_metrics(project: Project, rows):
    for row in rows:
        for metric, name in (("mAP", "map"), ("r1", "rank1")):
            sides = [
                [json.loads((project.run(names[i]) / "evaluate/metrics.json").read_text())[name]
                 for names in row.trainings]
                for i in (0, 2)
            ]  # fmt: skip
            wanted = 100 * (np.mean(sides[0]) - np.mean(sides[1]))
            assert row.differences[metric].mean == pytest.approx(wanted, abs=1e-3)


def test_each_query_is_compared_with_itself(project: Project, said: list[str]):
    of_paper = asked(project, said)
    better, worse = (of_paper.of_row(row)[0].experiment for row in of_paper.rows[:2])
    found = results.paired(project, better, worse, "mAP")
    precision = [
        dict(zip(*Shard(project.run(e.name) / "evaluate/ranked.parquet")
                 .table(["query", "average_precision"]).to_pydict().values(), strict=True))
        for e in (better, worse)
    ]  # fmt: skip
    wanted = [100 * (value - precision[1][query]) for query, value in precision[0].items()]
    np.testing.assert_allclose(found.difference, wanted)
    assert len(np.unique(found.person)) == 4
    itself = results.paired(project, better, better, "r1")
    assert not itself.difference.any()


def test_a_rule_of_single_gallery_images_is_one_line(project: Project, said: list[str], rows):
    of_paper = asked(project, said)
    better, worse = (of_paper.of_row(row)[0].experiment for row in of_paper.rows[:2])
    path = project.run(worse.name) / "evaluate/metrics.json"
    text = path.read_text()
    path.write_text(json.dumps({**json.loads(text), "single_gallery_shot": True}))
    try:
        with pytest.raises(ReidError, match="has no mAP, by which claims are judged"):
            results.paired(project, better, worse, "mAP")
    finally:
        path.write_text(text)


def test_rows_are_read_back_until_their_trainings_are_others(project: Project, rows):
    assert texts.stored(project) == rows
    metrics = project.run(rows[1].trainings[0][2]) / "evaluate/metrics.json"
    text = metrics.read_text()
    metrics.write_text(json.dumps({**json.loads(text), "training": "another"}))
    try:
        assert texts.stored(project) == rows[:1]
    finally:
        metrics.write_text(text)


@pytest.mark.parametrize("name", ["ranked.parquet", "features.parquet"])
def test_lists_that_are_gone_are_made_again(project: Project, said: list[str], rows, name: str):
    of_paper = asked(project, said)
    path = project.run(rows[0].trainings[0][2]) / "evaluate" / name
    before = path.read_bytes()
    path.unlink()
    row = next(row for row in of_paper.rows if row.name == rows[0].worse)
    training = of_paper.of_row(row)[0]
    assert not results._done(project, training)
    of_paper.run.result(training)
    assert path.read_bytes() == before
    assert results._done(project, training)


def test_the_report_shows_them(project: Project, rows: list[results.ClaimRow]):
    section = page.claims(project)
    assert section is not None
    rule, table = section.blocks
    assert rule == Text(texts.RULE)
    assert isinstance(table, Table)
    verdicts = [line[[c.text for c in table.columns].index("verdict")].text for line in table.rows]
    assert verdicts == [row.verdict for row in rows]


def test_the_report_says_which_are_of_earlier_parameters(project: Project, rows):
    def trainings() -> list[str]:
        (_, table) = page.claims(project).blocks  # type: ignore[union-attr]
        at = [column.text for column in table.columns].index("trainings")
        return [line[at].text for line in table.rows]

    assert not any(texts.EARLIER in told for told in trainings())
    path = project.root / "params.yaml"
    text = path.read_text()
    assert text.count("epochs: 2") == 1
    path.write_text(text.replace("epochs: 2", "epochs: 3"))
    try:
        assert all(told.endswith(texts.EARLIER) for told in trainings())
    finally:
        path.write_text(text)


def test_claims_that_are_not_asked_for_stand_as_they_are_now(project: Project, said, rows):
    path = texts.write(asked(project, said, 1, NAMES[:1]))
    try:
        one, other = texts.stored(project)
        assert (one.claim, len(one.trainings)) == (NAMES[0], 1)
        assert other == rows[1]
        metrics = project.run(rows[1].trainings[1][2]) / "evaluate/metrics.json"
        text = metrics.read_text()
        metrics.write_text(json.dumps({**json.loads(text), "training": "another"}))
        try:
            texts.write(asked(project, said, 1, NAMES[:1]))
        finally:
            metrics.write_text(text)
        assert texts.stored(project) == [one]
        path.write_text('[{"paper": "x"}]')
    finally:
        texts.write(asked(project, said))
    assert texts.stored(project) == rows


def test_a_damaged_file_of_rows_is_one_line(project: Project, rows):
    path = texts.folder_of(project) / "other.json"
    path.write_text('[{"paper": "x"}]')
    try:
        with pytest.raises(ReidError, match=r"other\.json: cannot be read .* run `reid claims`"):
            texts.stored(project)
    finally:
        path.unlink()


def test_the_page_names_rule_and_verdicts(project: Project, rows):
    (path,) = texts.folder_of(project).glob("*.md")
    text = path.read_text()
    assert "| intra+inter > intra | inter-attention | market1501 mAP +6.30, rank-1 +2.61 |" in text
    assert texts.RULE in text
    for row in rows:
        assert f"| {row.verdict} |" in text


def test_a_paper_s_difference_stands_beside_its_own_data_set_alone(project: Project, said, rows):
    truth = project.root / "data/0-raw/toy.truth"
    truth.rmdir()
    try:
        (row, _) = results.claim_rows(asked(project, said))
    finally:
        truth.mkdir()
    assert row.printed.keys() == {"market1501"}


def test_papers_are_those_that_claim_it(project: Project):
    assert results.papers_of(project, ()) == ["attention_driven"]
    both = ["attention_driven", "attentive_convlstm"]
    assert results.papers_of(project, both) == both
    assert results.papers_of(project, both, ["3 filters > 0"]) == ["attentive_convlstm"]
    with pytest.raises(ReidError, match=r"no claim `aligned > strip`; did you mean `aligned > st"):
        results.papers_of(project, both, ["aligned > strip"])


def test_no_data_set_is_one_line(project: Project):
    with pytest.raises(ReidError, match=r"mutual_attention\.scale names no data set"):
        results.dataset_of(project, "mutual_attention")


# what the papers print, copied from their tables
@pytest.mark.parametrize(
    ("paper", "claim", "dataset", "metric", "better", "worse"),
    [
        ("attention_driven", "intra+inter > intra", "market1501", "mAP", 85.22, 78.92),
        ("attention_driven", "intra+inter > inter", "dukemtmc_reid", "r1", 84.78, 79.62),
        ("implicit_attention", "swaps of the full body > none", "rap", "mAP", 46.3, 33.5),
        ("implicit_attention", "swaps of the upper body > none", "rap", "r1", 64.8, 48.5),
        ("multimodal_attention", "crops > full frames", "tvpr", "r1", 80.85, 63.83),
        ("multimodal_attention", "MAT > RGB-D-CNN", "opr", "r1", 49.06, 45.63),
        ("multimodal_attention", "colour and depth > colour", "dpit", "r1", 90.36, 86.75),
        ("mutual_attention", "two streams > one", "mars", "r1", 84.3, 83.1),
        ("mutual_attention", "weighted addition > average", "mars", "mAP", 80.0, 79.1),
        ("mutual_attention", "16 frames > 4", "mars", "mAP", 80.0, 77.7),
        ("attentive_convlstm", "3 filters > 0", "ilids_vid", "r1", 63.3, 60.5),
        ("attentive_convlstm", "16 frames > 4", "ilids_vid", "r1", None, None),
        ("mutual_attention", "mutual > two streams", "mars", "mAP", None, None),
        ("implicit_attention", "p = 0.5 > p = 0.9", "rap", "mAP", None, None),
    ],
)
def test_printed_differences(paper, claim, dataset, metric, better, worse):
    (found,) = [c for c in paper_of(paper).claims if c.name == claim]
    number = found.printed.get(dataset, {}).get(metric, math.nan)
    wanted = math.nan if better is None else better - worse
    assert number == pytest.approx(wanted, abs=1e-9, nan_ok=True)


def test_the_documentation_lists_every_claim():
    page = (Path(__file__).parents[3] / "docs/claims.md").read_text("utf-8")
    for paper in PAPERS:
        for claim in paper_of(paper).claims:
            told = texts.printed_shown(claim.printed)
            assert f"| {paper} | {claim.name} | {claim.differs} | {told} |" in page


def test_what_is_not_printed_and_not_measured_says_so():
    row = results.ClaimRow(
        "a_paper", "a > b", "one thing", "a", "b", True, "toy", {}, {}, 0, 0, 0, 0, ()
    )
    (line,) = texts.lines([row])
    assert line["claim"] == "control: a > b"
    assert line["paper"] == "not printed"
    assert (line["mAP"], line["rank-1"], line["verdict"]) == ("", "", "not measured")


def test_a_claim_that_cannot_be_tested_is_named(project: Project, said: list[str], monkeypatch):
    of_paper = asked(project, said)

    def refuse(*_) -> None:
        raise ReidError("no tracklet is so long")

    monkeypatch.setattr(Run, "trainings", refuse)
    told = rf"claim `{NAMES[0]}` and `{NAMES[1]}`: no tracklet is so long; .*--claim"
    with pytest.raises(ReidError, match=told.replace("+", r"\+")):
        of_paper.of_row(of_paper.claims[0].better)
    with pytest.raises(ReidError, match=rf"claim `{NAMES[1]}`: .*".replace("+", r"\+")):
        of_paper.of_row(of_paper.claims[1].worse)
