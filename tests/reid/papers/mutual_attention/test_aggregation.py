"""Features of clips from those of frames, each against loops over frames and values."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from reid.papers.mutual_attention import aggregation


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def random_maps(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    dot = sum(a * b for a, b in zip(one, other, strict=True))
    length = math.sqrt(sum(a * a for a in one)) * math.sqrt(sum(b * b for b in other))
    return dot / length


def embedded(vector: np.ndarray, layers: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """e: two fully connected layers with ReLU between, value by value."""
    (first, bias), (second, other_bias) = layers
    hidden = [max(0.0, bias[i] + sum(first[i] * vector)) for i in range(len(bias))]
    return np.array([b + sum(second[i] * hidden) for i, b in enumerate(other_bias)])


def added(frames: np.ndarray, layers, reference: str, normalized: bool):
    """Weights and phi of equations 6 to 8 of one clip (T, C)."""
    count, width = frames.shape
    if reference == "max":
        of_clip = np.array([max(frames[t, c] for t in range(count)) for c in range(width)])
    else:
        of_clip = frames[max(range(count), key=lambda t: sum(frames[t]))]
    middle = embedded(of_clip, layers)
    weights = [math.exp(likeness(embedded(x, layers), middle)) for x in frames]
    if normalized:
        weights = [w / sum(weights) for w in weights]
    return weights, sum(w * x for w, x in zip(weights, frames, strict=True))


def layers_of(module: aggregation.WeightedAddition):
    pairs = [(m.weight, m.bias) for m in module.embedding if isinstance(m, nn.Linear)]
    return [tuple(p.detach().double().numpy() for p in pair) for pair in pairs]


@pytest.mark.parametrize("reference", ["max", "frame"])
@pytest.mark.parametrize("normalized", [False, True], ids=["literal", "normalized"])
def test_weighted_addition_frame_by_frame(reference, normalized):
    torch.manual_seed(2)
    module = aggregation.WeightedAddition(5, reference, normalized=normalized)
    frames = random_maps(3, 4, 5)
    with torch.no_grad():
        weights, found = module.weights(frames), module(frames, frames[..., None, None])
    for clip in range(3):
        expected = added(frames[clip].double().numpy(), layers_of(module), reference, normalized)
        np.testing.assert_allclose(weights[clip], expected[0], rtol=1e-5)
        np.testing.assert_allclose(found[clip], expected[1], rtol=1e-4, atol=1e-6)
    if normalized:
        torch.testing.assert_close(weights.sum(1), torch.ones(3))
    else:
        assert weights.min() >= 1 / math.e
        assert weights.max() <= math.e + 1e-6


def test_references_differ_and_the_frame_is_its_own_reference():
    torch.manual_seed(2)
    frames = random_maps(1, 4, 5)
    by_max, by_frame = aggregation.WeightedAddition(5), aggregation.WeightedAddition(5, "frame")
    by_frame.load_state_dict(by_max.state_dict())
    chosen = frames[0].sum(1).argmax()
    assert by_frame.weights(frames)[0, chosen].item() == pytest.approx(math.e)
    assert by_max.weights(frames)[0, chosen].item() < math.e - 1e-3


def test_streams_have_the_frame_that_is_strongest_in_all_together():
    one, other = torch.zeros(2, 3, 5), torch.zeros(2, 3, 5)
    one[:, 0], one[:, 1], other[:, 1], other[0, 2] = 3, 2, 2, 9
    assert aggregation.strongest([one]).tolist() == [0, 0]
    assert aggregation.strongest([one, other]).tolist() == [2, 1]
    module = aggregation.WeightedAddition(5, "frame")
    frames = random_maps(2, 3, 5)
    at = torch.tensor([2, 1])
    weights = module.weights(frames, at)
    assert weights[[0, 1], at].tolist() == pytest.approx([math.e, math.e])
    assert not torch.allclose(weights, module.weights(frames))


def test_literal_weights_grow_with_the_clip_and_normalized_ones_do_not():
    torch.manual_seed(0)
    frames = random_maps(2, 3, 5)
    twice = torch.cat([frames, frames], 1)
    for normalized, factor in ((False, 2), (True, 1)):
        module = aggregation.WeightedAddition(5, normalized=normalized)
        torch.testing.assert_close(module(twice, twice), factor * module(frames, frames))


# -- the other aggregations ------------------------------------------------------------------


def test_average_and_maximum():
    frames = random_maps(2, 3, 4)
    average, most = (aggregation.Pool(4, kind)(frames, frames) for kind in ("average", "max"))
    for b, c in product(range(2), range(4)):
        values = [float(frames[b, t, c]) for t in range(3)]
        assert float(average[b, c]) == pytest.approx(sum(values) / 3, abs=1e-6)
        assert float(most[b, c]) == max(values)


def test_temporal_attention_frame_by_frame():
    torch.manual_seed(1)
    module = aggregation.TemporalAttention(3, (2, 2), middle=6)
    maps = random_maps(2, 4, 3, 2, 2)
    with torch.no_grad():
        weights, found = module.weights(maps), module(maps.mean((-2, -1)), maps)
    spatial, bias = (p.detach().double().numpy() for p in module.spatial.parameters())
    temporal, shift = (p.detach().double().numpy() for p in module.temporal.parameters())
    for b in range(2):
        clip = maps[b].double().numpy()
        middle = [[max(0.0, bias[k] + (spatial[k] * x).sum()) for k in range(6)] for x in clip]
        scores = []
        for t in range(4):
            total = shift[0]
            for step in (-1, 0, 1):
                if 0 <= t + step < 4:  # outside the clip there are zeros
                    total += sum(temporal[0, k, step + 1] * middle[t + step][k] for k in range(6))
            scores.append(max(0.0, total))
        share = [math.exp(s) / sum(math.exp(other) for other in scores) for s in scores]
        np.testing.assert_allclose(weights[b], share, rtol=1e-5)
        expected = sum(w * x.mean((1, 2)) for w, x in zip(share, clip, strict=True))
        np.testing.assert_allclose(found[b], expected, atol=1e-6)
    assert weights.std() > 1e-3


def test_recurrent_is_the_mean_of_an_lstm_step_by_step():
    torch.manual_seed(1)
    module = aggregation.Recurrent(3, 2)
    frames = random_maps(2, 4, 3)
    with torch.no_grad():
        found = module(frames, frames)
    inputs, states, bias, other = (p.detach().double().numpy() for p in module.lstm.parameters())

    def sigmoid(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-x))

    for b in range(2):
        hidden, cell, total = np.zeros(2), np.zeros(2), np.zeros(2)
        for x in frames[b].double().numpy():
            gates = (inputs @ x + bias + states @ hidden + other).reshape(4, 2)
            cell = sigmoid(gates[1]) * cell + sigmoid(gates[0]) * np.tanh(gates[2])
            hidden = sigmoid(gates[3]) * np.tanh(cell)
            total += hidden
        np.testing.assert_allclose(found[b], total / 4, atol=1e-6)
    assert found.shape == (2, 2)
