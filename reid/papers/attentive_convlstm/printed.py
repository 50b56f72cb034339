"""Tables 1 and 2 of the attentive ConvLSTM network, as printed.

Source  Zamprogno et al., video-based convolutional attention for person re-identification, on
        iLIDS-VID. CMC in per cent.

What the number of filters in table 2 counts is not said: see `Differs` in the paper's file.
"""

from __future__ import annotations

from typing import Any

from reid.papers.table import Row, Table, columns, others, printed

ILIDS = columns(ilids_vid="r1 r5 r10 r20")


def _row(name: str, numbers: str, same: str | None = None, **overrides: Any) -> Row:
    return Row(name, printed(ILIDS, numbers) if numbers else {}, overrides, same)


TABLE_1 = Table(
    "comparison on iLIDS-VID",
    (
        _row("Ours", "63.3 87.4 94 97.8", attention_filters=3),
        *others(
            ILIDS,
            """
            Xu: 62 86 94 98
            Zhang: 60.2 85.1 - 94.2
            McLaughlin: 58 84 91 96
            Zheng: 53 81.4 - 95.1
            Yan: 49.3 76.8 85.3 90.1
            """,
        ),
    ),
)

TABLE_2 = Table(
    "filters of the attention",
    (
        _row("0", "60.5 84.8 93 96.9", attention_filters=0),
        _row("1", "59.4 85.7 93.2 97.4", attention_filters=1),
        _row("2", "63 87.7 93.9 97.3", attention_filters=2),
        _row("3", "63.3 87.4 94 97.8", "1: Ours", attention_filters=3),
        _row("4", "59.6 87.2 93.9 97.7", attention_filters=4),
    ),
    "0 filters: no attention.",
)

READINGS = Table(
    "readings of what the paper leaves open",
    (
        _row("no attention", "", "2: 0", attention_filters=0),
        _row("recurrent, no attention", "", attention_filters=0, recurrent=True),
        _row("attention over a clip", "", "1: Ours", attention_filters=3, attention_over="clip"),
        _row("attention over each frame", "", attention_filters=3, attention_over="frame"),
        _row("filters are maps", "", attention_filters=3, filters_are="maps"),
        _row("weights of sum one", "", attention_filters=3, attention_total="one"),
        _row("channels over their deviation", "", attention_filters=3, std_root="std"),
    ),
    "Not a table of the paper. The recurrent network without attention is McLaughlin et al.'s but "
    "for the length of its feature, which is one here.",
)

ATTENTION = Table(
    "what attention gains over its ConvLSTM",
    (
        _row("no ConvLSTM", "", "2: 0", attention_filters=0),
        _row("3 filters, even attention", "", attention_filters=3, attention="even"),
        _row("3 filters", "", "1: Ours", attention_filters=3),
    ),
    "Not a table of the paper. Even attention leaves the ConvLSTM as it is, every place with the "
    "same weight: what 3 filters gain over it is attention's.",
)

TABLES: dict[int | str, Table] = {
    1: TABLE_1,
    2: TABLE_2,
    "readings": READINGS,
    "attention": ATTENTION,
}
