"""Pretraining of a paper's network on classified images, such as ImageNet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from reid.project.params import Strict

if TYPE_CHECKING:
    from torch import Tensor, nn

P = TypeVar("P", bound=Strict)


class Recipe(Strict):
    """How the network learns: SGD in steps of its learning rate."""

    epochs: int
    batch: int
    learning_rate: float
    decay: float  # the learning rate's factor ...
    decay_epochs: int  # ... after each so many epochs
    seed: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Pretraining(Generic[P]):
    """What learns, how, and what the paper's network starts from afterwards."""

    recipe: Recipe  # the paper's
    size: Callable[[P], tuple[int, int]]  # height and width of the images
    # A network for so many classes: (B, 3, H, W) normalised to predictions (B, classes) each.
    build: Callable[[P, int], nn.Module]
    weights: Callable[[nn.Module], dict[str, Tensor]]  # for the parameter `weights`
