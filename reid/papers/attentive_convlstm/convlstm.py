"""Attentive convolutional LSTM: refines the maps of a clip's frames by looking again and again.

Source  the attentive ConvLSTM of Cornia et al., IEEE Transactions on Image Processing 2018
        (saliency of single images), as Zamprogno et al. put it between the maps of frames and
        their average
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from reid.papers.attentive_convlstm.params import Attention, FiltersAre, Over, Total

NORMAL_STD = 0.05  # of convolutions of the input


class Attended(NamedTuple):
    """What the last refinement step leaves."""

    maps: Tensor  # (B, T, filters, H, W): the state H
    weights: Tensor  # (B, M, T, H, W): A, whose sum is one over a clip, or over each frame
    share: Tensor  # (B, T): the frames' parts of the clip's attention; their sum is one


class AttentiveConvLSTM(nn.Module):
    """`steps` looks at the same input X, each weighed by where the state says to look.

        Z = V * tanh(W * H + U * X + b),  A = softmax(Z),  X~ = A X
        I, F, O = sigmoid(W_g * X~ + U_g * H + b_g),  G = tanh(W_c * X~ + U_c * H + b_c)
        C' = F C + I G,  H' = O tanh(C'),                  from H = C = 0

    `*` is a 3x3 convolution within a frame. The frames of a clip meet in the softmax alone: over
    all their places (`over` clip), or over each frame's own, when a frame's share of the clip is
    left to whoever averages frames (`over` frame).

    `attention_filters` are the channels of W and U, or, where `filters_are` maps, so many maps Z,
    each with a softmax of its own; the input weighed by each map is then joined channel-wise.
    `total` is what A is scaled to where it weighs X: `one`, as the softmax leaves it, or the
    number of its `places`, with which even weights leave X as it is. V begins at zero: even. It
    stays so where `attention` is not learned.
    """

    def __init__(
        self, inputs: int, filters: int = 32, attention_filters: int = 3, steps: int = 4,
        over: Over = "clip", filters_are: FiltersAre = "channels", total: Total = "one",
        attention: Attention = "learned",
    ) -> None:  # fmt: skip
        super().__init__()
        self.filters, self.steps, self.over, self.total = filters, steps, over, total
        many = filters_are == "maps"
        hidden, maps = (filters, attention_filters) if many else (attention_filters, 1)
        self.attend_input = _convolution(inputs, hidden)  # U and b
        self.attend_state = _convolution(filters, hidden, bias=False)  # W
        self.score = _convolution(hidden, maps, bias=False)  # V
        self.gate_input = _convolution(maps * inputs, 4 * filters)  # W_i, W_f, W_o, W_c
        self.gate_state = _convolution(filters, 4 * filters, bias=False)  # U_i, U_f, U_o, U_c
        nn.init.zeros_(self.score.weight)
        self.score.requires_grad_(attention == "learned")
        for gate in self.gate_state.weight.detach().chunk(4):
            nn.init.orthogonal_(gate)

    def forward(self, clip: Tensor) -> Attended:
        """X (B, T, C, H, W) to the refined maps and the last step's attention."""
        shape = clip.shape[:2]
        x = clip.flatten(0, 1)  # (B * T, C, H, W)
        seen = self.attend_input(x)  # the same at every step
        state = cell = x.new_zeros(x.shape[0], self.filters, *x.shape[2:])
        z = weights = seen
        for step in range(self.steps):
            first = step == 0  # the state is zero, and so are its convolutions
            z = self.score((seen if first else seen + self.attend_state(state)).tanh())
            weights = self.softmax(z.unflatten(0, shape).transpose(1, 2))  # (B, M, T, H, W)
            gates = self.gate_input(self.weigh(clip, weights).flatten(0, 1))
            gates = gates if first else gates + self.gate_state(state)
            i, f, o, g = gates.chunk(4, 1)
            cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
            state = o.sigmoid() * cell.tanh()
        score = z.unflatten(0, shape).transpose(1, 2).flatten(3)  # (B, M, T, H * W)
        share = score.logsumexp(3).softmax(2).mean(1)
        return Attended(state.unflatten(0, shape), weights, share)

    def softmax(self, z: Tensor) -> Tensor:
        """(B, M, T, H, W), over the places of a clip or of a frame."""
        first = 2 if self.over == "clip" else 3
        return z.flatten(first).softmax(-1).unflatten(-1, z.shape[first:])

    def weigh(self, clip: Tensor, weights: Tensor) -> Tensor:
        """X~ (B, T, M * C, H, W): (B, T, C, H, W) weighed by each of (B, M, T, H, W)."""
        if self.total == "places":
            weights = (
                weights * weights[0, 0].numel() / (1 if self.over == "clip" else clip.shape[1])
            )
        weighed = clip[:, :, None] * weights.transpose(1, 2)[:, :, :, None]  # (B, T, M, C, H, W)
        return weighed.flatten(2, 3)


def _convolution(inputs: int, outputs: int, *, bias: bool = True) -> nn.Conv2d:
    """3x3 of the same size, begun with small normal weights and no bias."""
    layer = nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias)
    nn.init.normal_(layer.weight, std=NORMAL_STD)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
