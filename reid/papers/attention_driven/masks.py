"""Intra-attention's masks, as figure 7 of the paper shows them: the weights of each block's places.

Differs A map is the mean of its mask over the channels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from reid.papers.attention_driven.attention import IntraAttention
from reid.papers.contract import Weights

BLOCKS = {"conv3": "block 2", "conv4": "block 3", "conv5": "block 4"}


def masks(network: nn.Module, batch: dict[str, Tensor]) -> Weights:
    """Sigmoid masks of a normalised batch, mean over channels, for each of `BLOCKS`.

    Those of the whole body are (B, h, w), those of the parts (B, 4, h, w). {} where the network
    has no intra-attention. `network` is in eval mode and is left as it was.
    """
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, mask: Tensor) -> None:
            seen[name] = mask.mean(1)  # (B, C, h, w) to (B, h, w)

        return hook

    hooks = [
        module.register_forward_hook(keep(name))
        for name, module in network.named_modules()
        if isinstance(module, IntraAttention)
    ]
    if not hooks:
        return {}
    try:
        with torch.inference_mode():
            network(batch)
    finally:
        for hook in hooks:
            hook.remove()
    parts = range(batch["parts"].shape[1])
    return {
        "whole": {shown: seen[f"whole.{block}.attention"] for block, shown in BLOCKS.items()},
        "parts": {
            shown: torch.stack([seen[f"parts.{i}.{block}.attention"] for i in parts], 1)
            for block, shown in BLOCKS.items()
        },
    }
