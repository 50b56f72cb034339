"""The page's sections on people from above: frames and crops, curves by model, attention maps."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reid import experiments
from reid.arrays import draw, images
from reid.arrays.depth import JET
from reid.evaluation.features import pool_passages
from reid.look import attention_maps
from reid.papers.multimodal_attention.printed import FIGURE_3
from reid.papers.multimodal_attention.sections import attention as overhead_attention
from reid.papers.multimodal_attention.sections import curves as overhead_curves
from reid.papers.multimodal_attention.sections.attention import Pair
from reid.project.layout import Project
from reid.report import page as report
from reid.report.blocks import Chapter, Section, Shot, Table
from reid.report.sections import overhead
from reid.results import built as sources
from reid.shards.folder import write_shard
from tests.conftest import make_project
from tests.reid.overhead import make_trained, people_of

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")

EVIL = "<script>alert('x')</script>&"


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    return make_trained(tmp_path_factory.mktemp("overhead") / "project")


@pytest.fixture
def copy(project, tmp_path) -> Project:
    shutil.copytree(project.root, tmp_path / "project")
    return Project(tmp_path / "project")


def built(project: Project, name: str = "crops/top") -> sources.BuiltData:
    return sources.BuiltData(name, project)


def frames(project: Project, name: str = "crops/top") -> Section:
    found = overhead.frames(built(project, name))
    assert found is not None
    return found


def cells(table: Table) -> list[dict[str, str]]:
    head = [c.text for c in table.columns]
    return [dict(zip(head, [c.text for c in row], strict=True)) for row in table.rows]


def kinds(section: Section | None, kind: str) -> list:
    assert section is not None
    return [block for block in section.blocks if block.kind == kind]


def picture(shot: Shot) -> np.ndarray:
    assert shot.source is not None
    return images.decode(base64.b64decode(shot.source.split(",")[1])).astype(int)


def near(image: np.ndarray, colour) -> np.ndarray:
    """(H, W) where a picture has about this colour; JPEG moves it a little."""
    return np.abs(image - np.array(colour)).max(2) < 60


# -- frames and crops ------------------------------------------------------------------------


def test_frames_and_rejects_are_counted(project):
    text, by_people = frames(project).blocks[:2]
    assert text.text.startswith(  # pyright: ignore
        "40 frames of top, people found by the backend depth: 38 gave a crop, 2 were rejected (2 "
        "no person found). Where several people are in a frame, the most central has its label."
    )
    lines = cells(by_people)  # pyright: ignore
    names = ("people found", "training frames", "test frames", "% of all", "width, median px")
    assert [tuple(line[name] for name in names) for line in lines] == [
        ("1", "18", "18", "94.74", "12"), ("2", "1", "0", "2.63", "12"),
        ("3", "0", "1", "2.63", "12"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rejected", "told"),
    [
        ({}, "none was rejected"),
        ({"no depth": 1}, "1 was rejected (1 no depth)"),
        ({"b": 2, "a": 2, "c": 1000}, "1,004 were rejected (1,000 c; 2 a; 2 b)"),
        (dict.fromkeys("abcdef", 1), "6 were rejected (1 a; 1 b; 1 c; 1 d; 2 further reasons)"),
    ],
)
def test_rejects_in_words(rejected, told):
    assert overhead._told(rejected) == told


def test_a_row_is_the_frame_with_its_box_the_crop_and_its_depth(project):
    data = built(project)
    opened = data.open(["image", "depth", "jet", "box", "source_image_id"])
    (sheet,) = kinds(frames(project), "sheet")
    assert sheet.headings == ["frame", "crop", "depth", "depth in JET"]
    assert [row.note.split(",")[0] for row in sheet.rows] == [
        "one person found", "one person found", "2 people found", "3 people found",
    ]  # fmt: skip
    fit = json.loads((project.derived("jet", "top-crops") / "fit.json").read_text())
    for row in sheet.rows:
        i = data.positions[row.shots[1].alt.split(":")[0]]
        frame, crop, gray, jet = map(picture, row.shots)
        assert row.title == f"person {data.persons[i]}, camera {opened.labels('camera')[i]}"
        assert row.shots[0].alt.startswith(opened.value("source_image_id", i))
        expected = opened.value("box", i) * overhead.FRAME_PX / 48
        ys, xs = np.nonzero(near(frame, overhead.OWN))
        drawn = np.array([xs.min(), ys.min(), xs.max(), ys.max()])
        assert np.abs(drawn - expected).max() < 3
        depth_mm = opened.value("depth", i)
        for shown, value in (
            (crop, opened.value("image", i)),
            (gray, overhead.gray(depth_mm, fit["near_mm"], fit["far_mm"])),
            (jet, opened.value("jet", i)),
        ):
            large = value.repeat(8, 0).repeat(8, 1)  # 104 // 12
            whole = draw.fitted(large, overhead.CROP_PX, overhead.CROP_PX).astype(int)
            assert np.abs(shown - whole).mean() < 8


def test_the_box_of_another_is_drawn_where_it_is_kept(project):
    """In the middle of a frame's third walk others stand beside; `others: junk` keeps them."""
    for name, shown in (("crops/top", 0), ("crops/top-others", 2)):
        (sheet,) = kinds(frames(project, name), "sheet")
        image = picture(sheet.rows[-1].shots[0])
        found = [
            near(image[:, left : left + 40][80:], overhead.OTHER).any() for left in (0, 120)
        ]  # the lower corners
        assert sum(found) == shown
        assert ("others in the frame" in sheet.legend) == bool(shown)
        assert ("the number alone is kept" in sheet.caption) != bool(shown)
        assert len(people_of(2, 2, 2)) == 3


def test_rows_of_others_are_no_frames_of_their_own(project):
    assert len(built(project, "crops/top-others").data) == 41
    text, by_people = frames(project, "crops/top-others").blocks[:2]
    assert "38 gave a crop" in text.text  # pyright: ignore
    assert [line["people found"] for line in cells(by_people)] == ["1", "2", "3"]  # pyright: ignore


def test_frames_that_are_kept_whole(project):
    section = frames(project, "crops/top-whole")
    line = cells(kinds(section, "table")[0])[0]
    assert (line["people found"], line["training frames"], line["score, median"]) == (
        "none: kept whole", "1", "–",
    )  # fmt: skip
    row = kinds(section, "sheet")[0].rows[-1]
    assert row.note == "nobody found"
    assert not near(picture(row.shots[0]), overhead.OWN).any()
    assert row.shots[1].label == "64 x 48 px"


def test_depth_without_colours_has_a_range_of_each_map(project):
    (sheet,) = kinds(frames(project, "crops/top-whole"), "sheet")
    assert sheet.headings == ["frame", "crop", "depth"]
    assert "each map has a range of its own" in sheet.caption
    depth = picture(sheet.rows[0].shots[2])
    assert (depth.min(), depth.max()) < (10, 256)
    assert depth.max() > 245


def test_gray_depth():
    depth_mm = np.array([[0, 1000, 1500], [2000, 900, 2100]], np.uint16)
    found = overhead.gray(depth_mm, 1000, 2000)
    assert found[0, 0].tolist() == list(overhead.MISSING)
    assert found[..., 0].ravel()[1:].tolist() == [255, 128, 0, 255, 0]
    assert (found[0, 1:] == found[0, 1:, :1]).all()


def test_whole_frames_with_their_depth_as_colours(project):
    section = frames(project, "top")
    assert section.title == "Depth as colours"
    (sheet,) = kinds(section, "sheet")
    assert sheet.headings == ["frame", "depth", "depth in JET"]
    fit = json.loads((project.derived("jet", "top") / "fit.json").read_text())
    assert {overhead.colour((128, 0, 0)), overhead.colour((0, 0, 128))} < {*sheet.legend.values()}
    assert JET[[0, -1]].tolist() == [[0, 0, 128], [128, 0, 0]]
    assert f"JET: {fit['far_mm'] / 1000:.2f} m and farther" in sheet.legend
    assert "what has no reading is shown as: far." in sheet.caption
    data = built(project, "top")
    for row in sheet.rows:
        jet = data.open(["jet"]).value("jet", data.positions[row.shots[0].alt.split(":")[0]])
        shown = images.resize(jet, overhead.FRAME_PX, 171).astype(int)
        assert np.abs(picture(row.shots[2]) - shown).mean() < 8


def test_nothing_of_it_without_depth_as_colours(copy, tmp_path):
    shutil.rmtree(copy.derived("jet", "top"))
    assert overhead.frames(built(copy, "top")) is None
    toy = make_project(tmp_path / "toy", persons=2)
    with contextlib.chdir(toy.root):
        from tests.reid.overhead import build

        build(toy, "ingest", "toy")
    assert overhead.frames(built(toy, "toy")) is None


def test_frames_that_are_gone(copy):
    shutil.rmtree(copy.shards("top"))
    (sheet,) = kinds(frames(copy), "sheet")
    assert all(row.shots[0].source is None for row in sheet.rows)
    assert all(row.shots[0].label == "gone" for row in sheet.rows)
    assert all(shot.source for row in sheet.rows for shot in row.shots[1:])


def test_text_of_the_data_is_escaped(copy):
    path = copy.derived("crops", "top") / "rejects.parquet"
    table = pa.table({"image_id": ["a"], "reason": [EVIL]})
    write_shard(path, table, {})
    page = report.page_of([Chapter("Crops", [frames(copy)])])
    assert EVIL not in page
    assert "1 was rejected (1 &lt;script&gt;" in page


# -- curves by model -------------------------------------------------------------------------


def score(
    project: Project, rank1: float, seed: int = 0, dataset: str = "crops/top", **wanted
) -> Path:
    """The published metrics of a run, as far as they are read here, without training it."""
    overrides = {"seed": seed, **wanted}
    run = experiments.variant(project, "multimodal_attention", dataset, overrides)
    path = project.run(run.name) / "evaluate" / "metrics.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({
        "cmc": [rank1, (1 + rank1) / 2, 1.0, 1.0], "rank1": rank1, "rank5": 1.0, "rank10": 1.0,
        "rank20": 1.0, "chance_rank1": 0.25, "paper": "multimodal_attention",
        "params": run.described(), "training": run.key(project),
        "code": run.test_code(project).fingerprint,
    }))  # fmt: skip
    return path


def runs_of(project: Project, dataset: str = "crops/top") -> sources.Runs:
    with contextlib.chdir(project.root):
        found = sources.runs(project, sources.built_data(project))
    return next(runs for runs in found if runs.built.name == dataset)


@pytest.fixture
def bare(copy) -> Project:
    """The same without runs of its own."""
    shutil.rmtree(copy.root / "data/3-runs")
    return copy


def models(project: Project) -> dict[str, int]:
    groups = overhead_curves.by_model(runs_of(project))
    return {name: len(group) for name, group in groups.items()}


def test_models_have_the_names_and_the_order_of_the_figure(bare):
    for row in reversed(FIGURE_3.rows):
        score(bare, 0.5, **(row.overrides or {}))
    assert [*models(bare)] == [row.name for row in FIGURE_3.rows]


def test_a_curve_is_the_mean_of_its_trainings(bare):
    for seed, rank1 in enumerate((0.2, 0.4)):
        score(bare, rank1, seed, model="mat", pool="max")
    score(bare, 0.5, model="d_cnn", pool="max")
    section = overhead_curves.curves(runs_of(bare))
    assert kinds(section, "figure")[0].alt == (
        "CMC curves by model on crops/top. Rank-1: D-CNN 50.0 %; MAT 30.0 %."
    )
    groups = overhead_curves.by_model(runs_of(bare))
    assert overhead_curves._mean(groups["MAT"]) == pytest.approx([0.3, 0.65, 1.0, 1.0])
    lines = cells(kinds(section, "table")[0])
    assert [(x["model"], x["trainings"], x["rank-1"]) for x in lines] == [
        ("D-CNN", "1", "50.00"), ("MAT", "2", "30.00 ± 14.14"),
    ]  # fmt: skip
    assert [x["paper, tvpr rank-1"] for x in lines] == ["not printed", "82.98"]


def test_full_frames_stand_beside_the_papers_own(bare):
    """The paper has them of one model and one data set: those that crops are made of."""
    for model in ("rgb_d_cnn", "mat"):
        score(bare, 0.5, model=model, pool="max", dataset="top", builds={"jet": "top"})
    runs = runs_of(bare, "top")
    lines = cells(kinds(overhead_curves.curves(runs), "table")[0])
    assert [{k: v for k, v in x.items() if k.startswith("paper")} for x in lines] == [
        {"paper, tvpr rank-1": "63.83"}, {"paper, tvpr rank-1": "not printed"},
    ]  # fmt: skip


def test_what_else_differs_stands_in_the_name(bare):
    score(bare, 0.2, model="mat")
    score(bare, 0.3, model="mat", attention_layers=["conv5"])
    score(bare, 0.3, model="rgb_d_cnn", dropout=0.25)
    assert sorted(models(bare)) == [
        "MAT (attention_layers conv4 conv5)", "MAT (attention_layers conv5)", "RGB-D-CNN",
    ]  # fmt: skip


def test_the_same_training_by_two_names_counts_once(bare):
    path = score(bare, 0.2, model="mat")
    shutil.copytree(path.parents[1], bare.run("by-another-name"))
    assert models(bare) == {"MAT": 1}
    score(bare, 0.2, 1, model="mat")
    assert models(bare) == {"MAT": 2}


def test_named_runs_and_those_of_tables_are_together(copy):
    score(copy, 0.2, model="rgb_cnn")
    assert models(copy) == {"RGB-CNN": 1, "RGB-D-CNN": 1, "MAT": 1}


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param({"training": "of other data"}, id="of data as they were before"),
        pytest.param({"params": {"dataset": "crops/top", "model": "x"}}, id="no such model"),
        pytest.param({"paper": "attention_driven"}, id="of another paper"),
    ],
)
def test_runs_that_are_not_of_now_are_left_out(bare, spoil):
    path = score(bare, 0.2, model="mat")
    assert overhead_curves.curves(runs_of(bare)) is not None
    path.write_text(json.dumps({**json.loads(path.read_text()), **spoil}))
    assert overhead_curves.curves(runs_of(bare)) is None


# -- attention maps --------------------------------------------------------------------------


def mat_of(project: Project) -> sources.Run:
    return next(run for run in runs_of(project).named if run.name == "top-mat")


def test_the_arrangement_is_that_of_figure_4(project):
    """Colour above depth, conv4 before conv5, the query before its match."""
    section = overhead_attention.maps(runs_of(project))
    sheets = kinds(section, "sheet")
    experiment = experiments.load(project, "top-mat")
    ids = experiment.open(project).rows["image_id"].to_pylist()
    for sheet in sheets:
        assert sheet.headings == ["query", "conv4", "conv5", "true match", "conv4", "conv5"]
        assert [row.title for row in sheet.rows] == ["colour", "depth"]
        ends = [sheet.rows[0].shots[i].alt.split(",")[0] for i in (0, 3)]
        assert {*ends} <= {*ids}
        found = attention_maps.maps(experiment, project, ends, "cpu")
        for row, view in zip(sheet.rows, ("rgb", "depth"), strict=True):
            expected = []
            for each in found:
                line = attention_maps.rows(each)[["rgb", "depth"].index(view)]
                expected += [line[0], *line[1:]]
            for shot, image in zip(row.shots, expected, strict=True):
                large = images.resize(image, *picture(shot).shape[:2]).astype(int)
                assert np.abs(picture(shot) - large).mean() < 12
            weights = [found[0].weights[view], found[1].weights[view]]
            told = [f"{w.min():.2f}-{w.max():.2f}" for of in weights for w in of.values()]
            assert [row.shots[i].label for i in (1, 2, 4, 5)] == told
        assert "Even weights would be 0.0625." in sheet.caption


def test_the_middle_of_each_passage_is_shown_beside_the_rank(project):
    section = overhead_attention.maps(runs_of(project))
    ranked = mat_of(project).ranked
    rows = experiments.load(project, "top-mat").open(project).rows.to_pylist()
    for sheet in kinds(section, "sheet"):
        query, match = (
            next(r for r in rows if r["image_id"] == sheet.rows[0].shots[i].alt.split(",")[0])
            for i in (0, 3)
        )
        assert (query["camera"], match["camera"]) == (2, 1)
        assert query["person"] == match["person"]
        for end in (query, match):
            own = [r["frame"] for r in rows
                   if (r["person"], r["camera"]) == (end["person"], end["camera"])]  # fmt: skip
            assert end["frame"] == sorted(own)[len(own) // 2]
        first = next(r for r in rows if (r["person"], r["camera"]) == (query["person"], 2))
        rank = ranked[first["image_id"]]["first_match"]
        assert f"the true match is at rank {rank}." in sheet.caption


def ranks(project: Project, *found: int) -> list[Pair]:
    """The pairs that are chosen where the true matches of four queries have these ranks."""
    path = project.run("top-mat") / "evaluate" / "ranked.parquet"
    rows = pq.read_table(path).to_pylist()
    for row, rank in zip(rows, found, strict=True):
        row["first_match"] = rank
    write_shard(path, pa.Table.from_pylist(rows), {})
    return overhead_attention._pairs(mat_of(project))


@pytest.mark.parametrize(
    ("found", "chosen"),
    [
        pytest.param((1, 1, 12, 30), [1, 30], id="the middle one of each kind"),
        pytest.param((1, 3, 7, 2), [1, 7], id="nothing beyond the top ten: the worst"),
        pytest.param((1, 1, 1, 1), [1], id="hits alone"),
        pytest.param((4, 5, 11, 2), [11], id="no hit"),
        pytest.param((0, 0, 0, 0), [], id="no query has a match"),
    ],
)
def test_which_queries_are_shown(copy, found, chosen):
    assert [pair.rank for pair in ranks(copy, *found)] == chosen


def test_a_match_beyond_the_kept_list_is_the_nearest_of_its_person(copy):
    path = copy.run("top-mat") / "evaluate" / "features.parquet"
    rows = pq.read_table(path).to_pylist()
    random = np.random.default_rng(0)
    for row in rows:
        row["feature"] = random.normal(size=len(row["feature"])).astype(np.float32)
    extra = [dict(row) for row in rows if row["gallery"]]
    for row in extra:  # another passage of each, nearest to its person's query
        own = next(r for r in rows if r["query"] and r["person"] == row["person"])
        row["image_id"] += "-near"
        row["feature"] = own["feature"]
    write_shard(path, pa.Table.from_pylist([*rows, *extra], pq.read_table(path).schema), {})
    assert {m[-5:] for m in overhead_attention._matches(mat_of(copy)).values()} == {"-near"}
    assert all(pair.match.endswith("-near") for pair in ranks(copy, 1, 1, 12, 30))


def test_matches_are_of_the_pooled_features(project):
    """By loops over the passages of the test, from the features of single images."""
    found = overhead_attention._matches(mat_of(project))
    experiment = experiments.load(project, "top-mat")
    data = experiment.open(project)
    tested, _ = pool_passages(data, np.zeros((len(data), 1), np.float32), "max")
    rows = tested.rows.to_pylist()
    expected = {
        q["image_id"]: g["image_id"]
        for q in rows for g in rows
        if q["query"] and g["gallery"] and q["person"] == g["person"]
    }  # fmt: skip
    assert found == expected


def test_networks_of_data_as_they_were_are_left_out(copy):
    metrics = copy.run("top-mat") / "evaluate" / "metrics.json"
    told = json.loads(metrics.read_text())
    metrics.write_text(json.dumps({**told, "training": "of other data"}))
    assert overhead_attention.maps(runs_of(copy)) is None
    metrics.write_text(json.dumps(told))
    assert overhead_attention.maps(runs_of(copy)) is not None
    shutil.rmtree(copy.derived("jet", "top-crops"))
    assert overhead_attention.maps(runs_of(copy)) is None


def test_a_network_of_a_table_where_params_yaml_names_none(copy):
    text = (copy.root / "params.yaml").read_text()
    (copy.root / "params.yaml").write_text(text.replace("top-mat:", "another:"))
    copy.run("top-mat").rename(copy.run("top-1234"))
    shutil.rmtree(copy.run("top-rgb-d"))
    (first, *_) = kinds(overhead_attention.maps(runs_of(copy)), "sheet")
    assert first.caption.startswith("top-1234, ")


def test_a_network_that_is_not_there(copy):
    (copy.run("top-mat") / "train" / "model.safetensors").unlink()
    assert overhead_attention.maps(runs_of(copy)) is None


def test_all_of_it_is_small(project):
    found = runs_of(project)
    sections = [frames(project), overhead_curves.curves(found), overhead_attention.maps(found)]
    page = report.page_of([Chapter("Above", [s for s in sections if s])])
    assert len(page) < 300_000
