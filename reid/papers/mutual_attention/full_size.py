"""One stream, and both with mutual attention, on data sets of tracklets."""

from __future__ import annotations

from reid.papers.full_size import FullSize

VIDEO = ("mars", "dukemtmc_video", "ilids_vid", "prid2011")
READ = {"dataset": "{name}", "builds": {"flow": "{name}"}}
MUTUAL = FullSize(
    stages={"flow": {"{name}": {"dataset": "{name}"}}},
    experiments={
        "{name}-one-stream": {**READ, "model": "one_stream", "aggregation": "average"},
        "{name}-mutual": {**READ, "sequence_length": 16},  # of the paper's best numbers
    },
)
FULL_SIZE: dict[str, FullSize] = dict.fromkeys(VIDEO, MUTUAL)
