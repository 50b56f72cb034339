"""The engine: resume, reuse, rejects, the lock, publishing; and a kill at any point."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.engine import run as engine
from pipeline.engine.journal import unused
from pipeline.stages import ingest
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.project.progress import Meter
from tests.conftest import contents, make_project, reid


def plan(project: Project, **changes: object) -> engine.Plan:
    params = ingest.Params.model_validate({"reader": "market1501", "shard_rows": 20, **changes})
    return ingest.plan("toy", params, project)


def test_a_rerun_computes_nothing_and_leaves_the_folder_alone(toy: Project):
    first = engine.run(plan(toy), toy, executor="local")
    assert (first.rows, first.computed, first.published) == (72, 4, True)
    before = (toy.shards("toy") / "manifest.json").stat().st_mtime_ns
    again = engine.run(plan(toy), toy, executor="local")
    assert (again.computed, again.reused, again.published) == (0, 4, False)
    assert (toy.shards("toy") / "manifest.json").stat().st_mtime_ns == before


def test_shards_are_the_same_from_one_process_and_from_a_pool(tmp_path: Path):
    result = []
    for executor in ("local", "pool"):
        project = make_project(tmp_path / executor)
        engine.run(plan(project), project, executor=executor, workers=2)
        result.append(contents(project.shards("toy")))
    assert result[0] == result[1]
    assert "rows/train-00000-of-00002.parquet" in result[0]


@pytest.mark.parametrize("executor", ["local", "pool"])
def test_the_meter_moves_by_row_before_a_shard_is_done(toy: Project, monkeypatch, executor):
    seen: list[int] = []
    reach = Meter.reach

    def looked(meter: Meter, done: int) -> None:
        seen.append(meter.done)
        reach(meter, done)

    monkeypatch.setattr(Meter, "reach", looked)
    engine.run(plan(toy), toy, executor=executor, workers=2)
    assert len(seen) == 4
    assert seen[0] > 0, "before its shard has been counted"
    assert not (toy.work / "counts" / "ingest-toy").exists()


def test_one_changed_file_recomputes_one_shard(toy: Project):
    engine.run(plan(toy), toy, executor="local")
    image = sorted((toy.raw("toy") / "bounding_box_train").iterdir())[0]
    other = sorted((toy.raw("toy") / "bounding_box_train").iterdir())[-1]
    image.write_bytes(other.read_bytes())
    assert engine.run(plan(toy), toy, executor="local").computed == 1


def test_bad_images_are_rejected_with_reasons_and_good_ones_kept(toy: Project):
    names = sorted((toy.raw("toy") / "bounding_box_train").iterdir())
    names[0].write_bytes(b"")
    names[1].write_bytes(names[2].read_bytes()[:-200])
    finished = engine.run(plan(toy, max_reject_rate=0.5), toy, executor="local")
    assert (finished.rows, finished.rejects) == (70, 2)
    rejects = pq.read_table(toy.shards("toy") / "rejects.parquet").to_pylist()
    assert [r["reason"].split(":")[0] for r in rejects] == ["empty file", "broken JPEG"]
    assert rejects[0]["image_id"] == f"bounding_box_train/{names[0].stem}"


def test_too_many_rejects_fail_and_publish_nothing(toy: Project):
    for path in sorted((toy.raw("toy") / "bounding_box_train").iterdir())[:10]:
        path.write_bytes(b"no image")
    with pytest.raises(ReidError, match=r"10 of 72 rows rejected.*neither JPEG nor PNG") as error:
        engine.run(plan(toy), toy, executor="local")
    assert "nothing was published" in str(error.value)
    assert not toy.shards("toy").exists()


def test_two_runs_are_kept_apart_and_the_holder_is_named(toy: Project):
    path = toy.work / "locks" / "ingest-toy"
    path.parent.mkdir(parents=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write("process 77 on there")
        file.flush()
        with pytest.raises(ReidError, match=r"ingest toy is at work already: process 77 on there"):
            engine.run(plan(toy), toy, executor="local")


def test_repair_finds_a_flipped_byte(toy: Project):
    engine.run(plan(toy), toy, executor="local")
    before = contents(toy.shards("toy"))
    victim = sorted((toy.work / "ingest").glob("*.parquet"))[0]
    data = bytearray(victim.read_bytes())
    data[100] ^= 1
    victim.write_bytes(data)
    assert engine.run(plan(toy), toy, executor="local").computed == 0
    assert engine.run(plan(toy), toy, executor="local", repair=True).computed == 1
    assert contents(toy.shards("toy")) == before


def test_gc_removes_what_no_published_data_set_uses(toy: Project):
    engine.run(plan(toy), toy, executor="local")
    assert unused(toy.work) == []
    engine.run(plan(toy, shard_rows=24), toy, executor="local")
    gone = unused(toy.work)
    assert {p.suffix for p in gone} == {".parquet", ".json"}
    for path in gone:
        path.unlink()
    assert engine.run(plan(toy, shard_rows=24), toy, executor="local").computed == 0


@pytest.mark.parametrize("seed", [0, 1])
def test_random_numbers_depend_on_seed_and_row_alone(seed: int):
    first = engine.generator(seed, "a/b").random(3).tolist()
    assert first == engine.generator(seed, "a/b").random(3).tolist()
    assert first != engine.generator(seed, "a/c").random(3).tolist()
    assert first != engine.generator(seed + 1, "a/b").random(3).tolist()


# Each line makes the process kill itself at the n-th call of a step that must survive it.
KILL = """
import os, signal
import {module} as m
real, count = m.{name}, [0]
def killer(*a, **k):
    count[0] += 1
    if count[0] == {n}: os.kill(os.getpid(), signal.SIGKILL)
    return real(*a, **k)
m.{name} = killer
"""
POINTS = [
    *[("stage", "pipeline.stages.ingest", "read_images", n) for n in (5, 30, 60)],
    *[("stage's write", "pipeline.engine.journal", "write_shard", n) for n in (1, 2, 4)],
    *[("publishing", "pipeline.engine.run", "link", n) for n in (1, 2, 4)],
    ("publishing's end", "reid.project.publish", "replace_folder", 1),
    ("replacing", "reid.project.publish", "shutil.rmtree", 2),
]


@pytest.mark.slow
@pytest.mark.parametrize(("where", "module", "name", "n"), POINTS)
def test_a_kill_loses_at_most_the_shard_in_flight(tmp_path: Path, where, module, name, n):
    whole = make_project(tmp_path / "whole")
    assert reid("ingest", "toy", cwd=whole.root).returncode == 0
    project = make_project(tmp_path / "killed")
    killed = reid(
        "ingest", "toy", cwd=project.root, patch=KILL.format(module=module, name=name, n=n)
    )
    assert killed.returncode == -9, killed.stderr
    resumed = reid("ingest", "toy", cwd=project.root)
    assert resumed.returncode == 0, resumed.stderr
    assert contents(project.shards("toy")) == contents(whole.shards("toy")), where
