"""JET: the colours entry by entry, the range of a data set, and what has no reading."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from pipeline.commands.build import make_plan
from pipeline.engine import run as engine
from pipeline.engine.stage import Resources
from pipeline.stages import jet
from pipeline.stages.jet import Params
from reid.arrays.depth import JET, colorize, fill_nearest, histogram, nearest_of, percentile
from reid.arrays.images import decode, decode_depth, encode_png
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.shards.schema import IMAGE
from reid.shards.verify import verify
from tests.conftest import contents
from tests.pipeline.overhead import build, change, make_overhead, rows_of

# OpenCV's JET, written down: red, green, blue
ENTRIES = {0: (0, 0, 128), 64: (0, 128, 255), 128: (130, 255, 126), 192: (255, 124, 0),
           255: (128, 0, 0)}  # fmt: skip


# --- colours -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("level", "rgb"), ENTRIES.items())
def test_jet_is_opencvs_table(level: int, rgb: tuple[int, int, int]):
    drawn = cv2.applyColorMap(np.full((1, 1), level, np.uint8), cv2.COLORMAP_JET)
    assert tuple(JET[level]) == rgb == tuple(drawn[0, 0, ::-1])
    depth_mm = np.full((2, 3), 1000 + level, np.uint16)
    assert (colorize(depth_mm, 1000, 1255) == rgb).all()


@pytest.mark.parametrize(
    ("depth_mm", "level"),
    [
        pytest.param(500, 0, id="near"),
        pytest.param(1, 0, id="nearer than near"),
        pytest.param(2500, 128, id="in the middle, 127.5, to even"),
        pytest.param(1284, 50, id="rounded, not cut off: 49.98"),
        pytest.param(4500, 255, id="far"),
        pytest.param(65_535, 255, id="farther than far"),
    ],
)
def test_depth_between_near_and_far(depth_mm: int, level: int):
    found = colorize(np.full((1, 1), depth_mm, np.uint16), 500, 4500)
    assert found.dtype == np.uint8
    assert tuple(found[0, 0]) == tuple(JET[level])


@pytest.mark.parametrize(
    ("missing", "rgb"),
    [
        pytest.param("far", ENTRIES[255], id="as far"),
        pytest.param("near", ENTRIES[0], id="as near"),
        pytest.param((9, 0, 250), (9, 0, 250), id="in a colour"),
        pytest.param("nearest", ENTRIES[64], id="as the pixel beside it"),
    ],
)
def test_what_has_no_reading(missing, rgb):
    depth_mm = np.array([[0, 1064, 1255], [0, 1064, 1255]], np.uint16)
    found = colorize(depth_mm, 1000, 1255, missing)
    assert (found[:, 0] == rgb).all()
    assert (found[:, 1] == ENTRIES[64]).all()
    assert (found[:, 2] == ENTRIES[255]).all()
    assert depth_mm[0, 0] == 0  # the input is left as it is


@settings(deadline=None, max_examples=40)
@given(arrays(bool, (7, 9)).filter(np.any))
def test_the_nearest_pixel_by_a_loop(chosen):
    places = np.argwhere(chosen)
    found = places[nearest_of(chosen)]  # (7, 9, 2)
    for y in range(7):
        for x in range(9):
            best = np.hypot(*(places - (y, x)).T).min()
            mine = np.hypot(*(found[y, x] - (y, x)))
            assert mine <= 1.05 * best  # OpenCV's distances of a 5 x 5 mask: within 2 %


def test_a_map_without_any_reading_cannot_be_filled():
    assert not fill_nearest(np.zeros((3, 3), np.uint16)).any()


@settings(deadline=None, max_examples=60)
@given(arrays(np.uint16, (5, 4), elements=st.integers(0, 12)), st.floats(0, 100))
def test_percentiles_of_readings(depth_mm, percent):
    readings = depth_mm[depth_mm > 0]
    if len(readings):
        expected = np.percentile(readings, percent, method="inverted_cdf")
        assert percentile(histogram(depth_mm), percent) == expected


# --- the step ------------------------------------------------------------------------------------


def cells(*encoded: bytes | None) -> pa.Table:
    values = [None if data is None else {"bytes": data, "path": None} for data in encoded]
    return pa.table({"depth": pa.array(values, IMAGE)})


def test_rows_without_usable_depth_are_rejects():
    step = jet.build(Params(), Resources(fitted={"near_mm": 1000, "far_mm": 2000, "readings": 1}))
    good = np.full((4, 6), 1500, np.uint16)
    found = step(cells(
        None, encode_png(good), encode_png(good * 0), encode_png(good.astype(np.uint8)),
        encode_png(good)[:-20],
    ))  # fmt: skip
    assert found["reject"].to_pylist() == [
        "no depth", None, "depth has no reading at all",
        "depth must be one 16-bit channel, not uint8 (4, 6)", "truncated PNG",
    ]  # fmt: skip
    assert found["jet"].is_valid().to_pylist() == [False, True, False, False, False]
    assert found["jet_size"].to_pylist()[1] == len(found["jet"][1]["bytes"].as_py())


def test_the_range_is_of_all_readings_or_given():
    ramp = np.arange(1, 1001, dtype=np.uint16).reshape(20, 50)
    tables = [cells(encode_png(ramp), None), cells(encode_png(ramp * 2), b"broken")]
    both = np.concatenate([ramp, ramp * 2])
    found = jet.fit(iter(tables), Params(near_percentile=10, far_percentile=95))
    near, far = (np.percentile(both, p, method="inverted_cdf") for p in (10, 95))
    assert found == {"near_mm": near, "far_mm": far, "readings": 2000}
    assert jet.fit(iter(tables), Params(near_mm=7))["near_mm"] == 7
    unread = iter([pytest.fail])  # a given range reads nothing
    given_range = jet.fit(unread, Params(near_mm=500, far_mm=4500))  # type: ignore[arg-type]
    assert given_range == {"near_mm": 500, "far_mm": 4500, "readings": 0}


def test_65535_is_no_reading():
    depth = np.arange(1000, 3000, dtype=np.uint16).reshape(40, 50).repeat(2, 0)
    depth[::10, ::50] = 65535  # 0.2 % of the pixels
    fitted = jet.fit(iter([cells(encode_png(depth))]), Params(far_percentile=100))
    assert (fitted["far_mm"], fitted["readings"]) == (2999, (depth < 65535).sum())
    assert "farthest_share" not in fitted


def test_another_value_that_stands_alone_is_warned_of(tmp_path):
    depth = np.arange(1000, 3000, dtype=np.uint16).reshape(40, 50)
    depth[0, :4] = 32001
    fitted = jet.fit(iter([cells(encode_png(depth))]), Params())
    assert (fitted["far_mm"], fitted["farthest_share"]) == (32001, 0.002)
    (tmp_path / "fit.json").write_text(json.dumps(fitted))
    span, warning = jet.notes(Params(), None, tmp_path)
    assert span == "colours span 1,005 to 32,001 mm"
    assert "stands alone, with 0.200% of all" in warning


def test_a_range_that_is_none_is_an_error():
    flat = encode_png(np.full((4, 4), 900, np.uint16))
    with pytest.raises(ReidError, match="depths from 900 to 900 mm are no range"):
        jet.fit(iter([cells(flat)]), Params())
    with pytest.raises(ReidError, match="no training row has depth"):
        jet.fit(iter([cells(None)]), Params())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"near_mm": 900, "far_mm": 900}, "`near_mm` must be below"),
        ({"near_percentile": 60, "far_percentile": 40}, "`near_percentile` must be below"),
        ({"near_mm": 0}, "near_mm"),
        ({"missing": "white"}, "missing"),
        ({"missing": (0, 0, 300)}, "missing"),
    ],
)
def test_parameters_that_make_no_sense(wrong, message):
    with pytest.raises(ValidationError, match=message):
        Params(**wrong)


# --- a project -----------------------------------------------------------------------------------


@pytest.fixture
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    project = make_overhead(tmp_path / "project", monkeypatch)
    build(project, "ingest")
    return project


def test_jet_beside_the_rows_in_one_range_for_all(top: Project):
    finished = build(top, "jet")
    folder, base = top.derived("jet", "top"), rows_of(top.shards("top"))
    assert (finished.rows, finished.rejects) == (len(base), 0)
    fitted = json.loads((folder / "fit.json").read_text())
    training = np.concatenate(
        [decode_depth(row["depth"]["bytes"]).ravel() for row in base if row["train"]]
    )
    readings = training[training > 0]
    assert fitted["readings"] == len(readings)
    for name, percent in (("near_mm", 0.1), ("far_mm", 99.9)):
        assert fitted[name] == np.percentile(readings, percent, method="inverted_cdf")
    for row, made in zip(base, rows_of(folder), strict=True):
        assert row["image_id"] == made["image_id"]
        depth_mm = decode_depth(row["depth"]["bytes"])
        expected = colorize(depth_mm, fitted["near_mm"], fitted["far_mm"])
        assert (decode(made["jet"]["bytes"]) == expected).all()
        assert (expected[:3, :3] == ENTRIES[255]).all()  # the corner without readings
    assert verify(folder, top.shards("top")) == []


def test_random_splits_give_the_range_of_all_images(tmp_path, monkeypatch):
    project = make_overhead(tmp_path / "project", monkeypatch, "opr")
    build(project, "ingest")
    build(project, "jet")
    rows = rows_of(project.shards("top"))
    readings = sum(np.count_nonzero(decode_depth(row["depth"]["bytes"])) for row in rows)
    assert 0 < sum(row["train"] for row in rows) < len(rows)
    fitted = json.loads((project.derived("jet", "top") / "fit.json").read_text())
    assert fitted["readings"] == readings


def test_jpeg_by_quality(top: Project):
    change("    top: {}\n    top-crops", "    top: {quality: 80}\n    top-crops")
    build(top, "jet")
    rows = rows_of(top.derived("jet", "top"))
    assert all(row["jet"]["bytes"].startswith(b"\xff\xd8\xff") for row in rows)


def test_the_same_bytes_from_one_process_and_from_a_pool(tmp_path, monkeypatch):
    found = []
    for executor in ("local", "pool"):
        project = make_overhead(tmp_path / executor, monkeypatch, persons=2)
        build(project, "ingest")
        build(project, "jet", executor=executor)
        found.append(contents(project.derived("jet", "top")))
    assert found[0] == found[1]


def test_a_changed_range_recomputes(top: Project):
    build(top, "jet")
    change("    top: {}\n    top-crops", "    top: {near_mm: 1200}\n    top-crops")
    plan = make_plan("jet", "top", top)
    assert len(engine.missing(plan, top)) == len(plan.tasks)
