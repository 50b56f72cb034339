"""A tiny world of each scene, rendered once for all tests."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from pipeline.world.crowd import Rendered, Scene
from pipeline.world.scenes import hall, mall, street, topview
from pipeline.world.truth import Truth

SCENES: dict[str, Scene] = {
    "street": street.Params(
        seed=7, train_identities=3, test_identities=2, cameras=3, images_min=2, images_max=3,
        distractor_share=0.4, junk_share=0.3,
    ),
    "mall": mall.Params(
        seed=3, train_identities=4, test_identities=4, training_cameras=2, test_cameras=2,
        images_min=3, images_max=4, distractor_share=0.3, occluder_probability=0.5, things=8,
        truncation_probability=0.2,
    ),
    "hall": hall.Params(
        seed=5, train_identities=3, images_min=6, images_max=9, height=64, width=32,
        occluder_probability=1.0,
    ),
    "topview": topview.Params(
        train_identities=4, images_min=4, images_max=5, gap_min=5, gap_max=9, height=60, width=80,
        people_per_recording=3, occluder_probability=0.6,
    ),
}  # fmt: skip


@cache
def shots_of(scene: str) -> Rendered:
    """All images of a scene with their truth, not to be changed."""
    return list(SCENES[scene].render())


def parts_of(truth: Truth) -> np.ndarray:
    """(H, W) uint8: which part of a body each pixel shows."""
    return cv2.imdecode(np.frombuffer(truth.parts, np.uint8), cv2.IMREAD_UNCHANGED)
