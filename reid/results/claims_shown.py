"""Claims as files and as tables: what `reid claims` writes, and the report reads.

Reads, writes  4-reports/claims/<paper>-<data set>.json; beside it the same as Markdown
"""

from __future__ import annotations

import json
from collections.abc import Container, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from reid import experiments
from reid.papers import paper_of
from reid.papers.table import Printed
from reid.project.errors import ReidError
from reid.project.layout import Project, as_json, read_object, write_atomically
from reid.project.names import heading
from reid.results import evaluated, printed_row, tables
from reid.results.bootstrap import Interval
from reid.results.claims import JUDGED, METRICS, Asked, ClaimRow, claim_rows
from reid.results.made_with import made_with

RULE = (
    "Shown: all of the 95 % interval of the difference of mAP is above 0; opposite: all of it is "
    "below; else not shown. Points of per cent. Intervals: paired bootstrap over persons, and over "
    "trainings where there are several."
)
EARLIER = "; of other parameters than those of params.yaml now"


def write(of_paper: Asked) -> Path:
    """A paper's claims on one data set as JSON and Markdown; returns the JSON's path.

    Claims that are not asked for, but were measured before, stand in it as they are now.
    """
    project, run = of_paper.run.project, of_paper.run
    path = folder_of(project) / f"{run.paper}-{run.dataset.replace('/', '-')}.json"
    rows = claim_rows(of_paper, _before(path))
    write_atomically(path, as_json([as_object(row) for row in rows]), project.publishing)
    shown = {"title": title(rows[0]), "rows": lines(rows), "note": f"{RULE} {made_with()}"}
    write_atomically(path.with_suffix(".md"), tables.markdown(shown), project.publishing)
    return path


def _before(path: Path) -> dict[str, int]:
    """The claims that a file holds, and of how many trainings each is; none of a damaged one."""
    try:
        return {row.claim: len(row.trainings) for row in _read(path)} if path.is_file() else {}
    except ReidError:  # `_read` says to run what is running now: it is written anew
        return {}


def as_object(row: ClaimRow) -> dict[str, Any]:
    """A row as JSON holds it, its verdict beside."""
    return {**asdict(row), "verdict": row.verdict}


def folder_of(project: Project) -> Path:
    return project.reports / "claims"


def stored(project: Project) -> list[ClaimRow]:
    """The rows that `reid claims` has written, of trainings that are still those evaluated.

    `ReidError` for a file that is not as it was written.
    """
    found = [row for path in sorted(folder_of(project).glob("*.json")) for row in _read(path)]
    return [row for row in found if _is_there(project, row)]


def _read(path: Path) -> list[ClaimRow]:
    try:
        return [_of_object(one) for one in json.loads(path.read_text("utf-8"))]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReidError(f"{path}: cannot be read ({error!r}); run `reid claims`") from None


def _of_object(one: dict[str, Any]) -> ClaimRow:
    values = {key: value for key, value in one.items() if key != "verdict"}
    values["differences"] = {m: Interval(**v) for m, v in one["differences"].items()}
    values["trainings"] = tuple(tuple(names) for names in one["trainings"])
    return ClaimRow(**values)


def _is_there(project: Project, row: ClaimRow) -> bool:
    """Whether all evaluations are of the trainings that a row names by their keys."""
    named = {name: key for a, b, c, d in row.trainings for name, key in ((a, b), (c, d))}
    for name, key in named.items():
        path = project.run(name) / "evaluate" / "metrics.json"
        found = read_object(path, {}, f"reid evaluate {name}")
        if found is None or found.get("training") != key:
            return False
    return True


def is_of_now(project: Project, row: ClaimRow) -> bool:
    """Whether params.yaml still names the trainings of a stored row: a name hashes its parameters.

    A claim that its paper does not make any more is of none.
    """
    every = [c for claim in paper_of(row.paper).claims for c in (claim, claim.control_claim) if c]
    claims = [claim for claim in every if claim.name == row.claim]
    reader = printed_row.evaluated_on(project, row.dataset).reader
    for better, _, worse, _ in row.trainings if claims else ():
        for side, name in ((claims[0].better, better), (claims[0].worse, worse)):
            described = read_object(
                project.run(name) / "evaluate" / "metrics.json", {}, f"reid evaluate {name}"
            )
            params = (described or {}).get("params", {})
            kept = {k: params[k] for k in ("seed", "protocol", "builds") if params.get(k, "") != ""}
            wanted = {**side.parameters(reader), **kept}
            try:
                now = experiments.variant(project, row.paper, params.get("dataset", ""), wanted)
            except ReidError:  # a parameter that is there no more, or is not allowed
                return False
            if now.name != name:
                return False
    return bool(claims)


def title(row: ClaimRow) -> str:
    """Of the claims of a row's paper on its data set."""
    return f"{row.paper}: what it claims, on {row.dataset}"


def lines(rows: Sequence[ClaimRow], earlier: Container[ClaimRow] = ()) -> list[dict[str, str]]:
    """Rows as a table shows them; those of `earlier` parameters say so."""
    return [
        {
            "claim": f"control: {row.claim}" if row.is_control else row.claim,
            "differs in": row.differs,
            "paper": printed_shown(row.printed),
            "mAP": _shown(row.differences.get(JUDGED)),
            "rank-1": _shown(row.differences.get("r1")),
            "trainings": f"{_of(row)}{EARLIER if row in earlier else ''}",
            "verdict": row.verdict,
        }
        for row in rows
    ]


def _of(row: ClaimRow) -> str:
    count = len(row.trainings)
    kind = "split" if row.splits else "seed"
    if not count:
        return ""
    kinds = f"{kind}s" if count > 1 else kind
    return f"{count} {kinds} x {row.queries} queries, {row.persons} persons"


def printed_shown(printed: Printed) -> str:
    """What the paper has on the first of its data sets; JSON has all."""
    for dataset, numbers in printed.items():
        shown = [f"{heading(m)} {numbers[m]:+.2f}" for m in METRICS if m in numbers]
        return f"{dataset} {', '.join(shown)}"
    return evaluated.NOT_PRINTED


def _shown(found: Interval | None) -> str:
    return f"{found.mean:+.2f} [{found.low:+.2f}, {found.high:+.2f}]" if found else ""
