"""What the experiments on a data set reached: metrics, CMC, training curves, settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from reid.report import plots
from reid.report.blocks import Figure, Section, Table, Text, percent, svg, table, text_of
from reid.results.built import Run, Runs

LINES = 12  # curves in one plot
TOLD = 4  # experiments whose last figures the caption tells


def metrics(runs: Runs) -> Section | None:
    """Scores of each experiment, and how they were counted."""
    done = runs.evaluated
    if not done:
        return None
    scores = [_scores(run) for run in done]
    counted = _together(done)
    by_all = {str(run.metrics.get("average_precision")) for run in done if run.metrics}
    by_all = by_all - {"None"} or {"none, as with a single gallery shot"}
    caption = (
        "Percent of the queries that count. mAP by both rules (rectangle: mean of the precisions "
        f"at the matches; trapezoid: as in Market-1501's own code), the main one here: "
        f"{' and '.join(sorted(by_all))}. mINP: how early the last match comes. Chance: rank-1 of "
        "a random order. Training accuracy: of the last epoch."
    )
    rule = (
        "How it was counted: queries with at least one match count, those without are left out. A "
        "query does not see the gallery images that are named under excluded. Where samples are "
        "clips, queries and gallery are tracklets."
    )
    return Section("Metrics", [table(scores, caption), table(counted, rule)])


def _scores(run: Run) -> dict[str, Any]:
    found = run.metrics or {}
    line: dict[str, Any] = {"experiment": run.name}
    line |= {f"rank-{k[4:]}": percent(found[k]) for k in sorted(found, key=_rank) if _rank(k)}
    line |= {
        "mAP rectangle": percent(found.get("map_rectangle")),
        "mAP trapezoid": percent(found.get("map_trapezoid")),
        "mINP": percent(found.get("minp")),
        "chance rank-1": percent(found.get("chance_rank1")),
    }
    if run.trained:
        line["training accuracy"] = percent(run.trained.get("train_accuracy"))
    return line


def _rank(name: str) -> int:
    """5 for rank5, 0 for a name that is no rank."""
    return int(name[4:]) if name.startswith("rank") and name[4:].isdecimal() else 0


def _together(done: list[Run]) -> list[dict[str, Any]]:
    """How the experiments were counted, those that were counted alike in one line."""
    alike: dict[tuple[Any, ...], list[Run]] = {}
    for run in done:
        alike.setdefault(tuple(_counting(run).values()), []).append(run)
    return [
        {
            "experiments": f"all {len(done)}"
            if len(group) == len(done) > 1
            else ", ".join(run.name for run in group),
            **_counting(group[0]),
        }
        for group in alike.values()
    ]


def _counting(run: Run) -> dict[str, Any]:
    found = run.metrics or {}
    return {
        "queries that count": found.get("queries"),
        "without a match": found.get("queries_without_match"),
        "gallery": found.get("gallery"),
        "junk dropped": found.get("junk_dropped"),
        "protocol": found.get("protocol"),
        "excluded": str(found.get("exclude", "")).replace("_", " "),
        "AP rule": found.get("average_precision"),
        "distance": found.get("distance"),
        "dimensions": found.get("dimensions"),
    }


def cmc(runs: Runs) -> Section | None:
    """All experiments' CMC curves in one plot."""
    done = [run for run in runs.shown if run.metrics]
    lines = {run.name: run.metrics["cmc"] for run in done[:LINES] if run.metrics}
    if not lines:
        return None
    chance = max(run.metrics["chance_rank1"] for run in done if run.metrics)
    firsts = "; ".join(f"{name} {100 * shares[0]:.1f} %" for name, shares in lines.items())
    figure = Figure(
        svg(plots.cmc(lines, chance)),
        f"CMC curves. Rank-1: {firsts}; by chance {100 * chance:.1f} %.",
        "Cumulative matching characteristic: the share of queries with a right image among the "
        f"first k.{_left_out(len(done))}",
    )
    return Section("CMC", [figure])


def training(runs: Runs) -> Section | None:
    """Loss, accuracy and learning rate by epoch; papers apart, as their losses differ."""
    figures = []
    for paper in dict.fromkeys(run.paper for run in runs.shown):
        trained = [run for run in runs.shown if run.paper == paper and run.history]
        panels = _panels(trained[:LINES])
        if not panels:
            continue
        ends = "; ".join(f"{run.name}: {_end(run)}" for run in trained[:LINES])
        told = f" At the end: {ends}." if len(trained) <= TOLD else ""
        figures.append(
            Figure(
                svg(plots.curves(panels, "epoch", log=["learning rate"])),
                f"Training curves of {paper}. At the end: {ends}.",
                f"Training of {paper}: {', '.join(panels)} of each epoch.{told}"
                f"{_left_out(len(trained))}",
            )
        )
    return Section("Training", figures) if figures else None


def _left_out(count: int) -> str:
    return f" The first {LINES} of {count} experiments." if count > LINES else ""


def _panels(trained: list[Run]) -> dict[str, dict[str, plots.Curve]]:
    titles = {
        "loss": "loss", "accuracy": "accuracy", "learning_rate": "learning rate",
        "val_map": "mAP of held-out identities",
    }  # fmt: skip
    panels: dict[str, dict[str, plots.Curve]] = {
        title: {run.name: run.history[column] for run in trained if column in run.history}
        for column, title in titles.items()
    }
    return {title: lines for title, lines in panels.items() if lines}


def _end(run: Run) -> str:
    loss, accuracy = (run.history[c][1][-1] for c in ("loss", "accuracy"))
    epochs = len(run.history["epoch"][1])
    return f"loss {loss:.3f}, accuracy {100 * accuracy:.1f} % after {epochs} epochs"


def settings(runs: Runs) -> Section | None:
    """The parameters that set the experiments apart, and all of them folded."""
    blocks = list(_settings([*runs.named, *runs.others]))
    return Section("Parameters", blocks) if blocks else None


def _settings(everyone: list[Run]) -> Iterator[Table | Text]:
    names = list(dict.fromkeys(name for run in everyone for name in run.params))
    told = {n: [text_of(run.params.get(n)) for run in everyone] for n in names}
    apart = [n for n in names if len(set(told[n])) > 1]
    if len(everyone) > 1 and apart:
        lines = [
            {"experiment": r.name, **{n: told[n][i] for n in apart}} for i, r in enumerate(everyone)
        ]
        yield table(lines, "The parameters in which the experiments differ.")
    lines = [
        {"parameter": n, **{r.name: told[n][i] for i, r in enumerate(everyone[:LINES])}}
        for n in names
    ]
    if lines:
        yield table(lines, f"All parameters.{_left_out(len(everyone))}", folded=True)
