"""The paper's numbers, and what is read by them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from reid.papers.pretraining import file_of
from reid.project.params import Strict

PARTS = ("head", "upper_body", "upper_leg", "lower_leg")
Mask = Literal["residual", "plain"]
Shortcut = Literal["projection", "parameter_free"]
Fusion = Literal["inter", "fc", "concatenation", "test_only"]
Attention = Literal["learned", "even"]


# Of small trainings on rendered worlds.
SCALE = frozenset(
    {
        "height", "width", "part_height", "part_width", "width_scale", "dropout", "epochs",
        "batch", "learning_rate", "decay", "decay_epochs", "schedule", "weight_decay",
    }
)  # fmt: skip


class Params(Strict):
    """The paper's numbers; `model` names a row of table 6."""

    model: Literal["baseline", "aligned", "intra", "inter", "intra_inter"] = "intra_inter"
    fusion: Fusion | None = None  # null: inter-attention where `model` has it
    shortcut: Shortcut = "projection"
    mask: Mask = "residual"  # eq. 7; plain: eq. 5
    decomposition: bool = True  # of the mask into a place's and a channel's weight
    mask_norm: bool = True  # batch normalisation of the mask's convolutions
    attention: Attention = "learned"  # even: a mask's mean over its places in each, to compare with
    inter_global: bool = False  # weigh the whole body's feature too (with inter-attention)
    height: int = Field(default=384, ge=32)  # pixels of the whole body
    width: int = Field(default=192, ge=32)
    part_height: int = Field(default=96, ge=16)
    part_width: int = Field(default=192, ge=32)
    width_scale: float = Field(default=1.0, gt=0)  # of every channel count
    feature_norm: bool = False  # batch normalisation of the reduced features
    dropout: float = Field(default=0.5, ge=0, lt=1)  # before each prediction
    # A state dict of this network to start from, without its classifiers; world: fitted to a crowd
    weights: str = ""

    loss_weight: float = Field(default=0.5, ge=0)  # lambda: of each branch's loss
    epochs: int = Field(default=100, ge=1)
    batch: int = Field(default=32, ge=2)
    learning_rate: float = Field(default=0.01, gt=0)
    decay: float = Field(default=0.1, gt=0)  # the learning rate's factor ...
    decay_epochs: int = Field(default=40, ge=1)  # ... after each so many epochs
    schedule: Literal["steps", "one_cycle"] = "steps"  # one_cycle: up for 0.3 of it, then to zero
    momentum: float = 0.9
    weight_decay: float = 5e-4
    flip: float = Field(default=0.5, ge=0, le=1)  # chance of a horizontal flip

    test_feature: Literal[
        "fused", "global", "parts", "head", "upper_body", "upper_leg", "lower_leg"
    ] = "fused"
    normalize_features: bool = False  # whole and parts to length 1 each before they are joined
    distance: Literal["cosine", "euclidean"] = "cosine"

    @field_validator("attention")
    @classmethod
    def _something_attends(cls, attention: Attention, info: ValidationInfo) -> Attention:
        model = info.data.get("model")
        if attention == "even" and model not in ("intra", "intra_inter", None):
            raise ValueError(f"even, but {model} has no intra-attention; take intra or intra_inter")
        return attention

    @property
    def intra(self) -> bool:
        """Whether blocks have intra-attention."""
        return self.model in ("intra", "intra_inter")

    @property
    def joined(self) -> Fusion:
        """How the parts' features are joined."""
        attends = self.model in ("inter", "intra_inter")
        return self.fusion or ("inter" if attends else "test_only")

    def channels(self, count: int) -> int:
        """`count` at this width: a multiple of 4, as intra-attention quarters it, and no fewer
        than `backbones.FEWEST`."""
        return 4 * max(2, round(count * self.width_scale / 4))


def columns(params: Params) -> list[str]:
    """What training and test read."""
    return ["image", "parts"]


def stages(params: Params) -> list[str]:
    """The stages that these columns come from."""
    return ["parts"]


def weights(params: Params) -> list[str]:
    """A state dict of this network, or nothing."""
    return [file_of(params.weights, "attention_driven")]
