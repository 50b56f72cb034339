"""Losses against plain loops over their equations."""

import math

import pytest
import torch

from reid.nn.losses import batch_hard_triplet, cross_entropy
from reid.project.errors import ReidError


def made(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_cross_entropy_is_its_equation(smoothing):
    logits, label = made(0, 6, 5) * 3, torch.tensor([0, 4, 2, 2, 1, 3])
    total = 0.0
    for row, target in zip(logits.tolist(), label.tolist(), strict=True):
        norm = sum(math.exp(value) for value in row)
        for k, value in enumerate(row):
            share = smoothing / 5 + (1 - smoothing) * (k == target)
            total -= share * math.log(math.exp(value) / norm)
    assert cross_entropy(logits, label, smoothing).item() == pytest.approx(total / 6)


def loops(embedding, person, margin):
    points, total = embedding.tolist(), 0.0
    for anchor, who in zip(points, person, strict=True):
        far = [
            math.dist(anchor, p) for p, other in zip(points, person, strict=True) if other == who
        ]
        near = [
            math.dist(anchor, p) for p, other in zip(points, person, strict=True) if other != who
        ]
        gap = max(far) - min(near)
        total += math.log(1 + math.exp(gap)) if margin is None else max(0.0, margin + gap)
    return total / len(points)


@pytest.mark.parametrize("margin", [0.3, 0.0, 5.0, None], ids=["0.3", "0", "5", "soft"])
@pytest.mark.parametrize(
    "person",
    [
        pytest.param([0, 0, 1, 1, 2, 2], id="pairs"),
        pytest.param([3, 9, 3, 9, 9, 9], id="uneven and interleaved"),
    ],
)
def test_triplet_is_its_equation(person, margin):
    embedding = made(1, 6, 4)
    loss = batch_hard_triplet(embedding, torch.tensor(person), margin)
    assert loss.item() == pytest.approx(loops(embedding, person, margin))


def test_triplet_by_hand():
    embedding = torch.tensor([[0.0], [1.0], [3.0], [3.5]])
    # gaps: 1 - 3, 1 - 2, 0.5 - 2, 0.5 - 2.5
    loss = batch_hard_triplet(embedding, torch.tensor([0, 0, 1, 1]), margin=1.5)
    assert loss.item() == pytest.approx((0 + 0.5 + 0 + 0) / 4)


def test_triplet_keeps_small_distances_far_from_the_origin():
    near = torch.tensor([[0.0, 0.0], [1e-2, 0.0], [0.0, 3e-2], [1e-2, 3e-2]])
    person = torch.tensor([0, 0, 1, 1])
    padded = torch.cat([torch.full((4, 30), 50.0), near], 1)
    loss = batch_hard_triplet(padded, person)
    assert loss.item() == pytest.approx(batch_hard_triplet(near, person).item(), rel=1e-4)


@pytest.mark.parametrize("margin", [0.3, None], ids=["margin", "soft"])
def test_triplet_gradient(margin):
    person = torch.tensor([0, 0, 1, 1, 2, 2])
    embedding = made(2, 6, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: batch_hard_triplet(x, person, margin), embedding)


def test_half_precision_is_computed_in_float32():
    embedding, person = made(3, 6, 4).half(), torch.tensor([0, 0, 1, 1, 2, 2])
    loss = batch_hard_triplet(embedding, person)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(batch_hard_triplet(embedding.float(), person).item())


def test_equal_embeddings_give_a_finite_gradient():
    embedding = torch.zeros(4, 3, requires_grad=True)
    loss = batch_hard_triplet(embedding, torch.tensor([0, 0, 1, 1]))
    loss.backward()
    assert loss.item() == pytest.approx(0.3)
    assert torch.isfinite(embedding.grad).all()


@pytest.mark.parametrize(
    ("person", "message"),
    [
        pytest.param([0, 0, 1], "alone in the batch", id="alone"),
        pytest.param([4, 4, 4], "fills the batch", id="one person"),
    ],
)
def test_preconditions(person, message):
    with pytest.raises(ReidError, match=message):
        batch_hard_triplet(torch.zeros(3, 2), torch.tensor(person))
