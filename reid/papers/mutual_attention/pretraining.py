"""Pretraining of a stream's frame network: it learns to classify images, one by one.

Differs The paper begins both streams from published weights of ImageNet's images, that of flow too.
        So here: one network of images is the beginning of both. The recipe is ours.
"""

from __future__ import annotations

from torch import Tensor, nn

from reid.papers.mutual_attention.params import Params
from reid.papers.mutual_attention.two_stream import Stream
from reid.papers.pretraining import Pretraining, Recipe

RECIPE = Recipe(
    epochs=12, batch=32, learning_rate=0.004, schedule="one_cycle", shift=3, brightness=0.1,
    tint=0.1,
)  # fmt: skip


class Classified(nn.Module):
    """A stream of images, the mean over places, normalisation and a classifier."""

    def __init__(self, params: Params, classes: int):
        super().__init__()
        self.stream = Stream(**params.trunk("image"))
        self.norm = nn.BatchNorm1d(self.stream.width)  # without it hundreds of steps learn nothing
        self.classifier = nn.Linear(self.stream.width, classes)

    def forward(self, image: Tensor) -> tuple[Tensor]:
        """(B, 3, H, W) normalised to predictions (B, classes)."""
        maps = self.stream.after(self.stream.before(image))
        return (self.classifier(self.norm(maps.mean((2, 3)))),)


def size(params: Params) -> tuple[int, int]:
    """Of what the network sees."""
    return params.height, params.width


def weights(model: nn.Module) -> dict[str, Tensor]:
    """The frame network's state."""
    assert isinstance(model, Classified)
    return {name: value.cpu() for name, value in model.stream.backbone.state_dict().items()}


PRETRAINING: Pretraining[Params] = Pretraining(
    recipe=RECIPE,
    crowd="upright",
    of_crowd=RECIPE,
    fits=("backbone", "channels", "squeeze_excitation"),
    view="image",
    size=size,
    build=Classified,
    weights=weights,
)
