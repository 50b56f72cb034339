"""What the paper claims: parts by joints help, and so does each kind of attention."""

from __future__ import annotations

from reid.papers.attention_driven.printed import TABLE_6
from reid.papers.claim import Claim

CLAIMS = tuple(
    Claim(name, differs, TABLE_6.row(better), TABLE_6.row(worse))
    for name, differs, better, worse in (
        ("aligned > strips", "parts by joints, not equal strips", "Aligned", "Baseline"),
        ("intra > aligned", "intra-attention", "Intra", "Aligned"),
        ("inter > aligned", "inter-attention", "Inter", "Aligned"),
        ("intra+inter > intra", "inter-attention", "Intra+inter", "Intra"),
        ("intra+inter > inter", "intra-attention", "Intra+inter", "Inter"),
    )
)
