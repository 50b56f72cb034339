"""How the toy paper is computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from reid.papers.toy_paper.params import Params
from torch import Tensor, nn

from reid.data.samplers import Sampler, Shuffle
from reid.nn.cost import summarize, total_of
from reid.nn.losses import cross_entropy
from reid.papers.contract import Method
from reid.papers.described import Described


class ColourNetwork(nn.Module):
    """One linear layer to the feature, and a classifier."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.feature = nn.Linear(3, width)
        self.classifier = nn.Linear(width, classes)

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """`colour` (B, 3) to `feature` (B, width) and `logits` (B, classes)."""
        feature = self.feature(batch["colour"])
        return {"feature": feature, "logits": self.classifier(feature)}


def costs() -> dict[str, list[dict[str, Any]]]:
    """The network without its classifier."""
    network = build(Params(), classes=1)
    return {"": [total_of(summarize(network.feature, torch.zeros(1, 3))[-1])]}


def describe(params: Params) -> Described:
    colour = "mean red, green and blue of the image, 0 to 255"
    return Described({"colour": colour}, "(colour - mean) / 255", "as it is")


def view(params: Params, image: np.ndarray, row: dict[str, Any]) -> dict[str, np.ndarray]:
    """A row's colour (3,)."""
    return {"colour": np.asarray(row["toy_colour"], np.float32)}


def augment(
    params: Params, batch: dict[str, Tensor], generator: torch.Generator
) -> dict[str, Tensor]:
    """Colours (B, 3) with noise."""
    colour = batch["colour"]
    noise = torch.randn(colour.shape, generator=generator).to(colour.device)
    return {"colour": colour + params.noise * noise}


def normalize(params: Params, batch: dict[str, Tensor], mean: Tensor) -> dict[str, Tensor]:
    return {"colour": (batch["colour"] - mean) / 255}


def build(params: Params, classes: int) -> ColourNetwork:
    return ColourNetwork(params.width, classes)


def optimizer(params: Params, module: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(module.parameters(), params.learning_rate)


def learning_rate(params: Params, epoch: float) -> float:
    return params.learning_rate


def sampler(params: Params, targets: np.ndarray, seed: int) -> Sampler:
    return Shuffle(len(targets), params.batch, seed)


def loss(params: Params, output: dict[str, Tensor], target: Tensor) -> dict[str, Tensor]:
    return {"loss": cross_entropy(output["logits"], target)}


def training_logits(output: dict[str, Tensor]) -> Tensor:
    return output["logits"]


def embed(module: ColourNetwork, params: Params, batch: dict[str, Tensor]) -> Tensor:
    return module(batch)["feature"]


METHOD: Method[Params, ColourNetwork] = Method(
    costs=costs,
    describe=describe,
    view=view,
    augment=augment,
    normalize=normalize,
    build=build,
    optimizer=optimizer,
    learning_rate=learning_rate,
    sampler=sampler,
    loss=loss,
    training_logits=training_logits,
    embed=embed,
)
