"""Optical flow: how it is stored, resized and mirrored, and flow as images for networks.

Flow is (H, W, 2) float32: pixels to the right and down by which each pixel moves to the next frame.
Stored it is KITTI's 16-bit PNG: red 64 u + 32768, green 64 v + 32768, blue 1 where it is known. Its
step is 1/64 pixel; flow of 511 pixels or more in any direction does not fit and becomes unknown.

Source   Geiger et al., CVPR 2012: the devkit's flow PNG. Baker et al., IJCV 2011: the colours of
         Middlebury's flow. McLaughlin et al., CVPR 2016, code: two channels, the vertical first
Differs  Middlebury's colours are scaled by a radius that is a parameter, never the image's own, and
         beyond that radius they stay full, where Middlebury darkens them. The wheel is closed:
         Middlebury's code has a step of 42 levels at motion to the right, so that what moves a
         hair up or down flickers. Levels are rounded, not cut off.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from reid.arrays import images
from reid.arrays.images import BadImage

SCALE, ZERO = 64.0, 32768.0  # stored = SCALE * pixels + ZERO
LARGEST = 511.0  # pixels: flow of this size or more, in any direction, is not stored
TWO_CHANNEL_ZERO = 127.0

# Middlebury's wheel: from each colour to the next in so many steps, by one channel alone.
_RAMPS = (  # steps, the colour that a ramp begins with, the channel that changes, and its direction
    (15, (255, 0, 0), 1, 1),  # red to yellow
    (6, (255, 255, 0), 0, -1),  # yellow to green
    (4, (0, 255, 0), 2, 1),  # green to cyan
    (11, (0, 255, 255), 1, -1),  # cyan to blue
    (13, (0, 0, 255), 0, 1),  # blue to magenta
    (6, (255, 0, 255), 2, -1),  # magenta to red
)


class Flow(NamedTuple):
    """Flow, and where it is known."""

    px: np.ndarray  # (H, W, 2) float32, 0 where it is not known
    valid: np.ndarray  # (H, W) bool


def encode_flow(flow_px: np.ndarray, valid: np.ndarray) -> bytes:
    """(H, W, 2) pixels, valid (H, W) bool, to a 16-bit PNG; the error is 1/128 pixel at most.

    Flow of 511 pixels or more, or that is no number, becomes unknown.
    """
    valid = valid & (np.abs(flow_px) < LARGEST).all(-1)
    known = np.where(valid[..., None], flow_px, 0).astype(np.float32)
    stored = np.empty((*valid.shape, 3), np.uint16)
    stored[..., :2] = np.where(valid[..., None], np.rint(known * SCALE + ZERO), 0)
    stored[..., 2] = valid
    return images.encode_png(stored)


def decode_flow(data: bytes) -> np.ndarray:
    """A flow PNG to (H, W, 2) float32 pixels, 0 where unknown. Raises `BadImage`."""
    return decode_known_flow(data).px


def decode_known_flow(data: bytes) -> Flow:
    """A flow PNG to pixels and where they are known. Raises `BadImage` with the reason."""
    images.size_of(data)
    stored = images.decode_png(data, cv2.IMREAD_UNCHANGED)
    if stored.dtype != np.uint16 or stored.ndim != 3 or stored.shape[2] != 3:
        raise BadImage("a flow PNG must have three 16-bit channels")
    valid = stored[..., 0] > 0  # OpenCV gives the channels in reverse
    flow_px = (stored[..., :0:-1].astype(np.float32) - ZERO) / SCALE
    flow_px[~valid] = 0
    return Flow(flow_px, valid)


def resize_flow(flow_px: np.ndarray, height: int, width: int) -> np.ndarray:
    """Flow of an image that is resized to (height, width): in pixels of the new size."""
    resized = images.resize(np.ascontiguousarray(flow_px), height, width)
    return resized * np.array([width / flow_px.shape[1], height / flow_px.shape[0]], np.float32)


def resize_known_flow(flow: Flow, height: int, width: int) -> Flow:
    """As `resize_flow`; whether a pixel is known is taken from the nearest one."""
    valid = cv2.resize(
        flow.valid.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST
    )
    return Flow(resize_flow(flow.px, height, width), valid.astype(bool))


# --- flow as images ------------------------------------------------------------------------------


def make_wheel() -> np.ndarray:
    """Middlebury's (55, 3) float32 colours, red, green and blue 0 to 1, all round from red."""
    colours = []
    for steps, start, channel, direction in _RAMPS:
        ramp = np.tile(np.array(start), (steps, 1))
        ramp[:, channel] += direction * (255 * np.arange(steps) // steps)
        colours.append(ramp)
    return np.concatenate(colours).astype(np.float32) / 255


WHEEL = make_wheel()


def colour_wheel(flow_px: np.ndarray, maximum_px: float) -> np.ndarray:
    """Flow as (H, W, 3) uint8 RGB: the colour is its direction, white is no motion.

    At `maximum_px` and beyond a colour is full: to the right red, down yellow, left cyan, up blue
    and violet.
    """
    u, v = np.moveaxis(flow_px.astype(np.float32) / np.float32(maximum_px), -1, 0)
    position = (np.arctan2(-v, -u) / np.float32(np.pi) + 1) / 2 * len(WHEEL)  # (H, W)
    below = np.floor(position).astype(np.int64)
    part = (position - below)[..., None]
    full = WHEEL[below % len(WHEEL)] * (1 - part) + WHEEL[(below + 1) % len(WHEEL)] * part
    radius = np.hypot(u, v).clip(max=1)[..., None]
    return np.rint(255 * (1 - radius * (1 - full))).astype(np.uint8)


def uv_magnitude(flow_px: np.ndarray, maximum_px: float) -> np.ndarray:
    """Flow as (H, W, 3) float32: u, v and |uv| in shares of `maximum_px`, -1 to 1, 0 no motion.

    Larger flow is shown as the maximum.
    """
    scaled = flow_px.astype(np.float32) / np.float32(maximum_px)
    length = np.hypot(scaled[..., :1], scaled[..., 1:])
    return np.concatenate([scaled, length], -1).clip(-1, 1)


def two_channel(flow_px: np.ndarray) -> np.ndarray:
    """Flow as (H, W, 2) uint8: v, then u, in whole pixels + 127, of -127 to 128 pixels."""
    return np.rint(flow_px[..., ::-1] + TWO_CHANNEL_ZERO).clip(0, 255).astype(np.uint8)
