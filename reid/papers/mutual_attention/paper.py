"""Flow-guided mutual attention: images and optical flow show each other where a person moves.

Reads   image; `flow`, each frame's optical flow to the next, in pixels (not for one_stream)
Source  Kiran et al., A flow-guided mutual attention network for video-based person
        re-identification, arXiv:2008.03788: equations 3 to 8, tables 1 to 5, figure 5; the base
        system is Gao and Nevatia's, arXiv:1805.02104, and its code (size, losses, recipe)
Differs where the paper is silent, unclear or contradicts itself:
  - layers count the stem as 1: layer 4 is torchvision's layer3, 14x7 places at 224x112.
  - the convolutions that make M begin as the mean over channels: with random weights many begin
    below zero everywhere, where ReLU lets nothing be learnt.
  - how flow becomes an image is not said: a colour wheel, white where nothing moves, one maximum
    for all frames (`flow_maximum_px`), then as images are. `uv_magnitude` and `uv` are ours.
  - the reference of weighted addition is both "the maximum in the temporal domain" and "a frame by
    maximum activation": the first, or `reference: frame`. Each stream has its own e.
  - weights of weighted addition have no denominator in eq. 6 to 8; `weighted_normalized` has one.
  - [phi; f], 4096 values, goes through a fully connected layer to 2048, which is the test feature:
    the layer that "is removed" for the test is the classifier. One stream has no such layer.
  - `gated`: a shallow flow network of AlexNet's five convolutions, with its first two poolings,
    from random weights; its mean over channels, resized, goes through a sigmoid.
  - temporal attention and the LSTM (512 values, mean over time) are the base system's.
  - one draw of crop and flip for a clip, where the base system's code has one a frame: flow has
    to follow. Enlarged flow is multiplied by as much, and mirrored flow has -u.
  - a clip has 4 frames, as the settings say; the best numbers are at 16. `backbone`, `channels`,
    `one_cycle`, `brightness` and `tint` are for small trainings from scratch.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor, nn

from reid.arrays.flow import resize_flow
from reid.arrays.images import resize
from reid.data.clips import Clips
from reid.data.samplers import IdentityBatches, Sampler
from reid.nn import flow_views, losses, schedules
from reid.nn.augment import IMAGENET_MEAN, IMAGENET_STD, change_light, resize_crop
from reid.papers.mutual_attention.aggregation import (
    Kind,
    Reference,
    TemporalAttention,
    WeightedAddition,
    make,
)
from reid.papers.mutual_attention.printed import TABLES as TABLES
from reid.papers.mutual_attention.two_stream import LAYERS, Gate, MutualAttention, Stream
from reid.project.errors import ReidError
from reid.project.params import Strict

VERSION = 1  # raised when the same parameters train another network
COLUMNS = ["image", "flow"]
STAGES = ["flow"]
HEADLINE = "models"  # the table that experiments are shown beside
TEST_ONLY = ("distance",)  # change no training
FIXED = 64  # a view's flow is in 1/64 pixels

Count = Annotated[int, Field(ge=1)]
Colour = tuple[float, float, float]
Spread = Annotated[float, Field(gt=0)]


class Params(Strict):
    """The paper's numbers; `model` and `aggregation` name a row of table 2."""

    model: Literal["one_stream", "two_stream", "gated", "mutual"] = "mutual"
    aggregation: Kind = "weighted_addition"
    sequence_length: Count = 4  # frames of a clip
    attention_layer: Literal[2, 3, 4, 5] = 4  # of mutual and gated; the stem is 1
    reference: Reference = "max"  # of weighted addition
    weighted_normalized: bool = False  # weights of weighted addition with the sum one
    rnn_width: Count = 512
    gate_channels: tuple[Count, Count, Count, Count, Count] = (64, 192, 384, 256, 256)

    squeeze_excitation: bool = False  # SE-ResNet in place of ResNet
    backbone: str = ""  # a ResNet of timm's; '': resnet50.tv_in1k or legacy_seresnet50.in1k
    channels: tuple[Count, Count, Count, Count] | None = None  # of its stages; null: its own
    last_stride: Literal[1, 2] = 2
    weights: str = "pretrained"  # of both streams: timm's own; '': none; or a file

    height: int = Field(default=224, ge=32)  # pixels of what the network sees
    width: int = Field(default=112, ge=32)
    flow_view: Literal["colour", "uv_magnitude", "uv"] = "colour"
    flow_maximum_px: float = Field(default=10.0, gt=0)  # a frame, at this size; more is cut off
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

    @field_validator("channels")
    @classmethod
    def _can_be_chosen(cls, channels: Any, info: ValidationInfo) -> Any:
        if channels and info.data.get("squeeze_excitation") and not info.data.get("backbone"):
            raise ValueError("legacy_seresnet50 has its own; name a backbone such as resnet50")
        return channels

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

    @property
    def trunk(self) -> dict[str, Any]:
        """A stream's frame network, for `Stream`."""
        return {
            "name": self.backbone, "channels": self.channels, "squeeze": self.squeeze_excitation,
            "weights": self.weights, "last_stride": self.last_stride, "layer": self.attention_layer,
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
    return [name for name in STAGES if name in params.views]


def clips(params: Params) -> Clips:
    """Training: consecutive frames, short tracklets repeated; test: all, clip after clip."""
    return Clips(length=params.sequence_length, spacing="consecutive", test="dense")


# -- samples ---------------------------------------------------------------------------------


def view(params: Params, image: np.ndarray, row: dict[str, Any]) -> dict[str, np.ndarray]:
    """One (H, W, 3) uint8 RGB frame as `image` (h, w, 3); its `row["flow"]` as `flow` (h, w, 2).

    Flow is int16, in 1/64 pixels of the resized frame: to the right, then down.
    """
    ready = {"image": resize(image, params.height, params.width)}
    if "flow" in params.views:
        if row.get("flow") is None:
            raise ReidError(
                f"{row.get('image_id', 'a row')}: no optical flow; run `reid flow` for its data "
                "set, or look into the stage's rejects"
            )
        fixed = FIXED * resize_flow(row["flow"], params.height, params.width)
        ready["flow"] = np.rint(fixed).clip(-32768, 32767).astype(np.int16)
    return ready


def augment(
    params: Params, batch: dict[str, Tensor], generator: torch.Generator
) -> dict[str, Tensor]:
    """Clips (B, T, h, w, c), some enlarged and cropped, some mirrored, as floats of their units.

    All frames of a clip, and its flow, have one draw. Vectors grow and turn with their frames.
    """
    views = {name: view.movedim(-1, -3) for name, view in batch.items()}
    if params.brightness or params.tint:
        image = {"image": views["image"]}
        views |= change_light(image, generator, params.brightness, params.tint)
    views = {name: view.float() for name, view in views.items()}
    drawn = torch.rand(2, len(views["image"]), generator=generator)
    place = views["image"].device
    cropped, mirrored = (drawn < torch.tensor([[params.crop], [params.flip]])).to(place)
    enlarged = resize_crop(views, generator, 1.0, params.enlarge)
    ready = {}
    for name, view in views.items():
        view = torch.where(cropped[:, None, None, None, None], enlarged[name], view)
        view = torch.where(mirrored[:, None, None, None, None], view.flip(-1), view)
        ready[name] = view.movedim(-3, -1)
    if "flow" in ready:
        ready["flow"] = ready["flow"] * _growth(params, cropped, mirrored)
    return ready


def _growth(params: Params, cropped: Tensor, mirrored: Tensor) -> Tensor:
    """(B, 1, 1, 1, 2): what u and v of a clip are multiplied by."""
    sizes = params.width, params.height
    enlarged = cropped.new_tensor([round(n * params.enlarge) / n for n in sizes], dtype=torch.float)
    factors = torch.where(cropped[:, None], enlarged, 1.0)
    factors[:, 0] *= torch.where(mirrored, -1.0, 1.0)
    return factors[:, None, None, None]


def normalize(params: Params, batch: dict[str, Tensor], mean: Tensor) -> dict[str, Tensor]:
    """Clips (B, T, h, w, c) to float (B, T, c, h, w); flow as `flow_view` says.

    Images and colours of flow by `params.mean` and `params.std`; the training images' own `mean`
    is not used. Memory stays channels-last.
    """
    centre, spread = (mean.new_tensor(v)[:, None, None] for v in (params.mean, params.std))
    ready = {"image": (batch["image"].movedim(-1, -3) / 255 - centre) / spread}
    if "flow" in batch:
        flow_px, most = batch["flow"].float() / FIXED, params.flow_maximum_px
        if params.flow_view == "colour":
            ready["flow"] = (flow_views.colour_wheel(flow_px, most) - centre) / spread
        else:
            ready["flow"] = getattr(flow_views, params.flow_view)(flow_px, most)
    return ready


# -- network ---------------------------------------------------------------------------------


class VideoNetwork(nn.Module):
    """Frame networks, attention between or into them, a clip's feature, and a classifier."""

    def __init__(self, params: Params, classes: int) -> None:
        super().__init__()
        inputs = {"image": 3, "flow": params.flow_channels}
        streams = {name: Stream(inputs[name], **params.trunk) for name in params.streams}
        self.streams: Any = nn.ModuleDict(streams)
        image = streams["image"]
        mutual, gated = params.model == "mutual", params.model == "gated"
        self.attention = MutualAttention(image.cut_width) if mutual else None
        self.gate = Gate(inputs["flow"], params.gate_channels) if gated else None
        size = image.map_size(params.height, params.width)
        how = params.aggregation, image.width, size, params.rnn_width, params.reference
        found = {name: make(*how, normalized=params.weighted_normalized) for name in streams}
        self.aggregate: Any = nn.ModuleDict(found)
        width = sum(each.width for each in found.values())
        self.join = nn.Linear(width, image.width) if len(streams) > 1 else None
        self.classifier = nn.Linear(image.width if self.join else width, classes)

    def maps(self, batch: dict[str, Tensor]) -> tuple[dict[str, Tensor], Tensor | None]:
        """The last maps (B, T, C, h, w) of each stream; attention (B, T, 1, h, w), or None."""
        frames = {name: view.flatten(0, 1) for name, view in batch.items()}  # (B*T, c, H, W)
        middle = {name: s.before(frames[name]) for name, s in self.streams.items()}
        weight = None
        if self.attention is not None:
            weight = self.attention(middle["image"], middle["flow"])
        elif self.gate is not None:
            weight = self.gate(frames["flow"], middle["image"].shape[-2:])
        if weight is not None:
            middle = {name: x * weight for name, x in middle.items()}
        shape = batch["image"].shape[:2]
        last = {n: s.after(middle[n]).unflatten(0, shape) for n, s in self.streams.items()}
        return last, None if weight is None else weight.unflatten(0, shape)

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Clips (B, T, 3, h, w) to `feature` (B, 2048) and `logits` (B, classes)."""
        maps, _ = self.maps(batch)
        each = [agg(maps[n].mean((-2, -1)), maps[n]) for n, agg in self.aggregate.items()]
        feature = each[0] if self.join is None else self.join(torch.cat(each, 1))  # [phi; f]
        return {"feature": feature, "logits": self.classifier(feature)}


def build(params: Params, classes: int) -> VideoNetwork:
    """The network for `classes` persons; both streams from `params.weights` where it is given."""
    module = VideoNetwork(params, classes).train()
    return module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


@torch.no_grad()
def attention_maps(network: VideoNetwork, batch: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """M, or what the gate opens, of each frame of a normalised batch, (B, T, h, w); {} without.

    The flow's maps have the image's M. `network` is in eval mode, here and below.
    """
    weights = network.maps(batch)[1]
    if weights is None:
        return {}
    layer = 2 + LAYERS.index(network.streams["image"].first[-1])
    return {"image": {f"layer {layer}": weights[:, :, 0]}}


@torch.no_grad()
def activations(network: VideoNetwork, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Each stream's last maps, mean over channels, (B, T, h, w): figure 5."""
    return {name: last.mean(2) for name, last in network.maps(batch)[0].items()}


@torch.no_grad()
def frame_weights(network: VideoNetwork, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the frames in each stream's feature of a clip, (B, T), where they have one."""
    found = {}
    for name, maps in network.maps(batch)[0].items():
        each = network.aggregate[name]
        if isinstance(each, WeightedAddition):
            found[name] = each.weights(maps.mean((-2, -1)))
        elif isinstance(each, TemporalAttention):
            found[name] = each.weights(maps)
    return found


# -- recipe ----------------------------------------------------------------------------------


def sampler(params: Params, targets: np.ndarray, seed: int) -> Sampler:
    """Each identity once an epoch with 4 tracklets; 8 identities a batch, full batches alone."""
    return IdentityBatches(targets, params.identities, params.tracklets, seed, "uniform")


def loss(params: Params, output: dict[str, Tensor], person_index: Tensor) -> dict[str, Tensor]:
    """Smoothed cross entropy and hard triplets of the clips' features.

    `person_index` (B,): 0 to classes - 1.
    """
    identity = losses.cross_entropy(output["logits"], person_index, params.label_smoothing)
    triplet = losses.batch_hard_triplet(output["feature"], person_index, params.margin)
    return {"loss": identity + triplet, "identity": identity.detach(), "triplet": triplet.detach()}


def training_logits(output: dict[str, Tensor]) -> Tensor:
    """(B, classes)."""
    return output["logits"]


def embed(module: nn.Module, params: Params, batch: dict[str, Tensor]) -> Tensor:
    """The test feature of normalised clips, (B, 2048); `module` is in eval mode."""
    return module(batch)["feature"]


def optimizer(params: Params, module: nn.Module) -> torch.optim.Optimizer:
    """Adam; the trainer sets each step's learning rate by `learning_rate`."""
    return torch.optim.Adam(
        module.parameters(), params.rate, weight_decay=params.weight_decay, fused=True
    )


def learning_rate(params: Params, epoch: float) -> float:
    """The learning rate at a 0-based, possibly fractional `epoch`."""
    if params.schedule == "one_cycle":
        return params.rate * schedules.one_cycle(epoch, params.epochs)
    return params.rate * schedules.steps(epoch, params.decay_epochs, params.decay)
