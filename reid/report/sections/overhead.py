"""People seen from above: found in their frames, cut out, and their depth as colours."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from reid.arrays import draw, images
from reid.arrays.depth import JET
from reid.data.dataset import Data
from reid.report.blocks import (
    Row,
    Section,
    Sheet,
    Shot,
    Table,
    Text,
    colour,
    jpeg,
    percent,
    table,
    text_of,
)
from reid.report.sections.pictures import describe, evenly
from reid.results.built import BuiltData

SHOWN = {1: 2, 2: 2, 3: 1, 0: 1}  # rows of a sheet by the people in the frame; 3 or more are one
FRAMES = 4  # rows of a sheet of frames that nobody was cut out of
FRAME_PX, CROP_PX = 128, 104  # height of a frame, sides of a crop's place
OWN, OTHER, MISSING = (240, 228, 66), (86, 180, 233), (204, 121, 167)
RULES = {"central": "the most central", "largest": "the largest", "nearest": "the nearest"}
ABOUT = ("source_image_id", "box", "score", "people")  # of a crop
REASONS = 4  # of rejects that are told; all are in the section of rejects


def frames(built: BuiltData) -> Section | None:
    """Of crops their frames, boxes and depth; of other data with depth as colours frames and it."""
    if built.origin.stage == "crops":
        data = _open(built, *ABOUT)
        return Section("Frames, crops and depth", [*_counts(built, data), *_crops(built, data)])
    sheets = _frames(built)
    return Section("Depth as colours", sheets) if sheets else None


# -- counts ----------------------------------------------------------------------------------


def _counts(built: BuiltData, data: Data) -> list[Text | Table]:
    """How many frames gave a crop, why others did not, and how many people were in them."""
    rows, parameters = _own(data), built.origin.parameters
    rejected = Counter(built.origin.rejects["reason"].to_pylist())
    whose = RULES.get(str(parameters.get("own")), str(parameters.get("own")))
    text = (
        f"{len(rows) + rejected.total():,} frames of {built.origin.dataset}, people found by the "
        f"backend {parameters.get('backend')}: {len(rows):,} gave a crop, {_told(rejected)}. Where "
        f"several people are in a frame, {whose} has its label."
    )
    caption = (
        "Frames by how many people were found in them, with the crops' size and the score that "
        "the backend gives their boxes."
    )
    return [Text(text), table(_by_people(built, data, rows), caption)]


def _told(rejected: Mapping[str, int]) -> str:
    count = sum(rejected.values())
    if not count:
        return "none was rejected"
    groups = sorted(rejected.items(), key=lambda group: (-group[1], group[0]))
    told = "; ".join(f"{n:,} {reason}" for reason, n in groups[:REASONS])
    more = f"; {len(groups) - REASONS} further reasons" if len(groups) > REASONS else ""
    return f"{count:,} {'was' if count == 1 else 'were'} rejected ({told}{more})"


def _by_people(built: BuiltData, data: Data, rows: np.ndarray) -> list[dict[str, Any]]:
    people = np.array(data.values("people", rows), int)
    score = np.array([np.nan if s is None else s for s in data.values("score", rows)], float)
    lines = []
    for count in np.unique(people).tolist():
        chosen = people == count
        line: dict[str, Any] = {"people found": str(count) if count else "none: kept whole"}
        for part, mask in built.parts.items():
            line[f"{part} frames"] = int((chosen & mask[rows]).sum())
        line["% of all"] = percent(chosen.mean())
        for side in ("width", "height"):
            line[f"{side}, median px"] = f"{np.median(data.labels(side)[rows[chosen]]):g}"
        known = score[chosen & ~np.isnan(score)]
        line["score, median"] = f"{np.median(known):.3f}" if len(known) else None
        lines.append(line)
    return lines


def _own(data: Data) -> np.ndarray:
    """The rows that have their frame's own label, not those of others in it."""
    rows = data.rows
    ids, sources = (rows[name].to_pylist() for name in ("image_id", "source_image_id"))
    return np.flatnonzero([a == b for a, b in zip(ids, sources, strict=True)])


# -- sheets ----------------------------------------------------------------------------------


def _crops(built: BuiltData, data: Data) -> list[Sheet]:
    """Frames with the boxes that were cut out of them, the crops, their depth in gray and JET."""
    chosen = _choose(data)
    if not len(chosen):
        return []
    span, base, others = _span(built), _base(built), _others(data)
    rows = [
        Row(
            f"person {built.persons[i]}, camera {data.labels('camera')[i]}",
            [_boxed(base, data, i, others), *_cells(built, data, i, span)],
            _found(data, i),
        )
        for i in map(int, chosen)
    ]
    legend = {"the person who is cut out": colour(OWN)}
    legend |= {"others in the frame": colour(OTHER)} if others else {}
    several = max(data.values("people", chosen)) > 1
    unseen = "" if others or not several else " Of others in a frame the number alone is kept."
    caption = (
        f"Frames with the box that was found, and what was cut out of colour and depth alike."
        f"{unseen}{_scale(built, data, span)}"
    )
    return [Sheet(rows, caption, ["frame", "crop", *_headings(data)], legend | _legend(data, span))]


def _frames(built: BuiltData) -> list[Sheet]:
    """Whole frames with their depth; none where the depth is not there as colours."""
    if not built.has("jet"):
        return []
    data, span = _open(built), _span(built)
    rows = [
        Row(describe(built, i), _cells(built, data, i, span))
        for i in evenly(len(data), FRAMES).tolist()
    ]
    caption = f"Frames and their depth.{_scale(built, data, span)}"
    return [Sheet(rows, caption, ["frame", *_headings(data)], _legend(data, span))]


def _choose(data: Data) -> np.ndarray:
    """Rows spread evenly over the frames of one person, of two, of more, and of nobody."""
    own = _own(data)
    people = np.minimum(np.array(data.values("people", own), int), max(SHOWN))
    groups = [(own[people == count], wanted) for count, wanted in SHOWN.items()]
    return np.concatenate([rows[_inside(len(rows), wanted)] for rows, wanted in groups])


def _inside(count: int, wanted: int) -> np.ndarray:
    """At most `wanted` of `count` positions, each the middle of an equal share."""
    wanted = min(count, wanted)
    return ((np.arange(wanted) + 0.5) * count / max(1, wanted)).astype(int)


def _found(data: Data, position: int) -> str:
    count, score = (data.value(name, position) for name in ("people", "score"))
    told = {0: "nobody found", 1: "one person found"}.get(count, f"{count} people found")
    return told if score is None else f"{told}, score {score:.2f}"


def _base(built: BuiltData) -> BuiltData | None:
    """The frames' data set, where it is still built."""
    base = BuiltData(built.origin.dataset, built.project)
    there = (built.project.shards(base.name) / "manifest.json").is_file()
    return base if there else None


def _others(data: Data) -> dict[str, list[np.ndarray]]:
    """Boxes of others in a frame by its image_id, where they are rows of their own."""
    own, everything = set(_own(data).tolist()), np.arange(len(data))
    sources, boxes = (data.values(name, everything) for name in ("source_image_id", "box"))
    found: dict[str, list[np.ndarray]] = {}
    for i, (source, box) in enumerate(zip(sources, boxes, strict=True)):
        if i not in own and box is not None:
            found.setdefault(source, []).append(box)
    return found


def _boxed(
    base: BuiltData | None, data: Data, position: int, others: Mapping[str, list[np.ndarray]]
) -> Shot:
    """The frame with its boxes; those of others below its own."""
    source, box = (data.value(name, position) for name in ("source_image_id", "box"))
    row = base.positions.get(source) if base else None
    if base is None or row is None:  # the frames were built anew since
        return Shot(None, f"{source}: this frame is not built any more", "gone")
    image, scale = _scaled(base.data.value("image", row))
    drawn = [(other, OTHER) for other in others.get(source, [])]
    for corners, of in [*drawn, *([(box, OWN)] if box is not None else [])]:
        image = draw.boxes(image, corners[None] * scale, [of])
    return Shot(jpeg(image), describe(base, row))


def _scaled(image: np.ndarray) -> tuple[np.ndarray, float]:
    """A frame at the height that is shown, and its scale."""
    scale = FRAME_PX / image.shape[0]
    return images.resize(image, FRAME_PX, max(1, round(image.shape[1] * scale))), scale


# -- depth -----------------------------------------------------------------------------------

Span = tuple[int, int]  # nearest and farthest millimetres of the colours


def _open(built: BuiltData, *further: str) -> Data:
    """The images with their depth and its colours, where there are such."""
    there = {"depth": (built.data.labels("depth_size") > 0).any(), "jet": built.has("jet")}
    return built.open(["image", *(name for name, found in there.items() if found), *further])


def _headings(data: Data) -> list[str]:
    names = {"depth": "depth", "jet": "depth in JET"}
    return [shown for name, shown in names.items() if name in data.sources]


def _span(built: BuiltData) -> Span | None:
    """The depths that the colours span; None where there are no colours."""
    path = built.shown["jet"].folder / "fit.json" if "jet" in built.shown else None
    if path is None or not path.is_file():
        return None
    found = json.loads(path.read_text("utf-8"))
    return int(found["near_mm"]), int(found["far_mm"])


def _cells(built: BuiltData, data: Data, position: int, span: Span | None) -> list[Shot]:
    """The image, its depth in gray, and in colours."""
    name = describe(built, position)
    out = []
    for column, told in {"image": "", "depth": "depth of ", "jet": "depth in JET of "}.items():
        if column not in data.sources:
            continue
        value = data.value(column, position)
        if value is None:
            out.append(Shot(None, f"no {column} of {name}", "none"))
            continue
        image = gray(value, *(span or _range(value))) if column == "depth" else value
        label = f"{image.shape[1]} x {image.shape[0]} px" if column == "image" else ""
        out.append(Shot(jpeg(_fitted(built, image)), told + name, label))
    return out


def gray(depth_mm: np.ndarray, near_mm: int, far_mm: int) -> np.ndarray:
    """Depth (H, W) millimetres as (H, W, 3), near white and far black; `MISSING` where 0."""
    share = (depth_mm.astype(np.float32) - near_mm) / max(1, far_mm - near_mm)
    level = np.rint(255 * (1 - share.clip(0, 1))).astype(np.uint8)
    image = np.repeat(level[..., None], 3, axis=2)
    image[depth_mm == 0] = MISSING
    return image


def _range(depth_mm: np.ndarray) -> Span:
    """From the nearest to the farthest reading of one map."""
    read = depth_mm[depth_mm > 0]
    return (int(read.min()), int(read.max())) if len(read) else (0, 1)


def _fitted(built: BuiltData, image: np.ndarray) -> np.ndarray:
    """A crop in its place, single pixels kept apart where it is enlarged; a frame as frames are."""
    if built.origin.stage != "crops":
        return _scaled(image)[0]
    times = max(1, CROP_PX // max(image.shape[:2]))
    return draw.fitted(image.repeat(times, 0).repeat(times, 1), CROP_PX, CROP_PX)


def _legend(data: Data, span: Span | None) -> dict[str, str]:
    found = {"no reading, in gray": colour(MISSING)} if "depth" in data.sources else {}
    if span is None:
        return found
    ends = zip(("and nearer", "and farther"), span, JET[[0, -1]].tolist(), strict=True)
    return found | {
        f"JET: {depth_mm / 1000:.2f} m {which}": colour((red, green, blue))
        for which, depth_mm, (red, green, blue) in ends
    }


def _scale(built: BuiltData, data: Data, span: Span | None) -> str:
    """How depth is shown, in words."""
    if "depth" not in data.sources:
        return ""
    if span is None:
        return " Depth is white where it is nearest; each map has a range of its own."
    missing = built.shown["jet"].parameters.get("missing")
    return (
        f" Depth from {span[0] / 1000:.2f} to {span[1] / 1000:.2f} m, one range for the whole data "
        "set: in gray near is white and far is black; in JET, as the network takes it, near is "
        f"blue, far is red, and what has no reading is shown as: {text_of(missing)}."
    )
