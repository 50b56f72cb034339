"""The journal on a file system that several machines share: whose temporary files are whose."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.engine import journal
from pipeline.engine.journal import Journal, note_keys, this_process, unused
from reid.project.layout import as_json


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    """A stage's folder that `gc` looks at."""
    note_keys(tmp_path, "stage", "toy", [])
    return tmp_path / "stage"


ENDED = 2**22 + 1  # beyond any process's number


def test_a_temporary_file_carries_host_and_process(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "node-7.example.org")
    assert this_process() == f"node-7_example_org-{os.getpid()}"
    seen: list[str] = []
    real = Path.replace
    monkeypatch.setattr(Path, "replace", lambda a, b: (seen.append(a.name), real(a, b))[1])
    Journal(tmp_path).keep("key", pa.table({"image_id": ["a"]}), [], {})
    process = this_process()
    assert seen == [f".key.json.{process}.tmp", f".key.{process}.tmp"], "the note comes first"
    assert {path.name for path in tmp_path.iterdir()} == {"key.json", "key.parquet"}


def test_gc_leaves_what_a_living_process_writes(stage: Path):
    living = stage / f".key.{this_process()}.tmp"
    living.touch()
    ended = stage / f".key.{this_process().rpartition('-')[0]}-{ENDED}.tmp"
    ended.touch()
    older = stage / f".key.{ENDED}.tmp"  # a name without a host is of this one
    older.touch()
    assert set(unused(stage.parent)) == {ended, older}


def test_gc_leaves_another_hosts_files_for_a_week(stage: Path):
    other = stage / f".key.elsewhere-{ENDED}.tmp"
    other.touch()
    assert unused(stage.parent) == []
    long_ago = other.stat().st_mtime - journal.ABANDONED_S - 1
    os.utime(other, (long_ago, long_ago))
    assert unused(stage.parent) == [other]


def test_sweeping_takes_one_process_s_files_alone(tmp_path: Path):
    names = [".a.node-12.tmp", ".a.json.node-12.tmp", ".b.node-1.tmp", ".b.othernode-12.tmp"]
    for name in names:
        (tmp_path / name).touch()
    Journal(tmp_path).sweep("node-12")
    assert {path.name for path in tmp_path.iterdir()} == set(names[2:])


def test_a_folder_that_is_not_there_yet_can_be_asked_anew(tmp_path: Path):
    Journal(tmp_path / "none").refresh()
    Journal(tmp_path).refresh()


@pytest.mark.parametrize(
    "damage", [{"rows": -1}, {"rows": "1"}, {"rejects": [["a"]]}, {"sha256": None}, {"more": 1}]
)
def test_a_damaged_note_is_of_no_finished_shard(tmp_path: Path, damage):
    kept = Journal(tmp_path).keep("key", pa.table({"image_id": ["a"]}), [["b", "why"]], {})
    assert Journal(tmp_path).outcome("key") == kept
    note = tmp_path / "key.json"
    note.write_bytes(as_json({**json.loads(note.read_text()), **damage}))
    assert Journal(tmp_path).outcome("key") is None
