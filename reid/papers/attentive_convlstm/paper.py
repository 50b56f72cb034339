"""Siamese video network whose attentive ConvLSTM weighs places of a clip's frames.

Reads   image; `flow`, each frame's optical flow to the next, by Lucas and Kanade (`lucas_kanade`)
Source  Zamprogno et al., video-based convolutional attention for person re-identification:
        tables 1 and 2. The network of a frame, inputs, training and test are McLaughlin et al.'s,
        CVPR 2016, and its published code; the ConvLSTM is Cornia et al.'s (convlstm.py)
Differs where the paper is silent or unclear:
  - the number of filters in table 2 is taken as the channels of the attention's convolutions; 0 is
    no ConvLSTM at all. `filters_are` maps: so many attention maps, each with a softmax of its own.
  - places of all frames compete in one softmax (`attention_over` clip). frame: places of a frame
    compete, and its share of the clip is its weight in the average over frames.
  - softmax makes weights of about 1 / 1280, which would leave the ConvLSTM next to no input, and at
    a test's 128 frames an eighth of that: weights are multiplied by the number of places
    (`attention_total` places); Cornia et al. leave them as they are (one).
  - 4 refinement steps, 32 filters in the state; it stands between the third layer's maps and the
    fully connected one. The classifier sees the averaged feature of length 1, as the distance does.
  - no recurrence over frames; `recurrent` is McLaughlin et al.'s without the vector that their code
    learns for the first frame.
  - the published code turns a picture's flow left to right without changing its sign, and rounds
    flow to whole pixels: here u changes its sign and fractions are kept. Both leave flow in pixels
    of the original frame, cut off at -127 and 128, and resize it with the frame.
  - a channel without contrast, as a standing picture's flow, is 0; the published code divides by 0.
  - pairs whose tracklets are too short are never drawn; the published code skips such a step. Of
    persons with more than two tracklets, two are drawn.
  - several `pairs` in a batch and `one_cycle` are for short trainings on a CPU.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from reid.arrays.images import resize
from reid.data.clips import Clips
from reid.data.samplers import Sampler
from reid.nn import schedules
from reid.nn.losses import cross_entropy
from reid.papers.attentive_convlstm.convlstm import AttentiveConvLSTM, FiltersAre, Over, Total
from reid.papers.attentive_convlstm.frame_cnn import (
    FrameCNN,
    Root,
    cut,
    map_sizes,
    on_pixels,
    standardized,
)
from reid.papers.attentive_convlstm.printed import TABLES as TABLES
from reid.project.errors import ReidError
from reid.project.params import Strict

VERSION = 1  # raised when the same parameters train another network
COLUMNS = ["image", "flow"]
STAGES = ["flow"]
HEADLINE = 2  # the table that experiments are shown beside
TOGETHER = 2  # clips of a pair
TEST_ONLY = ("test_length", "test_crops", "test_flips", "distance")  # change no training

Count = Annotated[int, Field(ge=1)]
FLOW_STEPS = 64  # of a pixel, in which views hold flow
FLOW_PX = (-127.0, 128.0)  # what a byte of McLaughlin et al.'s files can hold


class Params(Strict):
    """McLaughlin et al.'s numbers; `attention_filters` names a row of table 2."""

    attention_filters: int = Field(default=3, ge=0)  # 0: no attention
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
        if min(self.size) < 8:
            raise ValueError(f"crop {self.crop} leaves less than 8 pixels a side")
        if self.test_crops > max(self.crop, 1):
            raise ValueError(f"test_crops {self.test_crops}: a crop has {max(self.crop, 1)} places")
        return self

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a crop."""
        return self.height - self.crop, self.width - self.crop


def clips(params: Params) -> Clips:
    """How tracklets are cut: 16 frames from a random start; in a test the first or the last 128."""
    return Clips(params.length, "consecutive", "ends", params.test_length, params.short)


# -- samples ---------------------------------------------------------------------------------


def view(params: Params, image: np.ndarray, row: dict[str, Any]) -> dict[str, np.ndarray]:
    """One frame (H, W, 3) as `image` (h, w, 3) uint8 and `flow` (h, w, 2) int16, 1/64 pixel.

    `row["flow"]` (H, W, 2): pixels to the right and down. They remain pixels of (H, W).
    """
    flow = row.get("flow")
    if flow is None:
        name = row.get("image_id", "a row")
        raise ReidError(f"{name}: no optical flow; see the stage `flow` (`reid flow`)")
    small = resize(flow.clip(*FLOW_PX), params.height, params.width)
    return {
        "image": resize(image, params.height, params.width),
        "flow": np.rint(FLOW_STEPS * small).astype(np.int16),
    }


def augment(
    params: Params, batch: dict[str, Tensor], generator: torch.Generator
) -> dict[str, Tensor]:
    """B clips as they are, and `window` (B, 3): top and left of a clip's crop, and its flip.

    Nothing is cut yet: `normalize` looks at whole frames first.
    """
    count = len(batch["image"])
    flipped = torch.rand(count, generator=generator) < params.flip
    corner = torch.randint(min(1, params.crop), params.crop + 1, (2, count), generator=generator)
    return {**batch, "window": torch.stack([*corner, flipped.long()], 1)}


def normalize(params: Params, batch: dict[str, Tensor], mean: Tensor) -> dict[str, Tensor]:
    """Clips (B, T, h, w, c) as views hold them to `image` (B, T, 5, h, w): Y, U, V and flow.

    Whole frames are standardised, one by one. Where `augment` drew windows, these are cut out, as
    `embed` does it for a test. `mean`, the training images' own, is not used.
    """
    frames = standardized(batch["image"], batch["flow"] / FLOW_STEPS, params.std_root)
    if "window" in batch:
        frames = cut(frames, batch["window"], params.size)
    return {"image": frames}


# -- network ---------------------------------------------------------------------------------


class VideoNetwork(nn.Module):
    """Three convolutions for each frame, attention over their maps, a feature, its average."""

    def __init__(self, params: Params, classes: int) -> None:
        super().__init__()
        self.params = params
        self.cnn = FrameCNN(params.channels)
        self.attention: Any = None
        maps = params.channels[-1]
        if params.attention_filters:
            self.attention = AttentiveConvLSTM(
                maps, params.filters, params.attention_filters, params.steps,
                params.attention_over, params.filters_are, params.attention_total,
            )  # fmt: skip
            maps = params.filters
        height, width = map_sizes(*params.size)[-1]
        self.dropout = nn.Dropout(params.dropout)
        self.linear = nn.Linear(maps * height * width, params.feature)
        self.recurrent: Any = None
        if params.recurrent:
            self.recurrent = nn.Linear(params.feature, params.feature)
        self.classifier = nn.Linear(params.feature, classes)

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """`image` (B, T, 5, 56, 40) to `feature` (B, 128) of length 1, `logits` (B, classes)."""
        maps = self.maps(batch["image"])  # (B, T, 32, 10, 8)
        share = None
        if self.attention is not None:
            attended = self.attention(maps)
            maps = attended.maps
            share = attended.share if self.attention.over == "frame" else None
        found = self.linear(self.dropout(maps.flatten(2)))  # (B, T, 128)
        if self.recurrent is not None:
            found = self._recur(found)
        mean = found.mean(1) if share is None else (share[..., None] * found).sum(1)
        feature = F.normalize(mean, dim=1)
        return {"feature": feature, "logits": self.classifier(feature)}

    def maps(self, frames: Tensor) -> Tensor:
        """(B, T, 5, 56, 40) to the last convolution's maps, (B, T, 32, 10, 8)."""
        return self.cnn(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])

    def _recur(self, found: Tensor) -> Tensor:
        """o_t = x_t + W dropout(tanh(o_{t-1})) of (B, T, 128), from o_1 = x_1."""
        outputs = [found[:, 0]]
        for x in found.unbind(1)[1:]:
            outputs.append(x + self.recurrent(self.dropout(outputs[-1].tanh())))
        return torch.stack(outputs, 1)


def place_weights(network: VideoNetwork, batch: dict[str, Tensor]) -> Tensor:
    """The last step's weights of a clip's places, (B, T, 10, 8), sum one; of several maps the mean.

    `batch` has whole, normalised frames; their central crops are looked at. `network` attends, and
    is in eval mode.
    """
    params, frames = network.params, batch["image"]
    window = torch.tensor([(*central(params), 0)] * len(frames))
    found = network.attention(network.maps(cut(frames, window, params.size)))
    weights = found.weights.mean(1)
    return weights * found.share[..., None, None] if params.attention_over == "frame" else weights


def attention_maps(network: VideoNetwork, batch: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """`place_weights` at the pixels of whole frames, (B, T, 64, 48); {} where nothing attends."""
    if network.attention is None:
        return {}
    params, weights = network.params, place_weights(network, batch)
    found = on_pixels(weights, (params.height, params.width), central(params))
    return {"image": {"attention": found}}


def build(params: Params, classes: int) -> VideoNetwork:
    """The network for `classes` persons."""
    return VideoNetwork(params, classes)


# -- recipe ----------------------------------------------------------------------------------


class Pairs:
    """Batches [a1, b1, a2, b2, ...] of two different tracklets each: negative, positive, ...

    An epoch has every person once in a positive pair, two of his tracklets, and as many negative
    pairs: a tracklet of each of two persons, drawn anew each time. Persons with one tracklet are
    in negative pairs alone. The last batch may have fewer pairs.
    """

    def __init__(self, targets: np.ndarray, pairs: int, seed: int):
        self.pairs, self.seed = pairs, seed
        self.tracklets = [np.flatnonzero(targets == person) for person in np.unique(targets)]
        self.twice = [rows for rows in self.tracklets if len(rows) > 1]
        if len(self.tracklets) < 2 or not self.twice:
            raise ReidError(
                f"sampler: {len(self.tracklets)} persons, {len(self.twice)} with two tracklets of "
                "enough frames; pairs need 2 and 1. Lower `length`, or set short: repeat"
            )

    def __len__(self) -> int:
        return -(-2 * len(self.twice) // self.pairs)

    def batches(self, epoch: int) -> list[np.ndarray]:
        """The epoch's batches of tracklet numbers."""
        generator = np.random.default_rng([self.seed, epoch])
        drawn: list[np.ndarray] = []
        for person in generator.permutation(len(self.twice)):
            others = generator.choice(len(self.tracklets), 2, replace=False)
            drawn.append(np.array([generator.choice(self.tracklets[other]) for other in others]))
            drawn.append(generator.choice(self.twice[person], 2, replace=False))
        starts = range(0, len(drawn), self.pairs)
        return [np.concatenate(drawn[start : start + self.pairs]) for start in starts]


def sampler(params: Params, targets: np.ndarray, seed: int) -> Sampler:
    """Pairs of tracklets, negative and positive in turn; twice as many as persons an epoch."""
    return Pairs(targets, params.pairs, seed)


def loss(params: Params, output: dict[str, Tensor], person_index: Tensor) -> dict[str, Tensor]:
    """Hinge of each pair's distance and the cross entropies of both its clips, mean over pairs.

        d                    of a pair of one person
        max(0, margin - d)   of two persons            d = |f_a - f_b|

    `person_index` (2 * pairs,): 0 to classes - 1, a pair's two side by side.
    """
    if len(person_index) % 2:
        raise ReidError(f"a batch of {len(person_index)} clips is not made of pairs")
    first, second = output["feature"].unflatten(0, (-1, 2)).unbind(1)  # (pairs, 128) each
    same = person_index[::2] == person_index[1::2]
    distance = torch.linalg.vector_norm(first - second, dim=1)
    hinge = torch.where(same, distance, (params.margin - distance).relu()).mean()
    identity = 2 * cross_entropy(output["logits"], person_index)
    return {"loss": hinge + identity, "hinge": hinge.detach(), "identity": identity.detach()}


def training_logits(output: dict[str, Tensor]) -> Tensor:
    """(B, classes)."""
    return output["logits"]


def corners(room: int, count: int) -> list[int]:
    """Corners of `count` crops that can move by `room` pixels: 1 to 8; a single one is central."""
    return [-(-(2 * i + 1) * room // (2 * count)) for i in range(count)]


def central(params: Params) -> tuple[int, int]:
    """Top and left of the crop in the middle."""
    (corner,) = corners(params.crop, 1)
    return corner, corner


def windows(params: Params) -> list[tuple[int, int, int]]:
    """Top, left and flip of each crop of a test, along the diagonal."""
    flips = (0, 1) if params.test_flips else (0,)
    return [(c, c, flip) for c in corners(params.crop, params.test_crops) for flip in flips]


def feature_parts(params: Params) -> int:
    """The test feature is so many features, one for each crop, whose distances are summed."""
    return len(windows(params))


def embed(module: nn.Module, params: Params, batch: dict[str, Tensor]) -> Tensor:
    """The test features of whole, normalised frames, (B, 16 * 128); `module` is in eval mode."""
    frames = batch["image"]  # (B, T, 5, 64, 48)
    each = [torch.tensor([window]).expand(frames.shape[0], -1) for window in windows(params)]
    crops = (cut(frames, window, params.size) for window in each)
    return torch.cat([module({"image": crop})["feature"] for crop in crops], 1)


def optimizer(params: Params, module: nn.Module) -> torch.optim.Optimizer:
    """SGD that first limits every value of the gradients; the trainer sets its learning rate."""
    limit = params.gradient_limit

    def clamp(sgd: torch.optim.Optimizer, *_: Any) -> None:
        for parameter in sgd.param_groups[0]["params"]:
            if parameter.grad is not None:
                parameter.grad.clamp_(-limit, limit)

    found = torch.optim.SGD(module.parameters(), params.learning_rate, params.momentum)
    found.register_step_pre_hook(clamp)  # a state dict does not hold it; nothing else is needed
    return found


def learning_rate(params: Params, epoch: float) -> float:
    """The learning rate at a 0-based, possibly fractional `epoch`."""
    if params.schedule == "one_cycle":
        return params.learning_rate * schedules.one_cycle(epoch, params.epochs)
    return params.learning_rate
