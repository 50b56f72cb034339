"""What the part network costs, beside table 12."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from reid.papers.attention_driven.network import build
from reid.papers.attention_driven.params import PARTS, Params
from reid.papers.attention_driven.printed import TABLES
from reid.results.network_cost import Line, by_part, summarize


def tables() -> dict[str, list[dict[str, Any]]]:
    """Table 12 by each reading, and where the full model's parameters and multiply-adds lie."""
    compared = []
    for name, model in (("Base", "aligned"), ("Full", "intra_inter")):
        numbers = TABLES[12].row(name).printed["384x192"]
        compared.append(
            {
                "network": f"{name}, as printed",
                "parameters (M)": f"{numbers['parameters_m']:.1f}",
                "conv and FC weights (M)": "",
                "without FC-reduce (M)": "",
                "multiply-adds (G)": f"{numbers['multiply_adds'] / 1e9:.2f}",
            }
        )
        for shortcut in ("parameter_free", "projection"):
            params = Params.model_validate({"model": model, "shortcut": shortcut})
            compared.append(
                {
                    "network": f"{name}, {shortcut} shortcuts",
                    **_total(lines(params)),
                }
            )
    alike = ("parts.1", "parts.2", "parts.3", "norm", "whole.conv2.")
    every = lines(Params())
    parts = by_part([line for line in every if not line.name.startswith(alike)])
    return {
        "Table 12, at 384x192, without classifiers": compared,
        "The full network, projection shortcuts; parts.0 stands for the four parts": parts,
    }


def lines(params: Any, depth: int = 3) -> list[Line]:
    """`summarize` of the part network without its classifiers, at the sizes of `params`."""
    network = build(params, classes=1)
    network.classifiers = nn.ModuleList(nn.Identity() for _ in network.classifiers)
    whole = torch.zeros(1, 3, params.height, params.width)
    parts = torch.zeros(1, len(PARTS), 3, params.part_height, params.part_width)
    found = summarize(network, {"whole": whole, "parts": parts}, depth)
    return [line for line in found if line.parameters]


def _total(found: list[Line]) -> dict[str, str]:
    total = found[-1]
    reduce = sum(line.parameters for line in found if line.name.endswith("reduce"))
    return {
        "parameters (M)": f"{total.parameters / 1e6:.2f}",
        "conv and FC weights (M)": f"{total.weights / 1e6:.2f}",
        "without FC-reduce (M)": f"{(total.parameters - reduce) / 1e6:.2f}",
        "multiply-adds (G)": f"{total.multiply_adds / 1e9:.2f}",
    }
