"""Augmentation: pixels against slices of the same image, shares of a sample's draw, rates."""

import pytest
import torch

from reid.nn import augment
from reid.project.errors import ReidError


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def as_float(views):
    return {name: image.float() / 255 for name, image in views.items()}


def images(count=6, height=12, width=8, seed=1, **views):
    shapes = views or {"image": (count, 3, height, width)}
    return {
        name: torch.randint(1, 256, shape, generator=generator(seed), dtype=torch.uint8)
        for name, shape in shapes.items()
    }


CHANGES = {
    "flip": augment.horizontal_flip,
    "vertical flip": augment.vertical_flip,
    "light": lambda views, g: augment.change_light(views, g, 0.3, 0.1),
    "crop": augment.pad_and_crop,
    "resize": lambda views, g: augment.resize_crop(as_float(views), g),
    "erase": lambda views, g: augment.random_erasing(as_float(views), g),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_same_seed_same_result_and_inputs_untouched(change):
    views = images()
    before = views["image"].clone()
    first, again = change(views, generator(3)), change(views, generator(3))
    assert torch.equal(first["image"], again["image"])
    assert torch.equal(views["image"], before)
    assert not torch.equal(first["image"], change(views, generator(4))["image"])


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_views_of_a_sample_share_its_draw(change):
    image = images(count=20)["image"]
    views = change({"a": image, "b": image.clone()}, generator())
    assert torch.equal(views["a"], views["b"])


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_frames_of_a_clip_share_its_draw(change):
    frame = images(count=20)["image"]
    clip = frame[:, None].expand(-1, 4, -1, -1, -1)  # (B, T, 3, H, W)
    changed = change({"clip": clip}, generator())["clip"]
    assert torch.equal(changed, changed[:, :1].expand_as(changed))
    assert torch.equal(changed[:, 0], change({"clip": frame}, generator())["clip"])


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_memory_that_is_channels_last_changes_nothing(change):
    image = images(count=20)["image"]
    last = image.contiguous(memory_format=torch.channels_last)
    changed = change({"image": last}, generator())["image"]
    assert torch.equal(changed, change({"image": image}, generator())["image"])
    assert changed.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("p", "share"), [(0.0, 0.0), (1.0, 1.0), (0.5, 0.5)])
def test_flip(p, share):
    views = images(image=(400, 3, 5, 4), part=(400, 1, 3, 6))
    flipped = augment.horizontal_flip(views, generator(), p)
    mirrored = {}
    for name, image in views.items():
        kept = (flipped[name] == image).flatten(1).all(1)
        turned = (flipped[name] == image.flip(-1)).flatten(1).all(1)
        assert (kept ^ turned).all()
        mirrored[name] = turned
    assert torch.equal(mirrored["image"], mirrored["part"])
    assert mirrored["image"].float().mean().item() == pytest.approx(share, abs=0.08)


def test_vertical_flip_turns_upside_down():
    views = images()
    flipped = augment.vertical_flip(views, generator(), 1.0)["image"]
    assert torch.equal(flipped, views["image"].flip(-2))


@pytest.mark.parametrize(("brightness", "tint"), [(0.3, 0.0), (0.0, 0.2), (0.3, 0.2)])
def test_light_is_a_factor_of_each_channel(brightness, tint):
    count = 500
    gray = torch.full((count, 3, 4, 5), 40, dtype=torch.uint8)
    changed = augment.change_light({"image": gray}, generator(), brightness, tint)["image"]
    assert torch.equal(changed, changed[:, :, :1, :1].expand_as(changed))
    log = (changed[:, :, 0, 0].float() / 40).log()
    assert log.mean().abs() < 0.05
    total = (brightness**2 + tint**2) ** 0.5
    assert log.std() == pytest.approx(total, rel=0.1)
    assert (log[:, 0] - log[:, 1]).std() == pytest.approx(2**0.5 * tint, rel=0.1, abs=0.01)
    bright = augment.change_light({"image": gray + 210}, generator(), brightness, tint)["image"]
    assert bright.max() == 255  # clipped, not wrapped
    assert bright.min() > 40


def test_pad_and_crop_is_a_slice_of_the_padded_image():
    views = images(count=60)
    moved = augment.pad_and_crop(views, generator(), pad=2)["image"]
    padded = torch.zeros(60, 3, 16, 12, dtype=torch.uint8)
    padded[:, :, 2:-2, 2:-2] = views["image"]
    corners = set()
    for before, after in zip(padded, moved, strict=True):
        matches = [
            (top, left)
            for top in range(5)
            for left in range(5)
            if torch.equal(after, before[:, top : top + 12, left : left + 8])
        ]
        assert len(matches) == 1
        corners.update(matches)
    assert len(corners) > 15  # of 25


def test_resize_crop_is_a_slice_of_the_enlarged_image():
    views = as_float(images(count=40, height=16, width=8))
    changed = augment.resize_crop(views, generator(), p=0.5, scale=1.25)["image"]
    enlarged = torch.nn.functional.interpolate(views["image"], (20, 10), mode="bilinear")
    kept = 0
    for image, large, after in zip(views["image"], enlarged, changed, strict=True):
        if torch.equal(after, image):
            kept += 1
            continue
        assert any(
            torch.allclose(after, large[:, top : top + 16, left : left + 8])
            for top in range(5)
            for left in range(3)
        )
    assert 8 < kept < 32


def flipped(axis):
    return lambda image, drawn: image.flip(axis)


def enlarged_and_cropped(image, drawn):
    height, width = image.shape[-2:]
    larger = round(height * 1.125), round(width * 1.125)
    flat = torch.nn.functional.interpolate(image.flatten(0, -4), larger, mode="bilinear")
    place = torch.rand(2, len(image), generator=drawn)
    free = torch.tensor([[larger[0] - height + 1], [larger[1] - width + 1]])
    crops = [
        one[..., top : top + height, left : left + width]
        for one, (top, left) in zip(
            flat.unflatten(0, image.shape[:-3]), (place * free).long().T.tolist(), strict=True
        )
    ]
    return torch.stack(crops)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.float32])
@pytest.mark.parametrize("last", [False, True], ids=["planes", "channels last"])
@pytest.mark.parametrize(("count", "p"), [(1, 0.5), (9, 0.0), (9, 0.5), (9, 1.0)])
@pytest.mark.parametrize("shape", [(3, 12, 8), (4, 2, 9, 7), (2, 1, 6, 5)], ids=str)
def test_changing_the_chosen_alone_is_a_where_over_all(shape, count, p, last, dtype):
    """Also with a chance of its own for each sample; in memory as it was."""
    forms = [(augment.horizontal_flip, flipped(-1)), (augment.vertical_flip, flipped(-2))]
    if dtype == torch.float32:
        forms.append((augment.resize_crop, enlarged_and_cropped))
    image = images(image=(count, *shape))["image"].to(dtype)
    if last:
        image = image.movedim(-3, -1).contiguous().movedim(-1, -3)
    for seed, (change, plain) in enumerate(forms):
        drawn = generator(seed)
        chosen = (torch.rand(count, generator=drawn) < p).reshape(-1, *(1,) * len(shape))
        expected = torch.where(chosen, plain(image, drawn), image)
        for chance in (p, torch.full((count,), p)):
            found = change({"image": image}, generator(seed), chance)["image"]
            assert found.dtype == dtype
            assert (found.movedim(-3, -1) if last else found).is_contiguous()
            torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("last", [False, True], ids=["planes", "channels last"])
@pytest.mark.parametrize("shape", [(3, 12, 8), (4, 2, 9, 7), (1, 6, 5)], ids=str)
def test_crops_are_slices(shape, last):
    image = images(image=(5, *shape))["image"]
    if last:
        image = image.movedim(-3, -1).contiguous().movedim(-1, -3)
    top, left = torch.tensor([0, 1, 2, 0, 2]), torch.tensor([1, 0, 2, 2, 0])
    found = augment.crop_at(image, top, left, (shape[-2] - 2, shape[-1] - 2))
    for one, y, x, crop in zip(image, top.tolist(), left.tolist(), found, strict=True):
        assert torch.equal(crop, one[..., y : y + shape[-2] - 2, x : x + shape[-1] - 2])


def holes(image, fill=9.0):
    """(height, width, top, left) of each sample's hole, None where there is none."""
    rectangles = []
    for sample in image[:, 0]:
        rows, columns = torch.where(sample == fill)
        if not len(rows):
            rectangles.append(None)
            continue
        top, left = rows.min().item(), columns.min().item()
        height, width = rows.max().item() - top + 1, columns.max().item() - left + 1
        assert len(rows) == height * width  # a full rectangle
        rectangles.append((height, width, top, left))
    return rectangles


def test_erasing_draws_rectangles_as_it_says():
    views = {"image": torch.zeros(2000, 3, 64, 32)}
    erased = augment.random_erasing(views, generator(), fill=(9.0, 7.0, 5.0))["image"]
    assert torch.equal(erased[:, 0] / 9, erased[:, 1] / 7)
    assert torch.equal(erased[:, 0] / 9, erased[:, 2] / 5)
    rectangles = [hole for hole in holes(erased) if hole]
    assert len(rectangles) / 2000 == pytest.approx(0.5, abs=0.04)
    shares = torch.tensor([h * w / (64 * 32) for h, w, _, _ in rectangles])
    ratios = torch.tensor([h / w for h, w, _, _ in rectangles])
    assert 0.015 < shares.min() < 0.04
    assert 0.3 < shares.max() < 0.42
    assert ratios.min() > 0.2
    assert ratios.max() < 4.5
    tops = torch.tensor([top / (64 - h + 1) for h, _, top, _ in rectangles])
    assert tops.mean().item() == pytest.approx(0.49, abs=0.03)  # anywhere in the free space


def test_erasing_takes_the_same_shares_of_other_views():
    views = {"image": torch.zeros(200, 3, 64, 32), "half": torch.zeros(200, 3, 32, 16)}
    erased = augment.random_erasing(views, generator(), fill=(9.0,) * 3)
    for large, small in zip(holes(erased["image"]), holes(erased["half"]), strict=True):
        assert (large is None) == (small is None)
        if large and small:
            assert all(abs(a - 2 * b) <= 2 for a, b in zip(large, small, strict=True))


def test_a_rectangle_that_cannot_fit_erases_nothing():
    views = {"image": torch.zeros(50, 3, 64, 4)}
    erased = augment.random_erasing(views, generator(), p=1, area=(0.4, 0.4), aspect=(0.1, 0.1))
    assert torch.equal(erased["image"], views["image"])


def test_scaling():
    normal = augment.normalize({"image": torch.ones(1, 3, 2, 2)})["image"]
    assert normal[0, :, 1, 1].tolist() == pytest.approx(
        [0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225]
    )


def test_errors():
    with pytest.raises(ReidError, match="same number of samples"):
        augment.horizontal_flip(images(a=(2, 3, 4, 4), b=(3, 3, 4, 4)), generator())
    with pytest.raises(ReidError, match=r"must be \(B, ..., C, H, W\)"):
        augment.horizontal_flip({"a": torch.zeros(3, 4, 4)}, generator())


@pytest.mark.gpu
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_cuda_draws_what_the_cpu_draws(change):
    views = images()
    there = change({name: image.cuda() for name, image in views.items()}, generator())
    assert torch.allclose(there["image"].cpu(), change(views, generator())["image"], atol=1e-5)
