"""The paper's numbers, and what is read by them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from reid.papers.contract import Pooling
from reid.papers.pretraining import file_of
from reid.project.params import Strict

Modality = Literal["rgb", "depth"]
Phase = Literal["encoders", "whole"]
Attention = Literal["learned", "even"]
Layer = Literal["conv1", "conv2", "conv3", "conv4", "conv5"]


# Of small trainings from scratch on rendered worlds.
SCALE = frozenset(
    {
        "joint_normalized", "resized", "side", "fused_width", "width_scale", "pixel_scale",
        "dropout", "encoder_epochs", "encoder_batch", "encoder_learning_rate", "fusion_epochs",
        "fusion_batch", "fusion_learning_rate", "decay", "schedule", "weight_decay",
        "vertical_flip", "brightness", "tint",
    }
)  # fmt: skip


class Params(Strict):
    """The paper's numbers; `model` names a curve of figure 3."""

    model: Literal["mat", "rgb_d_cnn", "rgb_att", "d_att", "rgb_cnn", "d_cnn"] = "mat"
    attention: Attention = "learned"  # even: each place weighs the same, to compare with
    attention_layers: tuple[Layer, ...] = Field(default=("conv4", "conv5"), min_length=1)
    joint_normalized: bool = False  # g with a mean square of one, before places are scored
    resized: int = Field(default=256, ge=67)  # height and width of the images that are cropped
    side: int = Field(default=227, ge=67)  # of the crop
    fused_width: int = Field(default=4096, ge=1)  # values of X9
    width_scale: float = Field(default=1.0, gt=0)  # of every channel count
    pixel_scale: float = Field(default=1.0, gt=0)  # of pixels less their mean; Caffe's is 1
    dropout: float = Field(default=0.5, ge=0, lt=1)
    # Of CaffeNet, for both encoders: .caffemodel or .safetensors; world: fitted to a rendered crowd
    weights: str = ""

    encoder_epochs: int = Field(default=100, ge=0)  # each encoder alone, as a classifier
    encoder_batch: int = Field(default=128, ge=2)
    encoder_learning_rate: float = Field(default=0.01, gt=0)
    fusion_epochs: int = Field(default=100, ge=1)  # then the whole network
    fusion_batch: int = Field(default=32, ge=2)
    fusion_learning_rate: float = Field(default=0.001, gt=0)
    decay: float = Field(default=0.99, gt=0)  # the learning rate's factor after each epoch
    schedule: Literal["decay", "one_cycle"] = "decay"  # one_cycle: up for 0.3 of a phase, to zero
    momentum: float = 0.9
    weight_decay: float = 5e-4
    flip: float = Field(default=0.5, ge=0, le=1)  # chance of a horizontal flip
    vertical_flip: float = Field(default=0, ge=0, le=1)  # and of one upside down
    brightness: float = Field(default=0, ge=0)  # log standard deviation of a colour image's light
    tint: float = Field(default=0, ge=0)  # and of each of its channels'

    test_feature: Literal["fused", "rgb", "depth"] = "fused"  # X9; X8 or fc7 of one modality
    pool: Literal["none", "mean", "max"] = "mean"  # of a passage's images, for the test
    distance: Literal["euclidean", "cosine"] = "euclidean"

    @field_validator("attention_layers")
    @classmethod
    def _once(cls, layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
        if len(set(layers)) < len(layers):
            raise ValueError("a layer is named twice")
        return layers

    @model_validator(mode="after")
    def _consistent(self) -> Params:
        if self.side > self.resized:
            raise ValueError(f"side {self.side} is larger than resized {self.resized}")
        if self.attention == "even" and not self.attending:
            raise ValueError(f"attention: even, but {self.model} has none; take mat")
        if self.epochs < 1:
            raise ValueError(f"{self.model} is trained in encoder_epochs alone; they are 0")
        if self.test_feature not in ("fused", *self.features):
            raise ValueError(f"{self.model} has no feature {self.test_feature}")
        return self

    @property
    def epochs(self) -> int:
        """Of both phases; an encoder by itself has the first alone."""
        return self.encoder_epochs + (self.fusion_epochs if self.two_phases else 0)

    @property
    def two_phases(self) -> bool:
        """Whether more than an encoder is trained."""
        return self.model not in ("rgb_cnn", "d_cnn")

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Those with an encoder, the colour's first."""
        one: dict[str, tuple[Modality, ...]] = {"rgb_cnn": ("rgb",), "d_cnn": ("depth",)}
        return one.get(self.model, ("rgb", "depth"))

    @property
    def attending(self) -> tuple[Modality, ...]:
        """Those whose maps are weighed."""
        both: tuple[Modality, ...] = ("rgb", "depth")
        return {"mat": both, "rgb_att": both[:1], "d_att": both[1:]}.get(self.model, ())

    @property
    def features(self) -> tuple[Modality, ...]:
        """Those with a feature, of which the last feature is made."""
        return self.attending or self.modalities

    def phase(self, epoch: float) -> Phase:
        """What is trained in a 0-based epoch."""
        return "encoders" if epoch < self.encoder_epochs else "whole"


def columns(params: Params) -> list[str]:
    """What training and test read."""
    return ["image", "jet"]


def stages(params: Params) -> list[str]:
    """The stages that these columns come from."""
    return ["jet"]


def weights(params: Params) -> list[str]:
    """CaffeNet's, for both encoders."""
    return [file_of(params.weights, "multimodal_attention")]


def pool(params: Params) -> Pooling:
    """How the images of a passage are joined for the test."""
    return params.pool
