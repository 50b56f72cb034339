"""A folder is published whole or not at all, and never in place of a link."""

from __future__ import annotations

from pathlib import Path

import pytest

from reid.project.errors import ReidError
from reid.project.publish import publishing
from tests.conftest import contents


def test_a_folder_replaces_the_earlier_one_as_a_whole(tmp_path: Path):
    target, staging = tmp_path / "data/run", tmp_path / "work/run"
    for name in ("first", "second"):
        with publishing(target, staging) as folder:
            (folder / name).write_text(name)
        assert contents(target) == {name: name.encode()}
    assert [*(tmp_path / "work").iterdir()] == []


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failure_leaves_the_earlier_folder_and_nothing_else(tmp_path: Path, error):
    target, staging = tmp_path / "run", tmp_path / "work/run"
    with publishing(target, staging) as folder:
        (folder / "first").write_text("")

    def fails() -> None:
        with publishing(target, staging) as folder:
            (folder / "second").write_text("")
            raise error

    with pytest.raises(error):
        fails()
    assert contents(target) == {"first": b""}
    assert [*(tmp_path / "work").iterdir()] == []


def test_what_a_killed_run_left_is_not_published(tmp_path: Path):
    staging = tmp_path / "work/run"
    for left in (staging, staging.with_name("run.old")):
        left.mkdir(parents=True)
        (left / "half").write_text("")
    with publishing(tmp_path / "run", staging) as folder:
        (folder / "whole").write_text("")
    assert contents(tmp_path / "run") == {"whole": b""}
    assert [*(tmp_path / "work").iterdir()] == []


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_is_refused_and_kept(tmp_path: Path, exists: bool):
    target, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    if exists:
        elsewhere.mkdir()
    target.symlink_to(elsewhere)
    with (
        pytest.raises(ReidError, match=r"run: is a link to .*elsewhere"),
        publishing(target, tmp_path / "work/run"),
    ):
        pytest.fail("nothing is computed for what cannot be published")
    assert target.readlink() == elsewhere
    assert not (tmp_path / "work").exists()
