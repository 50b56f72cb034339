"""The lesson of flow: frames moved besides, and a network that begins such that it can learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.fit import flow
from reid.arrays.flow import Flow
from tests.pipeline.video import texture

pytest.importorskip("ptlflow")
HEIGHT, WIDTH = 64, 64


def pair(seed: int) -> flow.Pair:
    """A frame that does not move."""
    frame = texture(HEIGHT, WIDTH, seed)
    still = Flow(np.zeros((HEIGHT, WIDTH, 2), np.float32), np.ones((HEIGHT, WIDTH), bool))
    return flow.Pair(frame, frame, still)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return flow.network("cpu")


def test_features_begin_without_the_brightness_of_an_image(network):
    kernels = [
        layer.weight for layer in network.feature_net.modules() if isinstance(layer, nn.Conv2d)
    ]
    assert len(kernels) == 10
    for kernel in kernels:
        assert kernel.mean((1, 2, 3)).abs().max() < 1e-6 * kernel.abs().max() + 1e-6
    plain = torch.full((1, 2, 3, HEIGHT, WIDTH), 0.3)
    finest = network.feature_net(plain)[-1]
    noise = torch.randn(plain.shape, generator=torch.Generator().manual_seed(0))
    edges = network.feature_net(plain + 0.1 * noise)[-1]
    middle = (..., slice(12, -12), slice(12, -12))
    assert finest[middle].abs().max() < 1e-3 * edges[middle].std()


def test_smoothing_begins_weak(network):
    random = torch.Generator().manual_seed(0)
    for level, part in enumerate(network.regularization_nets):
        side = 2 ** (level + 2)
        images = torch.rand(1, 2, 3, side, side, generator=random)
        features = torch.rand(1, 2, (192, 128, 96, 64, 32)[level], side, side, generator=random)
        moving = torch.rand(1, 2, side, side, generator=random) - 0.5
        with torch.no_grad():
            smooth = part(images, features, moving)
        near = (slice(None), slice(None), slice(2, -2), slice(2, -2)) if side > 4 else ...
        difference, size = (smooth - moving)[near].abs().mean(), moving.abs().mean()
        assert difference < 0.7 * size, level


def test_a_frame_that_is_moved_has_that_much_more_flow():
    rng = np.random.default_rng(0)
    moved, px, valid = flow._shifted(pair(0).second, *pair(0).flow, rng)
    by = px[0, 0].astype(int)
    assert np.abs(by).max() > 0
    assert (px == px[0, 0]).all()
    rows, columns = np.nonzero(valid)
    assert len(rows) == (HEIGHT - abs(by[1])) * (WIDTH - abs(by[0]))
    np.testing.assert_array_equal(
        moved[rows + by[1], columns + by[0]], pair(0).second[rows, columns]
    )


def test_a_step_has_a_finite_gradient_in_every_part_of_the_levels_that_learn(network):
    rng = np.random.default_rng(1)
    batch = flow.batch([pair(seed) for seed in range(2)], rng)
    for share, finest in ((0.0, False), (0.9, True)):
        network.zero_grad(set_to_none=True)
        flow.loss(network, batch, "cpu", share).backward()
        for nets in (network.matching_nets, network.subpixel_nets, network.regularization_nets):
            for level, part in enumerate(nets):
                gradients = [p.grad for p in part.parameters() if p.grad is not None]
                assert bool(gradients) == (level < 4 or finest)
                assert all(gradient.isfinite().all() for gradient in gradients)
