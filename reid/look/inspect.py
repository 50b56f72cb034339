"""Look at shards: rows as plain values, images as a contact sheet.

Masks, joints, boxes of parts and of crops are drawn over the images that they are of, where these
are built in the same data folder.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from reid.arrays import draw, images
from reid.arrays.flow import colour_wheel, decode_flow
from reid.project.errors import ReidError
from reid.shards import schema
from reid.shards.folder import Shard, Shards
from reid.shards.manifest import read_manifest

CAPTION_HEIGHT = 12  # pixels under each picture
MARGIN = 2
PAPER, INK, ABSENT = 255, 0, 200  # gray levels


def rows_table(shard: Shard | Shards, count: int) -> list[dict[str, Any]]:
    """The first `count` rows without image bytes; `<name>_size` is the number of bytes."""
    if isinstance(shard, Shards):
        rows: list[dict[str, Any]] = []
        for one in shard.shards:
            rows += rows_table(one, count - len(rows)) if len(rows) < count else []
        return rows
    return shard.table(shard.scalar_columns, 0, count).to_pylist()


def pictured(source: Shard | Shards, count: int) -> list[int]:
    """The first `count` rows that have a picture; backgrounds of test rows, for one, have none."""
    found: list[int] = []
    before = 0
    for shard in _open(source):
        size = f"{_first_image(shard)}_size"
        known = shard.table([size])[size].to_pylist() if size in shard.columns else [1] * len(shard)
        found += [before + row for row, bytes_ in enumerate(known) if bytes_ is not None]
        before += len(shard)
        if len(found) >= count:
            break
    return found[:count] or list(range(min(count, before)))


def contact_sheet(
    source: Path | Sequence[Path] | Shard | Shards,
    rows: Sequence[int],
    columns: int = 8,
    cell: tuple[int, int] = (128, 64),
    column: str | None = None,
) -> np.ndarray:
    """Pictures of `rows` as an (H, W, 3) uint8 RGB grid, each with its person and camera below.

    `source` is a shard, a built folder, or several shard files, numbered through; `cell` is
    (height, width) in pixels; `column` is the first image column unless named. Depth is scaled
    from its nearest (dark) to its farthest reading; what is absent or broken is a gray cell. Masks
    are drawn over their images, unless `column` asks for the masks themselves.
    """
    shards = _open(source)
    tiles = [_tile(*_find(shards, row), column, cell) for row in rows]
    blank = np.full((cell[0] + CAPTION_HEIGHT + MARGIN, cell[1] + MARGIN, 3), PAPER, np.uint8)
    tiles += [blank] * (-len(tiles) % columns or (columns if not tiles else 0))
    lines = [np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    return np.vstack(lines)


def _open(source: Path | Sequence[Path] | Shard | Shards) -> list[Shard]:
    if isinstance(source, Shards):
        return source.shards
    if isinstance(source, Shard):
        return [source]
    if isinstance(source, Path):
        return Shards(source).shards if source.is_dir() else [Shard(source)]
    return [Shard(path) for path in source]


def _find(shards: list[Shard], row: int) -> tuple[Shard, int]:
    inside = row
    for shard in shards:
        if 0 <= inside < len(shard):
            return shard, inside
        inside -= len(shard)
    raise ReidError(f"no row {row:,}; there are {sum(map(len, shards)):,} rows")


def _tile(shard: Shard, row: int, column: str | None, cell: tuple[int, int]) -> np.ndarray:
    tile = np.full((cell[0] + CAPTION_HEIGHT + MARGIN, cell[1] + MARGIN, 3), PAPER, np.uint8)
    picture = _look(shard, row, column)
    shown = ABSENT if picture is None else draw.fitted(picture, *cell, draw.WHITE)
    tile[: cell[0], : cell[1]] = shown
    foot = (1, cell[0] + CAPTION_HEIGHT - 3)
    cv2.putText(tile, _caption(shard, row), foot, cv2.FONT_HERSHEY_PLAIN, 0.6, (INK,) * 3)
    return tile


def _first_image(shard: Shard) -> str | None:
    return next((field.name for field in shard.schema if schema.is_bytes_column(field)), None)


def _caption(shard: Shard, row: int) -> str:
    names = [n for n in ("person", "camera") if n in shard.columns]
    names = names or [n for n in ("image_id",) if n in shard.columns]
    values = shard.table(names, row, row + 1).to_pylist()[0] if names else {}
    if "image_id" in values:
        return values["image_id"].rsplit("/", 1)[-1]
    return " ".join(f"{name[0]}{value}" for name, value in values.items())  # p12 c3


def _look(shard: Shard, row: int, column: str | None) -> np.ndarray | None:
    """What is shown of a row, as RGB; None where it is absent or broken."""
    name = column or _first_image(shard)
    if name is None:
        return _drawn(shard, row)
    data = shard.read(name, row)
    try:
        if data is None:
            return None
        if name == "flow":
            return _motion(data)
        base = _base_image(shard, row) if name == "mask" and column is None else None
        mask = None if base is None else images.decode_mask(data)
        if base is None or mask is None or mask.shape != base.shape[:2]:
            return _rgb(data)
        return draw.mask_over(base, mask)
    except images.BadImage:
        return None


def _motion(data: bytes) -> np.ndarray:
    """Flow by the colour wheel, up to its own largest motion."""
    flow_px = decode_flow(data)
    return colour_wheel(flow_px, max(1.0, float(np.linalg.norm(flow_px, axis=-1).max())))


def _drawn(shard: Shard, row: int) -> np.ndarray | None:
    """A row's joints or boxes over its image; the image alone where a row has neither."""
    if _base_shard(shard.path) is None:
        raise ReidError(
            f"{shard.path}: no image column, and no images that it is of in the same data folder "
            f"(it has {', '.join(shard.columns)})"
        )
    image = _base_image(shard, row)
    for name, over in (("joints", draw.joints), ("parts", draw.boxes)):
        if image is not None and name in shard.columns:
            values = shard.table([name], row, row + 1)[name][0].as_py()
            image = image if values is None else over(image, np.array(values, np.float32))
    return image


def _base_image(shard: Shard, row: int) -> np.ndarray | None:
    """The image that a row of a derived shard is of; None where there is none."""
    base = _base_shard(shard.path)
    if base is None or row >= len(base):
        return None
    ids = [s.table(["image_id"], row, row + 1)["image_id"][0] for s in (shard, base)]
    data = base.read("image", row) if ids[0] == ids[1] else None
    return None if data is None else images.decode(data)


@functools.lru_cache(maxsize=8)
def _base_shard(path: Path) -> Shard | None:
    """The shard of the same name, of the data set that the manifest names."""
    folder = path.resolve().parent.parent  # data/2-derived/<stage>/<build>
    try:
        manifest = read_manifest(folder)
        if manifest is None:
            return None
        room = "2-derived" if "/" in manifest["dataset"] else "1-shards"
        base = folder.parents[2] / room / manifest["dataset"] / "rows" / path.name
        return Shard(base) if base.is_file() else None
    except (ReidError, IndexError):  # the pictures are an extra
        return None


def _rgb(data: bytes) -> np.ndarray:
    try:
        depth_mm = images.decode_depth(data).astype(np.float32) if data[:1] == b"\x89" else None
    except images.BadImage:
        depth_mm = None  # an 8-bit PNG, or a broken one: `decode` says so
    if depth_mm is None:
        return images.decode(data)
    read = depth_mm[depth_mm > 0]
    near, far = (read.min(), read.max()) if read.size else (0, 1)
    gray = np.where(depth_mm > 0, (depth_mm - near) / max(far - near, 1) * 223 + 32, 0)
    return np.repeat(gray.astype(np.uint8)[..., None], 3, axis=2)  # 0 = no reading, black
