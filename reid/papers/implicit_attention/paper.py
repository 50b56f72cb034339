"""Strong baseline with implicit attention: a person's region over other images' backgrounds.

Reads   image; while training with swaps also the columns of `backgrounds`
Source  Yaghoubi et al., implicit attention by swapped regions of interest, on RAP, and the authors'
        code (size, epochs, order of augmentation); the network and the rest of the recipe are
        Luo et al., Bag of tricks and a strong baseline, CVPRW 2019, and its published code
Differs where the paper and the codes disagree or are silent:
  - colours keep their order; the authors' code gave swapped images blue for red.
  - swaps are drawn among training images that resemble each other, as `backgrounds` lists them;
    the code drew among all images, tests included, with the constraints switched off. An image
    without a partner stays as it is.
  - which masks resemble each other: the paper writes its two comparisons the other way round and
    gives no overlap. Here areas are at a ratio of 0.8 and masks at an IoU of 0.5 at least, as in
    the code. An image has 256 partners at most, drawn among all that resemble it.
  - without viewpoint labels poses are clustered by k-means, where the paper clusters their t-SNE.
  - samples are squared at 256, as the stage does it, and resized before they are swapped, not
    after: see reid/data/swaps.py.
  - `softmax` leaves out a last batch that is not full, and has no label smoothing, as the code.
  - erased rectangles get the colour that is ImageNet's mean *after* normalising, as the code has
    it: a light gray. `erase_fill` 0, 0, 0 is the mean itself.
  - upper body: the best probability, 0.5, is read off figure 3; the default is the full body's.
  - `one_cycle`, `channels` and other backbones are for small trainings. So is `weights: world` in
    place of ImageNet: the demo's small backbone, fitted to a rendered crowd.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reid.papers.contract import Method, Paper
from reid.papers.implicit_attention.claims import CLAIMS
from reid.papers.implicit_attention.params import (
    SCALE,
    SEARCH,
    Params,
    columns,
    stages,
    training_columns,
    training_stages,
    weights,
)
from reid.papers.implicit_attention.printed import TABLES

if TYPE_CHECKING:
    from reid.papers.implicit_attention.network import StrongBaseline


def method() -> Method[Params, StrongBaseline]:
    """How it is computed: loads torch."""
    from reid.papers.implicit_attention.method import METHOD

    return METHOD


PAPER: Paper[Params, StrongBaseline] = Paper(
    name="implicit_attention",
    params=Params,
    columns=columns,
    stages=stages,
    test_only=("test_feature", "normalize_features", "distance"),  # change no training
    tables=TABLES,
    claims=CLAIMS,
    left_open=frozenset({"weights"}),
    scale=SCALE,
    built={"backgrounds": SEARCH},
    weights=weights,
    training_columns=training_columns,
    training_stages=training_stages,
    method=method,
)
