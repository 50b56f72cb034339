"""Attention-driven part network: a whole body and four parts, weighed inside and between.

Reads   image; `parts`, the boxes of the whole body and of head, upper body, upper and lower leg
Source  Yang et al., Attention driven person re-identification, Pattern Recognition 2019
        (arXiv:1810.05866): table 1 (layers), eq. 5 to 8 (attention), section 4 (recipe)
Differs where the paper is silent or unclear:
  - shortcuts are projections, which train well; parameter-free ones (pooling and zero channels)
    give the paper's 6.8 M and 10.4 M parameters. The stride is in a unit's first 1x1 convolution.
    Table 12's multiply-adds (2.26 G) do not follow from table 1's strides (2.01 G); their growth
    by intra-attention (0.43 G and 3.6 M parameters) does.
  - Conv1, the one shared layer, has its own batch normalisation for the whole body and for parts.
  - intra-attention: a residual unit to the block's output size (middle a quarter, parameter-free
    shortcut), one unit a level down and up, skips by sum; the mask comes from a 3x3 convolution
    to one map times a 1x1 convolution of the channel means, a 1x1 convolution and a sigmoid, with
    batch normalisation after each convolution. The paper names none; without it (`mask_norm`) the
    product grows until, within some hundred steps, the sigmoids are all at 0 or 1, and no mask
    learns. Gains and shifts have no weight decay. `attention: even` is ours, a control: a mask's
    mean over places in each place.
  - the reduced features (256 and 128) have no ReLU, and no normalisation unless `feature_norm`
    asks for it.
  - "FC fusion" is one fully connected layer over the joined features of the whole body and the
    parts, 768 values to 768, which are the fused feature of training and test.
  - fusion at test only ("Concatenation", also Baseline, Aligned and Intra): trained by the five
    branch losses alone, each with weight 1; the accuracy then counts the branches' mean vote.
  - the test feature is joined as the fused classifier was trained on it; the distance is cosine.
    `normalize_features` brings the whole's and the parts' feature to length 1 each before, another
    reading of their "same weight".
  - momentum 0.9, weight decay 5e-4, horizontal flips. Which images' channel mean is taken off is
    not said: here the training images'; then pixels are divided by 255, which batch
    normalisation undoes. Boxes beyond the image repeat its edge.
  - the paper begins from 9 epochs of ImageNet; here `weights` has to name a file, such as `reid
    pretrain` makes, else the training is from scratch. `world` is the demo's small network,
    fitted to tell the persons of a rendered crowd apart; attention begins as from scratch.
  - which joints bound a part is a reconstruction from the paper's numbering, of which a part is
    lost: see the stage `parts`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reid.papers.attention_driven.claims import CLAIMS
from reid.papers.attention_driven.params import SCALE, Params, columns, stages, weights
from reid.papers.attention_driven.printed import TABLES
from reid.papers.contract import Method, Paper

if TYPE_CHECKING:
    from reid.papers.attention_driven.network import PartNetwork


def method() -> Method[Params, PartNetwork]:
    """How it is computed: loads torch."""
    from reid.papers.attention_driven.method import METHOD

    return METHOD


PAPER: Paper[Params, PartNetwork] = Paper(
    name="attention_driven",
    params=Params,
    columns=columns,
    stages=stages,
    test_only=("test_feature", "normalize_features", "distance"),  # change no training
    tables=TABLES,
    claims=CLAIMS,
    left_open=frozenset({"weights"}),
    scale=SCALE,
    built={"parts": {"beta": 5 / 48, "wrists": True}},
    protocols={"cuhk03_labeled": "classic-01", "cuhk03_detected": "classic-01"},
    weights=weights,
    method=method,
)
