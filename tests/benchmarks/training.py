"""How close the loader comes to decoding alone, and what share of a training waits for data."""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from reid.arrays import images
from reid.data.dataset import Data
from reid.data.views import Views
from reid.papers.attention_driven.paper import PAPER as attention_driven
from reid.papers.attention_driven.params import Params
from reid.shards.folder import Shards
from tests.benchmarks.turns import row, share, take_turns

WORKERS = 2
BATCH = 64
LOADED = 8_192  # images in one turn of the loader
STEPS = 12


def opened(folder: Path) -> Data:
    """Made shards as a data set."""
    base = Shards(folder)
    return Data(base, {"image": (base, "image")}, np.arange(len(base)), {})


def _count(row: dict[str, Any]) -> int:
    return row["image"].shape[0]


def loader(folder: Path) -> dict[str, Any]:
    """A DataLoader in random order against as many processes that decode from memory meanwhile."""
    data = opened(folder)
    order = np.random.default_rng(0).permutation(len(data))[:LOADED].tolist()
    batches = DataLoader(
        data.torch(_count), BATCH, sampler=order, num_workers=WORKERS, collate_fn=len,  # type: ignore[arg-type]
        persistent_workers=True, prefetch_factor=4,
    )  # fmt: skip
    encoded = data.base.read_many("image", order[: LOADED // WORKERS])

    def load() -> None:
        assert sum(batches) == LOADED

    with ProcessPoolExecutor(WORKERS, get_context("fork"), _resident, (encoded,)) as pool:

        def decode() -> None:
            assert sum(pool.map(_decode, range(WORKERS))) == LOADED // WORKERS * WORKERS

        ours, alone = take_turns([load, decode], 5)
    rate = LOADED / float(np.median(ours))
    name = f"loader with {WORKERS} workers, images/s ({WORKERS} processes that only decode)"
    return row(name, rate, rate / share(alone, ours), 0.95)


_encoded: list[bytes | None] = []


def _resident(encoded: list[bytes | None]) -> None:
    _encoded[:] = encoded


def _decode(_: int) -> int:
    for data in _encoded:
        images.decode(data or b"")
    return len(_encoded)


def waiting(folder: Path) -> list[dict[str, Any]]:
    """Training steps of the paper's network at a quarter of its width: the share spent waiting."""
    params = Params(width_scale=0.25, height=192, width=96, part_height=48, part_width=96)
    network = attention_driven.method().build(params, 100)
    optimizer = attention_driven.method().optimizer(params, network)
    data = opened(folder).choose(np.arange(params.batch * STEPS))

    whole = params.model_copy(update={"model": "baseline"})  # made images have no part boxes

    def view(row: dict[str, Any]) -> dict[str, np.ndarray]:
        return attention_driven.method().view(whole, row["image"], row)

    rows = []
    for resident in ("memory", "off"):
        views = Views(data, view, torch.device("cpu"), resident, threads=1)
        waited, total = _train(params, network, optimizer, views)
        name = f"training waits for data, s of {STEPS} steps, samples {PLACES[resident]}"
        rows.append(row(name, waited, total, 0.05, most=True))
    return rows


PLACES = {"memory": "in memory", "off": "read and decoded at random"}


def _train(params: Any, network: Any, optimizer: Any, views: Views) -> tuple[float, float]:
    """Seconds waited and seconds in all, of one pass."""
    order = np.arange(len(views.data)).reshape(STEPS, -1)
    source, waited, start = views.batches(order), 0.0, time.perf_counter()
    generator, target = torch.Generator().manual_seed(0), torch.arange(params.batch) % 100
    network.train()
    for _ in order:
        asked = time.perf_counter()
        _, batch = next(source)
        waited += time.perf_counter() - asked
        batch = attention_driven.method().augment(params, batch, generator)
        output = network(attention_driven.method().normalize(params, batch, torch.zeros(3)))
        attention_driven.method().loss(params, output, target)["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
    return waited, time.perf_counter() - start
