"""Layers against plain loops and sizes worked by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from reid.papers.attention_driven.attention import (
    AttentiveBlock,
    Decomposition,
    InterAttention,
    IntraAttention,
    apply_mask,
)
from reid.papers.attention_driven.residual import Bottleneck, ParameterFreeShortcut, stage


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize(
    ("kind", "factor"),
    [
        pytest.param("residual", lambda m: 1 + m, id="residual is (1 + m) a"),
        pytest.param("plain", lambda m: m, id="plain is m a"),
    ],
)
def test_apply_mask(kind, factor):
    feature, mask = torch.randn(2, 3, 4, 5), torch.rand(2, 3, 4, 5)
    weighed = apply_mask(feature, mask, kind)
    values = zip(weighed.flatten(), mask.flatten(), feature.flatten(), strict=True)
    for found, m, a in ([float(v) for v in row] for row in values):
        assert found == pytest.approx(factor(m) * a, abs=1e-6)


@torch.no_grad()
def test_inter_attention_is_a_logistic_weight_per_part():
    layer = InterAttention(parts=4, width=3)
    layer.bias.data = torch.tensor([0.0, -1.0, 0.5, 2.0])
    feature = torch.randn(2, 4, 3)
    weighed, importance = layer(feature), layer.importance(feature)
    for sample in range(2):
        for part in range(4):
            score = float(layer.bias[part])
            for k in range(3):
                score += float(layer.weight[part, k]) * float(feature[sample, part, k])
            mu = 1 / (1 + math.exp(-score))
            assert float(importance[sample, part]) == pytest.approx(mu, abs=1e-6)
            expected = (1 + mu) * feature[sample, part]
            torch.testing.assert_close(weighed[sample, part], expected)


def test_decomposition_is_place_times_channel():
    layer = Decomposition(4, norm=False)
    layer.mix.weight.data = torch.eye(4)[:, :, None, None]  # leave the product as it is
    nn.init.zeros_(layer.mix.bias)
    x = torch.randn(2, 4, 5, 3)
    place = layer.spatial(x)
    channel = torch.einsum("oc,bc->bo", layer.channel.weight[:, :, 0, 0], x.mean((2, 3)))
    channel = channel + layer.channel.bias
    expected = torch.einsum("bhw,bc->bchw", place[:, 0], channel)
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize(
    ("size", "levels", "lowest"),
    [
        pytest.param((48, 24), 2, (12, 6), id="whole body, block 2"),
        pytest.param((24, 12), 1, (12, 6), id="whole body, blocks 3 and 4"),
        pytest.param((24, 24), 2, (6, 6), id="a part, block 2"),
        pytest.param((12, 12), 1, (6, 6), id="a part, blocks 3 and 4"),
        pytest.param((6, 3), 1, (3, 2), id="odd sizes keep their last column"),
        pytest.param((2, 1), 2, (1, 1), id="one pixel"),
    ],
)
@pytest.mark.parametrize("decomposition", [True, False])
def test_intra_attention_sizes(size, levels, lowest, decomposition):
    layer = IntraAttention(4, 8, 1, levels, decomposition).eval()
    reached = []
    layer.down[-1].register_forward_hook(lambda *a: reached.append(tuple(a[2].shape[2:])))
    mask = layer(torch.randn(2, 4, *size))
    assert mask.shape == (2, 8, *size)
    assert reached == [lowest]
    assert 0 < mask.min() < mask.max() < 1


@pytest.mark.parametrize("decomposition", [True, False])
def test_a_mask_without_normalisation_begins_even_and_one_with_it_is_spread(decomposition):
    spread = {}
    for norm in (True, False):
        layer = IntraAttention(4, 8, 1, 1, decomposition, norm)
        layer.start()
        mask = layer(torch.randn(8, 4, 6, 6)).detach()
        spread[norm] = float(mask.std())
        assert float(mask.mean()) == pytest.approx(0.5, abs=0.1)
    assert spread[True] > 0.1
    assert spread[False] == 0


def test_even_masks_are_the_mean_over_places_of_learned_ones():
    learned, even = (IntraAttention(4, 8, 2, 1, even=even).eval() for even in (False, True))
    even.load_state_dict(learned.state_dict())
    x = torch.randn(2, 4, 7, 5)
    mask = learned(x).mean((2, 3), keepdim=True)
    torch.testing.assert_close(even(x), mask.expand(2, 8, 4, 3))
    assert mask.std(1).min() > 0  # channels are still told apart


def test_attentive_block_weighs_its_stage():
    layer = AttentiveBlock(stage(4, 8, 3, 2), IntraAttention(4, 8, 2, 1), "residual").eval()
    x = torch.randn(2, 4, 7, 5)
    assert layer(x).shape == (2, 8, 4, 3)
    torch.testing.assert_close(layer(x), (1 + layer.attention(x)) * layer.stage(x))


@pytest.mark.parametrize("shortcut", ["projection", "parameter_free"])
def test_bottleneck_adds_its_shortcut(shortcut):
    layer = Bottleneck(4, 8, 4, 2, shortcut).eval()
    x = torch.randn(2, 4, 7, 6)
    assert layer(x).shape == (2, 8, 4, 3)
    torch.testing.assert_close(layer(x), (layer.residual(x) + layer.shortcut(x)).relu())


def test_parameter_free_shortcut_pools_and_appends_zeros():
    layer = ParameterFreeShortcut(extra=1, stride=2)
    x = torch.tensor([[[[1.0, 3.0, 5.0], [1.0, 3.0, 7.0], [2.0, 4.0, 9.0]]]])
    expected = torch.tensor([[[[2.0, 6.0], [3.0, 9.0]], [[0.0, 0.0], [0.0, 0.0]]]])
    torch.testing.assert_close(layer(x), expected)
    assert not list(layer.parameters())


def test_a_unit_of_equal_sizes_has_an_identity_shortcut():
    assert isinstance(Bottleneck(8, 8, 4).shortcut, nn.Identity)
    with pytest.raises(ValueError, match="8 to 4"):
        Bottleneck(8, 4, 4, 1, "parameter_free")


def test_stage_strides_once():
    units = stage(4, 8, 3, 2)
    heights = [
        unit(torch.randn(1, unit.residual[0][0].in_channels, 8, 8)).shape[2] for unit in units
    ]
    assert heights == [4, 8, 8]
