"""The attentive ConvLSTM beside its equations as loops, its softmax, its start."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from reid.papers.attentive_convlstm.convlstm import AttentiveConvLSTM

Array = np.ndarray
READINGS = [
    pytest.param(over, kind, total, id=f"over a {over}, filters are {kind}, sum {total}")
    for over in ("clip", "frame")
    for kind in ("channels", "maps")
    for total in ("one", "places")
]


def layer(inputs=3, filters=2, attention_filters=2, steps=3, random=True, **options):
    torch.manual_seed(0)
    made = AttentiveConvLSTM(inputs, filters, attention_filters, steps, **options).double()
    if random:  # far from its even start
        for parameter in made.parameters():
            torch.nn.init.normal_(parameter, std=0.7)
    return made


def clip(frames=2, channels=3, height=3, width=2, count=2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = (count, frames, channels, height, width)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


# -- the equations, one number after the other -----------------------------------------------


def convolved(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """(C, H, W) by (O, C, 3, 3): zeros outside, the same size."""
    outputs, (channels, height, width) = len(weight), x.shape
    found = np.zeros((outputs, height, width))
    for o in range(outputs):
        for row in range(height):
            for column in range(width):
                total = 0.0 if bias is None else float(bias[o])
                for c in range(channels):
                    for dy in (-1, 0, 1):
                        for dx in (-1, 0, 1):
                            y, z = row + dy, column + dx
                            if 0 <= y < height and 0 <= z < width:
                                total += weight[o, c, dy + 1, dx + 1] * x[c, y, z]
                found[o, row, column] = total
    return found


def even_softmax(z: Array, over: str) -> Array:
    """(M, T, H, W): each map over all its places, or over those of a frame."""
    found = np.zeros_like(z)
    for m in range(z.shape[0]):
        for t in range(z.shape[1]):
            competing = z[m] if over == "clip" else z[m, t]
            total = sum(math.exp(value) for value in competing.ravel())
            for place in np.ndindex(z.shape[2:]):
                found[m, t][place] = math.exp(z[m, t][place]) / total
    return found


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def refined(made: AttentiveConvLSTM, frames: Array, over: str, total: str) -> tuple[Array, Array]:
    """H (T, F, H, W) and A (M, T, H, W) of the last step for one clip (T, C, H, W)."""
    w = {name: p.detach().numpy() for name, p in made.named_parameters()}
    count, channels, height, width = frames.shape
    filters, maps = made.filters, len(w["score.weight"])
    state = [np.zeros((filters, height, width)) for _ in range(count)]
    cell = [np.zeros((filters, height, width)) for _ in range(count)]
    attention = np.zeros(0)
    for _ in range(made.steps):
        z = np.zeros((maps, count, height, width))
        for t in range(count):
            seen = convolved(frames[t], w["attend_input.weight"], w["attend_input.bias"])
            seen = np.tanh(seen + convolved(state[t], w["attend_state.weight"]))
            z[:, t] = convolved(seen, w["score.weight"])
        attention = even_softmax(z, over)
        places = height * width * (count if over == "clip" else 1)
        for t in range(count):
            weighed = np.zeros((maps * channels, height, width))
            for m in range(maps):
                for c in range(channels):
                    scale = places if total == "places" else 1
                    weighed[m * channels + c] = scale * attention[m, t] * frames[t, c]
            gates = convolved(weighed, w["gate_input.weight"], w["gate_input.bias"])
            i, f, o, g = np.split(gates + convolved(state[t], w["gate_state.weight"]), 4)
            cell[t] = sigmoid(f) * cell[t] + sigmoid(i) * np.tanh(g)
            state[t] = sigmoid(o) * np.tanh(cell[t])
    return np.stack(state), attention


@pytest.mark.parametrize(("over", "kind", "total"), READINGS)
def test_equations_by_loops(over, kind, total):
    made, frames = layer(over=over, filters_are=kind, total=total), clip()
    with torch.no_grad():
        found = made(frames)
    assert found.weights.shape == (2, 2 if kind == "maps" else 1, 2, 3, 2)
    for b in range(2):
        maps, weights = refined(made, frames[b].numpy(), over, total)
        np.testing.assert_allclose(found.weights[b], weights, rtol=1e-9)
        np.testing.assert_allclose(found.maps[b], maps, rtol=1e-9)


@pytest.mark.parametrize("over", ["clip", "frame"])
@pytest.mark.parametrize("kind", ["channels", "maps"])
def test_a_frames_share_is_its_part_of_the_softmax_over_the_clip(over, kind):
    """The score of the last step is the same either way after a single step."""
    frames = clip(frames=4)
    made = layer(over=over, filters_are=kind, steps=1)
    by_clip = layer(over="clip", filters_are=kind, steps=1)
    with torch.no_grad():
        share, weights = made(frames).share, by_clip(frames).weights
    assert float((share - 0.25).abs().max()) > 0.01
    np.testing.assert_allclose(share, weights.sum((3, 4)).mean(1), rtol=1e-9)


# -- attention -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["channels", "maps"])
@pytest.mark.parametrize(("over", "axes"), [("clip", (2, 3, 4)), ("frame", (3, 4))])
def test_weights_have_the_sum_one_over_what_competes(over, axes, kind):
    with torch.no_grad():
        found = layer(over=over, filters_are=kind)(clip(frames=5, height=4))
    assert float(found.weights.std()) > 0.01
    np.testing.assert_allclose(found.weights.sum(axes), 1, rtol=1e-9)
    np.testing.assert_allclose(found.share.sum(1), 1, rtol=1e-9)


@pytest.mark.parametrize(("over", "places"), [("clip", 5 * 4 * 2), ("frame", 4 * 2)])
def test_attention_begins_even(over, places):
    made = layer(over=over, random=False)
    with torch.no_grad():
        found = made(clip(frames=5, height=4))
    np.testing.assert_allclose(found.weights, 1 / places, rtol=1e-9)
    np.testing.assert_allclose(found.share, 1 / 5, rtol=1e-9)


@pytest.mark.parametrize("over", ["clip", "frame"])
def test_even_weights_times_their_places_leave_the_input_as_it_is(over):
    frames = clip(frames=3)
    made = layer(over=over, total="places", filters_are="maps")
    even = made.softmax(torch.zeros(2, 2, 3, 3, 2, dtype=torch.float64))
    weighed = made.weigh(frames, even)
    np.testing.assert_allclose(weighed, torch.cat([frames, frames], 2), rtol=1e-9)


@pytest.mark.parametrize(("over", "others_change"), [("clip", True), ("frame", False)])
def test_frames_meet_in_the_softmax_alone(over, others_change):
    made, frames = layer(over=over), clip(frames=3)
    changed = frames.clone()
    changed[:, 1] *= 2
    with torch.no_grad():
        before, after = made(frames).maps, made(changed).maps
        order = [2, 0, 1]
        shuffled = made(frames[:, order]).maps
    assert not torch.allclose(before[:, 1], after[:, 1])
    assert torch.allclose(before[:, [0, 2]], after[:, [0, 2]]) is not others_change
    torch.testing.assert_close(shuffled, before[:, order])


def test_clips_of_a_batch_do_not_meet():
    made, frames = layer(), clip(count=3)
    with torch.no_grad():
        together, alone = made(frames), made(frames[1:2])
    for several, one in zip(together, alone, strict=True):
        torch.testing.assert_close(several[1:2], one)


# -- start and size --------------------------------------------------------------------------


def test_it_starts_as_published():
    torch.manual_seed(0)
    made = AttentiveConvLSTM(16, 16, 12)
    assert not made.score.weight.any()
    assert made.score.bias is None
    for normal in (made.attend_input, made.attend_state, made.gate_input):
        assert float(normal.weight.detach().std()) == pytest.approx(0.05, rel=0.1)
    for gate in made.gate_state.weight.detach().chunk(4):
        rows = gate.flatten(1)
        torch.testing.assert_close(rows @ rows.T, torch.eye(16))
    for biased in (made.attend_input, made.gate_input):
        assert biased.bias is not None
        assert not biased.bias.any()


def test_attention_learns_from_its_even_start():
    made = layer(random=False)
    frames, wanted = clip(), clip(channels=2).tanh()
    optimizer = torch.optim.SGD(made.parameters(), 0.5)
    first = last = 0.0
    for step in range(60):
        error = (made(frames).maps - wanted).square().mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        first, last = (error.item() if step == 0 else first), error.item()
    assert last < 0.9 * first
    with torch.no_grad():
        assert float(made(frames).weights.std()) > 1e-3
    assert all(p.grad is not None and p.grad.any() for p in made.parameters())


@pytest.mark.parametrize(
    ("kind", "filters", "parameters"),
    [
        pytest.param("channels", 1, 289 + 288 + 9 + 36_992 + 36_864, id="one channel"),
        pytest.param("channels", 3, 867 + 864 + 27 + 36_992 + 36_864, id="three channels"),
        pytest.param(
            "maps", 3, 9248 + 9216 + 864 + (3 * 36_864 + 128) + 36_864, id="three maps"
        ),
    ],
)  # fmt: skip
def test_parameters_at_full_size(kind, filters, parameters):
    made = AttentiveConvLSTM(32, 32, filters, filters_are=kind)
    assert sum(p.numel() for p in made.parameters()) == parameters
