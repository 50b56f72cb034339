"""The table of all experiments, their own sections, and the lists of all queries."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from reid.arrays import images
from reid.project.layout import Project
from reid.report import page as report
from reid.report.blocks import Gallery, Table
from reid.report.sections import failures, queries
from reid.report.sections.results import all_experiments, rows_of
from reid.results import built as sources
from reid.results.built import Run, Runs
from tests.reid.report.test_page import built, make_run  # noqa: F401

PARAMS = {"dataset": "toy", "model": "a", "seed": 0, "protocol": ""}


def run_of(name: str, rank1: float | None, **params) -> Run:
    params = {**PARAMS, **params}
    metrics = {"rank1": rank1, "rank5": 0.9, "map": 0.5, "chance_rank1": 0.1, "queries": 7,
               "protocol": params["protocol"], "paper": "p", "params": params}  # fmt: skip
    run = Run(name, Path(), {"paper": "p", "params": params}, None if rank1 is None else metrics)
    run.__dict__["ranked"] = {}
    return run


def table_of(project: Project, named: list[Run], others: list[Run]) -> list[dict[str, str]]:
    section = all_experiments([Runs(sources.BuiltData("toy", project), named, others)])
    assert section is not None
    (shown,) = section.blocks
    assert isinstance(shown, Table)
    names = [cell.text for cell in shown.columns]
    return [
        {n: f"*{c.text}*" if c.best else c.text for n, c in zip(names, line, strict=True)}
        for line in shown.rows
    ]


def test_seeds_are_one_row_and_the_best_is_marked(tmp_path: Path):
    seeds = [run_of("h1", 0.4, model="b"), run_of("h2", 0.6, model="b", seed=1)]
    first, second, third = table_of(Project(tmp_path), [run_of("named", 0.45), run_of("no", None,
                                    model="c")], seeds)  # fmt: skip
    assert (first["experiment"], first["rank-1"], first["seed"]) == ("named", "45.00", "0")
    assert (second["experiment"], second["rank-1"], second["queries"]) == ("no", "–", "–")
    assert (third["experiment"], third["seed"]) == ("h1", "0, 1")
    assert third["rank-1"] == "*50.00 ± 14.14*"
    assert (first["mAP"], third["mAP"]) == ("*50.00*", "*50.00 ± 0.00*")
    assert third["differs in"] == "model b"
    assert (third["chance rank-1"], third["rank-1, 95 %"]) == ("10.00", "–")


def test_random_splits_are_one_row_and_other_protocols_are_not(tmp_path: Path):
    every = [run_of(str(i), 0.5, protocol=f"random-{i}") for i in range(3)]
    rows = rows_of(Runs(sources.BuiltData("toy", Project(tmp_path)), [], every))
    assert [len(row.trainings) for row in rows] == [3]
    told = table_of(Project(tmp_path), [run_of("x", 0.5, protocol="classic"), *every], [])
    assert [line["seed"] for line in told] == ["0", "0; 3 splits"]
    assert not any("*" in line["rank-1"] for line in told), "they are scored differently"


@pytest.fixture
def copy(built, tmp_path) -> Project:  # noqa: F811
    shutil.copytree(built.root, tmp_path / "project")
    return Project(tmp_path / "project")


def runs_of(project: Project) -> Runs:
    (found,) = sources.runs(project, [sources.BuiltData("toy", project)])
    return found


def lists_of(project: Project) -> Gallery:
    section = failures.gallery([runs_of(project)])
    assert section is not None
    (block,) = section.blocks
    assert isinstance(block, Gallery)
    return block


def test_every_query_of_every_experiment_is_listed_the_worst_first(copy):
    found = lists_of(copy)
    data, runs = found.lists, runs_of(copy)
    for told, run in zip(data["experiments"], runs.named, strict=True):
        assert told["name"] == run.name
        assert len(told["lists"]) == len(run.ranked) > 5
        precisions = [line[1] for line in told["lists"]]
        assert precisions == sorted(precisions)
        query, precision, first, gallery, right = told["lists"][-1]
        line = run.ranked[data["images"][query]]
        assert precision == pytest.approx(line["average_precision"], abs=1e-4)
        assert first == line["first_match"]
        assert [data["images"][i] for i in gallery] == line["gallery"]
        assert [bit == "1" for bit in right] == line["match"]


def test_thumbnails_are_those_of_their_images(copy):
    found, data = lists_of(copy), sources.BuiltData("toy", copy)
    ends = np.cumsum(found.lists["lengths"]).tolist()
    assert ends[-1] == len(found.thumbnails)
    for i in (0, len(ends) - 1):
        text = found.thumbnails[ends[i] - found.lists["lengths"][i] : ends[i]]
        position = data.positions[found.lists["images"][i]]
        image = images.decode_upright(images.storable(base64.b64decode(text))[0])[..., ::-1]
        assert np.abs(image.astype(int) - data.data.value("image", position)).mean() < 16
        assert found.lists["cameras"][i] == data.data.labels("camera")[position]
        assert found.lists["persons"][i] == data.data.labels("person")[position]


def test_the_page_keeps_its_limits_and_says_what_it_leaves_out(copy, monkeypatch):
    whole = lists_of(copy)
    monkeypatch.setattr(failures, "THUMBNAILS", len(whole.thumbnails) // 2)
    monkeypatch.setattr(failures, "LISTS", 8)
    found = lists_of(copy)
    assert [len(each["lists"]) for each in found.lists["experiments"]] == [4, 4]
    assert len(found.thumbnails) <= len(whole.thumbnails) // 2
    lengths = found.lists["lengths"]
    assert 0 in lengths
    assert lengths[0] > 0, "the worst query is seen"
    without = sum(length == 0 for length in lengths)
    assert f"Left out: {without:,} of {len(lengths):,} pictures" in found.caption
    assert "Left out: the best 16 lists; the page holds 8 at most" in found.caption
    monkeypatch.setattr(report, "MOST_BYTES", 30_000)
    page = report.write(copy).read_text()
    assert len(page) < 100_000
    assert "the page is 0 MB at most" in page


def test_runs_on_a_data_set_built_anew_have_no_pictures(copy):
    run = runs_of(copy).named[0]
    line = dict(next(iter(run.ranked.values())), gallery=["gone/1"], match=[False])
    run.__dict__["ranked"] = {"gone/0": line}
    section = failures.gallery([Runs(sources.BuiltData("toy", copy), [run], [])])
    assert section is not None
    (block,) = section.blocks
    assert isinstance(block, Gallery)
    assert (block.lists["lengths"], block.lists["persons"]) == ([0, 0], [None, None])


def test_lists_cannot_end_the_element_that_they_stand_in():
    evil = "</script><!--<script>&\u2028\"'"
    data = Gallery({"images": [evil]}, "", "").data
    assert not set("<>&\u2028") & set(data)
    assert json.loads(data) == {"images": [evil]}


def test_camera_pairs_are_counted_by_the_first_gallery_image(copy):
    runs = runs_of(copy)
    first = queries.firsts(runs.built, runs.named[0])
    assert len(first) == len(runs.named[0].ranked)
    sections = queries.each(runs)
    assert [(s.title, s.name) for s in sections] == [
        (name, f"experiment {name}") for name in ("toy-baseline", "toy-inter")
    ]
    (pairs,) = [block for block in sections[0].blocks if isinstance(block, Table)]
    lines = [[cell.text for cell in line] for line in pairs.rows]
    assert [cell.text for cell in pairs.columns][:2] == ["query by", "all"]
    for camera, everyone, *each in lines:
        matches = [m for q, _, m in first if f"camera {q}" == camera]
        assert everyone == f"{100 * np.mean(matches):.1f} % of {len(matches)}"
        shown = [int(text.split(" of ")[1]) for text in each if " of " in text]
        assert sum(shown) == len(matches)
