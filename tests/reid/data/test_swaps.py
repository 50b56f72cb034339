"""Swaps while training: who is combined with whom, and which pixels come from where."""

from __future__ import annotations

import contextlib

import numpy as np
import pyarrow as pa
import pytest
import torch

from pipeline.commands.build import make_plan
from pipeline.engine import run as engine
from reid.arrays import images
from reid.arrays import swaps as arrays
from reid.data import swaps
from reid.data.dataset import open as open_data
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.shards.folder import Shards, with_sizes, write_shard
from reid.shards.schema import IMAGE
from tests.conftest import make_project
from tests.manifests import write_manifest

SIDE = 64
RED, GREEN, BLUE = (np.full((SIDE, SIDE, 3), colour, np.uint8) for colour in np.eye(3) * 250)


# -- a build of `backgrounds`, made here -----------------------------------------------------


def region_of(row: int) -> np.ndarray:
    """(S, S) bool: a box that is another one for every row, upright or lying."""
    region = np.zeros((SIDE, SIDE), bool)
    y, x = 4 + row % 7, 6 + row % 5
    region[y : y + 30 + row % 3, x : x + 12 + row % 4] = True
    return region if row % 2 else region.T.copy()


def background_of(row: int) -> np.ndarray:
    """(S, S, 3): one colour that no other row has, red, green and blue apart."""
    return np.full((SIDE, SIDE, 3), (200 - row, row, 90 + row % 2), np.uint8)


def rectangle_of(row: int) -> tuple[int, int, int, int]:
    around = arrays.bounds(region_of(row))
    assert around
    return around


def write_backgrounds(
    project: Project, dataset: str, *, scaled: bool = False, rejected: tuple[int, ...] = ()
) -> None:
    """2-derived/backgrounds as the stage makes it; any training row is any other's partner."""
    base, folder = Shards(project.shards(dataset)), project.derived("backgrounds", dataset)
    (folder / "rows").mkdir(parents=True)
    train = np.flatnonzero(base.scalars(["train"])["train"].to_numpy(zero_copy_only=False))
    first = 0
    for shard in base.shards:
        numbers = range(first, first + len(shard))
        good = [n in train and n not in rejected for n in numbers]

        def column(make, numbers=numbers, good=good):
            return pa.array(
                [
                    {"bytes": images.encode_png(make(n)), "path": None} if g else None
                    for n, g in zip(numbers, good, strict=True)
                ],
                IMAGE,
            )

        rectangles = [
            rectangle_of(n) if scaled and g else None for n, g in zip(numbers, good, strict=True)
        ]
        partners = [train.tolist() if g else [] for g in good]
        table = pa.table(
            {
                "image_id": shard.table(["image_id"])["image_id"],
                "background": column(background_of),
                "region": column(region_of),
                "rectangle": pa.array(rectangles, pa.list_(pa.float32(), 4)),
                "partners": pa.array(partners, pa.list_(pa.int32())),
            }
        )
        path = folder / "rows" / shard.path.name
        write_shard(path, with_sizes(table), {})
        first += len(shard)
    write_manifest(folder, dataset=dataset, columns=table.column_names)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = make_project(tmp_path_factory.mktemp("swaps") / "project")
    with contextlib.chdir(made.root):
        engine.run(make_plan("ingest", "toy", made), made, executor="local")
    write_backgrounds(made, "toy", rejected=(40, 41))
    return made


def training_data(project: Project):
    columns = ["image", *swaps.COLUMNS]
    return open_data(project.root / "data", "toy", columns).role("train")


# -- who with whom ---------------------------------------------------------------------------


def test_a_donor_is_a_training_row_with_a_background_and_never_the_row_itself(project: Project):
    data = training_data(project)
    rows = np.tile(np.arange(len(data)), 200)
    donors = swaps.Donors(data, 1.0).draw(rows, 0)
    swapped = donors >= 0
    rejected = np.isin(data.index, (40, 41))
    assert rejected.sum() == 2
    assert not swapped[rejected[rows]].any(), "a row without a region stays as it is"
    assert swapped[~rejected[rows]].all()
    assert (donors[swapped] != rows[swapped]).all()
    assert set(donors[swapped]) == set(np.flatnonzero(~rejected)), "each other row gives its own"


def test_partners_outside_of_the_chosen_rows_are_left_out(project: Project):
    data = training_data(project)
    few = data.choose(np.array([20, 7, 30]))  # as where identities are held out
    donors = swaps.Donors(few, 1.0).draw(np.repeat(np.arange(3), 50), 1)
    assert [set(d) for d in donors.reshape(3, 50)] == [{1, 2}, {0, 2}, {0, 1}]
    with pytest.raises(ReidError, match="no training image has a partner"):
        swaps.Donors(data.choose(np.array([5])), 1.0)


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_each_read_draws_anew_with_its_probability(project: Project, probability: float):
    data = training_data(project)
    donors = swaps.Donors(data, probability)
    rows = np.full(2000, 9)
    found = donors.draw(rows, 5)
    assert (found >= 0).mean() == pytest.approx(probability, abs=0.035)
    assert (donors.draw(rows, 5) == found).all()
    assert probability == 0 or (donors.draw(rows, 6) != found).any()


def test_donors_are_drawn_evenly(project: Project):
    data = training_data(project)
    found = swaps.Donors(data, 1.0).draw(np.full(6600, 9), 0)
    counts = np.bincount(found, minlength=len(data))
    others = np.delete(counts, [9, *np.flatnonzero(np.isin(data.index, (40, 41)))])
    assert len(others) == 33
    assert others.min() > 140, "200 each on average"
    assert others.max() < 260


# -- a row's part ----------------------------------------------------------------------------


def row_of(region: np.ndarray | None, background: np.ndarray | None = RED, rectangle=None):
    values = (background, region, rectangle)
    return dict(zip(swaps.COLUMNS, values, strict=True))


def test_prepared_at_the_same_size_keeps_pixels():
    found = swaps.prepared(row_of(region_of(3), background_of(3)), SIDE, SIDE)
    np.testing.assert_array_equal(found["background"], background_of(3))
    np.testing.assert_array_equal(found["region"][..., 0], region_of(3) * 255)
    assert found["rectangle"].tolist() == [0, 0, 1, 1]


def test_prepared_smaller_has_shares_of_pixels_and_of_the_square():
    region = np.zeros((SIDE, SIDE), bool)
    region[:, :17] = True
    found = swaps.prepared(row_of(region, rectangle=np.array([0, 8, 17, 48])), 32, 16)
    assert found["background"].shape == (32, 16, 3)
    assert found["region"].shape == (32, 16, 1)
    assert found["region"][5, :6, 0].tolist() == [255, 255, 255, 255, 64, 0]  # a quarter of 4
    assert found["rectangle"].tolist() == [0, 0.125, 17 / 64, 0.75]


def test_prepared_of_a_rejected_row_is_empty():
    found = swaps.prepared(row_of(None, None), 32, 16)
    assert found["region"].shape == (32, 16, 1)
    assert not found["region"].any()
    assert found["background"].shape == (32, 16, 3)


# -- which pixels ----------------------------------------------------------------------------


def tensors(rows: list[int], own: np.ndarray | None = None, scaled: bool = False):
    """What a batch of made rows is prepared as; images in one colour, or `own`."""
    found: dict[str, list[np.ndarray]] = {}
    for row in rows:
        rectangle = rectangle_of(row) if scaled else None
        one = swaps.prepared(row_of(region_of(row), background_of(row), rectangle), SIDE, SIDE)
        image = np.full((SIDE, SIDE, 3), (40 + row, 250, 3 * row), np.uint8)
        for name, value in {"image": image if own is None else own, **one}.items():
            found.setdefault(name, []).append(value)
    return {name: torch.from_numpy(np.stack(values)) for name, values in found.items()}


def test_a_swap_is_the_hand_made_paste():
    """The region is the row's own, the background the donor's, the rest of the batch untouched."""
    batch, donors = tensors([3, 4, 5, 6]), tensors([20, 31])
    before = batch["image"].clone()
    found = swaps.swap(batch, donors, torch.tensor([2, 0]))
    for place, row, donor in ((2, 5, 20), (0, 3, 31)):
        expected = np.where(region_of(row)[..., None], before[place].numpy(), background_of(donor))
        np.testing.assert_array_equal(found[place].numpy(), expected)
    assert torch.equal(found[[1, 3]], before[[1, 3]])
    assert torch.equal(batch["image"], before)


def test_colours_keep_their_order_and_the_mask_is_the_one_of_the_kept_person():
    """A red person before a green wall and a blue one's: red where the red one's mask is, green
    where the other one stood. With masks or channels exchanged there would be blue."""
    upright, lying = region_of(1), region_of(2)
    assert (upright & ~lying).any()
    assert (lying & ~upright).any()
    red = swaps.prepared(row_of(upright, BLUE), SIDE, SIDE)
    green = swaps.prepared(row_of(lying, GREEN), SIDE, SIDE)
    batch, donors = (
        {name: torch.from_numpy(np.stack([value])) for name, value in values.items()}
        for values in ({"image": RED, **red}, {"image": BLUE, **green})
    )
    found = swaps.swap(batch, donors, torch.tensor([0]))[0].numpy()
    np.testing.assert_array_equal(found[upright], RED[upright])
    np.testing.assert_array_equal(found[~upright], GREEN[~upright])


def test_nothing_is_swapped_without_donors():
    batch = tensors([1, 2])
    empty = {name: values[:0] for name, values in batch.items()}
    found = swaps.swap(batch, empty, torch.empty(0, dtype=torch.int64))
    assert torch.equal(found, batch["image"])


def test_half_covered_pixels_mix_both_images():
    size = (1, 2, 2)
    image, onto = torch.full((*size, 3), 200).byte(), torch.full((*size, 3), 100).byte()
    region = torch.tensor([0, 51, 102, 255]).byte().reshape(*size, 1)
    whole = torch.tensor([[0.0, 0, 1, 1]])
    found = swaps.paste(image, region, whole, onto, whole)
    assert found[..., 0].flatten().tolist() == [100, 120, 140, 200]


def textured(seed: int) -> np.ndarray:
    """(S, S, 3) smooth pattern, so that interpolations differ by little."""
    random = np.random.default_rng(seed)
    return images.resize(random.integers(0, 256, (4, 4, 3), dtype=np.uint8), SIDE, SIDE)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        pytest.param((10, 5, 30, 45), (25, 12, 45, 52), id="moved alone"),
        pytest.param((10, 5, 30, 45), (4, 20, 52, 50), id="wider and lower"),
        pytest.param((0, 0, 64, 64), (16, 16, 48, 48), id="half the size"),
        pytest.param((20, 20, 40, 40), (0, 0, 64, 64), id="over everything"),
    ],
)
def test_a_region_is_scaled_from_its_rectangle_into_the_donor_s(source, target):
    image, onto = textured(0), textured(1)
    region = arrays.inside(np.ones((SIDE, SIDE), bool), source)
    expected = arrays.paste(image, region, onto, source, target)
    found = swaps.paste(
        torch.from_numpy(image)[None],
        torch.from_numpy(region[None, ..., None].astype(np.uint8) * 255),
        torch.tensor([source]) / SIDE,
        torch.from_numpy(onto)[None],
        torch.tensor([target]) / SIDE,
    )[0].numpy()
    x1, y1, x2, y2 = target
    beside = np.ones((SIDE, SIDE), bool)
    beside[y1:y2, x1:x2] = False
    np.testing.assert_array_equal(found[beside], onto[beside])
    inner = (slice(y1 + 2, y2 - 2), slice(x1 + 2, x2 - 2))  # at the rim the scaled masks differ
    difference = np.abs(found[inner].astype(int) - expected[inner])
    assert difference.mean() < (1e-3 if target[2] - target[0] == 20 else 2)
    assert difference.max() <= 8


def test_a_swap_of_scaled_regions_takes_each_one_s_rectangle():
    batch, donors = tensors([3], scaled=True), tensors([12], scaled=True)
    found = swaps.swap(batch, donors, torch.tensor([0]))[0].numpy()
    image = batch["image"][0].numpy()
    expected = arrays.paste(
        image, region_of(3), background_of(12), rectangle_of(3), rectangle_of(12)
    )
    np.testing.assert_array_equal(found, expected)  # boxes in one colour fill their rectangles
