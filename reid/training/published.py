"""The files of a finished training in 3-runs: weights, history, description, code."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reid.code.fingerprint import Code
from reid.code.published import FILE, as_file, differences
from reid.code.published import published as published_code
from reid.project.errors import ReidError
from reid.project.layout import Project, as_json, link, read_object, write_atomically
from reid.project.publish import keep, publishing

if TYPE_CHECKING:
    from torch import nn

NAME, FINISHED = "experiment", "finished"  # files in a training's work folder
CHECKPOINT, HISTORY = "checkpoint.pt", "history.csv"
COLUMNS = ("epoch", "steps", "learning_rate", "loss", "accuracy")  # that each epoch has a value of


def save_weights(path: Path, network: nn.Module) -> None:
    """A network's weights as safetensors, written atomically."""
    from safetensors.torch import save

    tensors = {n: t.detach().cpu().contiguous() for n, t in network.state_dict().items()}
    write_atomically(path, save(tensors))


def folder_of(name: str, project: Project) -> Path:
    """Where an experiment's training is published."""
    return project.run(name) / "train"


def staging_of(name: str, project: Project) -> Path:
    """Where it lies before."""
    return project.publishing / f"train@{name}"


def kept_of(work: Path) -> Path:
    """What is kept of a training that is published, in its work folder."""
    return work / "published"


def other_code(name: str, target: Path, work: Path, code: Code) -> list[str]:
    """Lines on trainings of that name by other code; records in `work` this one's code and name.

    They are what is published at `target`, and what is half done beside `work`.
    """
    lines = list[str]()
    if changed := differences(published_code(target), code):
        lines.append(f"{name}: is trained anew; {changed}")
    for path in sorted(work.parent.glob(f"*/{NAME}")):
        other = path.parent
        if other == work or (other / FINISHED).exists() or path.read_text("utf-8") != name:
            continue
        if changed := differences(published_code(other), code):
            lines.append(f"{name}: begins anew, not from what is half done in {other}; {changed}")
    write_atomically(work / FILE, as_file(code))
    write_atomically(work / NAME, name.encode())
    return lines


def publish(
    name: str, project: Project, work: Path, description: Mapping[str, Any],
    weights: Sequence[Path], history: Sequence[Mapping[str, Any]], code: Code,
) -> None:  # fmt: skip
    """Publish a finished training: weights, description, code, and a line for each epoch."""
    with publishing(folder_of(name, project), staging_of(name, project)) as folder:
        for path in weights:
            link(path, folder / path.name)
        (folder / "experiment.json").write_bytes(as_json(description))
        (folder / FILE).write_bytes(as_file(code))
        write_history(folder / HISTORY, history)
        keep(folder, kept_of(work))


def write_history(path: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """One line for each epoch, all with the columns of the first."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(history[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)


def read_history(run: Path) -> list[dict[str, str]]:
    """The line of each epoch of the training in a run's folder; none without a history.csv.

    `ReidError` where it is not whole, or not of this training.
    """
    path, hint = run / "train" / HISTORY, f"reid train {run.name}"
    described = read_object(run / "train" / "experiment.json", {}, hint) or {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = list(csv.DictReader(file, strict=True))
        for epoch, line in enumerate(lines, 1):
            numbers = {key: float(text) for key, text in line.items() if text or key in COLUMNS}
            if None in line.values() or numbers["epoch"] != epoch:
                raise ValueError(f"epoch {epoch} is not whole")
        if not lines or ("steps" in described and float(lines[-1]["steps"]) != described["steps"]):
            raise ValueError(f"it ends with epoch {len(lines)}, before the training")
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        what = f"no column {error}" if isinstance(error, KeyError) else str(error)
        raise ReidError(f"{path}: damaged ({what}); run `{hint}`") from None
    return lines
