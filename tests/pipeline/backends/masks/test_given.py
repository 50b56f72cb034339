"""Masks that come from files: each format, COCO's run lengths, and which person is taken."""

import json

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.backends.masks.coco_masks import decode_segmentation, unpack
from pipeline.backends.masks.given import load
from pipeline.backends.masks.pictures import person_pixels
from pipeline.world.truth import Truth, write_truth
from reid.arrays.images import BadImage, encode_jpeg, encode_png
from reid.project.errors import ReidError
from reid.shards.schema import IMAGE

coco = pytest.importorskip("pycocotools.mask")

MASK = np.zeros((12, 8), bool)
MASK[2:11, 3:6] = True
OTHER = np.zeros((12, 8), bool)
OTHER[4:6, 0:2] = True


def write_png(path, mask):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(mask))
    return path


def write_json(path, value):
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def runs_of(mask):
    """A mask's run lengths down the columns, counted one pixel after the other."""
    runs, value = [0], False
    for pixel in mask.T.ravel().tolist():
        if pixel != value:
            runs.append(0)
            value = pixel
        runs[-1] += 1
    return runs


def packed(mask):
    result = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": result["size"], "counts": result["counts"].decode()}


def found_at(path, image_id):
    result = load(path).find(image_id)
    assert result is not None
    return result.mask


# --- pictures and tables -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        pytest.param([0, 255, 255], [0, 1, 1], id="black and white"),
        pytest.param([0, 1, 0], [0, 1, 0], id="a label of one"),
        pytest.param([0, 38, 0], [0, 1, 0], id="a palette's dark colour"),
        pytest.param([0, 100, 127], [0, 0, 0], id="soft, all of it too weak"),
        pytest.param([0, 127, 128, 255], [0, 0, 1, 1], id="soft edges are cut in the middle"),
        pytest.param([0, 0], [0, 0], id="empty"),
        pytest.param([255, 255], [1, 1], id="everything"),
    ],
)
def test_person_pixels(levels, expected):
    result = person_pixels(np.array([levels], np.uint8))
    assert result.dtype == bool
    assert result[0].tolist() == [bool(e) for e in expected]


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        pytest.param([0, 1, 1, 0], [0, 1, 1, 0], id="one person by number"),
        pytest.param([0, 1, "top", 0], [0, 1, 0, 0], id="with a rim of nobody"),
        pytest.param([1, 1, "top", 0], [1, 1, 0, 0], id="the rim elsewhere"),
        pytest.param([0, 1, 2, 0], None, id="two people"),
        pytest.param([0, 7, "top", 0], None, id="of some class, or a soft edge"),
        pytest.param([0, 15, 8, "top"], None, id="two classes and a rim"),
        pytest.param([1, 2, 1, 2], None, id="two numbers, none of them 0"),
    ],
)
def test_numbers_in_8_and_16_bits(kind, levels, expected):
    picture = np.array([[np.iinfo(kind).max if v == "top" else v for v in levels]], kind)
    if expected is None:
        with pytest.raises(BadImage, match="which is the person is not known"):
            person_pixels(picture)
    else:
        assert person_pixels(picture)[0].tolist() == [bool(e) for e in expected]


def test_soft_edges_in_16_bits():
    levels = np.linspace(0, 65535, 200).astype(np.uint16)[None]
    np.testing.assert_array_equal(person_pixels(levels), levels > 32767)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_picture_of_0_and_1_in_its_own_bits(tmp_path, kind):
    (tmp_path / "a.png").write_bytes(encode_png(MASK.astype(kind)))
    np.testing.assert_array_equal(found_at(tmp_path, "a"), MASK)


@pytest.mark.parametrize("bits", [8, 4, 2])
@pytest.mark.parametrize("colours", [[0, 0, 0, 128, 0, 0], [9, 9, 9, 9, 9, 9]], ids=["VOC", "one"])
def test_a_palette_is_read_by_its_indexes(tmp_path, bits, colours):
    from PIL import Image

    rim, top = np.zeros_like(MASK), 2**bits - 1
    rim[1, 3:6] = True
    picture = Image.fromarray(np.where(MASK, 1, np.where(rim, top, 0)).astype(np.uint8)).convert(
        "P"
    )
    picture.putpalette((colours + [224, 224, 192] * 254)[: 3 * (top + 1)])
    picture.save(tmp_path / "a.png", bits=bits)
    if bits == 8:  # 255 is the rim
        np.testing.assert_array_equal(found_at(tmp_path, "a"), MASK)
    else:
        with pytest.raises(BadImage, match=f"levels 0, 1, {top}"):
            found_at(tmp_path, "a")


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (9, 90, 200)], ids=str)
def test_what_is_cut_out_of_a_picture_is_its_opaque_pixels(tmp_path, colour):
    picture = np.full((*MASK.shape, 4), (*colour, 0), np.uint8)
    picture[..., 3][MASK] = 255
    (tmp_path / "a.png").write_bytes(encode_png(picture))
    np.testing.assert_array_equal(found_at(tmp_path, "a"), MASK)


def test_alpha_that_hides_nothing_says_nothing(tmp_path):
    picture = np.full((*MASK.shape, 4), 255, np.uint8)
    picture[..., :3] = MASK[..., None]
    (tmp_path / "a.png").write_bytes(encode_png(picture))
    np.testing.assert_array_equal(found_at(tmp_path, "a"), MASK)


def test_several_colours_are_refused(tmp_path):
    picture = np.zeros((*MASK.shape, 3), np.uint8)
    picture[MASK] = 128, 0, 0
    picture[OTHER] = 0, 128, 0
    (tmp_path / "a.png").write_bytes(encode_png(picture))
    with pytest.raises(BadImage, match="2 colours"):
        found_at(tmp_path, "a")


def test_a_mask_is_turned_as_its_camera_says(tmp_path):
    from PIL import Image

    tags = Image.Exif()
    tags[0x0112] = 6  # its right column is on top
    turned = Image.fromarray(np.rot90(MASK).astype(np.uint8) * 255)
    turned.save(tmp_path / "a.png", exif=tags)
    np.testing.assert_array_equal(found_at(tmp_path, "a"), MASK)


def test_a_person_s_folder_is_of_that_person_alone(tmp_path):
    write_png(tmp_path / "person_0009" / "0009.png", MASK)
    (tmp_path / "person_0009" / "._0009.png").write_bytes(b"\0\5\x16\7")
    labels = load(tmp_path)
    assert labels.find("person_0003/0009") is None
    assert labels.find("raw/person_0009/0009") is not None
    assert labels.unmatched(["person_0003/0009"]) == ["person_0009/0009"]


def test_a_folder_of_pictures(tmp_path):
    write_png(tmp_path / "train" / "a.png", MASK)
    write_png(tmp_path / "train" / "b.PNG", OTHER.astype(np.uint8))
    (tmp_path / "notes.txt").write_text("no mask")
    labels = load(tmp_path)
    result = labels.find("train/a")
    assert result is not None
    assert result.score == 1
    np.testing.assert_array_equal(result.mask, MASK)
    np.testing.assert_array_equal(found_at(tmp_path, "b"), OTHER)
    assert labels.find("train/c") is None
    assert load(tmp_path).unmatched(["train/a", "train/c"]) == ["train/b"]


@pytest.mark.parametrize("form", ["1", "L", "P", "I;16", "RGBA"])
@pytest.mark.parametrize("ending", ["png", "tif", "TIFF", "bmp", "webp"])
def test_every_kind_of_picture_in_every_form_that_it_has(tmp_path, ending, form):
    from PIL import Image

    opaque = np.where(MASK[..., None], (9, 90, 200, 255), 0).astype(np.uint8)
    levels = MASK.astype(np.uint16 if form == "I;16" else np.uint8)
    picture = Image.fromarray(opaque if form == "RGBA" else MASK if form == "1" else levels)
    if form == "P":
        picture = picture.convert("P")
        picture.putpalette([0, 0, 0, 128, 0, 0])
    options = {"lossless": True} if ending == "webp" else {}
    if (ending, form) in {("bmp", "I;16"), ("bmp", "RGBA"), ("webp", "I;16"), ("webp", "P")}:
        pytest.skip("the format has no such form")
    picture.save(tmp_path / f"a.{ending}", **options)
    np.testing.assert_array_equal(found_at(tmp_path, "a"), MASK)


def test_a_jpeg_is_cut_at_the_middle_and_of_numbers_refused(tmp_path):
    (tmp_path / "a.jpg").write_bytes(encode_jpeg(255 * np.dstack([MASK] * 3).astype(np.uint8), 98))
    np.testing.assert_array_equal(found_at(tmp_path, "a"), MASK)
    (tmp_path / "a.jpg").write_bytes(encode_jpeg(np.dstack([MASK] * 3).astype(np.uint8)))
    with pytest.raises(BadImage, match="a JPEG of levels up to"):
        found_at(tmp_path, "a")


def test_two_pictures_of_one_image_are_an_error(tmp_path):
    write_png(tmp_path / "a.png", MASK)
    write_png(tmp_path / "a.PNG", MASK)
    with pytest.raises(ReidError, match="is of the same image"):
        load(tmp_path)


def test_a_palette_picture(tmp_path):
    from PIL import Image

    picture = Image.fromarray(MASK.astype(np.uint8), mode=None).convert("P")
    picture.putpalette([0, 0, 0, 128, 0, 0] + [0] * 762)
    picture.save(tmp_path / "a.png")
    np.testing.assert_array_equal(found_at(tmp_path, "a"), MASK)


def test_a_worlds_truth(tmp_path):
    blank = encode_png(np.zeros((12, 8), np.uint16))
    truths = [("t/a", MASK), ("t/b", OTHER), ("t/c", np.zeros((12, 8), bool))]
    rows = ((name, Truth(encode_png(mask), blank, blank), None) for name, mask in truths)
    write_truth(tmp_path, rows)
    pq.write_table(pa.table({"image_id": ["t/a"], "other": [1]}), tmp_path / "persons.parquet")
    for name, mask in truths:
        np.testing.assert_array_equal(found_at(tmp_path, name), mask)


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), IMAGE], ids=str)
def test_parquet_of_bytes_or_of_the_shards_struct(tmp_path, kind):
    data = encode_png(MASK)
    cell = {"bytes": data, "path": None} if kind == IMAGE else data
    columns = {"image_id": ["a", "b"], "mask": pa.array([cell, None], kind)}
    pq.write_table(pa.table({**columns, "mask_score": [0.25, None]}), tmp_path / "m.parquet")
    labels = load(tmp_path / "m.parquet")
    result = labels.find("a")
    assert result is not None
    assert result.score == 0.25
    np.testing.assert_array_equal(result.mask, MASK)
    assert labels.find("b") is None  # a null row is an image without a mask


# --- COCO ----------------------------------------------------------------------------------------


@given(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_run_lengths_plain_and_packed_give_the_mask(mask):
    runs, size = runs_of(mask), list(mask.shape)
    np.testing.assert_array_equal(decode_segmentation({"size": size, "counts": runs}, 1, 1), mask)
    text = packed(mask)
    assert unpack(text["counts"]) == runs
    np.testing.assert_array_equal(decode_segmentation(text, 1, 1), mask)


def test_long_runs_pack_into_several_characters():
    mask = np.zeros((700, 300), bool)
    mask[100:650, 40:260] = True
    assert unpack(packed(mask)["counts"]) == runs_of(mask)


def test_a_polygon_covers_what_is_inside():
    result = decode_segmentation([[3, 2, 6, 2, 6, 11, 3, 11]], 12, 8)
    np.testing.assert_array_equal(result, MASK)
    both = decode_segmentation([[3, 2, 6, 2, 6, 11, 3, 11], [0, 4, 2, 4, 2, 6, 0, 6]], 12, 8)
    np.testing.assert_array_equal(both, MASK | OTHER)


def test_a_polygon_may_reach_far_outside():
    assert decode_segmentation([[-1e9, -1e9, 1e9, -1e9, 1e9, 1e9, -1e9, 1e9]], 12, 8).all()


@pytest.mark.parametrize(
    "segmentation",
    [
        pytest.param({"size": [4, 3], "counts": [1, 2, 3]}, id="too few pixels"),
        pytest.param({"size": [4, 3], "counts": [1, 2, 90]}, id="too many pixels"),
        pytest.param({"size": [4, 3], "counts": [-1, 13]}, id="a negative run"),
        pytest.param({"size": [4, 3], "counts": "01"}, id="packed: too few pixels"),
        pytest.param({"size": [4, 3], "counts": "~~~~"}, id="packed: other characters"),
        pytest.param({"size": [4, 3], "counts": "P"}, id="packed: ends in a number"),
        pytest.param({"size": [10**6, 10**6], "counts": [10**12]}, id="too large"),
        pytest.param({"size": [0, 3], "counts": []}, id="no size"),
        pytest.param({"counts": [12]}, id="size missing"),
        pytest.param([[0, 0, 2, 2]], id="polygon of two corners"),
        pytest.param([[0, 0, 2, 0, 2]], id="polygon of half a corner"),
        pytest.param([[0, 0, 2, 0, 2, float("nan")]], id="polygon of no number"),
        pytest.param("abc", id="a text"),
        pytest.param(7, id="a number"),
    ],
)
def test_broken_segmentations(segmentation):
    with pytest.raises(BadImage, match="broken segmentation"):
        decode_segmentation(segmentation, 4, 3)


def test_annotations_of_the_category_person(tmp_path):
    images = [
        {"id": 7, "file_name": "train/a.jpg", "height": 12, "width": 8},
        {"id": 8, "file_name": "train/b.jpg", "height": 12, "width": 8},
    ]
    bag = {"image_id": 7, "category_id": 2, "segmentation": packed(np.ones((12, 8), bool))}
    middle = np.repeat([[False, True, False]], 12, 0).repeat([2, 4, 2], 1)
    crowd = {**bag, "category_id": 5, "iscrowd": 1, "segmentation": packed(middle)}
    person = {"image_id": 7, "category_id": 5, "segmentation": packed(MASK)}
    unlabelled = {"image_id": 8, "category_id": 5, "segmentation": []}
    value = {
        "images": images,
        "categories": [{"id": 2, "name": "bag"}, {"id": 5, "name": "person"}],
        "annotations": [bag, crowd, person, unlabelled],
    }
    path = write_json(tmp_path / "instances.json", value)
    np.testing.assert_array_equal(found_at(path, "train/a"), MASK)
    assert load(path).find("train/b") is None
    value |= {"categories": [{"id": 2, "name": "pedestrian"}], "annotations": [bag]}
    assert found_at(write_json(path, value), "train/a").all()  # no person: all categories


def test_a_bad_annotation_is_a_reject_of_its_image(tmp_path):
    size = {"height": 12, "width": 8}
    names = [{"id": i, "file_name": f"{name}.jpg", **size} for i, name in enumerate("abc")]
    annotations = [
        {"image_id": 0, "segmentation": [[1, 2]]},
        {"image_id": 1, "segmentation": packed(MASK)},
        {"image_id": 5, "segmentation": packed(MASK)},
    ]
    names[2].pop("height")
    annotations.append({"image_id": 2, "segmentation": packed(MASK)})
    labels = load(write_json(tmp_path / "m.json", {"images": names, "annotations": annotations}))
    assert labels.find("b") is not None
    for name, reason in (("a", "broken segmentation"), ("c", "missing 'height'")):
        with pytest.raises(BadImage, match=reason):
            labels.find(name)
    assert labels.unmatched("abc") == ["image 5"]


def test_results_take_the_crops_own_person_not_the_surest(tmp_path):
    central = {"image_id": "a.jpg", "category_id": 1, "segmentation": packed(MASK), "score": 0.5}
    aside = {**central, "segmentation": packed(OTHER), "score": 0.9}
    table = {**central, "category_id": 67, "segmentation": packed(np.ones((12, 8), bool))}
    result = load(write_json(tmp_path / "r.json", [aside, central, table])).find("test/a")
    assert result is not None
    assert result.score == 0.5
    np.testing.assert_array_equal(result.mask, MASK)


def test_masks_of_one_image_must_have_one_size(tmp_path):
    entries = [
        {"image_id": "a", "segmentation": packed(mask)} for mask in (MASK, np.ones((3, 3), bool))
    ]
    with pytest.raises(BadImage, match="differ in size"):
        load(write_json(tmp_path / "r.json", entries)).find("a")


# --- digest and errors ---------------------------------------------------------------------------


def test_digest_follows_names_and_masks(tmp_path):
    digests = []
    for name, mask in (("a", MASK), ("a", MASK), ("b", MASK), ("a", OTHER)):
        folder = tmp_path / str(len(digests))
        write_png(folder / f"{name}.png", mask)
        digests.append(load(folder).digest())
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3
    path = tmp_path / "r.json"
    for score in (0.5, 0.6):
        entry = {"image_id": "a", "segmentation": packed(MASK), "score": score}
        digests.append(load(write_json(path, [entry])).digest())
    assert len(set(digests)) == 5


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        pytest.param("m.json", "{", "not readable as JSON", id="broken JSON"),
        pytest.param("m.json", "[]", "no masks of people", id="empty list"),
        pytest.param("m.json", '{"a": 1}', "neither COCO", id="another JSON"),
        pytest.param("m.json", '[{"image_id": "a"}]', "neither COCO", id="no segmentation"),
        pytest.param("m.json", '[{"image_id": "a", "segmentation": [[1, 2]]}]', "neither COCO",
                     id="results of polygons have no size"),
        pytest.param("m.json", '[{"image_id": "a", "category_id": 3}]', "none of its entries",
                     id="cars alone"),
    ],
)  # fmt: skip
def test_errors_name_the_file_and_what_is_wrong(tmp_path, name, text, message):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    with pytest.raises(ReidError, match=message) as caught:
        load(tmp_path / name.split("/")[0])
    assert str(tmp_path) in str(caught.value)


def test_a_table_that_holds_no_masks_is_an_error(tmp_path):
    path = tmp_path / "m.parquet"
    pq.write_table(pa.table({"image_id": ["a"], "joints": [1.5]}), path)
    with pytest.raises(ReidError, match="no masks of people"):
        load(path)


def test_a_broken_picture_is_named_when_it_is_asked_for(tmp_path):
    (tmp_path / "a.png").write_bytes(encode_png(MASK)[:-20])
    write_png(tmp_path / "b.png", MASK)
    labels = load(tmp_path)
    with pytest.raises(BadImage, match="truncated PNG"):
        labels.find("a")
    assert labels.find("b") is not None


def test_a_colour_picture_is_read_as_gray(tmp_path):
    colour = np.zeros((12, 8, 3), np.uint8)
    colour[MASK] = 0, 0, 255  # OpenCV's red
    cv2.imwrite(str(tmp_path / "a.png"), colour)
    np.testing.assert_array_equal(found_at(tmp_path, "a"), MASK)
