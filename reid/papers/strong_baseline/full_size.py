"""The strong baseline on data sets of single images."""

from __future__ import annotations

from reid.papers.full_size import FullSize

STILL = ("market1501", "dukemtmc_reid", "cuhk03_labeled", "cuhk03_detected", "folder")
STRONG = FullSize(experiments={"{name}-strong": {"dataset": "{name}"}})
FULL_SIZE: dict[str, FullSize] = dict.fromkeys(STILL, STRONG)
