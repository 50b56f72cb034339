"""What two encoders cost, and attention beside them."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from reid.papers.multimodal_attention.network import build
from reid.papers.multimodal_attention.params import Params
from reid.results.network_cost import Line, by_part, summarize, total_of


def tables() -> dict[str, list[dict[str, Any]]]:
    """What the two encoders cost, and attention beside them; the paper prints nothing of it."""
    compared = []
    for name, model in (("MAT", "mat"), ("RGB-D-CNN", "rgb_d_cnn")):
        total = lines(Params.model_validate({"model": model}))[-1]
        compared.append(
            {
                "network": name,
                **total_of(total),
            }
        )
    return {
        "At 227x227, without classifiers; sums over places are not counted": compared,
        "MAT": by_part(lines(Params())),
    }


def lines(params: Any, depth: int = 2) -> list[Line]:
    """`summarize` of a two-phase model without classifiers; on the meta device: no values."""
    with torch.device("meta"):
        network = build(params, classes=1)
        for encoder in network.encoders.values():
            encoder.fc8 = None  # pyright: ignore[reportAttributeAccessIssue, reportArgumentType]
        network.classifier = nn.Identity()
        pair = {m: torch.zeros(1, 3, params.side, params.side) for m in params.modalities}
        return [line for line in summarize(network, pair, depth) if line.parameters]
