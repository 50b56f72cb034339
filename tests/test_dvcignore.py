"""What DVC counts of a folder: not what a killed process left of a file it was writing."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from reid.project.layout import this_process
from tests.copies import ROOT
from tests.test_flow import dvc, ran


@pytest.mark.slow
def test_what_a_killed_process_left_changes_no_hash(tmp_path: Path):
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    dvc("init", "-q", cwd=tmp_path)
    shutil.copy(ROOT / ".dvcignore", tmp_path)
    (tmp_path / "read").mkdir()
    (tmp_path / "read/a.json").write_text("{}")
    command = "mkdir -p made && cp read/a.json made"
    stage = ["-n", "copy", "-d", "read", "-o", "made", command]
    dvc("stage", "add", "-q", *stage, cwd=tmp_path)
    assert ran(dvc("repro", cwd=tmp_path)) == {"copy"}
    before = (tmp_path / "dvc.lock").read_bytes()
    for folder in ("read", "made"):
        (tmp_path / folder / f".a.json.{this_process()}.tmp").write_text("{")
    assert ran(dvc("repro", cwd=tmp_path)) == set()
    dvc("repro", "--force", cwd=tmp_path)
    assert (tmp_path / "dvc.lock").read_bytes() == before
