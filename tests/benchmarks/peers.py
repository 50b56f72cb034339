"""`python -m tests.benchmarks.peers`: reading images beside other formats, on one core.

The same JPEGs, none repeated, lie in each format as its own documentation stores images, and are
read at random in batches, one by one at random, and in order. Each reader takes turns with decoding
what lies in memory. A reader that gives bytes is followed by that same decoder; one that decodes by
itself does so. What is decoded is dropped before the next image. `pip install '.[peers]'` installs
those formats that this project does not need.

CPU seconds are compared, of all threads: the files lie in the page cache, so that nothing waits but
for the core, and other work on the machine falls on nobody.

Source  docs of Hugging Face datasets, Lance, LitData, webdataset and torchvision
"""

from __future__ import annotations

import contextlib
import io
import os
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer

from reid.arrays import images
from reid.shards.folder import Shards
from tests.benchmarks.training import opened
from tests.benchmarks.turns import row, share, take_turns, write_data_set

COUNT = 10_000
BATCH, PICKED = 64, 256  # images of a batch, and of a turn at random
ROUNDS = 7  # of passes in order; three times as many of the shorter turns at random
GOALS = {"random batches of 64": 0.97, "one by one": 0.95, "in order": 0.95}  # of our shards
OURS = "shards"


@dataclass(frozen=True)
class Reader:
    """How a format gives encoded images, None where it does not; or what its own `decode` takes."""

    batch: Callable[[list[int]], Iterable[Any]] | None
    one: Callable[[int], Any] | None
    order: Callable[[], Iterable[Any]]
    decode: Callable[[Any], Any] = images.decode


@dataclass(frozen=True)
class Peer:
    name: str
    needs: str  # a module
    install: str
    reader: Callable[[Path, Path], Reader]  # of the folders of plain files and of our shards


def _as_array(picture: Any) -> np.ndarray:
    return np.asarray(picture.convert("RGB"))


def _files(files: Path) -> list[str]:
    return sorted(map(str, files.glob("*/*.jpg")))


def _shards(files: Path, folder: Path) -> Reader:
    data = Shards(folder)
    return Reader(
        lambda rows: data.read_many("image", rows),
        lambda at: data.read("image", at),
        lambda: data.in_order("image"),
    )


def _rows(files: Path, folder: Path) -> Reader:
    data = opened(folder)
    return Reader(data.each, lambda at: data[at], lambda: data, lambda row: row["image"])


def _pyarrow(files: Path, folder: Path) -> Reader:
    def order() -> Iterator[bytes]:
        for path in sorted((folder / "rows").iterdir()):
            for batch in pq.ParquetFile(path).iter_batches(BATCH, columns=["image.bytes"]):
                yield from (value.as_py() for value in batch.column(0).field("bytes"))

    return Reader(None, None, order)


def _plain(files: Path, folder: Path) -> Reader:
    def read(path: str) -> bytes:
        with open(path, "rb") as file:  # noqa: PTH123  (half of Path's)
            return file.read()

    paths = _files(files)
    return _each(lambda at: read(paths[at]), len(paths))


def _each(one: Callable[[int], Any], count: int, decode: Any = images.decode) -> Reader:
    """A reader of one image at a time."""
    return Reader(lambda rows: map(one, rows), one, lambda: map(one, range(count)), decode)


def _pil(files: Path, folder: Path) -> Reader:
    from PIL import Image

    paths = _files(files)
    return _each(lambda at: Image.open(paths[at]), len(paths), _as_array)


def _torchvision(files: Path, folder: Path) -> Reader:
    from torchvision.datasets import ImageFolder

    data = ImageFolder(str(files))
    return _each(lambda at: data[at][0], len(data), np.asarray)


def _hugging_face(files: Path, folder: Path, *, own: bool = False) -> Reader:
    from datasets import Dataset, Features, Image, load_from_disk

    at = str(files.parent / "arrow")
    if not Path(at).exists():
        cells = [{"bytes": Path(path).read_bytes(), "path": None} for path in _files(files)]
        Dataset.from_dict({"image": cells}, Features({"image": Image()})).save_to_disk(at)
    data: Any = load_from_disk(at)
    if own:
        decode = _as_array
    else:
        data = data.cast_column("image", Image(decode=False))
        decode = lambda cell: images.decode(cell["bytes"])  # noqa: E731
    return Reader(
        lambda rows: data[rows]["image"], lambda at: data[at]["image"],
        lambda: (cell for batch in data.iter(BATCH) for cell in batch["image"]), decode,
    )  # fmt: skip


def _hugging_face_own(files: Path, folder: Path) -> Reader:
    return _hugging_face(files, folder, own=True)


def _lance(files: Path, folder: Path) -> Reader:
    import lance

    cells = pa.array([Path(path).read_bytes() for path in _files(files)], pa.large_binary())
    data = lance.write_dataset(pa.table({"image": cells}), str(files.parent / "images.lance"))

    def take(rows: list[int]) -> Iterator[bytes]:
        return (value.as_py() for value in data.take(rows, columns=["image"])["image"])

    def order() -> Iterator[bytes]:
        for batch in data.to_batches(columns=["image"], batch_size=BATCH):
            yield from (value.as_py() for value in batch.column(0))

    return Reader(take, lambda at: next(take([at])), order)


def _litdata(files: Path, folder: Path) -> Reader:
    import litdata

    at = str(files.parent / "litdata")
    with contextlib.redirect_stdout(io.StringIO()):
        litdata.optimize(
            read_sample, _files(files), at, chunk_bytes="64MB", num_workers=1, verbose=False
        )
    data = litdata.StreamingDataset(at)
    return _each(lambda n: data[n], len(data), lambda sample: images.decode(sample["image"]))


def read_sample(path: str) -> dict[str, bytes]:
    """What LitData stores of a file, in a process of its own."""
    return {"image": Path(path).read_bytes()}


def _webdataset(files: Path, folder: Path) -> Reader:
    import webdataset

    at = files.parent / "images.tar"
    with tarfile.open(at, "w") as tar:
        for path in _files(files):
            tar.add(path, Path(path).name)

    def order() -> Iterator[bytes]:
        return (sample["jpg"] for sample in webdataset.WebDataset(str(at), shardshuffle=False))

    return Reader(None, None, order)


PEERS = (
    Peer(OURS, "pyarrow", "", _shards),
    Peer("shards, rows with all labels", "torch", "torch", _rows),
    Peer("pyarrow's iter_batches over the shards", "pyarrow", "", _pyarrow),
    Peer("HF datasets (Arrow)", "datasets", "datasets", _hugging_face),
    Peer("HF datasets, its own decoder", "datasets", "datasets", _hugging_face_own),
    Peer("Lance", "lance", "pylance", _lance),
    Peer("LitData", "litdata", "litdata", _litdata),
    Peer("webdataset", "webdataset", "webdataset", _webdataset),
    Peer("plain files", "pyarrow", "", _plain),
    Peer("plain files, PIL", "PIL", "pillow", _pil),
    Peer("torchvision ImageFolder, PIL", "torchvision", "torchvision", _torchvision),
)


def rows_peers(
    folder: Path, count: int = COUNT, rounds: int = ROUNDS, say: Callable[[str], Any] = typer.echo
) -> list[dict[str, Any]]:
    """A row for each way and reader, in an empty `folder`; its limit is decoding from memory.

    A peer that is not installed is left out, and what installs it is said.
    """
    os.environ.setdefault("LANCE_CPU_THREADS", "1")
    encoded = distinct(count)
    files = folder / "files"
    (files / "all").mkdir(parents=True)
    for number, data in enumerate(encoded):
        (files / "all" / f"{number:06d}.jpg").write_bytes(data)
    write_data_set(folder / "shards", encoded, count)
    readers: dict[str, Reader] = {}
    for peer in PEERS:
        if find_spec(peer.needs) is None:
            say(f"{peer.name}: left out, run `pip install {peer.install}`")
            continue
        readers[peer.name] = peer.reader(files, folder / "shards")
        _check(peer.name, readers[peer.name], encoded)
    with one_core():
        return [row for way in GOALS for row in _way(way, readers, encoded, rounds)]


def _check(name: str, reader: Reader, encoded: Sequence[bytes]) -> None:
    """Every way gives the images that were written, but for a decoder's rounding."""
    rows = [len(encoded) - 1, 0, 3]
    ways = [reader.batch(rows) if reader.batch else [], map(reader.one, rows) if reader.one else []]
    for found in map(list, ways):
        for at, one in zip(rows, found, strict=False):
            _same(name, reader.decode(one), encoded[at])
    for at, one in enumerate(reader.order()):
        if at % 997 == 0:
            _same(name, reader.decode(one), encoded[at])


def _same(name: str, image: np.ndarray, data: bytes) -> None:
    difference = np.abs(image.astype(int) - images.decode(data)).mean()
    if difference > 3:
        raise RuntimeError(f"{name}: gives another image")


def _way(
    way: str, readers: dict[str, Reader], encoded: Sequence[bytes], rounds: int
) -> list[dict[str, Any]]:
    """One way of reading by all readers that have it, in turns with decoding from memory."""
    random = np.random.default_rng(0)
    picked: list[int] = []

    def pick() -> None:
        picked[:] = random.integers(0, len(encoded), PICKED).tolist()

    def turn(reader: Reader) -> Callable[[], object] | None:
        decode, batch, one = reader.decode, reader.batch, reader.one
        if way == "in order":
            return lambda: [None for value in reader.order() if decode(value) is None]
        if way == "one by one":
            return one and (lambda: [None for at in picked if decode(one(at)) is None])
        return batch and (lambda: [
            None for first in range(0, len(picked), BATCH)
            for value in batch(picked[first : first + BATCH]) if decode(value) is None
        ])  # fmt: skip

    memory = Reader(lambda rows: (encoded[at] for at in rows), encoded.__getitem__, lambda: encoded)
    turns = {name: turn(reader) for name, reader in {"memory": memory, **readers}.items()}
    turns = {name: action for name, action in turns.items() if action}
    whole = way == "in order"
    times = rounds if whole else 3 * rounds
    limit, *ours = take_turns(list(turns.values()), times, pick, time.process_time)
    count = len(encoded) if whole else PICKED
    rate = count / statistics.median(limit)
    return [
        row(f"{way}, {name}", rate * share(limit, s), rate, GOALS[way] if name == OURS else None)
        for name, s in zip(list(turns)[1:], ours, strict=True)
    ]


def distinct(count: int) -> list[bytes]:
    """So many 256x128 JPEGs of about 12.5 KB, no two alike."""
    random = np.random.default_rng(0)
    noise = [random.normal(0, 10, (256, 128, 3)).astype(np.int16) for _ in range(16)]
    made = []
    for number in range(count):
        coarse = random.integers(0, 256, (16, 8, 3), dtype=np.uint8)
        image = images.resize(coarse, 256, 128).astype(np.int16)
        image += np.roll(noise[number % 16], int(random.integers(image.size)))
        made.append(images.encode_jpeg(image.clip(0, 255).astype(np.uint8)))
    return made


@contextlib.contextmanager
def one_core() -> Iterator[None]:
    """This process and its threads on one core, where the system can."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    threads = [int(thread.name) for thread in Path("/proc/self/task").iterdir()]
    before = os.sched_getaffinity(0)
    for thread in threads:
        os.sched_setaffinity(thread, {max(before)})
    try:
        yield
    finally:
        for thread in Path("/proc/self/task").iterdir():
            os.sched_setaffinity(int(thread.name), before)


def is_of_peers(row: dict[str, Any]) -> bool:
    """Whether a row of the benchmark is one of this file."""
    return row["name"].partition(", ")[0] in GOALS


def as_table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The rows as a Markdown table: a line for each reader, a column for each way."""
    shares = {tuple(row["name"].split(", ", 1)): row["ratio"] for row in rows}
    names = dict.fromkeys(name for _, name in shares)
    lines = [f"| reader | {' | '.join(GOALS)} |", "|---" * (1 + len(GOALS)) + "|"]
    for name in names:
        cells = (shares.get((way, name)) for way in GOALS)
        lines.append(f"| {name} | {' | '.join('-' if c is None else f'{c:.2f}' for c in cells)} |")
    return lines


def main(count: int = COUNT, rounds: int = ROUNDS) -> None:
    """Measure, and print a Markdown table."""
    with tempfile.TemporaryDirectory(prefix="peers-") as folder:
        typer.echo("\n".join(as_table(rows_peers(Path(folder), count, rounds))))


if __name__ == "__main__":
    typer.run(main)
