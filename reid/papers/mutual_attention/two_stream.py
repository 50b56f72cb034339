"""Frame networks of images and flow, and the attention that flow gives to places in images.

Source  Kiran et al., arXiv:2008.03788: mutual attention (equations 3 to 5), and the gated network
        that it is compared with
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reid.nn import backbones
from reid.nn.weights import fill, read_state
from reid.papers.mutual_attention.params import Padding
from reid.project.errors import ReidError

RESNET, SE_RESNET = "resnet50.tv_in1k", "legacy_seresnet50.in1k"
ALEXNET = "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"  # torchvision's
CONVOLUTIONS = "features."  # before the names of AlexNet's convolutions
LAYERS = ("layer1", "layer2", "layer3", "layer4")


class Stream(nn.Module):
    """A ResNet of timm's that stops after a layer, and goes on from there.

    Layers count the stem as 1: 4 is torchvision's layer3. `inputs` is the number of channels that
    it sees; `name` is empty for ResNet-50, or with `squeeze` SE-ResNet-50; `channels` of its four
    stages are its own where None. With `padding` edge, maps go on beyond their edge as they end
    there: an input that is everywhere the same gives the same everywhere. All else as in
    `reid.nn.backbones.build`.
    """

    def __init__(
        self, inputs: int, name: str = "", weights: str = "", last_stride: int = 2, layer: int = 4,
        channels: Sequence[int] | None = None, squeeze: bool = False, padding: Padding = "zero",
    ) -> None:  # fmt: skip
        super().__init__()
        options: dict[str, Any] = {"channels": channels} if channels else {}
        if squeeze and name:
            options["block_args"] = {"attn_layer": "se"}
        name = name or (SE_RESNET if squeeze else RESNET)
        self.backbone: Any = backbones.build(name, weights, last_stride, **options)
        children = [child for child, _ in self.backbone.named_children()]
        if not set(LAYERS) <= set(children):
            raise ReidError(f"backbone: `{name}` has no layer1 to layer4; take a ResNet of timm's")
        self.inputs = inputs
        if inputs != 3:
            see_channels(self.backbone, inputs)
        if padding == "edge":
            pad_by_edge(self.backbone)
        cut, end = (children.index(name) + 1 for name in (LAYERS[layer - 2], LAYERS[-1]))
        self.first, self.rest = children[:cut], children[cut:end]
        at = {info["module"]: info["num_chs"] for info in self.backbone.feature_info}
        self.cut_width, self.width = int(at[LAYERS[layer - 2]]), int(at[LAYERS[-1]])

    def before(self, x: Tensor) -> Tensor:
        """(N, c, h, w) to the maps of the layer, (N, 1024, 14, 7) of layer 4 at 224x112."""
        for name in self.first:
            x = self.backbone.get_submodule(name)(x)
        return x

    def after(self, x: Tensor) -> Tensor:
        """From there to the last maps, (N, 2048, 7, 4)."""
        for name in self.rest:
            x = self.backbone.get_submodule(name)(x)
        return x

    @torch.no_grad()
    def map_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the last maps; the stream is left in eval mode."""
        frame = next(self.parameters()).new_zeros(1, self.inputs, height, width)
        size = self.eval().after(self.before(frame)).shape
        return size[-2], size[-1]


def see_channels(backbone: nn.Module, inputs: int) -> None:
    """Give the first convolution `inputs` channels, in place: its own, repeated and rescaled."""
    layer = next(m for m in backbone.modules() if isinstance(m, nn.Conv2d))
    source = torch.arange(inputs, device=layer.weight.device) % layer.in_channels
    weight = layer.weight.detach()[:, source] * (layer.in_channels / inputs)
    layer.weight, layer.in_channels = nn.Parameter(weight.contiguous()), inputs


def pad_by_edge(backbone: nn.Module) -> None:
    """Let each convolution repeat its maps' edges, in place, where it would put zeros."""
    for layer in backbone.modules():
        if isinstance(layer, nn.Conv2d) and any(layer.padding):
            layer.padding_mode = "replicate"


class MutualAttention(nn.Module):
    """A weight for each place, from how salient both streams find it.

        rho = z_app(x) * z_flow(f),    M = sigmoid(rho)                   (equations 3 to 5)

    z is a 1x1 convolution to one map, and ReLU: M is 0.5 where either stream finds nothing. Both
    begin as the mean over channels, which is above zero; from random weights many begin below zero
    everywhere, and there ReLU lets nothing be learnt.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.image = nn.Conv2d(channels, 1, 1)
        self.flow = nn.Conv2d(channels, 1, 1)
        for layer in (self.image, self.flow):
            nn.init.constant_(layer.weight, 1 / channels)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def forward(self, image: Tensor, flow: Tensor) -> Tensor:
        """Maps (N, C, h, w) of both streams to M (N, 1, h, w), 0.5 to 1."""
        return (self.image(image).relu() * self.flow(flow).relu()).sigmoid()


class Gate(nn.Module):
    """A shallow network of flow, whose mean over channels opens places of the image's maps.

    AlexNet's five convolutions with its first two poolings: few, so that places stay apart. With
    `weights` they begin as AlexNet, the first one's channels repeated: `pretrained` is
    torchvision's, else a file of the same names.
    """

    def __init__(self, inputs: int, channels: tuple[int, ...], weights: str = "") -> None:
        super().__init__()
        one, two, three, four, five = channels
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, one, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(one, two, 5, 1, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(two, three, 3, 1, 1), nn.ReLU(),
            nn.Conv2d(three, four, 3, 1, 1), nn.ReLU(),
            nn.Conv2d(four, five, 3, 1, 1), nn.ReLU(),
        )  # fmt: skip
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if weights:
            self._start(weights, inputs)

    def _start(self, weights: str, inputs: int) -> None:
        """The layers stand in AlexNet's `features` at the same numbers."""
        state = _alexnet() if weights == backbones.PRETRAINED else read_state(Path(weights))
        own = {name.removeprefix(CONVOLUTIONS): tensor for name, tensor in state.items()
               if name.startswith(CONVOLUTIONS)}  # fmt: skip
        kernel = own.get("0.weight")
        if kernel is not None and kernel.ndim == 4:
            source = torch.arange(inputs) % kernel.shape[1]
            own["0.weight"] = kernel[:, source] * (kernel.shape[1] / inputs)
        fill(self.layers, own, Path(weights), "AlexNet's convolutions, features.0 to features.10")

    def forward(self, flow: Tensor, size: tuple[int, int]) -> Tensor:
        """(N, c, H, W) to weights (N, 1, h, w) of 0.5 to 1, `size` being (h, w)."""
        mean = self.layers(flow).mean(1, keepdim=True)  # (N, 1, 13, 6) at 224x112
        return F.interpolate(mean, size, mode="bilinear").sigmoid()


def _alexnet() -> dict[str, Tensor]:
    """torchvision's AlexNet of ImageNet, downloaded once; `ReidError` says where to put it."""
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    try:
        return torch.hub.load_state_dict_from_url(
            ALEXNET, model_dir=str(folder), map_location="cpu", check_hash=True, weights_only=True
        )
    except (OSError, RuntimeError) as error:
        raise ReidError(
            f"gate_weights: {ALEXNET} could not be downloaded ({error}). Fetch it on another "
            f"machine and put it into {folder}; `gate_weights: ''` begins from random weights"
        ) from None
