"""Pretraining of a paper's network on classified images: ImageNet, or a rendered crowd."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from pydantic import Field

from reid.project.errors import ReidError
from reid.project.params import Strict

if TYPE_CHECKING:
    from torch import Tensor, nn

WORLD = "world"  # in place of a file: what comes with the package, fitted to a rendered crowd
FOLDER = Path(__file__).parents[1] / "nn" / "world_trunks"
P = TypeVar("P", bound=Strict)


class Recipe(Strict):
    """How the network learns, and how images are changed."""

    epochs: int
    batch: int
    learning_rate: float
    schedule: Literal["steps", "one_cycle"] = "steps"  # one_cycle: up for 0.3 of it, then to zero
    decay: float = 0.1  # steps: the learning rate's factor ...
    decay_epochs: int = 1  # ... after each so many epochs
    shift: int = Field(default=0, ge=0)  # pixels that an image is shifted at most, black beside it
    brightness: float = Field(default=0, ge=0)  # log standard deviation of an image's light
    tint: float = Field(default=0, ge=0)  # and of each of its channels'
    seed: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Pretraining(Generic[P]):
    """What learns, how, and what the paper's network starts from afterwards."""

    recipe: Recipe  # the paper's; where it begins from published weights, that of the crowd
    crowd: Literal["upright", "above"]  # whose persons `reid fit-trunk` fits a small network to
    of_crowd: Recipe  # and how
    fits: tuple[str, ...]  # parameters that the network's layers and channels follow from
    view: str  # of a sample, that the images are normalised as
    size: Callable[[P], tuple[int, int]]  # height and width of the images
    # A network for so many classes: (B, 3, H, W) normalised to predictions (B, classes) each.
    build: Callable[[P, int], nn.Module]
    weights: Callable[[nn.Module], dict[str, Tensor]]  # for the parameter `weights`
    # Parameters of the crowd's network, whose weights begin every model of the paper.
    plain: dict[str, Any] = field(default_factory=dict[str, Any])


def file_of(weights: str, paper: str) -> str:
    """The file that a paper's parameter `weights` names; other words and files as they are."""
    return str(FOLDER / f"{paper}.safetensors") if weights == WORLD else weights


def start_of(params: Any, paper: str) -> str:
    """The same of a network's parameters; loads torch.

    `ReidError` where a trunk's file says that it is of other layers or channels; a file that says
    nothing is not checked.
    """
    from reid.nn.weights import fits_of

    start = file_of(params.weights, paper)
    if params.weights == WORLD and not Path(start).is_file():
        raise ReidError(
            f"weights: no `world` of {paper}; `reid fit-trunk {paper}` makes a file to name"
        )
    told, own = fits_of(Path(start)), params.model_dump(mode="json")
    if any(own.get(name) != value for name, value in told.items()):
        of, wanted = (", ".join(f"{n} {each.get(n)}" for n in told) for each in (told, own))
        raise ReidError(
            f"weights: {params.weights} fits {of}, not {wanted}; use '', or fit your own by `reid "
            f"fit-trunk {paper}`"
        )
    return start
