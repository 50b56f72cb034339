"""MAT: colour and depth from above, each weighing the other's places by attention.

Reads   image; `jet`, its depth as a colour image, near blue and far red
Source  Lejbolle et al., Attention in multimodal neural networks for person re-identification,
        CVPR Workshops 2018: equations 2 to 5, tables 1 to 3, figures 3 and 4
Differs where the paper is silent or unclear:
  - CaffeNet pools before it normalises, as published; the paper's sentence has it the other way.
  - the scores of places have 4096 x 169 weights and 169 biases for each modality and layer, four
    times (the paper's N for the number of places is N^2); the maps are those after ReLU.
  - g is a product of two outputs of ReLU, so large that softmax soon leaves one place of a map;
    `joint_normalized` is ours, for maps that weigh several.
  - attention looks at fc6 before dropout; X8 sees fc7 after dropout, as CaffeNet's classifier does.
  - X9 has 4096 values (`fused_width`); X8 and X9 have ReLU and dropout 0.5.
  - RGB_att and D_att are X8 of one modality, read out of MAT (`test_feature`), or a network of its
    own with a classifier on that X8 (`model`: rgb_att, d_att). RGB-D-CNN is MAT without attention:
    one FC layer over both fc7.
  - the two encoders learn at the same time in the first phase, by the sum of their losses, which
    is the same as one after the other, for they share nothing. In the second phase momentum starts
    anew and the encoders' own classifiers are left out.
  - weight decay 5e-4, Caffe's usual, also for biases; all layers have one learning rate.
  - ImageNet's mean colour is taken off both images; without `weights` pixels are best scaled, too
    (`pixel_scale`), and training from scratch is ours, not the paper's. Such a training knows
    nothing of light yet: `brightness` and `tint` change the colour image's at random, and
    `vertical_flip` turns pairs upside down, as from above they may be. The paper's are 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn

from reid.arrays.images import resize
from reid.data.samplers import Sampler, Shuffle, TwoPhases
from reid.nn import schedules
from reid.nn.augment import change_light, crop_at, horizontal_flip, vertical_flip
from reid.papers.multimodal_attention import caffe_weights
from reid.papers.multimodal_attention.caffenet import (
    MEAN_BGR,
    CaffeNet,
    even,
    initialize,
    map_sizes,
    near_zero,
)
from reid.papers.multimodal_attention.place_attention import PlaceAttention, joint_of
from reid.papers.multimodal_attention.printed import TABLES as TABLES
from reid.project.errors import ReidError
from reid.project.params import Strict

VERSION = 1  # raised when the same parameters train another network
COLUMNS = ["image", "jet"]
STAGES = ["jet"]
HEADLINE = "figure-3"  # the table that experiments are shown beside
TEST_ONLY = ("test_feature", "pool", "distance")  # change no training

Modality = Literal["rgb", "depth"]
Phase = Literal["encoders", "whole"]
Layer = Literal["conv1", "conv2", "conv3", "conv4", "conv5"]


class Params(Strict):
    """The paper's numbers; `model` names a curve of figure 3."""

    model: Literal["mat", "rgb_d_cnn", "rgb_att", "d_att", "rgb_cnn", "d_cnn"] = "mat"
    attention_layers: tuple[Layer, ...] = Field(default=("conv4", "conv5"), min_length=1)
    joint_normalized: bool = False  # g with a mean square of one, before places are scored
    resized: int = Field(default=256, ge=67)  # height and width of the images that are cropped
    side: int = Field(default=227, ge=67)  # of the crop
    fused_width: int = Field(default=4096, ge=1)  # values of X9
    width_scale: float = Field(default=1.0, gt=0)  # of every channel count
    pixel_scale: float = Field(default=1.0, gt=0)  # of pixels less their mean; Caffe's is 1
    dropout: float = Field(default=0.5, ge=0, lt=1)
    weights: str = ""  # of CaffeNet, for both encoders: .caffemodel or .safetensors

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


# -- samples ---------------------------------------------------------------------------------


def view(params: Params, image: np.ndarray, row: dict[str, Any]) -> dict[str, np.ndarray]:
    """One (H, W, 3) uint8 RGB image as `rgb`, its `row["jet"]` as `depth`, both (256, 256, 3)."""
    found = {"rgb": image, "depth": row.get("jet")}
    if "depth" in params.modalities and found["depth"] is None:
        raise ReidError(f"{row.get('image_id', 'a row')}: no depth as colour; see the stage `jet`")
    size = params.resized
    return {name: resize(found[name], size, size) for name in params.modalities}


def augment(
    params: Params, batch: dict[str, Tensor], generator: torch.Generator
) -> dict[str, Tensor]:
    """Crop and flip samples (B, 256, 256, 3) to (B, 227, 227, 3); a pair has one draw.

    The crop's offset from the top and from the left is 0 to 29.
    """
    count = len(next(iter(batch.values())))
    offsets = params.resized - params.side + 1
    top, left = torch.randint(offsets, (2, count), generator=generator)
    size = params.side, params.side
    turned = {n: crop_at(image.movedim(-1, -3), top, left, size) for n, image in batch.items()}
    turned = horizontal_flip(turned, generator, params.flip)
    if params.vertical_flip:
        turned = vertical_flip(turned, generator, params.vertical_flip)
    if (params.brightness or params.tint) and "rgb" in turned:
        colour = {"rgb": turned["rgb"]}
        turned |= change_light(colour, generator, params.brightness, params.tint)
    return {name: image.movedim(-3, -1) for name, image in turned.items()}


def normalize(params: Params, batch: dict[str, Tensor], mean: Tensor) -> dict[str, Tensor]:
    """uint8 RGB (B, H, W, 3) to CaffeNet's float BGR (B, 3, 227, 227): pixel - ImageNet's mean.

    Images of another size, which no crop was drawn for, give their centre. `mean`, the training
    images' own, is not used.
    """
    middle = (params.resized - params.side) // 2
    inside = slice(middle, middle + params.side)
    ready = {}
    for name, image in batch.items():
        if image.shape[1] != params.side:
            image = image[:, inside, inside]
        bgr = (image.flip(-1) - mean.new_tensor(MEAN_BGR)) * params.pixel_scale
        ready[name] = bgr.movedim(-1, -3)
    return ready


# -- network ---------------------------------------------------------------------------------


class MultimodalNetwork(nn.Module):
    """An encoder for each modality with a classifier of its own, attention, fusion, classifier.

    `phase` says what `forward` runs: the encoders alone, or all.
    """

    def __init__(self, params: Params, classes: int) -> None:
        super().__init__()
        self.phase: Phase = "whole" if params.two_phases else "encoders"
        self.joint_normalized = params.joint_normalized
        make = {"side": params.side, "width_scale": params.width_scale, "dropout": params.dropout}
        self.encoders: Any = nn.ModuleDict(
            {m: CaffeNet(classes, **make) for m in params.modalities}
        )
        self.attention: Any = nn.ModuleDict()
        self.attended: Any = nn.ModuleDict()
        self.dropout = nn.Dropout(params.dropout)
        width, sizes = even(4096, params.width_scale), map_sizes(params.side)
        places = {layer: sizes[layer] ** 2 for layer in params.attention_layers}
        for m in params.attending:
            maps = [self.encoders[m].get_submodule(layer) for layer in places]
            self.attention[m] = PlaceAttention(width, places)
            self.attended[m] = nn.Linear(width + sum(c.out_channels for c in maps), width)  # X8
        joined = even(params.fused_width, params.width_scale)
        two = len(params.features) == 2
        self.fusion: Any = nn.Linear(2 * width, joined) if two else None  # X9
        self.classifier: Any = None
        if params.two_phases:
            self.classifier = nn.Linear(joined if two else width, classes)
        for part in (self.attended, self.fusion):
            if part is not None:
                initialize(part)
        if self.classifier is not None:
            near_zero(self.classifier)

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Any]:
        """Pairs (B, 3, 227, 227) to `logits`, (B, classes) each, and `features` by name.

        Of the whole: one prediction; `rgb` and `depth` are X8 (without attention fc7), `fused` is
        X9. Of the encoders alone: a prediction each, `rgb` and `depth` are fc7, `fused` is both.
        """
        seen = {m: encoder.features(batch[m]) for m, encoder in self.encoders.items()}
        features = {m: found.fc7 for m, found in seen.items()}  # (B, 4096) each
        if self.phase == "encoders":
            logits = [self.encoders[m].classify(fc7) for m, fc7 in features.items()]
            return {"logits": logits, "features": {"fused": _joined(features), **features}}
        if self.attention:
            joint = self.joint(seen)
            features = {
                m: self._attended(m, seen[m].fc7, attention(joint, seen[m].maps))
                for m, attention in self.attention.items()
            }
        fused = _joined(features)  # (B, 8192); of one modality that one's
        if self.fusion is not None:
            fused = self.fusion(self.dropout(fused)).relu()  # X9 (B, 4096)
        logits = [self.classifier(self.dropout(fused))]
        return {"logits": logits, "features": {"fused": fused, **features}}

    def joint(self, seen: Mapping[str, Any]) -> Tensor:
        """g (B, 4096), what both encoders see."""
        return joint_of(seen["rgb"].fc6, seen["depth"].fc6, normalized=self.joint_normalized)

    def _attended(self, modality: str, fc7: Tensor, places: Tensor) -> Tensor:
        """X8 (B, 4096) of fc7 and of what attention sees in the maps, (B, 640)."""
        return self.attended[modality](torch.cat([self.dropout(fc7), places], 1)).relu()


def _joined(features: Mapping[str, Tensor]) -> Tensor:
    return torch.cat([*features.values()], 1)


def attention_maps(
    network: MultimodalNetwork, batch: dict[str, Tensor]
) -> dict[str, dict[str, Tensor]]:
    """The weights of figure 4 by modality and layer, (B, 13, 13) each, from a normalised batch.

    A map's weights have the sum one. Empty where nothing attends. `network` is in eval mode.
    """
    if not network.attention:
        return {}
    seen = {m: encoder.features(batch[m]) for m, encoder in network.encoders.items()}
    joint = network.joint(seen)
    found: dict[str, dict[str, Tensor]] = {}
    for m, attention in network.attention.items():
        weights = attention.weights(joint)
        found[m] = {la: w.unflatten(1, seen[m].maps[la].shape[2:]) for la, w in weights.items()}
    return found


def build(params: Params, classes: int) -> MultimodalNetwork:
    """The network for `classes` persons; both encoders from `params.weights` where it is given."""
    network = MultimodalNetwork(params, classes)
    if params.weights:
        for encoder in network.encoders.values():
            caffe_weights.load(encoder, Path(params.weights))
    return network


# -- recipe ----------------------------------------------------------------------------------


def sampler(params: Params, targets: np.ndarray, seed: int) -> Sampler:
    """Every pair once an epoch, 128 and then 32 at a time; full batches alone."""
    count = len(targets)
    first, second = (
        Shuffle(count, batch, seed, drop_last=count >= batch)
        for batch in (params.encoder_batch, params.fusion_batch)
    )
    return TwoPhases(first, params.encoder_epochs, second)


def begin_epoch(
    params: Params, network: MultimodalNetwork, optimizer: torch.optim.Optimizer,
    epoch: int, batches_done: int,
) -> None:  # fmt: skip
    """Set what is trained from here on; the second phase starts without momentum.

    What a phase leaves out has no gradient, and so neither moves nor decays. `batches_done` of the
    epoch is more than 0 where a stopped training goes on.
    """
    network.phase = params.phase(epoch)
    if epoch == params.encoder_epochs and batches_done == 0:
        optimizer.state.clear()


def loss(params: Params, output: dict[str, Any], person_index: Tensor) -> dict[str, Tensor]:
    """Cross entropy of the whole network, or the sum of the encoders' own.

    `person_index` (B,): 0 to classes - 1.
    """
    each = [F.cross_entropy(logits, person_index) for logits in output["logits"]]
    return {"loss": torch.stack(each).sum()}


def training_logits(output: dict[str, Any]) -> Tensor:
    """(B, classes): the prediction, or the encoders' mean log-probability."""
    return torch.stack(output["logits"]).log_softmax(-1).mean(0)


def embed(module: nn.Module, params: Params, batch: dict[str, Tensor]) -> Tensor:
    """The test feature of a normalised batch, (B, 4096); `module` is in eval mode."""
    return module(batch)["features"][params.test_feature]


def optimizer(params: Params, module: nn.Module) -> torch.optim.Optimizer:
    """SGD; the trainer sets each step's learning rate by `learning_rate`."""
    return torch.optim.SGD(
        module.parameters(), params.encoder_learning_rate, params.momentum,
        weight_decay=params.weight_decay, fused=True,
    )  # fmt: skip


def learning_rate(params: Params, epoch: float) -> float:
    """The learning rate at a 0-based, possibly fractional `epoch`; each phase has its own."""
    if params.phase(epoch) == "encoders":
        rate, epochs = params.encoder_learning_rate, params.encoder_epochs
    else:
        rate, epochs = params.fusion_learning_rate, params.fusion_epochs
        epoch = epoch - params.encoder_epochs
    if params.schedule == "one_cycle":
        return rate * schedules.one_cycle(epoch, epochs)
    return rate * schedules.steps(epoch, 1, params.decay)
