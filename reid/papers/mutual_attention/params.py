"""The paper's numbers, and what is read by them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from reid.data.clips import Clips
from reid.nn.imagenet import IMAGENET_MEAN, IMAGENET_STD
from reid.papers.pretraining import file_of
from reid.project.errors import ReidError
from reid.project.params import Strict

Kind = Literal["average", "max", "temporal_attention", "rnn", "weighted_addition"]
Padding = Literal["edge", "zero"]
Reference = Literal["max", "frame"]
JoinStart = Literal["random", "image"]
Count = Annotated[int, Field(ge=1)]
Colour = tuple[float, float, float]
Spread = Annotated[float, Field(gt=0)]


# Of small trainings from scratch on rendered worlds.
SCALE = frozenset(
    {
        "rnn_width", "gate_channels", "backbone", "channels", "last_stride", "weights", "height",
        "width", "brightness", "tint", "identities", "tracklets", "epochs", "learning_rate",
        "weight_decay", "schedule", "decay", "decay_epochs",
    }
)  # fmt: skip


class Params(Strict):
    """The paper's numbers; `model` and `aggregation` name a row of table 2."""

    model: Literal["one_stream", "two_stream", "gated", "mutual"] = "mutual"
    aggregation: Kind = "weighted_addition"
    sequence_length: Count = 4  # frames of a clip
    attention: Literal["learned", "even"] = "learned"  # even: a frame's mean weight in each place
    attention_layer: Literal[2, 3, 4, 5] = 4  # of mutual and gated; the stem is 1
    reference: Reference = "max"  # of weighted addition
    weighted_normalized: bool = False  # weights of weighted addition with the sum one
    rnn_width: Count = 512
    gate_channels: tuple[Count, Count, Count, Count, Count] = (64, 192, 384, 256, 256)
    join_start: JoinStart = "random"  # of both streams' layer; image: it passes the images' feature
    gate_weights: str = ""  # of AlexNet: pretrained, which is torchvision's; '': none; or a file

    squeeze_excitation: bool = False  # SE-ResNet in place of ResNet
    backbone: str = ""  # a ResNet of timm's; '': resnet50.tv_in1k or legacy_seresnet50.in1k
    channels: tuple[Count, Count, Count, Count] | None = None  # of its stages; null: its own
    last_stride: Literal[1, 2] = 2
    # Of both streams: pretrained, timm's own; world: a rendered crowd's; '': none; or a file
    weights: str = "pretrained"

    height: int = Field(default=224, ge=32)  # pixels of what the network sees
    width: int = Field(default=112, ge=32)
    flow_padding: Padding = "edge"  # of the flow's network; zero: as the images'
    flow_view: Literal["colour", "uv_magnitude", "uv"] = "colour"
    # A frame, at this size; more is cut off. null: 99 in 100 pixels of the training rows move less
    flow_maximum_px: float | None = Field(default=10.0, gt=0)
    crop: float = Field(default=0.5, ge=0, le=1)  # chance that a clip is enlarged and cropped
    enlarge: float = Field(default=1.125, ge=1)
    flip: float = Field(default=0.5, ge=0, le=1)  # chance of a horizontal flip
    brightness: float = Field(default=0, ge=0)  # log standard deviation of a clip's light
    tint: float = Field(default=0, ge=0)  # and of each of its channels'
    mean: Colour = IMAGENET_MEAN  # RGB, of values 0 to 1
    std: tuple[Spread, Spread, Spread] = IMAGENET_STD

    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    margin: float = 0.3  # of the triplet loss
    identities: int = Field(default=8, ge=2)  # of a batch
    tracklets: int = Field(default=4, ge=2)  # of each identity in a batch
    epochs: Count = 800  # each one pass over the identities
    learning_rate: float | None = Field(default=None, gt=0)  # null: 3e-4, of an rnn 1e-4
    weight_decay: float = Field(default=5e-4, ge=0)
    schedule: Literal["steps", "one_cycle"] = "steps"  # one_cycle: up for 0.3 of it, then to zero
    decay: float = Field(default=0.1, gt=0)  # the learning rate's factor ...
    decay_epochs: Count = 200  # ... after each so many epochs

    distance: Literal["cosine", "euclidean"] = "euclidean"

    @field_validator("sequence_length")
    @classmethod
    def _something_to_weigh(cls, frames: int, info: ValidationInfo) -> int:
        how = info.data.get("aggregation")
        if frames == 1 and how not in ("average", "max", None):
            raise ValueError(f"one frame leaves {how} nothing to weigh; take average")
        return frames

    @field_validator("attention")
    @classmethod
    def _something_attends(cls, attention: str, info: ValidationInfo) -> str:
        model = info.data.get("model")
        if attention == "even" and model in ("one_stream", "two_stream"):
            raise ValueError(f"even, but {model} has no attention; take mutual or gated")
        return attention

    @field_validator("channels")
    @classmethod
    def _can_be_chosen(cls, channels: Any, info: ValidationInfo) -> Any:
        if channels and info.data.get("squeeze_excitation") and not info.data.get("backbone"):
            raise ValueError("legacy_seresnet50 has its own; name a backbone such as resnet50")
        return channels

    @field_validator("gate_weights")
    @classmethod
    def _are_of_alexnet(cls, weights: str, info: ValidationInfo) -> str:
        own = cls.model_fields["gate_channels"].default
        if weights and info.data.get("gate_channels", own) != own:
            raise ValueError(f"AlexNet's gate_channels are {', '.join(map(str, own))}")
        return weights

    @property
    def flow_most_px(self) -> float:
        """The maximum of flow as a number; `ReidError` where it is still to be measured."""
        if self.flow_maximum_px is None:
            raise ReidError(
                "flow_maximum_px: null is measured on the data set's flow, which is not built; "
                "run `reid flow`, or give a number of pixels"
            )
        return self.flow_maximum_px

    @property
    def streams(self) -> tuple[str, ...]:
        """The views with a frame network of their own."""
        return ("image", "flow") if self.model in ("two_stream", "mutual") else ("image",)

    @property
    def views(self) -> tuple[str, ...]:
        """What a sample has."""
        return ("image",) if self.model == "one_stream" else ("image", "flow")

    @property
    def flow_channels(self) -> int:
        return 2 if self.flow_view == "uv" else 3

    def trunk(self, view: str) -> dict[str, Any]:
        """The frame network of a view's stream, for `Stream`."""
        return {
            "inputs": {"image": 3, "flow": self.flow_channels}[view],
            "padding": self.flow_padding if view == "flow" else "zero",
            "name": self.backbone, "channels": self.channels, "squeeze": self.squeeze_excitation,
            "weights": file_of(self.weights, "mutual_attention"),
            "last_stride": self.last_stride, "layer": self.attention_layer,
        }  # fmt: skip

    @property
    def rate(self) -> float:
        """The learning rate before any decay."""
        return self.learning_rate or (1e-4 if self.aggregation == "rnn" else 3e-4)


def columns(params: Params) -> list[str]:
    """What is read: one stream needs no flow."""
    return [*params.views]


def stages(params: Params) -> list[str]:
    """The stages that these columns come from."""
    return [name for name in ("flow",) if name in params.views]


def weights(params: Params) -> list[str]:
    """Of both streams, and of the gate."""
    return [file_of(params.weights, "mutual_attention"), params.gate_weights]


def clips(params: Params) -> Clips:
    """Training: consecutive frames, short tracklets repeated; test: all, clip after clip."""
    return Clips(length=params.sequence_length, spacing="consecutive", test="dense")
