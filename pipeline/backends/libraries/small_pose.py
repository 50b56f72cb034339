"""A small pose network of mmpose for crops of one person: RTMPose-t's backbone with heatmaps.

RTMPose gives a position by two lists of cells, for which it looks at all features at once; from
scratch that took a hundred times more examples than two cores render and see in an hour. Heatmaps
say it where the joint is, and learn from far fewer. All of it is mmpose's own.
"""

from __future__ import annotations

from typing import Any

NAME = "cspnext-t_heatmap_256x128"
BASE = "rtmpose-t_8xb256-420e_coco-256x192"  # of the model zoo: backbone, data, joints
INPUT = 128, 256  # pixels, width and height, as the library has it
HEATMAP = 16, 32
SIGMA = 1.5  # cells
CHANNELS = 128  # of what leads from the features to the heatmaps


def adapt(config: Any) -> Any:
    """The config of `BASE` with this network in it; returns the same config."""
    config.codec = {
        "type": "MSRAHeatmap", "input_size": INPUT, "heatmap_size": HEATMAP, "sigma": SIGMA,
        "unbiased": True,
    }  # fmt: skip
    config.model.head = {
        "type": "HeatmapHead", "in_channels": 384, "out_channels": 17,
        "deconv_out_channels": (CHANNELS, CHANNELS), "deconv_kernel_sizes": (4, 4),
        "loss": {"type": "KeypointMSELoss", "use_target_weight": True},
        "decoder": config.codec,
    }  # fmt: skip
    config.model.test_cfg = {"flip_test": True, "flip_mode": "heatmap", "shift_heatmap": True}
    for step in config.test_dataloader.dataset.pipeline:
        if step.type == "TopdownAffine":
            step.input_size = INPUT
    return config
