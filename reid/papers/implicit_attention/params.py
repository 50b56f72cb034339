"""The paper's numbers, and what is read by them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from reid.data import swaps
from reid.nn.imagenet import IMAGENET_MEAN, IMAGENET_STD
from reid.papers.pretraining import file_of
from reid.project.params import Strict

Colour = tuple[float, float, float]
Share = tuple[float, float]


# Of small trainings on rendered worlds.
SCALE = frozenset(
    {
        "backbone", "channels", "weights", "side", "height", "width", "pad", "batch", "images",
        "epochs", "learning_rate", "weight_decay", "schedule", "warm_up", "warm_up_start",
        "milestones", "decay",
    }
)  # fmt: skip
# How the stage `backgrounds` looks for partners, unless a table's row has it otherwise.
SEARCH: dict[str, Any] = {
    "region": "full_body", "area_ratio": 0.8, "iou": 0.5, "same_viewpoint": True,
    "not_occluded": True, "other_person": True,
}  # fmt: skip


class Params(Strict):
    """The paper's numbers; `configuration` names a half of table 1."""

    configuration: Literal["triplet", "softmax"] = "triplet"  # triplet: cross entropy besides
    swap_probability: float = Field(default=0.3, ge=0, le=1)  # 0: the strong baseline alone
    backbone: str = "resnet50.tv_in1k"  # any of timm's that ends in a map
    channels: tuple[int, int, int, int] | None = None  # of a ResNet's stages; null: its own
    last_stride: Literal[1, 2] = 1
    # pretrained: timm's own for the backbone; world: a rendered crowd's; '': none; or a file
    weights: str = "pretrained"

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


def columns(params: Params) -> list[str]:
    """What training and test read."""
    return ["image"]


def stages(params: Params) -> list[str]:
    """The stages that these columns come from: a test needs none."""
    return []


def weights(params: Params) -> list[str]:
    """What the backbone starts from."""
    return [file_of(params.weights, "implicit_attention")]


def training_stages(params: Params) -> list[str]:
    """Stages that the training reads beside."""
    return [swaps.STAGE] if params.swap_probability else []


def training_columns(params: Params) -> list[str]:
    """Columns that the training reads beside; they may be null."""
    return [*swaps.COLUMNS] if params.swap_probability else []
