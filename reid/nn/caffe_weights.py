"""CaffeNet's published weights, read without Caffe.

Reads   bvlc_reference_caffenet.caffemodel, through OpenCV's Caffe importer (OpenCV 4), or
        .safetensors, .pt and .pth with the names of `reid.nn.caffenet`
Writes  .safetensors with conv1.weight, conv1.bias ... fc7.bias, and fc8 where the file has
        ImageNet's 1,000 classes

Caffe's arrays are torch's: (outputs, inputs of a group, height, width) and (outputs, inputs), the
groups one after the other, the input of fc6 by channel, row, column. conv1 takes B, G, R.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from reid.nn.caffenet import LAYERS, SIDE, CaffeNet
from reid.nn.weights import fill, one_line, read_state
from reid.project.errors import ReidError
from reid.project.layout import write_atomically

CLASSES = 1000  # of ImageNet, in fc8
ENDING = ".caffemodel"


def load(network: CaffeNet, path: Path) -> None:
    """Load a file into `network`; its classifier stays as it is, all else must fit."""
    state = read(network, path) if path.suffix == ENDING else read_state(path)
    state = {name: value for name, value in state.items() if not name.startswith("fc8.")}
    fill(network, state, path, "CaffeNet", own=("fc8.",))


def convert(source: Path, target: Path) -> dict[str, Tensor]:
    """Write a .caffemodel of BVLC CaffeNet as .safetensors. Returns the tensors by name."""
    from safetensors.torch import save

    for path, ending in ((source, ENDING), (target, ".safetensors")):
        if path.suffix != ending:
            raise ReidError(f"{path}: must end in {ending}")
    with torch.device("meta"):
        network = CaffeNet(CLASSES)
    state = read(network, source)
    write_atomically(target, save(state))
    return state


def read(network: CaffeNet, path: Path) -> dict[str, Tensor]:
    """The weights of a .caffemodel for a network of these sizes; without fc8 if it has none."""
    if not path.is_file():
        raise ReidError(f"{path}: no such file; it is bvlc_reference_caffenet.caffemodel")
    if not path.stat().st_size:
        raise ReidError(f"{path}: not readable as a Caffe model (the file is empty)")
    import cv2

    if not hasattr(cv2.dnn, "readNetFromCaffe"):
        raise ReidError(f"{path}: OpenCV {cv2.__version__} reads no Caffe files; install 4.13")
    text = np.frombuffer(prototxt(network).encode(), np.uint8)
    try:
        net = cv2.dnn.readNetFromCaffe(text, np.fromfile(path, np.uint8))
    except cv2.error as error:
        raise ReidError(f"{path}: not readable as a Caffe model ({one_line(error)})") from None
    state: dict[str, Tensor] = {}
    for name, layer in network.named_children():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            state |= _tensors(net, name, layer, path)
    return state


def _tensors(net: Any, name: str, layer: nn.Conv2d | nn.Linear, path: Path) -> dict[str, Tensor]:
    """Weight and bias of one layer, each in torch's shape."""
    import cv2

    tensors: dict[str, Tensor] = {}
    wanted = {f"{name}.{n}": p for n, p in layer.named_parameters()}  # weight, then bias
    for i, (full, parameter) in enumerate(wanted.items()):
        try:
            values = np.array(net.getParam(name, i), np.float32)  # a copy
        except cv2.error:
            if name == "fc8":  # of other classes than ImageNet's, or of another name
                return {}
            raise ReidError(
                f"{path}: lacks {full}; is it bvlc_reference_caffenet.caffemodel, and whole?"
            ) from None
        if values.size != parameter.numel():
            shape = "x".join(map(str, values.shape))
            raise ReidError(f"{path}: {full} is {shape}, not {tuple(parameter.shape)}")
        tensors[full] = torch.from_numpy(values.reshape(tuple(parameter.shape)))
    return tensors


def prototxt(network: CaffeNet, side: int = SIDE) -> str:
    """The network in Caffe's own description, for images of `side` pixels, without dropout."""
    pool = "pooling_param { pool: MAX kernel_size: 3 stride: 2 }"
    norm = "lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }"
    lines = ['name: "CaffeNet" input: "data"', f"input_dim: [1, 3, {side}, {side}]"]
    bottom = "data"
    for number, name in enumerate(LAYERS, 1):
        lines += [_convolution(name, bottom, network.get_submodule(name)), _relu(name)]
        bottom = name
        if number in (1, 2, 5):
            lines.append(_layer(bottom := f"pool{number}", "Pooling", name, pool))
        if number in (1, 2):
            lines.append(_layer(f"norm{number}", "LRN", bottom, norm))
            bottom = f"norm{number}"
    for name, layer in (("fc6", network.fc6), ("fc7", network.fc7), ("fc8", network.fc8)):
        if layer is not None:
            outputs = f"inner_product_param {{ num_output: {layer.out_features} }}"
            lines.append(_layer(name, "InnerProduct", bottom, outputs))
            lines += [_relu(name)] if name != "fc8" else []
            bottom = name
    return "\n".join(lines) + "\n"


def _convolution(name: str, bottom: str, layer: Any) -> str:
    return _layer(
        name, "Convolution", bottom,
        f"convolution_param {{ num_output: {layer.out_channels} kernel_size: "
        f"{layer.kernel_size[0]} stride: {layer.stride[0]} pad: {layer.padding[0]} "
        f"group: {layer.groups} }}",
    )  # fmt: skip


def _relu(name: str) -> str:
    return f'layer {{ name: "relu_{name}" type: "ReLU" bottom: "{name}" top: "{name}" }}'


def _layer(name: str, kind: str, bottom: str, setting: str) -> str:
    names = f'name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{name}"'
    return f"layer {{ {names} {setting} }}"
