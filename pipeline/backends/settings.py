"""What backends take from their stage's parameters, by the kind of network."""

from __future__ import annotations

from typing import Protocol


class Network(Protocol):
    """Any network of an outside library."""

    @property
    def model(self) -> str: ...
    @property
    def weights(self) -> str: ...
    @property
    def trusted(self) -> bool: ...


class Detector(Network, Protocol):
    """One that finds people; weaker detections than `person_score` are nobody."""

    @property
    def person_score(self) -> float: ...


class Joints(Detector, Protocol):
    """One that also gives their joints, of images scaled to fit into one size."""

    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...


class Masks(Detector, Protocol):
    """One that also gives their masks, of images scaled between two sides."""

    @property
    def shortest_side(self) -> int: ...
    @property
    def longest_side(self) -> int: ...
    @property
    def mask_threshold(self) -> float: ...
