"""The strong baseline without and with swaps, on RAP."""

from __future__ import annotations

from reid.papers.full_size import FullSize

READ = {"dataset": "{name}", "builds": {"backgrounds": "{name}"}}
SWAPS = FullSize(
    stages={
        "masks": {"{name}": {"dataset": "{name}"}},
        "backgrounds": {"{name}": {"dataset": "{name}"}},
    },
    experiments={
        "{name}-no-swaps": {**READ, "swap_probability": 0},
        "{name}-full-body": {**READ, "swap_probability": 0.3},
    },
)
FULL_SIZE: dict[str, FullSize] = {"rap": SWAPS}
