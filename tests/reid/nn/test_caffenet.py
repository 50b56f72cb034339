"""CaffeNet and its published weights: each tensor in its layer, and OpenCV's own forward pass."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

from reid.nn import caffe_weights
from reid.nn.caffenet import (
    MEAN_BGR,
    CaffeNet,
    LocalResponseNorm,
    even,
    map_sizes,
)
from reid.project.errors import ReidError

SMALL = {"width_scale": 1 / 16, "side": 131}
SHAPES = {  # of the published network, as Caffe stores them
    "conv1": (96, 3, 11, 11),
    "conv2": (256, 48, 5, 5),
    "conv3": (384, 256, 3, 3),
    "conv4": (384, 192, 3, 3),
    "conv5": (256, 192, 3, 3),
    "fc6": (4096, 9216),
    "fc7": (4096, 4096),
    "fc8": (1000, 4096),
}


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


# -- a .caffemodel, written by hand ----------------------------------------------------------


def varint(number: int) -> bytes:
    low, high = number & 127, number >> 7
    return bytes([low | 128]) + varint(high) if high else bytes([low])


def field(number: int, value: bytes | int) -> bytes:
    """One protobuf field: a number, or bytes of a string, a message or packed values."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def blob(values: np.ndarray, old: bool) -> bytes:
    data = field(5, values.astype("<f4").tobytes())
    if old:  # always four sizes: num, channels, height, width
        shape = (1,) * (4 - values.ndim) + values.shape
        return b"".join(field(i, size) for i, size in enumerate(shape, 1)) + data
    dims = b"".join(varint(size) for size in values.shape)
    return field(7, field(1, dims)) + data


def caffemodel(path: Path, layers: dict[str, list[np.ndarray]], old: bool = False) -> Path:
    """Weights by layer; `old`: the first format with `layers`, in which BVLC's file is."""
    parts = [field(1, b"CaffeNet")]
    for name, values in layers.items():
        blobs = [blob(v, old) for v in values]
        if old:
            kind = 4 if name.startswith("conv") else 14
            message = field(4, name.encode()) + field(5, kind)
            parts.append(field(2, message + b"".join(field(6, b) for b in blobs)))
        else:
            kind = b"Convolution" if name.startswith("conv") else b"InnerProduct"
            message = field(1, name.encode()) + field(2, kind)
            parts.append(field(100, message + b"".join(field(7, b) for b in blobs)))
    path.write_bytes(b"".join(parts))
    return path


def random_layers(network: nn.Module, seed: int = 0) -> dict[str, list[np.ndarray]]:
    """A weight and a bias for each layer, of a size that keeps activations near one."""
    random = np.random.default_rng(seed)
    blobs = {}
    for name, layer in network.named_children():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            shape = tuple(layer.weight.shape)
            weight = random.normal(0, np.prod(shape[1:]) ** -0.5, shape)
            blobs[name] = [weight.astype(np.float32), random.normal(0, 0.2, shape[0])]
    return blobs


def test_protobuf_numbers_are_those_of_the_format():
    assert varint(1) == b"\x01"
    assert varint(300) == b"\xac\x02"
    assert field(1, 150) == b"\x08\x96\x01"
    assert field(2, b"testing") == b"\x12\x07testing"


# -- the network -----------------------------------------------------------------------------


def test_layers_of_the_published_network():
    with torch.device("meta"):
        network = CaffeNet(1000)
    assert {n: tuple(network.get_parameter(f"{n}.weight").shape) for n in SHAPES} == SHAPES
    assert [network.get_submodule(f"conv{i}").groups for i in range(1, 6)] == [1, 2, 1, 2, 2]
    encoder = sum(p.numel() for n, p in network.named_parameters() if "fc8" not in n)
    assert encoder == 56_868_224  # 34,944 + 307,456 + 885,120 + 663,936 + 442,624 + FC layers


def test_maps_of_the_published_network():
    with torch.device("meta"):
        result = CaffeNet(0).features(torch.zeros(2, 3, 227, 227))
    shapes = {name: tuple(x.shape[1:]) for name, x in result.maps.items()}
    assert shapes == {
        "conv1": (96, 55, 55), "conv2": (256, 27, 27), "conv3": (384, 13, 13),
        "conv4": (384, 13, 13), "conv5": (256, 13, 13),
    }  # fmt: skip
    assert result.fc6.shape == result.fc7.shape == (2, 4096)


@pytest.mark.parametrize("side", [67, 80, 99, 115, 131, 200, 227, 260])
def test_map_sizes_are_those_that_come_out(side):
    network = CaffeNet(3, side=side, width_scale=1 / 48)
    result = network.features(torch.zeros(1, 3, side, side))
    sizes = map_sizes(side)
    assert {n: x.shape[-1] for n, x in result.maps.items()} == {n: sizes[n] for n in result.maps}
    assert network(torch.zeros(1, 3, side, side)).shape == (1, 3)


def test_outputs_any_number_or_none():
    image = torch.randn(2, 3, 131, 131)
    network = CaffeNet(0, **SMALL).eval()
    torch.testing.assert_close(network(image), network.features(image).fc7)
    assert CaffeNet(7, **SMALL)(image).shape == (2, 7)


@pytest.mark.parametrize(
    ("scale", "counts"), [(1, (96, 4096)), (0.25, (24, 1024)), (0.01, (2, 40)), (0.33, (32, 1352))]
)
def test_counts_are_even(scale, counts):
    assert (even(96, scale), even(4096, scale)) == counts


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_response_normalisation_by_a_loop(memory):
    image = 100 * torch.randn(2, 7, 3, 4, dtype=torch.float64)
    result = LocalResponseNorm()(image.to(memory_format=memory))
    for channel in range(7):
        near = [c for c in range(channel - 2, channel + 3) if 0 <= c < 7]
        squares = torch.stack([image[:, c] ** 2 for c in near]).sum(0)
        expected = image[:, channel] / (1 + 1e-4 / 5 * squares) ** 0.75
        torch.testing.assert_close(result[:, channel], expected)


def test_dropout_only_while_training():
    network, image = CaffeNet(4, **SMALL), torch.randn(1, 3, 131, 131)
    assert torch.equal(network.eval()(image), network(image))
    network.train()
    one, two = network.features(image), network.features(image)
    assert torch.equal(one.fc6, two.fc6)  # as it is before dropout
    assert not torch.equal(one.fc7, two.fc7)
    assert not torch.equal(network.classify(one.fc7), network.classify(one.fc7))


# -- weights ---------------------------------------------------------------------------------


@pytest.mark.parametrize("old", [False, True], ids=["layer", "layers, as BVLC's file"])
def test_every_tensor_arrives_in_its_layer(tmp_path, old):
    network = CaffeNet(5, **SMALL)
    layers = random_layers(network)
    path = caffemodel(tmp_path / "small.caffemodel", layers, old)
    state = caffe_weights.read(network, path)
    assert list(state) == [f"{name}.{kind}" for name in layers for kind in ("weight", "bias")]
    for name, (weight, bias) in layers.items():
        np.testing.assert_array_equal(state[f"{name}.weight"].numpy(), weight)
        np.testing.assert_array_equal(state[f"{name}.bias"].numpy(), bias.astype(np.float32))


def test_forward_is_opencvs(tmp_path):
    network = CaffeNet(5, **SMALL).eval()
    path = caffemodel(tmp_path / "small.caffemodel", random_layers(network))
    network.load_state_dict(caffe_weights.read(network, path))
    random = np.random.default_rng(1)
    pixels = random.integers(0, 256, (2, 131, 131, 3), dtype=np.uint8)
    image = pixels.astype(np.float32).transpose(0, 3, 1, 2) - np.array(MEAN_BGR)[:, None, None]
    text = np.frombuffer(caffe_weights.prototxt(network, 131).encode(), np.uint8)
    net = cv2.dnn.readNetFromCaffe(text, np.fromfile(path, np.uint8))
    net.enableFusion(False)
    net.setInput(image)
    names = ["relu_conv1", "norm1", "norm2", "relu_conv4", "relu_conv5", "relu_fc6", "fc8"]
    opencv_outputs = dict(zip(names, net.forward(names), strict=True))
    with torch.no_grad():
        features = network.features(torch.from_numpy(image).float())
        own_outputs = {f"relu_{name}": x for name, x in features.maps.items()}
        own_outputs |= {"norm1": network.norm(network.pool(features.maps["conv1"]))}
        own_outputs |= {"norm2": network.norm(network.pool(features.maps["conv2"]))}
        own_outputs |= {"relu_fc6": features.fc6, "fc8": network.classify(features.fc7)}
    for name, values in opencv_outputs.items():
        scale = float(np.abs(values).max())
        assert scale > 0.1
        np.testing.assert_allclose(own_outputs[name].numpy(), values, rtol=1e-4, atol=1e-4 * scale)


def test_description_for_opencv_has_the_published_layers():
    with torch.device("meta"):
        lines = caffe_weights.prototxt(CaffeNet(1000)).splitlines()
    kinds = [line.split('type: "')[1].split('"')[0] for line in lines[2:]]
    first = ["Convolution", "ReLU", "Pooling", "LRN"]
    middle, last = ["Convolution", "ReLU"], ["InnerProduct", "ReLU"]
    assert kinds == [*first * 2, *middle * 3, "Pooling", *last * 2, "InnerProduct"]
    assert "num_output: 256 kernel_size: 5 stride: 1 pad: 2 group: 2" in lines[6]


def test_loading_leaves_the_classifier(tmp_path):
    source = CaffeNet(9, **SMALL)
    layers = random_layers(source)
    path = caffemodel(tmp_path / "small.caffemodel", layers)
    network = CaffeNet(4, **SMALL)
    before = network.fc8.weight.clone()
    caffe_weights.load(network, path)
    np.testing.assert_array_equal(network.conv5.weight.detach().numpy(), layers["conv5"][0])
    assert torch.equal(network.fc8.weight, before)


def test_a_model_without_the_classifier_is_read(tmp_path):
    network = CaffeNet(5, **SMALL)
    layers = random_layers(network)
    del layers["fc8"]
    result = caffe_weights.read(network, caffemodel(tmp_path / "a.caffemodel", layers))
    assert "fc7.bias" in result
    assert "fc8.weight" not in result


def test_convert_writes_what_it_reads(tmp_path, monkeypatch):
    monkeypatch.setattr(caffe_weights, "CaffeNet", lambda n: CaffeNet(5, **SMALL))
    layers = random_layers(CaffeNet(5, **SMALL))
    path = caffemodel(tmp_path / "bvlc.caffemodel", layers, old=True)
    caffe_weights.convert(path, tmp_path / "bvlc.safetensors")
    result = load_file(tmp_path / "bvlc.safetensors")
    np.testing.assert_array_equal(result["conv2.weight"].numpy(), layers["conv2"][0])
    network = CaffeNet(0, **SMALL)
    caffe_weights.load(network, tmp_path / "bvlc.safetensors")
    np.testing.assert_array_equal(network.fc7.weight.detach().numpy(), layers["fc7"][0])


def test_files_that_will_not_do(tmp_path):
    network = CaffeNet(0, **SMALL)
    with pytest.raises(ReidError, match=r"none\.caffemodel: no such file"):
        caffe_weights.load(network, tmp_path / "none.caffemodel")
    page = tmp_path / "page.caffemodel"
    page.write_bytes(b"<html>not found</html>")
    with pytest.raises(ReidError, match=r"page\.caffemodel: lacks conv1\.weight; is it bvlc_"):
        caffe_weights.load(network, page)
    layers = random_layers(network)
    broken = caffemodel(tmp_path / "broken.caffemodel", layers)
    broken.write_bytes(broken.read_bytes()[:-1000])
    with pytest.raises(ReidError, match=r"broken\.caffemodel: not readable as a Caffe model"):
        caffe_weights.load(network, broken)
    lacking = caffemodel(tmp_path / "lacking.caffemodel", {**layers, "conv3": []})
    with pytest.raises(ReidError, match=r"lacks conv3\.weight"):
        caffe_weights.load(network, lacking)
    wide = caffemodel(tmp_path / "wide.caffemodel", random_layers(CaffeNet(0, 131, 1 / 8)))
    with pytest.raises(ReidError, match=r"conv1\.weight is 12x3x11x11, not \(6, 3, 11, 11\)"):
        caffe_weights.load(network, wide)
    with pytest.raises(ReidError, match=r"must end in \.safetensors"):
        caffe_weights.convert(broken, tmp_path / "out.pt")


def test_safetensors_of_another_network_are_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"features.0.weight": torch.zeros(64, 3, 11, 11)}, tmp_path / "alexnet.safetensors")
    with pytest.raises(ReidError, match=r"not weights of CaffeNet \(lacks conv1.weight"):
        caffe_weights.load(CaffeNet(0, **SMALL), tmp_path / "alexnet.safetensors")


def test_pooling_rounds_up_and_groups_keep_apart():
    """A 4x4 map pools to 2x2; the second half of conv2 never sees the first half of its input."""
    pooled = CaffeNet(0, **SMALL).pool(torch.arange(16.0).reshape(1, 1, 4, 4))
    assert pooled.flatten().tolist() == [10, 11, 14, 15]
    network = CaffeNet(0, **SMALL)
    image = torch.randn(1, network.conv2.in_channels, 5, 5)
    halves = network.conv2.in_channels // 2
    other = torch.cat([torch.randn(1, halves, 5, 5), image[:, halves:]], 1)
    first, second = network.conv2(image).chunk(2, 1), network.conv2(other).chunk(2, 1)
    assert torch.equal(first[1], second[1])
    assert not torch.allclose(first[0], second[0])
    weight, bias = (p.chunk(2)[1] for p in network.conv2.parameters())
    expected = F.conv2d(image[:, halves:], weight, bias, padding=2)
    torch.testing.assert_close(first[1], expected)
