"""What the report and the tables say of their code, versions, seeds and data sets."""

import subprocess
from pathlib import Path

import pytest

from reid.project.layout import Project
from reid.report.page import page_of
from reid.results import made_with as made
from tests.manifests import write_manifest

SOURCE = {"title": "t", "licence": "l", "where": "w"}


def git(folder: Path, *arguments: str) -> str:
    names = ("-c", "user.name=a", "-c", "user.email=a@b")
    command = ["git", "-C", str(folder), *names, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A copy of the code without .git, as a ZIP has it."""
    for name in ("reid", "pipeline"):
        (tmp_path / "code" / name).mkdir(parents=True)
        (tmp_path / "code" / name / "__init__.py").write_text("")
    return tmp_path / "code"


def test_a_checkout_says_its_commit_and_whether_files_differ(code: Path):
    git(code, "init", "-q")
    git(code, "add", ".")
    assert made.commit(code) == "commit none yet + changes"
    git(code, "commit", "-q", "-m", "first")
    head = git(code, "rev-parse", "HEAD")
    assert made.commit(code) == f"commit {head[:12]}"
    (code / "notes.txt").write_text("no code")
    assert made.commit(code) == f"commit {head[:12]}"
    (code / "reid/new.py").write_text("")
    assert made.commit(code) == f"commit {head[:12]} + changes"


def test_a_copy_without_git_says_so_also_inside_of_another_checkout(code: Path):
    copy = "no git checkout (an installed package, or a copy without .git)"
    assert made.commit(code) == copy
    git(code.parent, "init", "-q")
    (code.parent / "own.txt").write_text("")
    git(code.parent, "add", "own.txt")
    git(code.parent, "commit", "-q", "-m", "a project of the user's")
    assert made.commit(code) == copy


def test_without_the_program_git_it_is_a_copy(code: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(code))
    assert made.commit(code).startswith("no git checkout")


def test_versions_of_what_computes_are_told():
    line = made.made_with()
    assert line.startswith("Code: ")
    for name in ("Python 3.", "reid-pipeline ", "torch ", "numpy "):
        assert name in line


def test_kinds_are_those_of_the_manifests_and_stand_first(tmp_path: Path):
    project = Project(tmp_path)
    for name, source in {
        "street": {"kind": "rendered", **SOURCE},
        "market": {"kind": "photographs", **SOURCE},
        "mine": {"kind": "own images", **SOURCE},
        "old": None,
    }.items():
        folder = project.shards(name)
        (folder / "rows").mkdir(parents=True)
        write_manifest(folder, dataset=name, **({"source": source} if source else {}))
    kinds = {name: made.kind_of(project, name) for name in ("market", "mine", "old", "street")}
    assert kinds == {
        "market": "photographs", "mine": "own images", "old": made.UNKNOWN, "street": "rendered",
    }  # fmt: skip
    first = made.by_kind(kinds)
    assert first == (
        "Rendered worlds, in which no person is: street. Photographs: market. "
        "Own images: mine. Of unknown source: old."
    )
    body = page_of([], first).split("<body>")[1]
    assert body.index(first) < body.index("<nav")


def test_seeds():
    assert made.seeds([0, None, 2, 0]) == "Seeds: 0, 2."
    assert made.seeds([]) == ""
