"""The strong baseline's network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reid.nn import backbones
from reid.papers.implicit_attention.params import Params
from reid.papers.pretraining import start_of


class StrongBaseline(nn.Module):
    """A backbone, the mean over places, batch normalisation without shift, and a classifier."""

    def __init__(self, params: Params, classes: int) -> None:
        super().__init__()
        options = {"channels": params.channels} if params.channels else {}
        start = start_of(params, "implicit_attention")
        self.backbone = backbones.build(params.backbone, start, params.last_stride, **options)
        width = int(self.backbone.head_hidden_size)  # pyright: ignore[reportArgumentType]
        self.norm = nn.BatchNorm1d(width)
        self.norm.bias.requires_grad_(False)  # stays 0
        self.classifier = nn.Linear(width, classes, bias=False)
        nn.init.normal_(self.classifier.weight, std=0.001)

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """`image` (B, 3, h, w) to `before` and `after` normalisation (B, 2048), `logits` (B, K)."""
        maps = self.backbone(batch["image"])  # (B, 2048, 8, 8) at 128 x 128
        before = maps.mean((2, 3))
        after = self.norm(before)
        return {"before": before, "after": after, "logits": self.classifier(after)}


def build(params: Params, classes: int) -> StrongBaseline:
    """The network for `classes` persons."""
    module = StrongBaseline(params, classes)
    return module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
