"""What the siamese network costs, and what attention adds."""

from __future__ import annotations

from typing import Any

import torch

from reid.papers.attentive_convlstm.network import build
from reid.papers.attentive_convlstm.params import Params
from reid.results.network_cost import Line, by_part, summarize


def tables() -> dict[str, list[dict[str, Any]]]:
    """The siamese network's parts for one clip, and what attention adds."""

    def lines(params: Any, depth: int) -> list[Line]:
        network = build(params, classes=150)
        clip = {"image": torch.zeros(1, params.length, 5, *params.size)}
        return [line for line in summarize(network, clip, depth) if line.parameters]

    params = Params()
    compared = []
    for filters in range(5):
        total = lines(Params(attention_filters=filters), 1)[-1]
        compared.append(
            {
                "filters": filters,
                "parameters (M)": f"{total.parameters / 1e6:.3f}",
                "multiply-adds (G)": f"{total.multiply_adds / 1e9:.3f}",
            }
        )
    title = f"A clip of {params.length} frames, 150 persons"
    return {title: compared, f"{params.attention_filters} filters": by_part(lines(params, 2))}
