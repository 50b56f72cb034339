"""Entries out of params.yaml: what goes along, what is refused, and that nothing else is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.builds.add_dataset import wanted
from pipeline.builds.params_edit import with_entries
from pipeline.builds.remove import remove
from pipeline.datasets import READERS
from reid.project.errors import ReidError
from reid.project.params import load
from tests.copies import ROOT

WORLDS = ("street", "mall", "topview", "hall")
FURTHER = """\
run: {workers: 0} # kept
ingest:
  on:
    # the first one
    mine: # of mine
      reader: folder
    # the second one
    mine-2:
      reader: folder # its reader
parts:
  with: {}
  on:
    mine:
      dataset: mine # rows
      beta: 0.1
    shared:
      dataset: mine

strong_baseline: # the end
  scale:
    mine: &size
      epochs: 3 # few
  on:
    mine-strong:
      dataset: mine
    tuned:
      dataset: mine # by hand
    mine-2-strong:
      dataset: mine-2
      weights: data/3-runs/tuned/train/model.safetensors
# below
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    return tmp_path


def text(root: Path) -> str:
    return (root / "params.yaml").read_text()


@pytest.mark.parametrize("reader", READERS)
def test_what_was_added_goes_without_a_trace(root, reader):
    before = load(root)
    entries = wanted("mine", reader, "mmpose", "")
    (root / "params.yaml").write_text(with_entries(root / "params.yaml", before, entries))
    added = text(root)
    lines = remove(root, ["mine"])
    assert {*lines[0].removeprefix("params.yaml: took out ").split(", ")} == {*map(str, entries)}
    assert load(root) == before
    kept = set(text(root).splitlines())
    assert {line for line in added.splitlines() if "#" in line and line not in kept} <= {
        line for line in added.splitlines() if "#" in line and "measured: 99 in 100" in line
    } | {line for line in added.splitlines() if "the literal sum of 16 frames" in line}


def test_all_worlds_go_and_every_section_is_left_as_dvc_reads_it(root):
    remove(root, WORLDS)
    for name, section in load(root).items():
        if name not in ("run", "accuracy"):
            assert section["on"] == {}
            assert section.get("scale", {}) == {}
            assert "with" in section
    comments = [line for line in (ROOT / "params.yaml").read_text().splitlines() if line[:1] == "#"]
    assert comments == [line for line in text(root).splitlines() if line[:1] == "#"]


def test_one_world_takes_nothing_of_the_others(root):
    before = load(root)
    remove(root, ["street"])
    after = load(root)
    assert "joints-street" not in after["accuracy"]["on"]
    for section, values in before.items():
        for group in ("on", "scale") if section != "run" else ():
            left = {k: v for k, v in values.get(group, {}).items() if "street" not in k}
            assert (after[section].get(group) or {}) == left, section


def test_comments_of_others_stay(root):
    (root / "params.yaml").write_text(FURTHER)
    lines = remove(root, ["mine", "tuned", "mine-2-strong", "parts/shared"])
    assert "strong_baseline.scale.mine" in lines[0]
    assert text(root) == (
        "run: {workers: 0} # kept\n"
        "ingest:\n  on:\n    # the first one\n    # the second one\n    mine-2:\n"
        "      reader: folder # its reader\n"
        "parts:\n  with: {}\n  on: {}\n\n"
        "strong_baseline: # the end\n  scale: {}\n  on: {}\n# below\n"
    )


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["mine"], r"mine: parts.on.shared and strong_baseline.on.tuned would lack what goes; to "
         r"remove them too: reid remove mine parts/shared tuned"),
        (["tuned"], r"tuned: strong_baseline.on.mine-2-strong would lack"),
        (["mine", "tuned", "parts/shared"], r"strong_baseline.on.mine-2-strong would lack"),
        (["mien"], r"no data set, build or experiment `mien`; did you mean `mine`"),
    ],
)  # fmt: skip
def test_what_others_read_stays(root, names, said):
    (root / "params.yaml").write_text(FURTHER)
    with pytest.raises(ReidError, match=said):
        remove(root, names)
    assert text(root) == FURTHER


def test_given_labels_of_a_world_and_crops_of_it_are_read_too(root):
    with pytest.raises(ReidError, match=r"crops/topview: jet.on.topview-crops and multimodal_att"):
        remove(root, ["crops/topview"])
    changed = text(root).replace(
        "    street:\n      dataset: street\n      backend: mmpose",
        "    other:\n      backend: given\n      path: data/0-raw/hall.truth\n"
        "    street:\n      dataset: street\n      backend: mmpose",
    )
    (root / "params.yaml").write_text(changed)
    with pytest.raises(ReidError, match=r"hall: joints.on.other would lack what goes"):
        remove(root, ["hall"])


@pytest.mark.parametrize(
    "layout",
    [
        "ingest: {on: {mine: {reader: folder}, b: {reader: folder}}}\n",
        "ingest:\n  on:\n    mine: &a\n      reader: folder\n    b: *a\n",
    ],
)
def test_an_odd_layout_is_left_to_its_user(root, layout):
    (root / "params.yaml").write_text(layout)
    with pytest.raises(ReidError, match=r"cannot be edited; take out ingest.on.mine by hand"):
        remove(root, ["mine"])
    assert text(root) == layout


def test_what_stays_on_disk_is_said_with_the_command_that_removes_it(root, monkeypatch):
    images = root / "images"
    images.mkdir()
    (root / "data/0-raw").mkdir(parents=True)
    (root / "data/0-raw/street").symlink_to(images)
    (root / "data/3-runs/street-baseline").mkdir(parents=True)
    monkeypatch.chdir(root)
    lines = remove(Path(), ["street"])
    assert lines[1:] == [
        "stays on disk: data/0-raw/street, data/3-runs/street-baseline",
        f"data/0-raw/street: a link to {images}, which is not touched",
        "to remove it: rm -r data/0-raw/street data/3-runs/street-baseline && reid gc",
    ]
    assert YAML(typ="safe", pure=True).load(text(root))["world"]["on"].keys() == {*WORLDS[1:]}


def test_a_ring_of_builds_has_an_end(tmp_path):
    text = "crops:\n  on:\n    a: {dataset: crops/b}\n    b: {dataset: crops/a}\n    c: {}\n"
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ReidError, match=r"to remove them too: reid remove crops/a crops/b"):
        remove(tmp_path, ["crops/a"])
    remove(tmp_path, ["crops/a", "crops/b"])
    assert list(load(tmp_path)["crops"]["on"]) == ["c"]
