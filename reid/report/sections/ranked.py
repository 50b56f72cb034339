"""Ranked lists: for some queries the first gallery images of each experiment, right and wrong."""

from __future__ import annotations

from reid.report.blocks import Row, Section, Sheet, Shot, Text, percent
from reid.report.sections.pictures import shot
from reid.results.built import BuiltData, Run, Runs, by_precision

SHOWN = 10  # gallery images of a list
EXPERIMENTS = 6  # lists of a query
QUANTILES = {  # of the queries, sorted from the best on
    "best": 0.0,
    "upper quarter": 0.25,
    "median": 0.5,
    "lower quarter": 0.75,
    "worst": 1.0,
}


def lists(runs: Runs) -> Section | None:
    """The same queries for all experiments, so that their lists can be compared."""
    done = [run for run in runs.shown if run.ranked][:EXPERIMENTS]
    sheets = [_sheet(runs.built, done, query, place) for query, place in choose(done)]
    text = (
        f"The first {SHOWN} gallery images that each experiment finds for the same queries, chosen "
        "by their average precision (AP), mean over the experiments. Right images, of the same "
        "person, have a green frame and a tick; wrong ones a red double frame and a cross. Where "
        "samples are clips, the lists are of tracklets, each shown by its first frame."
    )
    return Section("Ranked lists", [Text(text), *sheets]) if sheets else None


def choose(done: list[Run]) -> list[tuple[str, str]]:
    """(query, its place) from the best to the worst by average precision, mean over experiments."""
    order = by_precision(done)
    places: dict[str, str] = {}
    for name, share in QUANTILES.items():
        if order:
            places.setdefault(order[round(share * (len(order) - 1))], name)
    return list(places.items())


def _sheet(built: BuiltData, done: list[Run], query: str, place: str) -> Sheet:
    rows = []
    for run in done:
        found = run.ranked[query]
        pairs = zip(found["gallery"][:SHOWN], found["match"][:SHOWN], strict=True)
        shots = [_shot(built, image_id, match) for image_id, match in pairs]
        note = (
            f"AP {percent(found['average_precision'])} %, first right one at rank "
            f"{found['first_match']:,}"
        )
        rows.append(Row(run.name, [_shot(built, query, None), *shots], note))
    first = rows[0].shots[0].alt if rows else query
    caption = f"{place.capitalize()} query by average precision: {first}."
    return Sheet(rows, caption, ["query", *map(str, range(1, SHOWN + 1))])


def _shot(built: BuiltData, image_id: str, match: bool | None) -> Shot:
    position = built.positions.get(image_id)
    if position is None:  # the data set was built anew since
        return Shot(None, f"{image_id}: not in the data set any more", "gone", match)
    label = f"camera {built.data.labels('camera')[position]}"
    return shot(built, position, label, match)
