"""Data never runs: nothing is unpickled or evaluated, and the report escapes what it shows."""

from __future__ import annotations

import ast
import contextlib
import csv
import html.parser
import io
import pickle
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.commands.build import run_stage
from reid.arrays import images
from reid.project import params
from reid.project.errors import ReidError
from reid.shards.folder import Shard
from tests.browser import CHROMIUM, WITHOUT, browser
from tests.soak.cases import snapshot
from tests.soak.contents_of_files import CANARY, Payload

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
ROOT = Path(__file__).parent.parent
CALLS = {  # what could run code of a file, and what makes a call of it harmless
    "pickle.load": None, "pickle.loads": None, "pickle.Unpickler": None, "marshal.loads": None,
    "marshal.load": None, "shelve.open": None, "joblib.load": None, "dill.load": None,
    "os.system": None, "os.popen": None, "eval": None, "exec": None, "torch.load": "weights_only",
    "np.load": "allow_pickle", "numpy.load": "allow_pickle", "yaml.load": None,
    "yaml.unsafe_load": None, "yaml.full_load": None,
}  # fmt: skip
HARMLESS = {"weights_only": True, "allow_pickle": False}
ALLOWED = {  # (file, function, call): why
    ("reid/nn/weights.py", "_load", "torch.load"):
        "full unpickling only where params.yaml says `trusted: true`",
    ("pipeline/backends/checkpoints.py", "_load_arrays", "pickle.Unpickler"):
        "the same; else ArrayUnpickler, which knows NumPy's arrays alone",
    ("reid/shards/remote.py", "system", "pickle.loads"):
        "a file system object of this process, pickled in the same line",
    ("pipeline/builds/params_edit.py", "with_entries", "yaml.load"):
        "ruamel's YAML(), which makes no objects",
}  # fmt: skip


class Calls(ast.NodeVisitor):
    """Calls that could run code, by (function, call)."""

    def __init__(self) -> None:
        self.inside: list[str] = []
        self.found: list[tuple[str, str]] = []

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self.inside.append(node.name)
        self.generic_visit(node)
        self.inside.pop()

    def visit_IfExp(self, node: ast.IfExp) -> None:  # (pickle.Unpickler if trusted else ...)(file)
        self._note(ast.unparse(node.body))
        self._note(ast.unparse(node.orelse))
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = ast.unparse(node.func)
        given = {k.arg: k.value for k in node.keywords}
        key = CALLS.get(name)
        value = given.get(key) if key else None
        if not (isinstance(value, ast.Constant) and value.value is HARMLESS[str(key)]):
            self._note(name)
        shell = given.get("shell")
        if shell is not None and ast.unparse(shell) != "False":
            self.found.append((self._where(), f"{name}(shell=...)"))
        if name == "YAML" and ast.unparse(given.get("typ", ast.Constant("rt"))) == "'unsafe'":
            self.found.append((self._where(), "YAML(typ='unsafe')"))
        self.generic_visit(node)

    def _note(self, name: str) -> None:
        if name in CALLS:
            self.found.append((self._where(), name))

    def _where(self) -> str:
        return self.inside[-1] if self.inside else ""


def calls_in(text: str) -> list[tuple[str, str]]:
    visitor = Calls()
    visitor.visit(ast.parse(text))
    return visitor.found


def test_nothing_in_the_source_could_run_code_of_a_file():
    calls = {
        (path.relative_to(ROOT).as_posix(), *call)
        for top in ("pipeline", "reid")
        for path in sorted((ROOT / top).rglob("*.py"))
        for call in calls_in(path.read_text("utf-8"))
    }
    assert calls - set(ALLOWED) == set()
    assert set(ALLOWED) - calls == set(), "no longer there; take it off the list"


@pytest.mark.parametrize(
    "text",
    [
        "pickle.load(file)", "torch.load(path)", "torch.load(path, weights_only=False)",
        "np.load(path)", "np.load(path, allow_pickle=True)", "eval(text)", "exec(text)",
        "subprocess.run(line, shell=True)", "subprocess.run(line, shell=flag)", "os.system(line)",
        "yaml.load(text)", "YAML(typ='unsafe')", "(pickle.Unpickler if x else y)(file)",
    ],
)  # fmt: skip
def test_the_scan_finds(text: str):
    assert calls_in(text)


@pytest.mark.parametrize(
    "text",
    ["torch.load(path, weights_only=True)", "np.load(path, allow_pickle=False)", "model.eval()",
     "YAML(typ='safe')", "subprocess.run([line])"],
)  # fmt: skip
def test_the_scan_lets_pass(text: str):
    assert calls_in(text) == []


# ------------------------------------------------------------------------------ files that would


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder in which no canary file may appear."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert not (tmp_path / CANARY).exists(), "code of the file was run"


def test_the_payload_is_live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    pickle.loads(pickle.dumps(Payload()))
    assert (tmp_path / CANARY).exists()


def torch_file(path: Path) -> None:
    import torch

    torch.save({"model": Payload(), "network": Payload(), "done": {}}, path)


def pickle_file(path: Path) -> None:
    path.write_bytes(pickle.dumps({"model": Payload()}, protocol=2))  # as torch writes


def numpy_file(path: Path) -> None:
    out = io.BytesIO()
    np.save(out, np.array([Payload()], object), allow_pickle=True)
    with zipfile.ZipFile(path, "w") as archive:
        for role in ("query", "gallery"):
            for name in ("feature", "person", "camera"):
                archive.writestr(f"{role}_{name}.npy", out.getvalue())


@pytest.mark.parametrize("ending", [".pth", ".pt", ".pkl", ".ckpt"])
@pytest.mark.parametrize("write", [torch_file, pickle_file])
def test_weights_of_outside_models_run_nothing(here: Path, ending: str, write: Callable):
    pytest.importorskip("torch")
    from pipeline.backends.checkpoints import load_state

    path = here / f"weights{ending}"
    write(path)
    with pytest.raises(ReidError):
        load_state(path, trusted=False)


@pytest.mark.parametrize("write", [torch_file, pickle_file])
def test_weights_of_our_networks_run_nothing(here: Path, write: Callable):
    pytest.importorskip("torch")
    from reid.nn.weights import read_state

    write(here / "weights.pt")
    with pytest.raises(ReidError):
        read_state(here / "weights.pt")


@pytest.mark.parametrize("write", [torch_file, pickle_file])
def test_a_checkpoint_runs_nothing(here: Path, write: Callable):
    pytest.importorskip("torch")
    from reid.training.checkpoint import Checkpoint

    write(here / "checkpoint.pt")
    with pytest.raises(ReidError, match="no checkpoint of this version"):
        Checkpoint.load(here / "checkpoint.pt", "")


def test_features_to_score_run_nothing(here: Path):
    from reid.evaluation import score

    numpy_file(here / "features.npz")
    with pytest.raises(ReidError, match="holds pickled objects"):
        score.read(here / "features.npz")


@pytest.mark.parametrize(
    "text",
    ["!!python/object/apply:pathlib.Path.touch [canary]", "!!python/object/apply:os.system [x]",
     "!!python/name:os.system", "!!python/module:os"],
)  # fmt: skip
def test_params_yaml_runs_nothing(here: Path, text: str):
    (here / "params.yaml").write_text(f"ingest: {text}\n")
    with contextlib.suppress(ReidError):
        loaded = params.load(here)
        assert not callable(loaded["ingest"])


@pytest.mark.parametrize("reader", ["rap", "ilids_vid", "cuhk03_labeled", "dpit", "mars"])
def test_pickles_in_place_of_label_files_run_nothing(here: Path, reader: str):
    from tests.soak import trees

    project = trees.make(here, reader)
    for path in (project / "data/0-raw").rglob("*"):
        if path.suffix in (".mat", ".h5"):
            path.write_bytes(pickle.dumps(Payload()))
    with contextlib.chdir(project), pytest.raises(ReidError):
        run_stage("ingest", trees.NAME, None, None, "cpu", False)
    assert not (project / CANARY).exists()


# ------------------------------------------------------------------------------------ the report

EVIL_FOLDER, EVIL_FILE = "<script>document.title='ran'<", "script><img src=x onerror=alert(1)>"
PARAMS = """\
run: {executor: local}
ingest:
  with: {max_reject_rate: 1.0}
  on: {"<b>toy": {reader: folder}}
"""


class Tags(html.parser.HTMLParser):
    """The elements and attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a data set whose files and name are HTML."""
    pytest.importorskip("jinja2")
    from reid.project.layout import Project
    from reid.report import page as report

    home = tmp_path_factory.mktemp("evil")
    raw = home / "data/0-raw/<b>toy"
    lines = [["path", "person", "camera", "role"]]
    random = np.random.default_rng(0)
    roles = ((1, "train"), (2, "train"), (3, "query"), (3, "gallery"), (4, "query"), (4, "gallery"))
    for n, (person, role) in enumerate(roles):
        name = f"{EVIL_FOLDER}/{EVIL_FILE}{n}.png"
        (raw / name).parent.mkdir(parents=True, exist_ok=True)
        (raw / name).write_bytes(
            images.encode_png(random.integers(0, 256, (32, 16, 3), dtype=np.uint8))
        )
        lines.append([name, str(person), str(1 + n % 2), role])
    lines.append([f"{EVIL_FOLDER}/{EVIL_FILE} is not there.png", "5", "1", "train"])
    with (raw / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(lines)
    (home / "params.yaml").write_text(PARAMS)
    with contextlib.chdir(home):
        run_stage("ingest", "<b>toy", None, None, "cpu", False)
        shard = next((home / "data/1-shards/<b>toy/rows").glob("test-*"))
        assert EVIL_FILE in Shard(shard).table(["image_id"])["image_id"][0].as_py()
        return home / report.write(Project(Path()))


def test_the_report_escapes_names_of_files_and_data_sets(page: Path):
    text = page.read_text("utf-8")
    tags = Tags(text)
    assert tags.tags.count("script") == 1, "the page's own: there is no run, so no lists"
    assert not {"iframe", "object", "embed"} & set(tags.tags)
    assert not [name for name in tags.attributes if name.startswith("on")]
    assert "<b>toy" not in text
    assert "&lt;b&gt;toy" in text
    assert EVIL_FOLDER not in text


@pytest.mark.skipif(CHROMIUM is None, reason=WITHOUT)
def test_a_browser_runs_nothing_of_the_data(page: Path, tmp_path: Path):
    with browser(tmp_path) as tab:
        tab.open(page)
        assert tab.value("document.title") == "Person re-identification: report"
        assert tab.value("document.scripts.length") == 1
        assert tab.complaints() == []


def test_a_data_set_s_name_cannot_lead_out_of_the_project(tmp_path: Path):
    home = tmp_path / "project"
    home.mkdir()
    (home / "params.yaml").write_text(PARAMS.replace("<b>toy", "../../outside"))
    before = snapshot(tmp_path)
    with contextlib.chdir(home), pytest.raises(ReidError, match="cannot be a folder's name"):
        run_stage("ingest", "../../outside", None, None, "cpu", False)
    assert snapshot(tmp_path) == before
