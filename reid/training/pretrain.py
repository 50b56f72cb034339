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

import json
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from reid.arrays import images
from reid.data.samplers import Shuffle
from reid.papers.attention_driven import paper as attention_driven
from reid.papers.attention_driven.paper import PARTS, PartNetwork
from reid.project.errors import ReidError
from reid.project.layout import Project, as_json, key_of
from reid.project.locks import lock
from reid.project.params import Strict
from reid.project.progress import log_file
from reid.project.publish import publishing, refuse_link
from reid.project.threads import cores
from reid.training.checkpoint import Part, State
from reid.training.devices import launched
from reid.training.loop import Loop, step_seed
from reid.training.published import write_history

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


class PretrainTask:
    """The two branches on a folder of images, in 32 bits."""

    title, check_every = "pretrain attention_driven", 1

    def __init__(
        self, data: ImageFolder, params: attention_driven.Params, recipe: Recipe, fabric: Fabric
    ):
        self.data, self.recipe, self.fabric, self.epochs = data, recipe, fabric, recipe.epochs
        torch.manual_seed(recipe.seed)
        self.model = Branches(params, len(data.classes)).to(fabric.device)
        self.optimizer = attention_driven.optimizer(params, self.model)
        self.parts: Mapping[str, Part] = {"network": self.model, "optimizer": self.optimizer}
        self.mean = torch.tensor(MEAN, device=fabric.device)

    def batches(self, state: State) -> Generator[tuple[Tensor, Tensor]]:
        recipe = self.recipe
        rate = recipe.learning_rate * recipe.decay ** (state.epoch // recipe.decay_epochs)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        order = Shuffle(len(self.data), recipe.batch, recipe.seed).batches(state.epoch)
        batches: Any = [batch.tolist() for batch in order[state.batch :]]
        workers = cores() if len(batches) > 100 else 0  # a small folder is read here
        self.model.train()
        yield from DataLoader(self.data, batch_sampler=batches, num_workers=workers)

    def step(self, batch: tuple[Tensor, Tensor], state: State) -> Tensor:
        """One update; returns (3,) sums of loss, right ones and samples on the device."""
        image, target = (part.to(self.fabric.device) for part in batch)
        torch.manual_seed(step_seed(self.recipe.seed, state.step))
        ready = (image - self.mean) / 255
        predicted = self.model(_flipped(ready.movedim(-1, 1)))
        loss = torch.stack([F.cross_entropy(logits, target) for logits in predicted]).sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        right = (predicted[0].argmax(1) == target).sum().double()
        count = right.new_tensor(len(target))
        return torch.stack([loss.detach().double() * count, right, count])

    def end_epoch(self, state: State) -> dict[str, Any]:
        loss, right, samples = state.sums
        return {"epoch": state.epoch + 1, "loss": loss / samples, "accuracy": right / samples}


def pretrain(
    project: Project, root: Path, params: attention_driven.Params, recipe: Recipe, device: str
) -> Path:
    """Pretrain, or go on, and publish. Returns the folder with weights.pt."""
    data = ImageFolder(root, params.height, params.width)
    described = {"params": json.loads(params.model_dump_json()), "images": len(data)}
    described |= {"recipe": json.loads(recipe.model_dump_json()), "classes": data.classes}
    target = project.run("pretrain-attention_driven")
    refuse_link(target)
    work = project.work / "pretrain" / key_of(described)
    fabric = launched(device, 1, "32-true")
    with (
        lock(work / "lock", PretrainTask.title),
        log_file(project.work / "logs" / "pretrain-attention_driven.log") as log,
    ):
        task = PretrainTask(data, params, recipe, fabric)
        state = Loop(task, work / "checkpoint.pt", log).run()
        with publishing(target, project.work / "publish" / "pretrain@attention_driven") as folder:
            torch.save(task.model.weights(), folder / "weights.pt")
            write_history(folder / "history.csv", state.history)
            (folder / "pretrain.json").write_bytes(as_json(described))
    return target


def _flipped(image: Tensor) -> Tensor:
    draw = torch.rand(len(image)) < 0.5
    return torch.where(draw.to(image.device).view(-1, 1, 1, 1), image.flip(-1), image)
