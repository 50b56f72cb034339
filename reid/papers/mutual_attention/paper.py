"""Flow-guided mutual attention: images and optical flow show each other where a person moves.

Reads   image; `flow`, each frame's optical flow to the next, in pixels (not for one_stream)
Source  Kiran et al., A flow-guided mutual attention network for video-based person
        re-identification, arXiv:2008.03788: equations 3 to 8, tables 1 to 5, figure 5; the base
        system is Gao and Nevatia's, arXiv:1805.02104, and its code (size, losses, recipe)
Differs where the paper is silent, unclear or contradicts itself:
  - layers count the stem as 1: layer 4 is torchvision's layer3, 14x7 places at 224x112.
  - the convolutions that make M begin as the mean over channels: with random weights many begin
    below zero everywhere, where ReLU lets nothing be learnt.
  - how flow becomes an image is not said: a colour wheel, white where nothing moves, one maximum
    for all frames (`flow_maximum_px`; null measures it), then as images are. `uv_magnitude` and
    `uv` are ours.
  - `flow_padding`: where nothing moves flow is white, far from the zeros that a ResNet puts around
    its maps, so that M marks the borders of still frames. Here the flow's network repeats its
    maps' edges: still flow is as salient at the border as inside. zero is a ResNet's usual.
  - flow is from a frame to the next one, and the last frame's is the one before it once more; the
    paper's F of t-1 leads from the frame before to frame t.
  - the reference of weighted addition is both "the maximum in the temporal domain" and "a frame by
    maximum activation": the first, or `reference: frame`, one frame for both streams, by the sum
    of their activations. Each stream has its own e.
  - weights of weighted addition have no denominator in eq. 6 to 8; `weighted_normalized` has one.
  - [phi; f], 4096 values, goes through a fully connected layer to 2048, which is the test feature:
    the layer that "is removed" for the test is the classifier. One stream has no such layer. How
    it begins is not said: from random weights, which mix both streams' features from the first
    step on; with `join_start: image` it passes the images' feature, as much as it has room for, and
    nothing yet of flow's.
  - `gated`: a shallow flow network of AlexNet's five convolutions, with its first two poolings,
    from random weights or AlexNet's (`gate_weights`), which the paper does not say; its mean over
    channels, resized, goes through a sigmoid.
  - temporal attention and the LSTM (512 values, mean over time) are the base system's.
  - one draw of crop and flip for a clip, where the base system's code has one a frame: flow has
    to follow. Enlarged flow is multiplied by as much, and mirrored flow has -u.
  - a clip has 4 frames, as the settings say; the best numbers are at 16. `backbone`, `channels`,
    `one_cycle`, `brightness` and `tint` are for small trainings from scratch. `weights: world` is
    ours, in place of ImageNet: the demo's small network, fitted to images of a rendered crowd. As
    in the paper both streams begin with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reid.papers.contract import Method, Paper
from reid.papers.mutual_attention.claims import CLAIMS
from reid.papers.mutual_attention.flow_maximum import choose, left_to_choose
from reid.papers.mutual_attention.params import SCALE, Params, clips, columns, stages, weights
from reid.papers.mutual_attention.printed import TABLES

if TYPE_CHECKING:
    from reid.papers.mutual_attention.network import VideoNetwork


def method() -> Method[Params, VideoNetwork]:
    """How it is computed: loads torch."""
    from reid.papers.mutual_attention.method import METHOD

    return METHOD


PAPER: Paper[Params, VideoNetwork] = Paper(
    name="mutual_attention",
    params=Params,
    columns=columns,
    stages=stages,
    test_only=("distance",),  # change no training
    tables=TABLES,
    claims=CLAIMS,
    left_open=frozenset({"weights", "gate_weights", "join_start", "flow_maximum_px"}),
    scale=SCALE,
    protocols={"ilids_vid": "split-??"},  # the mean of several
    weights=weights,
    clips=clips,
    left_to_choose=left_to_choose,
    choose=choose,
    method=method,
)
