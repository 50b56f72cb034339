"""Frame networks cut after a layer, mutual attention and the gate, against loops over places."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from reid.papers.mutual_attention import two_stream
from reid.project.errors import ReidError


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def random_maps(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("layer", [2, 3, 4, 5])
def test_a_stream_is_its_backbone_cut_after_a_layer(layer):
    torch.manual_seed(0)
    stream = two_stream.Stream(3, "resnet10t", layer=layer, channels=(8, 8, 12, 16)).eval()
    frames = random_maps(2, 3, 64, 32)
    with torch.no_grad():
        middle = stream.before(frames)
        torch.testing.assert_close(stream.after(middle), stream.backbone(frames))
        expected = stream.backbone.forward_intermediates(frames, intermediates_only=True)
    torch.testing.assert_close(middle, expected[layer - 1])
    assert middle.shape == (2, stream.cut_width, 64 // 2**layer, 32 // 2**layer)
    assert stream.map_size(64, 32) == (2, 1)


@pytest.mark.parametrize("squeeze", [False, True], ids=["ResNet-50", "SE-ResNet-50"])
def test_layer_4_at_full_size_is_torchvisions_layer3(squeeze):
    with torch.device("meta"):
        stream = two_stream.Stream(3, squeeze=squeeze, layer=4)
        assert stream.before(torch.zeros(1, 3, 224, 112)).shape == (1, 1024, 14, 7)
        assert stream.before(torch.zeros(1, 3, 256, 128)).shape == (1, 1024, 16, 8)
        assert stream.map_size(224, 112) == (7, 4)
        assert two_stream.Stream(3, last_stride=1).map_size(224, 112) == (14, 7)
    assert stream.width == 2048
    assert stream.first[-1] == "layer3"
    assert any("se_module" in name for name, _ in stream.named_modules()) is squeeze


def test_squeeze_and_excitation_of_a_small_backbone():
    torch.manual_seed(0)
    stream = two_stream.Stream(3, "resnet10t", channels=(8, 8, 12, 16), squeeze=True)
    assert any(name.endswith("se.fc1") for name, _ in stream.named_modules())


def test_a_backbone_without_layers_is_one_clear_error():
    with pytest.raises(ReidError, match="`mobilenetv3_small_050` has no layer1 to layer4"):
        two_stream.Stream(3, "mobilenetv3_small_050")


# -- attention -------------------------------------------------------------------------------


def by_loops(image: np.ndarray, flow: np.ndarray, z: dict[str, tuple[np.ndarray, float]]):
    """M of equations 3 to 5, place by place, from (N, C, h, w) maps and (weights, bias)."""
    count, channels, height, width = image.shape
    found = np.empty((count, 1, height, width))
    for n, i, j in product(range(count), range(height), range(width)):
        salient = {}
        for name, maps in (("image", image), ("flow", flow)):
            weight, bias = z[name]
            total = bias + sum(weight[c] * maps[n, c, i, j] for c in range(channels))
            salient[name] = max(0.0, total)
        rho = salient["image"] * salient["flow"]
        found[n, 0, i, j] = 1 / (1 + math.exp(-rho))
    return found


def kernels(attention: two_stream.MutualAttention):
    found = {}
    for name in ("image", "flow"):
        layer = getattr(attention, name)
        weight = layer.weight.detach().double().numpy().reshape(-1)
        found[name] = (weight, layer.bias.item())
    return found


def test_mutual_attention_place_by_place():
    attention = two_stream.MutualAttention(6)
    for seed, layer in enumerate((attention.image, attention.flow)):
        layer.weight.data = random_maps(1, 6, 1, 1, seed=seed)
        layer.bias.data = torch.tensor([1.0 - seed / 2])
    image, flow = (random_maps(4, 6, 5, 3, seed=seed) / 2 for seed in (5, 6))
    with torch.no_grad():
        found = attention(image, flow)
    expected = by_loops(image.double().numpy(), flow.double().numpy(), kernels(attention))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found.min() == 0.5, "where either stream is silent"
    assert 0.6 < found.max() < 1
    assert 0.2 < float((found == 0.5).float().mean()) < 0.95


def test_mutual_attention_begins_with_the_means_of_channels_and_learns():
    attention = two_stream.MutualAttention(4)
    image, flow = random_maps(2, 4, 3, 3).relu(), random_maps(2, 4, 3, 3, seed=1).relu()
    found = attention(image, flow)
    torch.testing.assert_close(found[:, 0], (image.mean(1) * flow.mean(1)).sigmoid())
    found.sum().backward()
    for layer in (attention.image, attention.flow):
        assert layer.weight.grad is not None
        assert layer.weight.grad.abs().min() > 0


def convolved(maps: np.ndarray, layer: nn.Conv2d) -> np.ndarray:
    """(C, h, w) through a convolution and ReLU, place by place."""
    weight, bias = (p.detach().double().numpy() for p in layer.parameters())
    side, step, pad = weight.shape[-1], layer.stride[0], int(layer.padding[0])
    padded = np.pad(maps, ((0, 0), (pad, pad), (pad, pad)))
    height, width = ((n - side) // step + 1 for n in padded.shape[1:])
    found = np.empty((len(weight), height, width))
    for i, j in product(range(height), range(width)):
        part = padded[:, i * step : i * step + side, j * step : j * step + side]
        found[:, i, j] = np.maximum(0, bias + (weight * part).sum((1, 2, 3)))
    return found


def pooled(maps: np.ndarray) -> np.ndarray:
    height, width = ((n - 3) // 2 + 1 for n in maps.shape[1:])
    places = [
        [maps[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3].max((1, 2)) for j in range(width)]
        for i in range(height)
    ]
    return np.moveaxis(np.array(places), -1, 0)


def resized(grid: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear between centres of places, the edge repeated."""
    found = np.empty((height, width))
    for i, j in product(range(height), range(width)):
        y, x = (
            min(max((at + 0.5) * old / new - 0.5, 0), old - 1)
            for at, old, new in ((i, grid.shape[0], height), (j, grid.shape[1], width))
        )
        top, left = int(y), int(x)
        bottom, right = min(top + 1, grid.shape[0] - 1), min(left + 1, grid.shape[1] - 1)
        b, a = y - top, x - left
        found[i, j] = (1 - b) * ((1 - a) * grid[top, left] + a * grid[top, right]) + b * (
            (1 - a) * grid[bottom, left] + a * grid[bottom, right]
        )
    return found


def test_the_gate_place_by_place():
    torch.manual_seed(0)
    gate = two_stream.Gate(2, (2, 3, 2, 3, 4))
    flow = random_maps(2, 2, 80, 64)
    with torch.no_grad():
        found = gate(flow, (7, 5))
    convolutions = [m for m in gate.layers if isinstance(m, nn.Conv2d)]
    for n in range(2):
        maps = flow[n].double().numpy()
        for i, layer in enumerate(convolutions):
            maps = convolved(maps, layer)
            maps = pooled(maps) if i < 2 else maps
        expected = 1 / (1 + np.exp(-resized(maps.mean(0), 7, 5)))
        np.testing.assert_allclose(found[n, 0], expected, atol=1e-5)
    assert found.min() >= 0.5
    assert found.std() > 1e-3


@pytest.mark.parametrize("inputs", [3, 2])
def test_the_gate_begins_as_torchvisions_alexnet(inputs, monkeypatch: pytest.MonkeyPatch):
    torchvision = pytest.importorskip("torchvision")
    source = torchvision.models.alexnet(weights=None).eval()
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda *a, **k: source.state_dict())
    gate = two_stream.Gate(inputs, (64, 192, 384, 256, 256), "pretrained")
    flow = random_maps(1, inputs, 96, 64)
    with torch.no_grad():
        if inputs == 3:
            maps = source.features[:12](flow).mean(1, keepdim=True)
            torch.testing.assert_close(gate.layers(flow).mean(1, keepdim=True), maps)
        kernel = source.features[0].weight[:, :inputs] * 3 / inputs
    torch.testing.assert_close(gate.layers[0].weight, kernel)


def test_weights_of_the_gate_from_a_file(tmp_path: Path):
    torchvision = pytest.importorskip("torchvision")
    source = torchvision.models.alexnet(weights=None).state_dict()
    torch.save(source, tmp_path / "alexnet.pth")
    gate = two_stream.Gate(3, (64, 192, 384, 256, 256), str(tmp_path / "alexnet.pth"))
    torch.testing.assert_close(gate.layers[10].bias, source["features.10.bias"])
    del source["features.3.bias"]
    torch.save(source, tmp_path / "cut.pth")
    with pytest.raises(ReidError, match=r"cut\.pth: not weights of AlexNet's .* \(lacks 3\.bias\)"):
        two_stream.Gate(3, (64, 192, 384, 256, 256), str(tmp_path / "cut.pth"))


def test_weights_of_the_gate_that_cannot_be_fetched_are_named(monkeypatch: pytest.MonkeyPatch):
    def refuse(*arguments, **options):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    with pytest.raises(ReidError, match=r"gate_weights: .*alexnet.* \(no route to host\).*put it"):
        two_stream.Gate(3, (64, 192, 384, 256, 256), "pretrained")
