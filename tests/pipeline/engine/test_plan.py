"""From stage modules to plans: what a changed parameter, input or version recomputes."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.commands.build import make_plan
from pipeline.engine import plan as stage
from pipeline.engine import run as engine
from reid.project.errors import ReidError
from reid.project.layout import Project
from tests.conftest import contents, make_project, reid


def build(project: Project, *stages: str) -> None:
    for name in stages:
        engine.run(make_plan(name, "toy", project), project, executor="local")


def change(old: str, new: str) -> None:
    text = Path("params.yaml").read_text()
    assert old in text
    Path("params.yaml").write_text(text.replace(old, new))


def to_compute(project: Project, name: str) -> int:
    return len(engine.missing(make_plan(name, "toy", project), project))


def test_a_stage_writes_the_same_rows_in_the_same_order(toy: Project):
    build(toy, "ingest", "joints", "parts")
    for path in sorted((toy.shards("toy") / "rows").iterdir()):
        ids = pq.read_table(path)["image_id"]
        for name in ("joints", "parts"):
            derived = pq.read_table(toy.derived(name, "toy") / "rows" / path.name)
            assert derived["image_id"] == ids
            assert derived[name].null_count == 0


def test_a_changed_parameter_recomputes_its_stage_and_no_other(toy: Project):
    build(toy, "ingest", "joints", "parts")
    change("canonical_poses: 3", "canonical_poses: 2")
    assert [to_compute(toy, s) for s in ("ingest", "joints", "parts")] == [0, 0, 4]
    build(toy, "parts")
    change("canonical_poses: 2", "canonical_poses: 3")
    assert to_compute(toy, "parts") == 0, "the earlier work is still in the journal"


def test_the_reject_rate_is_no_part_of_the_key(toy: Project):
    build(toy, "ingest", "joints", "parts")
    change("canonical_poses: 3", "canonical_poses: 3, max_reject_rate: 0.9")
    assert to_compute(toy, "parts") == 0


def test_changed_given_labels_recompute_joints(toy: Project):
    build(toy, "ingest", "joints")
    change_file = Path("joints.csv")
    change_file.write_text(change_file.read_text().replace("1.00", "0.90", 1))
    assert to_compute(toy, "joints") == 4


def test_a_row_without_joints_is_a_reject_with_nulls_and_strips_follow(toy: Project):
    lines = Path("joints.csv").read_text().splitlines()
    Path("joints.csv").write_text("\n".join(lines[:2] + lines[3:]) + "\n")
    change("path: joints.csv", "path: joints.csv, max_reject_rate: 0.5")
    build(toy, "ingest", "joints", "parts")
    missing = lines[2].split(",")[0]
    rejects = pq.read_table(toy.derived("joints", "toy") / "rejects.parquet").to_pylist()
    assert [r["image_id"] for r in rejects] == [missing]
    rows = pa.concat_tables(
        pq.read_table(p) for p in sorted((toy.derived("joints", "toy") / "rows").iterdir())
    )
    assert rows.num_rows == 72
    assert rows.filter(rows["joints"].is_null())["image_id"].to_pylist() == [missing]


@pytest.mark.parametrize("damaged", ["ingest", "joints"])
def test_a_stage_refuses_a_damaged_input(toy: Project, damaged: str):
    build(toy, "ingest", "joints")
    folder = toy.shards("toy") if damaged == "ingest" else toy.derived("joints", "toy")
    path = max((folder / "rows").iterdir())
    sound = path.read_bytes()
    path.write_bytes(sound[:60] + bytes([sound[60] ^ 1]) + sound[61:])
    with pytest.raises(ReidError, match=f"not the bytes.*; run `reid {damaged} toy --repair`"):
        build(toy, "parts")
    engine.run(make_plan(damaged, "toy", toy), toy, executor="local", repair=True)
    assert path.read_bytes() == sound
    build(toy, "parts")


def test_an_unbuilt_input_names_the_command(toy: Project):
    with pytest.raises(ReidError, match="run `reid ingest toy`"):
        make_plan("parts", "toy", toy)
    build(toy, "ingest")
    with pytest.raises(ReidError, match="run `reid joints toy`"):
        make_plan("parts", "toy", toy)


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_killed_derived_stage_resumes_to_the_same_bytes(tmp_path: Path, n: int):
    patch = f"""
import os, signal
import pipeline.engine.journal as m
real, count = m.write_shard, [0]
def killer(*a, **k):
    count[0] += 1
    if count[0] == {n}: os.kill(os.getpid(), signal.SIGKILL)
    return real(*a, **k)
m.write_shard = killer
"""
    whole, killed = make_project(tmp_path / "whole"), make_project(tmp_path / "killed")
    for project in (whole, killed):
        for name in ("ingest", "joints"):
            assert reid(name, "toy", cwd=project.root).returncode == 0
    assert reid("parts", "toy", cwd=whole.root).returncode == 0
    assert reid("parts", "toy", cwd=killed.root, patch=patch).returncode == -9
    assert reid("parts", "toy", cwd=killed.root).returncode == 0
    assert contents(killed.derived("parts", "toy")) == contents(whole.derived("parts", "toy"))


def test_behind_keeps_order_passes_errors_on_and_runs_beside_the_iteration():
    begun, go_on = [], threading.Event()

    def numbers():
        for i in range(6):
            if i == 2:
                go_on.set()  # only while the first call still waits for it
            begun.append(i)
            yield i

    def ten_times(i: int) -> int:
        assert go_on.wait(600)
        return 10 * i

    assert list(stage.behind(numbers(), ten_times)) == [0, 10, 20, 30, 40, 50]
    with pytest.raises(ZeroDivisionError):
        list(stage.behind([1, 0, 1], lambda i: 1 // i))


def test_ahead_keeps_order_passes_errors_on_and_stays_bounded():
    made = []

    def numbers():
        for i in range(20):
            made.append(i)
            yield i

    taken = []
    for value in stage.ahead(numbers(), depth=2):
        taken.append(value)
        begun = min(20, len(taken) + 3)  # two wait in the queue, one to enter it
        end = time.monotonic() + 600
        while len(made) < begun:
            assert time.monotonic() < end, "it does not run ahead"
            time.sleep(0.001)
        assert len(made) == begun
    assert taken == list(range(20))

    def broken():
        yield 1
        raise ValueError("here")

    with pytest.raises(ValueError, match="here"):
        list(stage.ahead(broken()))
