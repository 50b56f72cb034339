"""The page's sections on video: tracklets with their flow, attention over clips, clip lengths."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reid import experiments
from reid.arrays import images
from reid.arrays.flow import colour_wheel
from reid.evaluation.features import trained_network
from reid.papers.attentive_convlstm.frame_cnn import cut
from reid.papers.attentive_convlstm.samples import central
from reid.papers.attentive_convlstm.sections import attention as video_places
from reid.papers.mutual_attention.sections import activations as video_attention
from reid.papers.mutual_attention.sections import lengths as video_lengths
from reid.project.layout import Project
from reid.report import page as report
from reid.report.blocks import Chapter, Section, Shot, Table
from reid.report.sections import counts, pictures, video, video_clips
from reid.report.sections.video_clips import Clip
from reid.results import built as sources
from reid.results import evaluated as results
from tests.conftest import make_project
from tests.reid.overhead import build
from tests.reid.video import FRAMES, make_trained

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")

EVIL = "<b>'x'&"


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    return make_trained(tmp_path_factory.mktemp("video") / "project")


@pytest.fixture
def copy(project, tmp_path) -> Project:
    shutil.copytree(project.root, tmp_path / "project")
    return Project(tmp_path / "project")


def built(project: Project) -> sources.BuiltData:
    return sources.BuiltData("hall", project)


def runs_of(project: Project) -> sources.Runs:
    (found,) = sources.runs(project, [built(project)])
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


# -- tracklets and their flow ----------------------------------------------------------------


def test_tracklets_are_counted_by_role(project):
    (table,) = kinds(video.tracklets(built(project)), "table")
    split = json.loads((project.shards("hall") / "protocol.json").read_text())["built"]
    lines = {line.pop("role"): line for line in cells(table)}
    everything = [count for counts in FRAMES.values() for count in counts]
    assert lines["all tracklets"] == {
        "tracklets": "12", "persons": "6", "cameras": "2", "of junk and distractors": "0",
        "frames": str(sum(everything)), "frames of one, least": "4", "median": "7", "most": "12",
    }  # fmt: skip
    assert [lines[role]["tracklets"] for role in ("train", "query", "gallery")] == ["6", "3", "3"]
    assert [lines[role]["cameras"] for role in ("train", "query", "gallery")] == ["2", "1", "1"]
    assert lines["query"]["frames"] == str(split["query"]["images"])


def test_lengths_are_told_beside_their_histogram(project):
    figure = kinds(video.tracklets(built(project)), "figure")[0]
    assert figure.alt.startswith("Histogram of the tracklets' lengths. training: 6 of ")
    assert "test: 6 of " in figure.caption


def test_frames_of_one_person_in_both_cameras_above_their_flow(project, monkeypatch):
    monkeypatch.setattr(video, "FRAMES", 5)  # so that every second frame is shown
    (sheet,) = kinds(video.tracklets(built(project)), "sheet")
    assert sheet.headings == [f"frame {n}" for n in (1, 3, 5, 7, 9)]
    assert "one frame in 2, with its number" in sheet.caption
    assert [row.title for row in sheet.rows] == [
        title
        for person in (1, 6) for camera in (1, 2)
        for title in (f"person {person}, camera {camera}", "flow hall", "flow hall-lucas")
    ]  # fmt: skip
    for row, count in zip(sheet.rows[::3], (6, 9, 11, 7), strict=True):
        camera = int(row.title[-1])
        assert row.note.endswith(f"{count} frames")
        shown = [str(100 * camera + n) for n in range(0, count, 2)][:5]
        assert [shot.label for shot in row.shots] == shown


def test_flow_has_the_colours_of_one_maximum(project):
    data = built(project)
    section = video.tracklets(data)
    (sheet,) = kinds(section, "sheet")
    wheel = kinds(section, "figure")[1]
    opened = data.open(["flow"])
    shown = [shot for row in sheet.rows if row.title == "flow hall" for shot in row.shots]
    ids = [shot.alt.removeprefix("flow of ").split(":")[0] for shot in shown]
    flows = [opened.value("flow", data.positions[image_id]) for image_id in ids]
    lengths = np.sort(np.concatenate([np.hypot(*f.reshape(-1, 2).T) for f in flows]))
    maximum_px = int(np.ceil(lengths[int(0.99 * len(lengths))]))
    assert f"Colours are full at {maximum_px} px" in sheet.caption
    assert f"{maximum_px} px" in wheel.caption
    for shot, flow in zip(shown, flows, strict=True):
        assert np.abs(picture(shot) - colour_wheel(flow, maximum_px)).mean() < 12
    right, down = (picture(row.shots[1]).mean((0, 1)) for row in sheet.rows[1:5:3])
    assert right[1:].max() < right[0] - 20  # red
    assert down[2] < down[:2].min() - 20  # yellow


def test_colours_of_the_wheel_stand_where_the_motion_goes(project):
    image = video.wheel(3).astype(int)
    middle = np.array([video.ABOVE_PX + video.RADIUS_PX, video.BESIDE_PX + video.RADIUS_PX])
    for place, flow in (((0, 1), (3, 0)), ((1, 0), (0, 3)), ((0, -1), (-3, 0)), ((-1, 0), (0, -3))):
        y, x = middle + np.array(place) * (video.RADIUS_PX - 2)
        full = colour_wheel(np.array([[flow]], np.float32), 3)[0, 0]
        assert np.abs(image[y, x] - full).max() < 30
    assert (image[tuple(middle)] == 255).all()
    assert (image[: video.ABOVE_PX - 2] < 128).any()  # `up` stands above
    assert (image[:, : video.BESIDE_PX - 2] < 128).any()  # `left` beside


def test_one_build_of_flow_needs_no_name(copy):
    shutil.rmtree(copy.derived("flow", "hall-lucas"))
    (sheet,) = kinds(video.tracklets(built(copy)), "sheet")
    assert {row.title for row in sheet.rows[1::2]} == {"flow"}


def test_a_frame_without_flow_is_an_empty_place(project):
    data = built(project)
    seen = {0: np.array([0, 1])}
    motion = {"hall": {0: [None, np.zeros((48, 24, 2), np.float32)]}}
    (row,) = video._coloured(data, 0, seen, motion, 1)
    assert [shot.source is None for shot in row.shots] == [True, False]
    assert row.shots[0].label == "no flow"
    assert (picture(row.shots[1]) > 250).all()
    assert video._maximum([None]) == 1
    assert video._coloured(data, 0, seen, {"hall": {0: [None, None]}}, 1)[0].note == ""


def test_nothing_without_flow_or_without_tracklets(copy, tmp_path):
    shutil.rmtree(copy.root / "data/2-derived/flow")
    assert video.tracklets(built(copy)) is None
    toy = make_project(tmp_path / "toy", persons=2)
    build(toy, "ingest", "toy")
    assert video.tracklets(sources.BuiltData("toy", toy)) is None


# -- figure 5 --------------------------------------------------------------------------------


def look(project: Project, name: str, clip: list[str]) -> tuple[Any, dict[str, torch.Tensor]]:
    """A network and a normalised clip, put together by hand."""
    experiment = experiments.load(project, name)
    network, mean, _ = trained_network(experiment, project, torch.device("cpu"))
    data = experiment.open(project)
    order = data.rows["image_id"].to_pylist()
    rows = [data[order.index(image_id)] for image_id in clip]
    each = [experiment.method.view(experiment.params, row["image"], row) for row in rows]
    batch = {n: torch.stack([torch.from_numpy(e[n]) for e in each])[None] for n in each[0]}
    return network, experiment.method.normalize(experiment.params, batch, mean)


def test_five_frames_of_a_query_without_and_with_attention(project):
    (sheet,) = kinds(video_attention.activations(runs_of(project)), "sheet")
    assert [row.title for row in sheet.rows] == [
        "frames", "flow", "(a) without attention, image", "(a) without attention, flow",
        "(b) with attention, image", "(b) with attention, flow", "(c) attention M",
    ]  # fmt: skip
    assert {len(row.shots) for row in sheet.rows} == {5}
    data = experiments.load(project, "hall-mutual").open(project)
    ids = [shot.alt.removesuffix(", frames") for shot in sheet.rows[0].shots]
    rows = [row for row in data.rows.to_pylist() if row["image_id"] in ids]
    assert len({(r["person"], r["camera"]) for r in rows}) == 1
    assert all(r["query"] for r in rows)
    frames = [r["frame"] for r in rows]
    assert frames == [*range(frames[0], frames[0] + 5)]
    assert sheet.headings == [f"frame {n}" for n in frames]
    assert f"person {rows[0]['person']}, camera 1, tracklet" in sheet.caption
    assert "(a): hall-two (two stream, weighted addition); (b), (c): hall-mutual" in sheet.caption


def test_values_are_those_of_the_networks(project):
    (sheet,) = kinds(video_attention.activations(runs_of(project)), "sheet")
    clip = [shot.alt.removesuffix(", frames") for shot in sheet.rows[0].shots]
    network, batch = look(project, "hall-mutual", clip)
    maps, weight = network.maps(batch)
    for row, stream in zip(sheet.rows[4:6], ("image", "flow"), strict=True):
        mean = maps[stream][0].mean(1)
        low, high = mean.min().item(), mean.max().item()
        digits = 2 if high >= 0.1 else 4
        places = f"{mean.shape[2]} x {mean.shape[1]} places"
        assert row.note == f"{low:.{digits}f}-{high:.{digits}f}; {places}"
        each = network.aggregate[stream].weights(maps[stream].mean((-2, -1)))[0]
        assert [shot.label for shot in row.shots] == [f"{w:.2f}" for w in each.tolist()]
    found = [f"{m.min().item():.2f}-{m.max().item():.2f}" for m in weight[0]]
    assert [shot.label for shot in sheet.rows[6].shots] == found
    assert "0.37 to 2.72, by its likeness" in sheet.caption


def test_the_network_without_attention_is_the_one_most_alike(copy):
    shutil.rmtree(copy.run("hall-two"))
    (sheet,) = kinds(video_attention.activations(runs_of(copy)), "sheet")
    assert sheet.rows[2].title == "(a) without attention"  # it has images alone
    rank = next(r for r in runs_of(copy).named if r.name == "hall-one").ranked
    told = {f"(a): hall-one (one stream, average), true match at rank {r['first_match']}"
            for r in rank.values()}  # fmt: skip
    assert any(each in sheet.caption for each in told)
    shutil.rmtree(copy.run("hall-one"))
    (sheet,) = kinds(video_attention.activations(runs_of(copy)), "sheet")
    assert [row.title[:3] for row in sheet.rows] == ["fra", "flo", "(b)", "(b)", "(c)"]
    assert "(a)" not in sheet.caption


def test_a_network_of_a_table_is_shown_where_none_is_named(copy):
    by_hash = experiments.variant(copy, "mutual_attention", "hall", {"model": "mutual"})
    copy.run("hall-mutual").rename(copy.run(by_hash.name))
    (sheet,) = kinds(video_attention.activations(runs_of(copy)), "sheet")
    assert f"(b), (c): {by_hash.name} (mutual" in sheet.caption


def spoil(project: Project, run: str, how: str) -> None:
    folder = project.run(run) / "train"
    path = folder / "experiment.json"
    told = json.loads(path.read_text())
    if how == "no weights":
        (folder / "model.safetensors").unlink()
    elif how == "not trained":
        shutil.rmtree(folder)
    elif how == "a parameter of before":
        path.write_text(json.dumps({**told, "params": {**told["params"], "depth": 1}}))
    elif how == "no flow any more":
        shutil.rmtree(project.derived("flow", "hall"), ignore_errors=True)
    else:
        path.write_text(json.dumps({**told, "key": "of other data"}))


HOW = ["no weights", "not trained", "a parameter of before", "no flow any more", "other data"]


@pytest.mark.parametrize("how", HOW)
def test_networks_that_are_not_of_now_are_left_out(copy, how):
    spoil(copy, "hall-mutual", how)
    spoil(copy, "hall-convlstm", how)
    assert video_attention.activations(runs_of(copy)) is None
    assert video_places.places(runs_of(copy)) is None


def test_colours_are_of_one_range_for_all_frames():
    gray = [np.full((40, 20, 3), 128, np.uint8)] * 2
    weights = np.stack([np.full((4, 2), 0.2), np.full((4, 2), 0.2)]).astype(np.float32)
    weights[0, :, 1] = 0.4
    weights[1, :2] = 1.0
    first, second = (image.astype(int) for image in video_clips.heat(gray, weights))
    assert second[5, 5, 0] > 180  # yellow, the greatest of all
    assert second[-5, 5, 0] < 110  # violet, the least
    assert first[5, -2, 0] < 110  # the greatest of its own frame, but not of the clip
    even = video_clips.heat(gray, np.full((2, 4, 2), 0.7, np.float32))
    assert all((image == 128).all() for image in even)


@pytest.mark.parametrize("length", [1, 5, 7, 100])
def test_a_clip_is_the_beginning_of_a_query_that_is_long_enough(project, length):
    runs, experiment = runs_of(project), experiments.load(project, "hall-mutual")
    clip = video_clips.of_a_query(runs, experiment, length)
    assert clip is not None
    queries = experiment.open(project).role("query").rows.to_pylist()
    by_person = {
        p: [r for r in queries if r["person"] == p] for p in {r["person"] for r in queries}
    }
    whole = next(rows for rows in by_person.values() if rows[0]["image_id"] == clip.ids[0])
    assert clip.ids == [row["image_id"] for row in whole][:length]
    assert clip.frames == [100 + n for n in range(len(clip.ids))]
    assert len(clip.ids) == min(length, max(map(len, by_person.values())))


# -- attentive ConvLSTM ----------------------------------------------------------------------


def test_frames_have_their_share_of_the_attention(project):
    section = video_places.places(runs_of(project))
    (sheet,), (figure,) = kinds(section, "sheet"), kinds(section, "figure")
    assert [row.title for row in sheet.rows] == ["frames", "attention"]
    clip = [shot.alt.removesuffix(", frames") for shot in sheet.rows[0].shots]
    assert len(clip) == 3
    network, batch = look(project, "hall-convlstm", clip)
    params = network.params
    window = torch.tensor([(*central(params), 0)])
    attended = network.attention(network.maps(cut(batch["image"], window, params.size)))
    share = [f"{100 * s:.2f} %" for s in attended.share[0].tolist()]
    assert [shot.label for shot in sheet.rows[1].shots] == share
    assert all(each in figure.alt for each in share)
    even = attended.weights.numel() * attended.weights
    assert sheet.rows[1].note == (
        f"{even.min().item():.2f} to {even.max().item():.2f} times what even weights would be"
    )
    assert "even shares would be 33.33 %" in figure.caption
    height, width = attended.weights.shape[-2:]
    assert f"3 frames; {width} x {height} places of each." in sheet.caption


def test_some_frames_of_a_long_clip_are_shown(project, monkeypatch):
    monkeypatch.setattr(video_places, "FRAMES", 2)
    (sheet,) = kinds(video_places.places(runs_of(project)), "sheet")
    assert [len(row.shots) for row in sheet.rows] == [2, 2]
    assert "3 frames, 2 of them shown" in sheet.caption
    first, last = (int(heading.split()[1]) for heading in sheet.headings)
    assert last - first == 2


def test_no_attention_no_section(copy):
    shutil.rmtree(copy.run("hall-convlstm"))
    assert (copy.run("hall-plain") / "train" / "model.safetensors").is_file()
    assert video_places.places(runs_of(copy)) is None


# -- scores by length ------------------------------------------------------------------------


@pytest.fixture
def bare(copy) -> Project:
    """The same without runs of its own."""
    shutil.rmtree(copy.root / "data/3-runs")
    return copy


def score(project: Project, length: int, rank1: float, name: str = "", **wanted) -> Path:
    """The published metrics of a run, as far as they are read here, without training it."""
    overrides = {"sequence_length": length, **wanted}
    run = experiments.variant(project, "mutual_attention", "hall", overrides)
    path = project.run(name or run.name) / "evaluate" / "metrics.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({
        "rank1": rank1, "map": rank1 / 2, "cmc": [rank1], "paper": "mutual_attention",
        "params": run.described(), "training": run.key(project),
        "code": run.test_code(project).fingerprint,
    }))  # fmt: skip
    return path


def points(project: Project) -> dict[str, dict[int, int]]:
    """How many trainings each point of the lines has."""
    found = video_lengths.lines(runs_of(project))
    return {name: {n: len(at) for n, at in each.items()} for name, each in found.items()}


def test_lines_go_through_models_that_differ_in_length_alone(bare):
    for length, rank1 in ((4, 0.5), (2, 0.25)):
        score(bare, length, rank1, model="mutual")
        score(bare, length, rank1 / 2, model="one_stream", aggregation="average")
    score(bare, 4, 0.9, model="mutual", seed=1)
    score(bare, 8, 0.9, model="mutual", epochs=3)  # of its kind it is alone
    score(bare, 2, 0.9, model="gated")
    section = video_lengths.by_length(runs_of(bare))
    (figure,), (table,) = kinds(section, "figure"), kinds(section, "table")
    assert figure.alt == (
        "Scores by the frames of a clip on hall. pooling: rank-1 12.5 % at 2, 25.0 % at 4; "
        "MA, weighted addition: rank-1 25.0 % at 2, 70.0 % at 4."
    )
    assert points(bare) == {"pooling": {2: 1, 4: 1}, "MA, weighted addition": {2: 1, 4: 2}}
    lines = cells(table)
    assert [(x["model"], x["frames"], x["rank-1"], x["mAP"]) for x in lines] == [
        ("pooling", "2", "12.50", "6.25"), ("pooling", "4", "25.00", "12.50"),
        ("MA, weighted addition", "2", "25.00", "12.50"),
        ("MA, weighted addition", "4", "70.00 ± 28.28", "35.00 ± 14.14"),
    ]  # fmt: skip
    paper = [(x["paper, MARS rank-1"], x["paper, MARS mAP"]) for x in lines]
    assert paper == [("81.8", "71.0"), ("83.2", "75.1"), ("82.4", "74.8"), ("85.4", "77.7")]


def test_models_of_one_name_say_what_sets_them_apart(bare):
    for length in (2, 3):
        score(bare, length, 0.5, model="mutual")
        score(bare, length, 0.5, model="mutual", epochs=3)
        score(bare, length, 0.5, model="two_stream", aggregation="max")
    assert [*points(bare)] == [
        "MA, weighted addition (epochs 1)", "MA, weighted addition (epochs 3)", "two stream, max",
    ]  # fmt: skip
    table = kinds(video_lengths.by_length(runs_of(bare)), "table")[0]
    assert [x["paper, MARS rank-1"] for x in cells(table)][1] == "not printed"  # 3 frames


def test_the_same_training_by_two_names_counts_once(bare):
    score(bare, 2, 0.5, model="mutual")
    score(bare, 4, 0.5, model="mutual")
    score(bare, 4, 0.5, "hall-mutual", model="mutual")
    assert points(bare) == {"MA, weighted addition": {2: 1, 4: 1}}


@pytest.mark.parametrize(
    "spoiled",
    [
        pytest.param({"training": "of other data"}, id="of data as they were before"),
        pytest.param({"params": {"dataset": "hall", "model": "x"}}, id="no such model"),
        pytest.param({"paper": "attentive_convlstm"}, id="of another paper"),
    ],
)
def test_nothing_with_fewer_than_two_lengths(bare, spoiled):
    score(bare, 2, 0.5, model="mutual")
    path = score(bare, 4, 0.5, model="mutual")
    assert video_lengths.by_length(runs_of(bare)) is not None
    path.write_text(json.dumps({**json.loads(path.read_text()), **spoiled}))
    assert video_lengths.by_length(runs_of(bare)) is None


# -- the page --------------------------------------------------------------------------------


def test_names_are_escaped_and_pictures_are_small(copy):
    copy.derived("flow", "hall-lucas").rename(copy.derived("flow", EVIL))
    copy.run("hall-two").rename(copy.run(EVIL))
    copy.run("hall-convlstm").rename(copy.run(EVIL + "2"))
    score(copy, 4, 0.5, model="mutual")
    runs = runs_of(copy)
    found = [
        video.tracklets(built(copy)), video_attention.activations(runs),
        video_places.places(runs), video_lengths.by_length(runs),
    ]  # fmt: skip
    sections = [section for section in found if section is not None]
    assert len(sections) == 4
    page = report.page_of([Chapter("Video", sections)])
    assert "<b>'" not in page
    assert page.count("&lt;b&gt;") > 4
    sheet = kinds(sections[0], "sheet")[0]
    assert sum(len(shot.source or "") for row in sheet.rows for shot in row.shots) < 150_000
    assert all(
        shot.alt for s in sections for b in kinds(s, "sheet") for r in b.rows for shot in r.shots
    )


def test_a_clip_that_the_rows_lack_is_not_shown(project):
    runs, experiment = runs_of(project), experiments.load(project, "hall-mutual")
    clip = video_clips.of_a_query(runs, experiment, 2)
    assert clip is not None
    assert video_clips.prepared(runs, experiment, clip) is not None
    other = Clip([*clip.ids, "gone"], [*clip.frames, 0], clip.told)
    assert video_clips.prepared(runs, experiment, other) is None


# -- the other sections of a video data set ---------------------------------------------------


def test_splits_of_one_kind_are_one_table_and_a_folded_one(project):
    """Ten splits of the .mat and the same swapped have one rule and one set of published counts."""
    section = counts.roles(built(project))
    _, first, further = kinds(section, "table")
    assert first.caption.startswith("Protocol split-01 ")
    assert further.folded
    assert further.caption == "20 protocols of this rule; the counts in which they differ."
    lines = cells(further)
    assert [line["protocol"] for line in lines][::10] == ["split-01", "split-01-swapped"]
    assert {*lines[0]} == {"protocol", "train", "query", "gallery"}
    told = json.loads((project.shards("hall") / "protocol.json").read_text())["protocols"]
    assert [line["query"] for line in lines] == [str(p["found"]["query"]) for p in told]


def test_people_are_shown_by_the_first_frames_of_their_tracklets(project):
    section = pictures.identities(built(project))
    shots = [shot for s in kinds(section, "sheet") for row in s.rows for shot in row.shots]
    assert len(shots) > 6
    assert {shot.alt.split(":")[0].split("_")[-1] for shot in shots} == {"00100", "00200"}


def test_a_result_is_of_so_many_tracklets(project):
    titles = [*results.evaluated(project)]
    began = "mutual_attention on hall (photographs; 6 training tracklets of 3 persons; "
    assert titles[0].startswith(began)
    assert "3 queries, 3 gallery tracklets" in titles[0]
