"""Derived-data stages, one file each. They meet only through files, never by import."""

STAGES = {  # in the order of the flow; the summary is what `reid --help` shows
    "joints": "18 body joints with confidence, OpenPose order.",
    "parts": "Whole body and four part boxes from joints (Yang et al., eqs. 1 and 2).",
}
