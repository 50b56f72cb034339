"""How near a stage comes to the ground truth of a rendered world: numbers, a goal, and examples.

Reads   2-derived/<stage>/<build>, 0-raw/<world>.truth; for flow 1-shards/<world>
Writes  4-reports/accuracy/<stage>-<build>.json: stage, build, dataset, backend, model and weights;
        `shards`, a digest of the build's shards, by which a reader tells whether the numbers are of
        the build as it is; `numbers`; `goal` (name, value, limit, most, reached) or null; `shown`,
        images with their `measure`, the worst, the middle and the best; `truth_itself` where the
        build is what it is measured against: that is no accuracy, and reaches no goal
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.accuracy import boxes as accuracy_boxes
from pipeline.accuracy import crops as accuracy_crops
from pipeline.accuracy import flow as accuracy_flow
from pipeline.accuracy import joints as accuracy_joints
from pipeline.accuracy import masks as accuracy_masks
from pipeline.accuracy.truth import Measured
from reid.project.errors import ReidError
from reid.project.layout import Project, as_json, write_atomically
from reid.project.names import did_you_mean
from reid.results.accuracy import digest_of
from reid.shards.manifest import Manifest, manifest_of

SHOWN = 2  # images of the worst, as many of the middle and of the best
DIS_SHARE = 0.5  # of the error of OpenCV's DIS, which flow is to stay below


def _masks(project: Project, built: Path, manifest: Manifest) -> Measured:
    return accuracy_masks.measured(built, truth_of(project, manifest["dataset"]))


def _joints(project: Project, built: Path, manifest: Manifest) -> Measured:
    return accuracy_joints.measured(built, truth_of(project, manifest["dataset"]))


def _crops(project: Project, built: Path, manifest: Manifest) -> Measured:
    truth = truth_of(project, manifest["dataset"])
    numbers, each = accuracy_crops.measured(built, truth)
    return Measured({**numbers, **accuracy_boxes.precision_of_crops(built, truth)}, each)


def _flow(project: Project, built: Path, manifest: Manifest) -> Measured:
    dataset = manifest["dataset"]
    compared = manifest["parameters"].get("backend") != "dis"
    frames = project.shards(dataset) if compared else None
    return accuracy_flow.measured(built, truth_of(project, dataset), frames)


class Measure(NamedTuple):
    """How a stage is measured, and what is asked of it."""

    of_build: Callable[[Project, Path, Manifest], Measured]
    goal: str  # which of its numbers has a goal
    limit: float  # the goal, or which share of the number `of`
    most: bool  # whether that number is to stay below, or to reach it
    errors: bool  # whether each image's measure is an error, and smaller is better
    of: str | None = None


MEASURES = {
    "masks": Measure(_masks, "iou", 0.90, most=False, errors=False),
    "joints": Measure(_joints, "pck", 0.95, most=False, errors=True),
    "crops": Measure(_crops, "ap50", 0.97, most=False, errors=False),
    "flow": Measure(_flow, "epe", DIS_SHARE, most=True, errors=True, of="dis_epe"),
}


def measure(project: Project, stage: str, build: str) -> dict[str, Any]:
    """Measure a build over a rendered world, and write the result; returns the file's content.

    Raises `ReidError` where the stage has no measure, the build is not there, or its data set is no
    rendered world.
    """
    if stage not in MEASURES:
        nearest = did_you_mean(stage, MEASURES)
        raise ReidError(
            f"no accuracy of `{stage}`{nearest} (there is one of {', '.join(MEASURES)})"
        )
    folder = project.derived(stage, build)
    manifest = manifest_of(folder, f"reid {stage} {build}")
    numbers, each = MEASURES[stage].of_build(project, folder, manifest)
    parameters, world = manifest["parameters"], truth_of(project, manifest["dataset"])
    itself = parameters.get("backend") == "given" and _is_below(project, parameters, world)
    result = {
        "stage": stage, "build": build, "dataset": manifest["dataset"],
        "backend": parameters.get("backend"), "model": parameters.get("model") or None,
        "weights": manifest.get("weights") or None, "shards": digest_of(manifest),
        "numbers": numbers, "goal": None if itself else goal_of(stage, numbers),
        "shown": _shown(stage, each),
    }  # fmt: skip
    result |= {"truth_itself": True} if itself else {}
    write_atomically(file_of(project, stage, build), as_json(result), project.publishing)
    return result


def file_of(project: Project, stage: str, build: str) -> Path:
    return project.reports / "accuracy" / f"{stage}-{build}.json"


def truth_of(project: Project, world: str) -> Path:
    return project.raw(f"{world}.truth")


def _is_below(project: Project, parameters: dict[str, Any], world: Path) -> bool:
    """Whether what was given to a build lies in the world's truth."""
    given = (project.root / str(parameters.get("path", ""))).resolve()
    return given.is_relative_to(world.resolve())


def goal_of(stage: str, numbers: dict[str, Any]) -> dict[str, Any] | None:
    """What a stage is to reach, and whether it does; None where there is nothing to compare."""
    wanted = MEASURES[stage]
    value = numbers[wanted.goal]
    other = numbers.get(wanted.of) if wanted.of else 1.0
    if value is None or not other:
        return None
    limit = round(wanted.limit * other, 6)
    reached = value <= limit if wanted.most else value >= limit
    return {
        "name": wanted.goal, "value": value, "limit": limit, "most": wanted.most,
        "reached": reached,
    }  # fmt: skip


def _shown(stage: str, each: dict[str, float]) -> dict[str, list[dict[str, Any]]]:
    """The images with the worst, the middle and the best measure, each of them once."""
    worst_first = sorted(each, key=lambda name: (each[name], name))
    if MEASURES[stage].errors:
        worst_first.reverse()
    count = len(worst_first)
    middle = max(0, min((count - SHOWN) // 2, count - SHOWN))
    ranges = {
        "worst": range(SHOWN), "middle": range(middle, middle + SHOWN),
        "best": range(count - SHOWN, count),
    }  # fmt: skip
    shown: dict[str, list[dict[str, Any]]] = {}
    taken: set[int] = set()
    for word, numbers in ranges.items():
        free = [n for n in numbers if 0 <= n < count and n not in taken]
        taken.update(free)
        shown[word] = [
            {"image_id": worst_first[n], "measure": round(each[worst_first[n]], 4)} for n in free
        ]
    return shown
