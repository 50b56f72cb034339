"""The strong baseline with swaps: samples, network, recipe, trainings with and without, tables."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pipeline.commands.build import make_plan
from pipeline.engine import run as engine
from reid import experiments
from reid.data import swaps
from reid.evaluation.evaluate import evaluate
from reid.papers.implicit_attention.method import METHOD as method
from reid.papers.implicit_attention.paper import PAPER as paper
from reid.papers.implicit_attention.paper import Params
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.results import network_cost as summary
from reid.training.devices import launched
from reid.training.experiment_task import ExperimentTask
from reid.training.run import overfit_batch
from reid.training.train import train
from tests.conftest import contents, make_project, reid
from tests.reid.data.test_swaps import SIDE, background_of, region_of, row_of, write_backgrounds
from tests.reid.training.test_train import KILL

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")

TINY = {
    "backbone": "resnet10t",
    "channels": (8, 8, 16, 16),
    "weights": "",
    "height": 32,
    "width": 32,
}
SECTION = """
implicit_attention:
  with: {seed: 0}
  scale:
    toy:
      backbone: resnet10t
      channels: [8, 8, 16, 16]
      weights: ''
      side: 64
      height: 32
      width: 32
      batch: 8
      images: 4
      epochs: 2
  on:
    toy-plain: {dataset: toy, swap_probability: 0}
    toy-swaps: {dataset: toy, swap_probability: 0.5}
    toy-softmax: {dataset: toy, swap_probability: 0.5, configuration: softmax}
    toy-exact: {dataset: toy, swap_probability: 1, height: 64, width: 64}
"""


@pytest.fixture(autouse=True)
def _one_thread():
    """Networks this small are slower on more threads, much slower on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def tiny(**overrides) -> Params:
    return Params.model_validate({**TINY, **overrides})


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch_of(count: int, size: int = 32) -> dict[str, torch.Tensor]:
    return {"image": torch.randint(256, (count, size, size, 3), generator=generator(1)).byte()}


def run(params: Params, classes: int = 5, count: int = 4):
    torch.manual_seed(0)
    network = method.build(params, classes).eval()
    batch = method.normalize(params, batch_of(count), torch.zeros(3))
    with torch.no_grad():
        return network, batch, network(batch)


# -- samples ---------------------------------------------------------------------------------


def test_view_squares_by_repeating_the_edge_and_keeps_colours():
    image = np.zeros((128, 64, 3), np.uint8)
    image[:, :8], image[:, 8:] = (200, 0, 0), (0, 0, 200)
    found = method.view(Params(side=128), image, {})["image"]
    assert found.shape == (128, 128, 3)
    np.testing.assert_array_equal(found[:, 32:96], image)
    assert (found[:, :40] == (200, 0, 0)).all(), "red beside a red edge, 32 pixels of it"
    assert (found[:, 40:] == (0, 0, 200)).all()
    assert method.view(Params(), image, {})["image"].shape == (128, 128, 3)


def test_view_has_a_part_in_swaps_where_the_row_has_one():
    params = tiny(height=SIDE, width=SIDE, side=SIDE)
    image = np.zeros((SIDE, 32, 3), np.uint8)
    found = method.view(params, image, row_of(region_of(3), background_of(3)))
    assert [*found] == ["image", "background", "region", "rectangle"]
    np.testing.assert_array_equal(found["background"], background_of(3))
    assert [*method.view(params, image, {})] == ["image"]


def test_normalize_is_imagenet_s_of_bytes_and_of_floats():
    batch = batch_of(2)
    found = method.normalize(Params(), batch, torch.zeros(3))["image"]
    assert found.shape == (2, 3, 32, 32)
    for channel, (mean, std) in enumerate([(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)]):
        expected = (int(batch["image"][1, 5, 7, channel]) / 255 - mean) / std
        assert float(found[1, channel, 5, 7]) == pytest.approx(expected, abs=1e-5)
    floats = method.normalize(Params(), {"image": batch["image"].float()}, torch.zeros(3))
    torch.testing.assert_close(floats["image"], found)


def test_an_erased_rectangle_holds_the_mean_colour_after_normalising():
    params = tiny(flip=0, pad=0, erase=1)
    batch = batch_of(8)
    found = method.augment(params, batch, generator())
    ready = method.normalize(params, found, torch.zeros(3))["image"]
    hole = (found["image"] != batch["image"]).any(-1)  # (B, H, W)
    assert hole.flatten(1).any(1).all()
    erased = ready.movedim(1, -1)[hole]
    torch.testing.assert_close(erased, torch.tensor([0.485, 0.456, 0.406]).expand_as(erased))


def test_shifted_images_are_black_beside_and_flips_are_mirrored():
    params = tiny(erase=0, pad=4)
    white = {"image": torch.full((40, 32, 32, 3), 255).byte()}
    found = method.augment(params, white, generator())["image"]
    assert sorted(found.unique().tolist()) == [0, 255]
    assert (found[:, 4:-4, 4:-4] == 255).all()
    batch = batch_of(40)
    found = method.augment(tiny(erase=0, pad=0), batch, generator())["image"].byte()
    mirrored = (found == batch["image"].flip(2)).flatten(1).all(1)
    kept = (found == batch["image"]).flatten(1).all(1)
    assert (mirrored ^ kept).all()
    assert 10 < mirrored.sum() < 30
    again = method.augment(tiny(erase=0, pad=0), batch, generator())["image"].byte()
    assert torch.equal(found, again)


# -- network ---------------------------------------------------------------------------------


def test_the_paper_s_network_at_full_size():
    params = Params(weights="")
    network = method.build(params, 751).eval()
    with torch.no_grad():
        maps = network.backbone(torch.zeros(1, 3, 128, 128))
        output = network({"image": torch.zeros(1, 3, 128, 128)})
    assert maps.shape == (1, 2048, 8, 8)
    assert output["before"].shape == output["after"].shape == (1, 2048)
    assert output["logits"].shape == (1, 751)


def test_the_neck_has_no_shift_and_the_classifier_no_bias():
    network = run(tiny())[0]
    assert not network.norm.bias.requires_grad
    assert network.norm.bias.eq(0).all()
    assert network.norm.weight.eq(1).all()
    assert network.classifier.bias is None
    wide = method.build(tiny(), 1000).classifier.weight
    assert float(wide.std()) == pytest.approx(0.001, rel=0.05)


def test_the_neck_s_shift_stays_zero_while_all_else_learns():
    params = tiny(learning_rate=0.01)
    network, batch, _ = run(params, classes=2)
    before = {name: value.clone() for name, value in network.named_parameters()}
    optimizer = method.optimizer(params, network)
    for _ in range(2):  # residual branches begin as zero, so some learn from the second step on
        output = network.train()(batch)
        optimizer.zero_grad()
        method.loss(params, output, torch.tensor([0, 0, 1, 1]))["loss"].backward()
        optimizer.step()
    same = [n for n, value in network.named_parameters() if torch.equal(value, before[n])]
    assert same == ["norm.bias"]
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(before) - 1


@pytest.mark.parametrize("feature", ["after_norm", "before_norm"])
@pytest.mark.parametrize("normalised", [True, False])
def test_test_features(feature, normalised):
    params = tiny(test_feature=feature, normalize_features=normalised)
    network, batch, output = run(params)
    with torch.no_grad():
        found = method.embed(network, params, batch)
    raw = output["after" if feature == "after_norm" else "before"]
    torch.testing.assert_close(found, F.normalize(raw) if normalised else raw)
    assert not torch.equal(output["after"], output["before"])


def test_logits_see_the_feature_after_normalisation():
    network, _, output = run(tiny())
    torch.testing.assert_close(output["logits"], output["after"] @ network.classifier.weight.T)
    assert method.training_logits(output) is output["logits"]


# -- recipe ----------------------------------------------------------------------------------

BEFORE = torch.tensor([[0.0, 0], [3, 4], [6, 8], [0, 1]])
PERSON = torch.tensor([0, 0, 1, 1])


def cross_entropy(logits: torch.Tensor, person: list[int], smoothing: float) -> float:
    """By a loop: the label has 1 - smoothing, and every class an even part of it."""
    total = 0.0
    for row, label in zip(logits.double(), person, strict=True):
        log_p = row - torch.log(torch.exp(row).sum())
        share = torch.full_like(row, smoothing / len(row))
        share[label] += 1 - smoothing
        total -= float((share * log_p).sum())
    return total / len(person)


def test_triplet_loss_is_smoothed_cross_entropy_and_hard_triplets_before_the_neck():
    logits = torch.randn(4, 3, generator=generator(2))
    output = {"logits": logits, "before": BEFORE, "after": torch.full((4, 2), 9.0)}
    # farthest of the same person, nearest of the other, by hand:
    hinges = [0.3 + 5 - 1, 0.3 + 5 - 18**0.5, 0.3 + 85**0.5 - 5, 0.3 + 85**0.5 - 1]
    found = method.loss(Params(), output, PERSON)
    assert float(found["triplet"]) == pytest.approx(sum(hinges) / 4, rel=1e-5)
    assert float(found["identity"]) == pytest.approx(cross_entropy(logits, [0, 0, 1, 1], 0.1))
    assert float(found["loss"]) == pytest.approx(float(found["identity"] + found["triplet"]))


def test_softmax_loss_is_plain_cross_entropy():
    logits = torch.randn(4, 3, generator=generator(2))
    output = {"logits": logits, "before": BEFORE}
    found = method.loss(Params(configuration="softmax"), output, PERSON)["loss"]
    assert float(found) == pytest.approx(cross_entropy(logits, [0, 0, 1, 1], 0.0))


@pytest.mark.parametrize(
    ("overrides", "epoch", "rate"),
    [
        pytest.param({}, 0, 0.109 * 3.5e-4, id="first epoch"),
        pytest.param({}, 9, 3.5e-4, id="warm"),
        pytest.param({}, 39, 3.5e-5, id="from epoch number 40"),
        pytest.param({}, 279, 3.5e-6, id="from epoch number 70"),
        pytest.param({"configuration": "softmax"}, 0, 0.208 * 3.5e-4, id="softmax, first"),
        pytest.param({"configuration": "softmax"}, 54, 3.5e-6, id="softmax, number 55"),
        pytest.param({"warm_up": 0, "milestones": [2]}, 0, 3.5e-4, id="own: no warm-up"),
        pytest.param({"warm_up": 0, "milestones": [2]}, 1, 3.5e-5, id="own milestones"),
        pytest.param({"schedule": "one_cycle", "epochs": 10}, 3, 3.5e-4, id="one cycle's top"),
    ],
)
def test_learning_rates(overrides, epoch, rate):
    assert method.learning_rate(Params(**overrides), epoch) == pytest.approx(rate)


def test_optimizer_is_the_published_one():
    group = method.optimizer(Params(), torch.nn.Linear(2, 2)).param_groups[0]
    assert (group["lr"], group["weight_decay"], group["betas"]) == (3.5e-4, 5e-4, (0.9, 0.999))


def test_samplers():
    targets = np.repeat(np.arange(20), 9)
    batches = method.sampler(Params(), targets, 0).batches(0)
    for rows in batches:
        assert np.unique(targets[rows], return_counts=True)[1].tolist() == [4] * 16
    shuffled = method.sampler(Params(configuration="softmax"), targets, 0).batches(0)
    assert [len(rows) for rows in shuffled] == [64, 64], "180 rows, the last 52 left out"
    assert len(method.sampler(Params(configuration="softmax"), targets[:40], 0).batches(0)[0]) == 40
    with pytest.raises(ReidError, match="batch: 63 is no multiple of 4"):
        method.sampler(Params(batch=63), targets, 0)


# -- trainings -------------------------------------------------------------------------------


def fresh(root: Path, *, backgrounds: bool = True, **options) -> Project:
    project = make_project(root)
    with (root / "params.yaml").open("a") as file:
        file.write(SECTION)
    with contextlib.chdir(root):
        engine.run(make_plan("ingest", "toy", project), project, executor="local")
    if backgrounds:
        write_backgrounds(project, "toy", **options)
    return project


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Shards, backgrounds, and `toy-swaps` trained without interruption."""
    project = fresh(tmp_path_factory.mktemp("implicit") / "project", rejected=(40, 41))
    done = reid("train", "toy-swaps", "--device", "cpu", cwd=project.root)  # as the others: alone
    assert done.returncode == 0, done.stderr
    return project


def trainer_of(project: Project, name: str, tmp_path: Path) -> ExperimentTask:
    experiment = experiments.load(project, name)
    return ExperimentTask(experiment, project, tmp_path, launched("cpu", "32-true"))


def test_a_batch_is_the_hand_made_paste_of_its_draw(built: Project, tmp_path: Path):
    """At the stage's own size, pixel by pixel; who stays whole stays so, and labels with them."""
    trainer = trainer_of(built, "toy-exact", tmp_path)
    rows = np.arange(len(trainer.data))
    draw = trainer.draw(rows, 0)
    plain = trainer.views.get(rows)["image"].numpy()
    found = trainer.combined(trainer.views.get(draw.needed), draw)
    assert [*found] == ["image"]
    numbers = trainer.data.index
    assert (draw.donors[np.isin(numbers, (40, 41))] == -1).all()
    assert (draw.donors >= 0).sum() == len(rows) - 2
    for i, donor in enumerate(draw.donors):
        expected = plain[i]
        if donor >= 0:
            region = region_of(numbers[i])[..., None]
            expected = np.where(region, plain[i], background_of(numbers[donor]))
        np.testing.assert_array_equal(found["image"][i].numpy(), expected)
    assert (draw.rows == rows).all(), "so the labels are the rows' own"


def test_without_swaps_no_backgrounds_are_needed(tmp_path: Path):
    project = fresh(tmp_path / "project", backgrounds=False)
    folder = train(experiments.load(project, "toy-plain"), project, device="cpu")
    assert (folder / "model.safetensors").is_file()
    found = evaluate(experiments.load(project, "toy-plain"), project, device="cpu")
    assert found["dimensions"] == 16
    with pytest.raises(ReidError, match="not built yet; run `reid backgrounds toy`"):
        train(experiments.load(project, "toy-swaps"), project, device="cpu")


def test_a_test_needs_no_backgrounds_and_drops_no_row(built: Project):
    found = evaluate(experiments.load(built, "toy-swaps"), built, device="cpu")
    assert found["queries"] + found["queries_without_match"] == 12
    described = json.loads((built.run("toy-swaps") / "train/experiment.json").read_text())
    assert described["images"] == 36, "images without a background are trained on, too"


def test_swaps_change_the_training_and_its_key(built: Project, tmp_path: Path):
    experiment = experiments.load(built, "toy-swaps")
    plain = experiments.load(built, "toy-plain")
    assert experiment.key(built) != plain.key(built)
    other = fresh(tmp_path / "other", scaled=True)
    assert experiment.key(other) != experiment.key(built), "the stage's shards are in the key"
    assert plain.key(other) == plain.key(built), "without swaps they are not"


def stopped_and_resumed(
    project: Project, at: int, with_signal: str
) -> tuple[int, dict[str, bytes]]:
    """The exit status of a training that gets a signal at a step, and what resuming publishes."""
    patch = KILL.format(name="step", n=at, signal=with_signal)
    arguments = ("train", "toy-swaps", "--device", "cpu")
    status = reid(*arguments, cwd=project.root, patch=patch).returncode
    resumed = reid(*arguments, cwd=project.root)
    assert resumed.returncode == 0, resumed.stderr
    return status, contents(project.run("toy-swaps") / "train")


@pytest.mark.slow
def test_a_killed_training_resumes_to_the_same_bytes(built: Project, tmp_path: Path):
    project = fresh(tmp_path / "killed", rejected=(40, 41))
    status, found = stopped_and_resumed(project, 6, "SIGKILL")  # the first epoch has 4 steps
    assert status == -9
    assert found == contents(built.run("toy-swaps") / "train")


@pytest.mark.slow
@pytest.mark.parametrize("resident", ["memory", "off"])
def test_ctrl_c_in_the_middle_of_an_epoch_changes_no_swap(
    built: Project, tmp_path: Path, resident: str
):
    project = fresh(tmp_path / "stopped", rejected=(40, 41))
    path = project.root / "params.yaml"
    path.write_text(
        path.read_text().replace("with: {seed: 0}", f"with: {{seed: 0, resident: {resident}}}")
    )
    status, found = stopped_and_resumed(project, 3, "SIGINT")
    assert status == 2
    assert found == contents(built.run("toy-swaps") / "train")


def test_regions_in_rectangles_and_softmax_train_too(tmp_path: Path):
    project = fresh(tmp_path / "project", scaled=True)
    folder = train(experiments.load(project, "toy-softmax"), project, device="cpu")
    assert (folder / "model.safetensors").is_file()


def test_held_out_persons_give_no_background(built: Project, tmp_path: Path):
    project = fresh(tmp_path / "held")
    path = project.root / "params.yaml"
    path.write_text(
        path.read_text().replace("with: {seed: 0}", "with: {seed: 0, val_identities: 2}")
    )
    trainer = trainer_of(project, "toy-exact", tmp_path)
    assert len(trainer.data) == 18
    draw = trainer.draw(np.repeat(np.arange(18), 40), 3)
    assert (draw.donors >= 0).all()
    assert set(draw.donors) == set(range(18))
    assert not set(trainer.data.index) & set(trainer.held_out.index)
    assert 0 <= trainer.validate(-1.0)["val_map"] <= 1


def test_one_batch_can_be_learnt_by_heart(built: Project):
    path = built.root / "params.yaml"
    text = path.read_text()
    path.write_text(
        text.replace(
            "      batch: 8\n      images", "      learning_rate: 0.1\n      batch: 8\n      images"
        )
    )
    try:
        assert overfit_batch(experiments.load(built, "toy-swaps"), built) == 1.0
    finally:
        path.write_text(text)


# -- tables ----------------------------------------------------------------------------------


def test_rows_of_the_upper_body_have_its_backgrounds():
    for table in paper.tables.values():
        for row in table.rows:
            upper = row.name.lower().startswith("upper body")
            assert row.stages == ({"backgrounds": {"region": "upper_body"}} if upper else {})


def test_points_of_the_figure_that_table_1_has_are_its_trainings():
    same = {row.name: row.same_as for row in paper.tables["figure-3"].rows if row.same_as}
    assert same == {
        "baseline": "1: Luo, triplet",
        "upper body, p = 0.5": "1: Upper body, triplet",
        "full body, p = 0.3": "1: Full body, triplet",
    }
    for name, other in same.items():
        point = paper.tables["figure-3"].row(name)
        row = paper.tables[1].row(other.removeprefix("1: "))
        trained = [Params.model_validate(r.overrides) for r in (point, row)]
        assert trained[0] == trained[1]
        assert (point.stages, point.printed) == (row.stages, row.printed)


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("Luo, softmax", (44.6, 66.5, 74.6, 30.4)),
        ("Upper body, softmax", (62.9, 79.8, 84.7, 40.2)),
        ("Full body, softmax", (65.7, 82.2, 87.2, 45.0)),
        ("Luo, triplet", (48.5, 69.7, 77.6, 33.5)),
        ("Upper body, triplet", (64.8, 81.4, 85.9, 42.4)),
        ("Full body, triplet", (69.0, 83.6, 88.1, 46.3)),
    ],
)
def test_printed_numbers(name, numbers):
    printed = paper.tables[1].row(name).printed["rap"]
    assert tuple(printed[metric] for metric in ("r1", "r5", "r10", "mAP")) == numbers


def test_the_default_is_the_best_row_of_table_1():
    best = paper.tables[1].row("Full body, triplet")
    assert Params.model_validate(best.overrides) == Params()


def test_cost_of_the_network():
    """ResNet-50 without its classifier has 23,508,032 parameters; the neck has 2 x 2048 more."""
    compared, parts = summary.paper_summary("implicit_attention").values()
    assert [line["parameters (M)"] for line in compared] == ["23.51", "23.51"]
    assert [line["multiply-adds (G)"] for line in compared] == ["2.03", "1.33"]
    shown = {line["part"]: line for line in parts}
    assert shown["backbone"]["parameters (M)"] == "23.508"
    assert shown["norm"]["parameters (M)"] == "0.004"
    assert shown["backbone.layer4"]["output"] == "2048 x 8 x 8"


def test_columns_of_the_training_alone():
    assert paper.training_columns(Params()) == [*swaps.COLUMNS]
    assert paper.training_stages(Params()) == ["backgrounds"]
    assert paper.training_columns(Params(swap_probability=0)) == []
    assert paper.training_stages(Params(swap_probability=0)) == []
