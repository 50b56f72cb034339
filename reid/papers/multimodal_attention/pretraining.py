"""Pretraining of CaffeNet, with which both encoders begin: it learns to classify images.

Differs The paper begins both from CaffeNet's published weights of ImageNet, which has no depth. The
        crowd from above shows each person in colour and as depth in colours: one CaffeNet learns to
        tell who it is from either. The recipe is ours.
"""

from __future__ import annotations

from torch import Tensor, nn

from reid.nn.caffenet import CaffeNet
from reid.papers.multimodal_attention.params import Params
from reid.papers.pretraining import Pretraining, Recipe

RECIPE = Recipe(
    epochs=16, batch=32, learning_rate=0.008, schedule="one_cycle", shift=5, brightness=0.25,
    tint=0.08,
)  # fmt: skip


class Classified(CaffeNet):
    """CaffeNet at the encoders' size."""

    def __init__(self, params: Params, classes: int):
        super().__init__(classes, params.side, params.width_scale, params.dropout)

    def forward(self, image: Tensor) -> tuple[Tensor]:
        """(B, 3, side, side) normalised to predictions (B, classes)."""
        return (super().forward(image),)


def size(params: Params) -> tuple[int, int]:
    """Of what an encoder sees."""
    return params.side, params.side


def weights(model: nn.Module) -> dict[str, Tensor]:
    """CaffeNet's state without its classifier."""
    state = model.state_dict()
    return {name: value.cpu() for name, value in state.items() if not name.startswith("fc8.")}


PRETRAINING: Pretraining[Params] = Pretraining(
    recipe=RECIPE,
    crowd="above",
    of_crowd=RECIPE,
    fits=("side", "width_scale"),
    view="rgb",
    size=size,
    build=Classified,
    weights=weights,
)
