"""The part network: one branch for the whole body and one for each part, and their fusion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from reid.nn.weights import fill, read_state
from reid.papers.attention_driven.attention import (
    AttentiveBlock,
    InterAttention,
    IntraAttention,
)
from reid.papers.attention_driven.params import PARTS, Params
from reid.papers.attention_driven.residual import stage
from reid.papers.pretraining import start_of
from reid.project.errors import ReidError


class Branch(nn.Module):
    """Conv2x to Conv5x, the mean over places and the reduced feature of one region."""

    def __init__(
        self, params: Params, outputs: tuple[int, ...], pool_stride: tuple[int, int], feature: int
    ) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(3, pool_stride, 1)
        widths = [params.channels(c) for c in outputs]
        inputs = [params.channels(32), *widths[:-1]]
        self.conv2 = stage(inputs[0], widths[0], 3, 1, params.shortcut)
        self.conv3 = _block(params, inputs[1], widths[1], stride=2, levels=2)
        self.conv4 = _block(params, inputs[2], widths[2], stride=2, levels=1)
        self.conv5 = _block(params, inputs[3], widths[3], stride=1, levels=1)
        width = params.channels(feature)
        self.reduce = nn.Linear(widths[3], width)
        self.norm = nn.BatchNorm1d(width) if params.feature_norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, 32, H, W) after Conv1 to (B, 256) or (B, 128); sizes of the paper's images beside."""
        x = self.conv2(self.pool(x))  # (B, 64, 96, 48), a part (B, 32, 48, 48)
        x = self.conv3(x)  # (B, 128, 48, 24), a part (B, 64, 24, 24); masks down to 12x6 and 6x6
        x = self.conv4(x)  # (B, 256, 24, 12), a part (B, 128, 12, 12); as above
        x = self.conv5(x)  # (B, 512, 24, 12), a part (B, 256, 12, 12); as above
        return self.norm(self.reduce(x.mean((2, 3))))


def _block(params: Params, inputs: int, outputs: int, stride: int, levels: int) -> nn.Module:
    block = stage(inputs, outputs, 3, stride, params.shortcut)
    if not params.intra:
        return block
    attention = IntraAttention(
        inputs, outputs, stride, levels, params.decomposition, params.mask_norm,
        params.attention == "even",
    )  # fmt: skip
    return AttentiveBlock(block, attention, params.mask)


class PartNetwork(nn.Module):
    """Conv1 for all, a branch for the whole body and one for each part, their fusion."""

    def __init__(self, params: Params, classes: int) -> None:
        super().__init__()
        stem, feature = params.channels(32), params.channels(128)
        self.conv1 = nn.Conv2d(3, stem, 3, 2, 1, bias=False)
        self.norm_whole, self.norm_parts = nn.BatchNorm2d(stem), nn.BatchNorm2d(stem)
        self.whole = Branch(params, (64, 128, 256, 512), (2, 2), 256)
        self.parts = nn.ModuleList(Branch(params, (32, 64, 128, 256), (1, 2), 128) for _ in PARTS)
        self.joined = params.joined
        self.inter = InterAttention(len(PARTS), feature) if self.joined == "inter" else None
        self.inter_whole = (
            InterAttention(1, params.channels(256)) if self.inter and params.inter_global else None
        )
        widths = [params.channels(256), *[feature] * 4]
        self.fc = nn.Linear(sum(widths), sum(widths)) if self.joined == "fc" else None
        fused = [] if self.joined == "test_only" else [sum(widths)]
        self.classifiers = nn.ModuleList(
            nn.Sequential(nn.Dropout(params.dropout), nn.Linear(width, classes))
            for width in widths + fused
        )
        _initialize(self)

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Any]:
        """`whole` (B, 3, h, w) and `parts` (B, 4, 3, h, w) to features and predictions.

        `logits`: (B, classes) of the whole body, of each part and, where there is one, of the
        fused feature. `global` (B, 256), `part` (B, 4, 128) and `local` (B, 512) are the features
        as they are fused; `fused` (B, 768) is there where a layer makes it of them.
        """
        whole = self.whole(self.norm_whole(self.conv1(batch["whole"])).relu())  # (B, 256)
        stacked = self.conv1(batch["parts"].transpose(0, 1).flatten(0, 1))  # (4 * B, 32, h, w)
        regions = self.norm_parts(stacked).relu().unflatten(0, (len(PARTS), -1)).unbind()
        part = torch.stack([f(x) for f, x in zip(self.parts, regions, strict=True)], 1)
        branches = [whole, *part.unbind(1)]
        if self.inter is not None:
            part = self.inter(part)  # (B, 4, 128)
        if self.inter_whole is not None:
            whole = self.inter_whole(whole[:, None])[:, 0]
        local = part.flatten(1)  # (B, 512)
        joined = torch.cat([whole, local], 1)  # (B, 768)
        made = {"fused": self.fc(joined)} if self.fc is not None else {}
        if self.joined != "test_only":
            branches.append(made.get("fused", joined))
        logits = [c(x) for c, x in zip(self.classifiers, branches, strict=True)]
        return {"logits": logits, "global": whole, "part": part, "local": local, **made}


def _initialize(module: nn.Module) -> None:
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    for layer in module.modules():
        if isinstance(layer, IntraAttention):
            layer.start()


def build(params: Params, classes: int) -> PartNetwork:
    """The network for `classes` persons, from `params.weights` where that is given."""
    module = PartNetwork(params, classes)
    if start := start_of(params, "attention_driven"):
        _start_from(module, Path(start))
    return module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def _start_from(module: nn.Module, path: Path) -> None:
    if not path.is_file():
        raise ReidError(f"{path}: no such file; `weights` names a state dict of this network")
    kept = {n: value for n, value in read_state(path).items() if not n.startswith("classifiers.")}
    own = ["classifiers.", "inter.", "inter_whole.", "fc."]
    for block, layer in module.named_modules():
        if isinstance(layer, AttentiveBlock):
            stage, attention = f"{block}.stage.", f"{block}.attention."
            inside = [n for n in kept if n.startswith(f"{block}.")]
            bare = [n for n in inside if not n.startswith((stage, attention))]
            for name in bare:  # of a network without attention, which is its stages
                kept[name.replace(f"{block}.", stage, 1)] = kept.pop(name)
            own += [attention] if bare else []
    fill(module, kept, path, "attention_driven", own=own)
