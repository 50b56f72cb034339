"""Flow that the user or a rendered world already has, matched to frames by name.

Read are, by what the path is:
    .parquet, folder with them  image_id and `flow` (flow PNG bytes, or the shards' struct of bytes
                                and path); so a world's ground truth, and this stage's own output
    folder with *.flo or *.png  one file a frame, named as its image_id, or as its file if unique:
                                Middlebury's .flo (more than 1e9 pixels are unknown), KITTI's PNG

A null flow is a frame without one.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.backends.given import Names, files_below, label_key, read_parquet
from reid.arrays.flow import Flow, decode_known_flow
from reid.arrays.images import MAX_PIXELS, BadImage
from reid.project.errors import ReidError
from reid.shards.read import bytes_of

FLO_MAGIC = struct.pack("<f", 202021.25)  # spells PIEH
FLO_HEAD = 12  # bytes: magic, width, height
FLO_UNKNOWN = 1e9
ENDINGS = (".flo", ".png")


class Labels(Names):
    """Flow by frame name, decoded when it is asked for."""

    def __init__(self, entries: Iterable[tuple[str, bytes | Path]], where: Path):
        self.flows = dict(sorted(entries))
        if not self.flows:
            raise ReidError(f"{where}: no flow in it")
        super().__init__(self.flows, where)

    def find(self, image_id: str) -> Flow | None:
        """The flow of a frame, None where no label is its own.

        Raises `BadImage` where a label cannot be decoded.
        """
        key = self.key_of(image_id)
        return decode(_content(self.flows[key])) if key else None

    def digest(self) -> str:
        """A hash of the names and flow as it is encoded."""
        digest = hashlib.sha256()
        for key, flow in self.flows.items():
            content = _content(flow)
            digest.update(f"{key}\0{len(content)}\0".encode() + content)
        return digest.hexdigest()


def decode(data: bytes) -> Flow:
    """The bytes of a .flo file or of a flow PNG. Raises `BadImage` with the reason."""
    return _decode_flo(data) if data.startswith(FLO_MAGIC) else decode_known_flow(data)


def _decode_flo(data: bytes) -> Flow:
    if len(data) < FLO_HEAD:
        raise BadImage("truncated .flo")
    width, height = struct.unpack("<ii", data[4:FLO_HEAD])
    if min(width, height) < 1 or height * width > MAX_PIXELS:
        raise BadImage(f".flo of {width} x {height} pixels; 1 to {MAX_PIXELS:,} are read")
    if len(data) != FLO_HEAD + 8 * height * width:
        raise BadImage(f".flo of {len(data):,} bytes does not hold {width} x {height} pixels")
    flow_px: np.ndarray = np.frombuffer(data, "<f4", offset=FLO_HEAD).reshape(height, width, 2)
    valid = np.all(np.abs(flow_px) < FLO_UNKNOWN, axis=-1)  # false for what is no number
    return Flow(np.where(valid[..., None], flow_px, 0).astype(np.float32), valid)


def load(path: Path) -> Labels:
    """Read the labels at `path`; raises `ReidError` with the file and what is wrong in it."""
    if path.is_dir():
        if tables := files_below(path, ".parquet"):
            return Labels(_from_tables(path, tables), path)
        if files := files_below(path, *ENDINGS):
            return Labels(_from_files(path, files), path)
        raise ReidError(f"{path}: no *.parquet, *.flo or *.png files in it")
    if not path.is_file():
        raise ReidError(f"{path}: no such file or folder of flow (flow.path)")
    if path.suffix.lower() != ".parquet":
        raise ReidError(
            f"{path}: flow is read from .parquet, or a folder of .parquet, .flo or .png"
        )
    return Labels(_from_tables(path, [path]), path)


def _content(flow: bytes | Path) -> bytes:
    return flow.read_bytes() if isinstance(flow, Path) else flow


def _from_tables(where: Path, paths: Iterable[Path]) -> Iterator[tuple[str, bytes]]:
    seen: set[str] = set()
    for path in paths:
        table = read_parquet(path, "flow")
        if table is None or "flow" not in table.column_names:
            continue
        flows = bytes_of(table["flow"])
        if not (pa.types.is_binary(flows.type) or pa.types.is_large_binary(flows.type)):
            raise ReidError(f"{path}: `flow` must hold PNG bytes, not {table['flow'].type}")
        for name, data in zip(table["image_id"].to_pylist(), flows.to_pylist(), strict=True):
            if label_key(name) in seen:
                raise ReidError(f"{where}: two rows of image_id {name}")
            seen.add(label_key(name))
            if data is not None:
                yield label_key(name), data


def _from_files(where: Path, paths: Iterable[Path]) -> Iterator[tuple[str, Path]]:
    seen: dict[str, Path] = {}
    for path in paths:
        key = label_key(path.relative_to(where).with_suffix("").as_posix() + ".png")
        if seen.setdefault(key, path) != path:
            raise ReidError(f"{path}: {seen[key].name} is of the same frame")
        yield key, path
