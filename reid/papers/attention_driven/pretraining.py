"""Pretraining of the part network: two of its branches learn to classify whole images.

Source  Yang et al., Pattern Recognition 2019, section 4: 9 epochs of ImageNet, SGD, learning rate
        0.01 divided by 10 every 3 epochs
Differs The paper does not say how five branches see one image. Here the branch of the whole body
        and one part's branch learn side by side, each from the whole image at its own size, and the
        part's branch is copied to all four. Each prediction sees its feature after a batch
        normalisation, which is left away: without it nothing is learnt for some thousand steps.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from reid.papers.attention_driven.network import PartNetwork
from reid.papers.attention_driven.params import PARTS, Params
from reid.papers.pretraining import Pretraining, Recipe


class Branches(nn.Module):
    """The whole body's branch and one part's, both before the whole image."""

    def __init__(self, params: Params, classes: int):
        super().__init__()
        self.network = PartNetwork(params, classes)
        self.norms = nn.ModuleList(nn.BatchNorm1d(params.channels(n)) for n in (256, 128))
        self.part_size = (params.part_height, params.part_width)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) normalised to the two branches' predictions, (B, classes) each."""
        net = self.network
        # Contiguous: of channels-last memory torch 2.14 overruns its buffers here.
        part = F.interpolate(image.contiguous(), self.part_size, mode="bilinear", antialias=True)
        whole = net.whole(net.norm_whole(net.conv1(image)).relu())
        local = net.parts[0](net.norm_parts(net.conv1(part)).relu())
        first, second = self.norms
        return net.classifiers[0](first(whole)), net.classifiers[1](second(local))


def size(params: Params) -> tuple[int, int]:
    """Of the whole body's images."""
    return params.height, params.width


def weights(model: nn.Module) -> dict[str, Tensor]:
    """The network's state without classifiers, the trained part's branch in all four places."""
    assert isinstance(model, Branches)
    state = model.network.state_dict()
    for name in [n for n in state if n.startswith("parts.0.")]:
        for i in range(1, len(PARTS)):
            state[name.replace("parts.0.", f"parts.{i}.", 1)] = state[name]
    return {n: t.cpu() for n, t in state.items() if not n.startswith("classifiers.")}


PRETRAINING: Pretraining[Params] = Pretraining(
    recipe=Recipe(epochs=9, batch=32, learning_rate=0.01, decay=0.1, decay_epochs=3),
    crowd="upright",
    of_crowd=Recipe(
        epochs=30,
        batch=32,
        learning_rate=0.1,
        schedule="one_cycle",
        shift=3,
        brightness=0.1,
        tint=0.1,
    ),
    fits=("width_scale", "shortcut", "feature_norm"),
    view="whole",
    size=size,
    build=Branches,
    weights=weights,
    plain={"model": "baseline"},
)
