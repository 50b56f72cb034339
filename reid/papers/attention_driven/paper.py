"""Attention-driven part network: a whole body and four parts, weighed inside and between.

Reads   image; `parts`, the boxes of the whole body and of head, upper body, upper and lower leg
Source  Yang et al., Attention driven person re-identification, Pattern Recognition 2019
        (arXiv:1810.05866): table 1 (layers), eq. 5 to 8 (attention), section 4 (recipe)
Differs where the paper is silent or unclear:
  - shortcuts are projections, which train well; parameter-free ones (pooling and zero channels)
    give the paper's 6.8 M and 10.4 M parameters. The stride is in a unit's first 1x1 convolution.
    Table 12's multiply-adds (2.26 G) do not follow from table 1's strides (2.01 G); their growth
    by intra-attention (0.43 G and 3.6 M parameters) does.
  - Conv1, the one shared layer, has its own batch normalisation for the whole body and for parts.
  - intra-attention: a residual unit to the block's output size (middle a quarter, parameter-free
    shortcut), one unit a level down and up, skips by sum; the mask comes from a 3x3 convolution
    to one map times a 1x1 convolution of the channel means, a 1x1 convolution and a sigmoid.
  - the reduced features (256 and 128) have no ReLU, and no normalisation unless `feature_norm`
    asks for it.
  - "FC fusion" is a fully connected layer over the four joined parts.
  - fusion at test only ("Concatenation", also Baseline, Aligned and Intra): trained by the five
    branch losses alone, each with weight 1; the accuracy then counts the branches' mean vote.
  - the whole and the parts' feature are normalised separately before they are joined for the
    test; the distance is cosine.
  - momentum 0.9, weight decay 5e-4, horizontal flips; pixels are divided by 255 after the mean
    is taken off, which batch normalisation undoes. Boxes beyond the image repeat its edge.
  - no pretraining on ImageNet unless `weights` names a file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from reid.arrays.images import crop
from reid.arrays.poses import strips
from reid.data.samplers import Sampler, Shuffle
from reid.nn import schedules
from reid.nn.augment import horizontal_flip
from reid.nn.weights import fill, read_state
from reid.papers.attention_driven.attention import (
    AttentiveBlock,
    InterAttention,
    IntraAttention,
    Mask,
)
from reid.papers.attention_driven.printed import TABLES as TABLES
from reid.papers.attention_driven.residual import Shortcut, stage
from reid.project.errors import ReidError
from reid.project.params import Strict

VERSION = 2  # raised when the same parameters train another network
COLUMNS = ["image", "parts"]
STAGES = ["parts"]
HEADLINE = 6  # the table that experiments are shown beside
PARTS = ("head", "upper_body", "upper_leg", "lower_leg")
TEST_ONLY = ("test_feature", "normalize_features", "distance")  # change no training

Fusion = Literal["inter", "fc", "concatenation", "test_only"]


class Params(Strict):
    """The paper's numbers; `model` names a row of table 6."""

    model: Literal["baseline", "aligned", "intra", "inter", "intra_inter"] = "intra_inter"
    fusion: Fusion | None = None  # of the parts; null: inter-attention where `model` has it
    shortcut: Shortcut = "projection"
    mask: Mask = "residual"  # eq. 7; plain: eq. 5
    decomposition: bool = True  # of the mask into a place's and a channel's weight
    inter_global: bool = False  # weigh the whole body's feature too (with inter-attention)
    height: int = Field(default=384, ge=32)  # pixels of the whole body
    width: int = Field(default=192, ge=32)
    part_height: int = Field(default=96, ge=16)
    part_width: int = Field(default=192, ge=32)
    width_scale: float = Field(default=1.0, gt=0)  # of every channel count
    feature_norm: bool = False  # batch normalisation of the reduced features
    dropout: float = Field(default=0.5, ge=0, lt=1)  # before each prediction
    weights: str = ""  # a state dict of this network to start from; its classifiers are left out

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
    normalize_features: bool = True  # whole and parts to length 1 each before they are joined
    distance: Literal["cosine", "euclidean"] = "cosine"

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
        """`count` at this width: a multiple of 4, as intra-attention quarters it."""
        return 4 * max(1, round(count * self.width_scale / 4))


# -- samples ---------------------------------------------------------------------------------


def view(params: Params, image: np.ndarray, row: dict[str, Any]) -> dict[str, np.ndarray]:
    """One (H, W, 3) uint8 RGB image as `whole` (h, w, 3) and `parts` (4, part h, part w, 3).

    `row["parts"]` (5, 4) is x1, y1, x2, y2 of the whole body and the parts. The baseline takes
    the whole image and four equal strips instead.
    """
    if params.model == "baseline":
        height, width = image.shape[:2]
        boxes = strips(np.array([height]), np.array([width]))[0]
    elif row.get("parts") is None:
        raise ReidError(f"{row.get('image_id', 'a row')}: no part boxes; see the stage `parts`")
    else:
        boxes = np.array([list(box) for box in row["parts"]], np.float32)
    parts = [crop(image, box, params.part_height, params.part_width) for box in boxes[1:]]
    return {"whole": crop(image, boxes[0], params.height, params.width), "parts": np.stack(parts)}


def augment(
    params: Params, batch: dict[str, Tensor], generator: torch.Generator
) -> dict[str, Tensor]:
    """Flip samples (B, ..., W, 3) left to right; the whole body and its parts share one draw."""
    images = {name: view.movedim(-1, -3) for name, view in batch.items()}
    flipped = horizontal_flip(images, generator, params.flip)
    return {name: image.movedim(-3, -1) for name, image in flipped.items()}


def normalize(params: Params, batch: dict[str, Tensor], mean: Tensor) -> dict[str, Tensor]:
    """uint8 (B, ..., H, W, 3) to float (B, ..., 3, H, W): (pixel - mean) / 255.

    `mean` (3,): the training images' channel means, 0 to 255. Memory stays channels-last.
    """
    return {name: ((view - mean) / 255).movedim(-1, -3) for name, view in batch.items()}


# -- network ---------------------------------------------------------------------------------


class Branch(nn.Module):
    """Conv2x to Conv5x, the mean over places and the reduced feature of one region."""

    def __init__(
        self, params: Params, outputs: tuple[int, ...], pool_stride: tuple[int, int], feature: int
    ) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(3, pool_stride, 1)
        widths = [params.channels(c) for c in outputs]
        inputs = [params.channels(32), *widths[:-1]]
        self.conv2 = stage(inputs[0], widths[0], 3, 1, params.shortcut)
        self.conv3 = _block(params, inputs[1], widths[1], stride=2, levels=2)
        self.conv4 = _block(params, inputs[2], widths[2], stride=2, levels=1)
        self.conv5 = _block(params, inputs[3], widths[3], stride=1, levels=1)
        width = params.channels(feature)
        self.reduce = nn.Linear(widths[3], width)
        self.norm = nn.BatchNorm1d(width) if params.feature_norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, 32, H, W) after Conv1 to (B, 256) or (B, 128); sizes of the paper's images beside."""
        x = self.conv2(self.pool(x))  # (B, 64, 96, 48), a part (B, 32, 48, 48)
        x = self.conv3(x)  # (B, 128, 48, 24), a part (B, 64, 24, 24); masks down to 12x6 and 6x6
        x = self.conv4(x)  # (B, 256, 24, 12), a part (B, 128, 12, 12); as above
        x = self.conv5(x)  # (B, 512, 24, 12), a part (B, 256, 12, 12); as above
        return self.norm(self.reduce(x.mean((2, 3))))


def _block(params: Params, inputs: int, outputs: int, stride: int, levels: int) -> nn.Module:
    block = stage(inputs, outputs, 3, stride, params.shortcut)
    if not params.intra:
        return block
    attention = IntraAttention(inputs, outputs, stride, levels, params.decomposition)
    return AttentiveBlock(block, attention, params.mask)


class PartNetwork(nn.Module):
    """Conv1 for all, a branch for the whole body and one for each part, their fusion."""

    def __init__(self, params: Params, classes: int) -> None:
        super().__init__()
        stem, feature = params.channels(32), params.channels(128)
        self.conv1 = nn.Conv2d(3, stem, 3, 2, 1, bias=False)
        self.norm_whole, self.norm_parts = nn.BatchNorm2d(stem), nn.BatchNorm2d(stem)
        self.whole = Branch(params, (64, 128, 256, 512), (2, 2), 256)
        self.parts = nn.ModuleList(Branch(params, (32, 64, 128, 256), (1, 2), 128) for _ in PARTS)
        self.joined = params.joined
        self.inter = InterAttention(len(PARTS), feature) if self.joined == "inter" else None
        self.inter_whole = (
            InterAttention(1, params.channels(256)) if self.inter and params.inter_global else None
        )
        self.fc = nn.Linear(4 * feature, 4 * feature) if self.joined == "fc" else None
        widths = [params.channels(256), *[feature] * 4]
        fused = [] if self.joined == "test_only" else [sum(widths)]
        self.classifiers = nn.ModuleList(
            nn.Sequential(nn.Dropout(params.dropout), nn.Linear(width, classes))
            for width in widths + fused
        )
        _initialize(self)

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Any]:
        """`whole` (B, 3, h, w) and `parts` (B, 4, 3, h, w) to features and predictions.

        `logits`: (B, classes) of the whole body, of each part and, where there is one, of the
        fused feature. `global` (B, 256), `part` (B, 4, 128) and `local` (B, 512) are the features
        as they are fused.
        """
        whole = self.whole(self.norm_whole(self.conv1(batch["whole"])).relu())  # (B, 256)
        stacked = self.conv1(batch["parts"].transpose(0, 1).flatten(0, 1))  # (4 * B, 32, h, w)
        regions = self.norm_parts(stacked).relu().unflatten(0, (len(PARTS), -1)).unbind()
        part = torch.stack([f(x) for f, x in zip(self.parts, regions, strict=True)], 1)
        branches = [whole, *part.unbind(1)]
        if self.inter is not None:
            part = self.inter(part)  # (B, 4, 128)
        if self.inter_whole is not None:
            whole = self.inter_whole(whole[:, None])[:, 0]
        local = part.flatten(1) if self.fc is None else self.fc(part.flatten(1))  # (B, 512)
        if self.joined != "test_only":
            branches.append(torch.cat([whole, local], 1))  # (B, 768)
        logits = [c(x) for c, x in zip(self.classifiers, branches, strict=True)]
        return {"logits": logits, "global": whole, "part": part, "local": local}


def _initialize(module: nn.Module) -> None:
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    for layer in module.modules():
        if isinstance(layer, IntraAttention):
            layer.start_even()


def build(params: Params, classes: int) -> PartNetwork:
    """The network for `classes` persons, from `params.weights` where that names a file."""
    module = PartNetwork(params, classes)
    if params.weights:
        _start_from(module, Path(params.weights))
    return module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def _start_from(module: nn.Module, path: Path) -> None:
    if not path.is_file():
        raise ReidError(f"{path}: no such file; `weights` names a state dict of this network")
    state = read_state(path)
    kept = {name: value for name, value in state.items() if not name.startswith("classifiers.")}
    fill(module, kept, path, "attention_driven", own=("classifiers.", "inter."))


# -- recipe ----------------------------------------------------------------------------------


def sampler(params: Params, targets: np.ndarray, seed: int) -> Sampler:
    """Every image once an epoch; a last batch that is not full is left out."""
    return Shuffle(len(targets), params.batch, seed, drop_last=len(targets) >= params.batch)


def loss(params: Params, output: dict[str, Any], person_index: Tensor) -> dict[str, Tensor]:
    """Cross entropies: lambda times the sum over the five branches, and that of the fused feature.

    `person_index` (B,): 0 to classes - 1. Without a fused prediction the branches' weight is 1.
    """
    each = [F.cross_entropy(logits, person_index) for logits in output["logits"]]
    branches = torch.stack(each[:5]).sum()
    if len(each) == 5:
        return {"loss": branches, "branches": branches.detach()}
    fused = each[5]
    total = params.loss_weight * branches + fused
    return {"loss": total, "branches": branches.detach(), "fused": fused.detach()}


def training_logits(output: dict[str, Any]) -> Tensor:
    """(B, classes): the fused prediction, else the branches' mean log-probability."""
    if len(output["logits"]) > 5:
        return output["logits"][5]
    return torch.stack(output["logits"]).log_softmax(-1).mean(0)


def embed(module: nn.Module, params: Params, batch: dict[str, Tensor]) -> Tensor:
    """The test feature of a normalised batch, (B, 768) by default; `module` is in eval mode."""
    output = module(batch)
    if params.test_feature in PARTS:
        return output["part"][:, PARTS.index(params.test_feature)]
    if params.test_feature != "fused":
        return output["global" if params.test_feature == "global" else "local"]
    features = [output["global"], output["local"]]
    if params.normalize_features:
        features = [F.normalize(feature, dim=1) for feature in features]
    return torch.cat(features, 1)


def optimizer(params: Params, module: nn.Module) -> torch.optim.Optimizer:
    """SGD; the trainer sets each step's learning rate by `learning_rate`."""
    return torch.optim.SGD(
        module.parameters(), params.learning_rate, params.momentum,
        weight_decay=params.weight_decay, fused=True,
    )  # fmt: skip


def learning_rate(params: Params, epoch: float) -> float:
    """The learning rate at a 0-based, possibly fractional `epoch`."""
    if params.schedule == "one_cycle":
        return params.learning_rate * schedules.one_cycle(epoch, params.epochs)
    return params.learning_rate * schedules.steps(epoch, params.decay_epochs, params.decay)
