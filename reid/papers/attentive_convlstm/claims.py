"""What the paper claims: attention over a clip helps; and, as McLaughlin et al.'s, longer clips.

Of clips the paper prints no numbers.
"""

from __future__ import annotations

from dataclasses import replace

from reid.papers.attentive_convlstm.printed import TABLE_2
from reid.papers.claim import Claim

NONE, THREE = TABLE_2.row("0"), TABLE_2.row("3")
LONG, SHORT = (
    replace(THREE, name=f"3 filters, {n} frames", printed={}, same_as=None,
            overrides={**(THREE.overrides or {}), "length": n})
    for n in (16, 4)
)  # fmt: skip

CLAIMS = (
    Claim("3 filters > 0", "attention", THREE, NONE, {"attention": "even"}),
    Claim("16 frames > 4", "frames of a training clip", LONG, SHORT),
)
