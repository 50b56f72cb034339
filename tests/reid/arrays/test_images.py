"""Decoding, encoding, resizing and squaring."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest

from reid.arrays import images
from reid.arrays.images import BadImage

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (20, 10, 3), dtype=np.uint8)
DEPTH = RNG.integers(0, 65535, (20, 10), dtype=np.uint16)  # 65535 is no reading
MASK = RNG.random((20, 10)) > 0.5


def gray_jpeg() -> bytes:
    return cv2.imencode(".jpg", np.full((8, 8), 77, np.uint8))[1].tobytes()


class TestDecode:
    def test_png_keeps_every_pixel_as_rgb(self):
        assert (images.decode(images.encode_png(RGB)) == RGB).all()

    def test_jpeg_is_rgb(self):
        red = np.full((16, 16, 3), (250, 10, 10), np.uint8)
        assert np.abs(images.decode(images.encode_jpeg(red)).astype(int) - red).max() < 8

    def test_gray_becomes_three_channels(self):
        assert (images.decode(gray_jpeg()) == 77).all()
        assert images.decode(images.encode_png(np.zeros((4, 6), np.uint8))).shape == (4, 6, 3)

    def test_depth_keeps_every_millimetre(self):
        assert (images.decode_depth(images.encode_png(DEPTH)) == DEPTH).all()

    def test_mask_is_one_bit(self):
        data = images.encode_png(MASK)
        assert data[24] == 1  # the PNG header's bit depth
        assert (images.decode_mask(data) == MASK).all()

    @pytest.mark.parametrize(("level", "person"), [(127, False), (128, True), (255, True)])
    def test_gray_mask_is_cut_in_the_middle(self, level, person):
        data = images.encode_png(np.full((3, 3), level, np.uint8))
        assert (images.decode_mask(data) == person).all()

    def test_rgb_is_no_depth(self):
        with pytest.raises(BadImage, match="one 16-bit channel, not uint8"):
            images.decode_depth(images.encode_png(RGB))


class TestBadImages:
    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            pytest.param(b"", "empty file", id="empty"),
            pytest.param(b"GIF89a", "neither JPEG nor PNG", id="gif"),
            pytest.param(images.PNG_MAGIC + b"1", "truncated PNG header", id="png header"),
            pytest.param(images.encode_png(RGB)[:-20], "truncated PNG", id="cut png"),
            pytest.param(images.encode_jpeg(RGB)[:-40], "broken JPEG", id="cut jpeg"),
            pytest.param(images.JPEG_MAGIC + b"junk", "broken JPEG header", id="jpeg header"),
        ],
    )
    def test_reason(self, data, reason):
        with pytest.raises(BadImage, match=reason):
            images.decode(data)

    def test_too_many_pixels_are_refused_by_the_header(self):
        data = bytearray(images.encode_png(RGB))
        data[16:24] = (60_000).to_bytes(4, "big") * 2
        with pytest.raises(BadImage, match="60000 x 60000 pixels"):
            images.decode(bytes(data))

    def test_zeros_behind_a_png_are_allowed(self):
        assert (images.decode(images.encode_png(RGB) + b"\0\0") == RGB).all()


class TestSizes:
    def test_size_is_height_then_width(self):
        assert images.size_of(images.encode_png(RGB)) == (20, 10)
        assert images.size_of(images.encode_jpeg(RGB)) == (20, 10)

    def test_kind_comes_from_the_content(self):
        assert images.kind_of(images.encode_png(RGB)) == "png"
        assert images.kind_of(gray_jpeg()) == "jpeg"


class TestGeometry:
    def test_resize_averages_when_it_shrinks(self):
        board = np.indices((8, 8)).sum(0) % 2 * 200
        small = images.resize(board.astype(np.uint8)[..., None].repeat(3, 2), 4, 4)
        assert small.shape == (4, 4, 3)
        assert (small == 100).all()

    def test_resize_to_the_same_size_is_the_same(self):
        assert images.resize(RGB, 20, 10) is RGB

    def test_crop_cuts_the_box(self):
        assert (images.crop(RGB, np.array([2, 3, 7, 13]), 10, 5) == RGB[3:13, 2:7]).all()

    def test_crop_repeats_the_edge_outside(self):
        cut = images.crop(RGB, np.array([-3, 0, 2, 20]), 20, 5)
        assert (cut[:, :4] == RGB[:, :1]).all()
        assert (cut[:, 4] == RGB[:, 1]).all()

    def test_an_empty_box_is_one_pixel(self):
        assert (images.crop(RGB, np.array([4.2, 5.1, 4.3, 5.2]), 1, 1) == RGB[5, 4]).all()


def shot(orientation: int, kind: str, picture: np.ndarray = RGB) -> bytes:
    """A file as a camera writes it that was held so; lossless but for JPEG."""
    Image = pytest.importorskip("PIL.Image")
    tags = Image.Exif()
    tags[0x0112] = orientation
    file = io.BytesIO()
    options = {"lossless": True} if kind == "webp" else {"quality": 95} if kind == "jpeg" else {}
    Image.fromarray(picture).save(file, kind, exif=tags, **options)
    return file.getvalue()


class TestWhatIsStored:
    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "tiff"])
    def test_every_reader_sees_what_the_camera_saw(self, kind, orientation):
        Image = pytest.importorskip("PIL.Image")
        from PIL import ImageOps

        data = shot(orientation, kind)
        seen = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
        stored, change = images.storable(data)
        as_it_is = "converted" if kind in ("webp", "tiff") else ""
        expected = "turned" if orientation > 1 else as_it_is
        assert change == expected
        assert (stored is data) == (not expected)
        decoded = images.decode(stored)
        assert decoded.shape == seen.shape == (*images.size_of(stored), 3)
        assert np.abs(decoded.astype(int) - seen).max() <= (2 if kind == "jpeg" else 0)
        for turns in (False, True):
            picture = Image.open(io.BytesIO(stored))
            other = np.asarray(ImageOps.exif_transpose(picture) if turns else picture)
            assert np.abs(decoded.astype(int) - other).max() <= 2 * (not change)
        flags = cv2.IMREAD_COLOR
        assert (cv2.imdecode(np.frombuffer(stored, np.uint8), flags).shape) == decoded.shape

    def test_xmp_s_orientation_counts_where_exif_has_none(self):
        Image = pytest.importorskip("PIL.Image")
        file = io.BytesIO()
        xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="8"/></x:xmpmeta>'
        Image.fromarray(RGB).save(file, "jpeg", xmp=xmp)
        stored, change = images.storable(file.getvalue())
        assert change == "turned"
        assert images.size_of(stored) == (10, 20)

    def test_depth_and_alpha_are_turned_bit_by_bit(self):
        tags = shot(6, "png")[33:]
        chunk = tags[tags.index(b"eXIf") - 4 :]
        chunk = chunk[: 12 + int.from_bytes(chunk[:4], "big")]
        for picture in (DEPTH, np.dstack([RGB, RGB[..., :1]])):
            plain = images.encode_png(picture)
            turned = plain[:33] + chunk + plain[33:]
            stored, change = images.storable(turned, depth=picture is DEPTH)
            assert change == "turned"
            assert stored == images.encode_png(np.ascontiguousarray(np.rot90(picture, -1)))

    @pytest.mark.parametrize("orientation", [1, 6])
    def test_16_bit_gray_is_8_bit_for_every_reader(self, orientation):
        Image = pytest.importorskip("PIL.Image")
        levels = RNG.integers(0, 65536, (6, 4), dtype=np.uint16)
        tags = Image.Exif()
        tags[0x0112] = orientation
        file = io.BytesIO()
        Image.fromarray(levels).save(file, "png", exif=tags)
        stored, change = images.storable(file.getvalue())
        assert change == ("converted" if orientation == 1 else "turned")
        expected = np.rot90(levels >> 8, 0 if orientation == 1 else -1)
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(stored))), expected)
        np.testing.assert_array_equal(images.decode(stored)[..., 0], expected)

    def test_bmp_is_kept_bit_by_bit(self):
        data = cv2.imencode(".bmp", RGB[..., ::-1])[1].tobytes()
        assert images.storable(data) == (images.encode_png(RGB), "converted")

    @pytest.mark.parametrize("ending", ["bmp", "webp", "tiff"])
    def test_what_is_cut_off_is_no_image(self, ending):
        noise = RNG.integers(0, 255, (64, 64, 3), dtype=np.uint8)
        data = cv2.imencode(f".{ending}", noise)[1].tobytes()
        with pytest.raises(BadImage, match="broken or cut off"):
            images.storable(data[: len(data) // 2])

    @pytest.mark.parametrize(
        "data", [b"", b"GIF89a", b"\xff\xd8\xff\xe1\xff\xffExif\0\0II*\0", b"\x89PNG\r\n\x1a\neXIf"]
    )
    def test_what_says_nothing_stays_as_it_is(self, data):
        assert images.storable(data) == (data, "")

    def test_bytes_behind_a_png_are_passed_over_and_a_cut_is_not(self):
        data = images.encode_png(RGB)
        assert (images.decode(data + b"behind the end") == RGB).all()
        assert (images.decode_depth(images.encode_png(DEPTH) + b"x" * 40) == DEPTH).all()
        with pytest.raises(BadImage, match="truncated PNG"):
            images.decode(data[:-12] + b"behind the end")

    def test_65535_is_no_reading_of_depth(self):
        depth = np.array([[0, 900, 65534, 65535]], np.uint16)
        assert images.decode_depth(images.encode_png(depth)).tolist() == [[0, 900, 65534, 0]]
