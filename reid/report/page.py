"""The report: one HTML page with results, failures, pictures, curves and tables of it all.

Everything is in the page: no network, and one script of its own. It holds no time and no path, so
the same data give the same bytes. Chapters whose inputs are unchanged are not drawn again.

Reads   1-shards, 2-derived, 3-runs, 4-reports/{tables,claims,accuracy}; 0-raw/<world>.truth
Writes  4-reports/report.html, at most `MOST_BYTES` of it
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from reid.project.errors import ReidError
from reid.project.layout import Project, write_atomically
from reid.report import render
from reid.report.blocks import Chapter, Section, Table, Text, table
from reid.report.cache import Cache
from reid.report.render import Drawn
from reid.results import built as sources
from reid.results import claims_shown, evaluated
from reid.results import tables as results
from reid.results.built import BuiltData, Runs
from reid.results.made_with import by_kind, kind_of, made_with, seeds

MOST_BYTES = 64_000_000


@dataclass(frozen=True)
class Part:
    """A chapter, and all files that it is drawn from."""

    title: str
    inputs: Sequence[Path]
    sections: Callable[[], Sequence[Section | None]]

    @property
    def chapter(self) -> Chapter:
        return Chapter(self.title, [each for each in self.sections() if each is not None])


def write(project: Project) -> Path:
    """Write the page of everything that is built and trained; returns its path."""
    built = _built(project)
    runs = sources.runs(project, built)
    cache = Cache(project)
    drawn = [
        cache.drawn(part.title, part.inputs, lambda part=part: render.draw(part.chapter))
        for part in parts(project, built, runs)
    ]
    made = render.draw(Chapter("Made with", [_made_with(runs)]))
    kinds = {data.name: kind_of(project, data.name) for data in built}
    page = render.page(bounded([*drawn, made]), by_kind(kinds))
    path = project.reports / "report.html"
    write_atomically(path, page.encode(), project.publishing)
    cache.prune()
    return path


def chapters(project: Project) -> list[Chapter]:
    """The page's chapters, all drawn now."""
    built = _built(project)
    every = [part.chapter for part in parts(project, built, sources.runs(project, built))]
    return [chapter for chapter in every if chapter.sections]


def page_of(every: Sequence[Chapter], first: str = "") -> str:
    """Chapters as one HTML page below the line `first`."""
    return render.page([render.draw(chapter) for chapter in every], first)


def bounded(drawn: Sequence[Drawn]) -> list[Drawn]:
    """The chapters that have sections; those that make the page too large say that they did."""
    out, used = [], 0
    for one in (one for one in drawn if one.sections):
        size = len(one.html.encode())
        if used + size > MOST_BYTES:
            told = f"Left out: {size / 1e6:.0f} MB; the page is {MOST_BYTES / 1e6:.0f} MB at most."
            one = render.draw(Chapter(one.title, [Section("Left out", [Text(told)])]))
            size = len(one.html.encode())
        used += size
        out.append(one)
    return out


def _built(project: Project) -> list[BuiltData]:
    built = sources.built_data(project)
    if not built:
        raise ReidError(f"{project.root}: no data set is built; run `dvc repro`")
    return built


def parts(project: Project, built: list[BuiltData], runs: list[Runs]) -> Iterator[Part]:
    """Results first, then failures, experiments and data.

    What draws is imported when it draws.
    """
    data = project.root / "data"
    shards = [data / "1-shards", data / "2-derived"]
    every = [*shards, project.root / "params.yaml", project.run("x").parent]
    inputs = [*every, project.reports / "tables", claims_shown.folder_of(project)]
    yield Part("Results", inputs, lambda: _results(project, runs))
    yield Part("Failures", every, lambda: _failures(runs))
    for found in runs:
        own = [run.folder for run in [*found.named, *found.others]]
        inputs = [*shards, project.root / "params.yaml", *own]
        yield Part(f"Experiments on {found.built.name}", inputs, lambda of=found: _experiments(of))
    yield Part("Data sets", shards, lambda: [_overview(built)])
    for one in built:
        builds = [one.origin, *one.derived]
        inputs = [project.shards(one.origin.dataset), *(build.folder for build in builds)]
        yield Part(f"Data set {one.name}", inputs, lambda of=one: _data_set(of))
    truth = sorted(project.raw("x").parent.glob("*.truth"))
    inputs = [*shards, project.reports / "accuracy", *truth]
    yield Part("Accuracy on rendered worlds", inputs, lambda: _accuracy(project))


def _results(project: Project, runs: list[Runs]) -> list[Section | None]:
    from reid.report.sections.results import all_experiments

    return [all_experiments(runs), claims(project), beside(project), tables(project)]


def _failures(runs: list[Runs]) -> list[Section | None]:
    from reid.report.sections.failures import gallery

    return [gallery(runs)]


def _experiments(runs: Runs) -> list[Section | None]:
    from reid.report.sections import of_experiments

    return of_experiments(runs)


def _data_set(built: BuiltData) -> list[Section | None]:
    from reid.report.sections import of_data_set

    return of_data_set(built)


def _accuracy(project: Project) -> list[Section]:
    from reid.report.sections import accuracy

    return accuracy.builds(project)


def _overview(built: list[BuiltData]) -> Section:
    """The data sets at a glance."""
    sets = []
    for data in built:
        images = {name: int(mask.sum()) for name, mask in data.parts.items()}
        identities = len({*data.persons.tolist()} - {0})
        line: dict[str, Any] = {"data set": data.name, "images": len(data.data)}
        line |= {"kind": kind_of(data.project, data.name)}
        line |= {"identities": identities, "cameras": len(set(data.data.labels("camera").tolist()))}
        line |= {f"{name} images": count for name, count in images.items()}
        sets.append({**line, "derived": ", ".join(b.label for b in data.derived)})
    return Section("At a glance", [table(sets, "The data sets that are built.")])


def _made_with(runs: list[Runs]) -> Section:
    """Code, versions and seeds."""
    told = [run.params.get("seed") for found in runs for run in [*found.named, *found.others]]
    return Section(
        "Code, versions, seeds", [Text(" ".join(filter(None, (made_with(), seeds(told)))))]
    )


def beside(project: Project) -> Section | None:
    """Our experiments with the numbers that the papers print."""
    found = evaluated.evaluated(project)
    caption = "{}. The paper's numbers are of other data sets than a rendered world."
    blocks = [table(rows, caption.format(title)) for title, rows in found.items() if rows]
    return Section("Beside the papers", blocks) if blocks else None


def claims(project: Project) -> Section | None:
    """What the papers claim, and what is shown here, as `reid claims` has written it."""
    rows = claims_shown.stored(project)
    if not rows:
        return None
    earlier = [row for row in rows if not claims_shown.is_of_now(project, row)]
    shown = [
        table(claims_shown.lines(alike, earlier), claims_shown.title(alike[0]))
        for alike in (list(group) for _, group in groupby(rows, key=claims_shown.title))
    ]
    return Section("What the papers claim", [Text(claims_shown.RULE), *shown])


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
