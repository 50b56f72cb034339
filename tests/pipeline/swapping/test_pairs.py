"""The search for images that may swap, against loops over all pairs."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pipeline.swapping import pairs
from pipeline.swapping.pairs import Rules, gather, outline, search


def body(random: np.random.Generator, height: int = 96, width: int = 64) -> np.ndarray:
    """Head, trunk and two legs of varying size and stance."""
    mask = np.zeros((height, width), np.uint8)
    broad, lean = random.uniform(7, 15), random.integers(-4, 5)
    cv2.circle(mask, (32 + int(lean), 12), int(broad * 0.6), 1, -1)
    cv2.ellipse(mask, (32, 38), (int(broad), 22), random.uniform(-9, 9), 0, 360, 1, -1)
    for side in (-1, 1):
        foot = (32 + side * int(random.integers(2, 16)), int(random.integers(70, 94)))
        cv2.line(mask, (32 + side * 4, 50), foot, 1, int(broad * 0.6))
    return mask.astype(bool)


def normalised(mask: np.ndarray, width: int) -> np.ndarray:
    rows, columns = np.nonzero(mask)
    cut = mask[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    height = max(1, round(cut.shape[0] * width / cut.shape[1]))
    return cv2.resize(cut.astype(np.uint8) * 255, (width, height)) > 127


def overlap(one: np.ndarray, two: np.ndarray) -> float:
    """Intersection over union from the top left corner, what is missing below being empty."""
    height = max(len(one), len(two))
    a, b = (np.pad(m, ((0, height - len(m)), (0, 0))) for m in (one, two))
    return np.count_nonzero(a & b) / np.count_nonzero(a | b)


def brute_force(masks, person, viewpoint, donor, rules, width):
    """Partners of each image, pair by pair."""
    scaled = [normalised(mask, width) for mask in masks]
    area = [int(mask.sum()) for mask in masks]
    result = []
    for i in range(len(masks)):
        partners = []
        for j in range(len(masks)):
            if i == j or (rules.other_person and person[i] == person[j]):
                continue
            if rules.same_viewpoint and (viewpoint[i] < 0 or viewpoint[i] != viewpoint[j]):
                continue
            if rules.not_occluded and not donor[j]:
                continue
            if min(area[i], area[j]) / max(area[i], area[j]) < rules.area_ratio:
                continue
            if rules.iou and overlap(scaled[i], scaled[j]) < rules.iou:
                continue
            partners.append(j)
        result.append(partners)
    return result


def as_lists(result: pairs.Partners) -> list[list[int]]:
    return [p.tolist() for p in np.split(result.partners, result.offsets[1:-1])]


def crowd(count: int, seed: int = 0):
    random = np.random.default_rng(seed)
    masks = [body(random) for _ in range(count)]
    person, viewpoint = random.integers(0, 40, count), random.integers(-1, 3, count)
    return masks, person, viewpoint, random.random(count) < 0.8


@pytest.mark.parametrize(
    ("rules", "width"),
    [
        pytest.param(Rules(), 200, id="as published"),
        pytest.param(Rules(iou=0.75), 200, id="threshold amid the pairs"),
        pytest.param(Rules(area_ratio=0, iou=0.7), 61, id="any area, a width of odd bytes"),
        pytest.param(Rules(iou=0, other_person=False), 64, id="any overlap, the same person too"),
        pytest.param(Rules(same_viewpoint=False, iou=0.7), 64, id="any viewpoint"),
        pytest.param(Rules(not_occluded=False), 64, id="occluded too"),
    ],
)
def test_pairs_are_those_of_a_loop_over_300_masks(rules, width, monkeypatch):
    monkeypatch.setattr(pairs, "STRIP", 64)  # several strips a viewpoint
    masks, person, viewpoint, donor = crowd(300)
    area = np.array([m.sum() for m in masks])
    result = search(gather(outline(m, width) for m in masks), area, person, viewpoint, donor, rules)
    expected = brute_force(masks, person, viewpoint, donor, rules, width)
    assert as_lists(result) == expected
    assert result.counts.tolist() == [len(p) for p in expected]
    assert 0 < sum(map(len, expected)) < 300 * 299


def test_thresholds_are_reached_by_equality():
    whole, part = np.zeros((20, 10), bool), np.zeros((20, 10), bool)
    whole[:20], part[:16] = True, True  # area ratio 0.8, overlap 16 / 20
    area, none = np.array([200, 160]), np.array([-1, -1])
    outlines = gather([outline(whole, 10), outline(part, 10)])

    def partners(**changes):
        rules = Rules(same_viewpoint=False, **changes)
        return as_lists(search(outlines, area, np.array([1, 2]), none, none < 0, rules))

    assert partners(iou=0.8) == [[1], [0]]
    assert partners(iou=0.8 + 1e-9) == [[], []]
    assert partners(area_ratio=0.8 + 1e-9) == [[], []]


def test_masks_are_cropped_scaled_to_one_width_and_laid_from_the_top_left():
    small, large = np.zeros((50, 40), bool), np.zeros((90, 90), bool)
    small[3:13, 30:35] = True  # 5 wide, 10 high, anywhere
    large[40:80, 10:30] = True  # 20 wide, 40 high: the same shape
    assert outline(small, 40).cells.sum() == outline(large, 40).cells.sum() == 40 * 80
    outlines = gather([outline(small, 40), outline(large, 40)])
    np.testing.assert_array_equal(outlines.words_of(0), outlines.words_of(1))


def test_tall_masks_are_compared_in_pieces():
    random = np.random.default_rng(3)
    masks = [np.zeros((256, 64), bool) for _ in range(12)]
    for mask in masks:
        left, width = random.integers(0, 40), random.integers(4, 20)
        mask[: random.integers(60, 256), left : left + width] = True
        mask[random.random(mask.shape) < 0.02] = True
    masks = [np.where(np.arange(64) < random.integers(8, 64), m, False) for m in masks]
    masks = [m for m in masks if m.any()]
    count = len(masks)
    outlines = gather(outline(m, 200) for m in masks)
    assert np.diff(outlines.offsets).max() > 2 * pairs.CELL_ROWS
    person, none = np.arange(count), np.full(count, -1)
    rules = Rules(area_ratio=0, iou=0.3, same_viewpoint=False)
    area = np.array([m.sum() for m in masks])
    result = search(outlines, area, person, none, none < 0, rules)
    assert as_lists(result) == brute_force(masks, person, none, none < 0, rules, 200)
    assert len(result.partners)


def test_bounds_hold_and_are_close():
    masks = crowd(60, seed=5)[0]
    outlines, every = gather(outline(m, 200) for m in masks), np.arange(60)
    least, most = pairs._bounds(outlines, every, every)
    scaled = [normalised(m, 200) for m in masks]
    height = max(map(len, scaled))
    flat = np.stack([np.pad(m, ((0, height - len(m)), (0, 0))).ravel() for m in scaled])
    exact = flat.astype(np.float32) @ flat.T.astype(np.float32)
    assert (least <= exact).all()
    assert (exact <= most).all()
    assert np.median((most - least) / exact) < 0.1


def test_choose_sees_all_partners_and_decides_which_stay():
    masks, person, _, donor = crowd(30)
    area, same = np.array([m.sum() for m in masks]), np.zeros(30, int)
    outlines = gather(outline(m, 64) for m in masks)
    every = search(outlines, area, person, same, donor, Rules())
    first = search(outlines, area, person, same, donor, Rules(), lambda i, result: result[:1])
    assert as_lists(first) == [partners[:1] for partners in as_lists(every)]
    assert first.counts.tolist() == every.counts.tolist()


def test_no_masks_at_all():
    nothing = np.empty(0, np.int64)
    result = search(gather([]), nothing, nothing, nothing, nothing.astype(bool), Rules())
    assert (result.offsets.tolist(), len(result.partners)) == ([0], 0)


def test_the_reach_of_a_strip_is_not_lost_by_rounding(monkeypatch):
    monkeypatch.setattr(pairs, "STRIP", 8)
    area = np.array([55] * 8 + [100])  # 55 / 100 >= 0.55, but 55 / 0.55 < 100 in float64
    assert area[0] / 0.55 < area[-1]
    outlines, same = gather(outline(np.ones((4, 2), bool), 8) for _ in area), np.zeros(9, int)
    rules = Rules(area_ratio=0.55)
    result = search(outlines, area, np.arange(9), same, same == 0, rules)
    assert as_lists(result)[-1] == list(range(8))
