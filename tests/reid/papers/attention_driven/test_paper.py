"""The attention-driven part network: samples, network, loss, recipe, tables."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from reid.papers.attention_driven.method import METHOD as method
from reid.papers.attention_driven.paper import PAPER as paper
from reid.papers.attention_driven.paper import Params
from reid.project.errors import ReidError
from reid.project.params import check

SMALL = {"height": 96, "width": 48, "part_height": 24, "part_width": 48, "width_scale": 0.25}
MEAN = torch.tensor([100.0, 110.0, 120.0])


@pytest.fixture(autouse=True)
def _one_thread():
    """Networks this small are slower on more threads, much slower on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def small(**overrides) -> Params:
    return Params.model_validate({**SMALL, **overrides})


def samples(params: Params, count: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    sizes = {
        "whole": (count, params.height, params.width, 3),
        "parts": (count, 4, params.part_height, params.part_width, 3),
    }
    return {n: torch.randint(256, s, generator=generator).byte() for n, s in sizes.items()}


def run(params: Params, classes: int = 5, count: int = 2):
    torch.manual_seed(0)
    network = method.build(params, classes).eval()
    batch = method.normalize(params, samples(params, count), MEAN)
    with torch.no_grad():
        return network, batch, network(batch)


# -- samples ---------------------------------------------------------------------------------


def gradient(height: int = 40, width: int = 20) -> np.ndarray:
    """(H, W, 3) whose red is the row and whose green is the column."""
    y, x = np.mgrid[:height, :width]
    return np.stack([y, x, 0 * x], -1).astype(np.uint8)


def test_view_cuts_the_boxes():
    boxes = [[2, 4, 10, 20], [2, 4, 10, 8], [2, 7, 10, 12], [2, 11, 10, 16], [2, 15, 10, 20]]
    params = Params.model_construct(height=16, width=8, part_height=4, part_width=8)
    found = method.view(params, gradient(), {"parts": np.array(boxes, np.float32)})
    assert found["whole"].shape == (16, 8, 3)
    assert found["parts"].shape == (4, 4, 8, 3)
    np.testing.assert_array_equal(found["whole"], gradient()[4:20, 2:10])
    np.testing.assert_array_equal(found["parts"][0], gradient()[4:8, 2:10])
    assert found["whole"].dtype == found["parts"].dtype == np.uint8


def test_view_of_the_baseline_is_the_image_and_its_strips():
    params = Params.model_construct(
        model="baseline", height=40, width=20, part_height=10, part_width=20
    )
    found = method.view(params, gradient(), {"parts": None})
    np.testing.assert_array_equal(found["whole"], gradient())
    np.testing.assert_array_equal(found["parts"].reshape(40, 20, 3), gradient())


def test_view_at_full_size_is_fixed_and_boxes_may_leave_the_image():
    boxes = [[-5, -9, 30, 60], [-5, -9, 30, 5], [0, 5, 20, 15], [0, 15, 20, 30], [0, 30, 20, 60]]
    found = method.view(Params(), gradient(), {"parts": boxes})
    assert {n: a.shape for n, a in found.items()} == {
        "whole": (384, 192, 3),
        "parts": (4, 96, 192, 3),
    }


def test_view_without_boxes_names_the_row():
    with pytest.raises(ReidError, match="0001_c1: no part boxes"):
        method.view(Params(), gradient(), {"image_id": "0001_c1", "parts": None})


def test_a_flip_is_shared_by_whole_and_parts():
    params = small()
    batch = samples(params, 16)
    found = method.augment(params, batch, torch.Generator().manual_seed(0))
    flipped = [bool((found["whole"][i] == batch["whole"][i].flip(1)).all()) for i in range(16)]
    assert 0 < sum(flipped) < 16
    for i, mirrored in enumerate(flipped):
        part = batch["parts"][i]
        assert torch.equal(found["parts"][i], part.flip(2) if mirrored else part)
        assert mirrored or torch.equal(found["whole"][i], batch["whole"][i])


def test_augment_repeats_by_seed_and_never_flips_at_zero():
    params = small(flip=0)
    batch = samples(params, 8)
    found = method.augment(params, batch, torch.Generator().manual_seed(0))
    assert all(torch.equal(found[name], batch[name]) for name in batch)
    again = [
        method.augment(small(), batch, torch.Generator().manual_seed(3))["parts"] for _ in range(2)
    ]
    assert torch.equal(*again)


def test_normalize_takes_the_mean_off_each_channel():
    params = small()
    batch = samples(params, 2)
    found = method.normalize(params, batch, MEAN)
    assert found["whole"].shape == (2, 3, 96, 48)
    assert found["parts"].shape == (2, 4, 3, 24, 48)
    for channel in range(3):
        expected = (int(batch["parts"][1, 2, 5, 7, channel]) - float(MEAN[channel])) / 255
        assert float(found["parts"][1, 2, channel, 5, 7]) == pytest.approx(expected, abs=1e-6)


# -- network ---------------------------------------------------------------------------------


def test_features_at_full_size():
    network, batch, output = run(Params(), classes=751)
    assert [tuple(x.shape) for x in output["logits"]] == [(2, 751)] * 6
    assert output["global"].shape == (2, 256)
    assert output["part"].shape == (2, 4, 128)
    assert output["local"].shape == (2, 512)
    with torch.no_grad():
        assert method.embed(network, Params(), batch).shape == (2, 768)


@pytest.mark.parametrize(
    ("overrides", "logits"),
    [
        pytest.param(row.overrides, count, id=row.name)
        for row, count in zip(paper.tables[6].rows[:5], (5, 5, 5, 6, 6), strict=True)
    ],
)
def test_models_of_table_6_run_at_small_size(overrides, logits):
    params = small(**overrides)
    output = run(params)[2]
    assert len(output["logits"]) == logits
    assert output["global"].shape == (2, 64)
    assert output["local"].shape == (2, 128)
    assert all(torch.isfinite(x).all() for x in output["logits"])


def test_models_of_table_6_are_five_different_ones():
    described = set()
    for row in paper.tables[6].rows[:5]:
        params = small(**row.overrides)
        names = frozenset(name.split(".")[0] for name, _ in run(params)[0].named_parameters())
        described.add((names, params.intra, params.joined, params.model == "baseline"))
    assert len(described) == 5


@pytest.mark.parametrize(
    "overrides",
    [
        {"fusion": "fc"},
        {"fusion": "concatenation"},
        {"fusion": "test_only"},
        {"mask": "plain"},
        {"decomposition": False},
        {"mask_norm": False},
        {"inter_global": True},
        {"feature_norm": True},
        {"shortcut": "parameter_free"},
        {"height": 101, "width": 37, "part_height": 19, "part_width": 33},
    ],
    ids=str,
)
def test_variants_run_and_every_parameter_learns(overrides):
    params = small(**overrides)
    network, batch, _ = run(params, count=4)
    output = network.train()(batch)
    method.loss(params, output, torch.arange(4))["loss"].backward()
    assert [n for n, p in network.named_parameters() if p.grad is None] == []


def test_fused_feature_weighs_the_parts():
    network, _, output = run(small(inter_global=True))
    joined = torch.cat([output["global"], output["local"]], 1)
    torch.testing.assert_close(output["local"], output["part"].flatten(1))
    torch.testing.assert_close(output["logits"][5], network.classifiers[5](joined))
    # a branch is classified by its own feature, before it is weighed
    assert not torch.allclose(output["logits"][0], network.classifiers[0](output["global"]))


def test_fc_fusion_is_one_layer_over_whole_and_parts_in_training_and_test():
    params = small(model="aligned", fusion="fc")
    network, batch, output = run(params)
    joined = torch.cat([output["global"], output["local"]], 1)
    assert network.fc.weight.shape == (joined.shape[1], joined.shape[1])
    torch.testing.assert_close(output["fused"], network.fc(joined))
    torch.testing.assert_close(output["logits"][5], network.classifiers[5](output["fused"]))
    with torch.no_grad():
        torch.testing.assert_close(method.embed(network, params, batch), output["fused"])


@pytest.mark.parametrize("key", ["height", "width", "part_height", "part_width"])
def test_sizes_that_leave_no_map_are_refused(key):
    with pytest.raises(ReidError, match=f"attention_driven.{key}: .*greater than or equal"):
        check(Params, {key: 15}, "attention_driven")


@pytest.mark.parametrize("feature", ["global", "parts", "upper_leg", "fused"])
def test_test_features(feature):
    params = small(test_feature=feature)
    network, batch, output = run(params)
    with torch.no_grad():
        found = method.embed(network, params, batch)
    whole, local = output["global"], output["local"]
    expected = {
        "global": whole,
        "parts": local,
        "upper_leg": output["part"][:, 2],
        "fused": torch.cat([whole, local], 1),
    }
    torch.testing.assert_close(found, expected[feature])


def test_features_of_length_1_each_are_joined_where_asked():
    params = small(normalize_features=True)
    network, batch, output = run(params)
    with torch.no_grad():
        embedded = method.embed(network, params, batch)
    each = F.normalize(output["global"]), F.normalize(output["local"])
    torch.testing.assert_close(embedded, torch.cat(each, 1))


# -- starting weights ------------------------------------------------------------------------


def test_weights_start_all_but_classifiers(tmp_path):
    source = method.build(small(), 9)
    torch.save(source.state_dict(), tmp_path / "start.pt")
    network = method.build(small(weights=str(tmp_path / "start.pt")), 5)
    torch.testing.assert_close(network.whole.conv5.state_dict(), source.whole.conv5.state_dict())
    assert network.classifiers[0][1].weight.shape[0] == 5


def test_weights_of_another_network_are_refused(tmp_path):
    with pytest.raises(ReidError, match="no such file"):
        method.build(small(weights=str(tmp_path / "none.pt")), 5)
    torch.save({"other": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(ReidError, match=r"not weights of attention_driven \(lacks .*; has other\)"):
        method.build(small(weights=str(tmp_path / "other.pt")), 5)
    state = method.build(small(), 5).state_dict()
    half = {name: value for name, value in state.items() if not name.startswith("whole.conv5")}
    torch.save(half, tmp_path / "half.pt")
    with pytest.raises(ReidError, match=r"lacks whole\.conv5\.\S+, .* more\)"):
        method.build(small(weights=str(tmp_path / "half.pt")), 5)
    torch.save(method.build(small(width_scale=0.5), 5).state_dict(), tmp_path / "wide.pt")
    with pytest.raises(ReidError, match="size mismatch"):
        method.build(small(weights=str(tmp_path / "wide.pt")), 5)


# -- recipe ----------------------------------------------------------------------------------


def plain_cross_entropy(logits: torch.Tensor, person: list[int]) -> float:
    total = 0.0
    for row, label in zip(logits.double(), person, strict=True):
        total += float(torch.log(torch.exp(row).sum()) - row[label])
    return total / len(person)


@pytest.mark.parametrize("weight", [0.0, 0.1, 0.5])
def test_loss_is_lambda_times_the_branches_and_the_fused(weight):
    logits = [torch.randn(3, 7) for _ in range(6)]
    each = [plain_cross_entropy(x, [0, 6, 2]) for x in logits]
    found = method.loss(small(loss_weight=weight), {"logits": logits}, torch.tensor([0, 6, 2]))
    assert float(found["loss"]) == pytest.approx(weight * sum(each[:5]) + each[5], rel=1e-5)
    assert float(found["fused"]) == pytest.approx(each[5], rel=1e-5)


def test_loss_without_fused_prediction_is_the_branches_sum():
    logits = [torch.randn(3, 7) for _ in range(5)]
    each = [plain_cross_entropy(x, [0, 6, 2]) for x in logits]
    found = method.loss(small(loss_weight=0.1), {"logits": logits}, torch.tensor([0, 6, 2]))
    assert float(found["loss"]) == pytest.approx(sum(each), rel=1e-5)


def test_training_logits_are_the_fused_ones_or_the_branches_vote():
    logits = [torch.eye(3) * 9] * 3 + [torch.eye(3).flip(0) * 2] * 2
    assert method.training_logits({"logits": logits}).argmax(1).tolist() == [0, 1, 2]
    fused = torch.eye(3).flip(0)
    assert method.training_logits({"logits": [*logits, fused]}) is fused


@pytest.mark.parametrize(
    ("epoch", "rate"),
    [(0, 0.01), (39.99, 0.01), (40, 0.001), (79, 0.001), (80, 0.0001), (99.9, 0.0001)],
)
def test_learning_rate_falls_every_40_epochs(epoch, rate):
    assert method.learning_rate(Params(), epoch) == pytest.approx(rate)


@pytest.mark.parametrize(
    ("epoch", "rate"),
    [(0, 0.004), (1.5, 0.052), (3, 0.1), (6.5, 0.05), (10, 0.0)],
)
def test_one_cycle_rises_for_three_tenths_and_falls_to_zero(epoch, rate):
    params = Params(schedule="one_cycle", epochs=10, learning_rate=0.1)
    assert method.learning_rate(params, epoch) == pytest.approx(rate, abs=1e-9)


def test_optimizer_is_the_papers():
    group = method.optimizer(Params(), torch.nn.Linear(2, 2)).param_groups[0]
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.01, 0.9, 5e-4)


def test_all_decays_but_the_normalisation_of_masks():
    network = method.build(small(), 5)
    decayed, free = method.optimizer(small(), network).param_groups
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    assert (decayed["weight_decay"], free["weight_decay"]) == (5e-4, 0)
    assert len(free["params"]) == 2 * 3 * 3 * 5, "gain and shift, thrice in 3 blocks of 5 branches"
    assert all(".norm" in names[id(parameter)] for parameter in free["params"])
    assert len(decayed["params"]) + len(free["params"]) == len(names)


@pytest.mark.parametrize(("rows", "batches"), [(70, 2), (32, 1), (20, 1)])
def test_sampler_leaves_out_a_last_batch_that_is_not_full(rows, batches):
    assert len(method.sampler(Params(), np.arange(rows), 0)) == batches


@pytest.mark.parametrize("model", ["baseline", "intra_inter"])
def test_learns_eight_images_by_heart(model):
    params = small(model=model, height=64, width=32, part_height=16, part_width=32)
    torch.manual_seed(0)
    network, person = method.build(params, 8), torch.arange(8)
    optimizer, batch = method.optimizer(params, network), samples(params, 8)
    for step in range(60):
        views = method.augment(params, batch, torch.Generator().manual_seed(step))
        output = network(method.normalize(params, views, MEAN))
        if (method.training_logits(output).argmax(1) == person).all():
            break
        optimizer.zero_grad()
        method.loss(params, output, person)["loss"].backward()
        optimizer.step()
    assert (method.training_logits(output).argmax(1) == person).all()


# -- tables ----------------------------------------------------------------------------------


def test_rows_that_are_the_same_training_have_its_numbers_and_parameters():
    """Only in the test feature may they differ; where both print a number it is one number."""
    for number, table in paper.tables.items():
        for row in (r for r in table.rows if r.same_as):
            other_number, name = row.same_as.split(": ")
            other = paper.tables[int(other_number)].row(name)
            assert _training(row) == _training(other), (number, row.name)
            whole = (row.overrides or {}).get("test_feature", "fused") == "fused"
            for dataset in row.printed.keys() & other.printed.keys() if whole else ():
                for metric in row.printed[dataset].keys() & other.printed[dataset].keys():
                    assert row.printed[dataset][metric] == other.printed[dataset][metric]


def _training(row):
    trained = None if row.overrides is None else Params.model_validate(row.overrides)
    return row.stages, trained and trained.model_dump(exclude=set(paper.test_only))


@pytest.mark.parametrize(
    ("number", "name", "dataset", "metric", "value"),
    [
        (3, "DuATM", "market1501", "r5", 97.09),
        (5, "MLFN", "cuhk03_detected", "r1", 82.80),
        (6, "Baseline", "dukemtmc_reid", "mAP", 57.23),
        (6, "Intra+inter", "cuhk03_labeled", "r1", 94.96),
        (7, "Up-Leg, without intra", "market1501", "mAP", 23.54),
        (8, "without", "market1501", "r20", 99.17),
        (9, "FC fusion", "market1501", "mAP", 77.11),
        (10, "lambda 0.7", "cuhk03_detected", "r1", 92.57),
        (11, "beta 3H/48", "dukemtmc_reid", "r10", 94.48),
        (12, "Full", "384x192", "parameters_m", 10.4),
    ],
)
def test_printed_numbers(number, name, dataset, metric, value):
    assert paper.tables[number].row(name).printed[dataset][metric] == value
