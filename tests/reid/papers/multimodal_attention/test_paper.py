"""MAT and its rivals: samples, attention, phases, recipe, tables."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from reid.nn.caffenet import MEAN_BGR, CaffeNet
from reid.papers.multimodal_attention.method import METHOD as method
from reid.papers.multimodal_attention.paper import PAPER as paper
from reid.papers.multimodal_attention.paper import Params
from reid.papers.multimodal_attention.place_attention import PlaceAttention, joint_of
from reid.project.errors import ReidError
from reid.project.params import check

SMALL = {"resized": 84, "side": 75, "width_scale": 1 / 32, "pixel_scale": 1 / 64}
MODELS = ("mat", "rgb_d_cnn", "rgb_att", "d_att", "rgb_cnn", "d_cnn")
MEAN = torch.tensor([1.0, 2.0, 3.0])  # the training images' own: never used


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def small(**overrides) -> Params:
    return Params.model_validate({**SMALL, **overrides})


def samples(params: Params, count: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    shape = (count, params.resized, params.resized, 3)
    return {m: torch.randint(256, shape, generator=generator).byte() for m in params.modalities}


def patterns(params: Params, count: int) -> dict[str, torch.Tensor]:
    """As `samples`, but coarse, so that a crop changes little."""
    coarse = {m: image[:, ::20, ::20] for m, image in samples(params, count).items()}
    return {
        m: image.repeat_interleave(20, 1).repeat_interleave(20, 2)[
            :, : params.resized, : params.resized
        ]
        for m, image in coarse.items()
    }


def run(params: Params, classes: int = 5, count: int = 3):
    torch.manual_seed(0)
    network = method.build(params, classes).eval()
    batch = method.normalize(params, samples(params, count), MEAN)
    with torch.no_grad():
        return network, batch, network(batch)


# -- samples ---------------------------------------------------------------------------------


def test_view_brings_both_images_to_one_size():
    image, jet = np.full((48, 64, 3), 7, np.uint8), np.full((30, 20, 3), 9, np.uint8)
    found = method.view(Params(), image, {"jet": jet})
    assert {n: (a.shape, a.dtype.name, a.max()) for n, a in found.items()} == {
        "rgb": ((256, 256, 3), "uint8", 7),
        "depth": ((256, 256, 3), "uint8", 9),
    }


def test_view_gives_what_the_model_sees():
    image = np.zeros((4, 4, 3), np.uint8)
    assert set(method.view(small(model="rgb_cnn"), image, {"jet": None})) == {"rgb"}
    assert set(method.view(small(model="d_cnn"), image, {"jet": image})) == {"depth"}
    with pytest.raises(ReidError, match="f1: no depth as colour; see the stage `jet`"):
        method.view(small(), image, {"image_id": "f1", "jet": None})


def coordinates(count: int, size: int) -> torch.Tensor:
    """(count, size, size, 3) whose red is the row and whose green is the column."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return torch.stack([y, x, 0 * x], -1).byte().expand(count, size, size, 3).contiguous()


def test_a_pair_has_one_crop_and_one_flip():
    params = Params()
    image = coordinates(64, 256)
    found = method.augment(params, {"rgb": image, "depth": image}, torch.Generator().manual_seed(0))
    assert torch.equal(found["rgb"], found["depth"])
    assert found["rgb"].shape == (64, 227, 227, 3)
    assert found["rgb"].dtype == torch.uint8
    corner, other = found["rgb"][:, 0, 0].int(), found["rgb"][:, 226, 226].int()
    top, flipped = corner[:, 0], corner[:, 1] > other[:, 1]
    left = torch.where(flipped, other[:, 1], corner[:, 1])
    assert (other[:, 0] - top == 226).all()
    assert ((other[:, 1] - corner[:, 1]).abs() == 226).all()
    assert 16 < flipped.sum() < 48
    for offset in (top, left):
        assert offset.min() >= 0
        assert offset.max() <= 29
        assert len(offset.unique()) > 20
    assert not torch.equal(top, left)


def test_offsets_reach_both_ends():
    params = small(flip=0)
    batch = {"rgb": coordinates(400, params.resized)}
    found = method.augment(params, batch, torch.Generator().manual_seed(0))["rgb"][:, 0, 0, :2]
    assert found.amin(0).tolist() == [0, 0]
    assert found.amax(0).tolist() == [9, 9]  # 84 - 75


def test_light_changes_the_colour_image_alone_and_upside_down_both():
    params = small(flip=0, vertical_flip=1, brightness=0.5, tint=0.1, resized=75)
    image = torch.full((20, 75, 75, 3), 100, dtype=torch.uint8)
    image[:, :30] = 50
    found = method.augment(params, {"rgb": image, "depth": image}, torch.Generator().manual_seed(0))
    assert torch.equal(found["depth"], image.flip(1))
    assert len(found["rgb"][:, -1, 0].unique(dim=0)) > 15
    ratio = found["rgb"][:, 0, 0].float() / found["rgb"][:, -1, 0].float()
    dim = found["rgb"][:, 0, 0] < 255
    assert torch.allclose(ratio[dim], torch.tensor(2.0), atol=0.1)


def test_normalize_makes_caffes_input_of_the_centre():
    params = Params()
    image = torch.randint(256, (2, 256, 256, 3)).byte()
    found = method.normalize(params, {"rgb": image}, MEAN)["rgb"]
    assert found.shape == (2, 3, 227, 227)
    for channel, (source, mean) in enumerate(zip((2, 1, 0), MEAN_BGR, strict=True)):
        expected = float(image[1, 14 + 5, 14 + 226, source]) - mean
        assert float(found[1, channel, 5, 226]) == expected
    cropped = method.normalize(params, {"rgb": image[:, :227, :227]}, MEAN)["rgb"]
    assert float(cropped[0, 0, 0, 0]) == float(image[0, 0, 0, 2]) - MEAN_BGR[0]


def test_pixel_scale_is_of_pixels_less_their_mean():
    whole, scaled = (
        method.normalize(small(pixel_scale=s), samples(small(), 2), MEAN)["depth"] for s in (1, 0.5)
    )
    torch.testing.assert_close(scaled, whole / 2)


# -- attention -------------------------------------------------------------------------------


def attended_by_loops(network, batch, modality: str) -> torch.Tensor:
    """X8 of one modality by equations 2 to 5, one number after the other."""
    rgb, depth = (network.encoders[m].features(batch[m]) for m in ("rgb", "depth"))
    own = rgb if modality == "rgb" else depth
    rows = []
    for b in range(len(rgb.fc6)):
        g = [float(x) * float(y) for x, y in zip(rgb.fc6[b], depth.fc6[b], strict=True)]
        joined = own.fc7[b].tolist()
        for layer, score in network.attention[modality].score.items():
            maps = own.maps[layer][b]  # (C, h, w)
            channels, height, width = maps.shape
            e = [
                sum(w * x for w, x in zip(score.weight[i].tolist(), g, strict=True))
                + float(score.bias[i])
                for i in range(height * width)
            ]
            total = sum(math.exp(x) for x in e)
            alpha = [math.exp(x) / total for x in e]
            joined += [
                sum(alpha[i] * float(maps[c, i // width, i % width]) for i in range(len(alpha)))
                for c in range(channels)
            ]
        layer = network.attended[modality]
        rows.append((layer.weight @ torch.tensor(joined) + layer.bias).clamp(min=0))
    return torch.stack(rows)


@pytest.mark.parametrize("modality", ["rgb", "depth"])
def test_equations_by_loops(modality):
    params = small(attention_layers=("conv3", "conv4", "conv5"), width_scale=1 / 48)
    torch.manual_seed(0)
    network = method.build(params, 4).eval()
    for score in network.attention[modality].score.values():  # far from even weights
        torch.nn.init.normal_(score.weight, std=0.5)
        torch.nn.init.normal_(score.bias)
    batch = method.normalize(params, samples(params, 2), MEAN)
    with torch.no_grad():
        found = network(batch)["features"]
        expected = attended_by_loops(network, batch, modality)
        fused = network.fusion(torch.cat([found["rgb"], found["depth"]], 1)).relu()
    assert float(found[modality].max()) > 0
    torch.testing.assert_close(found[modality], expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found["fused"], fused)


def test_the_joint_feature_and_its_mean_square():
    rgb, depth = torch.rand(3, 8) * 20, torch.rand(3, 8) * 20
    torch.testing.assert_close(joint_of(rgb, depth), rgb * depth)
    found = joint_of(rgb, depth, normalized=True)
    torch.testing.assert_close(found.square().mean(1), torch.ones(3))
    torch.testing.assert_close(found / found[:, :1], rgb * depth / (rgb * depth)[:, :1])
    assert joint_of(0 * rgb, depth, normalized=True).abs().max() == 0


def test_a_normalized_joint_feature_leaves_attention_spread():
    greatest = {}
    for normalized in (False, True):
        network, batch, _ = run(small(joint_normalized=normalized))
        batch = {name: 20 * image for name, image in batch.items()}
        with torch.no_grad():
            maps = method.attention_maps(network, batch)["rgb"]["conv4"]
        greatest[normalized] = maps.flatten(1).amax(1).mean()
    assert greatest[True] < greatest[False]


def test_even_scores_give_the_mean_of_a_map():
    attention = PlaceAttention(6, {"conv4": 9})
    for parameter in attention.parameters():
        torch.nn.init.zeros_(parameter)
    maps = torch.randn(2, 5, 3, 3)
    found = attention(torch.randn(2, 6), {"conv4": maps})
    torch.testing.assert_close(found, maps.mean((2, 3)))


def test_even_attention_gives_the_mean_of_a_map_whatever_is_seen():
    network, batch, _ = run(small(attention="even"))
    with torch.no_grad():
        seen = network.encoders["rgb"].features(batch["rgb"])
        found = network.attention["rgb"](torch.randn(3, 128), seen.maps)
        means = [seen.maps[layer].mean((2, 3)) for layer in ("conv4", "conv5")]
        maps = method.attention_maps(network, batch)["depth"]["conv5"]
    torch.testing.assert_close(found, torch.cat(means, 1))
    torch.testing.assert_close(maps, torch.full((3, 4, 4), 1 / 16))
    assert not list(network.attention.parameters()), "nothing scores places"
    with pytest.raises(ReidError, match="attention: even, but rgb_d_cnn has none"):
        check(Params, {"model": "rgb_d_cnn", "attention": "even"}, "multimodal_attention")


@pytest.mark.parametrize(
    ("model", "modalities"), [("mat", ["rgb", "depth"]), ("d_att", ["depth"]), ("rgb_d_cnn", [])]
)
def test_attention_maps(model, modalities):
    params = small(model=model, attention_layers=("conv2", "conv5"))
    network, batch, _ = run(params)
    with torch.no_grad():
        found = method.attention_maps(network, batch)
    assert list(found) == modalities
    for maps in found.values():
        assert {layer: tuple(m.shape) for layer, m in maps.items()} == {
            "conv2": (3, 8, 8),
            "conv5": (3, 4, 4),
        }
        for each in maps.values():
            torch.testing.assert_close(each.sum((1, 2)), torch.ones(3))


def test_maps_of_the_two_modalities_and_layers_differ():
    network, batch, _ = run(small())
    maps = [m for each in method.attention_maps(network, batch).values() for m in each.values()]
    assert len(maps) == 4
    assert not any(torch.equal(maps[i], maps[j]) for i in range(4) for j in range(i))


# -- networks --------------------------------------------------------------------------------


def parameters(module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_full_size_has_the_papers_sizes():
    with torch.device("meta"):
        network = method.build(Params(), 94)
        pair = {m: torch.zeros(2, 3, 227, 227) for m in ("rgb", "depth")}
        output = network(pair)
        maps = method.attention_maps(network.eval(), pair)
    own = 4096 * 94 + 94  # a classifier
    assert parameters(network.encoders["rgb"]) - own == 56_868_224
    assert parameters(network.attention) == 4 * (4096 * 169 + 169) == 2_769_572
    assert parameters(network.attended["depth"]) == 4736 * 4096 + 4096 == 19_402_752
    assert parameters(network.fusion) == 8192 * 4096 + 4096 == 33_558_528
    assert parameters(network) - 3 * own == 188_870_052
    assert [tuple(x.shape) for x in output["logits"]] == [(2, 94)]
    assert {n: tuple(x.shape) for n, x in output["features"].items()} == dict.fromkeys(
        ("fused", "rgb", "depth"), (2, 4096)
    )
    shapes = {(m, layer): tuple(x.shape) for m in maps for layer, x in maps[m].items()}
    assert set(shapes.values()) == {(2, 13, 13)}
    assert len(shapes) == 4


@pytest.mark.parametrize(
    ("model", "features", "fused"),
    [
        ("mat", {"rgb", "depth"}, 128),
        ("rgb_d_cnn", {"rgb", "depth"}, 128),
        ("rgb_att", {"rgb"}, 128),
        ("d_att", {"depth"}, 128),
        ("rgb_cnn", {"rgb"}, 128),
        ("d_cnn", {"depth"}, 128),
    ],
)
def test_models_of_figure_3(model, features, fused):
    params = small(model=model)
    network, batch, output = run(params)
    assert set(output["features"]) == {"fused", *features}
    assert output["features"]["fused"].shape == (3, fused)
    assert [tuple(x.shape) for x in output["logits"]] == [(3, 5)]
    assert all(torch.isfinite(x).all() for x in output["logits"])
    with torch.no_grad():
        for name in ("fused", *features):
            found = method.embed(network, small(model=model, test_feature=name), batch)
            torch.testing.assert_close(found, output["features"][name])


def test_one_encoder_alone_is_caffenet():
    network, batch, output = run(small(model="d_cnn"))
    encoder = network.encoders["depth"]
    with torch.no_grad():
        torch.testing.assert_close(output["logits"][0], encoder(batch["depth"]))
        fc7 = encoder.features(batch["depth"]).fc7
    torch.testing.assert_close(output["features"]["fused"], fc7)


def test_rgb_d_cnn_fuses_both_fc7_by_one_layer():
    network, batch, output = run(small(model="rgb_d_cnn"))
    with torch.no_grad():
        fc7 = [network.encoders[m].features(batch[m]).fc7 for m in ("rgb", "depth")]
        fused = network.fusion(torch.cat(fc7, 1)).relu()
        logits = network.classifier(fused)
    torch.testing.assert_close(output["features"]["fused"], fused)
    torch.testing.assert_close(output["logits"][0], logits)


def test_width_of_the_fused_feature():
    assert run(small(fused_width=1024))[2]["features"]["fused"].shape == (3, 32)


def test_weights_start_both_encoders(tmp_path):
    source = CaffeNet(9, side=75, width_scale=1 / 32)
    path = tmp_path / "caffenet.safetensors"
    save_file(source.state_dict(), path)
    network = method.build(small(weights=str(path)), 5)
    for encoder in network.encoders.values():
        assert torch.equal(encoder.conv4.weight, source.conv4.weight)
        assert encoder.fc8.weight.shape[0] == 5


# -- phases ----------------------------------------------------------------------------------


def moved(model: str, epoch: int) -> set[str]:
    """The parts of a network that have a gradient after one step in an epoch."""
    params = small(model=model, encoder_epochs=2, fusion_epochs=2)
    torch.manual_seed(0)
    network = method.build(params, 4).train()
    optimizer = method.optimizer(params, network)
    method.begin_epoch(params, network, optimizer, epoch, 0)
    generator = torch.Generator().manual_seed(0)
    views = method.augment(params, samples(params, 4), generator)
    output = network(method.normalize(params, views, MEAN))
    method.loss(params, output, torch.arange(4))["loss"].backward()
    names = [n for n, p in network.named_parameters() if p.grad is not None and p.grad.any()]
    return {n.rsplit(".", 1)[0] for n in names if n.endswith("weight")}


ENCODER = {"conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7"}
BOTH = {f"encoders.{m}.{layer}" for m in ("rgb", "depth") for layer in ENCODER}
OWN = {"encoders.rgb.fc8", "encoders.depth.fc8"}
SCORES = {f"attention.{m}.score.{layer}" for m in ("rgb", "depth") for layer in ("conv4", "conv5")}


@pytest.mark.parametrize(
    ("model", "epoch", "expected"),
    [
        pytest.param("mat", 1, BOTH | OWN, id="first phase: both encoders and their classifiers"),
        pytest.param(
            "mat", 2,
            BOTH | SCORES | {"attended.rgb", "attended.depth", "fusion", "classifier"},
            id="second phase: all but the encoders' classifiers",
        ),
        pytest.param("rgb_d_cnn", 3, BOTH | {"fusion", "classifier"}, id="without attention"),
        pytest.param(
            "rgb_att", 2,
            (BOTH - {"encoders.depth.fc7"}) | {s for s in SCORES if "rgb" in s}
            | {"attended.rgb", "classifier"},
            id="depth's fc7 is not seen by attention in colour alone",
        ),
        pytest.param(
            "d_cnn", 1, {f"encoders.depth.{layer}" for layer in {*ENCODER, "fc8"}}, id="alone"
        ),
    ],
)  # fmt: skip
def test_what_learns_in_each_phase(model, epoch, expected):
    assert moved(model, epoch) == expected


def test_what_a_phase_leaves_out_stays_as_it_is():
    params = small(encoder_epochs=1, fusion_epochs=1)
    torch.manual_seed(0)
    network = method.build(params, 4)
    for epoch in (0, 1):
        before = {n: p.detach().clone() for n, p in network.named_parameters()}
        train(params, network, method.optimizer(params, network), [epoch])
        left = [n for n, p in network.named_parameters() if torch.equal(p, before[n])]
        outside = [n for n in before if n.startswith("encoders") is (epoch == 1)]
        expected = [n for n in outside if epoch == 0 or ".fc8." in n]
        assert left == expected


def train(params, network, optimizer, epochs, batches=2, done=0, after=None) -> None:
    """As the trainer does: some epochs, of the first all but `done` batches."""
    network.train()
    person = torch.arange(4)
    for epoch in epochs:
        method.begin_epoch(params, network, optimizer, epoch, done)
        for batch in range(done, batches):
            step = epoch * batches + batch
            for group in optimizer.param_groups:
                group["lr"] = method.learning_rate(params, epoch + batch / batches)
            torch.manual_seed(step)  # dropout
            generator = torch.Generator().manual_seed(step)
            views = method.augment(params, samples(params, 4), generator)
            output = network(method.normalize(params, views, MEAN))
            optimizer.zero_grad(set_to_none=True)
            method.loss(params, output, person)["loss"].backward()
            optimizer.step()
            if after is not None:
                after(epoch, batch)
        done = 0


@pytest.mark.parametrize(
    ("epoch", "batch"),
    [(0, 0), (0, 1), (1, 0), (1, 1)],
    ids=["first phase", "at the change", "second phase", "at the end"],
)
def test_a_stopped_training_goes_on_in_either_phase(epoch, batch):
    params = small(encoder_epochs=1, fusion_epochs=2, fusion_learning_rate=0.01)
    kept = {}

    def keep(at_epoch: int, at_batch: int) -> None:
        if (at_epoch, at_batch) == (epoch, batch):
            buffer = io.BytesIO()
            torch.save([network.state_dict(), optimizer.state_dict()], buffer)
            kept["checkpoint"] = buffer

    torch.manual_seed(0)
    network = method.build(params, 4)
    optimizer = method.optimizer(params, network)
    train(params, network, optimizer, range(3), after=keep)
    again = method.build(params, 4)
    other = method.optimizer(params, again)
    kept["checkpoint"].seek(0)
    weights, moments = torch.load(kept["checkpoint"], weights_only=True)
    again.load_state_dict(weights)
    other.load_state_dict(moments)
    first, done = (epoch, batch + 1) if batch == 0 else (epoch + 1, 0)
    train(params, again, other, range(first, 3), done=done)
    for name, value in network.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_momentum_starts_anew_with_the_second_phase_alone():
    params = small(encoder_epochs=2, fusion_epochs=2)
    network = method.build(params, 4)
    optimizer = method.optimizer(params, network)
    for epoch, batches_done, empty in [(1, 0, False), (2, 0, True), (2, 3, False), (3, 0, False)]:
        optimizer.state[network.fusion.weight] = {"momentum_buffer": torch.ones(1)}
        method.begin_epoch(params, network, optimizer, epoch, batches_done)
        assert (not optimizer.state) is empty
        assert network.phase == ("whole" if epoch > 1 else "encoders")


def test_encoders_side_by_side_learn_as_each_alone():
    """Without dropout a step of the first phase is a step of each encoder by itself."""
    both = small(encoder_epochs=1, dropout=0)
    torch.manual_seed(0)
    network = method.build(both, 4)
    start = network.state_dict()
    kept = {n: v.clone() for n, v in start.items()}
    train(both, network, method.optimizer(both, network), [0])
    for model, modality in (("rgb_cnn", "rgb"), ("d_cnn", "depth")):
        params = small(model=model, encoder_epochs=1, dropout=0)
        alone = method.build(params, 4)
        alone.load_state_dict({n: kept[n] for n in alone.state_dict()})
        views = samples(both, 4)
        optimizer = method.optimizer(params, alone)
        for step in range(2):
            draw = torch.Generator().manual_seed(step)
            batch = {modality: method.augment(both, views, draw)[modality]}
            output = alone.train()(method.normalize(params, batch, MEAN))
            optimizer.param_groups[0]["lr"] = method.learning_rate(params, step / 2)
            optimizer.zero_grad()
            method.loss(params, output, torch.arange(4))["loss"].backward()
            optimizer.step()
        name = f"encoders.{modality}.conv1.weight"
        assert not torch.equal(kept[name], alone.get_parameter(name))
        torch.testing.assert_close(network.get_parameter(name), alone.get_parameter(name))


@pytest.mark.parametrize(("model", "epochs"), [("mat", 200), ("rgb_att", 200), ("rgb_cnn", 100)])
def test_epochs_are_those_of_both_phases(model, epochs):
    assert Params(model=model).epochs == epochs


# -- recipe ----------------------------------------------------------------------------------


def test_batches_are_128_and_then_32():
    sampler = method.sampler(Params(), np.arange(300) % 7, seed=0)
    assert [len(b) for b in sampler.batches(99)] == [128, 128]
    assert [len(b) for b in sampler.batches(100)] == [32] * 9
    assert len(sampler) == 9
    assert np.array_equal(sampler.batches(3)[1], sampler.batches(3)[1])
    assert [len(b) for b in method.sampler(Params(), np.arange(20), 0).batches(0)] == [20]


@pytest.mark.parametrize(
    ("epoch", "rate"),
    [(0, 0.01), (0.9, 0.01), (1, 0.0099), (99, 0.01 * 0.99**99), (100, 0.001), (102, 0.0009801)],
)
def test_learning_rate_falls_by_a_hundredth_in_each_phase(epoch, rate):
    assert method.learning_rate(Params(), epoch) == pytest.approx(rate)


@pytest.mark.parametrize(
    ("epoch", "rate"), [(0, 0.0004), (3, 0.01), (9.999, 0), (10, 0.00004), (16, 0.001)]
)
def test_one_cycle_in_each_phase(epoch, rate):
    params = Params(schedule="one_cycle", encoder_epochs=10, fusion_epochs=20)
    assert method.learning_rate(params, epoch) == pytest.approx(rate, abs=1e-6)


def test_optimizer_is_caffes():
    group = method.optimizer(Params(), torch.nn.Linear(2, 2)).param_groups[0]
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.01, 0.9, 5e-4)


def test_loss_is_the_sum_of_the_predictions_losses():
    logits = [torch.randn(3, 7), torch.randn(3, 7)]
    expected = 0.0
    for each in logits:
        for row, label in zip(each.double(), (0, 6, 2), strict=True):
            expected += float(torch.log(torch.exp(row).sum()) - row[label]) / 3
    found = method.loss(small(), {"logits": logits}, torch.tensor([0, 6, 2]))["loss"]
    assert float(found) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("model", MODELS)
def test_learns_eight_pairs_by_heart(model):
    params = small(
        model=model, width_scale=1 / 16, pixel_scale=1 / 32, dropout=0, encoder_epochs=40,
        encoder_learning_rate=0.002, fusion_epochs=25, fusion_learning_rate=0.002,
    )  # fmt: skip
    torch.manual_seed(0)
    network, person = method.build(params, 8).train(), torch.arange(8)
    optimizer, batch = method.optimizer(params, network), patterns(params, 8)
    right = {"encoders": 0, "whole": 0}
    for epoch in range(params.epochs):  # of one batch
        method.begin_epoch(params, network, optimizer, epoch, 0)
        optimizer.param_groups[0]["lr"] = method.learning_rate(params, epoch)
        views = method.augment(params, batch, torch.Generator().manual_seed(epoch))
        output = network(method.normalize(params, views, MEAN))
        found = int((method.training_logits(output).argmax(1) == person).sum())
        right[network.phase] = max(right[network.phase], found)
        optimizer.zero_grad()
        method.loss(params, output, person)["loss"].backward()
        optimizer.step()
    assert right == {"encoders": 8, "whole": 8 if params.two_phases else 0}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"side": 300}, "side 300 is larger than resized 256"),
        ({"side": 50, "resized": 70}, r"multimodal_attention\.side: .*greater than or equal to 67"),
        ({"model": "rgb_cnn", "test_feature": "depth"}, "rgb_cnn has no feature depth"),
        ({"model": "rgb_att", "test_feature": "depth"}, "rgb_att has no feature depth"),
        ({"model": "d_cnn", "encoder_epochs": 0}, "trained in encoder_epochs alone"),
        ({"attention_layers": []}, "attention_layers"),
        ({"attention_layers": ["conv6"]}, "attention_layers"),
        ({"attention_layers": ["conv5", "conv5"]}, "attention_layers"),
    ],
)
def test_parameters_that_make_no_model(values, message):
    with pytest.raises(ReidError, match=message):
        check(Params, values, "multimodal_attention")


# -- tables ----------------------------------------------------------------------------------


def test_rows_of_tables_and_figure_have_the_same_numbers():
    for number, dataset in ((1, "dpit"), (2, "tvpr"), (3, "opr")):
        for row in paper.tables[number].rows[-2:]:
            model = {"mat": "MAT", "rgb_d_cnn": "RGB-D-CNN"}[(row.overrides or {})["model"]]
            curve = paper.tables["figure-3"].row(model).printed
            assert row.printed[dataset]["r1"] == curve[dataset]["r1"]


@pytest.mark.parametrize(
    ("number", "name", "dataset", "metric", "value"),
    [
        (1, "4D RAM", "dpit", "r1", 55.60),
        (1, "MAT", "dpit", "r5", 99.60),
        (2, "RGB-D-CNN, full frames", "tvpr", "r20", 97.87),
        (2, "MAT, crops", "tvpr", "r10", 94.68),
        (3, "RGB-D-CNN", "opr", "r5", 82.81),
        ("figure-3", "RGB_att", "opr", "r1", 36.25),
        ("figure-3", "RGB-CNN", "dpit", "r1", 86.75),
    ],
)
def test_printed_numbers(number, name, dataset, metric, value):
    assert paper.tables[number].row(name).printed[dataset][metric] == value


def test_what_is_not_printed_is_not_there():
    rows = paper.tables["figure-3"]
    assert rows.row("D-CNN").printed == {}
    assert "tvpr" not in rows.row("RGB-CNN").printed
