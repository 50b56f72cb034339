"""What is said of images: a rendered world is never called the data set that it imitates."""

import json
import shutil
from pathlib import Path

import pytest

from pipeline.commands.build import make_plan
from pipeline.datasets import market1501, reader
from pipeline.datasets.image_source import FILE, LICENCE, image_source, rendered_file
from pipeline.engine import run as engine
from pipeline.world.build import build_world
from pipeline.world.scenes import street
from reid.export.market_folder import write_tree
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.shards.manifest import manifest_of
from tests.conftest import make_project

INFO = vars(reader("market1501").info)
REAL = (INFO["citation"], INFO["where"], INFO["licence"])
STAGES = {
    "ingest": "1-shards/toy",
    "joints": "2-derived/joints/toy",
    "crops": "2-derived/crops/toy",
}
CROPS = "crops: {on: {toy: {backend: given, path: boxes.csv}}}\n"


def build(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ingest the raw folder, joints beside its rows, and crops as a data set of its own."""
    monkeypatch.chdir(project.root)
    params = Path("params.yaml")
    params.write_text(params.read_text() + CROPS)
    ids = (line.split(",")[0] for line in Path("joints.csv").read_text().splitlines()[1:])
    boxes = "".join(f"{image_id},2,2,30,60\n" for image_id in ids)
    Path("boxes.csv").write_text(f"image_id,x1,y1,x2,y2\n{boxes}")
    home = Project(Path())
    for stage in STAGES:
        engine.run(make_plan(stage, "toy", home), home, executor="local")


def told(project: Project) -> list[tuple[dict, str]]:
    """The source that each manifest says, and the card beside it."""
    folders = [project.root / "data" / below for below in STAGES.values()]
    return [(manifest_of(f, "")["source"], (f / "README.md").read_text()) for f in folders]


def test_photographs_keep_their_source_licence_and_citation(tmp_path, monkeypatch):
    project = make_project(tmp_path / "p", persons=4)
    build(project, monkeypatch)
    for source, card in told(project):
        assert source == {"kind": "photographs", **{n: INFO[n] for n in source if n != "kind"}}
        assert all(text in card for text in REAL)
    protocol = json.loads((project.shards("toy") / "protocol.json").read_text())
    assert protocol["protocols"][0]["published"] == INFO["published"]
    assert "Other than published" in told(project)[0][1]


@pytest.mark.parametrize("linked", ["", "whole", "inner"])
def test_a_rendered_world_says_so_in_all_that_is_built_of_it(tmp_path, monkeypatch, linked):
    project = make_project(tmp_path / "p", persons=4)
    raw = project.raw("toy")
    (raw / FILE).write_bytes(rendered_file("avenue", "street", "market1501"))
    if linked:
        far = tmp_path / "far/avenue"
        far.parent.mkdir()
        shutil.move(raw, far)
        if linked == "inner":  # the layout's own folder inside of the world's
            inner = far / "Market-1501-v15.09.15"
            inner.mkdir()
            for name in ("bounding_box_train", "bounding_box_test", "query"):
                shutil.move(far / name, inner / name)
            far = inner
        raw.symlink_to(far)
    build(project, monkeypatch)
    for source, card in told(project):
        assert source["kind"] == "rendered"
        assert source["scene"] == "street"
        assert source["layout"] == "market1501"
        assert source["licence"] == LICENCE
        assert "citation" not in source
        assert "no person is in it" in card
        assert "Rendered world avenue: scene street, in the layout of Market-1501" in card
        assert f"Licence: {LICENCE}." in card
        assert not any(text in card for text in REAL)
        assert "Other than published" not in card
    protocol = json.loads((project.shards("toy") / "protocol.json").read_text())
    assert protocol["protocols"][0]["published"] == {}
    tree = write_tree(Project(Path()), "toy", tmp_path / "tree")
    assert any("Rendered world avenue" in note for note in tree.notes)
    assert "Rendered world avenue" in (tmp_path / "tree/README.md").read_text()


def test_a_world_without_the_file_is_known_by_its_truth(tmp_path):
    (tmp_path / "avenue").mkdir()
    assert image_source(tmp_path / "avenue", INFO)["kind"] == "photographs"
    (tmp_path / "avenue.truth").mkdir()
    source = image_source(tmp_path / "avenue", INFO)
    assert (source["kind"], source["scene"]) == ("rendered", "unknown")
    assert not any(text in str(source) for text in REAL)


def test_a_folder_of_one_s_own_is_not_called_photographs(tmp_path):
    own = vars(reader("folder").info)
    assert image_source(tmp_path, own)["kind"] == "own images"
    (tmp_path / FILE).write_bytes(rendered_file("avenue", "street", "folder"))
    assert image_source(tmp_path, own)["kind"] == "rendered"


def test_shards_of_a_rendered_world_are_those_of_equal_photographs(tmp_path, monkeypatch):
    """What is said of the images is beside the rows, not in them: no key and no byte changes."""
    project = make_project(tmp_path / "p", persons=4)
    monkeypatch.chdir(project.root)
    home, keys = Project(Path()), []
    for rendered in (False, True):
        if rendered:
            (project.raw("toy") / FILE).write_bytes(rendered_file("toy", "street", "market1501"))
        keys.append([task.key for task in make_plan("ingest", "toy", home).tasks])
    assert keys[0] == keys[1]


def test_the_world_stage_writes_what_ingest_reads(tmp_path):
    scene = street.Params(train_identities=1, test_identities=1, images_min=2, images_max=2,
                          cameras=2, height=32, width=16, camera_share=1)  # fmt: skip
    build_world("avenue", scene, "market1501", tmp_path, workers=1)
    source = image_source(tmp_path / "avenue", INFO)
    assert source["kind"] == "rendered"
    assert (source.get("scene"), source.get("layout")) == ("street", "market1501")
    assert market1501.read(tmp_path / "avenue").rejects == []


def test_a_broken_file_is_one_line(tmp_path):
    (tmp_path / FILE).write_text('{"world": 3}')
    with pytest.raises(ReidError, match=f"{FILE}: `world`: .* not 3"):
        image_source(tmp_path, INFO)
