"""Table 1 and figure 3 of implicit attention by swapped regions, as printed.

Source  Yaghoubi et al., on RAP. Figure 3 prints no numbers; those that table 1 also has stand
        there.

Which probability table 1 has for the upper body is not said: its rank-1 is the best of figure 3,
which is at 0.5. The text's gain of the upper body over the baseline, about 5 points of rank-1, is
not table 1's: 18.3 (softmax) and 16.3 (triplet).
"""

from __future__ import annotations

from reid.papers.table import Row, Table, columns, printed

RAP = columns(rap="r1 r5 r10 mAP")
UPPER_BODY = {"backgrounds": {"region": "upper_body"}}
BASELINE, FULL, UPPER = 0.0, 0.3, 0.5  # probabilities of a swap in table 1

TABLE_1 = Table(
    "strong baseline without and with swaps",
    tuple(
        Row(
            f"{name}, {configuration}",
            printed(RAP, numbers),
            {"configuration": configuration, "swap_probability": probability},
            stages=UPPER_BODY if probability == UPPER else {},
        )
        for configuration, name, probability, numbers in (
            ("softmax", "Luo", BASELINE, "44.6 66.5 74.6 30.4"),
            ("softmax", "Upper body", UPPER, "62.9 79.8 84.7 40.2"),
            ("softmax", "Full body", FULL, "65.7 82.2 87.2 45.0"),
            ("triplet", "Luo", BASELINE, "48.5 69.7 77.6 33.5"),
            ("triplet", "Upper body", UPPER, "64.8 81.4 85.9 42.4"),
            ("triplet", "Full body", FULL, "69.0 83.6 88.1 46.3"),
        )
    ),
    "Swaps: full body with probability 0.3, upper body with 0.5 (read off figure 3).",
)


def _point(region: str, probability: float, same: str | None = None) -> Row:
    """A run of figure 3, which is the run `same` of table 1 where that is given."""
    upper = region == "upper body"
    return Row(
        f"{region}, p = {probability}" if probability else "baseline",
        TABLE_1.row(same).printed if same else {},
        {"configuration": "triplet", "swap_probability": probability},
        f"1: {same}" if same else None,
        UPPER_BODY if upper else {},
    )


FIGURE_3 = Table(
    "probability of a swap",
    (
        _point("", BASELINE, "Luo, triplet"),
        _point("upper body", 0.1),
        _point("upper body", 0.3),
        _point("upper body", 0.5, "Upper body, triplet"),
        _point("upper body", 0.7),
        _point("upper body", 0.9),
        _point("full body", 0.3, "Full body, triplet"),
        _point("full body", 0.5),
    ),
    "The figure shows ranks 1, 5, 10 and 50 and mAP as curves. The text puts the best probability "
    "between 0.3 and 0.5.",
    metrics=("r50",),
)

COUNTS = Table(
    "images of RAP that the paper trained and tested on",
    (
        Row("the paper", printed(columns(rap="train query gallery"), "13101 7173 13392")),
        Row("RAP, as published", printed(columns(rap="train query gallery"), "13178 7202 13460")),
    ),
    "The authors' loader leaves out images without a pose, of queries too, so their test is not "
    "quite the published one. RAP's published counts are as the reader `rap` has them.",
)

TABLES: dict[int | str, Table] = {1: TABLE_1, "figure-3": FIGURE_3, "counts": COUNTS}
