"""Tracklets: how many there are and how long, and some of them with their flow as colours."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from reid.arrays import draw
from reid.arrays.flow import colour_wheel
from reid.data.clips import Tracklets
from reid.data.dataset import ROLES, Data
from reid.report import plots
from reid.report.blocks import Figure, Row, Section, Sheet, Shot, Table, jpeg, small, svg, table
from reid.report.sections.pictures import describe, evenly
from reid.results.built import BuiltData

PERSONS, CAMERAS = 2, 2  # whose tracklets are shown
FRAMES = 7  # of a tracklet
BUILDS = 2  # of flow that are shown
SHOWN_PX, QUALITY = 96, 75  # height of a frame, and of its JPEG
MOST = 0.99  # of the pixels move less than the colours span
RADIUS_PX, ABOVE_PX, BESIDE_PX = 40, 20, 44  # of the wheel of colours and its margins

Seen = dict[int, np.ndarray]  # by tracklet the positions of the frames that are shown
Motion = dict[int, list[np.ndarray | None]]  # by tracklet their flow, None where there is none


def tracklets(built: BuiltData) -> Section | None:
    """Of data sets with flow: counts and lengths of tracklets, and frames above their flow."""
    flows = _flows(built)
    if not flows or (built.data.labels("tracklet") < 0).any():
        return None
    found = Tracklets.of(built.data)
    blocks: list[Table | Figure | Sheet] = [_counts(built, found), _lengths(built, found)]
    if chosen := _choose(built, found):
        blocks += _pictures(built, found, chosen, flows)
    return Section("Tracklets and optical flow", blocks)


def _flows(built: BuiltData) -> dict[str, Data]:
    """The builds of flow, first the one that is named after the data set."""
    names = [build.name for build in built.derived if build.stage == "flow"]
    names.sort(key=lambda name: (name != built.name, name))
    return {name: built.open(["flow.flow"], flow=name) for name in names[:BUILDS]}


# -- counts ----------------------------------------------------------------------------------


def _counts(built: BuiltData, found: Tracklets) -> Table:
    """Tracklets, their persons, cameras and frames by role."""
    heads = found.heads
    masks = {role: heads.labels(role).astype(bool) for role in ROLES}
    masks["all tracklets"] = np.ones(len(found), bool)
    person, camera = built.persons[found.rows[found.first]], heads.labels("camera")
    lines = []
    for role, mask in masks.items():
        known, count = person[mask & (person > 0)], found.count[mask]
        line: dict[str, Any] = {"role": role, "tracklets": len(count)}
        line["persons"], line["cameras"] = len(np.unique(known)), len(np.unique(camera[mask]))
        line["of junk and distractors"] = len(count) - len(known)
        line["frames"] = int(count.sum())
        if len(count):
            line["frames of one, least"] = int(count.min())
            line["median"], line["most"] = float(np.median(count)), int(count.max())
        lines.append(line)
    caption = (
        "Tracklets by role under the default rule. A tracklet is one sight of a person by one "
        "camera, frame after frame."
    )
    return table(lines, caption)


def _lengths(built: BuiltData, found: Tracklets) -> Figure:
    """A histogram of the tracklets' frames, of those for training and of those for testing."""
    first = found.rows[found.first]
    groups = {part: found.count[mask[first]] for part, mask in built.parts.items()}
    groups = {part: count for part, count in groups.items() if len(count)} or {"all": found.count}
    spans = "; ".join(
        f"{part}: {len(count):,} of {count.min():,} to {count.max():,} frames, median "
        f"{np.median(count):g}"
        for part, count in groups.items()
    )
    plot = plots.histogram(groups, "frames of a tracklet", "tracklets")
    caption = f"How many tracklets have how many frames. {spans.capitalize()}."
    return Figure(svg(plot), f"Histogram of the tracklets' lengths. {spans}.", caption)


# -- pictures --------------------------------------------------------------------------------


def _choose(built: BuiltData, found: Tracklets) -> list[int]:
    """The first tracklets of evenly spaced persons before their first cameras."""
    first = found.rows[found.first]
    person, camera = built.persons[first], built.data.labels("camera")[first]
    pairs = np.unique(np.stack([person, camera], 1)[person > 0], axis=0)
    people, cameras = np.unique(pairs[:, 0], return_counts=True)
    people = people[cameras > 1] if (cameras > 1).any() else people
    return [
        int(np.flatnonzero((person == p) & (camera == c))[0])
        for p in people[evenly(len(people), PERSONS)]
        for c in pairs[pairs[:, 0] == p, 1][:CAMERAS]
    ]


def _pictures(
    built: BuiltData, found: Tracklets, chosen: list[int], flows: dict[str, Data]
) -> list[Figure | Sheet]:
    """The wheel of colours, and the tracklets' frames above their flow."""
    step = max(1, -(-int(np.median(found.count)) // FRAMES))
    seen = {n: _frames(found, n)[::step][:FRAMES] for n in chosen}
    motion = {
        name: {n: data.values("flow.flow", positions) for n, positions in seen.items()}
        for name, data in flows.items()
    }
    main = next(iter(motion))
    maximum_px = _maximum([flow for each in motion[main].values() for flow in each])
    rows = [
        row
        for n in chosen
        for row in (_shown(built, found, n, seen), *_coloured(built, n, seen, motion, maximum_px))
    ]
    times = "every frame" if step == 1 else f"one frame in {step}"
    caption = (
        f"Tracklets from their first frame on, {times}, with its number; below it its flow to the "
        f"next frame of the tracklet. White is no motion, or none known. Colours are full at "
        f"{maximum_px} px in all pictures: of the build {main}, {MOST:.0%} of the pixels here move "
        "less."
    )
    longest = max(map(len, seen.values()))
    return [
        _legend(maximum_px),
        Sheet(rows, caption, [f"frame {1 + step * i}" for i in range(longest)]),
    ]


def _frames(found: Tracklets, number: int) -> np.ndarray:
    """The positions of a tracklet's frames."""
    first = found.first[number]
    return found.rows[first : first + found.count[number]]


def _maximum(flows: list[np.ndarray | None]) -> int:
    """The motion, in whole pixels, that `MOST` of all pixels do not exceed."""
    lengths = _px(flows)
    return max(1, int(np.ceil(np.quantile(lengths, MOST)))) if len(lengths) else 1


def _px(flows: list[np.ndarray | None]) -> np.ndarray:
    """The motion of all pixels of some frames, (N,)."""
    known = [np.hypot(flow[..., 0], flow[..., 1]).ravel() for flow in flows if flow is not None]
    return np.concatenate(known) if known else np.empty(0)


def _shown(built: BuiltData, found: Tracklets, number: int, seen: Seen) -> Row:
    """The frames of a tracklet."""
    shots = []
    for position in seen[number].tolist():
        image = small(built.data.value("image", position), SHOWN_PX)
        frame = str(built.data.labels("frame")[position])
        shots.append(Shot(jpeg(image, QUALITY), describe(built, position), frame))
    head, count = int(seen[number][0]), int(found.count[number])
    camera, tracklet = (built.data.labels(name)[head] for name in ("camera", "tracklet"))
    told = f"tracklet {tracklet}, {count:,} frame{'s' if count > 1 else ''}"
    return Row(f"person {built.persons[head]}, camera {camera}", shots, told)


def _coloured(
    built: BuiltData, number: int, seen: Seen, motion: dict[str, Motion], maximum_px: float
) -> list[Row]:
    """The flow of the same frames, a row for each build."""
    rows = []
    for name, of in motion.items():
        shots = []
        for flow, position in zip(of[number], seen[number].tolist(), strict=True):
            told = f"flow of {describe(built, position)}"
            if flow is None:
                shots.append(Shot(None, f"no {told}", "no flow"))
                continue
            image = small(colour_wheel(flow, maximum_px), SHOWN_PX)
            shots.append(Shot(jpeg(image, QUALITY), told))
        px = _px(of[number])
        note = f"median {np.median(px):.1f} px, most {px.max():.1f} px" if len(px) else ""
        rows.append(Row(f"flow {name}" if len(motion) > 1 else "flow", shots, note))
    return rows


def _legend(maximum_px: int) -> Figure:
    caption = f"Flow as colours, full at the rim: {maximum_px} px a frame or more."
    alt = f"Wheel of colours: right red, down yellow, left cyan, up blue; full at {maximum_px} px."
    return Figure(jpeg(wheel(maximum_px), 92), alt, caption)


def wheel(maximum_px: float) -> np.ndarray:
    """A disc of flow that grows from no motion in its middle to `maximum_px`, with directions."""
    side = 2 * RADIUS_PX + 1
    y, x = np.mgrid[-RADIUS_PX : RADIUS_PX + 1, -RADIUS_PX : RADIUS_PX + 1] / RADIUS_PX
    disc = colour_wheel(np.stack([x, y], -1) * maximum_px, maximum_px)
    disc[np.hypot(x, y) > 1] = draw.WHITE
    out = np.full((side + 2 * ABOVE_PX, side + 2 * BESIDE_PX, 3), draw.WHITE, np.uint8)
    out[ABOVE_PX : ABOVE_PX + side, BESIDE_PX : BESIDE_PX + side] = disc
    centre = np.array([BESIDE_PX + RADIUS_PX, ABOVE_PX + RADIUS_PX])
    cv2.circle(out, centre.tolist(), RADIUS_PX, draw.INK, 1, cv2.LINE_AA)
    places = {"right": (1, 0), "left": (-1, 0), "down": (0, 1), "up": (0, -1)}
    for word, place in places.items():
        size = np.array(cv2.getTextSize(word, draw.FONT, 0.42, 1)[0])
        middle = centre + np.array(place) * (RADIUS_PX + 6 + size / 2)
        corner = (middle + size * (-0.5, 0.5)).round().astype(int)
        cv2.putText(out, word, corner.tolist(), draw.FONT, 0.42, draw.INK, 1, cv2.LINE_AA)
    return out
