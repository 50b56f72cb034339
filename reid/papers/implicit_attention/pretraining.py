"""Pretraining of the strong baseline: its backbone learns to classify images.

Differs The paper begins from published weights of ImageNet. The recipe is ours.
"""

from __future__ import annotations

from torch import Tensor, nn

from reid.papers.implicit_attention.network import StrongBaseline
from reid.papers.implicit_attention.params import Params
from reid.papers.pretraining import Pretraining, Recipe

RECIPE = Recipe(
    epochs=8, batch=32, learning_rate=0.004, schedule="one_cycle", shift=5, brightness=0.1,
    tint=0.1,
)  # fmt: skip


class Classified(nn.Module):
    """The whole network on images alone."""

    def __init__(self, params: Params, classes: int):
        super().__init__()
        self.network = StrongBaseline(params, classes)

    def forward(self, image: Tensor) -> tuple[Tensor]:
        """(B, 3, H, W) normalised to predictions (B, classes)."""
        return (self.network({"image": image})["logits"],)


def size(params: Params) -> tuple[int, int]:
    """Of what the network sees."""
    return params.height, params.width


def weights(model: nn.Module) -> dict[str, Tensor]:
    """The backbone's state."""
    assert isinstance(model, Classified)
    return {name: value.cpu() for name, value in model.network.backbone.state_dict().items()}


PRETRAINING: Pretraining[Params] = Pretraining(
    recipe=RECIPE,
    crowd="upright",
    of_crowd=RECIPE,
    fits=("backbone", "channels"),
    view="image",
    size=size,
    build=Classified,
    weights=weights,
)
