"""What the paper claims: parts by joints help, and so does each kind of attention.

Controls: intra-attention's masks without their places; the parts' features joined and trained as
inter-attention's are, but not weighed.
"""

from __future__ import annotations

from reid.papers.attention_driven.printed import TABLE_6
from reid.papers.claim import Claim

CLAIMS = tuple(
    Claim(name, differs, TABLE_6.row(better), TABLE_6.row(worse), control)
    for name, differs, better, worse, control in (
        ("aligned > strips", "parts by joints, not equal strips", "Aligned", "Baseline", None),
        ("intra > aligned", "intra-attention", "Intra", "Aligned", {"attention": "even"}),
        ("inter > aligned", "inter-attention", "Inter", "Aligned", {"fusion": "concatenation"}),
        ("intra+inter > intra", "inter-attention", "Intra+inter", "Intra", None),
        ("intra+inter > inter", "intra-attention", "Intra+inter", "Inter", None),
    )
)
