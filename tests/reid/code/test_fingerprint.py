"""Fingerprints of code: what changes them, and what must not."""

from __future__ import annotations

from pathlib import Path

import pytest

from reid.code import fingerprint
from reid.code.fingerprint import Start, changes, of

STAGE = '''\
"""A stage."""
from __future__ import annotations

import numpy as np
from typing import TYPE_CHECKING

from house import arrays
from house.arrays import boxes as part_boxes
from house.faster import fast
from house.loaders import LOADERS
from house.project.errors import ReidError

from house.settings import Settings

if TYPE_CHECKING:
    from house.rows import Rows

LIMIT = 3
SIDES: tuple[int, int] = (1, 2)


class Step:
    """A step."""

    scale: float = 1.0
    kind: str

    def __init__(self, log):
        self.log = log

    def run(self, values: list[float]) -> np.ndarray:
        """Its docstring."""
        self.log.info("runs over %d", len(values))
        if len(values) > LIMIT:
            raise ReidError(f"more than {LIMIT} values")
        assert values, "no values"
        return part_boxes(np.array(values)) * self.scale * fast(1)


def build(name):
    load = LOADERS[name]
    return load(), arrays.shown


def unused():
    return 1


def use(params: Settings, rows: "Rows") -> None:
    return rows.wanted(params.channels())
'''
ARRAYS = """\
def boxes(values):
    width: float = _width(values)
    return values * width


def _width(values):
    return 2.0


def shown(values):
    return values


def never(values):
    return values
"""
LOADERS = """\
def _fast():
    from house.backends import fast
    return fast

def _slow():
    from house.backends import slow
    return slow

LOADERS = {"fast": _fast, "slow": _slow}
"""
FILES = {
    "__init__.py": "",
    "stage.py": STAGE,
    "arrays.py": ARRAYS,
    "loaders.py": LOADERS,
    "settings.py": "class Settings:\n    def channels(self):\n        return 8\n",
    "rows.py": (
        "class Rows:\n    def wanted(self, n):\n        return n\n\ndef f():\n    return 1\n"
    ),
    "faster.py": (
        "try:\n    from house.quick import fast\nexcept ImportError:\n"
        "    from house.plain import fast\n"
    ),
    "quick.py": "def fast(x):\n    return x\n",
    "plain.py": "def fast(x):\n    return x + 0\n",
    "backends/__init__.py": "",
    "backends/fast.py": "def run(x):\n    return x\n",
    "backends/slow.py": "def run(x):\n    return x + 0\n",
    "project/__init__.py": "",
    "project/errors.py": "class ReidError(Exception): ...\n",
    "paper.py": (
        "from house.arrays import boxes, never\n"
        "from house.contract import Paper\n"
        "PAPER = Paper(loss=boxes, tables=never)\n"
    ),
    "contract.py": "class Paper:\n    loss = None\n",
}
START = Start(("house.stage",), chosen={"house.loaders:LOADERS": ("fast",)})


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "house"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.setattr(fingerprint, "PACKAGES", ("house",))
    monkeypatch.setattr(fingerprint, "OUTSIDE", ("house.project",))
    monkeypatch.setattr(fingerprint, "_package_folder", lambda _: folder)
    return folder


def edit(house: Path, name: str, before: str, after: str) -> None:
    text = (house / name).read_text()
    assert before in text
    (house / name).write_text(text.replace(before, after, 1))


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        pytest.param("stage.py", '"""A stage."""', '"""Another."""  # more', id="docstring"),
        pytest.param("stage.py", "LIMIT = 3", "# why three\nLIMIT = (\n    3\n)", id="comment"),
        pytest.param("stage.py", "LIMIT = 3", "LIMIT: int = 3", id="type of a constant"),
        pytest.param("stage.py", "def build(name):", "def build(name: str) -> tuple:", id="types"),
        pytest.param("stage.py", "more than {LIMIT}", "at most {LIMIT}", id="error text"),
        pytest.param("stage.py", "ReidError(f", "ValueError(f", id="kind of error"),
        pytest.param("stage.py", '"no values"', '"none"', id="text of an assertion"),
        pytest.param("stage.py", "runs over %d", "over %d", id="log line"),
        pytest.param("stage.py", '"""A step."""\n', '"""Step."""\n', id="docstring of a class"),
        pytest.param("arrays.py", "width: float = ", "width = ", id="type of a local name"),
        pytest.param("arrays.py", "    return values * width", "\n    return values*width  # x",
                     id="layout"),
        pytest.param("arrays.py", "def never(values):\n    return values",
                     "def never(values):\n    return 0", id="a function that is not reached"),
        pytest.param("backends/slow.py", "x + 0", "x + 1", id="a backend that is not chosen"),
        pytest.param("rows.py", "return 1", "return 2", id="beside an annotation's class"),
        pytest.param("project/errors.py", "...", "code = 2", id="what is outside"),
    ],
)  # fmt: skip
def test_it_stays_where_no_result_can_change(house: Path, name: str, before: str, after: str):
    first = of(START)
    edit(house, name, before, after)
    assert changes(first.definitions, of(START).definitions) == []
    assert of(START).fingerprint == first.fingerprint


@pytest.mark.parametrize(
    ("name", "before", "after", "said"),
    [
        pytest.param("stage.py", "* self.scale", "* 0", "house.stage: Step.run changed",
                     id="a method"),
        pytest.param("stage.py", "scale: float = 1.0", "scale: float = 2.0",
                     "house.stage: Step changed", id="a field's default"),
        pytest.param("stage.py", "kind: str", "sort: str", "house.stage: Step changed",
                     id="a field's name"),
        pytest.param("stage.py", "LIMIT = 3", "LIMIT = 4", "house.stage: LIMIT changed",
                     id="a constant"),
        pytest.param("stage.py", "> LIMIT", ">= LIMIT", "house.stage: Step.run changed",
                     id="a comparison"),
        pytest.param("arrays.py", "return 2.0", "return 3.0", "house.arrays: _width changed",
                     id="a function of a function"),
        pytest.param("arrays.py", "def shown(values):\n    return values",
                     "def shown(values):\n    return 0", "house.arrays: shown changed",
                     id="through a module's name"),
        pytest.param("backends/fast.py", "return x", "return -x",
                     "house.backends.fast: run changed", id="the backend that is chosen"),
        pytest.param("settings.py", "return 8", "return 9",
                     "house.settings: Settings.channels changed", id="an argument's method"),
        pytest.param("rows.py", "return n", "return -n", "house.rows: Rows.wanted changed",
                     id="a method of what only type checkers import"),
        pytest.param("quick.py", "return x", "return -x", "house.quick: fast changed",
                     id="the first of two imports"),
        pytest.param("plain.py", "x + 0", "x + 1", "house.plain: fast changed",
                     id="the second of two imports"),
        pytest.param("stage.py", "import numpy as np", "import cupy as np",
                     "house.stage: Step.run changed", id="another library by the same name"),
        pytest.param("arrays.py", "def boxes", "import os\nos.umask(0)\n\ndef boxes",
                     "house.arrays: what importing it does added", id="an import's side effect"),
        pytest.param("stage.py", "from house.arrays import boxes as",
                     "from house.arrays import never as", "house.arrays: never added",
                     id="another function by the same name"),
    ],
)  # fmt: skip
def test_it_changes_and_says_what_changed(
    house: Path, name: str, before: str, after: str, said: str
):
    first = of(START)
    edit(house, name, before, after)
    assert said in changes(first.definitions, of(START).definitions)


CHECKED = """\
from typing import Annotated
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, PlainSerializer
from pydantic import field_validator
from house import checks
from house.checks import after, aliased, before, made, nested, quoted, serialized

Alias = Annotated[int, AfterValidator(aliased)]


class Settings(BaseModel):
    a: Annotated[int, Field(ge=0), AfterValidator(after)]
    b: Annotated[int, BeforeValidator(lambda value: before(value) + 1)] = 3
    c: Annotated[list[Annotated[int, AfterValidator(checks.nested)]], PlainSerializer(serialized)]
    d: Alias | None = None
    e: list[int] = Field(default_factory=made)
    f: "Annotated[int, AfterValidator(quoted)]" = 1

    @field_validator("a")
    @classmethod
    def method(cls, value):
        return checks.called(value)
"""
CHECKS = ("after", "aliased", "before", "called", "made", "nested", "quoted", "serialized")


@pytest.fixture
def checked(house: Path) -> Path:
    """The stage's parameters with checks in their annotations."""
    (house / "settings.py").write_text(CHECKED)
    functions = [f"def {name}(value=0):\n    return value\n" for name in (*CHECKS, "unused")]
    (house / "checks.py").write_text("\n".join(functions))
    return house


@pytest.mark.parametrize("name", CHECKS)
def test_what_checks_or_makes_a_field_s_value_counts(checked: Path, name: str):
    first = of(START)
    assert "house.checks:unused" not in first.definitions
    edit(checked, "checks.py", f"def {name}(value=0):\n    return", f"def {name}(value=0):\n    -")
    assert changes(first.definitions, of(START).definitions) == [f"house.checks: {name} changed"]


@pytest.mark.parametrize(
    ("before", "after", "seen"),
    [
        ("int, BeforeValidator(lambda", "int, AfterValidator(lambda", True),
        ("before(value) + 1", "before(value) + 2", True),
        ("Field(ge=0)", "Field(ge=1)", False),  # it only refuses
    ],
)
def test_calls_in_annotations_that_run_nothing_do_not_count(checked, before, after, seen):
    first = of(START).fingerprint
    edit(checked, "settings.py", before, after)
    assert (of(START).fingerprint != first) == seen


def test_arguments_that_are_left_out_are_not_followed(house: Path):
    start = Start(("house.paper:PAPER",), left_out={"Paper": frozenset({"tables"})})
    assert "house.arrays:boxes" in of(start).definitions
    assert "house.arrays:never" not in of(start).definitions
    assert "house.arrays:never" in of(Start(("house.paper:PAPER",))).definitions


def test_what_is_kept_gives_the_same_and_follows_edits(house: Path, tmp_path: Path):
    kept = tmp_path / "kept"
    first = of(START, kept)
    assert of(START, kept) == first == of(START)
    edit(house, "arrays.py", "return 2.0", "return 3.0")
    assert of(START, kept) == of(START) != first
    edit(house, "arrays.py", "return 3.0", "return 2.0")
    assert of(START, kept) == first


@pytest.mark.parametrize("damage", ["nothing", "no json", "cut", "flipped"])
def test_kept_summaries_that_are_damaged_are_made_anew(house: Path, tmp_path: Path, damage: str):
    kept = tmp_path / "kept"
    first = of(START, kept)
    file = kept / "summaries"
    whole = file.read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    damaged = {"nothing": b"", "no json": b"\xff\n[]", "cut": whole[:-9], "flipped": flipped}
    file.write_bytes(damaged[damage])
    assert of(START, kept) == first
    assert file.read_bytes() == whole


def test_a_start_that_does_not_exist_is_refused(house: Path):
    with pytest.raises(ValueError, match=r"house\.nowhere: no such module"):
        of(Start(("house.nowhere",)))
    with pytest.raises(ValueError, match=r"house\.stage defines no nothing"):
        of(Start(("house.stage:nothing",)))
