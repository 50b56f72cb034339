"""The frame network's input beside NumPy, its crops by slices, its maps and where they lie."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reid.papers.attentive_convlstm.frame_cnn import (
    FrameCNN,
    cut,
    map_sizes,
    on_pixels,
    standardized,
)

RED_TO_YUV = (0.299, -0.14713, 0.615)


def frames(clips=2, count=3, height=16, width=12) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = (clips, count, height, width)
    image = torch.randint(256, (*shape, 3), generator=generator).byte()
    return image, 5 * torch.randn((*shape, 2), generator=generator)


# -- standardising ---------------------------------------------------------------------------


def by_numpy(image: np.ndarray, flow_px: np.ndarray, root: str) -> np.ndarray:
    """One frame (h, w, 3) and (h, w, 2) to (5, h, w)."""
    r, g, b = np.moveaxis(image.astype(np.float64) / 255, -1, 0)
    channels = [
        0.299 * r + 0.587 * g + 0.114 * b,
        -0.14713 * r - 0.28886 * g + 0.436 * b,
        0.615 * r - 0.51499 * g - 0.10001 * b,
        flow_px[..., 0] / 255,
        flow_px[..., 1] / 255,
    ]
    found = []
    for channel in channels:
        std = np.sqrt(((channel - channel.mean()) ** 2).sum() / (channel.size - 1))
        found.append((channel - channel.mean()) / (np.sqrt(std) if root == "sqrt" else std))
    return np.stack(found)


@pytest.mark.parametrize("root", ["sqrt", "std"])
def test_each_channel_of_each_frame_is_standardised_by_itself(root):
    image, flow = frames()
    found = standardized(image, flow, root)
    assert found.shape == (2, 3, 5, 16, 12)
    for b, t in np.ndindex(2, 3):
        expected = by_numpy(image[b, t].numpy(), flow[b, t].numpy().astype(np.float64), root)
        np.testing.assert_allclose(found[b, t], expected, rtol=1e-4, atol=1e-5)


def test_a_channel_without_contrast_is_zero():
    image, flow = frames()
    image[0, 1], flow[0, 1], flow[1, 0, ..., 0] = 200, 0.0, 3.7
    found = standardized(image, flow)
    assert torch.isfinite(found).all()
    assert not found[0, 1].any()
    assert not found[1, 0, 3].any()
    assert found[1, 0, 4].any()


def test_the_least_contrast_is_contrast():
    image, flow = torch.full((1, 1, 64, 48, 3), 100).byte(), torch.zeros(1, 1, 64, 48, 2)
    image[..., 5, 5, :] += 1  # one gray level in one pixel
    flow[..., 7, 7, 1] = 0.25
    found = standardized(image, flow, "std")[0, 0]
    assert [bool(channel.any()) for channel in found] == [True, False, False, False, True]
    assert float(found[0, 5, 5]) == pytest.approx(np.sqrt(64 * 48), rel=0.01)


# -- crops -----------------------------------------------------------------------------------


def sliced(clip: np.ndarray, top: int, left: int, flip: int, size: tuple[int, int]) -> np.ndarray:
    """One clip (T, 5, h, w): flipped, cut, each frame less its mean."""
    if flip:
        clip = clip[..., ::-1].copy()
        clip[:, 3] = -clip[:, 3]
    inside = clip[:, :, top : top + size[0], left : left + size[1]]
    return np.stack([frame - frame.mean() for frame in inside])


def test_crops_by_slices():
    torch.manual_seed(0)
    whole, size = torch.randn(6, 3, 5, 16, 12), (11, 6)
    windows = [(0, 0, 0), (5, 6, 0), (2, 4, 1), (5, 0, 1), (0, 6, 1), (3, 3, 0)]
    found = cut(whole, torch.tensor(windows), size)
    for clip, window, crop in zip(whole.numpy(), windows, found, strict=True):
        np.testing.assert_allclose(crop, sliced(clip, *window, size), atol=1e-6)


# -- layers ----------------------------------------------------------------------------------


def test_maps_have_the_published_sizes():
    assert map_sizes(56, 40) == [(30, 22), (17, 13), (10, 8)]
    x, seen = torch.zeros(2, 5, 56, 40), []
    for layer in FrameCNN():
        x = layer(x)
        seen.append(tuple(x.shape[1:]))
    assert seen[2::3] == [(16, 30, 22), (32, 17, 13), (32, 10, 8)]


@pytest.mark.parametrize("size", [(8, 8), (13, 9), (28, 20), (27, 33)])
def test_map_sizes_of_other_frames(size):
    x, sizes = torch.zeros(1, 5, *size), []
    for layer in FrameCNN((2, 3, 4)):
        x = layer(x)
        if isinstance(layer, torch.nn.MaxPool2d):
            sizes.append(tuple(x.shape[2:]))
    assert map_sizes(*size) == sizes


def test_a_layer_pads_convolves_squashes_and_pools():
    torch.manual_seed(0)
    layers = [*FrameCNN((2, 1, 1))][:3]
    x = torch.randn(1, 5, 6, 4)
    with torch.no_grad():
        found = torch.nn.Sequential(*layers)(x)[0].numpy()
    padded = np.pad(x[0].numpy(), ((0, 0), (4, 4), (4, 4)))
    weight, bias = (parameter.detach().numpy() for parameter in layers[0].parameters())
    for o, row, column in np.ndindex(2, 5, 4):
        values = []
        for y, z in ((2 * row + dy, 2 * column + dx) for dy in (0, 1) for dx in (0, 1)):
            window = padded[:, y : y + 5, z : z + 5]
            values.append(np.tanh((weight[o] * window).sum() + bias[o]))
        assert found[o, row, column] == pytest.approx(max(values), rel=1e-4)


# -- where places lie ------------------------------------------------------------------------


def middle_of_what_is_seen(row: int, size=(56, 40)) -> float:
    """The middle row of the pixels that a place of the last maps sees, by what reaches it."""
    network = FrameCNN((1, 1, 1))
    rows = []
    with torch.no_grad():
        for y in range(size[0]):
            x = torch.zeros(1, 5, *size)
            x[:, :, y] = torch.nan
            if network(x)[0, 0, row, 4].isnan():
                rows.append(y)
    return (rows[0] + rows[-1]) / 2


@pytest.mark.parametrize("row", [4, 5])  # of which all is seen
def test_a_place_lies_in_the_middle_of_what_it_sees(row):
    places = torch.zeros(1, 1, 10, 8)
    places[0, 0, row, 4] = 1
    shown = on_pixels(places, (56, 40), (0, 0))[0, 0].numpy()
    weights = shown.sum(1) / shown.sum()
    assert float((weights * np.arange(56)).sum()) == pytest.approx(middle_of_what_is_seen(row))


def test_places_of_a_crop_lie_at_its_corner():
    torch.manual_seed(0)
    places = torch.rand(2, 3, 10, 8)
    whole = on_pixels(places, (64, 48), (4, 6))
    assert whole.shape == (2, 3, 64, 48)
    crop = on_pixels(places, (56, 40), (0, 0))
    torch.testing.assert_close(whole[:, :, 4:60, 6:46], crop)
    assert (on_pixels(places, (120, 90), (30, 30))[:, :, :10] != 0).all()  # the edge goes on
