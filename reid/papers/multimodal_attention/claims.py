"""What the paper claims: colour and depth together, attention, and crops help.

The full frames of table 2 are compared with the crops of figure 3, which have the same numbers, so
that a passage is pooled on every data set as the paper does it there.
"""

from __future__ import annotations

from dataclasses import replace

from reid.papers.claim import Claim
from reid.papers.multimodal_attention.printed import FIGURE_3, FULL_FRAMES, TABLE_2

RGB, DEPTH, BOTH, MAT = (FIGURE_3.row(n) for n in ("RGB-CNN", "D-CNN", "RGB-D-CNN", "MAT"))
FRAMES = replace(TABLE_2.row(FULL_FRAMES), overrides=BOTH.overrides, on=BOTH.on)

CLAIMS = (
    Claim("colour and depth > colour", "depth beside colour", BOTH, RGB),
    Claim("colour and depth > depth", "colour beside depth", BOTH, DEPTH),
    Claim("MAT > RGB-D-CNN", "attention", MAT, BOTH, {"attention": "even"}),
    Claim("crops > full frames", "crops of the persons", BOTH, FRAMES),
)
