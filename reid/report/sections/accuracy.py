"""Builds against the truth of rendered worlds: numbers and goals, and pictures of both.

Reads   4-reports/accuracy, as `reid accuracy` writes it; what is of a build that has changed since
        is left out. For the pictures 1-shards, 2-derived and 0-raw/<world>.truth
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from reid.arrays import draw, images
from reid.arrays.flow import Flow, colour_wheel, decode_known_flow
from reid.arrays.poses import joints_array
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.report.blocks import NONE, Row, Section, Sheet, Shot, Table, Text, colour, jpeg, table
from reid.results.accuracy import current
from reid.shards.folder import Shards

PICTURE_PX = 176  # the longer side of a picture
MOST = 0.99  # of the pixels move less than the colours of flow span
BUILT, TRUE, OTHER = (240, 228, 66), (86, 180, 233), (204, 121, 167)  # boxes
GOALS = {  # the number that has a goal, in words
    "masks": "mean IoU of the masks that were found",
    "joints": "visible joints within 0.1 of the person's height (PCK)",
    "crops": "AP50 of the boxes",
    "flow": "end-point error, px; goal: half of OpenCV's DIS",
}
OF = {"everyone": " (of everyone in the frame)", "labelled": " (of the labelled person)"}
MEASURES: dict[str, Callable[[float], str]] = {  # of an image, as written below it
    "masks": lambda value: f"IoU {value:.3f}",
    "joints": lambda value: f"{100 * value:.1f} % of the height",
    "crops": lambda value: f"IoU {value:.3f}",
    "flow": lambda value: f"{value:.2f} px",
}


def builds(project: Project) -> list[Section]:
    """A table of all builds that were measured and their goals; then each with its pictures."""
    found = current(project)
    if not found:
        return []
    told = Text(
        "Rendered worlds know the truth of every pixel. A build of the backend given repeats what "
        "it was given, so that of the truth itself it says only that nothing is lost on the way."
    )
    caption = "Builds over rendered worlds, measured by `reid accuracy`, and what they are to reach"
    goals = Section("Goals", [told, table([_goal(one) for one in found], f"{caption}.")])
    return [goals, *(_section(project, one) for one in found)]


def _goal(found: Mapping[str, Any]) -> dict[str, Any]:
    """One line of the table of goals."""
    line = {name: found[name] for name in ("stage", "build", "dataset", "backend", "model")}
    line["data set"] = line.pop("dataset")
    line["measure"] = GOALS[found["stage"]] + OF.get(found["numbers"].get("ap50_of"), "")
    goal = found["goal"]
    if found.get("truth_itself"):
        return {
            **line,
            "value": NONE,
            "goal": NONE,
            "judged": "the truth against itself: no accuracy",
        }
    if goal is None:
        return {**line, "value": NONE, "goal": NONE, "judged": "nothing to compare with"}
    sign = "≤" if goal["most"] else "≥"
    reached = "✓ reached" if goal["reached"] else "✗ not reached"
    shown = f"{sign} {goal['limit']:.3f}"
    return {**line, "value": f"{goal['value']:.3f}", "goal": shown, "judged": reached}


def _section(project: Project, found: Mapping[str, Any]) -> Section:
    """All numbers of one build, and its worst, middle and best images."""
    numbers = [{"number": name, "value": value} for name, value in found["numbers"].items()]
    title = f"{found['stage']} {found['build']}"
    blocks: list[Text | Table | Sheet] = [
        *_sheet(project, found), table(numbers, f"All numbers of {title}.", folded=True),
    ]  # fmt: skip
    return Section(f"{title[0].upper()}{title[1:]}", blocks)


# -- what is drawn ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """One image with what was built and what is true."""

    image_id: str
    label: str  # its measure
    image: np.ndarray  # (H, W, 3) uint8
    found: Any
    true: Any

    @cached_property
    def scale(self) -> float:
        return PICTURE_PX / max(self.image.shape[:2])

    @cached_property
    def scaled(self) -> np.ndarray:
        """The image with its longer side `PICTURE_PX` long."""
        height, width = (max(1, round(side * self.scale)) for side in self.image.shape[:2])
        return images.resize(self.image, height, width)


def _sheet(project: Project, found: Mapping[str, Any]) -> list[Sheet]:
    """The images with the worst, the middle and the best measure; none without the truth."""
    stage = found["stage"]
    true = _truth(project, found)
    seen: dict[str, list[Seen]] = {}
    read = READERS[stage](project, found)
    for word in ("worst", "middle", "best"):
        for one in found["shown"][word]:
            name = one["image_id"]
            if name in true and (both := read(name)) is not None:
                image, of_build = both
                label = MEASURES[stage](one["measure"])
                seen.setdefault(word, []).append(Seen(name, label, image, of_build, true[name]))
    if not seen:
        return []
    headings = [word for word, shown in seen.items() for _ in shown]
    rows = ROWS[stage]([one for shown in seen.values() for one in shown])
    return [Sheet(rows, CAPTIONS[stage], headings, LEGENDS.get(stage, {}))]


def _shot(picture: np.ndarray, seen: Seen, what: str, label: str = "") -> Shot:
    return Shot(jpeg(picture), f"{seen.image_id}: {what}", label)


def _masks(shown: Sequence[Seen]) -> list[Row]:
    def drawn(seen: Seen, mask: np.ndarray) -> np.ndarray:
        height, width = seen.scaled.shape[:2]
        scaled = images.resize(mask.astype(np.uint8) * 255, height, width) > 127
        return draw.mask_over(seen.scaled, scaled)

    return _two_rows(shown, drawn, "mask")


def _joints(shown: Sequence[Seen]) -> list[Row]:
    def drawn(seen: Seen, found: np.ndarray) -> np.ndarray:
        moved = np.concatenate([found[:, :2] * seen.scale, found[:, 2:]], 1)
        return draw.joints(seen.scaled, moved)

    return _two_rows(shown, drawn, "joints")


def _two_rows(
    shown: Sequence[Seen], drawn: Callable[[Seen, Any], np.ndarray], what: str
) -> list[Row]:
    built = [_shot(drawn(one, one.found), one, f"built {what}", one.label) for one in shown]
    true = [_shot(drawn(one, one.true), one, f"true {what}") for one in shown]
    return [Row("built", built), Row("true", true)]


def _crops(shown: Sequence[Seen]) -> list[Row]:
    def drawn(seen: Seen) -> np.ndarray:
        own, *others = seen.true
        boxes = [(one["box"], OTHER) for one in others if one["box"] is not None]
        boxes += [(own["box"], TRUE), (seen.found, BUILT)]
        scaled = np.array([box for box, _ in boxes], float) * seen.scale
        return draw.boxes(seen.scaled, scaled, [of for _, of in boxes], thickness=1)

    return [Row("boxes", [_shot(drawn(one), one, "boxes", one.label) for one in shown])]


def _flow(shown: Sequence[Seen]) -> list[Row]:
    known = [one.true.px[one.true.valid] for one in shown if one.true.valid.any()]
    lengths = np.concatenate([np.hypot(px[:, 0], px[:, 1]) for px in known]) if known else [1.0]
    maximum_px = max(1, int(np.ceil(np.quantile(lengths, MOST))))

    def drawn(seen: Seen, flow: Flow) -> np.ndarray:
        return images.resize(colour_wheel(flow.px, maximum_px), *seen.scaled.shape[:2])

    built, true = _two_rows(shown, drawn, "flow")
    frames = [_shot(one.scaled, one, "frame") for one in shown]
    return [Row("frame", frames), built, Row(true.title, true.shots, f"full at {maximum_px} px")]


ROWS: dict[str, Callable[[Sequence[Seen]], list[Row]]] = {
    "masks": _masks, "joints": _joints, "crops": _crops, "flow": _flow,
}  # fmt: skip
CAPTIONS = {
    "masks": "Images by the intersection over union of their built and true mask.",
    "joints": "Images by the mean error of their visible joints, in shares of the person's height. "
    "Of the true joints those that are hidden in the image are drawn, too.",
    "crops": "Frames by the intersection over union of the built and true box of the labelled "
    "person; 0 where the box is of another.",
    "flow": "Frames by the mean end-point error of their flow to the next frame. White is no "
    "motion, or none known.",
}
LEGENDS = {
    "crops": {
        "built": colour(BUILT), "true": colour(TRUE), "others in the frame, true": colour(OTHER),
    },
}  # fmt: skip

# -- what is read ----------------------------------------------------------------------------

Reader = Callable[[str], tuple[np.ndarray, Any] | None]  # the image and what is built, if both are


def _beside(
    project: Project, found: Mapping[str, Any], value: Callable[[Shards, int], Any]
) -> Reader:
    """Reads an image and what `value` makes of the build's row beside it."""
    base = Shards(project.shards(found["dataset"]))
    built = Shards(project.derived(found["stage"], found["build"]))
    number = {name: i for i, name in enumerate(base.scalars(["image_id"])["image_id"].to_pylist())}

    def read(image_id: str) -> tuple[np.ndarray, Any] | None:
        index = number.get(image_id)
        made = None if index is None else value(built, index)
        if index is None or made is None:
            return None
        return images.decode(base.read("image", index) or b""), made

    return read


def _mask_of(built: Shards, index: int) -> np.ndarray | None:
    data = built.read("mask", index)
    return None if data is None else images.decode_mask(data)


def _joints_of(built: Shards, index: int) -> np.ndarray | None:
    found = joints_array(built.scalars(["joints"])["joints"].slice(index, 1))[0]
    return None if np.isnan(found).all() else found


def _flow_of(built: Shards, index: int) -> Flow | None:
    data = built.read("flow", index)
    return None if data is None else decode_known_flow(data)


def _box_reader(project: Project, found: Mapping[str, Any]) -> Reader:
    """Reads a frame and the box that has its label; crops are rows of their own."""
    built = Shards(project.derived(found["stage"], found["build"]))
    rows = built.scalars(["image_id", "source_image_id", "box"]).to_pylist()
    own = {row["image_id"]: row["box"] for row in rows if row["image_id"] == row["source_image_id"]}
    frames = Shards(project.shards(found["dataset"]))
    names = frames.scalars(["image_id"])["image_id"].to_pylist()
    return _beside(project, found, lambda _, index: own.get(names[index]))


READERS: dict[str, Callable[[Project, Mapping[str, Any]], Reader]] = {
    "masks": lambda project, found: _beside(project, found, _mask_of),
    "joints": lambda project, found: _beside(project, found, _joints_of),
    "crops": _box_reader,
    "flow": lambda project, found: _beside(project, found, _flow_of),
}
COLUMNS = {"masks": "mask", "joints": "joints", "crops": "people", "flow": "flow"}
TRUE_OF: dict[str, Callable[[Any], Any]] = {  # of a cell of the truth's table
    "masks": lambda cell: images.decode_mask(cell["bytes"]),
    "joints": lambda cell: np.array(cell, np.float32),
    "crops": lambda cell: cell,
    "flow": lambda cell: decode_known_flow(cell["bytes"]),
}


def _truth(project: Project, found: Mapping[str, Any]) -> dict[str, Any]:
    """What is true of the images that are shown, by image_id; empty where the truth is gone."""
    stage = found["stage"]
    wanted = [one["image_id"] for shown in found["shown"].values() for one in shown]
    folder = project.raw(f"{found['dataset']}.truth") / "rows"
    out: dict[str, Any] = {}
    for path in sorted(folder.glob("*.parquet")):
        for row in _rows(path, wanted, COLUMNS[stage]):
            out[row["image_id"]] = TRUE_OF[stage](row[COLUMNS[stage]])
    return out


def _rows(path: Path, wanted: Sequence[str], column: str) -> list[dict[str, Any]]:
    """The rows of some images, of the row groups that hold them alone."""
    out = []
    try:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                names = file.read_row_group(group, columns=["image_id"])["image_id"]
                mask = np.isin(np.array(names.to_pylist()), wanted)
                if mask.any():
                    there = file.read_row_group(group, columns=["image_id", column])
                    out += there.filter(pa.array(mask)).to_pylist()
    except (OSError, KeyError, pa.ArrowException) as error:
        raise ReidError(f"{path}: not the truth of a rendered world: {error}") from None
    return out
