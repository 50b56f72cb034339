"""Pretrains the attention-driven network on a folder of classified images, such as ImageNet.

Reads   ROOT/<class>/*.jpg, or ROOT/train/<class>/*.jpg
Writes  3-runs/pretrain-attention_driven: weights.pt for `weights:` in params.yaml, history.csv
Source  Yang et al., Pattern Recognition 2019, section 4: 9 epochs of ImageNet, SGD, learning rate
        0.01 divided by 10 every 3 epochs
Differs The paper does not say how five branches see one image. Here the branch of the whole body
        and one part's branch learn side by side, each from the whole image at its own size, the sum
        of their cross entropies is the loss, and the part's branch is copied to all four.
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
from reid.papers.attention_driven import paper as attention_driven
from reid.papers.attention_driven.paper import PARTS, PartNetwork
from reid.project.errors import ReidError
from reid.project.layout import Project, as_json, key_of, replace_folder, write_atomically
from reid.project.locks import lock
from reid.project.params import Strict
from reid.project.progress import log_file
from reid.project.threads import cores
from reid.training.train import step_seed, stoppable

ENDINGS = (".jpg", ".jpeg", ".png")
MEAN = (123.675, 116.28, 103.53)  # ImageNet's channel means, 0 to 255


class Recipe(Strict):
    """The paper's numbers."""

    epochs: int = 9
    batch: int = 32
    learning_rate: float = 0.01
    decay: float = 0.1
    decay_epochs: int = 3
    seed: int = 0
    checkpoint_every: int = 1000  # steps


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
            if path.suffix.lower() in ENDINGS and not path.name.startswith("._")
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


class Branches(nn.Module):
    """The whole body's branch and one part's, both before the whole image."""

    def __init__(self, params: attention_driven.Params, classes: int):
        super().__init__()
        self.network = PartNetwork(params, classes)
        self.part_size = (params.part_height, params.part_width)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) normalised to the two branches' predictions, (B, classes) each."""
        net = self.network
        part = F.interpolate(image, self.part_size, mode="bilinear", antialias=True)
        whole = net.whole(net.norm_whole(net.conv1(image)).relu())
        local = net.parts[0](net.norm_parts(net.conv1(part)).relu())
        return net.classifiers[0](whole), net.classifiers[1](local)

    def weights(self) -> dict[str, Tensor]:
        """The network's state without classifiers, the trained part's branch in all four places."""
        state = self.network.state_dict()
        for name in [n for n in state if n.startswith("parts.0.")]:
            for i in range(1, len(PARTS)):
                state[name.replace("parts.0.", f"parts.{i}.", 1)] = state[name]
        return {n: t.cpu() for n, t in state.items() if not n.startswith("classifiers.")}


def pretrain(
    project: Project, root: Path, params: attention_driven.Params, recipe: Recipe, device: str
) -> Path:
    """Pretrain, or go on, and publish. Returns the folder with weights.pt."""
    data = ImageFolder(root, params.height, params.width)
    described = {"params": json.loads(params.model_dump_json()), "images": len(data)}
    described |= {"recipe": json.loads(recipe.model_dump_json(exclude={"checkpoint_every"}))}
    described |= {"classes": data.classes}
    work = project.work / "pretrain" / key_of(described)
    place = place_of(device)
    with (
        lock(work / "lock", "pretrain attention_driven"),
        log_file(project.work / "logs" / "pretrain-attention_driven.log") as log,
        stoppable() as stop,
    ):
        torch.manual_seed(recipe.seed)
        model = Branches(params, len(data.classes)).to(place)
        optimizer = attention_driven.optimizer(params, model)
        done = _load(work / "checkpoint.pt", model, optimizer)
        while done.epoch < recipe.epochs:
            _epoch(model, optimizer, data, recipe, done, work, stop)
            log.info("epoch %(epoch)d loss %(loss).4f accuracy %(accuracy).4f", done.history[-1])
        return _publish(project, model, described, done)


def _epoch(
    model: Branches, optimizer: torch.optim.Optimizer, data: ImageFolder, recipe: Recipe,
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


def _save(work: Path, model: Branches, optimizer: torch.optim.Optimizer, done: Progress) -> None:
    buffer = io.BytesIO()
    kept = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "done": vars(done)}
    torch.save(kept, buffer)
    write_atomically(work / "checkpoint.pt", buffer.getvalue())


def _load(path: Path, model: Branches, optimizer: torch.optim.Optimizer) -> Progress:
    if not path.is_file():
        return Progress()
    kept = torch.load(path, map_location="cpu", weights_only=True)
    model.load_state_dict(kept["model"])
    optimizer.load_state_dict(kept["optimizer"])
    return Progress(**kept["done"])


def _publish(project: Project, model: Branches, described: dict[str, Any], done: Progress) -> Path:
    target = project.run("pretrain-attention_driven")
    staged = project.work / "publish" / "pretrain@attention_driven"
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    torch.save(model.weights(), staged / "weights.pt")
    lines = ["epoch,loss,accuracy", *(",".join(str(v) for v in h.values()) for h in done.history)]
    (staged / "history.csv").write_text("\n".join(lines) + "\n")
    (staged / "pretrain.json").write_bytes(as_json(described))
    replace_folder(staged, target, staged.with_name(staged.name + ".old"))
    return target
