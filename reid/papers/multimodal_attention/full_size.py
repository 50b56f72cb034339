"""Networks of colour and depth, over whole frames from above and over crops of them."""

from __future__ import annotations

from reid.papers.full_size import FullSize

FRAMES = {"dataset": "{name}", "rows": "1-shards/{name}"}
CROPS = {"dataset": "crops/{name}", "rows": "2-derived/crops/{name}"}
OF_FRAMES = {**FRAMES, "builds": {"jet": "{name}"}}
OF_CROPS = {**CROPS, "builds": {"jet": "{name}-crops"}}
WEIGHTS = "CaffeNet's published weights: give `weights: PATH` (.caffemodel or .safetensors)"

WHOLE_FRAMES = FullSize(
    stages={"jet": {"{name}": FRAMES}},
    experiments={
        "{name}-rgb-d": {**OF_FRAMES, "model": "rgb_d_cnn"},
        "{name}-mat": {**OF_FRAMES, "model": "mat"},
    },
    weights=WEIGHTS,
)
TVPR = FullSize(
    stages={
        "crops": {"{name}": {"dataset": "{name}"}},
        "jet": {"{name}": FRAMES, "{name}-crops": CROPS},
    },
    scale={
        "{name}": {"pool": "max"},  # of a passage's images, where the paper's mean is of others
        "crops/{name}": {"pool": "max", "builds": {"jet": "{name}-crops"}},  # rows of tables too
    },
    experiments={
        "{name}-rgb-d-full-frames": {**OF_FRAMES, "model": "rgb_d_cnn"},
        "{name}-rgb-d": {**OF_CROPS, "model": "rgb_d_cnn"},
        "{name}-mat": {**OF_CROPS, "model": "mat"},
    },
    weights=WEIGHTS,
)
FULL_SIZE: dict[str, FullSize] = {"tvpr": TVPR, "dpit": WHOLE_FRAMES, "opr": WHOLE_FRAMES}
