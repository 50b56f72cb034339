"""The one line of params.yaml that a batch changes; new entries are tested with `reid add`."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.builds.params_edit import set_batch, with_batch
from reid.project.errors import ReidError
from reid.project.params import load

PARAMS = """\
# the head
masks:
  with: {}
  on:
    mall:   # a comment
      dataset:   mall
      backend: torchvision # another

    # below the mall
    short: {dataset: mall, backend: torchvision}
    here:
      batch: 16 # of the library
      path: ''
    there: &there
      dataset: mall
      builds:
        rows: [one,
          two]
    again: *there
    merged:
      <<: *there
    nothing:
    null_: ~ # as yet
flow: {on: {hall: {}}}
"""


@pytest.mark.parametrize(
    ("where", "old", "new"),
    [
        ("masks.mall", "# another\n", "# another\n      batch: 8\n"),
        ("masks.short", "torchvision}", "torchvision, batch: 8}"),
        ("masks.here", "batch: 16 #", "batch: 8 #"),
        ("masks.there", "two]\n", "two]\n      batch: 8\n"),
        ("masks.merged", "<<: *there\n", "<<: *there\n      batch: 8\n"),
        ("masks.nothing", "nothing:\n", "nothing: {batch: 8}\n"),
        ("masks.null_", "~ #", "{batch: 8} #"),
        ("flow.hall", "{hall: {}}", "{hall: {batch: 8}}"),
    ],
)
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_one_line_changes(tmp_path: Path, where: str, old: str, new: str, ending: str):
    stage, build = where.split(".")
    text = PARAMS.replace("    again: *there\n", "") if build == "there" else PARAMS
    text = text if build != "there" else text.replace("    merged:\n      <<: *there\n", "")
    path = tmp_path / "params.yaml"
    path.write_bytes(text.replace("\n", ending).encode())
    assert set_batch(tmp_path, stage, build, 8)
    expected = text.replace(old, new)
    assert expected != text
    assert path.read_bytes() == expected.replace("\n", ending).encode()
    assert load(tmp_path)[stage]["on"][build]["batch"] == 8
    assert not set_batch(tmp_path, stage, build, 8), "it is there already"


def test_what_stands_for_all_builds_is_enough(tmp_path: Path):
    path = tmp_path / "params.yaml"
    path.write_text("masks: {with: {batch: 8}, on: {mall: {}}}")
    assert not set_batch(tmp_path, "masks", "mall", 8)
    assert set_batch(tmp_path, "masks", "mall", 4)
    assert path.read_text() == "masks: {with: {batch: 8}, on: {mall: {batch: 4}}}"


@pytest.mark.parametrize("build", ["again", "there"])
def test_a_mapping_that_is_others_too_is_left_alone(tmp_path: Path, build: str):
    (tmp_path / "params.yaml").write_text(PARAMS)
    with pytest.raises(ReidError, match=f"write `batch: 8` at masks.on.{build} by hand"):
        set_batch(tmp_path, "masks", build, 8)
    assert (tmp_path / "params.yaml").read_text() == PARAMS


def test_the_end_of_a_file_without_a_newline():
    text = "masks:\n  on:\n    mall:\n      dataset: mall"
    assert with_batch(text, ("masks", "on", "mall"), 2) == f"{text}\n      batch: 2\n"
