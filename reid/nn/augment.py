"""Random changes of a batch of images, on their device, one draw per sample.

Every function takes named tensors (B, ..., C, H, W) that show the same samples: the whole body and
its parts, an image and its mask, the frames of a clip. All views of a sample share its draw. Draws
come from a `torch.Generator` on the CPU, so every device gets the same; nothing loops over samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from reid.nn.imagenet import IMAGENET_MEAN, IMAGENET_STD
from reid.project.errors import ReidError

Views = dict[str, Tensor]
Chance = float | Tensor  # of each sample, or (B,) a chance of its own

TRIES = 20  # to draw a rectangle that fits; all fail for fewer than one sample in a million


def normalize(
    images: Mapping[str, Tensor],
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
) -> Views:
    """Each channel less its mean, over its standard deviation. Images are float."""
    return {
        name: (image - _channels(mean, image)) / _channels(std, image)
        for name, image in images.items()
    }


def horizontal_flip(
    images: Mapping[str, Tensor], generator: torch.Generator, p: Chance = 0.5
) -> Views:
    """Mirror all views of a sample left to right with probability `p`."""
    return _flip(images, generator, p, -1)


def vertical_flip(
    images: Mapping[str, Tensor], generator: torch.Generator, p: Chance = 0.5
) -> Views:
    """Turn all views of a sample upside down with probability `p`: from above, no side is up."""
    return _flip(images, generator, p, -2)


def _flip(images: Mapping[str, Tensor], generator: torch.Generator, p: Chance, axis: int) -> Views:
    flip = torch.rand(_count(images), generator=generator) < p
    return {
        name: of_chosen(image, flip, lambda it: it.flip(axis)) for name, image in images.items()
    }


def of_chosen(image: Tensor, chosen: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Samples where `chosen` (B,) as `change` makes them of (n, ..., C, H, W), others as they are.

    Samples are copied whole: of bytes five times as fast as `torch.where`.
    """
    if not chosen.any():
        return image
    last = image.movedim(-3, -1).is_contiguous()  # channels last, in memory: as it comes out
    memory = image.movedim(-3, -1) if last else image
    index = chosen.nonzero()[:, 0]
    few = memory.index_select(0, index.to(image.device))
    changed = change(few.movedim(-1, -3)).movedim(-3, -1) if last else change(few)
    rows = torch.arange(len(image))
    rows[index] = len(image) + torch.arange(len(index))
    whole = torch.cat([memory, changed]).index_select(0, rows.to(image.device))
    return whole.movedim(-1, -3) if last else whole


def change_light(
    images: Mapping[str, Tensor], generator: torch.Generator, brightness: float, tint: float
) -> Views:
    """Other light on a sample of uint8 images: a factor for its pixels, and one for each channel.

    `brightness` and `tint` are the standard deviations of the factors' logarithms.
    """
    count = _count(images)
    factor = brightness * torch.randn(count, 1, generator=generator)
    factor = (factor + tint * torch.randn(count, 3, generator=generator)).exp()
    return {name: _lit(image, factor) for name, image in images.items()}


def _lit(image: Tensor, factor: Tensor) -> Tensor:
    """Channels (B, ..., C, H, W) uint8 times factors (B, C), at most 255; in memory as they are."""
    last = image.movedim(-3, -1)
    if last.is_contiguous():  # whole rows of W * C values, four times as fast as each C
        rows = last.flatten(-2).float()
        many = factor.repeat(1, image.shape[-1]).reshape(len(factor), *(1,) * (rows.ndim - 2), -1)
        lit = rows.mul_(many.to(image.device)).unflatten(-1, last.shape[-2:]).movedim(-1, -3)
    else:
        lit = image.float() * _per_channel(factor, image)
    whole = lit.round_().clip_(max=255).to(torch.int16)  # at once takes five times as long
    return whole.to(torch.uint8)


def pad_and_crop(images: Mapping[str, Tensor], generator: torch.Generator, pad: int = 10) -> Views:
    """Shift a sample by up to `pad` pixels each way, black where it leaves the image.

    The same as padding by `pad` zeros on all sides and cropping the old size at random. For a fill
    of the mean colour, apply it after `normalize`.
    """
    count = _count(images)
    top = torch.randint(2 * pad + 1, (count,), generator=generator)
    left = torch.randint(2 * pad + 1, (count,), generator=generator)
    return {
        name: crop_at(functional.pad(image, (pad,) * 4), top, left, _size(image))
        for name, image in images.items()
    }


def resize_crop(
    images: Mapping[str, Tensor], generator: torch.Generator, p: Chance = 0.5, scale: float = 1.125
) -> Views:
    """With probability `p` enlarge a sample `scale` times (bilinear) and crop the old size.

    The position is drawn as a share of the free space, so views of other sizes are cropped alike.
    Images are float.
    """
    count = _count(images)
    chosen = torch.rand(count, generator=generator) < p
    position = torch.rand(2, count, generator=generator)[:, chosen]

    def enlarge(image: Tensor) -> Tensor:
        height, width = _size(image)
        larger = (round(height * scale), round(width * scale))
        flat = image.flatten(0, -4)  # (n * ..., C, H, W)
        enlarged = functional.interpolate(flat, larger, mode="bilinear", align_corners=False)
        top = (position[0] * (larger[0] - height + 1)).long()
        left = (position[1] * (larger[1] - width + 1)).long()
        return crop_at(enlarged.unflatten(0, image.shape[:-3]), top, left, (height, width))

    return {name: of_chosen(image, chosen, enlarge) for name, image in images.items()}


def random_erasing(
    images: Mapping[str, Tensor],
    generator: torch.Generator,
    p: float = 0.5,
    area: tuple[float, float] = (0.02, 0.4),
    aspect: tuple[float, float] = (0.3, 1 / 0.3),
    fill: Sequence[float] = (0.0, 0.0, 0.0),
) -> Views:
    """With probability `p` fill a rectangle of a sample with the colour `fill` (one per channel).

    Its share of the image's `area` and its `aspect` (height over width, in pixels) are drawn evenly
    from their ranges, again until it fits, then its position. Views of other sizes lose the same
    shares of their height and width; shapes are drawn for the first view.
    Source: Zhong et al., AAAI 2020, algorithm 1.
    """
    count = _count(images)
    height, width = _size(next(iter(images.values())))
    chosen = torch.rand(count, generator=generator) < p
    share = _even(area, (count, TRIES), generator) * height * width  # (B, TRIES) pixels
    ratio = _even(aspect, (count, TRIES), generator)
    tall, wide = (share * ratio).sqrt().round() / height, (share / ratio).sqrt().round() / width
    fits = (tall < 1) & (wide < 1)
    first = fits.float().argmax(1, keepdim=True)  # the first try that fits
    chosen &= fits.any(1)
    tall, wide = tall.gather(1, first)[:, 0], wide.gather(1, first)[:, 0]  # (B,) shares
    position = torch.rand(2, count, generator=generator)
    erased = {}
    for name, image in images.items():
        rows = _within(position[0], tall, image.shape[-2])  # (B, H)
        columns = _within(position[1], wide, image.shape[-1])  # (B, W)
        hole = chosen[:, None, None] & rows[:, :, None] & columns[:, None, :]  # (B, H, W)
        hole = hole.reshape(count, *(1,) * (image.ndim - 3), *hole.shape[1:]).to(image.device)
        erased[name] = torch.where(hole, _channels(fill, image), image)
    return erased


def _within(position: Tensor, share: Tensor, size: int) -> Tensor:
    """(B, size) bool: a span of `share` of the size, at `position` (0 to 1) of the free space."""
    length = (share * size).round().long()
    start = (position * (size - length + 1)).long()
    pixel = torch.arange(size)
    return (pixel >= start[:, None]) & (pixel < (start + length)[:, None])


def crop_at(image: Tensor, top: Tensor, left: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, ..., C, *size): each sample from its own corner; in memory as they are."""
    (height, width), (rows, columns), depth = size, _size(image), image.shape[-3]
    last = image.movedim(-3, -1)
    if depth > 1 and last.is_contiguous():  # channels last: one plane of rows of W * C values
        wide = last.flatten(-2).unsqueeze(-3)
        chosen = crop_at(wide, top, left * depth, (height, width * depth)).squeeze(-3)
        return chosen.unflatten(-1, (width, depth)).movedim(-1, -3)
    each = image.shape[1:-2].numel()  # planes of a sample
    planes = torch.arange(len(image) * each).reshape(len(image), each, 1)
    row = planes * rows + top[:, None, None] + torch.arange(height)
    first = (row * columns + left[:, None, None]).flatten().to(image.device)
    spans = image.flatten().unfold(0, width, 1).index_select(0, first)  # rows of a crop
    return spans.reshape(*image.shape[:-2], height, width)


def _count(images: Mapping[str, Tensor]) -> int:
    """The number of samples, which all views must share."""
    shapes = {name: tuple(image.shape) for name, image in images.items()}
    if not shapes or min(len(shape) for shape in shapes.values()) < 4:
        raise ReidError(f"augment: {shapes or 'no images'}; each must be (B, ..., C, H, W)")
    counts = {shape[0] for shape in shapes.values()}
    if len(counts) > 1:
        raise ReidError(f"augment: {shapes}; all views must have the same number of samples")
    return counts.pop()


def _size(image: Tensor) -> tuple[int, int]:
    return image.shape[-2], image.shape[-1]


def _per_channel(values: Tensor, image: Tensor) -> Tensor:
    """(B, C) as (B, 1, ..., C, 1, 1) on the image's device."""
    middle = (1,) * (image.ndim - 4)
    return values.reshape(len(values), *middle, -1, 1, 1).to(image.device)


def _channels(values: Sequence[float], image: Tensor) -> Tensor:
    """One value per channel as (C, 1, 1)."""
    return torch.tensor(values, dtype=image.dtype, device=image.device)[:, None, None]


def _even(
    limits: tuple[float, float], shape: tuple[int, ...], generator: torch.Generator
) -> Tensor:
    return limits[0] + (limits[1] - limits[0]) * torch.rand(shape, generator=generator)
