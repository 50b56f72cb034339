"""What the strong baseline costs."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from reid.papers.implicit_attention.network import build
from reid.papers.implicit_attention.params import Params
from reid.results.network_cost import Line, by_part, summarize, total_of


def tables() -> dict[str, list[dict[str, Any]]]:
    """The strong baseline's cost, of which the paper prints nothing, and where it lies."""
    compared = []
    for stride in (1, 2):
        params = Params.model_validate({"last_stride": stride})
        total = lines(params)[-1]
        compared.append(
            {
                "network": f"{params.backbone}, last stride {stride}",
                **total_of(total),
            }
        )
    parts = by_part(lines(Params(), 2))
    return {
        f"At {params.height}x{params.width}, without classifier; swaps cost nothing at a test": (
            compared
        ),
        "The network with last stride 1": parts,
    }


def lines(params: Any, depth: int = 1) -> list[Line]:
    """`summarize` of the strong baseline without its classifier, at the size of `params`."""
    network = build(params.model_copy(update={"weights": ""}), classes=1)
    network.classifier = nn.Identity()  # pyright: ignore[reportAttributeAccessIssue]
    example = {"image": torch.zeros(1, 3, params.height, params.width)}
    return [line for line in summarize(network, example, depth) if line.parameters]
