"""Contact sheets: the same people across cameras, and joints and boxes over images."""

from __future__ import annotations

import numpy as np

from reid.arrays import draw, images
from reid.data.clips import Tracklets
from reid.report.blocks import Row, Section, Sheet, Shot, colour, jpeg, small
from reid.results.built import BuiltData

IDENTITIES = 5  # rows of a sheet across cameras ...
CAMERAS = 8  # ... and its columns
BODIES = 6  # pictures with joints and boxes, of the training and of the test images
BODY_PX = 224  # their longer side without the margin
MARGIN = 0.16  # of the height: boxes exceed their image


def identities(built: BuiltData) -> Section | None:
    """Identities in rows, cameras in columns; of training and of test images."""
    sheets = [sheet for part in built.parts if (sheet := _across(built, part))]
    return Section("The same people across cameras", sheets) if sheets else None


def _across(built: BuiltData, part: str) -> Sheet | None:
    mask, camera = built.parts[part] & _for_all(built), built.data.labels("camera")
    people = _seen_most(built.persons[mask], camera[mask])
    if not len(people):
        return None
    cameras = np.unique(camera[mask & np.isin(built.persons, people)])[:CAMERAS]
    rows = []
    for person in people:
        cells = [_middle(mask & (built.persons == person) & (camera == c)) for c in cameras]
        rows.append(Row(f"person {person}", [_shot(built, cell) for cell in cells]))
    caption = (
        f"{part.capitalize()}: identities in rows, as the cameras see them; an empty place is a "
        "camera that has no image of them."
    )
    return Sheet(rows, caption, [f"camera {c}" for c in cameras])


def _for_all(built: BuiltData) -> np.ndarray:
    """(N,) the rows that may stand for a person: of a video tracklet the first, as in its lists.

    In its middle others may pass before him; from above, where there is depth, the middle is best.
    """
    seen_from_above = (built.data.labels("depth_size") > 0).any()
    if built.rule.get("gallery") != "tracklet" or seen_from_above:
        return np.ones(len(built.data), bool)
    found = Tracklets.of(built.data)
    return np.isin(np.arange(len(built.data)), found.rows[found.first])


def _seen_most(person: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """Evenly spaced identities among those that at least two cameras see, else among all."""
    pairs = np.unique(np.stack([person, camera], 1)[person > 0], axis=0)
    people, cameras = np.unique(pairs[:, 0], return_counts=True)
    chosen = people[cameras > 1] if (cameras > 1).any() else people
    return chosen[evenly(len(chosen), IDENTITIES)]


def _middle(mask: np.ndarray) -> int | None:
    rows = np.flatnonzero(mask)
    return int(rows[len(rows) // 2]) if len(rows) else None


def evenly(count: int, wanted: int) -> np.ndarray:
    """At most `wanted` evenly spaced positions of `count`."""
    if count == 0:
        return np.empty(0, int)
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).round().astype(int))


def _shot(built: BuiltData, position: int | None) -> Shot:
    return Shot(None) if position is None else shot(built, position)


def shot(built: BuiltData, position: int, label: str = "", match: bool | None = None) -> Shot:
    """An image of the data set as a small picture; its name and labels as its text."""
    image = built.data.value("image", position)
    return Shot(jpeg(small(image, 128)), describe(built, position), label, match)


def describe(built: BuiltData, position: int) -> str:
    """image_id, person and camera of a row, in words."""
    row = built.data.rows.slice(position, 1).to_pylist()[0]
    return f"{row['image_id']}: person {row['person']}, camera {row['camera']}"


def bodies(built: BuiltData) -> Section | None:
    """Images with their joints, limbs and part boxes."""
    if not (built.has("parts") or built.has("joints")):
        return None
    rows = []
    for part, mask in built.parts.items():
        chosen = np.flatnonzero(mask & (built.persons > 0))
        chosen = chosen[_spread_out(built, chosen)]
        rows.append(Row(part, [_body(built, int(position)) for position in chosen]))
    confidence = _min_confidence(built)
    caption = (
        f"Joints, limbs and part boxes. A filled dot is a joint with a confidence of at least "
        f"{confidence:g}, a ring one below; limbs are drawn between filled dots. Below each image: "
        "where its boxes come from. Boxes may exceed the image, and are drawn inside each other at "
        "the sides so that all can be seen."
    )
    legend = {name: colour(rgb) for name, rgb in draw.PARTS.items()}
    return Section("Joints and parts drawn", [Sheet(rows, caption, legend=legend)])


def _spread_out(built: BuiltData, rows: np.ndarray) -> np.ndarray:
    """Evenly spaced rows, with the first of each source of boxes among them."""
    chosen = evenly(len(rows), BODIES)
    if not built.has("parts_source"):
        return chosen
    source = np.array([s or "" for s in built.data.values("parts_source", rows)])
    firsts = np.sort(np.unique(source, return_index=True)[1])
    missing = [f for f in firsts if source[f] not in set(source[chosen].tolist())]
    return np.sort(np.concatenate([chosen[: max(1, BODIES - len(missing))], missing]).astype(int))


def _body(built: BuiltData, position: int) -> Shot:
    original = built.data.value("image", position)
    scale = BODY_PX / max(original.shape[:2])
    height, width = (max(1, round(side * scale)) for side in original.shape[:2])
    image = images.resize(original, height, width)
    image, pixels = draw.margin(image, MARGIN)
    label = ""
    if built.has("parts"):
        boxes = built.data.value("parts", position)
        if boxes is not None:
            image = draw.boxes(image, boxes * scale + pixels)
        label = _value(built, "parts_source", position) or "rejected"
        filled = _value(built, "joints_filled", position)
        label += f", {filled} filled" if filled else ""
    if built.has("joints"):
        found = built.data.value("joints", position)
        if found is not None:
            moved = np.concatenate([found[:, :2] * scale + pixels, found[:, 2:]], 1)
            image = draw.joints(image, moved, min_confidence=_min_confidence(built))
    return Shot(jpeg(image), describe(built, position), label)


def _min_confidence(built: BuiltData) -> float:
    """The confidence from which on the part boxes take a joint."""
    return built.shown["parts"].parameters.get("min_confidence", 0.2) if (
        "parts" in built.shown
    ) else 0.2  # fmt: skip


def _value(built: BuiltData, column: str, position: int):
    return built.data.value(column, position) if built.has(column) else None
