"""Strong baseline with implicit attention: a person's region over other images' backgrounds.

Reads   image; while training with swaps also the columns of `backgrounds`
Source  Yaghoubi et al., implicit attention by swapped regions of interest, on RAP, and the authors'
        code (size, epochs, order of augmentation); the network and the rest of the recipe are
        Luo et al., Bag of tricks and a strong baseline, CVPRW 2019, and its published code
Differs where the paper and the codes disagree or are silent:
  - colours keep their order; the authors' code gave swapped images blue for red.
  - swaps are drawn among training images that resemble each other, as `backgrounds` lists them;
    the code drew among all images, tests included, with the constraints switched off. An image
    without a partner stays as it is.
  - samples are squared at 256, as the stage does it, and resized before they are swapped, not
    after: see reid/data/swaps.py.
  - `softmax` leaves out a last batch that is not full.
  - erased rectangles get the colour that is ImageNet's mean *after* normalising, as the code has
    it: a light gray. `erase_fill` 0, 0, 0 is the mean itself.
  - upper body: the best probability, 0.5, is read off figure 3; the default is the full body's.
  - `one_cycle`, `channels` and other backbones are for small trainings from scratch.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from reid.arrays.images import resize
from reid.arrays.swaps import square
from reid.data import swaps
from reid.data.dataset import Data
from reid.data.samplers import IdentityBatches, Sampler, Shuffle
from reid.nn import backbones, losses, schedules
from reid.nn.augment import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    horizontal_flip,
    pad_and_crop,
    random_erasing,
)
from reid.papers.implicit_attention.printed import TABLES as TABLES
from reid.project.errors import ReidError
from reid.project.params import Strict

VERSION = 1  # raised when the same parameters train another network
COLUMNS = ["image"]
STAGES: list[str] = []  # that a test needs, too
HEADLINE = 1  # the table that experiments are shown beside
TEST_ONLY = ("test_feature", "normalize_features", "distance")  # change no training
WARM_UP = {"triplet": 10, "softmax": 5}  # epochs
MILESTONES = {"triplet": (40, 70), "softmax": (30, 55)}  # numbers of epochs, the first is 1

Colour = tuple[float, float, float]
Share = tuple[float, float]


class Params(Strict):
    """The paper's numbers; `configuration` names a half of table 1."""

    configuration: Literal["triplet", "softmax"] = "triplet"  # triplet: cross entropy besides
    swap_probability: float = Field(default=0.3, ge=0, le=1)  # 0: the strong baseline alone
    backbone: str = "resnet50.tv_in1k"  # any of timm's that ends in a map
    channels: tuple[int, int, int, int] | None = None  # of a ResNet's stages; null: its own
    last_stride: Literal[1, 2] = 1
    weights: str = "pretrained"  # pretrained: timm's own for the backbone; '': none; or a file

    side: int = Field(default=256, ge=8)  # pixels; images are squared to it
    height: int = Field(default=128, ge=32)  # pixels of what the network sees
    width: int = Field(default=128, ge=32)
    flip: float = Field(default=0.5, ge=0, le=1)  # chance of a horizontal flip
    pad: int = Field(default=10, ge=0)  # pixels that an image is shifted at most, black beside it
    erase: float = Field(default=0.5, ge=0, le=1)  # chance of an erased rectangle
    erase_area: Share = (0.02, 0.4)  # of the image
    erase_aspect: Share = (0.3, 1 / 0.3)  # height over width
    erase_fill: Colour = IMAGENET_MEAN  # of the normalised image
    mean: Colour = IMAGENET_MEAN  # RGB, of values 0 to 1
    std: Colour = IMAGENET_STD

    label_smoothing: float = Field(default=0.1, ge=0, lt=1)  # triplet alone: softmax has none
    margin: float = 0.3  # of the triplet loss
    batch: int = Field(default=64, ge=2)
    images: int = Field(default=4, ge=2)  # of each identity in a batch, for the triplet loss
    epochs: int = Field(default=280, ge=1)  # Luo et al.: 120
    learning_rate: float = Field(default=3.5e-4, gt=0)
    weight_decay: float = 5e-4
    schedule: Literal["steps", "one_cycle"] = "steps"  # one_cycle: up for 0.3 of it, then to zero
    warm_up: int | None = None  # epochs; null: 10, softmax 5
    warm_up_start: float = 0.01  # share of the learning rate
    milestones: list[int] | None = None  # epochs, from 1; null: 40 and 70, softmax 30 and 55
    decay: float = Field(default=0.1, gt=0)  # the learning rate's factor from each of them on

    test_feature: Literal["after_norm", "before_norm"] = "after_norm"
    normalize_features: bool = True  # to length 1
    distance: Literal["cosine", "euclidean"] = "cosine"


def training_stages(params: Params) -> list[str]:
    """Stages that the training reads beside `STAGES`."""
    return [swaps.STAGE] if params.swap_probability else []


def training_columns(params: Params) -> list[str]:
    """Columns that the training reads beside `COLUMNS`; they may be null."""
    return [*swaps.COLUMNS] if params.swap_probability else []


# -- samples ---------------------------------------------------------------------------------


def view(params: Params, image: np.ndarray, row: dict[str, Any]) -> dict[str, np.ndarray]:
    """One (H, W, 3) uint8 RGB image as `image` (h, w, 3), and its part in swaps where it has one.

    The longer side is scaled to `side` and the edge repeated beside the other, then all is resized.
    """
    ready = {"image": resize(square(image, params.side), params.height, params.width)}
    if swaps.BACKGROUND in row:
        ready |= swaps.prepared(row, params.height, params.width)
    return ready


def donors(params: Params, data: Data) -> swaps.Donors | None:
    """Which rows of the training data give which others a background; None: there are no swaps."""
    return swaps.Donors(data, params.swap_probability) if params.swap_probability else None


def combine(
    params: Params, batch: dict[str, Tensor], given: dict[str, Tensor], places: Tensor
) -> dict[str, Tensor]:
    """The batch (B) with the backgrounds of `given` (S) at `places` (S,)."""
    return {"image": swaps.swap(batch, given, places)}


def augment(
    params: Params, batch: dict[str, Tensor], generator: torch.Generator
) -> dict[str, Tensor]:
    """uint8 (B, H, W, 3) to float 0 to 255: flipped, shifted, and a rectangle erased.

    The rectangle is filled before normalising, with what normalises to `erase_fill`.
    """
    images = {"image": batch["image"].movedim(-1, -3)}
    images = horizontal_flip(images, generator, params.flip)
    images = pad_and_crop(images, generator, params.pad)
    images = {"image": images["image"].float()}
    triples = zip(params.erase_fill, params.mean, params.std, strict=True)
    fill = [255 * (value * std + mean) for value, mean, std in triples]
    images = random_erasing(
        images, generator, params.erase, params.erase_area, params.erase_aspect, fill
    )
    return {"image": images["image"].movedim(-3, -1)}


def normalize(params: Params, batch: dict[str, Tensor], mean: Tensor) -> dict[str, Tensor]:
    """(B, H, W, 3) of 0 to 255 to float (B, 3, H, W), by `params.mean` and `params.std`.

    The training images' own `mean` is not used. Memory stays channels-last.
    """
    image = batch["image"]
    centre, spread = (255 * torch.tensor(v, device=image.device) for v in (params.mean, params.std))
    return {"image": ((image - centre) / spread).movedim(-1, -3)}


# -- network ---------------------------------------------------------------------------------


class StrongBaseline(nn.Module):
    """A backbone, the mean over places, batch normalisation without shift, and a classifier."""

    def __init__(self, params: Params, classes: int) -> None:
        super().__init__()
        options = {"channels": params.channels} if params.channels else {}
        self.backbone = backbones.build(
            params.backbone, params.weights, params.last_stride, **options
        )
        width = int(self.backbone.head_hidden_size)  # pyright: ignore[reportArgumentType]
        self.norm = nn.BatchNorm1d(width)
        self.norm.bias.requires_grad_(False)  # stays 0
        self.classifier = nn.Linear(width, classes, bias=False)
        nn.init.normal_(self.classifier.weight, std=0.001)

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """`image` (B, 3, h, w) to `before` and `after` normalisation (B, 2048), `logits` (B, K)."""
        maps = self.backbone(batch["image"])  # (B, 2048, 8, 8) at 128 x 128
        before = maps.mean((2, 3))
        after = self.norm(before)
        return {"before": before, "after": after, "logits": self.classifier(after)}


def build(params: Params, classes: int) -> StrongBaseline:
    """The network for `classes` persons."""
    module = StrongBaseline(params, classes)
    return module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


# -- recipe ----------------------------------------------------------------------------------


def sampler(params: Params, targets: np.ndarray, seed: int) -> Sampler:
    """Triplet: 16 identities with 4 images each. Softmax: every image once an epoch."""
    if params.configuration == "softmax":
        whole = len(targets) >= params.batch
        return Shuffle(len(targets), params.batch, seed, drop_last=whole)
    identities, rest = divmod(params.batch, params.images)
    if rest:
        raise ReidError(f"batch: {params.batch} is no multiple of {params.images} images a person")
    return IdentityBatches(targets, identities, params.images, seed)


def loss(params: Params, output: dict[str, Tensor], person_index: Tensor) -> dict[str, Tensor]:
    """Smoothed cross entropy after, and hard triplets before the normalisation; or cross entropy.

    `person_index` (B,): 0 to classes - 1.
    """
    if params.configuration == "softmax":
        return {"loss": losses.cross_entropy(output["logits"], person_index)}
    identity = losses.cross_entropy(output["logits"], person_index, params.label_smoothing)
    triplet = losses.batch_hard_triplet(output["before"], person_index, params.margin)
    return {"loss": identity + triplet, "identity": identity.detach(), "triplet": triplet.detach()}


def training_logits(output: dict[str, Tensor]) -> Tensor:
    """(B, classes)."""
    return output["logits"]


def embed(module: nn.Module, params: Params, batch: dict[str, Tensor]) -> Tensor:
    """The test feature of a normalised batch, (B, 2048); `module` is in eval mode."""
    feature = module(batch)["after" if params.test_feature == "after_norm" else "before"]
    return F.normalize(feature, dim=1) if params.normalize_features else feature


def optimizer(params: Params, module: nn.Module) -> torch.optim.Optimizer:
    """Adam; the trainer sets each step's learning rate by `learning_rate`."""
    learnt = [p for p in module.parameters() if p.requires_grad]
    return torch.optim.Adam(
        learnt, params.learning_rate, weight_decay=params.weight_decay, fused=True
    )


def learning_rate(params: Params, epoch: float) -> float:
    """The learning rate at a 0-based, possibly fractional `epoch`."""
    if params.schedule == "one_cycle":
        return params.learning_rate * schedules.one_cycle(epoch, params.epochs)
    warm_up = WARM_UP[params.configuration] if params.warm_up is None else params.warm_up
    milestones = (
        MILESTONES[params.configuration] if params.milestones is None else params.milestones
    )
    return params.learning_rate * schedules.warm_up_and_steps(
        epoch, warm_up, params.warm_up_start, milestones, params.decay
    )
