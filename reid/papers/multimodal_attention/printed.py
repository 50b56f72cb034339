"""Tables 1 to 3 of the multimodal attention network and what is known of figure 3, as printed.

Source  Lejbolle et al., Attention in multimodal neural networks for person re-identification,
        CVPR Workshops 2018. CMC in per cent; TVDH is read off its curve.

Queries: 249 sequences of DPI-T against the 213 for training, 94 persons of TVPR, 10 times 32
persons of OPR.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from reid.papers.table import Row, Table, columns, others, printed

FOUR = "r1 r5 r10 r20"
DPIT, TVPR, OPR = columns(dpit=FOUR), columns(tvpr=FOUR), columns(opr=FOUR)


def _row(
    name: str, headings: list[tuple[str, str]], numbers: str, same: str | None = None,
    **overrides: Any,
) -> Row:  # fmt: skip
    return Row(name, printed(headings, numbers), overrides, same)


TABLE_1 = Table(
    "DPI-T, full frames",
    (
        *others(DPIT, "4D RAM: 55.60 - - -\nDepth ReID: 77.50 96.00 - -"),
        _row("RGB-D-CNN", DPIT, "90.36 99.60 100 100", model="rgb_d_cnn"),
        _row("MAT", DPIT, "92.37 99.60 100 100", model="mat"),
    ),
)

FULL_FRAMES = "RGB-D-CNN, full frames"
TABLE_2 = Table(
    "TVPR, a passage's images pooled by their maximum",
    (
        *others(TVPR, "TVDH: 75.50 87.50 89.20 91.90"),
        replace(
            _row(FULL_FRAMES, TVPR, "63.83 89.36 93.62 97.87", model="rgb_d_cnn", pool="max"),
            of_source=True,
        ),
        _row(
            "RGB-D-CNN, detector crops", TVPR, "80.85 92.55 92.55 95.74",
            model="rgb_d_cnn", pool="max",
        ),
        _row("MAT, crops", TVPR, "82.98 93.62 94.68 96.81", model="mat", pool="max"),
    ),
    "The row of full frames is of the data set that `crops` was made of.",
)  # fmt: skip

TABLE_3 = Table(
    "OPR, mean of ten random splits",
    (
        _row("RGB-D-CNN", OPR, "45.63 82.81 94.69 99.69", model="rgb_d_cnn"),
        _row("MAT", OPR, "49.06 89.06 95.62 99.38", model="mat"),
    ),
)

RANK_1 = columns(dpit="r1", tvpr="r1", opr="r1")
ON_TVPR = {"tvpr": {"pool": "max"}}  # as table 2


def _curve(name: str, numbers: str, same: str | None = None, **overrides: Any) -> Row:
    row = _row(name, RANK_1, numbers, same, **overrides)
    return replace(row, on=ON_TVPR)


def _of_tables(name: str, on_tvpr: str, model: str) -> Row:
    """A curve whose numbers tables 1 to 3 print."""
    rows = TABLE_1.row(name), TABLE_2.row(on_tvpr), TABLE_3.row(name)
    numbers = {dataset: ranks for row in rows for dataset, ranks in row.printed.items()}
    return Row(name, numbers, {"model": model}, on=ON_TVPR)


FIGURE_3 = Table(
    "CMC curves of the six models",
    (
        _curve("RGB-CNN", "86.75 - 31.25", model="rgb_cnn"),
        _curve("D-CNN", "- - -", model="d_cnn"),
        _of_tables("RGB-D-CNN", "RGB-D-CNN, detector crops", "rgb_d_cnn"),
        _curve(
            "RGB_att", "91.97 72.34 36.25", "figure-3: MAT", model="mat", test_feature="rgb"
        ),
        _curve("D_att", "- - -", "figure-3: MAT", model="mat", test_feature="depth"),
        _curve("RGB_att, own classifier", "- - -", model="rgb_att"),
        _curve("D_att, own classifier", "- - -", model="d_att"),
        _of_tables("MAT", "MAT, crops", "mat"),
    ),
    "The paper draws the curves and prints no numbers beside them; those of RGB_att and RGB-CNN "
    "follow from differences in its text, those of RGB-D-CNN and MAT are of tables 1 to 3. D_att "
    "is below D-CNN on DPI-T; on TVPR neither modality gains by attention. Whether RGB_att and "
    "D_att are X8 of MAT or trained by themselves is not said: both are here.",
)  # fmt: skip

ATTENTION = Table(
    "what attention gains over its further features",
    (
        _row("RGB-D-CNN", [], "", "figure-3: RGB-D-CNN", model="rgb_d_cnn"),
        _row("MAT, even attention", [], "", model="mat", attention="even"),
        _row("MAT", [], "", "figure-3: MAT", model="mat"),
    ),
    "Not a table of the paper. Even attention has the same features, the maps' means over places "
    "of equal weight: what MAT gains over it is attention's, what it gains over RGB-D-CNN is the "
    "further features'.",
)

LAYERS = Table(
    "attention on other layers",
    (
        _row("conv5", [], "", model="mat", attention_layers=("conv5",)),
        _row("conv4, conv5", [], "", "figure-3: MAT", model="mat"),
        _row("conv3 to conv5", [], "", model="mat", attention_layers=("conv3", "conv4", "conv5")),
    ),
    "Not a table of the paper, which says in words that layers before conv4 gave no gain.",
)

TABLES: dict[int | str, Table] = {
    1: TABLE_1,
    2: TABLE_2,
    3: TABLE_3,
    "figure-3": FIGURE_3,
    "attention": ATTENTION,
    "layers": LAYERS,
}
