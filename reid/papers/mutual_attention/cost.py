"""What a second stream and attention cost."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from reid.papers.mutual_attention.network import build
from reid.papers.mutual_attention.params import Params
from reid.results.network_cost import Line, by_part, summarize, total_of


def tables() -> dict[str, list[dict[str, Any]]]:
    """What a second stream and attention cost; the paper prints nothing of it."""
    compared = []
    for name, values in (
        ("one stream, pooling", {"model": "one_stream", "aggregation": "average"}),
        ("two streams, no attention, pooling", {"model": "two_stream", "aggregation": "average"}),
        ("gated one stream, pooling", {"model": "gated", "aggregation": "average"}),
        ("MA, pooling", {"aggregation": "average"}),
        ("MA, weighted addition", {}),
        ("MA, weighted addition, SE-ResNet-50", {"squeeze_excitation": True}),
    ):
        total = lines(Params.model_validate(values))[-1]
        compared.append(
            {
                "network": name,
                **total_of(total),
            }
        )
    params = Params()
    return {
        f"A clip of {params.sequence_length} frames at {params.height}x{params.width}, without "
        "classifier": compared,
        "MA, weighted addition": by_part(lines(params, 2)),
    }


def lines(params: Any, depth: int = 1) -> list[Line]:
    """`summarize` of a clip's network without its classifier; on the meta device: no values."""
    with torch.device("meta"):
        network = build(params.model_copy(update={"weights": ""}), classes=1)
        network.classifier = nn.Identity()  # pyright: ignore[reportAttributeAccessIssue]
        size = params.sequence_length, params.height, params.width
        channels = {"image": 3, "flow": params.flow_channels}
        clip = {n: torch.zeros(1, size[0], channels[n], *size[1:]) for n in params.views}
        return [line for line in summarize(network, clip, depth) if line.parameters]
