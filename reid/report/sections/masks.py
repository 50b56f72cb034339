"""Person masks: over their images, and how much of the images they cover."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from reid.arrays import draw, images
from reid.report import plots
from reid.report.blocks import NONE, Figure, Row, Section, Sheet, Shot, Text, jpeg, percent, svg
from reid.report.blocks import table as table_of
from reid.report.sections.pictures import describe, evenly
from reid.results.built import Build, BuiltData

SHOWN = 6  # pictures of a row
MASK_PX = 176  # their longer side
REASONS = 4  # of rejects that are told; all are in the section of rejects
QUANTILES = {"least": 0, "lower quarter": 0.25, "median": 0.5, "upper quarter": 0.75, "most": 1}


def over_images(built: BuiltData) -> Section | None:
    """Counts of the masks, and some of them laid over their images."""
    if not built.has("mask"):
        return None
    share = area_share(built)
    text = Text(_rejected(built.shown["masks"], len(share)))
    blocks = [text, table_of(_counts(built, share), "Masks, and the share of an image they cover.")]
    return Section("Masks", [*blocks, *_histogram(built, share), *_sheet(built, share)])


def area_share(built: BuiltData) -> np.ndarray:
    """(N,) the part of each image that its mask covers; NaN without a mask."""
    area = built.data.values("mask_area", np.arange(len(built.data)))
    pixels = built.data.labels("height").astype(float) * built.data.labels("width")
    return np.array([np.nan if a is None else a for a in area], float) / pixels


def _rejected(masks: Build, rows: int) -> str:
    """How many rows have no mask, and why."""
    reasons = Counter(masks.rejects["reason"].to_pylist())
    count = sum(reasons.values())
    if not count:
        return f"All {rows:,} images have a mask."
    groups = sorted(reasons.items(), key=lambda group: (-group[1], group[0]))
    told = "; ".join(f"{n:,} {reason}" for reason, n in groups[:REASONS])
    more = f"; {len(groups) - REASONS} further reasons" if len(groups) > REASONS else ""
    return f"{count:,} of {rows:,} images have no mask: {told}{more}."


def _counts(built: BuiltData, share: np.ndarray) -> list[dict[str, Any]]:
    score = _scores(built)
    lines = []
    for part, mask in built.parts.items():
        found = share[mask & ~np.isnan(share)]
        line: dict[str, Any] = {"images": part, "with a mask": len(found)}
        line["without"] = int(mask.sum()) - len(found)
        for name, quantile in QUANTILES.items():
            line[f"area %, {name}"] = percent(np.quantile(found, quantile)) if len(found) else NONE
        scored = score[mask & ~np.isnan(score)]
        line["score, median"] = f"{np.median(scored):.3f}" if len(scored) else NONE
        lines.append(line)
    return lines


def _scores(built: BuiltData) -> np.ndarray:
    """(N,) the detector's scores, NaN where there is none."""
    score = built.data.values("mask_score", np.arange(len(built.data)))
    return np.array([np.nan if s is None else s for s in score], float)


def _histogram(built: BuiltData, share: np.ndarray) -> list[Figure]:
    known = ~np.isnan(share)
    groups = {
        part: np.rint(100 * share[mask & known]).astype(int)
        for part, mask in built.parts.items()
        if (mask & known).any()
    }
    if not groups:
        return []
    plot = plots.histogram(groups, "share of the image that the mask covers, %", "images")
    middles = "; ".join(f"{part}: median {np.median(g):g} %" for part, g in groups.items())
    alt = f"Histogram of the masks' area shares. {middles}."
    return [Figure(svg(plot), alt, f"How much of their image the masks cover. {middles}.")]


def _sheet(built: BuiltData, share: np.ndarray) -> list[Sheet]:
    """Evenly spaced images, then the smallest and the largest masks: the likeliest mistakes."""
    known = np.flatnonzero(~np.isnan(share))
    score = _scores(built)
    chosen = {part: np.intersect1d(np.flatnonzero(m), known) for part, m in built.parts.items()}
    chosen = {part: rows[evenly(len(rows), SHOWN)] for part, rows in chosen.items()}
    by_area = known[np.argsort(share[known], kind="stable")]
    chosen |= {"smallest masks": by_area[:SHOWN], "largest masks": by_area[::-1][:SHOWN]}
    rows = [
        Row(name, [_shot(built, p, float(share[p]), float(score[p])) for p in positions.tolist()])
        for name, positions in chosen.items()
        if len(positions)
    ]
    caption = (
        "Masks over their images: what is not of the person is faded. Below each its share of the "
        "image, and the detector's score where it has one."
    )
    return [Sheet(rows, caption)] if rows else []


def _shot(built: BuiltData, position: int, share: float, score: float) -> Shot:
    image, mask = (built.data.value(column, position) for column in ("image", "mask"))
    scale = MASK_PX / max(image.shape[:2])
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    scaled = images.resize(mask.astype(np.uint8) * 255, height, width) > 127
    shown = draw.mask_over(images.resize(image, height, width), scaled)
    label = f"{100 * share:.1f} %" + ("" if np.isnan(score) else f", score {score:.2f}")
    return Shot(jpeg(shown), describe(built, position), label)
