"""The report's plots, as SVG text: bars, curves, points. The same numbers, the same bytes.

No display is needed. Text stays text, so that a browser draws every script; names are shown as
they are, with no markup in them.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from reid.report.blocks import printable

LINES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#b58900", "#4d4d4d", "#8c564b")
DASHES = ("-", "--", "-.", ":")
STYLE: Any = {
    "svg.hashsalt": "reid",
    "svg.fonttype": "none",
    "text.parse_math": False,  # a name may hold a dollar sign
    "font.family": "DejaVu Sans",  # comes with matplotlib: the layout is the same everywhere
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "legend.frameon": False,
    "savefig.transparent": True,  # the page is light or dark
}

Curve = tuple[Sequence[float], Sequence[float]]  # x and y


@contextmanager
def _figure(width_in: float, height_in: float) -> Iterator[tuple[Figure, list[bytes]]]:
    """A figure and the list that its SVG is put into at the end."""
    out: list[bytes] = []
    with rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the browser has its own
        figure = Figure(figsize=(width_in, height_in), layout="constrained")
        FigureCanvasSVG(figure)
        yield figure, out
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
        out.append(buffer.getvalue())


def histogram(groups: Mapping[str, np.ndarray], x: str, y: str) -> bytes:
    """How often each whole number occurs, or each range of numbers where they spread far.

    `groups` holds whole numbers (N,) by the group's name; groups stand side by side.
    """
    values = np.concatenate([np.asarray(g) for g in groups.values()])
    low, high = int(values.min()), int(values.max())
    width = max(1, -(-(high - low + 1) // 24))  # so many numbers in one bar
    edges = np.arange(low, high + width + 1, width)
    with _figure(6.4, 2.4) as (figure, out):
        axes = figure.add_subplot()
        share = 0.86 * width / len(groups)
        for i, (name, group) in enumerate(groups.items()):
            counts, _ = np.histogram(group, edges)
            left = edges[:-1] - 0.43 * width + (width - 1) / 2 + i * share
            axes.bar(
                left, counts, share, align="edge", color=LINES[i % len(LINES)], label=_plain(name)
            )
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        _whole(axes.xaxis, axes.yaxis)
        axes.grid(axis="x", visible=False)
        _legend(axes, len(groups))
    return out[0]


def bars(names: Sequence[str], groups: Mapping[str, Sequence[float]], x: str, y: str) -> bytes:
    """One stack of bars for each name; `groups` holds a number a name by the group's name."""
    with _figure(max(3.2, min(6.4, 1.6 + 0.5 * len(names))), 2.4) as (figure, out):
        axes = figure.add_subplot()
        place, bottom = np.arange(len(names)), np.zeros(len(names))
        for i, (group, values) in enumerate(groups.items()):
            colour = LINES[i % len(LINES)]
            axes.bar(place, values, 0.7, bottom=bottom, color=colour, label=_plain(group))
            bottom += np.asarray(values)
        step = -(-len(names) // 16)  # labels that would run into each other are left out
        axes.set_xticks(place[::step], [_plain(n) for n in names][::step])
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        _whole(axes.yaxis)
        axes.grid(axis="x", visible=False)
        _legend(axes, len(groups))
    return out[0]


def curves(panels: Mapping[str, Mapping[str, Curve]], x: str, log: Sequence[str] = ()) -> bytes:
    """Panels side by side, a line for each name: `panels[title][name]` = (x, y).

    A name has one colour in all panels. A line of one point is a dot. The panels whose titles
    are in `log` have a logarithmic y axis.
    """
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    with _figure(3.0 * len(panels), 2.7 + 0.17 * -(-len(names) // 3)) as (figure, out):
        drawn: dict[str, Any] = {}
        for axes, (title, lines) in zip(
            np.atleast_1d(np.array(figure.subplots(1, len(panels)))), panels.items(), strict=True
        ):
            for name, (steps, values) in lines.items():
                drawn[name] = axes.plot(steps, values, **_line(names.index(name), len(steps)))[0]
            axes.set_title(title)
            axes.set_xlabel(x)
            _whole(axes.xaxis)
            if title in log:
                axes.set_yscale("log")
                axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
                axes.yaxis.set_minor_formatter(NullFormatter())
        figure.legend(
            [drawn[n] for n in names], [_plain(n) for n in names], loc="outside lower left", ncols=3
        )
    return out[0]


def cmc(lines: Mapping[str, Sequence[float]], chance: float) -> bytes:
    """Share of queries with a match among the first k, in percent, by k; `chance` at rank-1."""
    with _figure(6.4, 3.5 + 0.18 * len(lines)) as (figure, out):
        axes = figure.add_subplot()
        longest = max(len(shares) for shares in lines.values())
        for i, (name, shares) in enumerate(lines.items()):
            ranks = np.arange(1, len(shares) + 1)
            label = f"{_plain(name)}: rank-1 {100 * shares[0]:.1f} %"
            axes.plot(ranks, 100 * np.asarray(shares), **_line(i, len(shares)), label=label)
        axes.axhline(100 * chance, color="#777777", linestyle=(0, (2, 2)), linewidth=1,
                     label=f"rank-1 by chance: {100 * chance:.1f} %")  # fmt: skip
        axes.set_xlim(0.5, longest + 0.5)
        axes.set_ylim(0, 102)
        axes.set_xlabel("rank k")
        axes.set_ylabel("queries matched among the first k, %")
        _whole(axes.xaxis)
        figure.legend(loc="outside lower left")  # below: a long name must not narrow the plot
    return out[0]


def by_query(
    curve: Sequence[float], band: np.ndarray | None, average_precision: np.ndarray
) -> bytes:
    """Left a CMC curve (R,) in its band (2, R), right a histogram of average precision (Q,)."""
    with _figure(7.6, 2.6) as (figure, out):
        left, right = figure.subplots(1, 2)
        ranks = np.arange(1, len(curve) + 1)
        if band is not None:
            sides = (100 * band[0, : len(ranks)], 100 * band[1, : len(ranks)])
            left.fill_between(ranks[: band.shape[1]], *sides, color=LINES[0], alpha=0.25, lw=0)
        left.plot(ranks, 100 * np.asarray(curve), **_line(0, len(curve)))
        left.set_xlim(0.5, len(curve) + 0.5)
        left.set_ylim(0, 102)
        left.set_xlabel("rank k")
        left.set_ylabel("matched among the first k, %")
        right.hist(100 * average_precision, np.arange(0, 101, 5), color=LINES[0])
        right.set_xlim(0, 100)
        right.set_xlabel("average precision, %")
        right.set_ylabel("queries")
        right.grid(axis="x", visible=False)
        _whole(left.xaxis, right.yaxis)
    return out[0]


def means(panels: Mapping[str, Mapping[str, Mapping[float, Sequence[float]]]], x: str) -> bytes:
    """Panels side by side, lines through the means of values: `panels[title][name][x]` = values.

    The values themselves are faint dots. A name has one colour in all panels.
    """
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    with _figure(3.2 * len(panels), 2.8 + 0.17 * -(-len(names) // 3)) as (figure, out):
        drawn: dict[str, Any] = {}
        for axes, (title, lines) in zip(
            np.atleast_1d(np.array(figure.subplots(1, len(panels)))), panels.items(), strict=True
        ):
            for name, points in lines.items():
                look = {**_line(names.index(name), 1), "markersize": 5}
                places = sorted(points)
                drawn[name] = axes.plot(places, [np.mean(points[p]) for p in places], **look)[0]
                each = [(p, value) for p in places for value in points[p]]
                axes.plot(*zip(*each, strict=True), ".", color=look["color"], alpha=0.35)
            axes.set_title(title)
            axes.set_xlabel(x)
            axes.set_xticks(sorted({place for points in lines.values() for place in points}))
        figure.legend(
            [drawn[n] for n in names], [_plain(n) for n in names], loc="outside lower left", ncols=3
        )
    return out[0]


def points(groups: Mapping[str, np.ndarray]) -> bytes:
    """Points (N, 2) of a plane whose axes mean nothing, a colour for each group."""
    with _figure(6.4, 4.2) as (figure, out):
        axes = figure.add_subplot()
        for i, (name, xy) in enumerate(groups.items()):
            colour = LINES[i % len(LINES)]
            axes.scatter(xy[:, 0], xy[:, 1], 9, color=colour, linewidths=0, label=_plain(name))
        axes.set_aspect("equal")
        axes.set_axis_off()
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1), markerscale=2)
    return out[0]


def _line(index: int, points: int) -> dict[str, Any]:
    """The look of the line with this number: a colour, and dashes for where two lines meet."""
    return {
        "color": LINES[index % len(LINES)],
        "linestyle": DASHES[(index + index // len(LINES)) % len(DASHES)],
        "linewidth": 1.6,
        "marker": "o" if points == 1 else None,
        "markersize": 4,
    }


def _legend(axes: Any, groups: int) -> None:
    if groups > 1:
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1))


def _whole(*sides: Any) -> None:
    """Whole numbers alone on these axes, save those that have their own labels."""
    for side in sides:
        side.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _plain(name: str) -> str:
    """A name as a label: SVG holds no control characters, and matplotlib leaves out what begins
    with an underscore."""
    shown = printable(name)
    return f" {shown}" if shown.startswith("_") else shown
