"""What the paper claims: swapped regions help, the most at a probability of 0.3 to 0.5."""

from __future__ import annotations

from reid.papers.claim import Claim
from reid.papers.implicit_attention.printed import FIGURE_3, TABLE_1

NONE, FULL, UPPER = (TABLE_1.row(f"{name}, triplet") for name in ("Luo", "Full body", "Upper body"))
CLAIMS = (
    Claim("swaps of the full body > none", "swaps, p = 0.3", FULL, NONE),
    Claim("swaps of the upper body > none", "swaps, p = 0.5", UPPER, NONE),
    Claim(
        "p = 0.5 > p = 0.9", "the probability of a swap, upper body",
        FIGURE_3.row("upper body, p = 0.5"), FIGURE_3.row("upper body, p = 0.9"),
    ),
)  # fmt: skip
