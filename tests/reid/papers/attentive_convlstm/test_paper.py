"""The siamese video network: samples, crops, attention, pairs, loss, recipe, tables."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from reid.data.clips import Clips
from reid.evaluation.distances import distance_blocks
from reid.papers.attentive_convlstm.frame_cnn import standardized
from reid.papers.attentive_convlstm.method import METHOD as method
from reid.papers.attentive_convlstm.network import VideoNetwork, place_weights
from reid.papers.attentive_convlstm.paper import PAPER as paper
from reid.papers.attentive_convlstm.paper import Params
from reid.papers.attentive_convlstm.recipe import windows
from reid.project.errors import ReidError
from reid.project.params import check

SMALL = {"height": 24, "width": 20, "crop": 4, "test_crops": 4, "channels": (4, 6, 8),
         "filters": 8, "feature": 12, "length": 3}  # fmt: skip
MEAN = torch.tensor([1.0, 2.0, 3.0])  # the training images' own: never used


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def small(**overrides) -> Params:
    return Params.model_validate({**SMALL, **overrides})


def views(params: Params, count: int = 2, frames: int = 3) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    shape = (count, frames, params.height, params.width)
    return {
        "image": torch.randint(256, (*shape, 3), generator=generator).byte(),
        "flow": torch.randint(-300, 300, (*shape, 2), generator=generator).short(),
    }


def network_of(params: Params, classes: int = 5, random: bool = True) -> VideoNetwork:
    torch.manual_seed(0)
    network = method.build(params, classes).eval()
    if random and network.attention is not None:  # it begins even
        torch.nn.init.normal_(network.attention.score.weight)
    return network


def crops(params: Params, count: int = 2, frames: int = 3) -> dict[str, torch.Tensor]:
    batch = views(params, count, frames)
    return method.normalize(
        params, {**batch, "window": torch.tensor([[1, 2, 0]] * count)}, MEAN
    )  # fmt: skip


# -- samples ---------------------------------------------------------------------------------


def test_view_keeps_flow_in_pixels_of_the_original_frame():
    image = np.full((128, 64, 3), 9, np.uint8)
    flow = np.stack([np.full((128, 64), 5.0), np.full((128, 64), -0.25)], -1).astype(np.float32)
    found = method.view(Params(), image, {"flow": flow})
    assert {n: (a.shape, a.dtype.name) for n, a in found.items()} == {
        "image": ((64, 48, 3), "uint8"),
        "flow": ((64, 48, 2), "int16"),
    }
    assert (found["image"] == 9).all()
    assert (found["flow"] == [5 * 64, -16]).all()


def test_view_cuts_flow_off_where_a_byte_ends():
    flow = np.full((64, 48, 2), (-400.0, 400.0), np.float32)
    found = method.view(Params(), np.zeros((64, 48, 3), np.uint8), {"flow": flow})["flow"]
    assert (found == [-127 * 64, 128 * 64]).all()


def test_a_frame_without_flow_is_an_error_that_names_it():
    with pytest.raises(ReidError, match=r"p1/f2: no optical flow.*`reid flow`"):
        method.view(Params(), np.zeros((64, 48, 3), np.uint8), {"image_id": "p1/f2", "flow": None})


def test_a_clip_has_one_crop_and_one_flip():
    params, batch = Params(), views(Params(), count=400, frames=1)
    batch = {name: values[:, :, :1, :1] for name, values in batch.items()}
    found = method.augment(params, batch, torch.Generator().manual_seed(0))
    assert all(torch.equal(found[name], batch[name]) for name in batch)
    window = found["window"]
    assert window.shape == (400, 3)
    for offset in (window[:, 0], window[:, 1]):
        assert sorted(offset.unique().tolist()) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert not torch.equal(window[:, 0], window[:, 1])
    assert 150 < int(window[:, 2].sum()) < 250
    again, other = (
        method.augment(params, batch, torch.Generator().manual_seed(seed))["window"]
        for seed in (0, 1)
    )
    assert torch.equal(again, window)
    assert not torch.equal(other, window)


@pytest.mark.parametrize(
    ("values", "offsets", "flips"),
    [({"flip": 0}, {1, 2, 3, 4}, {0}), ({"crop": 0, "test_crops": 1, "flip": 1}, {0}, {1})],
)
def test_without_flips_and_without_crops(values, offsets, flips):
    params = small(**values)
    window = method.augment(params, views(params, 50), torch.Generator())["window"]
    assert {*window[:, :2].flatten().tolist()} == offsets
    assert {*window[:, 2].tolist()} == flips


def cropped(clip: np.ndarray, top: int, left: int, flip: int, params: Params) -> np.ndarray:
    """A standardised clip (T, 5, h, w): flipped, cut, each frame less its mean."""
    if flip:
        clip = clip[..., ::-1] * np.array([1, 1, 1, -1, 1])[:, None, None]
    height, width = params.size
    inside = clip[:, :, top : top + height, left : left + width]
    return inside - inside.mean((1, 2, 3), keepdims=True)


def test_whole_frames_are_standardised_before_they_are_cut():
    params, batch = small(), views(small(), count=3)
    windows = [(1, 4, 0), (2, 2, 1), (4, 1, 1)]
    found = method.normalize(params, {**batch, "window": torch.tensor(windows)}, MEAN)["image"]
    assert found.shape == (3, 3, 5, 20, 16)
    whole = standardized(batch["image"], batch["flow"] / 64)
    for clip, window, crop in zip(whole.numpy(), windows, found, strict=True):
        np.testing.assert_allclose(crop, cropped(clip, *window, params), atol=1e-5)


def test_a_test_gets_whole_frames():
    params, batch = small(std_root="std"), views(small())
    found = method.normalize(params, batch, MEAN)["image"]
    torch.testing.assert_close(found, standardized(batch["image"], batch["flow"] / 64, "std"))
    torch.testing.assert_close(found.std((3, 4)), torch.ones(2, 3, 5))


# -- test rule -------------------------------------------------------------------------------


def test_sixteen_versions_are_those_cropped_and_flipped_by_hand():
    params = Params(channels=(2, 3, 4), filters=4, feature=6)
    network, whole = network_of(params), method.normalize(params, views(params), MEAN)
    with torch.no_grad():
        found = method.embed(network, params, whole)
        expected = []
        for corner in range(1, 9):
            for flip in (0, 1):
                clips = [
                    cropped(clip, corner, corner, flip, params) for clip in whole["image"].numpy()
                ]
                image = torch.from_numpy(np.stack(clips)).float()
                expected.append(network({"image": image})["feature"])
    assert method.feature_parts(params) == 16
    assert found.shape == (2, 16 * 6)
    torch.testing.assert_close(found, torch.cat(expected, 1), atol=1e-4, rtol=1e-4)
    distance = sum(float((a - b).norm()) for a, b in expected)
    (block,) = distance_blocks(found[:1].numpy(), found[1:].numpy(), "euclidean", parts=16)
    assert block.item() == pytest.approx(distance, rel=1e-3)


@pytest.mark.parametrize(
    ("crops", "flips", "expected"),
    [
        (1, False, [(4, 4, 0)]),
        (1, True, [(4, 4, 0), (4, 4, 1)]),
        (2, False, [(2, 2, 0), (6, 6, 0)]),
        (4, False, [(1, 1, 0), (3, 3, 0), (5, 5, 0), (7, 7, 0)]),
        (8, False, [(c, c, 0) for c in range(1, 9)]),
    ],
)
def test_fewer_versions_are_spread_over_the_diagonal(crops, flips, expected):
    params = Params(test_crops=crops, test_flips=flips)
    assert windows(params) == expected
    assert method.feature_parts(params) == len(expected)


def test_one_crop_without_flip_is_one_feature():
    params = small(test_crops=1, test_flips=False)
    network, batch = network_of(params), views(params)
    with torch.no_grad():
        found = method.embed(network, params, method.normalize(params, batch, MEAN))
        central = method.normalize(params, {**batch, "window": torch.tensor([[2, 2, 0]] * 2)}, MEAN)
        torch.testing.assert_close(found, network(central)["feature"])


def test_clips_of_training_and_test():
    assert paper.clips(Params()) == Clips(16, "consecutive", "ends", 128, "skip")
    changed = Params(length=8, test_length=40, short="repeat")
    assert paper.clips(changed) == Clips(8, "consecutive", "ends", 40, "repeat")


# -- network ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "attention"),
    [
        ({"attention_filters": 0}, 0),
        ({"attention_filters": 1}, 289 + 288 + 9 + 36_992 + 36_864),
        ({"attention_filters": 3}, 867 + 864 + 27 + 36_992 + 36_864),
        ({"attention_filters": 0, "recurrent": True}, 128 * 128 + 128),
    ],
)
def test_parameters_at_full_size(values, attention):
    network = method.build(Params(**values), 150)
    convolutions = (5 * 16 * 25 + 16) + (16 * 32 * 25 + 32) + (32 * 32 * 25 + 32)
    fully_connected = (32 * 10 * 8 * 128 + 128) + (128 * 150 + 150)
    found = sum(p.numel() for p in network.parameters())
    assert found == convolutions + fully_connected + attention


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"attention_filters": 0},
        {"attention_over": "frame"},
        {"filters_are": "maps", "filters": 5},
        {"recurrent": True},
    ],
)
def test_features_have_length_one_for_clips_of_any_length(values):
    params = small(**values)
    network = network_of(params)
    for frames in (1, 3, 7):
        with torch.no_grad():
            output = network(crops(params, frames=frames))
        assert output["feature"].shape == (2, 12)
        assert method.training_logits(output).shape == (2, 5)
        torch.testing.assert_close(output["feature"].norm(dim=1), torch.ones(2))


def frame_features(network: VideoNetwork, maps: torch.Tensor) -> torch.Tensor:
    """(B, T, C, h, w) to (B, T, 12): each frame's fully connected layer by itself."""
    return torch.stack([network.linear(frame.flatten(1)) for frame in maps.unbind(1)], 1)


def test_without_filters_it_is_the_average_over_frames():
    params = small(attention_filters=0)
    network, batch = network_of(params), crops(params)
    with torch.no_grad():
        maps = torch.stack([network.cnn(frame) for frame in batch["image"].unbind(1)], 1)
        mean = frame_features(network, maps).mean(1)
        output = network(batch)
        assert network.attention is None
        torch.testing.assert_close(output["feature"], mean / mean.norm(dim=1, keepdim=True))
        torch.testing.assert_close(output["logits"], network.classifier(output["feature"]))


@pytest.mark.parametrize("over", ["clip", "frame"])
def test_attention_stands_between_maps_and_average(over):
    params = small(attention_over=over)
    network, batch = network_of(params), crops(params, frames=4)
    with torch.no_grad():
        attended = network.attention(network.maps(batch["image"]))
        each = frame_features(network, attended.maps)
        weight = attended.share if over == "frame" else torch.full((2, 4), 0.25)
        assert float((attended.share - 0.25).abs().max()) > 1e-3
        mean = torch.stack([weight[:, t, None] * each[:, t] for t in range(4)]).sum(0)
        expected = mean / mean.norm(dim=1, keepdim=True)
        torch.testing.assert_close(network(batch)["feature"], expected)


def test_recurrence_by_loops():
    params = small(attention_filters=0, recurrent=True)
    network, batch = network_of(params), crops(params, frames=4)
    with torch.no_grad():
        each = frame_features(network, network.maps(batch["image"]))
        for b in range(2):
            outputs = [each[b, 0]]
            for t in range(1, 4):
                layer = network.recurrent
                outputs.append(each[b, t] + layer.weight @ outputs[-1].tanh() + layer.bias)
            mean = torch.stack(outputs).mean(0)
            torch.testing.assert_close(network(batch)["feature"][b], mean / mean.norm())


@pytest.mark.parametrize("values", [{}, {"attention_over": "frame"}, {"filters_are": "maps"}])
def test_weights_of_places(values):
    params = small(**values)
    network, batch = network_of(params), method.normalize(params, views(params), MEAN)
    with torch.no_grad():
        weights = place_weights(network, batch)
        shown = method.attention_maps(network, batch)["image"]["attention"]
    assert weights.shape == (2, 3, 6, 5)
    assert shown.shape == (2, 3, 24, 20)
    torch.testing.assert_close(weights.sum((1, 2, 3)), torch.ones(2))
    assert float(weights.std()) > 1e-4
    assert float(shown.min()) >= float(weights.min())
    assert float(shown.max()) <= float(weights.max()) + 1e-6


def test_weights_of_places_are_those_that_the_network_uses():
    params = small()
    network, batch = network_of(params), views(params)
    central = {**batch, "window": torch.tensor([[2, 2, 0]] * 2)}
    with torch.no_grad():
        maps = network.maps(method.normalize(params, central, MEAN)["image"])
        weights = place_weights(network, method.normalize(params, batch, MEAN))
        torch.testing.assert_close(weights, network.attention(maps).weights[:, 0])


def test_attention_begins_even_and_none_has_no_maps():
    params = small()
    batch = method.normalize(params, views(params), MEAN)
    with torch.no_grad():
        even = place_weights(network_of(params, random=False), batch)
    torch.testing.assert_close(even, torch.full((2, 3, 6, 5), 1 / 90))
    assert method.attention_maps(network_of(small(attention_filters=0)), batch) == {}


@pytest.mark.parametrize("over", ["clip", "frame"])
def test_even_attention_stays_even_while_all_else_learns(over):
    params = small(attention="even", attention_over=over, dropout=0)
    network, person = network_of(params, random=False), torch.tensor([0, 1, 2, 2])
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = method.optimizer(params, network)
    for _ in range(3):
        optimizer.zero_grad()
        method.loss(params, network(crops(params, 4)), person)["loss"].backward()
        optimizer.step()
    kept = {n for n, value in network.state_dict().items() if torch.equal(value, before[n])}
    assert kept == {f"attention.{n}.weight" for n in ("score", "attend_input", "attend_state")} | {
        "attention.attend_input.bias"
    }
    with torch.no_grad():
        attended = network.attention(network.maps(crops(params)["image"]))
    places = attended.weights[0].numel() // (1 if over == "clip" else 3)
    torch.testing.assert_close(attended.weights, torch.full_like(attended.weights, 1 / places))
    torch.testing.assert_close(attended.share, torch.full((2, 3), 1 / 3))


# -- pairs -----------------------------------------------------------------------------------

TARGETS = np.array([4, 4, 0, 1, 1, 1, 0, 7, 3, 3])  # 7 has one tracklet


def test_pairs_alternate_and_never_hold_a_tracklet_twice():
    sampler = method.sampler(Params(), TARGETS, seed=3)
    assert len(sampler) == 8
    met = set()
    for epoch in range(40):
        batches = sampler.batches(epoch)
        assert [batch.shape for batch in batches] == [(2,)] * 8
        assert all(a != b for a, b in batches)
        same = [bool(TARGETS[a] == TARGETS[b]) for a, b in batches]
        assert same == [False, True] * 4
        assert {int(TARGETS[a]) for a, _ in batches[1::2]} == {0, 1, 3, 4}
        met |= {int(number) for batch in batches for number in batch}
    assert met == set(range(10))


def test_an_epoch_of_several_rounds_has_every_person_in_each():
    sampler = method.sampler(Params(rounds=3), TARGETS, seed=3)
    batches = sampler.batches(0)
    assert len(batches) == len(sampler) == 3 * 8
    positive = [TARGETS[batch[0]] for batch in batches[1::2]]
    for first in (0, 4, 8):
        assert sorted(positive[first : first + 4]) == [0, 1, 3, 4]


def test_pairs_depend_on_seed_and_epoch_alone():
    one, two = (method.sampler(Params(), TARGETS, seed=3) for _ in range(2))
    three = method.sampler(Params(), TARGETS, seed=4)
    first, *others = (np.concatenate(s.batches(e)) for s, e in ((one, 5), (two, 5), (three, 5)))
    assert np.array_equal(first, others[0])
    assert not np.array_equal(first, others[1])
    assert not np.array_equal(first, np.concatenate(one.batches(6)))


def test_several_pairs_a_batch():
    sampler = method.sampler(Params(pairs=3), TARGETS, seed=0)
    batches = sampler.batches(0)
    assert [len(batch) for batch in batches] == [6, 6, 4]
    assert len(sampler) == 3
    single = np.concatenate(method.sampler(Params(), TARGETS, seed=0).batches(0))
    assert np.array_equal(np.concatenate(batches), single)


@pytest.mark.parametrize(
    ("targets", "message"),
    [([0, 1, 2], "3 persons, 0 with two"), ([5, 5, 5], "1 persons, 1 with two")],
)
def test_too_few_tracklets_for_pairs(targets, message):
    with pytest.raises(ReidError, match=message):
        method.sampler(Params(), np.array(targets), seed=0)


# -- loss ------------------------------------------------------------------------------------


def loss_by_loops(feature, logits, person, margin: float) -> tuple[float, float]:
    """Hinge and identity, mean over pairs, one number after the other."""
    hinge = identity = 0.0
    pairs = len(person) // 2
    for i in range(pairs):
        a, b = 2 * i, 2 * i + 1
        d = math.sqrt(
            sum((float(x) - float(y)) ** 2 for x, y in zip(*feature[[a, b]], strict=True))
        )
        hinge += (d if person[a] == person[b] else max(0.0, margin - d)) / pairs
        for clip in (a, b):
            total = sum(math.exp(value) for value in logits[clip].tolist())
            identity -= math.log(math.exp(float(logits[clip, person[clip]])) / total) / pairs
    return hinge, identity


@pytest.mark.parametrize("margin", [2.0, 0.9])
def test_loss_by_loops(margin):
    torch.manual_seed(0)
    feature = functional.normalize(torch.randn(8, 6), dim=1)
    logits, person = torch.randn(8, 4), torch.tensor([0, 0, 1, 3, 2, 2, 3, 0])
    found = method.loss(small(margin=margin), {"feature": feature, "logits": logits}, person)
    hinge, identity = loss_by_loops(feature, logits, person.tolist(), margin)
    assert float(found["hinge"]) == pytest.approx(hinge, rel=1e-5)
    assert float(found["identity"]) == pytest.approx(identity, rel=1e-5)
    assert float(found["loss"]) == pytest.approx(hinge + identity, rel=1e-5)


def test_equal_features_have_a_gradient():
    feature = functional.normalize(torch.ones(4, 6), dim=1).requires_grad_()
    logits = torch.zeros(4, 2)
    person = torch.tensor([0, 0, 0, 1])
    method.loss(small(), {"feature": feature, "logits": logits}, person)["loss"].backward()
    assert feature.grad is not None
    assert torch.isfinite(feature.grad).all()


def test_half_a_pair_is_an_error():
    output = {"feature": torch.zeros(3, 4), "logits": torch.zeros(3, 2)}
    with pytest.raises(ReidError, match="3 clips is not made of pairs"):
        method.loss(small(), output, torch.tensor([0, 0, 1]))


# -- recipe ----------------------------------------------------------------------------------


def steps_of(optimizer, layer: torch.nn.Linear, gradients: list[float]) -> list[float]:
    """One step with these gradients of the weights; how far each moved."""
    before = layer.weight.detach().clone()
    layer.weight.grad = torch.tensor([gradients])
    optimizer.step()
    return (layer.weight.detach() - before)[0].tolist()


def test_every_value_of_a_gradient_is_limited():
    layer = torch.nn.Linear(4, 1, bias=False)
    optimizer = method.optimizer(Params(learning_rate=0.1), layer)
    moved = steps_of(optimizer, layer, [100.0, -7.0, 4.0, -0.5])
    assert moved == pytest.approx([-0.5, 0.5, -0.4, 0.05])
    moved = steps_of(optimizer, layer, [0.0, -7.0, 4.0, 1e9])  # momentum 0.9 of what was limited
    assert moved == pytest.approx([-0.45, 0.95, -0.76, 0.045 - 0.5])


def test_what_the_learning_rate_does():
    params = Params()
    assert [method.learning_rate(params, epoch) for epoch in (0, 250.5, 499)] == [1e-3] * 3
    short = Params(schedule="one_cycle", epochs=10, learning_rate=0.05)
    rates = [method.learning_rate(short, epoch) for epoch in (0, 3, 10)]
    assert rates == pytest.approx([0.002, 0.05, 0])


def test_params_are_the_published_ones():
    params = Params()
    assert (params.epochs, params.pairs, params.margin, params.length) == (500, 1, 2, 16)
    assert (params.momentum, params.gradient_limit, params.dropout) == (0.9, 5, 0.6)
    assert (params.size, params.steps, params.attention_filters) == ((56, 40), 4, 3)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"attention_filters": 0},
        {"attention_over": "frame", "filters_are": "maps"},
        {"recurrent": True, "std_root": "std"},
    ],
)
def test_learns_a_batch_of_pairs_by_heart(values):
    """Clips of four persons in coarse clothes, half of them in other light."""
    params = small(dropout=0, learning_rate=0.05, crop=2, test_crops=1, flip=0, **values)
    person = torch.tensor([0, 1, 0, 0, 2, 3, 2, 2])  # pairs: other, same, other, same
    clothes = torch.randint(256, (4, 1, 3, 2, 3), generator=torch.Generator().manual_seed(1))
    coarse = clothes.repeat_interleave(3, 1).repeat_interleave(8, 2).repeat_interleave(10, 3)
    image = coarse[person]
    image[::2] = 255 - (255 - image[::2]) // 2
    batch = {"image": image.byte(), "flow": views(params, 8)["flow"] // 10}
    torch.manual_seed(0)
    network = method.build(params, 4).train()
    optimizer = method.optimizer(params, network)
    right, hinge, steps = 0, 9.0, 0
    while steps < 150 and (right < 8 or hinge > 0.3):
        drawn = method.augment(params, batch, torch.Generator().manual_seed(steps))
        output = network(method.normalize(params, drawn, MEAN))
        found = method.loss(params, output, person)
        optimizer.zero_grad()
        found["loss"].backward()
        optimizer.step()
        right = int((method.training_logits(output).argmax(1) == person).sum())
        hinge, steps = float(found["hinge"]), steps + 1
    assert right == 8
    assert hinge <= 0.3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"crop": 41}, "crop 41 leaves less than 8 pixels a side"),
        ({"test_crops": 9}, "test_crops 9: a crop has 8 places"),
        ({"crop": 0, "test_crops": 2}, "test_crops 2: a crop has 1 places"),
        ({"channels": [16, 0, 32]}, r"channels\.1: .*greater than or equal to 1"),
        ({"channels": [16, 32]}, "channels"),
        ({"attention_filters": -1}, "attention_filters.*greater than or equal to 0"),
        ({"attention_over": "person"}, "attention_over.*'clip' or 'frame'"),
        ({"filter_are": "maps"}, "did you mean `filters_are`"),
        ({"dropout": 1}, "dropout"),
        ({"attention": "even", "attention_filters": 0}, "attention_filters: 0 is no attention"),
    ],
)
def test_parameters_that_make_no_network(values, message):
    with pytest.raises(ReidError, match=message):
        check(Params, values, "attentive_convlstm")


# -- tables ----------------------------------------------------------------------------------


def test_table_2_is_over_the_filters_and_competitors_are_never_trained():
    rows = paper.tables[2].rows
    assert [row.overrides for row in rows] == [{"attention_filters": n} for n in range(5)]
    trained = [row.name for row in paper.tables[1].rows if row.overrides is not None]
    assert trained == ["Ours"]


@pytest.mark.parametrize(
    ("number", "name", "metric", "value"),
    [
        (1, "Ours", "r1", 63.3),
        (1, "Xu", "r20", 98),
        (1, "Zhang", "r5", 85.1),
        (1, "McLaughlin", "r1", 58),
        (1, "Yan", "r10", 85.3),
        (2, "0", "r1", 60.5),
        (2, "1", "r5", 85.7),
        (2, "2", "r20", 97.3),
        (2, "4", "r10", 93.9),
    ],
)
def test_printed_numbers(number, name, metric, value):
    assert paper.tables[number].row(name).printed["ilids_vid"][metric] == value


def test_what_is_not_printed_is_not_there():
    assert set(paper.tables[1].row("Zheng").printed["ilids_vid"]) == {"r1", "r5", "r20"}
