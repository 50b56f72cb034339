"""`import reid`: what it offers, what its errors say, and the wheel beside anyone's `pipeline`."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import reid
from pipeline.commands.build import make_plan
from pipeline.engine import run as engine
from tests.conftest import make_project
from tests.served import served

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = make_project(tmp_path_factory.mktemp("library") / "project")
    with contextlib.chdir(project.root):
        for stage in ("ingest", "joints", "parts"):
            engine.run(make_plan(stage, "toy", project), project, executor="local")
    return project.root / "data"


@pytest.fixture
def data(root: Path) -> reid.Data:
    return reid.open(root, "toy", ["image", "parts"])


def test_importing_it_loads_nothing_heavy():
    heavy = "{'torch', 'pyarrow', 'numpy', 'cv2', 'pydantic'}"
    code = (
        "import sys, reid\n"
        "assert {*reid.__all__} <= {*dir(reid)}\n"
        f"print(sorted({heavy} & set(sys.modules)))\n"
        "for name in reid.__all__: getattr(reid, name)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_the_version_is_the_package_s():
    assert reid.__version__.count(".") == 2
    with pytest.raises(AttributeError, match="no attribute 'opne'"):
        reid.opne  # noqa: B018


def test_built_data_sets_are_named(root: Path, tmp_path: Path):
    assert reid.datasets(root) == ["toy"]
    assert reid.datasets(str(root)) == ["toy"]
    copy = tmp_path / "data"
    shutil.copytree(root, copy)
    crops = copy / "2-derived/crops"
    for build in ("toy", "toy~truth"):
        shutil.copytree(copy / "1-shards/toy", crops / build)
        path = crops / build / "manifest.json"
        told = json.loads(path.read_text()) | {"new_rows": True}
        path.write_text(json.dumps(told))
    assert reid.datasets(copy) == ["toy", "crops/toy"], "variants are left out"
    assert len(reid.open(copy, "crops/toy")) == 72
    with pytest.raises(reid.ReidError, match="crops/toy is a data set of its own; open `crops/toy"):
        reid.open(copy, "toy", "image", {"crops": "toy"})


def test_data_sets_are_named_by_address_where_folders_are_listed(root: Path):
    pytest.importorskip("aiohttp")
    with served(root) as server:
        assert reid.datasets(server.url) == ["toy"]
    with (
        served(root, listing=False) as server,
        pytest.raises(reid.ReidError, match="1-shards: cannot be listed"),
    ):
        reid.datasets(server.url)


def test_a_data_set_shows_itself(data: reid.Data):
    assert repr(data) == "<reid.Data toy: 72 rows, 8 persons, image, parts>"
    assert repr(data.role("query")) == "<reid.Data toy: 12 rows, 4 persons, image, parts>"
    assert data.columns == [*data.rows.column_names, "image", "parts"]
    assert {*data[0]} == {*data.columns}


def test_one_column_is_named_without_a_list(root: Path):
    opened = reid.open(root, "toy", columns="image")
    assert list(opened.sources) == ["image"]
    assert opened[0]["image"].shape == (64, 32, 3)


def test_rows_from_the_end_and_slices(data: reid.Data):
    ids = data.rows["image_id"].to_pylist()
    assert data[-1]["image_id"] == ids[-1]
    assert data[np.int64(3)]["image_id"] == ids[3]
    assert data[5:9].rows["image_id"].to_pylist() == ids[5:9]
    assert data[::-10].rows["image_id"].to_pylist() == ids[::-10]
    assert len(data[72:]) == 0
    assert [row["image_id"] for row in data[-3:]] == ids[-3:]
    assert data.choose([0, -1]).rows["image_id"].to_pylist() == [ids[0], ids[-1]]
    assert len(data.choose([])) == 0
    assert len(data.choose([True, *[False] * 71])) == 1


@pytest.mark.parametrize("position", [72, -73])
def test_a_row_beyond_the_last_is_an_index_error(data: reid.Data, position: int):
    with pytest.raises(IndexError, match=rf"toy: no row {position} \(there are 72\)") as error:
        data[position]
    assert isinstance(error.value, reid.ReidError)


@pytest.mark.parametrize(
    ("action", "said"),
    [
        pytest.param(
            lambda data: data[0]["part"], "no column `part`; did you mean `parts`", id="a row"
        ),
        pytest.param(
            lambda data: data.value("imag", 0), "no column `imag`; did you mean `image`", id="cells"
        ),
        pytest.param(
            lambda data: data.values("person", [0]),
            r"no column `person`.* it is a label, read by `labels`", id="a label's values",
        ),
        pytest.param(
            lambda data: data.labels("persn"), "`persn`; did you mean `person`", id="a label"
        ),
        pytest.param(
            lambda data: data.labels("parts"), "no label `parts`.* read by `values`", id="no label"
        ),
        pytest.param(lambda data: data.role("qurey"), "did you mean `query`", id="a role"),
        pytest.param(
            lambda data: data.under("market151"), "did you mean `market1501`", id="a protocol"
        ),
        pytest.param(
            lambda data: data.choose(np.ones(5, bool)),
            r"toy: a mask of shape \(5,\); it must have a value for each of the 72 rows",
            id="a mask of another length",
        ),
        pytest.param(
            lambda data: data.choose(np.array([0.5])), "whole numbers", id="no whole number"
        ),
        pytest.param(lambda data: data["image"], "whole numbers or a mask", id="a name as a row"),
        pytest.param(lambda data: data.choose([3, 99]), r"no row 99 \(there", id="a number"),
    ],
)  # fmt: skip
def test_what_a_data_set_does_not_have_is_one_line(data: reid.Data, action, said: str):
    with pytest.raises(reid.ReidError, match=said) as error:
        action(data)
    assert "\n" not in str(error.value)


def test_a_wrong_column_of_a_row_is_a_key_error_too(data: reid.Data):
    with pytest.raises(KeyError):
        data[0]["masks"]
    assert data[0].get("masks") is None


@pytest.mark.parametrize(
    ("dataset", "columns", "builds", "said"),
    [
        pytest.param("tyo", "image", {}, "not built; did you mean `toy`", id="a data set"),
        pytest.param(
            "toy", "prats", {}, r"no column `prats` .*; did you mean `parts`", id="a column"
        ),
        pytest.param(
            "toy", "parts.prats", {}, r"; did you mean `parts.parts`", id="a column with its stage"
        ),
        pytest.param(
            "toy", "parts", {"partz": "toy"},
            r"builds: no built stage `partz`; did you mean `parts`", id="a stage of builds",
        ),
        pytest.param(
            "toy", "parts", {"parts": "tyo"},
            r"no build of parts `tyo`; did you mean `toy`", id="a build",
        ),
        pytest.param(
            "toy", "image", {"partz": "toy"}, "no built stage `partz`", id="a build not asked for"
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_opened_names_the_nearest(root, dataset, columns, builds, said: str):
    with pytest.raises(reid.ReidError, match=said) as error:
        reid.open(root, dataset, columns, builds)
    assert "\n" not in str(error.value)


def test_a_build_of_another_data_set_is_refused(root: Path, tmp_path: Path):
    copy = tmp_path / "data"
    shutil.copytree(root, copy)
    path = copy / "2-derived/parts/toy/manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"dataset": "other"}))
    with pytest.raises(reid.ReidError, match="builds: parts/toy is of other, not of toy"):
        reid.open(copy, "toy", "image", {"parts": "toy"})


def test_a_loader_takes_rows_without_a_transform(root: Path, monkeypatch: pytest.MonkeyPatch):
    import torch
    from torch.utils.data import DataLoader

    data = reid.open(root, "toy", ["image", "parts"])
    assert data[0]["viewpoint"] is None
    batch = next(iter(DataLoader(data.torch(), batch_size=4)))  # type: ignore[arg-type]
    assert batch["image"].shape == (4, 64, 32, 3)
    assert batch["parts"].shape == (4, 5, 4)
    assert batch["viewpoint"].tolist() == [-1] * 4
    assert batch["person"].tolist() == data.labels("person")[:4].tolist()
    assert batch["image_id"] == data.rows["image_id"].to_pylist()[:4]
    assert batch["train"].dtype == torch.bool
    monkeypatch.setattr(reid.Data, "_cells", lambda self, column, rows: [None] * len(rows))
    blank = data.torch()[0]
    assert blank["image"].shape == (0, 0, 3)
    np.testing.assert_array_equal(blank["parts"], np.full((5, 4), -1, np.float32))


def test_labels_without_a_value_are_minus_one(data: reid.Data):
    assert data.labels("viewpoint").tolist() == [-1] * 72


TYPED = """\
import reid

data = reid.open("data", "street", columns="image")
row = data[-1]
reveal_type(row["image_id"])
reveal_type(row["person"])
reveal_type(row["image"])
reveal_type(row["parts"])
reveal_type(row["joints.joints_score"])
reveal_type(data[:3])
reveal_type(reid.datasets("data"))
reveal_type(reid.__version__)
"""


def test_pyright_sees_the_types_of_a_row(tmp_path: Path):
    program = shutil.which("pyright")
    if program is None:
        pytest.skip("pyright is not installed")
    (tmp_path / "reid").symlink_to(ROOT / "reid")
    path = tmp_path / "script.py"
    path.write_text(TYPED)
    run = subprocess.run([program, "--outputjson", str(path)], capture_output=True, text=True)
    told = json.loads(run.stdout)["generalDiagnostics"]
    assert [t["message"] for t in told if t["severity"] == "error"] == []
    types = [t["message"].rpartition(' is "')[2].rstrip('"') for t in told]
    image, parts = types[2:4]
    assert types[:2] == ["str", "int"]
    assert image.startswith("ndarray")
    assert parts.startswith("ndarray")
    assert parts.endswith("| None")
    assert types[4:] == ["Any", "Data", "list[str]", "str"]


SCRIPT = """\
import sys
import reid
assert "site-packages" not in reid.__file__ and "wheel" in reid.__file__, reid.__file__
assert not {name for name in sys.modules if name.split(".")[0] == "pipeline"}
import pipeline
assert pipeline.MINE
from torch.utils.data import DataLoader
from reid.data.samplers import Shuffle
root = sys.argv[1]
assert reid.datasets(root) == ["toy"]
data = reid.open(root, "toy", ["image", "parts"]).role("train")
print(reid.__version__, len(data), data[-1]["image"].shape)
if __name__ == "__main__":
    batch = next(iter(DataLoader(data.torch(), batch_size=4, num_workers=1)))
    print(tuple(batch["image"].shape))
    loader = reid.StatefulLoader(data.torch(), Shuffle(len(data), 6, 0))
    print(sum(len(batch["person"]) for batch in loader), loader.state_dict()["epoch"])
"""


def package_source(folder: Path) -> Path:
    """A copy of what a wheel is built from: a build writes beside it."""
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("reid", "pipeline"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    return source


def test_type_checkers_follow_the_editable_install(tmp_path: Path):
    """As `make install` makes it: its .pth file is a path, no import hook; they see none."""
    source = package_source(tmp_path)
    build = "import sys; from setuptools import build_meta; build_meta.build_editable(sys.argv[1])"
    subprocess.run(
        [sys.executable, "-c", build, str(tmp_path)], cwd=source, check=True, capture_output=True
    )
    with zipfile.ZipFile(next(tmp_path.glob("reid_pipeline-*.whl"))) as wheel:
        paths = [wheel.read(name).decode() for name in wheel.namelist() if name.endswith(".pth")]
    assert [Path(path.strip()) for path in paths] == [source]


@pytest.mark.slow
def test_the_wheel_works_beside_anyone_s_pipeline(root: Path, tmp_path: Path):
    """Built from a copy, unpacked; the script's folder has a pipeline.py and a pipeline/ folder."""
    source = package_source(tmp_path)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    build += ["--no-index", "--disable-pip-version-check", "-w", str(tmp_path), "."]
    subprocess.run(build, cwd=source, check=True, capture_output=True)
    unpacked = tmp_path / "wheel"
    with zipfile.ZipFile(next(tmp_path.glob("reid_pipeline-*.whl"))) as wheel:
        wheel.extractall(unpacked)
    for folder in ("pipeline/backends/world_weights", "reid/nn/world_trunks"):
        weights = {path.name for path in (ROOT / folder).iterdir()}
        assert {path.name for path in (unpacked / folder).iterdir()} == weights
    assert (unpacked / "reid/report/templates/report.html").is_file()
    assert (unpacked / "reid/py.typed").is_file()
    theirs = tmp_path / "theirs"
    (theirs / "pipeline").mkdir(parents=True)
    (theirs / "pipeline/__init__.py").write_text("MINE = 'folder'\n")
    (theirs / "pipeline.py").write_text("MINE = 'file'\n")
    script = theirs / "script.py"
    script.write_text(SCRIPT)
    libraries = next(path for path in sys.path if path.endswith("site-packages"))
    done = subprocess.run(
        [sys.executable, "-S", str(script), str(root)],  # -S: no .pth file, so not this checkout
        cwd=theirs, env={"PYTHONPATH": f"{unpacked}:{libraries}", "PATH": ""},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"{reid.__version__} 36 (64, 32, 3)", "(4, 64, 32, 3)", "36 1",
    ]  # fmt: skip


def test_a_pipeline_of_the_folder_that_hides_the_command_s_is_one_line(tmp_path: Path):
    (tmp_path / "pipeline.py").write_text("MINE = 'file'\n")
    done = subprocess.run(
        [sys.executable, "-m", "reid", "--version"],
        cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": ""}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("reid: this folder's own `pipeline` hides the command's")
    assert len(done.stderr.splitlines()) == 1
