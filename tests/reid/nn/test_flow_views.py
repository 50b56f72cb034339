"""Views of flow in batches are the views of single frames, and hold no memory of the others."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from reid.arrays import flow as single
from reid.nn import flow_views

VIEWS = ("colour_wheel", "uv_magnitude", "uv", "two_channel")
LEVEL = {"colour_wheel": 1 / 255, "uv_magnitude": 1e-6, "uv": 1e-6, "two_channel": 0}


def of_frame(view: str, flow_px: np.ndarray, maximum_px: float) -> np.ndarray:
    """(H, W, c) in the units of the batched view."""
    if view == "two_channel":
        return single.two_channel(flow_px).astype(np.float32)
    if view == "colour_wheel":
        return single.colour_wheel(flow_px, maximum_px).astype(np.float32) / 255
    return single.uv_magnitude(flow_px, maximum_px)[..., : 2 if view == "uv" else 3]


def of_batch(view: str, flow_px: torch.Tensor, maximum_px: float) -> torch.Tensor:
    function = getattr(flow_views, view)
    return function(flow_px) if view == "two_channel" else function(flow_px, maximum_px)


@pytest.mark.parametrize("view", VIEWS)
@settings(deadline=None, max_examples=25)
@given(arrays(np.float32, (2, 3, 5, 4, 2), elements=st.floats(-300, 300, width=16)))
def test_clips_are_their_frames(view, clips):
    result = of_batch(view, torch.from_numpy(clips), 7.5).movedim(-3, -1).numpy()
    for clip, frame in np.ndindex(2, 3):
        expected = of_frame(view, clips[clip, frame], 7.5)
        assert result[clip, frame].shape == expected.shape
        assert np.abs(result[clip, frame] - expected).max() <= LEVEL[view]


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        ("colour_wheel", [1, 1, 1]), ("uv_magnitude", [0, 0, 0]), ("uv", [0, 0]),
        ("two_channel", [127, 127]),
    ],
)  # fmt: skip
def test_no_motion(view, expected):
    for zero in (0.0, -0.0):  # mirrored flow has zeros of either sign
        result = of_batch(view, torch.full((2, 3, 2), zero), 5)
        assert result.dtype == torch.float32
        assert result.shape == (len(expected), 2, 3)
        assert result[:, 1, 2].tolist() == expected


def test_channels():
    flow_px = torch.tensor([3.0, -4.0]).reshape(1, 1, 2)  # to the right and up
    assert flow_views.uv(flow_px, 10).flatten().tolist() == pytest.approx([0.3, -0.4])
    assert flow_views.uv_magnitude(flow_px, 10).flatten().tolist() == pytest.approx(
        [0.3, -0.4, 0.5]
    )
    assert flow_views.two_channel(flow_px).flatten().tolist() == [123, 130], "the vertical first"
    red = flow_views.colour_wheel(torch.tensor([10.0, 0]).reshape(1, 1, 2), 10)
    assert red.flatten().tolist() == pytest.approx([1, 0, 0], abs=1e-6)


def test_what_is_faster_than_the_maximum_looks_like_the_maximum():
    slow = torch.tensor([6.0, -8.0]).reshape(1, 1, 2)
    function = flow_views.colour_wheel
    torch.testing.assert_close(function(slow, 10), function(3 * slow, 10))
    assert flow_views.uv_magnitude(3 * slow, 10).flatten().tolist() == [1, -1, 1]


def test_views_keep_their_device_and_number_type():
    flow_px = torch.zeros(1, 1, 2, dtype=torch.float64)
    for view in VIEWS:
        assert of_batch(view, flow_px, 5).dtype == torch.float64


def test_flow_that_is_no_number_is_a_colour_that_is_none():
    found = flow_views.colour_wheel(torch.tensor([[[[float("nan"), 1.0], [0.0, 0.0]]]]), 4)
    assert found[0, :, 0, 0].isnan().all()
    assert found[0, :, 0, 1].tolist() == [1, 1, 1]
