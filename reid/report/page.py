"""The report: one HTML page with counts, pictures, curves, ranked lists and tables of it all.

Everything is in the page: no network, no script. It holds no time and no path, so the same data
give the same bytes.

Reads   1-shards, 2-derived, 3-runs, 4-reports/tables, 4-reports/accuracy; 0-raw/<world>.truth
Writes  4-reports/report.html
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from reid.project.errors import ReidError
from reid.project.layout import Project, write_atomically
from reid.report import sections
from reid.report.blocks import Chapter, Section, Table, Text, table
from reid.report.sections import accuracy, scores
from reid.results import built as sources
from reid.results import tables as results
from reid.results.made_with import by_kind, kind_of, made_with, seeds

TEMPLATES = Path(__file__).parent / "templates"


def write(project: Project) -> Path:
    """Write the page of everything that is built and trained; returns its path."""
    kinds = {data.name: kind_of(project, data.name) for data in sources.built_data(project)}
    page = render(chapters(project), by_kind(kinds))
    path = project.reports / "report.html"
    write_atomically(path, page.encode(), project.publishing)
    return path


def chapters(project: Project) -> list[Chapter]:
    """The page's parts: a summary, data sets, accuracy, experiments, the papers' tables."""
    built = sources.built_data(project)
    if not built:
        raise ReidError(f"{project.root}: no data set is built; run `dvc repro`")
    runs = sources.runs(project, built)
    out = [Chapter("Summary", [overview(built, runs)])]
    for data in built:
        out.append(_chapter(f"Data set {data.name}", [f(data) for f in sections.of_data_set()]))
    out.append(Chapter("Accuracy on rendered worlds", accuracy.builds(project)))
    for found in runs:
        name = f"Experiments on {found.built.name}"
        out.append(_chapter(name, [f(found) for f in sections.of_experiments()]))
    out.append(_chapter("Beside the papers", [beside(project), tables(project)]))
    return [chapter for chapter in out if chapter.sections]


def _chapter(title: str, found: list[Section | None]) -> Chapter:
    return Chapter(title, [section for section in found if section is not None])


def overview(built: list[sources.BuiltData], runs: list[sources.Runs]) -> Section:
    """The data sets and the experiments at a glance."""
    sets = []
    for data in built:
        images = {name: int(mask.sum()) for name, mask in data.parts.items()}
        identities = len({*data.persons.tolist()} - {0})
        line: dict[str, Any] = {"data set": data.name, "images": len(data.data)}
        line |= {"kind": kind_of(data.project, data.name)}
        line |= {"identities": identities, "cameras": len(set(data.data.labels("camera").tolist()))}
        line |= {f"{name} images": count for name, count in images.items()}
        sets.append({**line, "derived": ", ".join(b.label for b in data.derived)})
    blocks: list[Text | Table] = [table(sets, "The data sets that are built.")]
    lines = [scores.summary(run) for found in runs for run in [*found.named, *found.others]]
    if lines:
        caption = "The experiments, in percent. Chance: rank 1 of a random order."
        blocks.append(table(lines, caption))
    told = [run.params.get("seed") for found in runs for run in [*found.named, *found.others]]
    blocks.append(Text(" ".join(filter(None, (made_with(), seeds(told))))))
    return Section("At a glance", blocks)


def beside(project: Project) -> Section | None:
    """Our experiments with the numbers that the papers print."""
    found = results.evaluated(project)
    caption = "{}. The paper's numbers are of other data sets than a rendered world."
    blocks = [table(rows, caption.format(title)) for title, rows in found.items() if rows]
    return Section("Experiments", blocks) if blocks else None


def tables(project: Project) -> Section | None:
    """Whole tables of a paper, as `reid table` has written them."""
    blocks: list[Text | Table] = []
    for path in results.table_files(project):
        try:
            found = json.loads(path.read_text("utf-8"))
            blocks.append(table(found["rows"], found["title"]))
        except (OSError, ValueError, KeyError) as error:
            raise ReidError(f"{path}: cannot be read ({error!r}); run `reid table` again") from None
        if found.get("note"):
            blocks.append(Text(found["note"]))
    return Section("Whole tables", blocks) if blocks else None


def render(page: list[Chapter], first: str = "") -> str:
    """The chapters as one HTML page below the line `first`; all text is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    return environment.get_template("report.html").render(chapters=page, first=first)
