"""What the paper claims: flow, mutual attention, weighted addition and more frames help.

Table 2 has mutual attention with pooling of 16 frames (79.1 mAP) beside two streams without it of
4 (76.7): two differences. Both have 4 frames here, of which the paper prints no number.
"""

from __future__ import annotations

from reid.papers.claim import Claim
from reid.papers.mutual_attention.printed import TABLE_2, TABLE_3
from reid.papers.table import Row

ONE, TWO = (TABLE_2.row(f"{n}, pooling") for n in ("one stream", "two streams, no attention"))
POOLED, WEIGHTED = TABLE_2.row("MA, pooling"), TABLE_2.row("MA, weighted addition")
POOLED_4 = Row("MA, pooling, 4 frames", {}, {**(TWO.overrides or {}), "model": "mutual"})

CLAIMS = (
    Claim("two streams > one", "a stream of flow", TWO, ONE),
    Claim("mutual > two streams", "mutual attention", POOLED_4, TWO, {"attention": "even"}),
    Claim("weighted addition > average", "the aggregation of frames", WEIGHTED, POOLED),
    Claim(
        "16 frames > 4", "frames of a clip",
        TABLE_3.row("MA, weighted addition, 16 frames"),
        TABLE_3.row("MA, weighted addition, 4 frames"),
    ),
)  # fmt: skip
