"""The part network on data sets of single images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from reid.papers.full_size import FullSize

EXPERIMENTS: Mapping[str, Mapping[str, Any]] = {
    "{name}-part-baseline": {"dataset": "{name}", "model": "baseline"},
    "{name}-intra-inter": {"dataset": "{name}", "model": "intra_inter"},
}
PARTS = FullSize(
    stages={
        "joints": {"{name}": {"dataset": "{name}"}},
        "parts": {"{name}": {"dataset": "{name}"}},
    },
    experiments=EXPERIMENTS,
    weights="9 epochs of ImageNet, and without them these train from scratch: run `reid pretrain "
    "attention_driven --root IMAGENET`, and give `weights: PATH`",
)
# By the first of the 20 classic splits, one gallery image a person.
CLASSIC = replace(
    PARTS, experiments={k: {**v, "protocol": "classic-01"} for k, v in EXPERIMENTS.items()}
)
FULL_SIZE: dict[str, FullSize] = {
    "market1501": PARTS,
    "dukemtmc_reid": PARTS,
    "cuhk03_labeled": CLASSIC,
    "cuhk03_detected": CLASSIC,
    "folder": PARTS,
}
