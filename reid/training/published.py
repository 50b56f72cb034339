"""What a finished training leaves in 3-runs: its weights, its history, and what it is of."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from reid.project.layout import Project, as_json, link, replace_folder, write_atomically

if TYPE_CHECKING:
    from reid.training.train import Trainer

HISTORY: tuple[str, ...] = (
    "epoch",
    "steps",
    "learning_rate",
    "loss",
    "accuracy",
    "val_rank1",
    "val_map",
)


def save_weights(path: Path, network: nn.Module) -> None:
    """A network's weights as safetensors, written atomically."""
    from safetensors.torch import save

    tensors = {n: t.detach().cpu().contiguous() for n, t in network.state_dict().items()}
    write_atomically(path, save(tensors))


def is_published(target: Path, key: str) -> bool:
    try:
        return json.loads((target / "experiment.json").read_text("utf-8"))["key"] == key
    except (OSError, ValueError, KeyError):
        return False


def publish(trainer: Trainer, target: Path, key: str, project: Project) -> None:
    """Put the finished training in place, all at once."""
    experiment, state = trainer.experiment, trainer.state
    save_weights(trainer.work / "model.safetensors", trainer.network.module)
    described = {
        "key": key, "experiment": experiment.name, "paper": experiment.paper.name,
        "params": experiment.described(), "people": trainer.people.tolist(),
        "channel_mean": trainer.mean.tolist(), "images": len(trainer.data), "steps": state.step,
        "train_accuracy": state.history[-1]["accuracy"], "train_loss": state.history[-1]["loss"],
    }  # fmt: skip
    staged = project.work / "publish" / f"train@{experiment.name}"
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    for name in ("model.safetensors", "best.safetensors"):
        if (trainer.work / name).is_file():
            link(trainer.work / name, staged / name)
    (staged / "experiment.json").write_bytes(as_json(described))
    with (staged / "history.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(HISTORY), lineterminator="\n")
        writer.writeheader()
        writer.writerows(state.history)
    replace_folder(staged, target, staged.with_name(staged.name + ".old"))
