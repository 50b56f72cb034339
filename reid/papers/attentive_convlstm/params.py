"""The paper's numbers, and what is read by them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from reid.data.clips import Clips
from reid.project.params import Strict

Count = Annotated[int, Field(ge=1)]
Attention = Literal["learned", "even"]
Over = Literal["clip", "frame"]
FiltersAre = Literal["channels", "maps"]
Total = Literal["places", "one"]
Root = Literal["sqrt", "std"]


# Of small trainings on rendered worlds.
SCALE = frozenset(
    {
        "filters", "channels", "feature", "dropout", "height", "width", "crop", "length", "short",
        "pairs", "epochs", "learning_rate", "schedule", "test_length", "test_crops",
        "flow.backend",
    }
)  # fmt: skip


class Params(Strict):
    """McLaughlin et al.'s numbers; `attention_filters` names a row of table 2."""

    attention_filters: int = Field(default=3, ge=0)  # 0: no attention
    attention: Attention = "learned"  # even: each place weighs the same, to compare with
    filters_are: FiltersAre = "channels"
    attention_over: Over = "clip"  # which places compete
    attention_total: Total = "places"  # what the weights' sum is where they weigh maps
    steps: Count = 4  # of refinement
    filters: Count = 32  # of the ConvLSTM's state
    recurrent: bool = False
    channels: tuple[Count, Count, Count] = (16, 32, 32)  # of the three convolutions
    feature: Count = 128
    dropout: float = Field(default=0.6, ge=0, lt=1)

    height: int = Field(default=64, ge=8)  # pixels of a frame
    width: int = Field(default=48, ge=8)
    crop: int = Field(default=8, ge=0)  # rows and columns that a crop leaves out: 56 x 40 are seen
    std_root: Root = "sqrt"  # channels are divided by the root of their std
    flip: float = Field(default=0.5, ge=0, le=1)  # chance of a horizontal flip of a clip
    length: Count = 16  # frames of a training clip
    short: Literal["skip", "repeat"] = "skip"  # shorter tracklets

    margin: float = Field(default=2.0, gt=0)  # Euclidean distance of different persons
    pairs: Count = 1  # of clips in a batch
    rounds: Count = 1  # over the persons in an epoch: more make a longer training
    epochs: Count = 500
    learning_rate: float = Field(default=1e-3, gt=0)
    schedule: Literal["constant", "one_cycle"] = "constant"  # one_cycle: up for 0.3 of it, to zero
    momentum: float = 0.9
    gradient_limit: float = Field(default=5.0, gt=0)  # of each value of a gradient

    test_length: Count = 128  # first frames of a query, last ones of a gallery
    test_crops: Count = 8  # along the diagonal
    test_flips: bool = True  # each crop also flipped
    distance: Literal["euclidean", "cosine"] = "euclidean"  # summed over crops and flips

    @model_validator(mode="after")
    def _consistent(self) -> Params:
        if self.attention == "even" and not self.attention_filters:
            raise ValueError("attention: even, but attention_filters: 0 is no attention at all")
        if min(self.size) < 8:
            raise ValueError(f"crop {self.crop} leaves less than 8 pixels a side")
        if self.test_crops > max(self.crop, 1):
            raise ValueError(f"test_crops {self.test_crops}: a crop has {max(self.crop, 1)} places")
        return self

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a crop."""
        return self.height - self.crop, self.width - self.crop


def columns(params: Params) -> list[str]:
    """What training and test read."""
    return ["image", "flow"]


def stages(params: Params) -> list[str]:
    """The stages that these columns come from."""
    return ["flow"]


def clips(params: Params) -> Clips:
    """How tracklets are cut: 16 frames from a random start; in a test the first or the last 128."""
    return Clips(params.length, "consecutive", "ends", params.test_length, params.short)
