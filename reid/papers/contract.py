"""What a paper is to everything else: a `Paper`, which is known at once, and its `Method`.

A `Paper` has the parameters, what is read, and the tables; a key is made of it without torch. Its
`Method` has what computes, and is loaded when it is asked for.

`P` are the paper's parameters, `N` is its network. What has a default here is optional.

A paper whose samples are clips of tracklets says so by `clips`: batches are then (B, T, ...) and
samples are numbers of tracklets. One that combines samples has `donors` and `combine`, one that
trains in phases `begin_epoch`, one that trains on more than it tests on `training_columns` and
`training_stages`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

from reid.project.params import Strict

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

    from reid.data.clips import Clips
    from reid.data.dataset import Data
    from reid.data.samplers import Sampler
    from reid.papers.claim import Claim
    from reid.papers.described import Described
    from reid.papers.pretraining import Pretraining
    from reid.papers.table import Table

P = TypeVar("P", bound=Strict)
N = TypeVar("N", bound="nn.Module")

Weights = dict[str, dict[str, "Tensor"]]  # by view and layer, (B, h, w) or (B, P, h, w) each
Pooling = Literal["none", "mean", "max"]


class Donors(Protocol):
    """Draws the row that each sample is combined with."""

    def draw(self, rows: np.ndarray, seed: int) -> np.ndarray:
        """(B,) positions of `rows` to (B,) positions of donors, -1 where a sample stays alone."""
        ...


def _nothing(params: Strict) -> list[str]:
    return []


def _one(params: Strict) -> int:
    return 1


def _rows_alone(params: Strict) -> None:
    return None


def _no_donors(params: Strict, data: Data) -> None:
    return None


def _as_they_are(
    params: Strict, batch: dict[str, Tensor], given: dict[str, Tensor], at: Tensor
) -> dict[str, Tensor]:
    return batch


def _no_phases(
    params: Strict, network: nn.Module, optimizer: torch.optim.Optimizer, epoch: int, done: int
) -> None:
    return None


def _no_maps(network: nn.Module, batch: dict[str, Tensor]) -> Weights:
    return {}


def _nothing_chosen(params: Strict, training: Callable[[list[str]], Data]) -> dict[str, Any]:
    return {}


def _no_weights(params: Strict) -> list[str]:
    return []


def _not_pooled(params: Strict) -> Pooling:
    return "none"


@dataclass(frozen=True, kw_only=True, eq=False)
class Method(Generic[P, N]):
    """All that computes: samples, network, losses, recipe, test."""

    costs: Callable[[], dict[str, list[dict[str, Any]]]]  # titled tables, for `reid summary`
    describe: Callable[[P], Described]  # what an exported network takes and gives

    # A row's image (H, W, 3) uint8 RGB, and the row, as arrays of fixed size without randomness.
    view: Callable[[P, np.ndarray, dict[str, Any]], dict[str, np.ndarray]]
    augment: Callable[[P, dict[str, Tensor], torch.Generator], dict[str, Tensor]]
    # Views of a batch, and the training images' channel means (3,), as the network takes them.
    normalize: Callable[[P, dict[str, Tensor], Tensor], dict[str, Tensor]]

    build: Callable[[P, int], N]  # the network for so many persons
    optimizer: Callable[[P, nn.Module], torch.optim.Optimizer]
    learning_rate: Callable[[P, float], float]  # at a 0-based, possibly fractional epoch
    sampler: Callable[[P, np.ndarray, int], Sampler]  # of targets (N,) and a seed
    # `loss` and what it consists of, of the network's output and targets (B,).
    loss: Callable[[P, Any, Tensor], dict[str, Tensor]]
    training_logits: Callable[[Any], Tensor]  # (B, classes), for the accuracy
    embed: Callable[[N, P, dict[str, Tensor]], Tensor]  # (B, D) test features, in eval mode

    donors: Callable[[P, Data], Donors | None] = _no_donors
    # The batch (B), the donors' samples (S) and the positions (S,) in the batch that they go to.
    combine: Callable[[P, dict[str, Tensor], dict[str, Tensor], Tensor], dict[str, Tensor]] = (
        _as_they_are
    )
    together: Callable[[P], int] = _one  # so many samples side by side go to one device
    # Before an epoch, of which so many batches are done already: what learns from here on.
    begin_epoch: Callable[[P, N, torch.optim.Optimizer, int, int], None] = _no_phases
    feature_parts: Callable[[P], int] = _one  # of a feature, whose distances are added up
    attention_maps: Callable[[N, dict[str, Tensor]], Weights] = _no_maps  # {}: nothing to show
    pretraining: Pretraining[P] | None = None  # on classified images


@dataclass(frozen=True, kw_only=True, eq=False)
class Paper(Generic[P, N]):
    """What a paper is, without torch."""

    name: str  # its section in params.yaml
    params: type[P]
    columns: Callable[[P], list[str]]  # that training and test read
    stages: Callable[[P], list[str]]  # that these columns come from
    test_only: tuple[str, ...]  # parameters that change no training
    tables: Mapping[int | str, Table]  # as printed, by number
    # What may differ from a printed row that still is the row. On the paper's own data sets:
    # weights to start from, and what is chosen for each data set. On rendered worlds, besides,
    # the size and schedule of a small training; a stage's parameter as `flow.backend`.
    left_open: frozenset[str]
    scale: frozenset[str]
    method: Callable[[], Method[P, N]]  # imports what computes

    claims: tuple[Claim, ...] = ()  # what it says of two rows that differ in one thing
    # Of stages that are read, the parameters that make a row, as they are where no row names them.
    built: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    # By reader the stage that makes the paper's data set of the reader's, such as crops of frames.
    made_by: Mapping[str, str] = field(default_factory=dict[str, str])
    # By reader the rule that is tested by, `split-??` for several splits; elsewhere the first.
    protocols: Mapping[str, str] = field(default_factory=dict[str, str])

    # Parameters that are still to be chosen from the data, and their values from training rows,
    # which it gets with the columns that it names.
    left_to_choose: Callable[[P], list[str]] = _nothing
    choose: Callable[[P, Callable[[list[str]], Data]], dict[str, Any]] = _nothing_chosen
    weights: Callable[[P], list[str]] = _no_weights  # files that the network starts from, if any
    training_columns: Callable[[P], list[str]] = _nothing  # null where a stage had nothing
    training_stages: Callable[[P], list[str]] = _nothing
    clips: Callable[[P], Clips | None] = _rows_alone  # which frames; None: samples are rows
    pool: Callable[[P], Pooling] = _not_pooled  # of a passage's features, for the test
