"""Pretrains a paper's network on a folder of classified images: ImageNet, or a rendered crowd.

Reads   ROOT/<class>/*.jpg, or ROOT/train/<class>/*.jpg
Writes  3-runs/pretrain-<paper> (trunk-<paper> of a crowd): weights.pt for `weights:` in
        params.yaml, history.csv, pretrain.json, code.json

The loss is the sum of the cross entropies of all predictions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from reid.arrays import images
from reid.code.fingerprint import of as code_of
from reid.code.published import FILE, as_file
from reid.code.starts import of_pretraining
from reid.data.samplers import Shuffle
from reid.nn import schedules
from reid.nn.augment import change_light, pad_and_crop
from reid.papers import PAPERS, paper_of
from reid.papers.contract import Paper
from reid.papers.pretraining import Pretraining, Recipe
from reid.project.errors import ReidError
from reid.project.layout import Project, as_json, key_of
from reid.project.locks import lock
from reid.project.progress import log_file
from reid.project.publish import publishing, refuse_link
from reid.project.threads import cores
from reid.training.checkpoint import Part, State
from reid.training.devices import Devices, launched
from reid.training.loop import Loop, step_seed
from reid.training.published import FINISHED, other_code, write_history

ENDINGS = (".jpg", ".jpeg", ".png")
MEAN = (123.675, 116.28, 103.53)  # ImageNet's channel means, 0 to 255


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
        self.classes, self.size, self.base = classes, (height, width), base

    def __len__(self) -> int:
        return len(self.files)

    @property
    def listed(self) -> list[list[Any]]:
        """The path below the folder and the bytes of each file: read by a key in their place."""
        return [[str(p.relative_to(self.base)), p.stat().st_size] for p, _ in self.files]

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path, label = self.files[index]
        try:
            image = images.decode(path.read_bytes())
        except (images.BadImage, OSError) as error:
            raise ReidError(f"{path}: {error}; remove it and run again") from None
        return torch.from_numpy(images.resize(image, *self.size)), label


def pretraining_of(paper: Paper[Any, Any]) -> Pretraining[Any]:
    """How a paper's network is pretrained; `ReidError` where it is not."""
    found = paper.method().pretraining
    if found is None:
        known = [name for name in PAPERS if paper_of(name).method().pretraining is not None]
        raise ReidError(f"no pretraining for `{paper.name}` (there is one for {', '.join(known)})")
    return found


class PretrainTask:
    """A paper's network on a folder of images, in 32 bits."""

    check_every = 1

    def __init__(
        self, data: ImageFolder, paper: Paper[Any, Any], params: Any, recipe: Recipe,
        devices: Devices,
    ):  # fmt: skip
        self.title = f"pretrain {paper.name}"
        self.data, self.recipe, self.devices, self.epochs = data, recipe, devices, recipe.epochs
        torch.manual_seed(recipe.seed)
        pretraining, method = pretraining_of(paper), paper.method()
        self.model = pretraining.build(params, len(data.classes)).to(devices.device)
        self.optimizer = method.optimizer(params, self.model)
        self.params, self.view, self.normalize = params, pretraining.view, method.normalize
        self.parts: Mapping[str, Part] = {"network": self.model, "optimizer": self.optimizer}
        self.mean = torch.tensor(MEAN, device=devices.device)
        alone = len(data) % recipe.batch == 1  # of one image, batch normalisation learns nothing
        self.order = Shuffle(len(data), recipe.batch, recipe.seed, drop_last=alone)
        self.per_epoch = len(self.order), len(data) - alone

    def batches(self, state: State) -> Generator[tuple[Tensor, Tensor]]:
        order = self.order.batches(state.epoch)[state.batch :]
        batches: Any = [batch.tolist() for batch in order]
        workers = cores() if len(batches) > 100 else 0  # 0: read by this process
        self.model.train()
        yield from DataLoader(self.data, batch_sampler=batches, num_workers=workers)

    def step(self, batch: tuple[Tensor, Tensor], state: State) -> Tensor:
        """One update; returns (3,) sums on the device: loss, correct predictions, samples."""
        image, target = (part.to(self.devices.device) for part in batch)
        seed = step_seed(self.recipe.seed, state.step)
        self.devices.seed(seed)  # dropout
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(state)
        generator = torch.Generator().manual_seed(seed)
        changed = _changed(image, self.recipe, generator)
        ready = self.normalize(self.params, {self.view: changed}, self.mean)[self.view]
        predicted = self.model(_flipped(ready, generator))
        loss = torch.stack([F.cross_entropy(logits, target) for logits in predicted]).sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        correct = (predicted[0].argmax(1) == target).sum().double()
        count = correct.new_tensor(len(target))
        return torch.stack([loss.detach().double() * count, correct, count])

    def rate(self, state: State) -> float:
        """The learning rate of a step."""
        recipe, epoch = self.recipe, state.epoch + state.batch / self.per_epoch[0]
        if recipe.schedule == "one_cycle":
            return recipe.learning_rate * schedules.one_cycle(epoch, recipe.epochs)
        return recipe.learning_rate * schedules.steps(epoch, recipe.decay_epochs, recipe.decay)

    def end_epoch(self, state: State) -> dict[str, Any]:
        loss, correct, samples = state.sums
        return {"epoch": state.epoch + 1, "loss": loss / samples, "accuracy": correct / samples}


def pretrain(
    project: Project, root: Path, paper: Paper[Any, Any], params: Any, recipe: Recipe, device: str,
    say: Callable[[str], None] = lambda line: None, *, kind: str = "pretrain",
) -> Path:  # fmt: skip
    """Pretrain from scratch, or go on, and publish as `kind`. Returns the folder with weights.pt.

    What was begun under other code is not continued; `say` gets a line with what changed.
    """
    pretraining = pretraining_of(paper)
    params = params.model_copy(update={"weights": ""})
    data = ImageFolder(root, *pretraining.size(params))
    described = {"params": json.loads(params.model_dump_json()), "images": len(data)}
    described |= {"recipe": json.loads(recipe.model_dump_json()), "classes": data.classes}
    name = f"{kind}-{paper.name}"
    target = project.run(name)
    refuse_link(target)
    code = code_of(of_pretraining(paper.name), project.code)
    key = key_of([paper.name, code.fingerprint, described, data.listed])
    work = project.work / "pretrain" / key
    devices = launched(device, "32-true")
    with (
        lock(work / "lock", f"pretrain {paper.name}"),
        log_file(project.work / "logs" / f"{name}.log") as log,
    ):
        for line in other_code(target.name, target, work, code):
            log.info(line)
            say(line)
        task = PretrainTask(data, paper, params, recipe, devices)
        state = Loop(task, work / "checkpoint.pt", log).run()
        with publishing(target, project.publishing / f"{kind}@{paper.name}") as folder:
            torch.save(pretraining.weights(task.model), folder / "weights.pt")
            write_history(folder / "history.csv", state.history)
            (folder / "pretrain.json").write_bytes(as_json(described))
            (folder / FILE).write_bytes(as_file(code))
        (work / FINISHED).touch()
    return target


def _changed(image: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """(B, H, W, 3) uint8 in other light, and shifted."""
    views = {"image": image.movedim(-1, -3)}
    if recipe.brightness or recipe.tint:
        views = change_light(views, generator, recipe.brightness, recipe.tint)
    if recipe.shift:
        views = pad_and_crop(views, generator, recipe.shift)
    return views["image"].movedim(-3, -1)


def _flipped(image: Tensor, generator: torch.Generator) -> Tensor:
    draw = torch.rand(len(image), generator=generator) < 0.5
    return torch.where(draw.to(image.device).view(-1, 1, 1, 1), image.flip(-1), image)
