"""The masks stage: rows in, rows out, why a row is rejected, and the whole of it in a project."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

import reid as library
from pipeline.backends.masks.person_mask import PersonMask
from pipeline.commands.build import make_plan
from pipeline.engine import run as engine
from pipeline.engine.stage import Resources
from pipeline.stages import masks
from pipeline.stages.masks import Estimate, Params, build, tight_box, to_table, weights
from pipeline.world.truth import Truth, write_truth
from reid.arrays import images
from reid.arrays.images import decode_mask, encode_jpeg, encode_png
from reid.look.inspect import contact_sheet
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.shards.folder import Shards
from reid.shards.schema import IMAGE
from reid.shards.verify import verify
from tests.conftest import reid

MASK = np.zeros((12, 8), bool)
MASK[2:11, 3:6] = True
BOX, AREA = [3, 2, 6, 11], 27


def image_table(encoded, height=12, width=8):
    column = [None if i is None else {"bytes": i, "path": None} for i in encoded]
    count = len(encoded)
    return pa.table(
        {
            "image_id": [f"a/{index}" for index in range(count)],
            "image": pa.array(column, IMAGE),
            "height": pa.array([height] * count, pa.int32()),
            "width": pa.array([width] * count, pa.int32()),
        }
    )


def given_step(folder: Path, computed: dict, **changes):
    for name, mask in computed.items():
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(mask if isinstance(mask, bytes) else encode_png(mask))
    return build(Params(backend="given", path=str(folder), **changes), Resources())


# --- columns -------------------------------------------------------------------------------------


def test_the_columns_of_a_mask():
    result = to_table([PersonMask(MASK, 0.75)], [None], 1.0)
    assert result.select(masks.SCHEMA.names).schema == masks.SCHEMA
    (row,) = result.to_pylist()
    np.testing.assert_array_equal(decode_mask(row["mask"]["bytes"]), MASK)
    assert row["mask"]["bytes"][24] == 1  # the PNG header's bit depth
    assert row["mask_size"] == len(row["mask"]["bytes"])
    assert (row["mask_score"], row["mask_box"], row["mask_area"]) == (0.75, BOX, AREA)
    assert row["reject"] is None


@given(arrays(bool, st.tuples(st.integers(1, 6), st.integers(1, 6))).filter(np.any))
def test_the_box_is_tight(mask):
    x1, y1, x2, y2 = tight_box(mask)
    assert mask[y1:y2, x1:x2].sum() == mask.sum()
    for side in (mask[y1, :], mask[y2 - 1, :], mask[:, x1], mask[:, x2 - 1]):
        assert side.any()


@pytest.mark.parametrize(
    ("mask", "max_area", "reason"),
    [
        pytest.param(np.zeros((12, 8), bool), 1.0, "empty mask", id="empty"),
        pytest.param(np.ones((12, 8), bool), 1.0, None, id="everything is kept"),
        pytest.param(np.ones((12, 8), bool), 0.9, "covers 1.00 of the image", id="or not"),
        pytest.param(MASK, 27 / 96, None, id="as much as may be"),
        pytest.param(MASK, 0.28, "covers 0.28 of the image", id="more than may be"),
    ],
)
def test_how_much_a_mask_covers(mask, max_area, reason):
    (row,) = to_table([PersonMask(mask, 1.0)], [None], max_area).to_pylist()
    if reason is None:
        assert row["reject"] is None
        assert row["mask_area"] == mask.sum()
    else:
        assert reason in row["reject"]
        assert all(row[name] is None for name in masks.SCHEMA.names)


# --- given ---------------------------------------------------------------------------------------


def test_given_masks_keep_the_rows_in_order(tmp_path):
    computed = {
        "a/4": np.ones((12, 8), bool), "a/0": MASK, "a/2": np.zeros((12, 8), bool),
        "a/3": np.ones((8, 12), bool), "a/5": encode_png(MASK)[:-20], "z/extra": MASK,
    }  # fmt: skip
    result = given_step(tmp_path, computed)(image_table([b""] * 6))
    assert result["reject"].to_pylist() == [
        None, "no mask given", "empty mask",
        "given mask: 12 x 8 pixels, of the image 8 x 12", None, "given mask: truncated PNG",
    ]  # fmt: skip
    assert result["mask_area"].to_pylist() == [AREA, None, None, None, 96, None]
    assert result["mask_box"].to_pylist() == [BOX, None, None, None, [0, 0, 8, 12], None]
    assert [size is None for size in result["mask_size"].to_pylist()] == [
        mask is None for mask in result["mask"].to_pylist()
    ]


def test_given_masks_may_be_too_large_as_well(tmp_path):
    step = given_step(tmp_path, {"a/0": np.ones((12, 8), bool)}, max_area=0.99)
    assert step(image_table([b""]))["reject"].to_pylist() == ["the mask covers 1.00 of the image"]


def test_unmatched_masks(tmp_path):
    given_step(tmp_path, {"a/0": MASK, "a/1": MASK, "z/9": MASK})
    params = Params(backend="given", path=str(tmp_path))
    assert masks.unmatched(params, ["a/0", "a/1", "a/2"]) == ["z/9"]
    assert masks.unmatched(Params(), ["a/0"]) == []


# --- networks ------------------------------------------------------------------------------------


def test_estimate_decodes_ahead_and_keeps_bad_rows_in_place():
    pictures = [np.full((12, 8, 3), value, np.uint8) for value in (10, 20, 30, 40)]
    data = [encode_png(pictures[0]), b"", None, encode_jpeg(pictures[1])[:40],
            *map(encode_png, pictures[2:])]  # fmt: skip
    calls = []

    def network(batch):
        calls.append([int(image[0, 0, 0]) for image in batch])
        return [None, PersonMask(MASK, 0.5), PersonMask(np.zeros((12, 8), bool), 0.5)]

    step = Estimate(network, max_area=1.0)
    result = step(step.prepare(image_table(data)))
    assert calls == [[10, 30, 40]]  # one call, of the good images alone
    reasons = result["reject"].to_pylist()
    assert reasons[:3] == ["no person found", "empty file", "no image"]
    assert "JPEG" in reasons[3]
    assert reasons[4:] == [None, "empty mask"]
    assert result["mask_area"].to_pylist() == [None] * 4 + [AREA, None]


def test_images_that_are_no_crops_do_not_reach_the_network():
    step = Estimate(lambda batch: pytest.fail("called"), max_area=1.0)
    data = [encode_png(np.zeros((21, 1, 3), np.uint8)), encode_png(np.zeros((2, 50, 3), np.uint8))]
    result = step(step.prepare(image_table([*data, b""])))
    assert result["reject"].to_pylist() == [
        "1 x 21 pixels: too thin", "50 x 2 pixels: too thin", "empty file",
    ]  # fmt: skip
    assert result["mask"].null_count == 3


def test_parameters_that_do_not_go_together():
    with pytest.raises(ValidationError, match="`longest_side` must not be below"):
        Params(shortest_side=256, longest_side=128)


def test_batches_and_device_follow_the_backend():
    assert masks.batch_rows(Params(backend="given", path="x")) == 256
    assert masks.batch_rows(Params(batch=4)) == 4
    assert masks.needs_device(Params())
    assert not masks.needs_device(Params(backend="given", path="x"))


def test_weights_are_identified_by_content(tmp_path):
    (tmp_path / "w.pth").write_bytes(b"abc")
    sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert weights(Params(weights="w.pth"), tmp_path) == sha256
    pin = {"address": "https://example.org/n.pt", "file": "n.pt", "bytes": 1, "sha256": sha256}
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "weights.json").write_text(
        json.dumps({"masks torchvision maskrcnn_resnet50_fpn": pin})
    )
    assert weights(Params(), tmp_path) == sha256
    with pytest.raises(ReidError, match="no such weights file"):
        weights(Params(weights="missing.pth"), tmp_path)
    given_step(tmp_path / "masks", {"a": MASK})
    params = Params(backend="given", path="masks")
    before = weights(params, tmp_path)
    given_step(tmp_path / "masks", {"a": ~MASK})
    assert weights(params, tmp_path) != before


# --- a project -----------------------------------------------------------------------------------


def silhouette(number: int) -> np.ndarray:
    """(64, 32) bool, another one for each number."""
    y, x = np.mgrid[:64, :32]
    return ((y - 32) / 28) ** 2 + ((x - 16 + number % 5) / (6 + number % 4)) ** 2 < 1


@pytest.fixture
def truth(toy: Project) -> list[str]:
    """The image_ids of the tiny project, whose masks are given as a world's truth, but for one."""
    with Path("params.yaml").open("a") as file:
        section = "masks: {on: {toy: {backend: given, path: data/0-raw/toy.truth}}}\n"
        file.write(section)
    engine.run(make_plan("ingest", "toy", toy), toy, executor="local")
    ids = sorted(library.open("data", "toy").rows["image_id"].to_pylist())
    blank = encode_png(np.zeros((64, 32), np.uint16))
    rows = [
        (name, Truth(encode_png(silhouette(i)), blank, blank), None)
        for i, name in enumerate([*ids[:-1], "extra/1"])
    ]
    write_truth(toy.raw("toy.truth"), rows)
    return ids


@pytest.mark.parametrize("inverted", [False, True])
def test_masks_that_look_inverted_are_told(toy: Project, truth: list[str], inverted: bool):
    blank = encode_png(np.zeros((64, 32), np.uint16))
    picture = encode_png(silhouette(0) != inverted)
    rows = [(name, Truth(picture, blank, blank), None) for name in truth]
    shutil.rmtree(toy.raw("toy.truth"))
    write_truth(toy.raw("toy.truth"), rows)
    engine.run(make_plan("masks", "toy", toy), toy, executor="local")
    params = Params(backend="given", path="data/0-raw/toy.truth")
    lines = masks.notes(params, Shards(toy.shards("toy")), toy.derived("masks", "toy"))
    assert [line.endswith("are they inverted?") for line in lines] == [True] * inverted


def test_a_project_with_given_masks(toy: Project, truth: list[str]):
    finished = engine.run(make_plan("masks", "toy", toy), toy, executor="local")
    assert (finished.rows, finished.rejects) == (len(truth), 1)
    folder = toy.derived("masks", "toy")
    assert pq.read_table(folder / "rejects.parquet").to_pylist() == [
        {"image_id": truth[-1], "reason": "no mask given"}
    ]
    assert verify(folder, toy.shards("toy")) == []
    for path in sorted((folder / "rows").iterdir()):
        base = pq.read_table(toy.shards("toy") / "rows" / path.name)
        table = pq.read_table(path)
        assert table["image_id"] == base["image_id"]
        for row in table.to_pylist():
            if row["image_id"] == truth[-1]:
                assert row["mask"] is None
                continue
            expected = silhouette(truth.index(row["image_id"]))
            np.testing.assert_array_equal(decode_mask(row["mask"]["bytes"]), expected)
            assert row["mask_area"] == expected.sum()
    again = engine.run(make_plan("masks", "toy", toy), toy, executor="local")
    assert (again.computed, again.published) == (0, False)


def test_masks_are_shown_over_their_images(toy: Project, truth: list[str]):
    engine.run(make_plan("masks", "toy", toy), toy, executor="local")
    shard = sorted((toy.derived("masks", "toy") / "rows").iterdir())[0]
    row = pq.read_table(shard).to_pylist()[0]
    mask = decode_mask(row["mask"]["bytes"])
    data = library.open("data", "toy", ["image"])
    index = data.rows["image_id"].to_pylist().index(row["image_id"])
    image = data.value("image", index)
    inside = mask.copy()
    for _ in range(3):  # the outline and its rim lie around this
        inside &= np.roll(inside, 1, 0) & np.roll(inside, -1, 0)
        inside &= np.roll(inside, 1, 1) & np.roll(inside, -1, 1)
    assert inside.any()
    over = contact_sheet(shard, [0], columns=1, cell=(64, 32))[:64, :32]
    np.testing.assert_array_equal(over[inside], image[inside])
    assert (over[:4, :4] > image[:4, :4]).all()  # faded to paper
    alone = contact_sheet(shard, [0], columns=1, cell=(64, 32), column="mask")[:64, :32]
    np.testing.assert_array_equal(alone, np.repeat(mask[..., None] * 255, 3, 2))
    copied = Path("copied.parquet")
    copied.write_bytes(shard.read_bytes())  # no images beside it
    np.testing.assert_array_equal(
        contact_sheet(copied, [0], columns=1, cell=(64, 32))[:64, :32], alone
    )


def test_the_command_counts_masks_that_belong_to_no_image(toy: Project, truth: list[str]):
    run = reid("masks", "toy", "--executor", "local")
    assert run.returncode == 0, run.stderr
    assert f"{len(truth)} rows, 1 rejects" in run.stdout
    assert "1 given labels belong to no image: extra/1" in run.stdout


def test_the_right_person_of_a_rendered_image(toy: Project):
    """A rendered street's own truth goes through the stage as it is."""
    from pipeline.world.scenes.street import Params as Street

    tiny = Street(train_identities=1, test_identities=1, cameras=2, images_min=2, images_max=2)
    shots = list(tiny.render())
    write_truth(Path("truth"), [(f"a/{i}", truth, None) for i, (_, truth) in enumerate(shots)])
    sizes = {images.size_of(sample.encoded) for sample, _ in shots}
    assert len(sizes) == 1
    table = image_table([sample.encoded for sample, _ in shots], *sizes.pop())
    rows = build(Params(backend="given", path="truth"), Resources())(table).to_pylist()
    assert any(row["mask"] for row in rows)
    for row, (_, truth) in zip(rows, shots, strict=True):
        expected = decode_mask(truth.mask)
        assert (row["mask_area"] or 0) == expected.sum()
        if row["reject"] is None:
            np.testing.assert_array_equal(decode_mask(row["mask"]["bytes"]), expected)
        else:
            assert row["reject"] == "empty mask"
