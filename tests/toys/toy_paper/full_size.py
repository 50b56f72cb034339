"""The toy paper on the toy data set."""

from __future__ import annotations

from reid.papers.full_size import FullSize

FULL_SIZE: dict[str, FullSize] = {
    "toy_persons": FullSize(
        experiments={"{name}-colour": {"dataset": "{name}"}},
        stages={"toy_colour": {"{name}": {"dataset": "{name}"}}},
    )
}
