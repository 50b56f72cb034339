"""The search for a batch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from pipeline.builds import batch_size
from pipeline.builds.batch_size import a_call, find, out_of_memory, smallest
from pipeline.engine import stage as engine_stage
from pipeline.engine.stage import AnyStage
from pipeline.stages import crops, flow, joints, masks
from pipeline.stages import stage as find_stage
from reid.project.errors import ReidError
from reid.project.layout import Project

torch = pytest.importorskip("torch")


class Clock:
    """Time that passes only where a test says so."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now


class Step(engine_stage.Step):
    """A network whose call takes `call` seconds and `image` more for each image."""

    clock: Clock

    def __init__(self, call: float, image: float, fits: int = 1_000):
        self.call, self.image, self.fits = call, image, fits
        self.sizes: list[int] = []

    def __call__(self, table: pa.Table) -> None:
        self.sizes.append(table.num_rows)
        if table.num_rows > self.fits:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        self.clock.now += self.call + self.image * table.num_rows


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(batch_size, "time", made)
    monkeypatch.setattr(Step, "clock", made, raising=False)
    return made


def with_step(step: Step) -> AnyStage:
    return replace(masks.STAGE, build=lambda *_: step)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, clock: Clock):
    """Stands in for a stage's network."""

    def put(step: Step) -> Step:
        monkeypatch.setattr(masks, "STAGE", with_step(step))
        return step

    return put


def rows(count: int) -> pa.Table:
    return pa.table({"image_id": [f"{n}" for n in range(count)]})


def search(count: int = 64, **options: Any) -> batch_size.Found:
    return find(masks.STAGE, masks.Params(), rows(count), "cpu", **options)


def test_a_costly_call_asks_for_large_batches(fake: Any):
    fake(Step(call=5e-3, image=1e-3))
    found = search(256)
    assert found.batch == 128, "(5 + 128) / 128 ms an image are within 3 % of (5 + 256) / 256"
    assert found.rates[2] == pytest.approx(2 / 0.007)
    assert found.rows()[7] == ["128", "962", "chosen"]
    assert [row[2] for row in found.rows()].count("chosen") == 1
    assert found.ended == "256 is the limit"


def test_where_batches_bring_nothing_one_image_is_enough(fake: Any):
    fake(Step(call=0, image=1e-3))
    assert search(16).batch == 1


def test_the_search_ends_where_memory_does(fake: Any):
    step = fake(Step(call=1e-3, image=1e-5, fits=16))
    found = search()
    assert max(found.rates) == 16
    assert found.ended == "32 images do not fit into the memory"
    assert max(step.sizes) == 32


def test_on_a_cpu_the_search_ends_where_batches_are_slower_twice(fake: Any):
    class Thrashing(Step):
        def __call__(self, table: pa.Table) -> None:
            self.clock.now += 1e-3 * table.num_rows * (1 if table.num_rows <= 4 else 2)

    fake(Thrashing(0, 0))
    found = search()
    assert list(found.rates) == [1, 2, 4, 8, 16]
    assert (found.batch, found.ended) == (1, "larger batches are slower")


def test_not_even_one_image_fits(fake: Any):
    fake(Step(call=0, image=0, fits=0))
    with pytest.raises(ReidError, match="not even one image"):
        search()


@pytest.mark.parametrize("image", [3.0, 1.0, 0.3, 0.05, 1e-3, 1e-5])
def test_a_search_takes_about_a_minute_at_most(fake: Any, clock: Clock, image: float):
    step = fake(Step(call=image, image=image))
    found = search(256, seconds=60.0)
    assert clock.now < 66
    assert max(step.sizes) == max(found.rates)
    assert (image >= 0.05) == (found.ended == "larger ones would take too long to measure")


def test_no_batch_is_larger_than_the_shard(fake: Any):
    step = fake(Step(call=1e-3, image=1e-6))
    assert search(5).ended == "5 rows to measure"
    assert max(step.sizes) == 4


def test_the_network_runs_on_the_threads_of_one_worker(fake: Any):
    before = torch.get_num_threads()
    seen: list[int] = []

    class Watching(Step):
        def __call__(self, table: pa.Table) -> None:
            super().__call__(table)
            seen.append(torch.get_num_threads())

    fake(Watching(1e-3, 0))
    search(2, workers=1_000)
    assert set(seen) == {1}
    assert torch.get_num_threads() == before


def test_rounds_are_compared_with_each_other():
    slow_machine = {1: [2.0, 20.0, 2.0], 2: [1.0, 10.0, 1.0], 4: [0.98, 9.8, 0.99]}
    assert smallest(slow_machine) == 2
    assert smallest({1: [1.0], 2: [0.9], 4: [0.8]}) == 4


def test_a_wrapped_error_of_memory_is_one():
    def wrapped() -> None:
        try:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        except RuntimeError:
            raise ReidError("cannot take 256 pairs") from None

    with pytest.raises(ReidError) as error:
        wrapped()
    assert out_of_memory(error.value)
    assert out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"))
    assert not out_of_memory(RuntimeError("another"))


@pytest.mark.parametrize(
    ("stage", "params"),
    [
        ("masks", masks.Params(backend="given", path="masks")),
        ("joints", joints.Params(backend="given", path="joints.csv")),
        ("crops", crops.Params(backend="depth")),
        ("flow", flow.Params(backend="dis")),
        ("flow", flow.Params(backend="lucas_kanade")),
    ],
)
def test_a_backend_without_a_network_is_refused(stage: str, params: Any):
    with pytest.raises(ReidError, match=f"{params.backend} runs no network"):
        find(find_stage(stage), params, rows(1), "cpu")


def test_a_flow_call_has_the_frames_around_it():
    table = a_call(rows(6), 2, 4, around=1)
    assert table["image_id"].to_pylist() == ["1", "2", "3", "4"]
    assert table["own"].to_pylist() == [False, True, True, False]
    assert a_call(rows(6), 4, 6, around=1)["own"].to_pylist() == [False, True, True]
    assert a_call(rows(6), 4, 6, around=0).equals(rows(6).slice(4, 2))


# --- the command ---


def test_another_value_belongs_into_params_yaml(toy: Project):
    with pytest.raises(ReidError, match=r"put `batch: 8` into params.yaml: masks.on.toy"):
        batch_size.auto("8", "masks", "toy", toy)


def test_a_build_is_measured_and_its_line_of_params_yaml_said(
    toy: Project, monkeypatch: pytest.MonkeyPatch, clock: Clock
):
    from pipeline.commands.build import make_plan
    from pipeline.engine import run as engine

    engine.run(make_plan("ingest", "toy", toy), toy, executor="local")
    path = toy.root / "params.yaml"
    text = path.read_text() + "masks: {on: {toy: {weights: random, batch: 8}}} # end\n"
    path.write_text(text)
    step = Step(call=1e-3, image=1e-6)
    monkeypatch.setattr(masks, "STAGE", with_step(step))
    said: list[str] = []
    found = batch_size.auto("auto", "masks", "toy", toy, device="cpu", say=said.append)
    assert path.read_text() == text
    assert found.batch == max(found.rates) == 32, "the rows of the largest shard"
    assert said[-1] == "put `batch: 32` into params.yaml: masks.on.toy; it has 8 now"
    path.write_text(text.replace("batch: 8", "batch: 32"))
    batch_size.auto("auto", "masks", "toy", toy, device="cpu", say=said.append)
    assert said[-1] == "params.yaml: masks.on.toy has `batch: 32` already"
