"""Clips of tracklets: which frames are drawn, which are tested by, and whose features they are."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from reid.data import clips as clips_
from reid.data.clips import Clips, Tracklets
from reid.data.views import Views
from reid.evaluation.features import embed_data
from reid.project.errors import ReidError


class Rows:
    """Labels of rows as `Data` has them."""

    def __init__(self, labels: dict[str, list[int]]):
        self.columns = {name: np.array(values) for name, values in labels.items()}

    def __len__(self) -> int:
        return len(self.columns["person"])

    def labels(self, name: str) -> np.ndarray:
        return self.columns[name]

    def choose(self, rows: np.ndarray) -> Rows:
        return Rows({name: values[rows].tolist() for name, values in self.columns.items()})

    def each(self, positions):
        return [{"frame": int(self.columns["frame"][p])} for p in positions]


def rows(*lengths: int, query: tuple[int, ...] = ()) -> Rows:
    """Tracklets of persons 1, 2, ... with so many frames, those of `query` queries."""
    person = np.repeat(np.arange(1, len(lengths) + 1), lengths)
    asked = np.isin(person, query)
    frame = np.concatenate([10 * (i + 1) + np.arange(n) for i, n in enumerate(lengths)])
    labels = {"person": person, "camera": 1 + 0 * person, "tracklet": 0 * person, "frame": frame,
              "query": asked, "gallery": ~asked}  # fmt: skip
    return Rows({name: values.tolist() for name, values in labels.items()})


def tracklets(*lengths: int, query: tuple[int, ...] = ()) -> Tracklets:
    return Tracklets.of(rows(*lengths, query=query))  # type: ignore[arg-type]


def frames(found: Tracklets, positions: np.ndarray) -> np.ndarray:
    return found.data.labels("frame")[positions]


def test_rows_of_one_person_camera_number_and_role_are_a_tracklet():
    labels = {
        "person": [1, 1, 1, 1, 1, 2],
        "camera": [1, 1, 1, 2, 2, 2],
        "tracklet": [1, 1, 2, 1, 1, 1],
        "frame": [7, 3, 5, 2, 1, 9],
        "query": [0, 0, 0, 0, 1, 0],
        "gallery": [1, 1, 1, 1, 1, 1],
    }
    found = Tracklets.of(Rows(labels))  # type: ignore[arg-type]
    each = [found.rows[f : f + n].tolist() for f, n in zip(found.first, found.count, strict=True)]
    assert sorted(each) == [[1, 0], [2], [3], [4], [5]]  # in the order of their frames
    assert found.heads.labels("person").tolist() == [1, 1, 1, 1, 2]


def test_consecutive_clips_begin_anywhere_that_leaves_their_length():
    found = tracklets(3, 10)
    drawn = [found.draw(np.array([1]), Clips(4), seed)[0] for seed in range(300)]
    shown = np.stack([frames(found, clip) for clip in drawn])
    assert (np.diff(shown, axis=1) == 1).all()
    assert set(shown[:, 0].tolist()) == set(range(20, 27))  # 10 frames: starts 0 to 6


def test_short_tracklets_are_repeated_from_their_first_frame():
    found = tracklets(3, 10)
    clip = found.draw(np.array([0]), Clips(8), 5)[0]
    assert frames(found, clip).tolist() == [10, 11, 12, 10, 11, 12, 10, 11]


def test_even_clips_draw_a_frame_from_each_piece():
    found = tracklets(12)
    drawn = np.stack([
        frames(found, found.draw(np.array([0]), Clips(4, "even"), seed)[0]) for seed in range(200)
    ])  # fmt: skip
    for piece in range(4):
        assert set(drawn[:, piece].tolist()) == {10 + 3 * piece + i for i in range(3)}


def test_a_draw_depends_on_its_seed_alone():
    found = tracklets(30, 40)
    chosen = np.array([1, 0, 1])
    again = [found.draw(chosen, Clips(5), seed) for seed in (3, 3, 4)]
    assert np.array_equal(again[0], again[1])
    assert not np.array_equal(again[0], again[2])


def test_what_is_too_short_is_left_out_of_training():
    found = tracklets(3, 8, 16)
    assert found.training(Clips(8, short="skip")).count.tolist() == [8, 16]
    assert found.training(Clips(8)).count.tolist() == [3, 8, 16]
    with pytest.raises(ReidError, match=r"has 17 frames \(the longest has 16"):
        found.training(Clips(17, short="skip"))


@pytest.mark.parametrize(
    ("count", "wanted"),
    [
        (4, [[0, 1, 2, 3]]),
        (2, [[0, 1, 0, 1]]),
        (1, [[0, 0, 0, 0]]),
        (7, [[0, 1, 2, 3], [4, 5, 6, 4]]),
        (9, [[0, 1, 2, 3], [4, 5, 6, 7], [8, 8, 8, 8]]),
    ],
)
def test_dense_clips_repeat_the_last_one_s_frames(count: int, wanted: list[list[int]]):
    assert clips_.test_frames(count, Clips(4), query=True).tolist() == wanted


@pytest.mark.parametrize(
    ("count", "query", "wanted"),
    [(9, True, [0, 1, 2]), (9, False, [6, 7, 8]), (2, True, [0, 1]), (2, False, [0, 1])],
)
def test_a_query_s_first_frames_and_the_gallery_s_last(count: int, query: bool, wanted: list[int]):
    settings = Clips(4, test="ends", test_length=3)
    assert clips_.test_frames(count, settings, query).tolist() == [wanted]


@pytest.mark.parametrize(("count", "wanted"), [(8, [1, 3, 5, 7]), (4, [0, 1, 2, 3]), (1, [0] * 4)])
def test_even_test_clips(count: int, wanted: list[int]):
    assert clips_.test_frames(count, Clips(4, test="even"), query=True).tolist() == [wanted]


def test_batches_hold_clips_of_one_length():
    each = [np.zeros((3, 4), int), np.zeros((1, 4), int), np.zeros((2, 6), int)]
    found = [(rows.shape, owner.tolist()) for rows, owner in clips_.batches(each, 8)]
    assert found == [((2, 4), [0, 0]), ((2, 4), [0, 1]), ((1, 6), [2]), ((1, 6), [2])]


@pytest.mark.parametrize("test", ["dense", "even", "ends"])
def test_a_tracklet_s_feature_is_the_mean_of_its_clips_(test):
    settings = Clips(4, test=test, test_length=5)
    data = rows(9, 3, 300, query=(3,))
    views = Views(
        data,  # type: ignore[arg-type]
        lambda row: {"image": np.full((2, 2, 3), row["frame"] - 10, np.int16)},
        torch.device("cpu"),
        "memory",
    )
    method = SimpleNamespace(
        normalize=lambda params, batch, mean: batch,
        embed=lambda network, params, batch: batch["image"].float().mean((1, 2, 3, 4))[:, None],
    )
    params = SimpleNamespace(precision="32-true")
    nothing = torch.nn.Identity()
    heads, feature = embed_data(method, params, nothing, views, torch.zeros(3), settings)  # type: ignore[arg-type]
    wanted = []
    for person, (first, count) in enumerate([(0, 9), (10, 3), (20, 300)], 1):
        clips = clips_.test_frames(count, settings, person == 3)
        wanted.append(np.mean([np.mean([first + f for f in clip]) for clip in clips]))
    assert heads.labels("person").tolist() == [1, 2, 3]
    assert feature[:, 0] == pytest.approx(wanted, rel=1e-5)
    assert feature.dtype == np.float32
