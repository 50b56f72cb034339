"""Which images may swap: pairs of like masks, among all images of a viewpoint.

Two masks are cropped to their boxes, scaled to one width and laid over each other from the top
left corner; what one is longer than the other counts as empty. A pair is alike where the ratio of
their areas and the intersection over union both reach their thresholds.

Counting the pixels in common of all pairs is what costs. Counts of cells of 8x8 pixels bound them
so closely that only the few pairs near the threshold need their pixels: eight times faster than
matrix products of whole masks, to the same pairs.

Source  Yaghoubi et al., the search for similar backgrounds by area, overlap and viewpoint
Differs Both masks are cropped. The area ratio is the smaller over the larger, and must not be
        below its threshold, as the authors' code has it; the formula as printed reads otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

STRIP = 512  # images compared at a time with all others of like area; a multiple of 8
CELL = 8  # pixels, a packed byte's: masks are counted in cells of CELL x CELL
CELL_ROWS = 64  # of masks that are compared at a time
SLACK = 1.0  # pixels; more than the rounding of a sum of float32 roots


@dataclass(frozen=True)
class Rules:
    """When two images may swap; 0 or False leaves a rule out."""

    area_ratio: float = 0.8  # smaller over larger mask area, at least
    iou: float = 0.5  # of the masks at one width, at least
    same_viewpoint: bool = True
    not_occluded: bool = True  # the one that gives the background shows its head
    other_person: bool = True


class Outline(NamedTuple):
    """A mask at the common width W, rows added to a whole number of cells."""

    bits: np.ndarray  # (H, ceil(W / 8)) uint8, packed
    cells: np.ndarray  # (H / 8, ceil(W / 8)) uint8, pixels set in each cell


@dataclass(frozen=True)
class Outlines:
    """Masks at one width, one after the other, each as high as it is."""

    words: np.ndarray  # (8 x cells,) bytes as uint64: the packed pixels
    cells: np.ndarray  # (cell rows, ceil(W / 8)) uint8
    offsets: np.ndarray  # (N + 1,) int64: each mask's first cell row, and the end
    pixels: np.ndarray  # (N,) int64: set in each

    def words_of(self, number: int) -> np.ndarray:
        columns = self.cells.shape[1]
        return self.words[self.offsets[number] * columns : self.offsets[number + 1] * columns]


class Partners(NamedTuple):
    """Image i's are `partners[offsets[i]:offsets[i + 1]]`, ascending; `counts` before any draw."""

    offsets: np.ndarray  # (N + 1,) int64
    partners: np.ndarray  # int32, numbers of images
    counts: np.ndarray  # (N,) int64, of its partners


def outline(mask: np.ndarray, width: int) -> Outline:
    """A mask (H, W) with something set, cropped to its box and scaled to `width`."""
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    cropped = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.uint8) * 255
    height = max(1, round(cropped.shape[0] * width / cropped.shape[1]))
    scaled = cv2.resize(cropped, (width, height), interpolation=cv2.INTER_LINEAR) > 127
    bits = np.packbits(np.pad(scaled, ((0, -height % CELL), (0, 0))), axis=1)
    counts = np.bitwise_count(bits).reshape(-1, CELL, bits.shape[1])
    return Outline(bits, counts.sum(1, dtype=np.uint8))


def gather(results: Iterable[Outline]) -> Outlines:
    """Results of `outline`, all at one width, as one."""
    outlines = list(results)
    if not outlines:
        empty = np.empty((0, 1), np.uint8)
        return Outlines(np.empty(0, np.uint64), empty, np.zeros(1, np.int64), np.empty(0, np.int64))
    words = np.concatenate([o.bits.ravel().view(np.uint64) for o in outlines])
    offsets = np.cumsum([0, *(len(o.cells) for o in outlines)], dtype=np.int64)
    pixels = np.array([o.cells.sum(dtype=np.int64) for o in outlines], np.int64)
    return Outlines(words, np.concatenate([o.cells for o in outlines]), offsets, pixels)


def search(
    outlines: Outlines,
    area: np.ndarray,
    person: np.ndarray,
    viewpoint: np.ndarray,
    donor: np.ndarray,
    rules: Rules,
    choose: Callable[[int, np.ndarray], np.ndarray] | None = None,
) -> Partners:
    """The images j whose background image i may take, for every i of N.

    `area` (N,) of the masks in the images that are swapped; `viewpoint` (N,), where a negative
    one is unknown and like no other; `donor` (N,) bool, images with an unoccluded head.
    `choose(i, partners)` may keep some.
    """
    lists: list[np.ndarray] = [np.empty(0, np.int32)] * len(area)
    counts = np.zeros(len(area), np.int64)
    for group in _groups(viewpoint, rules):
        order = group[np.argsort(area[group], kind="stable")]
        alike = _alike(outlines, order, area[order].astype(np.float64), rules)
        for position, i in enumerate(order.tolist()):
            row = np.unpackbits(alike[position], count=len(order)).astype(bool)
            row[position] = False
            partners = order[row]
            if rules.other_person:
                partners = partners[person[partners] != person[i]]
            if rules.not_occluded:
                partners = partners[donor[partners]]
            partners = np.sort(partners).astype(np.int32)
            counts[i] = len(partners)
            lists[i] = choose(i, partners) if choose else partners
    offsets = np.cumsum([0, *(len(p) for p in lists)], dtype=np.int64)
    joined = np.concatenate([np.empty(0, np.int32), *lists])
    return Partners(offsets, joined.astype(np.int32), counts)


def _groups(viewpoint: np.ndarray, rules: Rules) -> Iterator[np.ndarray]:
    if not rules.same_viewpoint:
        yield np.arange(len(viewpoint))
        return
    for value in np.unique(viewpoint[viewpoint >= 0]):
        yield np.flatnonzero(viewpoint == value)


def _alike(outlines: Outlines, order: np.ndarray, area: np.ndarray, rules: Rules) -> np.ndarray:
    """(N, N / 8) packed bits: which images of `order`, whose `area` ascends, are alike.

    Sorted by area, a strip of images meets only those up to the largest area that the ratio
    allows, and each pair is met once.
    """
    count = len(order)
    alike = np.zeros((count, -(-count // 8)), np.uint8)
    for start in range(0, count, STRIP):
        stop = min(start + STRIP, count)
        reach = area[stop - 1] / rules.area_ratio * (1 + 1e-9) if rules.area_ratio else np.inf
        end = int(np.searchsorted(area, reach, side="right"))
        good = area[start:stop, None] / area[start:end] >= rules.area_ratio  # the upper triangle
        good &= np.arange(start, stop)[:, None] <= np.arange(start, end)
        _overlapping(outlines, order[start:stop], order[start:end], rules.iou, good)
        for part, rows in ((good, slice(start, stop)), (good.T, slice(start, end))):
            packed = np.packbits(part, axis=1)
            alike[rows, start // 8 : start // 8 + packed.shape[1]] |= packed
    return alike


def _overlapping(
    outlines: Outlines, first: np.ndarray, second: np.ndarray, iou: float, good: np.ndarray
) -> None:
    """Clear those pairs of `good` (len(first), len(second)) that overlap less than `iou`."""
    if iou <= 0:
        return
    least, most = _bounds(outlines, first, second)
    both = (outlines.pixels[first, None] + outlines.pixels[second]).astype(np.float64)
    good &= most / (both - most) >= iou
    for i, j in np.argwhere(good & (least / (both - least) < iou)).tolist():
        one, two = outlines.words_of(first[i]), outlines.words_of(second[j])
        size = min(len(one), len(two))
        common = int(np.bitwise_count(one[:size] & two[:size]).sum(dtype=np.int64))
        good[i, j] = common / (both[i, j] - common) >= iou


def _bounds(
    outlines: Outlines, first: np.ndarray, second: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The least and the most pixels that pairs can have in common; each (first, second).

    Where a cell is full or empty in one mask, its count in the other is what they share: matrix
    products of integers, which float32 holds exactly. Where both are mixed, with a and b pixels,
    they share at most min(a, b) <= sqrt(a) sqrt(b): a product too.
    """
    shape = len(first), len(second)
    surely, mixed = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    lengths = np.diff(outlines.offsets)
    # Longest first: only the masks that reach a piece take part in its product.
    one, two = (np.argsort(-lengths[chosen], kind="stable") for chosen in (first, second))
    for begin in range(0, int(min(lengths[first].max(), lengths[second].max())), CELL_ROWS):
        a, b = (_piece(outlines, c, begin) for c in (first[one], second[two]))
        part_a, part_b = np.where(a < CELL**2, a, 0), np.where(b < CELL**2, b, 0)
        block = np.s_[: len(a), : len(b)]
        surely[block] += (a - part_a) / CELL**2 @ b.T + part_a @ ((b - part_b) / CELL**2).T
        mixed[block] += np.sqrt(part_a) @ np.sqrt(part_b).T
    least, most = np.empty(shape), np.empty(shape)
    least[np.ix_(one, two)] = surely
    smaller = np.minimum(outlines.pixels[first, None], outlines.pixels[second])
    most[np.ix_(one, two)] = surely + mixed + SLACK
    return least, np.minimum(most, smaller)


def _piece(outlines: Outlines, chosen: np.ndarray, begin: int) -> np.ndarray:
    """(K, cells) float32 counts: cell rows `begin` on of those K first masks that are so high."""
    starts = outlines.offsets[chosen] + begin
    stops = np.minimum(outlines.offsets[chosen + 1], starts + CELL_ROWS)
    reach = int(np.count_nonzero(stops > starts))
    cells = np.zeros((reach, CELL_ROWS, outlines.cells.shape[1]), np.float32)
    for k in range(reach):
        cells[k, : stops[k] - starts[k]] = outlines.cells[starts[k] : stops[k]]
    return cells.reshape(reach, -1)
