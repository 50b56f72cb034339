"""Clips: the frames of a tracklet that a video paper trains on and tests by.

A paper whose samples are clips has `clips(params) -> Clips`. It then trains on tracklets instead of
rows, and a test feature is a tracklet's.

Source  dense test clips, consecutive training clips and cyclic padding: Gao and Nevatia, BMVC
        Workshops 2018 and its code; the two ends: McLaughlin et al., CVPR 2016
Differs A training clip may begin at any frame that leaves `length` of them; the code of the former
        leaves the last position out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

import numpy as np

from reid.data.dataset import Data
from reid.project.errors import ReidError


@dataclass(frozen=True)
class Clips:
    """Which frames are taken of a tracklet."""

    length: int  # frames of a training clip
    # consecutive: from a random frame on; even: one drawn from each of `length` equal pieces
    spacing: Literal["consecutive", "even"] = "consecutive"
    # dense: consecutive clips of `length`, the last one's frames repeated, features averaged;
    # even: one clip of `length` evenly spaced frames; ends: a query's first `test_length` frames,
    # the last ones of other tracklets, all frames where there are fewer
    test: Literal["dense", "even", "ends"] = "dense"
    test_length: int = 0  # of `ends`
    # training tracklets shorter than `length`: repeat their frames cyclically, or are left out
    short: Literal["repeat", "skip"] = "repeat"


@dataclass(frozen=True)
class Tracklets:
    """The tracklets of some rows: which rows each consists of, in the order of its frames."""

    data: Data
    rows: np.ndarray  # (N,) positions in `data`, those of a tracklet side by side
    first: np.ndarray  # (U,) where a tracklet begins in `rows`
    count: np.ndarray  # (U,) its frames

    @classmethod
    def of(cls, data: Data) -> Tracklets:
        """All rows of one person, camera, tracklet number and role make one tracklet."""
        names = ("person", "camera", "tracklet", "query", "gallery")
        labels = np.stack([data.labels(name).astype(np.int64) for name in names])
        order = np.lexsort((data.labels("frame"), *labels[::-1]))
        sorted_ = labels[:, order]
        begins = np.ones(len(order), bool)
        begins[1:] = (sorted_[:, 1:] != sorted_[:, :-1]).any(0)
        first = np.flatnonzero(begins)
        return cls(data, order, first, np.diff(np.append(first, len(order))))

    def __len__(self) -> int:
        return len(self.first)

    @property
    def heads(self) -> Data:
        """The first row of each tracklet, for its labels."""
        return self.data.choose(self.rows[self.first])

    def at_least(self, frames: int) -> Tracklets:
        """Those with so many frames; `ReidError` where there are none."""
        long = self.count >= frames
        if not long.any():
            raise ReidError(
                f"no training tracklet has {frames} frames (the longest has {self.count.max()}); "
                "take shorter clips"
            )
        return replace(self, first=self.first[long], count=self.count[long])

    def training(self, clips: Clips) -> Tracklets:
        """Those that are trained on."""
        return self.at_least(clips.length) if clips.short == "skip" else self

    def draw(self, chosen: np.ndarray, clips: Clips, seed: int) -> np.ndarray:
        """Rows of a random clip of each chosen tracklet, (B,) to (B, T)."""
        generator = np.random.default_rng(seed)
        share = generator.random((len(chosen), clips.length))
        count = self.count[chosen][:, None]
        if clips.spacing == "consecutive":
            start = (share[:, :1] * (count - clips.length + 1).clip(1)).astype(np.int64)
            frames = (start + np.arange(clips.length)) % count  # repeats where there are too few
        else:
            position = (np.arange(clips.length) + share) / clips.length  # 0 to 1
            frames = np.minimum((position * count).astype(np.int64), count - 1)
        return self.rows[self.first[chosen][:, None] + frames]

    def test_clips(self, clips: Clips) -> list[np.ndarray]:
        """For each tracklet the rows of the clips whose mean feature is its own, (clips, T)."""
        query = self.heads.labels("query").astype(bool)
        each = zip(self.first, self.count.tolist(), query, strict=True)
        return [self.rows[first + test_frames(n, clips, asked)] for first, n, asked in each]


def batches(each: list[np.ndarray], frames: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Clips of all tracklets in order, `frames` or one clip at a time: (B, T), whose they are (B,).

    `each` has the clips of a tracklet, (clips, T); a batch has clips of one length.
    """
    clips = [(clip, number) for number, rows in enumerate(each) for clip in rows]
    for length, same in groupby(clips, key=lambda clip: len(clip[0])):
        alike = list(same)
        size = max(1, frames // length)
        for start in range(0, len(alike), size):
            rows, numbers = zip(*alike[start : start + size], strict=True)
            yield np.stack(rows), np.array(numbers)


def test_frames(count: int, clips: Clips, query: bool) -> np.ndarray:
    """Frame numbers from 0 of the clips that a tracklet of `count` frames is tested by, (n, T)."""
    if clips.test == "ends":
        kept = min(count, clips.test_length)
        return (np.arange(kept) + (0 if query else count - kept))[None]
    if clips.test == "even":
        middles = (2 * np.arange(clips.length) + 1) * count // (2 * clips.length)
        return middles[None]
    starts = np.arange(0, count, clips.length)[:, None]
    left = np.minimum(count - starts, clips.length)
    return starts + np.arange(clips.length) % left
