"""MAT: colour and depth from above, each weighing the other's places by attention.

Reads   image; `jet`, its depth as a colour image, near blue and far red
Source  Lejbolle et al., Attention in multimodal neural networks for person re-identification,
        CVPR Workshops 2018: equations 2 to 5, tables 1 to 3, figures 3 and 4
Differs where the paper is silent or unclear:
  - CaffeNet pools before it normalises, as published; the paper's sentence has it the other way.
  - the scores of places have 4096 x 169 weights and 169 biases for each modality and layer, four
    times (the paper's N for the number of places is N^2); the maps are those after ReLU.
  - g is a product of two outputs of ReLU, so large that softmax soon leaves one place of a map;
    `joint_normalized` is ours, for maps that weigh several.
  - attention looks at fc6 before dropout; X8 sees fc7 after dropout, as CaffeNet's classifier does.
  - X9 has 4096 values (`fused_width`); X8 and X9 have ReLU and dropout 0.5.
  - RGB_att and D_att are X8 of one modality, read out of MAT (`test_feature`), or a network of its
    own with a classifier on that X8 (`model`: rgb_att, d_att). RGB-D-CNN is MAT without attention:
    one FC layer over both fc7.
  - the two encoders learn at the same time in the first phase, by the sum of their losses, which
    is the same as one after the other, for they share nothing. In the second phase momentum starts
    anew and the encoders' own classifiers are left out.
  - weight decay 5e-4, Caffe's usual, also for biases; all layers have one learning rate.
  - ImageNet's mean colour is taken off both images; without `weights` pixels are best scaled, too
    (`pixel_scale`), and training from scratch is ours, not the paper's. Such a training knows
    nothing of light yet: `brightness` and `tint` change the colour image's at random, and
    `vertical_flip` turns pairs upside down, as from above they may be. The paper's are 0.
  - both encoders begin with one CaffeNet, as in the paper. `weights: world` is ours, in place of
    ImageNet's: the demo's small one, which learned to tell the persons of a rendered crowd apart
    from above, from colour and from depth in colours alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reid.papers.contract import Method, Paper
from reid.papers.multimodal_attention.claims import CLAIMS
from reid.papers.multimodal_attention.params import SCALE, Params, columns, pool, stages, weights
from reid.papers.multimodal_attention.printed import TABLES

if TYPE_CHECKING:
    from reid.papers.multimodal_attention.network import MultimodalNetwork


def method() -> Method[Params, MultimodalNetwork]:
    """How it is computed: loads torch."""
    from reid.papers.multimodal_attention.method import METHOD

    return METHOD


PAPER: Paper[Params, MultimodalNetwork] = Paper(
    name="multimodal_attention",
    params=Params,
    columns=columns,
    stages=stages,
    test_only=("test_feature", "pool", "distance"),  # change no training
    tables=TABLES,
    claims=CLAIMS,
    left_open=frozenset({"weights"}),
    scale=SCALE,
    made_by={"tvpr": "crops"},
    protocols={"opr": "split-??"},  # the mean of ten
    weights=weights,
    pool=pool,
    method=method,
)
