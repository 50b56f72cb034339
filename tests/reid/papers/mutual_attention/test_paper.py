"""Mutual attention of images and flow: samples, equations, aggregation, network, recipe, tables."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from reid.nn import backbones, flow_views
from reid.papers.mutual_attention.method import METHOD as method
from reid.papers.mutual_attention.network import activations, frame_weights
from reid.papers.mutual_attention.paper import PAPER as paper
from reid.papers.mutual_attention.paper import Params
from reid.project.errors import ReidError
from reid.project.params import check
from tests.reid.papers.mutual_attention.test_aggregation import added, layers_of, random_maps
from tests.reid.papers.mutual_attention.test_two_stream import by_loops, kernels

TINY = {
    "backbone": "resnet10t",
    "channels": (8, 8, 12, 16),
    "gate_channels": (4, 4, 6, 6, 6),
    "weights": "",
    "height": 64,
    "width": 32,
    "sequence_length": 3,
}
MODELS = ("one_stream", "two_stream", "gated", "mutual")
KINDS = ("average", "max", "temporal_attention", "rnn", "weighted_addition")
MEAN = torch.tensor([1.0, 2.0, 3.0])  # the training images' own: never used


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def tiny(**overrides) -> Params:
    return Params.model_validate({**TINY, **overrides})


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def clips_of(params: Params, count: int, frames: int = 3, seed: int = 1) -> dict[str, torch.Tensor]:
    """Random clips as the trainer gives them, (B, T, h, w, c)."""
    draw, shape = generator(seed), (count, frames, params.height, params.width)
    found = {"image": torch.randint(256, (*shape, 3), generator=draw).byte()}
    if "flow" in params.views:
        found["flow"] = torch.randint(-640, 641, (*shape, 2), generator=draw).short()
    return found


def run(params: Params, count: int = 2, frames: int = 3):
    """A network of 5 persons in eval mode, a normalised batch, and what it gives."""
    torch.manual_seed(0)
    network = method.build(params, 5)
    for layer in network.modules():  # residual branches begin as zero, and would hide mistakes
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1)
    batch = method.normalize(params, clips_of(params, count, frames), MEAN)
    with torch.no_grad():
        return network, batch, network.eval()(batch)


# -- samples ---------------------------------------------------------------------------------


def test_view_resizes_flow_and_scales_its_vectors_with_the_size():
    flow = np.empty((100, 80, 2), np.float32)
    flow[:, :40], flow[:, 40:] = (5, -3), (1, 0.1)
    image = np.full((100, 80, 3), 7, np.uint8)
    found = method.view(tiny(), image, {"flow": flow})
    assert {n: (a.shape, a.dtype.name) for n, a in found.items()} == {
        "image": ((64, 32, 3), "uint8"),
        "flow": ((64, 32, 2), "int16"),
    }
    assert next(iter(found)) == "image", "the first view: channel means are its"
    assert found["flow"][5, 3].tolist() == [64 * 5 * 32 // 80, round(64 * -3 * 0.64)]
    assert found["flow"][60, 31].tolist() == [round(64 * 0.4), round(64 * 0.1 * 0.64)]


def test_view_cuts_off_what_no_16_bits_hold():
    flow = np.full((64, 32, 2), (600, -600), np.float32)
    found = method.view(tiny(), np.zeros((64, 32, 3), np.uint8), {"flow": flow})["flow"]
    assert found[0, 0].tolist() == [32767, -32768]


@pytest.mark.parametrize(("model", "needed"), [(m, m != "one_stream") for m in MODELS])
def test_one_stream_alone_needs_no_flow(model, needed):
    params, image = tiny(model=model), np.zeros((4, 4, 3), np.uint8)
    assert paper.columns(params) == (["image", "flow"] if needed else ["image"])
    assert paper.stages(params) == (["flow"] if needed else [])
    if not needed:
        assert [*method.view(params, image, {"image_id": "f1", "flow": None})] == ["image"]
        return
    for row in ({"image_id": "a/f1"}, {"image_id": "a/f1", "flow": None}):
        with pytest.raises(ReidError, match=r"^a/f1: no optical flow; run `reid flow`"):
            method.view(params, image, row)


def mirrored(batch: dict[str, torch.Tensor], clip: int) -> dict[str, np.ndarray]:
    """One clip turned left to right, frame by frame."""
    image, flow = batch["image"][clip].numpy(), batch["flow"][clip].numpy().astype(np.float32)
    return {"image": image[:, :, ::-1], "flow": flow[:, :, ::-1] * np.array([-1, 1])}


def test_a_mirrored_clip_mirrors_image_and_flow_and_turns_u_round():
    params = tiny(crop=0)
    batch = clips_of(params, 40)
    found = method.augment(params, batch, generator())
    turned = 0
    for clip in range(40):
        kept = np.array_equal(found["image"][clip], batch["image"][clip])
        expected = {n: b[clip] for n, b in batch.items()} if kept else mirrored(batch, clip)
        turned += not kept
        for name in ("image", "flow"):
            np.testing.assert_array_equal(found[name][clip], expected[name])
    assert 10 < turned < 30


def test_a_cropped_clip_has_one_place_for_all_frames_and_its_flow():
    """Found by trying every place of every frame enlarged by itself."""
    params = tiny(crop=1, flip=0)
    batch = clips_of(params, 6, frames=2)
    found = method.augment(params, batch, generator())
    places = set()
    for clip in range(6):
        larger = {}
        for name, views in batch.items():
            frames = views[clip].movedim(-1, 1).float()
            larger[name] = F.interpolate(frames, (72, 36), mode="bilinear", align_corners=False)
        larger["flow"] *= 36 / 32  # a step of a pixel is longer, too
        fits = [
            (top, left)
            for top, left in product(range(9), range(5))
            if all(
                torch.allclose(
                    found[name][clip].movedim(-1, 1),
                    larger[name][:, :, top : top + 64, left : left + 32],
                    atol=1e-3,
                )
                for name in batch
            )
        ]
        assert len(fits) == 1
        places |= {*fits}
    assert len(places) > 2


def test_half_of_the_clips_are_cropped():
    params = tiny(flip=0)
    batch = clips_of(params, 60, frames=1)
    found = method.augment(params, batch, generator())
    kept = (found["image"] == batch["image"]).flatten(1).all(1)
    assert torch.equal(kept, (found["flow"] == batch["flow"]).flatten(1).all(1))
    assert 20 < kept.sum() < 40


def test_sides_that_do_not_grow_alike_scale_u_and_v_apart():
    params = tiny(crop=1, flip=0, height=65, width=37)  # to 73 x 42
    batch = clips_of(params, 1)
    batch["flow"] = torch.full_like(batch["flow"], 640)
    found = method.augment(params, batch, generator())["flow"]
    torch.testing.assert_close(found[0, 0, 9, 9], torch.tensor([640 * 42 / 37, 640 * 73 / 65]))


def test_normalize_is_imagenets_of_images_and_of_colours(monkeypatch):
    seen = []

    def colours(flow_px: torch.Tensor, maximum_px: float) -> torch.Tensor:
        seen.append((flow_px, maximum_px))
        return torch.full((*flow_px.shape[:2], 3, *flow_px.shape[2:4]), 0.25)

    monkeypatch.setattr(flow_views, "colour_wheel", colours)
    params = tiny(flow_maximum_px=6)
    batch = clips_of(params, 2)
    found = method.normalize(params, batch, MEAN)
    assert [tuple(v.shape) for v in found.values()] == [(2, 3, 3, 64, 32)] * 2
    for channel, (mean, std) in enumerate([(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)]):
        expected = (int(batch["image"][1, 2, 5, 7, channel]) / 255 - mean) / std
        assert float(found["image"][1, 2, channel, 5, 7]) == pytest.approx(expected, abs=1e-5)
        assert float(found["flow"][0, 1, channel, 9, 9]) == pytest.approx((0.25 - mean) / std)
    ((flow_px, maximum_px),) = seen
    assert maximum_px == 6
    torch.testing.assert_close(flow_px, batch["flow"].float() / 64)


@pytest.mark.parametrize(
    ("kind", "channels"), [("colour", 3), ("uv_magnitude", 3), ("uv", 2)], ids=str
)
def test_flow_views(kind, channels):
    params = tiny(flow_view=kind, flow_maximum_px=10)
    batch = clips_of(params, 1)
    batch["flow"][:] = 0
    batch["flow"][0, 1, 20, 10] = torch.tensor([160, 0])  # 2.5 pixels to the right
    found = method.normalize(params, batch, MEAN)["flow"]
    assert found.shape == (1, 3, channels, 64, 32)
    assert not torch.equal(found[0, 1, :, 20, 10], found[0, 1, :, 20, 11])
    if kind == "colour":
        white = (1 - torch.tensor(params.mean)) / torch.tensor(params.std)
        torch.testing.assert_close(found[0, 0, :, 3, 3], white)
        return
    assert torch.equal(found[0, 0], torch.zeros(channels, 64, 32)), "nothing moves"
    params = tiny(flow_view=kind, flow_maximum_px=20)
    half = method.normalize(params, batch, MEAN)["flow"]
    torch.testing.assert_close(half, found / 2)


# -- network ---------------------------------------------------------------------------------


def test_both_streams_start_from_a_files_weights_and_learn_apart(tmp_path):
    torch.manual_seed(0)
    source = backbones.build("resnet10t", channels=(8, 8, 12, 16))
    save_file(source.state_dict(), tmp_path / "trunk.safetensors")
    weights = str(tmp_path / "trunk.safetensors")
    network = method.build(tiny(weights=weights), 3)
    image, flow = (network.streams[name].backbone for name in ("image", "flow"))
    for name, value in source.state_dict().items():
        assert torch.equal(image.state_dict()[name], value)
        assert torch.equal(flow.state_dict()[name], value)
    assert image.conv1[0].weight is not flow.conv1[0].weight
    two = method.build(tiny(weights=weights, flow_view="uv"), 3).streams["flow"].backbone
    first = source.get_submodule("conv1.0").weight
    torch.testing.assert_close(two.conv1[0].weight, first[:, :2] * 1.5)


@pytest.mark.parametrize("layer", [2, 3, 4, 5])
def test_mutual_network_by_its_equations(layer):
    """From the streams' maps on, all by loops: M, weighted addition, and the join of [phi; f]."""
    params = tiny(attention_layer=layer)
    network, batch, output = run(params)
    nn.init.uniform_(
        network.attention.image.weight, 0, 0.2
    )  # so that M differs from place to place
    with torch.no_grad():
        output = network(batch)
        middle = {n: s.before(batch[n].flatten(0, 1)) for n, s in network.streams.items()}
        arrays = [middle[n].double().numpy() for n in ("image", "flow")]
        mask = torch.from_numpy(by_loops(*arrays, kernels(network.attention))).float()
        frames = {n: s.after(mask * middle[n]) for n, s in network.streams.items()}
    assert mask.std() > 1e-3
    for clip in range(2):
        joined = []
        for name in ("image", "flow"):
            each = [m.mean((1, 2)) for m in frames[name].double().numpy()[3 * clip : 3 * clip + 3]]
            how = layers_of(network.aggregate[name])
            joined += [*added(np.array(each), how, "max", False)[1]]
        weight, bias = (p.detach().double().numpy() for p in network.join.parameters())
        expected = [b + sum(w * joined) for w, b in zip(weight, bias, strict=True)]
        np.testing.assert_allclose(output["feature"][clip], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_model_with_every_aggregation(model, kind):
    params = tiny(model=model, aggregation=kind, rnn_width=24)
    network, batch, output = run(params)
    one = model in ("one_stream", "gated")
    width = 24 if one and kind == "rnn" else 16
    assert output["feature"].shape == (2, width)
    assert output["logits"].shape == (2, 5)
    assert all(torch.isfinite(value).all() for value in output.values())
    assert torch.equal(method.training_logits(output), output["logits"])
    assert set(network.streams) == ({"image"} if one else {"image", "flow"})
    assert (network.join is None) is one
    with torch.inference_mode():
        longer = method.normalize(params, clips_of(params, 2, frames=7), MEAN)
        assert method.embed(network, params, longer).shape == (2, width)
        assert torch.equal(method.embed(network, params, batch), output["feature"])


@pytest.mark.parametrize("model", MODELS)
def test_what_each_model_sees_of_flow(model):
    network, batch, output = run(tiny(model=model))
    if "flow" not in batch:
        return
    with torch.no_grad():
        other = network({**batch, "flow": -batch["flow"]})["feature"]
    assert not torch.allclose(other, output["feature"], atol=1e-5)


def test_a_reference_frame_is_one_for_both_streams():
    network, batch, output = run(tiny(model="two_stream", reference="frame"))
    maps = network.maps(batch)[0]
    with torch.no_grad():
        frames = {name: view.mean((-2, -1)) for name, view in maps.items()}
        sums = frames["image"].sum(-1) + frames["flow"].sum(-1)
        each = [network.aggregate[n](frames[n], maps[n], sums.argmax(1)) for n in frames]
        torch.testing.assert_close(output["feature"], network.join(torch.cat(each, 1)))
        weights = frame_weights(network, batch)
    at = sums.argmax(1)
    for name in ("image", "flow"):
        assert weights[name][[0, 1], at].tolist() == pytest.approx([math.e, math.e])


def test_flow_of_a_maximum_that_is_still_to_be_measured_is_not_shown():
    params = tiny(flow_maximum_px=None)
    with pytest.raises(ReidError, match=r"flow_maximum_px: null is measured on .* not built"):
        method.normalize(params, clips_of(params, 1), MEAN)


def test_the_gate_begins_as_alexnet_of_its_own_width_alone():
    with pytest.raises(ReidError, match="AlexNet's gate_channels are 64, 192, 384, 256, 256"):
        check(Params, {**TINY, "gate_channels": [2] * 5, "gate_weights": "pretrained"}, "x")


def test_without_attention_two_streams_are_two_networks_joined():
    network, batch, output = run(tiny(model="two_stream", aggregation="average"))
    with torch.no_grad():
        each = []
        for name in ("image", "flow"):
            maps = network.streams[name].backbone(batch[name].flatten(0, 1))
            each.append(maps.mean((2, 3)).unflatten(0, (2, 3)).mean(1))
        expected = network.join(torch.cat(each, 1))
    torch.testing.assert_close(output["feature"], expected)


@pytest.mark.parametrize("kind", KINDS)
def test_two_streams_can_begin_as_the_images_alone_and_learn_from_flow(kind):
    joined = tiny(model="two_stream", aggregation=kind, join_start="image", rnn_width=12)
    network, batch, output = run(joined)
    stream, frames = network.streams["image"], batch["image"]
    maps = stream.backbone(frames.flatten(0, 1)).unflatten(0, (2, 3))
    if kind != "weighted_addition":  # which has a reference of both streams
        with torch.no_grad():
            own = network.aggregate["image"](maps.mean((3, 4)), maps)
        torch.testing.assert_close(output["feature"][:, : own.shape[1]], own)
        assert not output["feature"][:, own.shape[1] :].any()
    network(batch)["feature"].square().sum().backward()
    of_flow = network.join.weight.grad[:, network.join.in_features // 2 :]
    assert of_flow.any()


def test_the_gate_weighs_the_image_alone():
    network, batch, output = run(tiny(model="gated", aggregation="average"))
    with torch.no_grad():
        stream, frames = network.streams["image"], batch["image"].flatten(0, 1)
        middle = stream.before(frames)
        weight = network.gate(batch["flow"].flatten(0, 1), middle.shape[-2:])
        expected = stream.after(weight * middle).mean((2, 3)).unflatten(0, (2, 3)).mean(1)
    torch.testing.assert_close(output["feature"], expected)


@pytest.mark.parametrize("model", ["mutual", "gated"])
def test_even_attention_is_each_frames_mean_weight_in_all_its_places(model):
    network, batch, learned = run(tiny(model=model, attention_layer=3))
    with torch.no_grad():
        weights = network.maps(batch)[1]
        network.even = True
        found, even = network(batch), network.maps(batch)[1]
    expected = weights.mean((-2, -1), keepdim=True).expand_as(weights)
    assert float(weights.std((-2, -1)).min()) > 0
    torch.testing.assert_close(even, expected)
    assert not torch.allclose(found["feature"], learned["feature"])
    assert method.build(tiny(model=model, attention="even"), 5).even


def salient_flow(params: Params, flow: torch.Tensor) -> torch.Tensor:
    """z of clips' flow (B, T, h, w, 2) in 1/64 pixels, by layers that all do something."""
    network = run(params)[0]
    torch.manual_seed(1)
    for layer in network.streams["flow"].modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.bias)
    nn.init.normal_(network.attention.flow.weight)
    clips = {"image": torch.zeros(*flow.shape[:-1], 3).byte(), "flow": flow}
    shown = method.normalize(params, clips, MEAN)["flow"].flatten(0, 1)
    with torch.no_grad():
        return network.attention.flow(network.streams["flow"].before(shown))


@pytest.mark.parametrize("layer", [2, 3, 4, 5])
@pytest.mark.parametrize("view", ["colour", "uv_magnitude"])
def test_a_still_frame_is_as_salient_at_its_borders_as_inside(layer, view):
    still = torch.zeros(2, 3, 64, 32, 2).short()
    moving = clips_of(tiny(), 2)["flow"]
    spread = {}
    for padding, flow in (("edge", still), ("edge", moving), ("zero", still)):
        params = tiny(flow_padding=padding, attention_layer=layer, flow_view=view)
        scores = salient_flow(params, flow)
        spread[padding, flow is still] = float(scores.flatten(1).std(1).max())
    assert spread["edge", True] < 1e-4 * spread["edge", False]
    assert spread["zero", True] > 1e3 * spread["edge", True]


def test_the_papers_network_at_full_size():
    network = method.build(Params(weights=""), 625).eval()
    clip = {name: torch.zeros(1, 2, 3, 224, 112) for name in ("image", "flow")}
    with torch.no_grad():
        maps, mask = network.maps(clip)
        output = network.classifier(network.join(torch.zeros(1, 4096)))
    assert {n: tuple(m.shape) for n, m in maps.items()} == {
        "image": (1, 2, 2048, 7, 4),
        "flow": (1, 2, 2048, 7, 4),
    }
    assert mask is not None
    assert mask.shape == (1, 2, 1, 14, 7)
    assert output.shape == (1, 625)
    assert [m.out_features for m in network.aggregate["flow"].embedding[::2]] == [2048, 2048]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", ["weighted_addition", "temporal_attention", "average"])
def test_attention_maps(model, kind):
    params = tiny(model=model, aggregation=kind, attention_layer=3)
    network, batch, _ = run(params)
    seen, frames = method.attention_maps(network, batch), frame_weights(network, batch)
    assert bool(seen) is (model in ("gated", "mutual"))
    for weights in (each["layer 3"] for each in seen.values()):
        assert weights.shape == (2, 3, 8, 4)
        assert weights.min() >= 0.5
        assert weights.max() < 1
        torch.testing.assert_close(weights, network.maps(batch)[1][:, :, 0])
    assert set(frames) == ({*params.streams} if kind != "average" else set())
    for name, weights in frames.items():
        maps = network.maps(batch)[0][name]
        used = maps.mean((-2, -1)) if kind == "weighted_addition" else maps
        torch.testing.assert_close(weights, network.aggregate[name].weights(used))
        assert weights.shape == (2, 3)


@pytest.mark.parametrize("model", MODELS)
def test_activations_are_what_the_clips_feature_is_made_of(model):
    network, batch, output = run(tiny(model=model, aggregation="average"))
    found = activations(network, batch)
    assert set(found) == set(network.streams)
    assert all(activation.shape == (2, 3, 2, 1) for activation in found.values())
    if network.join is None:
        torch.testing.assert_close(found["image"].mean((1, 2, 3)), output["feature"].mean(1))


# -- recipe ----------------------------------------------------------------------------------


def test_clips_of_the_paper():
    found = paper.clips(Params())
    assert (found.length, found.spacing, found.test, found.short) == (
        4, "consecutive", "dense", "repeat",
    )  # fmt: skip
    assert paper.clips(Params(sequence_length=16)).length == 16


def test_an_epoch_is_one_pass_over_the_identities():
    targets = np.repeat(np.arange(625), 13)  # as many persons as MARS has, and about the tracklets
    batches = method.sampler(Params(), targets, 0).batches(0)
    assert len(batches) == 78
    for tracklets in batches:
        assert np.unique(targets[tracklets], return_counts=True)[1].tolist() == [4] * 8
    drawn = np.concatenate([np.unique(targets[tracklets]) for tracklets in batches])
    assert len(np.unique(drawn)) == 624


def test_loss_is_smoothed_cross_entropy_and_hard_triplets():
    feature = torch.tensor([[0.0, 0], [3, 4], [6, 8], [0, 1]])
    logits, person = random_maps(4, 3), torch.tensor([0, 0, 1, 1])
    hinges = [0.3 + 5 - 1, 0.3 + 5 - 18**0.5, 0.3 + 85**0.5 - 5, 0.3 + 85**0.5 - 1]
    identity = 0.0
    for row, label in zip(logits.double().tolist(), person.tolist(), strict=True):
        total = math.log(sum(math.exp(value) for value in row))
        for k, value in enumerate(row):
            identity -= (0.1 / 3 + 0.9 * (k == label)) * (value - total) / 4
    found = method.loss(Params(), {"feature": feature, "logits": logits}, person)
    assert float(found["triplet"]) == pytest.approx(sum(hinges) / 4, rel=1e-5)
    assert float(found["identity"]) == pytest.approx(identity, rel=1e-5)
    assert float(found["loss"]) == pytest.approx(identity + sum(hinges) / 4, rel=1e-5)


@pytest.mark.parametrize(
    ("overrides", "epoch", "rate"),
    [
        pytest.param({}, 199.9, 3e-4, id="before the first step"),
        pytest.param({}, 200, 3e-5, id="from epoch 200"),
        pytest.param({}, 799, 3e-7, id="at the end"),
        pytest.param({"aggregation": "rnn"}, 0, 1e-4, id="rnn"),
        pytest.param({"aggregation": "rnn", "learning_rate": 0.01}, 0, 0.01, id="own"),
        pytest.param({"schedule": "one_cycle", "epochs": 10}, 3, 3e-4, id="one cycle's top"),
        pytest.param({"schedule": "one_cycle", "epochs": 10}, 10, 0, id="one cycle's end"),
    ],
)
def test_learning_rates(overrides, epoch, rate):
    assert method.learning_rate(Params(**overrides), epoch) == pytest.approx(rate, abs=1e-12)


def test_optimizer_is_adam():
    found = method.optimizer(Params(), nn.Linear(2, 2))
    group = found.param_groups[0]
    assert isinstance(found, torch.optim.Adam)
    assert (group["lr"], group["weight_decay"], group["betas"]) == (3e-4, 5e-4, (0.9, 0.999))
    assert Params().epochs == 800


@pytest.mark.parametrize("model", ["gated", "mutual"])
def test_learns_a_batch_by_heart_and_everything_learns(model):
    params = tiny(model=model, learning_rate=3e-3)
    torch.manual_seed(0)
    network, person = method.build(params, 3), torch.arange(3).repeat_interleave(2)
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    optimizer, accuracy, losses = method.optimizer(params, network), 0.0, []
    batch = method.normalize(params, clips_of(params, 6, frames=2), MEAN)
    for _ in range(40):
        output = network(batch)
        found = method.loss(params, output, person)["loss"]
        accuracy = float((method.training_logits(output).argmax(1) == person).float().mean())
        losses.append(found.item())
        if accuracy == 1 and losses[-1] < losses[0] / 3:
            break
        optimizer.zero_grad()
        found.backward()
        optimizer.step()
    assert accuracy == 1
    assert losses[-1] < losses[0] / 3
    assert all(not torch.equal(value, before[name]) for name, value in network.named_parameters())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model": "gate"}, r"mutual_attention\.model: .*'mutual', not 'gate'"),
        (
            {"model": "two_stream", "attention": "even"},
            r"\.attention: .*two_stream has no attention",
        ),
        ({"attention_layer": 1}, r"mutual_attention\.attention_layer: .*2, 3, 4 or 5, not 1"),
        ({"sequence_length": 0}, r"mutual_attention\.sequence_length: "),
        ({"sequence_length": 1}, r"\.sequence_length: .*leaves weighted_addition nothing to weigh"),
        ({"sequence_length": 1, "aggregation": "rnn"}, r"\.sequence_length: .*take average"),
        ({"squeeze_excitation": True, "channels": [8, 8, 8, 8]}, r"\.channels: .*name a backbone"),
        ({"channels": [8, 8, 8]}, r"mutual_attention\.channels"),
        ({"channels": [8, 8, 0, 8]}, r"mutual_attention\.channels\.2: .*not 0"),
        ({"gate_channels": [8]}, r"mutual_attention\.gate_channels"),
        ({"flow_view": "wheel"}, r"mutual_attention\.flow_view: .*not 'wheel'"),
        ({"flow_maximum_px": 0}, r"mutual_attention\.flow_maximum_px: .*greater than 0"),
        ({"enlarge": 0.9}, r"mutual_attention\.enlarge: .*not 0\.9"),
        ({"std": [1, 0, 1]}, r"mutual_attention\.std\.1: .*greater than 0"),
        ({"tracklets": 1}, r"mutual_attention\.tracklets: .*not 1"),
        ({"height": 16}, r"mutual_attention\.height: .*not 16"),
        ({"sequence": 4}, r"no `sequence`; did you mean `sequence_length`"),
    ],
)
def test_parameters_that_make_no_sense(values, message):
    with pytest.raises(ReidError, match=message):
        check(Params, values, "mutual_attention")


def test_one_frame_can_be_averaged():
    _, _, output = run(tiny(sequence_length=1, aggregation="average"), frames=1)
    assert output["feature"].shape == (2, 16)


# -- tables ----------------------------------------------------------------------------------


def test_equal_trainings_say_that_they_are():
    """Without the rows that name another one, every row is a training of its own."""
    rows = [r for n in (1, 2, 3, 4, 5) for r in paper.tables[n].rows if r.overrides is not None]
    own = [Params.model_validate(row.overrides) for row in rows if row.same_as is None]
    assert len(own) == len({str(params) for params in own}) == 24
    shown = [Params.model_validate(row.overrides) for row in paper.tables["models"].rows]
    assert len(shown) == len({str(params) for params in shown}) == 20


@pytest.mark.parametrize(
    ("number", "name", "dataset", "mean_ap", "rank1"),
    [
        (1, "Baseline", "mars", 75.8, 83.1),
        (1, "MA at layer 2", "mars", 78.2, 84.5),
        (1, "MA at layer 3", "mars", 78.8, 84.9),
        (1, "MA at layer 4", "mars", 80.0, 86.6),
        (1, "MA at layer 5", "mars", 78.1, 84.3),
        (2, "two streams, no attention, pooling", "mars", 76.7, 84.3),
        (2, "gated one stream, pooling", "mars", 77.4, 84.6),
        (2, "MA, pooling", "mars", 79.1, 85.4),
        (2, "one stream, temporal attention", "mars", 76.7, 83.3),
        (3, "pooling, 2 frames", "mars", 71.0, 81.8),
        (3, "pooling, 4 frames", "mars", 75.1, 83.2),
        (3, "RNN, 8 frames", "mars", 76.2, 82.5),
        (3, "gated, weighted addition, 16 frames", "mars", 72.5, 82.9),
        (3, "MA, weighted addition, 6 frames", "mars", 79.2, 85.8),
        (4, "SCAN, second", "mars", 77.2, 87.2),
        (4, "GLTR", "dukemtmc_video", 93.74, 96.29),
        (4, "MA SE-ResNet-50", "dukemtmc_video", 94.8, 96.7),
    ],
)
def test_printed_numbers(number, name, dataset, mean_ap, rank1):
    found = paper.tables[number].row(name).printed[dataset]
    assert (found["mAP"], found["r1"]) == (mean_ap, rank1)


def test_printed_numbers_of_ilids():
    rows = {row.name: row.printed["ilids_vid"] for row in paper.tables[5].rows}
    assert rows["MA ResNet-50"] == {"r1": 86.2, "r5": 96.4}
    assert rows["GLTR"] == {"r1": 86.0}, "no rank-5 is printed"
    assert len(rows) == 9


def test_places_of_table_3_without_a_number_are_no_rows():
    names = [row.name for row in paper.tables[3].rows]
    assert len(names) == 16
    assert "pooling, 16 frames" not in names
    assert "RNN, 2 frames" not in names


def test_only_the_papers_own_rows_can_be_run():
    runnable = {
        number: [row.name for row in paper.tables[number].rows if row.overrides is not None]
        for number in (4, 5)
    }
    assert runnable == {n: ["MA ResNet-50", "MA SE-ResNet-50"] for n in (4, 5)}


def test_light_changes_a_clip_s_images_alone():
    params = Params(brightness=0.4, tint=0.1, flip=0, crop=0)
    clip = {
        "image": torch.full((16, 3, 8, 8, 3), 90, dtype=torch.uint8),
        "flow": torch.ones(16, 3, 8, 8, 2, dtype=torch.int16),
    }
    found = method.augment(params, clip, torch.Generator().manual_seed(0))
    assert torch.equal(found["flow"], clip["flow"].float())
    first = found["image"][:, :1, :1, :1]
    assert torch.equal(found["image"], first.expand_as(found["image"]))  # one draw for a clip
    assert len(first.unique()) > 20
