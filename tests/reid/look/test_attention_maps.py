"""Attention maps: weights against a pass layer by layer, overlays, the report's section."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

from pipeline.commands.main import app
from reid import experiments
from reid.arrays import draw, images
from reid.evaluation.features import trained_network
from reid.look import attention_maps, pictures
from reid.look.attention_maps import EVEN, Maps
from reid.papers.attention_driven.attention import Decomposition
from reid.papers.attention_driven.masks import BLOCKS
from reid.papers.attention_driven.masks import masks as intra_masks
from reid.papers.attention_driven.network import PartNetwork
from reid.papers.attention_driven.paper import PAPER as attention_driven
from reid.papers.attention_driven.params import Params
from reid.papers.attention_driven.sections import attention
from reid.papers.multimodal_attention.paper import PAPER as multimodal_attention
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.results import built as sources
from tests.reid.conftest import copy_of
from tests.reid.overhead import make_trained

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")

CPU = torch.device("cpu")
SMALL = Params(
    model="intra_inter", width_scale=0.25, height=64, width=32, part_height=32, part_width=32
)


def through(branch: nn.Module, x: Tensor) -> list[np.ndarray]:
    """One branch layer by layer: the mask of each block, mean over channels."""
    x = branch.get_submodule("conv2")(branch.get_submodule("pool")(x))
    block_masks = []
    for name in BLOCKS:
        block = branch.get_submodule(name)
        mask = block.get_submodule("attention")(x)  # (B, C, h, w)
        block_masks.append(mask.mean(1).numpy())
        x = block.get_submodule("stage")(x) * (1 + mask)  # eq. 7
    return block_masks


def by_hand(
    network: PartNetwork, batch: dict[str, Tensor]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """As `intra_masks`, without hooks: each part alone through its own branch."""
    with torch.inference_mode():
        whole = through(network.whole, network.norm_whole(network.conv1(batch["whole"])).relu())
        each = [
            through(branch, network.norm_parts(network.conv1(batch["parts"][:, i])).relu())
            for i, branch in enumerate(network.parts)
        ]
    return whole, [np.stack([part[block] for part in each], 1) for block in range(3)]


def masks(
    network: PartNetwork, batch: dict[str, Tensor]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """`intra_masks` of the whole body and of the parts, by block."""
    result = intra_masks(network, batch)
    assert [*result] == ["whole", "parts"]
    assert [*result["whole"]] == [*result["parts"]] == ["block 2", "block 3", "block 4"]
    whole, parts = ([mask.numpy() for mask in of.values()] for of in result.values())
    return whole, parts


def random_batch(count: int, seed: int = 0) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(seed)
    whole = torch.randn(count, 3, SMALL.height, SMALL.width, generator=random)
    parts = torch.randn(count, 4, 3, SMALL.part_height, SMALL.part_width, generator=random)
    return {"whole": whole, "parts": parts}


@pytest.fixture(scope="module")
def network() -> PartNetwork:
    """Random weights; those of the masks too, which begin even, but small: few are 0 or 1."""
    torch.manual_seed(0)
    made = attention_driven.method().build(SMALL, 5)
    made.train()
    with torch.no_grad():
        for module in made.modules():
            if isinstance(module, Decomposition):
                module.mix.reset_parameters()
                module.mix.weight *= 0.1
        made(random_batch(8, seed=1))  # statistics that are not those of the start
    return made.eval()


def test_masks_are_those_of_a_pass_by_hand(network: PartNetwork):
    batch = random_batch(3)
    whole, parts = masks(network, batch)
    expected_whole, expected_parts = by_hand(network, batch)
    assert [mask.shape for mask in whole] == [(3, 8, 4), (3, 4, 2), (3, 4, 2)]
    assert [mask.shape for mask in parts] == [(3, 4, 8, 4), (3, 4, 4, 2), (3, 4, 4, 2)]
    for mask, expected in zip([*whole, *parts], [*expected_whole, *expected_parts], strict=True):
        np.testing.assert_allclose(mask, expected, atol=1e-5)
    spreads = [float(mask.std()) for mask in (*whole, *parts)]
    assert min(spreads) > 1e-4, "masks that differ from position to position"


def test_a_changed_part_changes_its_own_masks_alone(network: PartNetwork):
    batch = random_batch(1)
    whole, parts = masks(network, batch)
    batch["parts"][:, 2] *= -1
    new_whole, new_parts = masks(network, batch)
    for block in range(3):
        np.testing.assert_allclose(new_whole[block], whole[block], atol=1e-6)
        changed = np.abs(new_parts[block] - parts[block]).max((0, 2, 3)) > 1e-4
        assert changed.tolist() == [False, False, True, False]


def test_the_network_is_left_as_it_was(network: PartNetwork):
    batch = random_batch(2)
    with torch.inference_mode():
        before = network(batch)["local"]
    masks(network, batch)
    with pytest.raises(KeyError, match="whole"):
        intra_masks(network, {"parts": batch["parts"]})
    assert not any(module._forward_hooks for module in network.modules())
    assert not network.training
    with torch.inference_mode():
        torch.testing.assert_close(network(batch)["local"], before, rtol=0, atol=0)


def test_a_network_without_such_layers_is_not_even_run():
    assert intra_masks(nn.Linear(2, 2), {}) == {}


# -- maps of a data set's images -------------------------------------------------------------


def maps(project: Project, image_ids: list[str] | None = None, name: str = "toy-intra"):
    return attention_maps.maps(experiments.load(project, name), project, image_ids, "cpu")


def test_four_queries_evenly_spaced_by_default(trained: Project):
    data = experiments.load(trained, "toy-intra").open(trained)
    queries = data.role("query").rows["image_id"].to_pylist()
    assert len(queries) == 12
    assert [each.image_id for each in maps(trained)] == [queries[i] for i in (1, 4, 7, 10)]


def test_maps_of_named_images_are_those_of_the_trained_network(trained: Project):
    experiment = experiments.load(trained, "toy-intra")
    data = experiment.open(trained)
    network, mean, _ = trained_network(experiment, trained, CPU)
    assert isinstance(network, PartNetwork)
    chosen = [data[5], data[2]]
    shown = maps(trained, [row["image_id"] for row in chosen])
    assert [each.image_id for each in shown] == [row["image_id"] for row in chosen]
    for row, each in zip(chosen, shown, strict=True):
        view = attention_driven.method().view(experiment.params, row["image"], row)
        assert each.layers == ["block 2", "block 3", "block 4"]
        np.testing.assert_array_equal(each.views["whole"], view["whole"])
        np.testing.assert_array_equal(each.views["parts"], view["parts"])
        batch = {n: torch.from_numpy(v)[None] for n, v in view.items()}
        ready = attention_driven.method().normalize(experiment.params, batch, mean)
        whole, parts = by_hand(network, ready)
        for mine, expected in zip(each.weights["whole"].values(), whole, strict=True):
            np.testing.assert_allclose(mine, expected[0], atol=1e-5)
        for mine, expected in zip(each.weights["parts"].values(), parts, strict=True):
            np.testing.assert_allclose(mine, expected[0], atol=1e-5)


@pytest.mark.parametrize(
    ("name", "image_ids", "said"),
    [
        pytest.param(
            "toy-baseline", None, "toy-baseline: its network has no attention", id="no masks"
        ),
        pytest.param("toy-intra", ["nobody"], "nobody: no image_id among the", id="unknown id"),
    ],
)
def test_what_has_no_maps(trained: Project, name: str, image_ids, said: str):
    with pytest.raises(ReidError, match=said):
        maps(trained, image_ids, name)


def test_an_untrained_network_has_no_maps(trained: Project, tmp_path: Path):
    project = copy_of(trained, tmp_path / "project")
    shutil.rmtree(project.run("toy-intra"))
    with pytest.raises(ReidError, match="run `reid train toy-intra`"):
        maps(project)


# -- a paper with maps of its own ------------------------------------------------------------


@pytest.fixture(scope="module")
def above(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make_trained(tmp_path_factory.mktemp("above") / "project")


def test_maps_of_colour_and_depth(above: Project):
    """By eqs. 2 to 4 from the layers' own weights, over the middle of the prepared images."""
    experiment = experiments.load(above, "top-mat")
    data, params = experiment.open(above), experiment.params
    row = data[3]
    (image_maps,) = maps(above, [row["image_id"]], "top-mat")
    network: Any = trained_network(experiment, above, CPU)[0]
    view = multimodal_attention.method().view(params, row["image"], row)
    batch = {n: torch.from_numpy(v[None, 4:79, 4:79]) for n, v in view.items()}  # 75 of 84
    ready = multimodal_attention.method().normalize(params, batch, torch.zeros(3))
    with torch.inference_mode():
        rgb, depth = (network.encoders[m].features(ready[m]).fc6[0] for m in ("rgb", "depth"))
    assert [*image_maps.weights] == ["rgb", "depth"]
    for name, layers in image_maps.weights.items():
        np.testing.assert_array_equal(image_maps.views[name], view[name][4:79, 4:79])
        assert [*layers] == ["conv4", "conv5"]
        for layer, weights in layers.items():
            score = network.attention[name].score[layer]
            rows = zip(score.weight.detach(), score.bias.detach(), strict=True)
            e = [sum(map(float, w * rgb * depth)) + float(b) for w, b in rows]
            expected = np.exp(e - np.max(e)) / np.exp(e - np.max(e)).sum()
            np.testing.assert_allclose(weights.ravel(), expected, rtol=1e-3)
            assert weights.shape == (4, 4)


def test_a_row_for_each_modality(above: Project):
    (image_maps,) = maps(
        above, [experiments.load(above, "top-mat").open(above)[0]["image_id"]], "top-mat"
    )
    first, second = attention_maps.rows(image_maps)
    for line, view in ((first, "rgb"), (second, "depth")):
        np.testing.assert_array_equal(line[0], image_maps.views[view])
        for shown, weights in zip(line[1:], image_maps.weights[view].values(), strict=True):
            np.testing.assert_array_equal(shown, attention_maps.overlay(line[0], weights))


def test_a_rival_without_attention(above: Project):
    with pytest.raises(ReidError, match="top-rgb-d: its network has no attention to show"):
        maps(above, None, "top-rgb-d")


def test_the_command_shows_it_too(above: Project, tmp_path: Path):
    with contextlib.chdir(above.root):
        arguments = ["attention", "top-mat", "--out", str(tmp_path / "maps.png")]
        done = CliRunner().invoke(app, [*arguments, "--device", "cpu"])
    assert done.exit_code == 0, done.output
    expected = attention_maps.picture(maps(above, None, "top-mat"))
    np.testing.assert_array_equal(images.decode((tmp_path / "maps.png").read_bytes()), expected)


# -- clips of tracklets ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "steps"),
    [
        pytest.param(0, [0, 1, 2, 3], id="from the first on"),
        pytest.param(3, [3, 4, 0, 1], id="the first comes after the last"),
    ],
)
def test_frames_from_the_chosen_one_on(above: Project, start: int, steps: list[int]):
    data = sources.BuiltData("top", above).open(["image"])
    frames = data.labels("frame").tolist()
    rows = attention_maps._clip(data, frames.index(2200 + start))
    assert [frames[row] for row in rows] == [2200 + step for step in steps]


def test_a_tracklet_that_is_shorter_is_repeated(above: Project):
    data = sources.BuiltData("top", above).open(["image"])
    data = data.choose(data.labels("frame") % 100 < 2)  # two frames of each
    frames = data.labels("frame").tolist()
    rows = attention_maps._clip(data, frames.index(1101))
    assert [frames[row] for row in rows] == [1101, 1100, 1101, 1100]


def test_frames_stand_side_by_side_with_one_scale():
    view = np.stack([np.full((8, 4, 3), level, np.uint8) for level in (0, 80, 160)])
    weights = np.zeros((3, 2, 1), np.float32)
    weights[1], weights[2, 1] = 0.5, 1.0
    image_maps = Maps("a", {"image": view}, {"image": {"layer": weights}}, clip=True)
    (bare, shown), = attention_maps.rows(image_maps)  # fmt: skip
    assert bare.shape == shown.shape == (8, 12, 3)
    assert [bare[0, x, 0] for x in (0, 4, 8)] == [0, 80, 160]
    colours = shown - (1 - attention_maps.HEAT) * bare.astype(float)
    least, half, most = colours[0, 0], colours[0, 5], colours[-1, -1]
    assert np.abs(colours[:, :4] - least).max() <= 1
    assert np.abs(colours[:, 4:8] - half).max() <= 1, "even, but of the middle of the scale"
    assert most[0] > half[0] > least[0] - 20
    assert most[1] > half[1] > least[1]


# -- pictures --------------------------------------------------------------------------------


def brightest(image: np.ndarray) -> tuple[int, int]:
    """Row and column of the brightest pixel: yellow is brighter than all else in a map."""
    level = image.astype(float).mean(2)
    row, column = divmod(int(level.argmax()), level.shape[1])
    return row, column


def test_an_overlay_is_brightest_where_the_weight_is_greatest():
    image = np.full((40, 20, 3), 128, np.uint8)
    mask = np.array([[0.4, 0.4], [0.4, 0.4], [0.4, 0.4], [0.4, 0.41]], np.float32)
    shown = attention_maps.overlay(image, mask)
    assert shown.shape == image.shape
    row, column = brightest(shown)
    assert row >= 35
    assert column >= 14
    violet, yellow = shown[0, 0].astype(int), shown[-1, -1].astype(int)
    assert violet[2] > violet[1]
    assert yellow[0] > 150 < yellow[1]
    assert yellow[2] < 110
    np.testing.assert_array_equal(image, 128)


@pytest.mark.parametrize("weight", [0.5, 1 / 169])
def test_even_weights_have_no_colours(weight: float):
    image = np.arange(40 * 20 * 3, dtype=np.uint16).reshape(40, 20, 3).astype(np.uint8)
    mask = np.full((4, 2), weight, np.float32)
    np.testing.assert_array_equal(attention_maps.overlay(image, mask), image)
    mask[0, 0] += EVEN / 2 * weight
    np.testing.assert_array_equal(attention_maps.overlay(image, mask), image)
    mask[0, 0] += EVEN * weight
    assert (attention_maps.overlay(image, mask) != image).any()


def test_an_overlay_has_no_colours_of_its_image():
    """Depth as colours has all of them: only gray levels of it are below the weights."""
    mask = np.array([[0.2, 0.8]], np.float32)
    red, green, gray = (np.full((8, 8, 3), c, np.uint8) for c in ((200, 0, 0), (0, 102, 0), 60))
    expected = attention_maps.overlay(gray, mask)
    np.testing.assert_array_equal(attention_maps.overlay(red, mask), expected)
    np.testing.assert_array_equal(attention_maps.overlay(green, mask), expected)


def of_layers(*weights: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip(BLOCKS.values(), weights, strict=True))


def made() -> Maps:
    """Gray levels tell the pictures apart; each mask is greatest at one corner."""
    whole = np.full((64, 32, 3), 100, np.uint8)
    parts = np.stack([np.full((16, 32, 3), 40 * (i + 1), np.uint8) for i in range(4)])
    mask = np.full((4, 2), 0.3, np.float32)
    mask[3, 1] = 0.5
    part_mask = np.full((4, 4, 2), 0.2, np.float32)
    part_mask[1, 0, 0] = 0.9
    weights = {"whole": of_layers(*[mask] * 3), "parts": of_layers(*[part_mask] * 3)}
    return Maps("query/0002_c1", {"whole": whole, "parts": parts}, weights)


def test_the_whole_body_stands_above_its_parts():
    first, second = attention_maps.rows(made())
    assert len(first) == len(second) == 1 + len(BLOCKS) == 4
    np.testing.assert_array_equal(first[0], 100)
    for i in range(4):
        np.testing.assert_array_equal(second[0][16 * i : 16 * (i + 1)], 40 * (i + 1))
    for shown in first[1:]:
        row, column = brightest(shown)
        assert row >= 56
        assert column >= 20
    for shown in second[1:]:  # of the parts only the second's mask is uneven, at its top left
        assert (shown[16:32] != 80).any(2).all()
        row, column = brightest(shown[16:32])
        assert row <= 3
        assert column <= 12
        np.testing.assert_array_equal(np.delete(shown, np.s_[16:32], 0)[:16], 40)
        np.testing.assert_array_equal(shown[32:48], 120)
        np.testing.assert_array_equal(shown[48:], 160)


def test_spread_is_the_least_and_the_greatest_weight_of_each_block():
    assert attention_maps.spread(made()) == [["0.30-0.50"] * 3, ["0.20-0.90"] * 3]


def test_small_weights_have_more_digits():
    assert attention_maps.span(np.array([[0.0012, 0.01234]])) == "0.0012-0.0123"
    assert attention_maps.span(np.array([[0.0012, 0.1]])) == "0.00-0.10"


@pytest.mark.parametrize(
    ("image_id", "shown"),
    [
        ("004/img/668", "004/img/668"),
        ("DPI-T_test_rgb/00/012/00_012_0004", "00/012/00_012_0004"),
        ("query/0001_c1s1_001051_00_of_a_long_name", "0001_c1s1_001051_00_of_a_long_name"),
    ],
)
def test_as_much_of_a_name_as_fits(image_id: str, shown: str):
    assert attention_maps._short(image_id) == shown


def test_square_pictures_stand_close():
    weights = {"even": np.full((4, 4), 1 / 16, np.float32)}
    square = {"rgb": np.zeros((75, 75, 3), np.uint8), "depth": np.zeros((75, 75, 3), np.uint8)}
    one = Maps("a", square, {"rgb": weights, "depth": weights})
    height, width, _ = attention_maps.picture([one, one]).shape
    assert height == 2 * pictures.LINE_PX + 2 * (136 + draw.LABEL_PX + 6) + 6
    assert width >= 2 * (2 * (136 + 6) + 6)


def test_a_layer_of_one_view_alone_leaves_a_cell_empty():
    weight = np.array([[0.25, 0.75]], np.float32)
    views = {"rgb": np.zeros((8, 8, 3), np.uint8), "depth": np.zeros((8, 8, 3), np.uint8)}
    weights = {"rgb": {"conv4": weight, "conv5": weight}, "depth": {"conv4": weight}}
    image_maps = Maps("a", views, weights)
    assert image_maps.layers == ["conv4", "conv5"]
    assert attention_maps.picture([image_maps]).shape[1] >= 3 * (136 + 6)


@pytest.mark.parametrize(
    ("count", "lines", "abreast"), [(1, 1, 1), (2, 1, 2), (3, 2, 2), (4, 2, 2)]
)
def test_images_stand_two_abreast(count: int, lines: int, abreast: int):
    one = attention_maps.picture([made()])
    shown = attention_maps.picture([made()] * count)
    above, height = 2 * pictures.LINE_PX, one.shape[0] - 2 * pictures.LINE_PX
    panel = 4 * (attention_maps.SHOWN_PX[1] + pictures.EDGE_PX) + pictures.EDGE_PX
    assert shown.shape == (above + lines * height, abreast * panel, 3)
    for i in range(count):
        y, x = above + i // 2 * height, i % 2 * panel
        np.testing.assert_array_equal(shown[y : y + height, x : x + panel], one[above:, :panel])
    if count == 3:
        assert (shown[above + height :, panel:] == 255).all()


def test_the_legend_runs_from_violet_to_yellow():
    width = attention_maps.SCALE_PX[1]
    y, x = pictures.LINE_PX + pictures.LINE_PX // 2, pictures.EDGE_PX
    scale = attention_maps.picture([made()])[y, x : x + width].astype(int)
    assert (np.diff(scale.mean(1)) > -1).all()
    assert scale[0, 2] > scale[0, 1]
    assert scale[-1, 1] > scale[-1, 2]


def test_the_command_writes_the_maps_of_named_images(trained: Project, tmp_path: Path):
    image_id = maps(trained)[2].image_id
    out = tmp_path / "maps.png"
    with contextlib.chdir(trained.root):
        arguments = ["attention", "toy-intra", "--image", image_id, "--out", str(out)]
        done = CliRunner().invoke(app, [*arguments, "--device", "cpu"])
    assert done.exit_code == 0, done.output
    expected = attention_maps.picture(maps(trained, [image_id]))
    np.testing.assert_array_equal(images.decode(out.read_bytes()), expected)


# -- the report's section --------------------------------------------------------------------


def section(project: Project):
    (runs,) = [
        dataset_runs
        for dataset_runs in sources.runs(project, sources.built_data(project))
        if dataset_runs.built.name == "toy"
    ]
    return attention.maps(runs)


def test_the_report_shows_networks_with_intra_attention(trained: Project):
    part = section(trained)
    assert part is not None
    text, sheet = part.blocks
    assert "violet" in getattr(text, "text", "")
    assert isinstance(sheet, attention.Sheet)
    assert sheet.caption == "toy-intra."
    assert sheet.headings == ["image", "block 2", "block 3", "block 4"]
    shown = maps(trained)
    assert [row.title for row in sheet.rows] == [
        f"{each.image_id}, {name}" for each in shown for name in ("whole body", "parts")
    ]
    assert [len(row.shots) for row in sheet.rows] == [4] * 8
    first = ", ".join(
        f"{block} {mask.min():.2f}-{mask.max():.2f}"
        for block, mask in shown[0].weights["whole"].items()
    )
    assert sheet.rows[0].note == first


def test_the_report_leaves_out_what_does_not_fit(trained: Project, tmp_path: Path):
    """A network of other parameters than params.yaml has, and one whose columns are gone."""
    for name, spoil in (("changed", other_seed), ("gone", without_parts)):
        project = copy_of(trained, tmp_path / name)
        assert section(project) is not None
        spoil(project)
        assert section(project) is None


def other_seed(project: Project) -> None:
    path = project.run("toy-intra") / "train" / "experiment.json"
    description = json.loads(path.read_text())
    description["params"]["seed"] = 1
    path.write_text(json.dumps(description))


def without_parts(project: Project) -> None:
    shutil.rmtree(project.derived("parts", "toy"))
