"""A copy without .git, such as a ZIP of the project, builds and reports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.copies import copy_project
from tests.test_flow import TINY, dvc, ran


@pytest.mark.slow
def test_a_copy_without_git_builds_and_reports(tmp_path: Path):
    copy_project(tmp_path)
    (tmp_path / "params.yaml").write_text(TINY)
    assert ran(dvc("repro", "ingest@street", cwd=tmp_path)) == {"world@street", "ingest@street"}
    assert ran(dvc("repro", "ingest@street", cwd=tmp_path)) == set()
    command = [sys.executable, "-m", "reid", "report"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    page = (tmp_path / "data/4-reports/report.html").read_text()
    assert "a copy without .git" in page
