"""What every rendered scene keeps: equal worlds from equal seeds, and truths that agree.

What is particular to a scene (its plan, windows, labels, layouts) is tested beside it.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from pydantic import ValidationError

from pipeline.world.crowd import Rendered
from pipeline.world.scenes import scenes
from reid.arrays.images import decode, decode_depth, decode_mask
from reid.project.errors import ReidError
from tests.pipeline.world.scenes.tiny import SCENES, parts_of, shots_of

IN_ONE_PASS = ("street", "hall")  # whose images have the flow to the next one


@pytest.fixture(params=scenes.SCENES)
def scene(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def shots(scene: str) -> Rendered:
    return shots_of(scene)


def test_two_workers_render_the_same(scene, shots):
    for one, other in zip(shots, SCENES[scene].render(workers=2), strict=True):
        for here, there in zip(one, other, strict=True):
            np.testing.assert_equal(vars(here), vars(there))


def test_another_seed_gives_other_images(scene, shots):
    params = SCENES[scene]
    other = next(params.model_copy(update={"seed": params.seed + 1}).render())
    assert not np.array_equal(other[0].image, shots[0][0].image)


def test_image_mask_depth_and_parts_are_of_one_size(shots):
    for sample, truth in shots:
        size = sample.image.shape[:2]
        assert sample.image.shape == (*size, 3)
        assert sample.encoded is None or decode(sample.encoded).shape == sample.image.shape
        assert decode_depth(truth.depth).shape == size
        np.testing.assert_array_equal(decode_mask(truth.mask), parts_of(truth) > 0)


def test_a_recording_shows_one_image_in_a_frame(scene, shots):
    """In the top view recordings follow each other; elsewhere a camera makes one."""
    frames = Counter(
        (s.camera, s.frame, s.tracklet if scene == "topview" else None) for s, _ in shots
    )
    assert set(frames.values()) == {1}


def test_boxes_hold_the_mask(shots):
    for _, truth in shots:
        rows, columns = np.nonzero(decode_mask(truth.mask))
        if truth.box is None:
            assert rows.size == 0
        elif rows.size:
            x1, y1, x2, y2 = truth.box
            assert x1 - 1 <= columns.min()
            assert columns.max() <= x2 + 1
            assert y1 - 1 <= rows.min()
            assert rows.max() <= y2 + 1


def test_flow_leads_to_the_next_image_of_a_pass(scene, shots):
    for (sample, truth), (following, _) in pairwise(shots):
        same = (sample.person, sample.camera) == (following.person, following.camera)
        leads = same and sample.person > 0 and scene in IN_ONE_PASS
        assert (truth.flow is not None) == leads
    assert shots[-1][1].flow is None


def test_nobody_is_trained_on_and_tested(scene, shots):
    if scene != "topview":  # where everyone passes twice
        trained = {sample.person for sample, _ in shots if sample.role == "train"}
        assert not trained & {sample.person for sample, _ in shots if sample.role != "train"}


def test_ranges_must_be_in_order(scene):
    with pytest.raises(ValidationError, match="must not be below"):
        type(SCENES[scene])(images_min=9, images_max=3)


def test_a_world_of_params_yaml(scene):
    world = {"scene": scene, "layout": "market1501", "things": 3}
    loaded = {"world": {"with": {"seed": 4}, "on": {"a": world}}}
    params = type(SCENES[scene])(things=3, seed=4)
    assert scenes.of_world(loaded, "a") == ("market1501", params)
    world["thing"] = 3
    with pytest.raises(ReidError, match=r"world\.on\.a has no `thing`; did you mean `things`"):
        scenes.of_world(loaded, "a")
