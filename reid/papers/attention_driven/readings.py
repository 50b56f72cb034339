"""Rows of what the paper leaves open: no table of its own."""

from __future__ import annotations

from reid.papers.table import Row, Table

READINGS = Table(
    "readings of what the paper leaves open",
    (
        Row("as read", {}, {"model": "intra_inter"}, "6: Intra+inter"),
        Row(
            "whole and parts of length 1", {}, {"model": "intra_inter", "normalize_features": True}
        ),
        Row("masks without normalisation", {}, {"model": "intra_inter", "mask_norm": False}),
    ),
    "Not a table of the paper. The first two are one training, tested twice.",
)
