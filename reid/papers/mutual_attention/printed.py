"""Tables 1 to 5 of flow-guided mutual attention, as printed.

Source  Kiran et al., A flow-guided mutual attention network for video-based person
        re-identification, arXiv:2008.03788. Per cent.

The printed tables contradict each other in places: one stream with pooling of 4 frames has
75.8/83.1 in tables 1 and 2, and 75.1/83.2 in table 3; mutual attention at layer 4 has 80.0/86.6 in
table 1, which is said to pool, and tables 2 and 3 have that for weighted addition, of 16 frames. So
table 1 is taken to be of weighted addition of 16 frames, and what table 2 has beside that, mutual
attention with pooling, of 16 frames, too. The settings name 4 frames: all else there has 4.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from reid.papers.table import Row, Table, columns, others, printed

MARS = columns(mars="mAP r1")
MARS_DUKE = columns(mars="mAP r1", dukemtmc_video="mAP r1")
ILIDS = columns(ilids_vid="r1 r5")

ONE, RNN, MUTUAL = "1: Baseline", "2: one stream, RNN", "1: MA at layer 4"
SE_RESNET = "4: MA SE-ResNet-50"


def _model(model: str, aggregation: str, frames: int, **further: Any) -> dict[str, Any]:
    return {"model": model, "aggregation": aggregation, "sequence_length": frames, **further}


def _mutual(**further: Any) -> dict[str, Any]:
    """The paper's best: attention at layer 4, weighted addition of 16 frames."""
    return _model("mutual", "weighted_addition", 16, attention_layer=4, **further)


TABLE_1 = Table(
    "the layer with mutual attention",
    (
        Row("Baseline", printed(MARS, "75.8 83.1"), _model("one_stream", "average", 4)),
        *(
            Row(f"MA at layer {layer}", printed(MARS, numbers), {**_mutual(), **at})
            for layer, numbers, at in (
                (2, "78.2 84.5", {"attention_layer": 2}),
                (3, "78.8 84.9", {"attention_layer": 3}),
                (4, "80.0 86.6", {"attention_layer": 4}),
                (5, "78.1 84.3", {"attention_layer": 5}),
            )
        ),
    ),
    "Weighted addition of 16 frames, as tables 2 and 3 have layer 4's numbers; the paper's text "
    "has temporal pooling here.",
)

TABLE_2 = Table(
    "streams, attention and aggregation",
    (
        Row(
            "one stream, pooling", printed(MARS, "75.8 83.1"),
            _model("one_stream", "average", 4), ONE,
        ),
        Row(
            "two streams, no attention, pooling", printed(MARS, "76.7 84.3"),
            _model("two_stream", "average", 4),
        ),
        Row(
            "gated one stream, pooling", printed(MARS, "77.4 84.6"), _model("gated", "average", 4)
        ),
        Row(
            "MA, pooling", printed(MARS, "79.1 85.4"),
            _model("mutual", "average", 16, attention_layer=4),
        ),
        Row("one stream, RNN", printed(MARS, "75.7 82.9"), _model("one_stream", "rnn", 4)),
        Row(
            "one stream, temporal attention", printed(MARS, "76.7 83.3"),
            _model("one_stream", "temporal_attention", 4),
        ),
        Row("MA, weighted addition", printed(MARS, "80.0 86.6"), _mutual(), MUTUAL),
    ),
    "Frames of a clip: 16 with mutual attention, else 4, as far as table 3 tells.",
)  # fmt: skip

BY_LENGTH = (  # frames: one stream pooled | its RNN | gated, weighted | mutual, weighted
    (2, "71.0 81.8", "- -", "77.0 84.0", "74.8 82.4"),
    (4, "75.1 83.2", "75.7 82.9", "77.8 84.8", "77.7 85.4"),
    (6, "74.4 82.7", "- -", "77.6 84.5", "79.2 85.8"),
    (8, "73.3 82.0", "76.2 82.5", "77.3 84.2", "79.3 86.4"),
    (16, "- -", "- -", "72.5 82.9", "80.0 86.6"),
)
METHODS = (
    ("pooling", "one_stream", "average"),
    ("RNN", "one_stream", "rnn"),
    ("gated, weighted addition", "gated", "weighted_addition"),
    ("MA, weighted addition", "mutual", "weighted_addition"),
)
SAME = {("pooling", 4): ONE, ("RNN", 4): RNN, ("MA, weighted addition", 16): MUTUAL}


def _lengths() -> list[Row]:
    """Table 3 row by row; a place without a number is no row."""
    rows = []
    for frames, *places in BY_LENGTH:
        for (name, model, aggregation), numbers in zip(METHODS, places, strict=True):
            at = {"attention_layer": 4} if model == "mutual" else {}
            overrides = _model(model, aggregation, frames, **at)
            same = SAME.get((name, frames))
            if found := printed(MARS, numbers):
                rows.append(Row(f"{name}, {frames} frames", found, overrides, same))
    return rows


TABLE_3 = Table(
    "frames of a clip",
    (*_lengths(),),
    "One stream with pooling on 4 frames has 75.8/83.1 in tables 1 and 2.",
)

TABLE_4 = Table(
    "MARS and DukeMTMC-VideoReID",
    (
        *others(
            MARS_DUKE,
            """
            LOMO+XQDA: 16.4 30.7  - -
            Set2set: 51.7 73.7  - -
            JST RNN: 50.7 70.6  - -
            k-reciprocal: 58.0 67.8  - -
            TriNet: 67.7 79.8  - -
            RQEN: 71.14 77.83  - -
            Part-Alignment: 72.2 83.0  78.34 83.62
            Mask-Guided: 71.1 77.1  - -
            Snippet*: 71.1 82.1  - -
            STA: 80.8 86.3  94.9 96.2
            RevstTemPool: 75.8 83.1  - -
            COSAM-R50: 76.9 83.6  93.5 93.7
            STAL: 73.5 82.2  - -
            COSAM-SE-R50: 79.9 84.9  94.1 95.4
            STAR*: 76.0 85.4  - -
            SCAN, first: 76.7 86.6  - -
            SCAN, second: 77.2 87.2  - -
            Rec3D: 80.4 86.3  - -
            GLTR: 78.47 87.02  93.74 96.29
            """,
        ),
        Row("MA ResNet-50", printed(MARS_DUKE, "80.0 86.6  94.9 95.6"), _mutual(), MUTUAL),
        Row(
            "MA SE-ResNet-50", printed(MARS_DUKE, "80.9 87.3  94.8 96.7"),
            _mutual(squeeze_excitation=True),
        ),
    ),
    "* with optical flow.",
)  # fmt: skip

TABLE_5 = Table(
    "iLIDS-VID",
    (
        *others(
            ILIDS,
            """
            Two Stream*: 60.0 86.0
            Snippet: 85.4 87.8
            RQEN: 77.1 93.2
            STAL: 82.8 95.3
            COSAM-SE-R50: 79.6 95.3
            GLTR: 86.0 -
            Rec3D: 87.9 98.6
            """,
        ),
        Row("MA ResNet-50", printed(ILIDS, "86.2 96.4"), _mutual(), MUTUAL),
        Row(
            "MA SE-ResNet-50", printed(ILIDS, "88.1 98.4"),
            _mutual(squeeze_excitation=True), SE_RESNET,
        ),
    ),
    "* with optical flow. The paper's own are means over several splits: no number is a whole "
    "count of 150 queries. COSAM's print is not clear in our source.",
)  # fmt: skip


def _once(*tables: tuple[int, Table]) -> tuple[Row, ...]:
    """Each training of some tables one time, with the numbers of its first row."""
    found: list[Row] = []
    for number, table in tables:
        for row in table.rows:
            if all(row.overrides != other.overrides for other in found):
                found.append(replace(row, same_as=row.same_as or f"{number}: {row.name}"))
    return tuple(found)


MODELS = Table(
    "the models of tables 2 and 3",
    _once((2, TABLE_2), (3, TABLE_3)),
    "Not a table of the paper: each training of the two once, for experiments to stand beside.",
)


def _alike(model: str, **further: Any) -> dict[str, Any]:
    """4 frames, weighted addition by weights of sum one, attention at layer 3."""
    same = {"attention_layer": 3, "weighted_normalized": True}
    return _model(model, "weighted_addition", 4, **{**same, **further})


ATTENTION = Table(
    "what attention gains, one thing changed from row to row",
    (
        Row("no attention", {}, _alike("two_stream")),
        Row("even attention", {}, _alike("mutual", attention="even")),
        Row("mutual attention", {}, _alike("mutual")),
        Row("mutual attention, literal weights", {}, _alike("mutual", weighted_normalized=False)),
        Row("mutual attention, zero padding", {}, _alike("mutual", flow_padding="zero")),
    ),
    "Not a table of the paper. Two streams, 4 frames, weighted addition by weights of sum one, but "
    "literal ones, which have no denominator (equations 6 to 8). Attention is at layer 3: of small "
    "frames of 64x32 that leaves 8x4 places, where layer 4 has 4x2. Even attention spreads each "
    "frame's weight evenly over its places.",
)

TABLES: dict[int | str, Table] = {
    1: TABLE_1,
    2: TABLE_2,
    3: TABLE_3,
    4: TABLE_4,
    5: TABLE_5,
    "models": MODELS,
    "attention": ATTENTION,
}
