"""Pretrains a paper's network on a folder of classified images, such as ImageNet.

Reads   ROOT/<class>/*.jpg, or ROOT/train/<class>/*.jpg
Writes  3-runs/pretrain-<paper>: weights.pt for `weights:` in params.yaml, history.csv

The loss is the sum of the cross entropies of all predictions.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from reid.arrays import images
from reid.data.samplers import Shuffle
from reid.evaluation.evaluate import place_of
from reid.papers import PAPERS, paper_of
from reid.papers.contract import Paper
from reid.papers.pretraining import Pretraining, Recipe
from reid.project.errors import ReidError
from reid.project.layout import Project, as_json, key_of, replace_folder, write_atomically
from reid.project.locks import lock
from reid.project.progress import log_file
from reid.project.threads import cores
from reid.training.train import step_seed, stoppable

ENDINGS = (".jpg", ".jpeg", ".png")
MEAN = (123.675, 116.28, 103.53)  # ImageNet's channel means, 0 to 255


@dataclass
class Progress:
    """What a checkpoint holds beside network and optimizer."""

    epoch: int = 0
    batch: int = 0  # batches done of this epoch
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])  # loss, right, samples
    history: list[dict[str, float]] = field(default_factory=list)


class ImageFolder(Dataset[tuple[Tensor, int]]):
    """Images below one folder a class, decoded and resized to (H, W, 3) uint8."""

    def __init__(self, root: Path, height: int, width: int):
        base = root / "train" if (root / "train").is_dir() else root
        classes = sorted(p.name for p in base.iterdir() if p.is_dir()) if base.is_dir() else []
        if len(classes) < 2:
            raise ReidError(f"{base}: fewer than two folders of classes; expected <class>/*.jpg")
        self.files = [
            (path, label)
            for label, name in enumerate(classes)
            for path in sorted((base / name).iterdir())
            if path.suffix.lower() in ENDINGS
        ]
        self.classes, self.size = classes, (height, width)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path, label = self.files[index]
        try:
            image = images.decode(path.read_bytes())
        except (images.BadImage, OSError) as error:
            raise ReidError(f"{path}: {error}; remove it and run again") from None
        return torch.from_numpy(images.resize(image, *self.size)), label


def pretraining_of(paper: Paper[Any, Any]) -> Pretraining[Any]:
    """How a paper's network is pretrained; `ReidError` where it is not."""
    if paper.pretraining is None:
        known = [name for name in PAPERS if paper_of(name).pretraining is not None]
        raise ReidError(f"no pretraining for `{paper.name}` (there is one for {', '.join(known)})")
    return paper.pretraining


def pretrain(
    project: Project, root: Path, paper: Paper[Any, Any], params: Any, recipe: Recipe, device: str
) -> Path:
    """Pretrain, or go on, and publish. Returns the folder with weights.pt."""
    how = pretraining_of(paper)
    data = ImageFolder(root, *how.size(params))
    described = {"params": json.loads(params.model_dump_json()), "images": len(data)}
    described |= {"recipe": json.loads(recipe.model_dump_json(exclude={"checkpoint_every"}))}
    described |= {"classes": data.classes}
    work = project.work / "pretrain" / key_of(described)
    place = place_of(device)
    with (
        lock(work / "lock", f"pretrain {paper.name}"),
        log_file(project.work / "logs" / f"pretrain-{paper.name}.log") as log,
        stoppable() as stop,
    ):
        torch.manual_seed(recipe.seed)
        model = how.build(params, len(data.classes)).to(place)
        optimizer = paper.optimizer(params, model)
        done = _load(work / "checkpoint.pt", model, optimizer)
        while done.epoch < recipe.epochs:
            _epoch(model, optimizer, data, recipe, done, work, stop)
            log.info("epoch %(epoch)d loss %(loss).4f accuracy %(accuracy).4f", done.history[-1])
        return _publish(project, paper.name, how.weights(model), described, done)


def _epoch(
    model: nn.Module, optimizer: torch.optim.Optimizer, data: ImageFolder, recipe: Recipe,
    done: Progress, work: Path, stop: list[bool],
) -> None:  # fmt: skip
    """The rest of one epoch."""
    place = next(model.parameters()).device
    rate = recipe.learning_rate * recipe.decay ** (done.epoch // recipe.decay_epochs)
    for group in optimizer.param_groups:
        group["lr"] = rate
    order = Shuffle(len(data), recipe.batch, recipe.seed).batches(done.epoch)
    total = done.epoch * len(order)
    model.train()
    for image, label in _loaded(data, order[done.batch :]):
        torch.manual_seed(step_seed(recipe.seed, total + done.batch))
        target = label.to(place)
        ready = (image.to(place) - torch.tensor(MEAN, device=place)) / 255
        predicted = model(_flipped(ready.movedim(-1, 1)))
        loss = torch.stack([F.cross_entropy(logits, target) for logits in predicted]).sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        done.batch += 1
        right = (predicted[0].argmax(1) == target).sum()
        values = (float(loss.detach()) * len(target), float(right), float(len(target)))
        done.sums = [a + b for a, b in zip(done.sums, values, strict=True)]
        if not np.isfinite(done.sums[0]):
            raise ReidError(f"pretrain: the loss is not a number at step {total + done.batch}")
        if stop[0] or done.batch % recipe.checkpoint_every == 0:
            _save(work, model, optimizer, done)
        if stop[0]:
            raise ReidError(
                f"pretrain: stopped in epoch {done.epoch + 1}; run the same command to go on"
            )
    loss_sum, right_sum, samples = done.sums
    done.epoch += 1
    done.history.append(
        {"epoch": done.epoch, "loss": loss_sum / samples, "accuracy": right_sum / samples}
    )
    done.batch, done.sums = 0, [0.0, 0.0, 0.0]
    _save(work, model, optimizer, done)


def _loaded(data: ImageFolder, order: list[np.ndarray]) -> Iterator[tuple[Tensor, Tensor]]:
    batches: Any = [batch.tolist() for batch in order]
    workers = cores() if len(batches) > 100 else 0  # a small folder is read here
    yield from DataLoader(data, batch_sampler=batches, num_workers=workers)


def _flipped(image: Tensor) -> Tensor:
    draw = torch.rand(len(image)) < 0.5
    return torch.where(draw.to(image.device).view(-1, 1, 1, 1), image.flip(-1), image)


def _save(work: Path, model: nn.Module, optimizer: torch.optim.Optimizer, done: Progress) -> None:
    buffer = io.BytesIO()
    kept = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "done": vars(done)}
    torch.save(kept, buffer)
    write_atomically(work / "checkpoint.pt", buffer.getvalue())


def _load(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> Progress:
    if not path.is_file():
        return Progress()
    kept = torch.load(path, map_location="cpu", weights_only=True)
    model.load_state_dict(kept["model"])
    optimizer.load_state_dict(kept["optimizer"])
    return Progress(**kept["done"])


def _publish(
    project: Project, paper: str, weights: dict[str, Tensor], described: dict[str, Any],
    done: Progress,
) -> Path:  # fmt: skip
    target = project.run(f"pretrain-{paper}")
    staged = project.work / "publish" / f"pretrain@{paper}"
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    torch.save(weights, staged / "weights.pt")
    lines = ["epoch,loss,accuracy", *(",".join(str(v) for v in h.values()) for h in done.history)]
    (staged / "history.csv").write_text("\n".join(lines) + "\n")
    (staged / "pretrain.json").write_bytes(as_json(described))
    replace_folder(staged, target, staged.with_name(staged.name + ".old"))
    return target
