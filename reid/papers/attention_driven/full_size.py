"""The part network on data sets of single images."""

from __future__ import annotations

from reid.papers.full_size import FullSize

STILL = ("market1501", "dukemtmc_reid", "cuhk03_labeled", "cuhk03_detected", "folder")
PARTS = FullSize(
    stages={
        "joints": {"{name}": {"dataset": "{name}"}},
        "parts": {"{name}": {"dataset": "{name}"}},
    },
    experiments={
        "{name}-baseline": {"dataset": "{name}", "model": "baseline"},
        "{name}-intra-inter": {"dataset": "{name}", "model": "intra_inter"},
    },
)
FULL_SIZE: dict[str, FullSize] = dict.fromkeys(STILL, PARTS)
