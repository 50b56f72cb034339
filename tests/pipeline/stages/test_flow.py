"""Flow: how it is stored and shown, which flow each row has, and the whole stage over tracklets."""

from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from pipeline.backends.flow import dis as flow_dis
from pipeline.stages import flow
from pipeline.stages.flow import Params, follows, shown
from pipeline.world.truth import Truth, write_truth
from reid.arrays.flow import (
    Flow,
    colour_wheel,
    decode_flow,
    decode_known_flow,
    encode_flow,
    resize_flow,
    resize_known_flow,
    two_channel,
    uv_magnitude,
)
from reid.arrays.images import BadImage, encode_jpeg, encode_png
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.shards.schema import IMAGE
from reid.shards.verify import verify
from tests.conftest import contents
from tests.pipeline.video import rows_of, run_flow, shifted, texture, write_video

PIXELS = st.floats(-510.875, 510.875, width=32)

# --- storing -------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(arrays(np.float32, (4, 3, 2), elements=PIXELS), arrays(bool, (4, 3)))
def test_what_is_stored_comes_back_to_half_a_step(flow_px, valid):
    data = encode_flow(flow_px, valid)
    found = decode_known_flow(data)
    np.testing.assert_array_equal(found.valid, valid)
    assert np.abs(found.px - flow_px)[valid].max(initial=0) <= 1 / 128
    assert not found.px[~valid].any()
    np.testing.assert_array_equal(decode_flow(data), found.px)
    assert encode_flow(*found) == data, "what was decoded is stored as it was"


def test_the_file_is_kittis():
    flow_px = np.array([[[1.5, -2.25], [300, 0]]], np.float32)
    data = encode_flow(flow_px, np.array([[True, False]]))
    blue, green, red = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)[0].T
    assert red.tolist() == [2**15 + 96, 0]
    assert green.tolist() == [2**15 - 144, 0]
    assert blue.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("pixels", "known"),
    [
        pytest.param(510.99, True, id="fits"),
        pytest.param(-510.99, True, id="fits, to the left"),
        pytest.param(511, False, id="too far to the right"),
        pytest.param(-511, False, id="too far to the left"),
        pytest.param(1e9, False, id="unknown in other formats"),
        pytest.param(math.inf, False, id="infinite"),
        pytest.param(math.nan, False, id="no number"),
    ],
)
@pytest.mark.parametrize("axis", [0, 1])
def test_flow_that_does_not_fit_is_unknown(pixels, known, axis):
    flow_px = np.full((1, 2, 2), 1, np.float32)
    flow_px[0, 0, axis] = pixels
    found = decode_known_flow(encode_flow(flow_px, np.ones((1, 2), bool)))
    assert found.valid.tolist() == [[known, True]]
    assert found.px[0, 1].tolist() == [1, 1]
    assert found.px[0, 0, axis] == pytest.approx(pixels if known else 0, abs=1 / 128)


SIXTEEN = np.full((4, 5, 3), 2**15, np.uint16)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "empty file", id="empty"),
        pytest.param(b"PIEH", "neither JPEG nor PNG", id="another format"),
        pytest.param(encode_jpeg(np.zeros((8, 8, 3), np.uint8)), "PNG", id="a JPEG"),
        pytest.param(encode_png(SIXTEEN)[:-20], "truncated PNG", id="cut off"),
        pytest.param(encode_png(SIXTEEN[..., 0]), "three 16-bit channels", id="depth"),
        pytest.param(encode_png(SIXTEEN.astype(np.uint8)), "three 16-bit", id="an 8-bit picture"),
        pytest.param(
            cv2.imencode(".png", np.full((4, 5, 4), 9, np.uint16))[1].tobytes(), "three 16-bit",
            id="four channels",
        ),
    ],
)  # fmt: skip
def test_what_is_no_flow_png(data, reason):
    with pytest.raises(BadImage, match=reason):
        decode_flow(data)


@pytest.mark.parametrize(("height", "width"), [(8, 12), (2, 3), (4, 3), (12, 3)])
def test_resized_flow_is_in_pixels_of_the_new_size(height, width):
    flow_px = np.full((4, 6, 2), (1.5, -8), np.float32)
    found = resize_flow(flow_px, height, width)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.full((height, width, 2), (width / 4, -2 * height)), 1e-6)


def test_resized_flow_keeps_what_is_unknown():
    valid = np.ones((4, 4), bool)
    valid[:2, 2:] = False
    found = resize_known_flow(Flow(np.ones((4, 4, 2), np.float32), valid), 8, 4)
    np.testing.assert_array_equal(found.valid, valid.repeat(2, axis=0))
    assert found.px[0, 0].tolist() == [1, 2]


# --- flow as images ------------------------------------------------------------------------------


def middlebury(u: float, v: float) -> list[float]:
    """The colour of a motion whose largest length is 1, by loops and with whole numbers first."""
    wheel = []
    for steps, colour in (
        (15, lambda k: (255, k, 0)), (6, lambda k: (255 - k, 255, 0)),
        (4, lambda k: (0, 255, k)), (11, lambda k: (0, 255 - k, 255)),
        (13, lambda k: (k, 0, 255)), (6, lambda k: (255, 0, 255 - k)),
    ):  # fmt: skip
        wheel += [colour(math.floor(255 * i / steps)) for i in range(steps)]
    place = (math.atan2(-v, -u) / math.pi + 1) / 2 * 55 % 55
    low = math.floor(place)
    length = min(1.0, math.hypot(u, v))
    return [
        255 - length * (255 - (a + (place - low) * (b - a)))
        for a, b in zip(wheel[low], wheel[(low + 1) % 55], strict=True)
    ]


@pytest.mark.parametrize(
    ("motion", "rgb"),
    [
        pytest.param((0, 0), (255, 255, 255), id="still is white"),
        pytest.param((4, 0), (255, 0, 0), id="right is red"),
        pytest.param((0, 4), (255, 234, 0), id="down: step 13.75 of red to yellow, 221 to 238"),
        pytest.param((-4, 0), (0, 198, 255), id="left: step 2.5 of cyan to blue, 209 to 186"),
        pytest.param((0, -4), (103, 0, 255), id="up: step 5.25 of blue to magenta, 98 to 117"),
        pytest.param((4, 1e-4), (255, 0, 0), id="right and a hair down"),
        pytest.param((4, -1e-4), (255, 0, 0), id="right and a hair up: the wheel is closed"),
        pytest.param((2, 0), (255, 128, 128), id="half as fast is half as full"),
        pytest.param((400, 0), (255, 0, 0), id="faster than the maximum is as the maximum"),
        pytest.param((0, -1e6), (103, 0, 255), id="much faster"),
    ],
)
def test_the_colour_of_a_motion(motion, rgb):
    found = colour_wheel(np.array(motion, np.float32).reshape(1, 1, 2), 4)
    assert found.dtype == np.uint8
    assert tuple(found[0, 0]) == rgb


@settings(deadline=None, max_examples=30)
@given(arrays(np.float32, (5, 4, 2), elements=st.floats(-3, 3, width=16)))
def test_colours_by_a_loop(flow_px):
    found = colour_wheel(flow_px, 2).astype(int)
    for y, x in np.ndindex(5, 4):
        expected = middlebury(float(flow_px[y, x, 0]) / 2, float(flow_px[y, x, 1]) / 2)
        assert np.abs(found[y, x] - expected).max() < 0.51


def test_views_of_two_numbers():
    flow_px = np.array([[[3, -4], [0, 0]], [[-30, 0], [0.4, 127.6]]], np.float32)
    shares = uv_magnitude(flow_px, 10)
    expected = [[[0.3, -0.4, 0.5], [0, 0, 0]], [[-1, 0, 1], [0.04, 1, 1]]]
    np.testing.assert_allclose(shares, expected, atol=1e-6)
    levels = two_channel(flow_px)
    assert levels.dtype == np.uint8
    assert levels.tolist() == [[[123, 130], [127, 127]], [[127, 97], [255, 127]]]
    far = np.array([[[128, -127], [129, -128], [1000, -1000]]], np.float32)
    assert two_channel(far).tolist() == [[[0, 255], [0, 255], [0, 255]]]


# --- which flow a row shows ----------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=6), st.sets(st.integers(0, 20)))
def test_each_row_shows_its_flow_or_the_one_before_or_none(lengths, bad):
    number = [n for n, length in enumerate(lengths) for _ in range(length)]
    keys = {"person": [1] * len(number), "camera": [2] * len(number), "tracklet": number}
    table = pa.table({"image_id": [str(n) for n in range(len(number))], **keys})
    joined = follows(table)
    there = np.array([n not in bad for n in range(len(number))])
    joined[:-1] &= there[:-1] & there[1:]
    found = shown(joined)
    for row in range(len(number)):
        leads = [
            n for n in (row, row - 1)
            if 0 <= n < len(number) - 1 and number[n] == number[n + 1]
            and n not in bad and n + 1 not in bad
        ]  # fmt: skip
        assert found[row] == (leads[0] if leads else flow.NOWHERE)


@pytest.mark.parametrize("column", ["person", "camera", "tracklet"])
def test_a_tracklet_ends_where_any_of_its_numbers_changes(column):
    keys = {name: [1, 1, 1] for name in ("person", "camera", "tracklet")} | {column: [1, 1, 2]}
    assert follows(pa.table({"image_id": ["a", "b", "c"], **keys})).tolist() == [True, False, False]


def tracklets(tracklet: list[int], frame: list[int | None]) -> pa.Table:
    keys = {"person": [1] * len(frame), "camera": [1] * len(frame), "tracklet": tracklet}
    names = [str(n) for n in range(len(frame))]
    return pa.table({"image_id": names, **keys, "frame": pa.array(frame, pa.int32())})


@pytest.mark.parametrize(
    ("widest", "joined"),
    [(None, [1, 1, 1, 0, 1, 0]), (7, [1, 1, 1, 0, 1, 0]), (6, [1, 0, 1, 0, 1, 0]),
     (1, [1, 0, 0, 0, 1, 0])],
)  # fmt: skip
def test_a_gap_that_is_too_wide_ends_a_tracklet(widest, joined):
    table = tracklets([1, 1, 1, 1, 2, 2], [0, 1, 8, 10, 3, 4])
    assert flow.steps(table).tolist() == [1, 7, 2, 0, 1, 0]
    assert flow.goes_on(table, widest).tolist() == [bool(j) for j in joined]


def test_a_tracklet_without_frame_numbers_has_no_order():
    assert flow.goes_on(tracklets([1, 2], [None, None]), None).tolist() == [False, False]
    with pytest.raises(ReidError, match="1 is of a tracklet without frame numbers"):
        flow.goes_on(tracklets([1, 2, 2], [1, 1, None]), None)


class Rows:
    """In place of a data set's shards."""

    def __init__(self, table: pa.Table):
        self.table = table

    def scalars(self, columns: list[str]) -> pa.Table:
        return self.table.select(columns)


def test_gaps_are_counted():
    rows = Rows(tracklets([1, 1, 1, 1, 2, 2], [0, 1, 8, 10, 3, 4]))
    line = "2 of 4 steps in tracklets leave out frames, at most 7 numbers apart"
    assert flow.notes(Params(), rows, Path()) == [f"{line}; see widest_gap"]
    expected = [f"{line}; no flow over the 1 wider than 2"]
    assert flow.notes(Params(widest_gap=2), rows, Path()) == expected
    assert flow.notes(Params(), Rows(tracklets([1, 1], [4, 5])), Path()) == []


# --- the stage, with a network that returns what is known ----------------------------------------

ROWS = (1, 2, 3, 7, 64)


def number_of(image: np.ndarray) -> int:
    return int(image[0, 0, 0])


def plain(number: int, height: int = 32, width: int = 16) -> np.ndarray:
    return np.full((height, width, 3), number, np.uint8)


@pytest.fixture
def differences(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """In place of a network: u is what a frame's number grows by, v its number; sizes of calls."""
    calls = []

    def estimate(pairs):
        calls.append(len(pairs))
        assert all(a.shape == b.shape and a.shape[2] == 3 for a, b in pairs)
        motions = [(number_of(b) - number_of(a), number_of(a)) for a, b in pairs]
        sizes = [a.shape[:2] for a, _ in pairs]
        return [
            Flow(np.full((*size, 2), motion, np.float32), np.ones(size, bool))
            for size, motion in zip(sizes, motions, strict=True)
        ]

    monkeypatch.setattr(flow_dis, "build", lambda params, device: estimate)
    return calls


def motions(project: Project) -> list[tuple[float, float] | None]:
    """The one motion of each row's flow, None where it has none."""
    found = []
    for row in rows_of(project).values():
        if row["flow"] is None:
            assert row["flow_size"] is None
            found.append(None)
            continue
        assert row["flow_size"] == len(row["flow"]["bytes"])
        flow_px = decode_flow(row["flow"]["bytes"])
        assert (flow_px == flow_px[0, 0]).all()
        found.append(tuple(flow_px[0, 0].tolist()))
    return found


@pytest.mark.parametrize("rows", ROWS)
def test_flow_stays_within_its_tracklet_however_rows_are_batched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, differences: list[int], rows: int
):
    monkeypatch.setattr(flow, "ROWS", rows)
    numbers = {
        (1, 1, 1): [10, 12, 17, 11], (1, 1, 2): [90], (1, 2, 2): [40, 49], (2, 2, 2): [7, 8, 10],
        (3, 1, 1): [100, 102, 103, 107, 109],
    }  # fmt: skip
    frames = {key: [plain(n) for n in values] for key, values in numbers.items()}
    shards = [dict(list(frames.items())[:3]), dict(list(frames.items())[3:])]
    project = write_video(tmp_path, shards)
    finished = run_flow(project, batch=1)
    assert (finished.rows, finished.rejects, finished.computed) == (15, 0, 2)
    assert motions(project) == [
        (2, 10), (5, 12), (-6, 17), (-6, 17),  # the last repeats the one before
        (0, 0),  # alone
        (9, 40), (9, 40),
        (1, 7), (2, 8), (2, 8),
        (2, 100), (1, 102), (4, 103), (2, 107), (2, 107),
    ]  # fmt: skip
    assert verify(project.derived("flow", "toy"), project.shards("toy")) == []
    if rows == 64:
        assert differences == [4, 6], "of a shard each pair once, all in one call"


def test_a_call_has_whole_network_calls_of_rows():
    assert [flow.batch_rows(Params(batch=n)) for n in (1, 8, 24, 64, 100)] == [64, 64, 72, 64, 100]


BROKEN = encode_png(texture(32, 16))[:60]


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        pytest.param([10, 12, None, 19, 24], [2, 2, None, 5, 5], id="in the middle"),
        pytest.param([None, 12, 13], [None, 1, 1], id="first"),
        pytest.param([10, 12, None], [2, 2, None], id="last"),
        pytest.param([10, None, 13, None, 19], [0, None, 0, None, 0], id="every second"),
        pytest.param([10, None, None, 13, 14], [0, None, None, 1, 1], id="two"),
        pytest.param([None, None], [None, None], id="all"),
    ],
)
def test_a_broken_frame_is_a_reject_and_ends_what_comes_before(
    tmp_path, monkeypatch, differences, frames, expected, rows
):
    monkeypatch.setattr(flow, "ROWS", rows)
    pictures = [BROKEN if n is None else plain(n) for n in frames]
    project = write_video(tmp_path, [{(1, 1, 1): pictures, (1, 1, 2): [plain(3), plain(7)]}])
    finished = run_flow(project, batch=1, max_reject_rate=1)
    assert [m and m[0] for m in motions(project)] == [*expected, 4, 4]
    assert finished.rejects == frames.count(None)
    rejects = pq.read_table(project.derived("flow", "toy") / "rejects.parquet")
    assert set(rejects["reason"].to_pylist()) == {"truncated PNG"}


def test_why_a_frame_is_rejected(tmp_path, differences):
    frames = [plain(1), None, b"", plain(5, 11, 40), plain(9)]
    project = write_video(tmp_path, [{(1, 1, 1): frames}])
    run_flow(project, max_reject_rate=1)
    reasons = pq.read_table(project.derived("flow", "toy") / "rejects.parquet").to_pydict()
    assert reasons["reason"] == ["no image", "empty file", "40 x 11 pixels: too small"]
    assert [m and m[0] for m in motions(project)] == [0, None, None, None, 0]


@pytest.mark.parametrize("rows", ROWS)
def test_frames_of_other_sizes_are_resized_to_the_first_of_a_pair(
    tmp_path, monkeypatch, differences, rows
):
    monkeypatch.setattr(flow, "ROWS", rows)
    sizes = [(32, 16), (40, 30), (40, 30), (20, 60)]
    frames = [plain(10 + 2 * n, *size) for n, size in enumerate(sizes)]
    project = write_video(tmp_path, [{(1, 1, 1): frames}])
    run_flow(project, batch=1)
    found = [decode_flow(row["flow"]["bytes"]) for row in rows_of(project).values()]
    assert [one.shape[:2] for one in found] == sizes
    assert motions(project) == [(2, 10), (2, 12), (2, 14), (4, 7)], "repeated: twice as wide"


def test_frames_are_enlarged_and_flow_is_in_pixels_of_the_frames(tmp_path, monkeypatch):
    shapes = []

    def estimate(pairs):
        """Flow as long as the frames are wide and high; unknown in the right half."""
        shapes.extend(image.shape for pair in pairs for image in pair)
        height, width = pairs[0][0].shape[:2]
        valid = np.ones((height, width), bool)
        valid[:, width // 2 :] = False
        return [Flow(np.full((height, width, 2), (width, height), np.float32), valid)] * len(pairs)

    monkeypatch.setattr(flow_dis, "build", lambda params, device: estimate)
    project = write_video(tmp_path, [{(1, 1, 1): [plain(1), plain(2), plain(3, 20, 40)]}])
    run_flow(project, scale=3)
    assert shapes == [(96, 48, 3)] * 4
    for row, (height, width) in zip(
        rows_of(project).values(), [(32, 16), (32, 16), (20, 40)], strict=True
    ):
        flow_px, valid = decode_known_flow(row["flow"]["bytes"])
        left = np.arange(width) < width // 2
        np.testing.assert_array_equal(valid, np.broadcast_to(left, (height, width)))
        assert (flow_px[valid] == (width, height)).all()


def test_still_images_are_one_clear_error(tmp_path, differences):
    project = write_video(tmp_path, [{None: [plain(1), plain(2)]}])
    with pytest.raises(ReidError, match=r"0001C1T0000F000 has no tracklet; .* still images"):
        run_flow(project)


def test_a_finished_shard_is_not_computed_again(tmp_path, differences):
    shards = [{(n, 1, 1): [plain(n), plain(n + 1)]} for n in (1, 2, 3)]
    project = write_video(tmp_path, shards)
    assert run_flow(project).computed == 3
    before = contents(project.derived("flow", "toy"))
    again = run_flow(project)
    assert (again.computed, again.reused, again.published) == (0, 3, False)
    assert contents(project.derived("flow", "toy")) == before
    assert run_flow(project, batch=5).computed == 3, "other boundaries of network calls"


def test_parameters_that_make_no_sense():
    for wrong, message in (
        ({"batch": 0}, "batch"), ({"scale": 0}, "scale"), ({"backend": "farneback"}, "backend"),
    ):  # fmt: skip
        with pytest.raises(ValidationError, match=message):
            Params.model_validate(wrong)


def test_which_weights_decide(tmp_path):
    (tmp_path / "net.ckpt").write_bytes(b"tensors")
    pin = {"address": "https://example.org/n.ckpt", "file": "n.ckpt", "bytes": 1, "sha256": "ab"}
    (tmp_path / "data").mkdir()
    pins = json.dumps({"flow ptlflow liteflownet sintel": pin})
    (tmp_path / "data" / "weights.json").write_text(pins)
    hashes = [flow.weights(Params(weights=w), tmp_path) for w in ("sintel", "random", "net.ckpt")]
    assert hashes[:2] == ["ab", "random"]
    assert len(hashes[2]) == 64
    assert flow.weights(Params(backend="dis"), tmp_path) == ""
    with pytest.raises(ReidError, match=r"away/net\.ckpt: no such weights file"):
        flow.weights(Params(weights="away/net.ckpt"), tmp_path)


# --- the stage, as it is -------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["dis", "lucas_kanade"])
def test_known_shifts_are_found_and_stored(tmp_path: Path, backend: str):
    shifts = {(1, 1, 1): (3, -2), (1, 2, 1): (-4, 1), (2, 1, 1): (0, 0)}
    frames = {
        key: shifted(64, 48, *shift, frames=3, seed=n)
        for n, (key, shift) in enumerate(shifts.items())
    }
    project = write_video(tmp_path, [frames])
    finished = run_flow(project, backend=backend)
    assert (finished.rows, finished.rejects) == (9, 0)
    rows = list(rows_of(project).values())
    for n, (u, v) in enumerate(shifts.values()):
        tracklet = rows[3 * n : 3 * n + 3]
        for row in tracklet:
            flow_px, valid = decode_known_flow(row["flow"]["bytes"])
            inner = (slice(8, -8), slice(8, -8))
            assert valid[inner].mean() > 0.95, "few pixels are lost"
            error = np.hypot(*np.moveaxis(flow_px - (u, v), -1, 0))[inner]
            assert np.median(error) < 0.1
            assert (error > 0.5).mean() < 0.05
        assert tracklet[1]["flow"] == tracklet[2]["flow"]


@pytest.mark.slow
def test_the_same_bytes_from_one_process_and_from_a_pool(tmp_path):
    found = []
    for executor in ("local", "pool"):
        shards = [{(n, 1, 1): shifted(48, 32, 2, n, frames=4, seed=n)} for n in (1, 2)]
        project = write_video(tmp_path / executor, shards)
        run_flow(project, executor=executor)
        found.append(contents(project.derived("flow", "toy")))
    assert found[0] == found[1]


# --- given ---------------------------------------------------------------------------------------


def constant(u: float, v: float, height: int = 32, width: int = 16) -> bytes:
    return encode_flow(np.full((height, width, 2), (u, v)), np.ones((height, width), bool))


def given_rows(path: Path, flows: dict[str, bytes | None]) -> Path:
    cells = [None if data is None else {"bytes": data, "path": None} for data in flows.values()]
    pq.write_table(pa.table({"image_id": list(flows), "flow": pa.array(cells, IMAGE)}), path)
    return path


@pytest.mark.parametrize("rows", ROWS)
def test_given_flow_by_name_and_what_the_last_frame_repeats(tmp_path, monkeypatch, rows):
    monkeypatch.setattr(flow, "ROWS", rows)
    tracklets = {
        (1, 1, 1): [plain(0)] * 3, (1, 1, 2): [plain(0)], (1, 1, 3): [plain(0)] * 3,
        (1, 1, 4): [plain(0)] * 2, (1, 1, 5): [plain(0)] * 3,
    }  # fmt: skip
    project = write_video(tmp_path, [tracklets])
    path = given_rows(tmp_path / "given.parquet", {
        "0001C1T0001F000": constant(1, 1), "0001C1T0001F001": constant(2, 1),
        "0001C1T0001F002": None,  # as a rendered world's truth has it
        "0001C1T0003F000": constant(3, 1), "0001C1T0003F002": constant(5, 1),  # its own last
        "0001C1T0005F000": constant(6, 1, 16, 32), "0001C1T0005F001": constant(7, 1)[:-30],
        "elsewhere": constant(0, 0),
    })  # fmt: skip
    finished = run_flow(project, backend="given", path=str(path), batch=1, max_reject_rate=1)
    assert [m and m[0] for m in motions(project)] == [
        1, 2, 2, 0, 3, None, 5, None, None, None, None, None,
    ]  # fmt: skip
    rejects = pq.read_table(project.derived("flow", "toy") / "rejects.parquet").to_pydict()
    assert rejects["reason"] == [
        "no flow given", "no flow given", "no flow given",
        "given flow: 32 x 16 pixels, of the image 16 x 32",
        "given flow: truncated PNG", "given flow: truncated PNG",
    ]  # fmt: skip
    assert finished.rejects == 6
    params = Params(backend="given", path=str(path))
    names = list(rows_of(project))
    assert flow.unmatched(params, names) == ["elsewhere"]
    assert flow.unmatched(Params(), names) == []


def test_a_worlds_truth_is_given_as_it_is_and_changed_flow_recomputes(tmp_path):
    project = write_video(tmp_path, [{(1, 1, 1): [plain(0)] * 2}])
    mask = encode_png(np.ones((32, 16), bool))
    random = np.random.default_rng(0)
    known = random.random((32, 16)) < 0.9
    true = random.normal(0, 5, (32, 16, 2)).astype(np.float32)
    data = encode_flow(true, known)
    truth = [
        ("0001C1T0001F000", Truth(mask, b"", mask, flow=data), "0001C1T0001F001"),
        ("0001C1T0001F001", Truth(mask, b"", mask), None),
    ]
    write_truth(tmp_path / "truth", truth)
    run_flow(project, backend="given", path=str(tmp_path / "truth"))
    assert [row["flow"]["bytes"] for row in rows_of(project).values()] == [data, data]


def test_changed_given_flow_recomputes(tmp_path):
    project = write_video(tmp_path, [{(1, 1, 1): [plain(0)] * 2}])
    computed = []
    for u in (1, 1, 2):
        path = given_rows(tmp_path / "given.parquet", {"0001C1T0001F000": constant(u, 0)})
        computed.append(run_flow(project, backend="given", path=str(path)).computed)
    assert computed == [1, 0, 1]
