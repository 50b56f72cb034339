"""README.md and docs/ say what is so: commands, parameters, paths and links are there."""

from __future__ import annotations

import pkgutil
import re
from pathlib import Path
from typing import Any

import pytest

from pipeline.stages import STAGES, ingest
from pipeline.stages import stage as find_stage
from reid import experiments
from reid.papers import PAPERS
from reid.project import params
from reid.project.layout import Project
from tests import documented_commands as commands
from tests import generated_pages, pages
from tests.pages import PAGES, ROOT, Fence

CHECKED = {"python", "sh", "yaml"}  # tests/test_readme.py runs the Python
NAMED = re.compile(r"(?<![\w/.-])(?:reid|pipeline|tests|docs)/[\w./-]*\w")
PLACEHOLDER = re.compile(r"(?:test_)?x(?:\.py)?")  # `pipeline/stages/x.py`: a stage yet to come


def at(fence: Fence) -> str:
    return f"{fence.page}:{fence.line}"


@pytest.mark.parametrize("fence", pages.fences(), ids=at)
def test_a_fence_is_checked_or_says_that_it_is_not(fence: Fence):
    assert not fence.language or fence.language in CHECKED


def test_no_fence_is_left_open():
    for page in PAGES:
        assert page.read_text("utf-8").count("\n```") % 2 == 0, page


@pytest.mark.filterwarnings("ignore")  # torch's and DVC's own, when they are imported
@pytest.mark.parametrize("fence", pages.fences("sh"), ids=at)
def test_a_shell_block_is_taken_by_its_programs(fence: Fence):
    lines = commands.command_lines(fence.text)
    assert lines
    for words in lines:
        commands.parse(words)


@pytest.mark.parametrize(
    "line",
    ["reid trian NAME", "reid train", "reid train NAME --fast", "make supper", "dvc reproduce",
     "python -m tests.nothing", "pip install .[moon]", "pip install reid-pipeline", "cargo build"],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore")
def test_a_line_that_its_program_would_refuse_is_seen(line: str):
    with pytest.raises((Exception, SystemExit)):
        commands.parse(line.split())


@pytest.mark.parametrize("page", PAGES, ids=pages.name_of)
def test_commands_within_lines_exist(page: Path):
    for text in pages.inline(page):
        words = text.split()
        if words[0] == "make" and words[1:]:
            commands.parse(words)
        if words[0] == "python":
            commands.parse(words)
        if words[0] != "reid" or not words[1:] or words[1] in ("COMMAND", "STAGE"):
            continue
        command, rest = commands.find(words[1:])
        assert {word for word in rest if word.startswith("--")} <= commands.options(command), text


@pytest.mark.parametrize("fence", pages.fences("yaml"), ids=at)
def test_a_yaml_block_is_an_excerpt_of_params_yaml(fence: Fence, tmp_path: Path):
    (tmp_path / "params.yaml").write_text(fence.text)
    loaded = params.load(tmp_path)
    for name in loaded:
        assert name in PAPERS or name in STAGES or name == "ingest", name
        if name in PAPERS:
            _check_paper(loaded, name, Project(tmp_path))
            continue
        of = ingest.Params if name == "ingest" else find_stage(name).params
        for build in params.section(loaded, name, "on"):
            params.stage_params(loaded, name, build, of)


def _check_paper(loaded: dict[str, Any], paper: str, project: Project) -> None:
    for dataset, values in params.section(loaded, paper, "scale").items():
        model = experiments.params_model(paper)
        params.check(model, {**values, "dataset": dataset}, f"{paper}.scale.{dataset}")
    for name in params.section(loaded, paper, "on"):
        experiments.load(project, name)


@pytest.mark.parametrize("page", PAGES, ids=pages.name_of)
def test_links_lead_somewhere(page: Path):
    for link in pages.links(page):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in pages.anchors(target), link


def test_every_page_is_reached_from_the_readme():
    seen, waiting = {PAGES[0]}, [PAGES[0]]
    while waiting:
        page = waiting.pop()
        targets = {(page.parent / link.partition("#")[0]).resolve() for link in pages.links(page)}
        new = {target for target in targets & {*PAGES} if target not in seen}
        seen |= new
        waiting += new
    assert {pages.name_of(page) for page in PAGES} == {pages.name_of(page) for page in seen}


@pytest.mark.parametrize("page", PAGES, ids=pages.name_of)
def test_paths_that_are_named_exist(page: Path):
    for named in NAMED.findall(page.read_text("utf-8")):
        known = Path()
        for part in Path(named).parts:
            if PLACEHOLDER.fullmatch(part):
                break
            known = known / part
        assert (ROOT / known).exists(), named


@pytest.mark.parametrize("page", PAGES, ids=pages.name_of)
def test_names_of_modules_mean_something(page: Path):
    for text in pages.inline(page):
        if re.fullmatch(r"(?:reid|pipeline)(?:\.[a-z_]\w*)+", text) and not text.endswith(".yaml"):
            assert pkgutil.resolve_name(text) is not None


def test_the_structure_names_every_room():
    """But for those of one paper or data set: what is in all of them is said once."""
    told = set(pages.inline(ROOT / "docs/structure.md"))
    rooms = {
        path.relative_to(ROOT).as_posix()
        for package in ("reid", "pipeline")
        for pattern in ("*", "*/*")
        for path in (ROOT / package).glob(pattern)
        if path.is_dir() and path.name != "__pycache__" and any(path.glob("*.*"))
    }
    own = {path.parent.relative_to(ROOT).as_posix() for path in ROOT.glob("reid/papers/*/paper.py")}
    readers = ROOT.glob("pipeline/datasets/*/reader.py")
    own |= {path.parent.relative_to(ROOT).as_posix() for path in readers}
    assert rooms - own - told == set()


def test_the_readme_is_a_door():
    assert len(PAGES[0].read_text("utf-8").splitlines()) <= 150


@pytest.mark.parametrize("path", generated_pages.pages())
def test_a_generated_page_is_of_today(path: str):
    made = generated_pages.pages()[path]()
    assert (ROOT / path).read_text("utf-8") == made, "run python -m tests.generated_pages"


def test_no_paper_s_page_is_left_over():
    assert {page.stem for page in (ROOT / "docs/papers").glob("*.md")} == set(PAPERS)
