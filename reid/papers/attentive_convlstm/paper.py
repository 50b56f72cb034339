"""Siamese video network whose attentive ConvLSTM weighs places of a clip's frames.

Reads   image; `flow`, each frame's optical flow to the next, by Lucas and Kanade (`lucas_kanade`)
Source  Zamprogno et al., video-based convolutional attention for person re-identification:
        tables 1 and 2. The network of a frame, inputs, training and test are McLaughlin et al.'s,
        CVPR 2016, and its published code; the ConvLSTM is Cornia et al.'s (convlstm.py)
Differs where the paper is silent or unclear:
  - the number of filters in table 2 is taken as the channels of the attention's convolutions; 0 is
    no ConvLSTM at all. `filters_are` maps: so many attention maps, each with a softmax of its own.
  - places of all frames compete in one softmax (`attention_over` clip). frame: places of a frame
    compete, and its share of the clip is its weight in the average over frames.
  - softmax makes weights of about 1 / 1280, which would leave the ConvLSTM next to no input, and at
    a test's 128 frames an eighth of that: weights are multiplied by the number of places
    (`attention_total` places); Cornia et al. leave them as they are (one).
  - `std_root`: McLaughlin et al.'s code takes the root of the standard deviation (sqrt), which
    reads like a slip; std divides by the deviation itself.
  - Lucas and Kanade's method follows windows coarse to fine, in OpenCV's pyramid, where McLaughlin
    et al.'s is of a single scale (`levels: 0` of the stage). Whether a frame's flow is from the
    frame before or to the next is not said: to the next.
  - 4 refinement steps, 32 filters in the state; it stands between the third layer's maps and the
    fully connected one. The classifier sees the averaged feature of length 1, as the distance does.
  - no recurrence over frames; `recurrent` is McLaughlin et al.'s without the vector that their code
    learns for the first frame.
  - the published code turns a picture's flow left to right without changing its sign, and rounds
    flow to whole pixels: here u changes its sign and fractions are kept. Both leave flow in pixels
    of the original frame, cut off at -127 and 128, and resize it with the frame.
  - a channel without contrast, as a standing picture's flow, is 0; the published code divides by 0.
  - pairs whose tracklets are too short are never drawn; the published code skips such a step. Of
    persons with more than two tracklets, two are drawn.
  - several `pairs` in a batch and `one_cycle` are for short trainings on a CPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reid.papers.attentive_convlstm.claims import CLAIMS
from reid.papers.attentive_convlstm.params import SCALE, Params, clips, columns, stages
from reid.papers.attentive_convlstm.printed import TABLES
from reid.papers.contract import Method, Paper

if TYPE_CHECKING:
    from reid.papers.attentive_convlstm.network import VideoNetwork


def method() -> Method[Params, VideoNetwork]:
    """How it is computed: loads torch."""
    from reid.papers.attentive_convlstm.method import METHOD

    return METHOD


PAPER: Paper[Params, VideoNetwork] = Paper(
    name="attentive_convlstm",
    params=Params,
    columns=columns,
    stages=stages,
    test_only=("test_length", "test_crops", "test_flips", "distance"),  # change no training
    tables=TABLES,
    claims=CLAIMS,
    left_open=frozenset(),
    scale=SCALE,
    built={"flow": {"backend": "lucas_kanade"}},
    protocols={"ilids_vid": "split-??"},  # the mean of several
    clips=clips,
    method=method,
)
