"""The siamese network on pairs of tracklets, with the flow of Lucas and Kanade."""

from __future__ import annotations

from reid.papers.full_size import FullSize

TWO_CAMERAS = ("ilids_vid", "prid2011")
BUILD = "{name}-lucas-kanade"
SIAMESE = FullSize(
    stages={"flow": {BUILD: {"dataset": "{name}", "backend": "lucas_kanade"}}},
    scale={"{name}": {"builds": {"flow": BUILD}}},
    experiments={"{name}-convlstm": {"dataset": "{name}", "builds": {"flow": BUILD}}},
)
FULL_SIZE: dict[str, FullSize] = dict.fromkeys(TWO_CAMERAS, SIAMESE)
