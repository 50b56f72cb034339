"""The page: what is on it, what is escaped, what is left out, and that it is always the same."""

import base64
import csv
import hashlib
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.commands.build import make_plan
from pipeline.engine import run as engine
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.report import blocks
from reid.report import page as report
from reid.report.blocks import Chapter, Row, Section, Sheet, Shot, Text
from reid.report.sections import counts, pictures, ranked
from reid.results import built as sources
from reid.shards.folder import write_shard
from tests.conftest import make_project

EVIL = "<script>alert('x')<b>&"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A toy data set with joints and parts, a rejected file, and two hand-made runs."""
    project = make_project(tmp_path_factory.mktemp("report"))
    (project.raw("toy") / "query" / "<script>bad.txt").write_text("x")
    lines = (project.root / "joints.csv").read_text().splitlines()
    (project.root / "joints.csv").write_text("\n".join(lines[:-2]) + "\n")  # two without joints
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.root)
        for stage in ("ingest", "joints", "parts"):
            engine.run(make_plan(stage, "toy", project, "cpu"), project, executor="local")
    make_run(project, "toy-baseline", wrong=3)
    make_run(project, "toy-inter", wrong=1)
    return project


def make_run(project, name, wrong, paper="attention_driven"):
    """A finished run in which the first `wrong` gallery images of each list are wrong."""
    data = sources.BuiltData("toy", project).data
    ids, person = data.rows["image_id"].to_pylist(), data.labels("person")
    rows = []
    for i in np.flatnonzero(data.labels("query")):
        gallery = np.flatnonzero(data.labels("gallery"))
        good, bad = gallery[person[gallery] == person[i]], gallery[person[gallery] != person[i]]
        order = [*bad[:wrong], *good[: 5 - wrong]]
        rows.append({
            "query": ids[i], "gallery": [ids[j] for j in order],
            "match": [bool(person[j] == person[i]) for j in order],
            "average_precision": 1 / (1 + wrong + i / 100), "first_match": wrong + 1,
        })  # fmt: skip
    params = {"dataset": "toy", "model": name, "epochs": 3}
    told = {"experiment": name, "paper": paper, "params": params}
    run = project.run(name)
    write(run / "train" / "experiment.json", {**told, "train_accuracy": 0.98765})
    with (run / "train" / "history.csv").open("w") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["epoch", "steps", "learning_rate", "loss", "accuracy", "val_rank1", "val_map"]
        )
        writer.writerows([e, e * 10, 0.1**e, 3 / e, 1 - 0.5**e, "", ""] for e in (1, 2, 3))
    scores = {f"rank{k}": 0.8125 - wrong / 10 for k in (1, 5, 10, 20)}
    write(run / "evaluate" / "metrics.json", {
        **told, **scores, "map": 0.4321, "map_rectangle": 0.4321, "map_trapezoid": 0.4111,
        "minp": 0.1234, "chance_rank1": 0.0617, "queries": 12, "queries_without_match": 3,
        "gallery": 24, "junk_dropped": 0, "average_precision": "rectangle", "dimensions": 8,
        "exclude": "same_person_same_camera", "distance": "cosine", "protocol": "market1501",
        "cmc": [0.5, 0.75, 1.0],
    })  # fmt: skip
    write_shard(run / "evaluate" / "ranked.parquet", pa.Table.from_pylist(rows), {})


def write(path: Path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


@pytest.fixture
def copy(built, tmp_path):
    """A project of its own, to change."""
    shutil.copytree(built.root, tmp_path / "project")
    return Project(tmp_path / "project")


class Page(HTMLParser):
    """The tags of a page, its pictures and its text."""

    def __init__(self, path: Path):
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str, str]] = []
        self.headings: list[str] = []
        self.text = ""
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in {"img", "br", "meta", "input", "wbr"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in {"style", "script"}:
            self.text += data + " "
            if self.open[-1] in {"h2", "h3"}:
                self.headings.append(data)


@pytest.fixture(scope="module")
def page(built):
    return Page(report.write(built))


def test_the_parts_of_the_page(page):
    assert page.headings == [
        "Results", "All experiments",
        "Failures", "All queries, the worst first",
        "Experiments on toy", "Metrics", "CMC", "toy-baseline", "toy-inter", "Training",
        "Ranked lists", "Parameters",
        "Data sets", "At a glance",
        "Data set toy", "Counts", "Images per identity and camera", "Stages",
        "Joints and part boxes", "The same people across cameras", "Joints and parts drawn",
        "Rejects",
        "Made with", "Code, versions, seeds",
    ]  # fmt: skip
    assert page.open == []


def test_self_contained(page, built):
    links = [v for _, name, v in page.attributes if name in {"src", "href", "srcset", "data"}]
    assert {link.split(";")[0] for link in links if not link.startswith("#")} == {
        "data:image/jpeg", "data:image/svg+xml",
    }  # fmt: skip
    anchors = [v for _, name, v in page.attributes if name == "id"]
    assert len(set(anchors)) == len(anchors)
    assert {link[1:] for link in links if link.startswith("#")} == set(anchors)
    assert not page.tags & {"link", "iframe", "object"}
    assert not [name for _, name, _ in page.attributes if name in {"style", "srcset"}]
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    text = (built.reports / "report.html").read_text()
    assert "url(" not in text
    assert "@import" not in text
    assert str(built.root) not in text
    assert len(text) < 2_000_000


def test_every_picture_says_what_it_shows(page):
    pictures_ = sum(tag == "img" and name == "src" for tag, name, _ in page.attributes)
    texts = [v for tag, name, v in page.attributes if tag == "img" and name == "alt"]
    assert texts.pop() == "", "the one that the script fills"
    assert len(texts) == pictures_ > 50
    assert all(texts)
    assert any("person 2, camera 1" in text for text in texts)


def test_same_data_same_bytes(built, copy):
    first = report.write(built).read_bytes()
    assert report.write(copy).read_bytes() == first
    assert not re.search(rb"20[2-9][0-9]-[01][0-9]-", first)


@pytest.mark.parametrize(
    "shown",
    [
        pytest.param("51.25", id="rank-1 of the first run"),
        pytest.param("71.25", id="rank-1 of the second run"),
        pytest.param("43.21", id="mAP by rectangles"),
        pytest.param("41.11", id="mAP by trapezoids"),
        pytest.param("12.34", id="mINP"),
        pytest.param("6.17", id="chance"),
        pytest.param("98.77", id="training accuracy"),
        pytest.param("19,732", id="published gallery"),
        pytest.param("-19,708", id="found less published: 24 here"),
        pytest.param("all 2 12 3 24 0 market1501 same person same camera", id="counted alike"),
        pytest.param("no joints given", id="reason of a reject"),
        pytest.param("<script>bad.txt", id="name of a rejected file"),
        pytest.param("no joints: the image and its four equal strips", id="strips"),
        pytest.param("2 of 72 images had no joints", id="how many strips"),
        pytest.param("loss 1.000, accuracy 87.5 % after 3 epochs", id="end of training"),
        pytest.param("loss, accuracy, learning rate of each epoch", id="panels with values"),
        pytest.param("✗ wrong", id="a cross beside red"),
        pytest.param("✓ right", id="a tick beside green"),
        pytest.param("toy-inter", id="an experiment's name"),
    ],
)
def test_what_the_page_says(page, shown):
    assert shown in " ".join(page.text.split())


def test_ranked_frames_are_right(page):
    kinds = [v for tag, name, v in page.attributes if tag == "td" and name == "class"]
    queries = len(ranked.QUANTILES)
    assert kinds.count("judged wrong") == queries * (3 + 1)
    assert kinds.count("judged right") == queries * (2 + 4)


def test_names_are_escaped(copy):
    text = (copy.root / "params.yaml").read_text()
    (copy.root / "params.yaml").write_text(text + f'    "{EVIL}": {{dataset: toy}}\n')
    make_run(copy, EVIL, wrong=2, paper=EVIL)
    path = report.write(copy)
    page = Page(path)
    text = path.read_text()
    assert re.findall("<script[^>]*>", text) == [
        '<script type="application/json" class="data">',
        '<script type="text/plain" class="thumbnails">', "<script>",
    ]  # fmt: skip
    assert "alert(" not in text.replace("alert(&#39;", "").replace("alert('x')\\u003cb", "")
    assert page.text.count(EVIL) > 5


def test_control_characters_are_shown_and_never_sent():
    told = "\x1b[31mred\x07 \u202eevil\u2066 \udcff"
    section = Section(told, [Text(told), blocks.table([{told: told}], told), Sheet(
        [Row(told, [Shot(None, told, told)])], told, [told], {told: "#fff"})])  # fmt: skip
    html = report.page_of([Chapter(told, [section])], told)
    assert blocks.UNSEEN.search(html) is None
    assert html.count(r"\x1b[31mred\x07 \u202eevil\u2066 \udcff") > 12
    html.encode()


def test_the_policy_names_the_page_s_own_script_and_style_alone(page, built):
    text = (built.reports / "report.html").read_text()
    (policy,) = [v for tag, name, v in page.attributes if "default-src" in v]
    assert policy.startswith("default-src 'none'; img-src data:; ")
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        (source,) = re.findall(f"{tag}-src '([^']*)'", policy)
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert source == f"sha256-{digest}"


def test_runs_that_params_yaml_does_not_name_are_in_tables_alone(copy, page):
    make_run(copy, "toy-hash", wrong=0)
    other = Page(report.write(copy))
    assert "toy-hash" in other.text
    pictures_ = [sum(n == "src" for _, n, _ in p.attributes) for p in (page, other)]
    assert pictures_[0] == pictures_[1]


def test_what_is_not_there_has_no_section(copy):
    for folder in ("2-derived", "3-runs"):
        shutil.rmtree(copy.root / "data" / folder)
    headings = Page(report.write(copy)).headings
    assert headings == [
        "Data sets", "At a glance", "Data set toy", "Counts", "Images per identity and camera",
        "Stages", "The same people across cameras", "Rejects", "Made with", "Code, versions, seeds",
    ]  # fmt: skip


@pytest.mark.parametrize("kept", ["train", "evaluate"])
def test_half_a_run(copy, kept):
    shutil.rmtree(copy.run("toy-baseline"))
    shutil.rmtree(copy.run("toy-inter") / {"train": "evaluate", "evaluate": "train"}[kept])
    headings = Page(report.write(copy)).headings
    assert ("Training" in headings) == (kept == "train")
    assert ("CMC" in headings) == (kept == "evaluate")


def test_runs_on_a_data_set_built_anew(copy):
    path = copy.run("toy-inter") / "evaluate" / "ranked.parquet"
    found = sources._run(copy.run("toy-inter")).ranked
    rows = [{**row, "gallery": ["gone/1", *row["gallery"][1:]]} for row in found.values()]
    write_shard(path, pa.Table.from_pylist(rows), {})
    assert "gone" in Page(report.write(copy)).text


def test_experiments_beside_the_paper(built, monkeypatch):
    rows = [{"experiment": "ours", "r1": "12.34"}, {"experiment": "more", "paper, x r1": "<98.76>"}]
    monkeypatch.setattr(
        report.evaluated, "evaluated", lambda project: {"<i>title": rows, "none": []}
    )
    section = report.beside(built)
    assert [c.text for c in section.blocks[0].columns] == [
        "experiment",
        "rank-1",
        "paper, x rank-1",
    ]
    assert len(section.blocks) == 1
    html = report.page_of([Chapter("c", [section])])
    assert "&lt;i&gt;title" in html
    assert "&lt;98.76&gt;" in html


def test_whole_tables_of_a_paper(copy):
    rows = [{"row": "intra", "r1": "50.00 ± 1.20", "paper, x r1": "not printed"}]
    write(copy.reports / "tables" / "a.json", {"title": "Table <6>", "rows": rows, "note": "seeds"})
    page = Page(report.write(copy))
    assert page.headings[:3] == ["Results", "All experiments", "Whole tables"]
    assert "Table <6>" in page.text
    assert "50.00 ± 1.20" in page.text


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("3-runs/toy-inter/train/experiment.json", "reid train toy-inter"),
        ("3-runs/toy-inter/evaluate/metrics.json", "reid evaluate toy-inter"),
        ("4-reports/tables/a.json", "reid table"),
    ],
)
def test_damaged_files_are_named(copy, path, hint):
    (copy.root / "data" / path).parent.mkdir(parents=True, exist_ok=True)
    (copy.root / "data" / path).write_text("{")
    with pytest.raises(ReidError, match=f"{Path(path).name}.*{hint}"):
        report.write(copy)


def test_nothing_built(tmp_path):
    with pytest.raises(ReidError, match="dvc repro"):
        report.write(Project(tmp_path))


def run_of(name, **precisions):
    run = sources.Run(name, Path(), None, None)
    run.__dict__["ranked"] = {q: {"average_precision": p} for q, p in precisions.items()}
    return run


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        pytest.param([], [], id="no run"),
        pytest.param([run_of("a", q=np.nan)], [], id="no query with a match"),
        pytest.param([run_of("a", q=0.5)], [("q", "best")], id="one query is shown once"),
        pytest.param(
            [run_of("a", e=0.1, d=0.2, c=0.3, b=0.4, a=0.5)],
            [("a", "best"), ("b", "upper quarter"), ("c", "median"), ("d", "lower quarter"),
             ("e", "worst")],
            id="from best to worst",
        ),
        pytest.param(
            [run_of("a", p=0.9, q=0.5, r=1.0), run_of("b", p=0.1, q=0.6)],
            [("q", "best"), ("p", "upper quarter")],
            id="by the mean, of queries that both have",
        ),
        pytest.param(
            [run_of("a", z=0.5, y=0.5, x=0.5)],
            [("x", "best"), ("y", "median"), ("z", "lower quarter")],
            id="ties by name",
        ),
    ],
)  # fmt: skip
def test_choice_of_queries(runs, expected):
    found = ranked.choose(runs)
    assert found[0:1] == expected[0:1]
    assert [q for q, _ in found] == [q for q, _ in expected]


@pytest.mark.parametrize(
    ("values", "numeric"),
    [
        pytest.param([1, 2.5, None], True, id="numbers and nothing"),
        pytest.param(["94.20", "not printed"], True, id="a paper's numbers"),
        pytest.param(["50.00 ± 1.20", "-3", "12 %"], True, id="spread, sign, percent"),
        pytest.param(["1.5x"], False, id="letters"),
        pytest.param(["", None], False, id="nothing"),
    ],
)
def test_columns_of_numbers(values, numeric):
    found = blocks.table([{"value": v} for v in values], "caption")
    assert found.columns[0].number == numeric
    assert {row[0].number for row in found.rows} == {numeric}


def test_tables_have_the_columns_of_all_their_rows():
    found = blocks.table([{"a": 1}, {"b": True, "a": float("nan")}], "caption")
    assert [c.text for c in found.columns] == ["a", "b"]
    assert [[c.text for c in row] for row in found.rows] == [["1", "–"], ["–", "yes"]]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"), ("", "–"), (float("nan"), "–"), (True, "yes"), (12345, "12,345"),
        (0.10416, "0.10416"), ("/home/me/joints.csv", "joints.csv"), ("data/x.csv", "data/x.csv"),
        ([1, 2], "[1, 2]"),
    ],
)  # fmt: skip
def test_values_in_tables(value, shown):
    assert blocks.text_of(value) == shown


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ([3], "1 identity of 3 images"),
        ([3, 3], "2 identities of 3 images"),
        ([1, 2, 6], "3 identities of 1 to 6 images, median 2"),
    ],
)
def test_spans(images, words):
    assert counts._span(np.array(images)) == words


@pytest.mark.parametrize(
    ("size", "expected"),
    [((128, 64), (128, 64)), ((512, 200), (128, 50)), ((100, 1000), (26, 256)), ((1, 1), (1, 1))],
)
def test_small_pictures(size, expected):
    assert blocks.small(np.zeros((*size, 3), np.uint8), 128).shape[:2] == expected


def test_people_seen_by_several_cameras_come_first():
    person = np.array([1, 1, 2, 2, 0, 0, 3, 3])
    camera = np.array([1, 1, 1, 2, 1, 2, 3, 4])
    assert pictures._seen_most(person, camera).tolist() == [2, 3]
    assert pictures._seen_most(person[:2], camera[:2]).tolist() == [1]
    assert pictures._seen_most(person[:0], camera[:0]).tolist() == []
