"""Crowds that no world shares a person with, and trunks that are fitted to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from ruamel.yaml import YAML

from pipeline.fit import crowd, people, trunk
from reid import experiments
from reid.arrays.images import decode
from reid.nn.weights import fits_of
from reid.papers import PAPERS, paper_of
from reid.papers.pretraining import FOLDER, file_of
from reid.project import params as parameters
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.training.pretrain import pretraining_of
from tests.reid.papers.tiny import TINY
from tests.reid.training.test_pretrain import make_folder

ROOT = Path(__file__).parents[3]
PRETRAINED = [name for name in PAPERS if paper_of(name).method().pretraining]
SHIPPED = sorted(path.stem for path in FOLDER.glob("*.safetensors"))


@pytest.mark.parametrize("name", crowd.CROWDS)
def test_a_crowd_has_a_thousand_persons_that_no_world_has(name: str):
    everybody = crowd.persons_of(name)
    assert len(set(everybody)) == len(everybody) >= 1000
    seeds = [crowd.scene_of(view, place).seed for view, place in {p[:2] for p in everybody}]
    assert len(set(seeds)) == len(seeds)  # a person's looks are drawn from its scene's seed
    assert min(seeds) >= crowd.SEEDS > people.SEEDS
    for file in ("params.yaml", "tests/claims/params.yaml"):
        worlds = YAML(typ="safe").load(ROOT / file)["world"]
        for world in worlds["on"].values():
            assert {**worlds["with"], **world}.get("seed", 1) < people.SEEDS


@pytest.mark.parametrize("view", ["street", "topview"])
def test_a_person_is_seen_in_several_passes(view: str):
    images = dict(crowd.images_of((view, 0, next(iter(crowd._passes(view, 0))))))
    cameras = {name.partition("-")[0] for name in images}
    assert len(cameras) == {"street": 3, "topview": 2}[view]
    assert all(decode(image).shape[2] == 3 for image in images.values())
    depth = {name for name in images if name.endswith("-depth.png")}
    assert len(depth) == (len(images) / 2 if view == "topview" else 0)


def test_a_crowd_is_rendered_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    everybody = [("hall", 0, 1), ("hall", 0, 2)]
    monkeypatch.setattr(crowd, "persons_of", lambda name: everybody)
    root = crowd.render(tmp_path, "upright", 1)
    files = {path: path.stat().st_mtime_ns for path in root.glob("*/*.*")}
    assert {path.parent.name for path in files} == {"hall-0-001", "hall-0-002"}
    assert crowd.render(tmp_path, "upright", 1) == root
    assert {path: path.stat().st_mtime_ns for path in root.glob("*/*.*")} == files


@pytest.mark.parametrize("paper", PRETRAINED)
def test_a_trunk_begins_a_training_of_its_own_network_alone(
    paper: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    root = make_folder(tmp_path)
    monkeypatch.setattr(crowd, "render", lambda *_: root)
    tiny = {k: list(v) if isinstance(v, tuple) else v for k, v in TINY[paper].items()}
    YAML().dump({paper: {"scale": {"tiny": tiny}}}, tmp_path / "params.yaml")
    path = trunk.fit_trunk(paper, Project(tmp_path), "tiny", out=tmp_path, epochs=1, device="cpu")
    assert set(fits_of(path)) == set(pretraining_of(paper_of(paper)).fits)
    values = {**TINY[paper], "weights": str(path)}
    params = paper_of(paper).params.model_validate(values)
    network, scratch = (_built(paper, params, w) for w in (str(path), ""))
    assert any(not torch.equal(network[name], scratch[name]) for name in scratch)
    name = "channels" if "channels" in values else "width_scale"
    other = {"channels": (8, 8, 8, 12), "width_scale": 0.5}[name]
    with pytest.raises(ReidError, match=rf"fits .*{name} .*use '', or fit your own by `reid fit-"):
        _built(paper, params.model_copy(update={name: other}), str(path))


@pytest.mark.parametrize("paper", PRETRAINED)
def test_a_fit_begins_from_nothing_also_where_its_scale_names_weights(
    paper: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    class Reached(Exception):
        """The crowd is about to be rendered."""

    def rendered(*_: Any) -> Path:
        raise Reached

    monkeypatch.setattr(crowd, "render", rendered)
    tiny = {k: list(v) if isinstance(v, tuple) else v for k, v in TINY[paper].items()}
    YAML().dump({paper: {"scale": {"tiny": {**tiny, "weights": "gone"}}}}, tmp_path / "params.yaml")
    with pytest.raises(Reached):
        trunk.fit_trunk(paper, Project(tmp_path), "tiny", out=tmp_path)


def test_a_device_that_is_not_there_is_refused_before_a_crowd_is_rendered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(crowd, "render", lambda *_: pytest.fail("a crowd is rendered"))
    tiny = {k: list(v) if isinstance(v, tuple) else v for k, v in TINY["attention_driven"].items()}
    YAML().dump({"attention_driven": {"scale": {"tiny": tiny}}}, tmp_path / "params.yaml")
    with pytest.raises(ReidError, match="torch finds no CUDA device"):
        trunk.fit_trunk("attention_driven", Project(tmp_path), "tiny", out=tmp_path, device="cuda")


def test_a_network_that_cannot_be_built_is_refused_before_a_crowd_is_rendered(tmp_path: Path):
    tiny = {"backbone": "nosuch", "weights": ""}
    YAML().dump({"implicit_attention": {"scale": {"tiny": tiny}}}, tmp_path / "params.yaml")
    with pytest.raises(ReidError, match="nosuch"):
        trunk.fit_trunk("implicit_attention", Project(tmp_path), "tiny", out=tmp_path)
    assert not (tmp_path / ".work").exists()


def _built(paper: str, params: Any, weights: str) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    params = params.model_copy(update={"weights": weights})
    return paper_of(paper).method().build(params, 3).state_dict()


@pytest.mark.parametrize("paper", SHIPPED)
def test_what_is_shipped_begins_every_row_of_the_demo(paper: str):
    loaded = parameters.load(ROOT)
    path = Path(file_of("world", paper))
    for name in parameters.section(loaded, paper, "on"):
        params = experiments.load(Project(ROOT), name).params
        started, scratch = (_built(paper, params, weights) for weights in ("world", ""))
        changed = [n for n in scratch if not torch.equal(started[n], scratch[n])]
        assert len(changed) > len(scratch) / 3
    assert paper_of(paper).weights(params.model_copy(update={"weights": "world"}))[0] == str(path)


# an SE-ResNet has layers that no trunk shipped has
OTHER_NETWORKS = {"mutual_attention": {"squeeze_excitation"}}


@pytest.mark.parametrize("paper", SHIPPED)
def test_what_is_shipped_begins_every_row_of_the_tables(paper: str):
    """At the demo's scale, and each switch of the part network that no row has by itself."""
    loaded = parameters.load(ROOT)
    ((name, scale),) = list(parameters.section(loaded, paper, "scale").items())[:1]
    rows = [r.overrides for t in paper_of(paper).tables.values() for r in t.rows if r.overrides]
    rows += [{"inter_global": True}] if paper == "attention_driven" else []
    chosen = [row for row in rows if not row.keys() & OTHER_NETWORKS.get(paper, set())]
    for row in {str(row): row for row in chosen}.values():
        values = {**scale, **row, "dataset": name, "weights": "world"}
        params = experiments.params_model(paper).model_validate(values)
        paper_of(paper).method().build(params, 3)


def test_what_is_shipped_is_small_and_has_a_card():
    card = (FOLDER / "README.md").read_text("utf-8")
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 12e6
    assert all(f"`{name}`" in card for name in SHIPPED)
    assert SHIPPED
