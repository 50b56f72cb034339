"""Another DVC project takes a built data set from this one's repository and trains on it."""

from __future__ import annotations

import contextlib
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML

import reid
from pipeline.commands.build import make_plan
from pipeline.engine import run as engine
from reid.project.errors import ReidError
from tests.conftest import make_project
from tests.pages import fences
from tests.test_flow import dvc

ROOT = Path(__file__).parent.parent
BUILT = ("data/1-shards/toy", "data/2-derived/parts/toy")
TAG = "toy@v1.0.0"
DVC_YAML = """\
artifacts:
  toy: {path: data/1-shards/toy, type: dataset, desc: persons as colour patterns, labels: [tiny]}
"""


def git(*arguments: str, cwd: Path) -> None:
    who = ["-c", "user.name=tests", "-c", "user.email=tests@localhost"]
    subprocess.run(["git", *who, *arguments], cwd=cwd, check=True, capture_output=True)


def new_project(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    git("init", "-q", cwd=root)
    dvc("init", "-q", cwd=root)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with built folders in its DVC cache, and one release by a tag."""
    project = make_project(tmp_path_factory.mktemp("dvc") / "first")
    with contextlib.chdir(project.root):
        for stage in ("ingest", "joints", "parts"):
            engine.run(make_plan(stage, "toy", project), project, executor="local")
    new_project(project.root)
    (project.root / "dvc.yaml").write_text(DVC_YAML)
    dvc("add", *BUILT, cwd=project.root)
    files = [f"{path}.dvc" for path in BUILT]
    git("add", "dvc.yaml", ".dvc", *files, cwd=project.root)
    git("commit", "-q", "-m", "toy", cwd=project.root)
    git("tag", "-a", TAG, "-m", "first release", cwd=project.root)
    return project.root


@pytest.fixture(scope="module")
def second(first: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("dvc") / "second"
    new_project(root)
    return root


def trained(data: reid.Data) -> list[float]:
    """The losses of ten steps of a linear network on the training rows."""
    torch.manual_seed(0)
    rows = data.role("train")
    classes = {person: n for n, person in enumerate(sorted(set(rows.labels("person").tolist())))}
    network = torch.nn.Linear(64 * 32 * 3, len(classes))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    losses = []
    for _ in range(10):
        samples = [rows[i] for i in range(0, len(rows), 3)]
        images = torch.from_numpy(np.stack([row["image"] for row in samples])).float() / 255
        labels = torch.tensor([classes[row["person"]] for row in samples])
        loss = torch.nn.functional.cross_entropy(network(images.flatten(1)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.slow
def test_an_imported_folder_trains_a_network(first: Path, second: Path):
    (second / "data/1-shards").mkdir(parents=True)
    dvc("import", str(first), BUILT[0], "-o", BUILT[0], cwd=second)
    assert YAML(typ="safe").load(second / f"{BUILT[0]}.dvc")["deps"][0]["repo"]["url"] == str(first)
    losses = trained(reid.open(second / "data", "toy"))
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.slow
def test_a_folder_is_got_at_a_version_of_its_artifact(first: Path, tmp_path: Path):
    dvc("get", str(first), BUILT[0], "--rev", TAG, "-o", "data/1-shards/toy", cwd=tmp_path)
    assert len(reid.open(tmp_path / "data", "toy")) == 72
    there = tmp_path / "by-name/1-shards/toy"
    dvc("artifacts", "get", str(first), "toy", "--rev", "v1.0.0", "-o", str(there), cwd=tmp_path)
    assert len(reid.open(tmp_path / "by-name", "toy")) == 72


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # DVC's own libraries'
def test_dvc_s_file_system_is_opened_directly(first: Path):
    api = pytest.importorskip("dvc.api")
    local = reid.open(first / "data", "toy", ["image", "parts"])
    for rev in (None, TAG):
        files = api.DVCFileSystem(str(first), rev=rev)
        remote = reid.open("/data", "toy", ["image", "parts"], filesystem=files)
        assert remote.rows.equals(local.rows)
        for position in (0, 40, 71):
            np.testing.assert_equal(remote[position], local[position])
    assert trained(remote) == trained(local)
    loader = torch.utils.data.DataLoader(
        remote.torch(), batch_size=8, num_workers=1, collate_fn=list, multiprocessing_context="fork"
    )
    ids = [row["image_id"] for batch in loader for row in batch]
    assert ids == local.rows["image_id"].to_pylist()
    with pytest.raises(ReidError, match=r"/data/1-shards/tay: no manifest.json"):
        reid.open("/data", "tay", filesystem=files)


@pytest.mark.slow
def test_the_page_s_lines_run_in_an_empty_project(first: Path, tmp_path: Path):
    """As docs/consumers.md writes them; only the address and the data set's name are others."""
    (block,) = [fence.text for fence in fences("sh") if "dvc import" in fence.text]
    text = block.replace("https://github.com/you/repository", str(first)).replace("street", "toy")
    new_project(tmp_path / "empty")
    for line in text.splitlines():
        program, *rest = shlex.split(line, comments=True)
        if program == "dvc":
            dvc(*rest, cwd=tmp_path / "empty")
        else:
            subprocess.run([program, *rest], cwd=tmp_path / "empty", check=True)
    taken = reid.open(tmp_path / "empty/data", "toy", ["image", "parts"])
    assert taken[0]["parts"] is not None
    assert (tmp_path / "empty/toy/manifest.json").is_file()


@pytest.mark.slow
def test_this_project_s_artifacts_are_read_by_dvc(second: Path):
    from dvc.repo import Repo

    flow = YAML(typ="safe").load(ROOT / "dvc.yaml")
    with (second / "dvc.yaml").open("w") as file:
        YAML().dump({"artifacts": flow["artifacts"]}, file)
    artifacts = Repo(str(second)).artifacts.read()["dvc.yaml"]
    assert set(artifacts) == set(flow["artifacts"])
    many = [stage["do"] for stage in flow["stages"].values() if "foreach" in stage]
    built = {out for stage in many for out in stage.get("outs", []) if isinstance(out, str)}
    for name, artifact in artifacts.items():
        assert artifact.type in ("dataset", "model"), name
        assert artifact.desc, name
        assert artifact.labels, name
        folder = str(Path(artifact.path).parent)
        assert f"{folder}/${{key}}" in built, f"{name}: no stage makes {artifact.path}"
