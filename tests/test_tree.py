"""The tree tests itself: own tests are there, and imports go one way."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.stages import STAGES
from reid.papers import PAPERS

ROOT = Path(__file__).parent.parent
SHARED = {"base", "layouts"}  # by several data sets
DATA_SETS = {path.stem for path in (ROOT / "pipeline/datasets").glob("[a-z]*")} - SHARED
OWN_TESTS = (
    *(f"pipeline/stages/test_{name}.py" for name in STAGES),
    *(f"pipeline/datasets/test_{name}.py" for name in sorted(DATA_SETS)),
    *(f"reid/papers/{name}/test_paper.py" for name in PAPERS),
)


@pytest.mark.parametrize("path", OWN_TESTS)
def test_each_stage_data_set_and_paper_has_tests_of_its_own(path: str):
    assert (ROOT / "tests" / path).is_file()


def test_every_stage_file_is_in_the_list():
    files = {p.stem for p in (ROOT / "pipeline/stages").glob("*.py")} - {"__init__", "ingest"}
    assert files == set(STAGES)


@pytest.mark.parametrize("paper", PAPERS)
def test_a_paper_says_its_source_and_where_it_differs(paper: str):
    told = ast.get_docstring(ast.parse((ROOT / "reid/papers" / paper / "paper.py").read_text()))
    assert "Source" in str(told)
    assert "Differs" in str(told)


def test_help_loads_no_heavy_library():
    heavy = "{'torch', 'pyarrow', 'cv2', 'scipy', 'matplotlib', 'pandas', 'pydantic'}"
    code = f"import sys, pipeline.commands.main; print(sorted({heavy} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def imported(path: Path) -> set[str]:
    """The modules of this project that a file imports, anywhere in it."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in modules if name.split(".")[0] in ("pipeline", "reid", "tests")}


def test_the_library_never_imports_the_builder():
    """But for `python -m reid`, which starts the builder's command line."""
    for path in sorted((ROOT / "reid").rglob("*.py")):
        if path.name != "__main__.py":
            foreign = {n for n in imported(path) if n.split(".")[0] != "reid"}
            assert not foreign, f"{path.relative_to(ROOT)}: {sorted(foreign)}"


def test_no_import_leads_back():
    """Imports inside functions and for type checkers count as well."""
    files = [path for top in ("reid", "pipeline") for path in sorted((ROOT / top).rglob("*.py"))]
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in files
    }
    above = {name: imported(path) & (set(modules) - {name}) for name, path in modules.items()}
    for name, path in modules.items():  # `from package import module` asks the module alone
        above[name] -= {p for p in above[name] if any(m.startswith(f"{p}.") for m in above[name])
                        and not _names_of(path, p, modules)}  # fmt: skip
    while leaves := {name for name, others in above.items() if not others & set(above)}:
        above = {name: others for name, others in above.items() if name not in leaves}
    assert not above, f"in a circle, or above one: {sorted(above)[:10]}"


def _names_of(path: Path, package: str, modules: dict[str, Path]) -> set[str]:
    """What a file imports of a package itself, not of its modules."""
    return {
        alias.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module == package
        for alias in node.names
        if f"{package}.{alias.name}" not in modules
    }


def test_no_module_is_imported_by_a_name_that_is_put_together():
    for path in sorted([*(ROOT / "reid").rglob("*.py"), *(ROOT / "pipeline").rglob("*.py")]):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
                words = "".join(ast.unparse(argument) for argument in node.args)
                assert "pipeline" not in words, path
                assert "reid" not in words, path


def test_rank_1_is_spelt_in_one_way():
    """In pages, labels and comments alike, so that a search finds all of it."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    sources = [p for top in ("reid", "pipeline") for p in (ROOT / top).rglob("*.*")]
    other = re.compile(r"\brank (?:1|5|10|20|50)\b|\bR@?-?1 [+%]|\btop-1\b", re.IGNORECASE)
    for path in [*pages, *(p for p in sources if p.suffix in (".py", ".html", ".j2", ".js"))]:
        assert not other.search(path.read_text("utf-8")), path.relative_to(ROOT)
