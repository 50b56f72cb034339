"""The strong baseline on data sets of single images."""

from __future__ import annotations

from reid.papers.full_size import FullSize

STILL = ("market1501", "dukemtmc_reid", "cuhk03_labeled", "cuhk03_detected", "folder")
SMALL = {  # minutes on two cores; nothing is downloaded
    "backbone": "resnet18",
    "channels": [16, 32, 64, 128],
    "weights": "",
    "height": 96,
    "width": 48,
    "pad": 5,
    "schedule": "one_cycle",
    "learning_rate": 0.004,
    "epochs": 30,
    "batch": 64,  # of fewer persons `reid add` writes a smaller one
    "images": 4,
}
STRONG = FullSize(
    experiments={"{name}-strong": {"dataset": "{name}"}},
    small={"{name}": SMALL},
    comments={
        "backbone": "a small network from scratch; for the full size, whose weights are "
        "downloaded, write {} here in place of these",
    },
)
FULL_SIZE: dict[str, FullSize] = dict.fromkeys(STILL, STRONG)
