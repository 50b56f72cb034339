"""Masks of intra-attention after some hundred steps: they tell places apart, and are not stuck."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reid.papers.attention_driven.attention import AttentiveBlock, IntraAttention
from reid.papers.attention_driven.params import Params
from reid.papers.attention_driven.recipe import optimizer
from reid.papers.attention_driven.residual import convolution, stage

PERSONS, STEPS = 8, 200


class Small(nn.Module):
    """One attentive block between a first convolution and a classifier."""

    def __init__(self, norm: bool, decomposition: bool) -> None:
        super().__init__()
        self.stem = nn.Sequential(convolution(3, 8, 3), nn.ReLU())
        attention = IntraAttention(8, 16, 2, 1, decomposition, norm)
        self.block = AttentiveBlock(stage(8, 16, 1, 2), attention, "residual")
        self.classifier = nn.Linear(16, PERSONS)
        attention.start()

    def forward(self, image: Tensor) -> Tensor:
        return self.classifier(self.block(self.stem(image)).mean((2, 3)))


def people(count: int = 96) -> tuple[Tensor, Tensor]:
    """(N, 3, 24, 12) persons in two colours, somewhere before noise, and who they are (N,)."""
    random = torch.Generator().manual_seed(0)
    clothes = torch.rand(PERSONS, 3, 2, generator=random)  # upper and lower body
    person = torch.arange(count) % PERSONS
    image = torch.rand(count, 3, 6, 3, generator=random)
    image = image.repeat_interleave(4, 2).repeat_interleave(4, 3)
    left = torch.randint(0, 7, (count,), generator=random)
    for i in range(count):
        body = clothes[person[i]].repeat_interleave(9, 1)[..., None]
        image[i, :, 3:21, left[i] : left[i] + 6] = body
    return image - 0.5, person


def trained(norm: bool, decomposition: bool = True) -> tuple[Tensor, float]:
    """The masks (N, 16, 12, 6) of a trained block, and the last steps' accuracy."""
    torch.manual_seed(0)
    network, (image, person) = Small(norm, decomposition), people()
    steps = optimizer(Params(learning_rate=0.1, weight_decay=0.002), network)
    right = []
    for _ in range(STEPS):
        drawn = torch.randint(len(image), (16,))
        logits = network(image[drawn])
        right.append((logits.argmax(1) == person[drawn]).float().mean())
        steps.zero_grad()
        F.cross_entropy(logits, person[drawn]).backward()
        steps.step()
    with torch.no_grad():
        block = network.eval().block
        return block.attention(network.stem(image)), float(torch.stack(right[-20:]).mean())


@pytest.mark.parametrize("decomposition", [True, False])
def test_masks_tell_places_apart_and_are_not_stuck(decomposition: bool):
    mask, accuracy = trained(norm=True, decomposition=decomposition)
    stuck = ((mask < 0.02) | (mask > 0.98)).float().mean()
    shown = mask.mean(1)  # of all channels, as figure 7 shows it
    assert accuracy > 0.5, "it has learnt something"
    assert float(stuck) < 0.5
    assert float(mask.flatten(2).std(2).mean()) > 0.03
    assert float(shown.flatten(1).std(1).mean()) > 0.005
