"""Draws joints, limbs, boxes and masks over images, and lays images out as a labelled grid.

Images are (H, W, 3) uint8 RGB; every function returns a new one. Lines have a dark rim, so that
they show on any clothes. Colours are those of Okabe and Ito, which colour-blind people can tell
apart.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from reid.arrays.poses import JOINT

Colour = tuple[int, int, int]  # R, G, B

WHITE, PAPER, INK = (255, 255, 255), (244, 244, 242), (40, 40, 40)

PARTS: dict[str, Colour] = {  # in the order of the column `parts`
    "whole body": (240, 228, 66),
    "head": (230, 120, 0),
    "upper body": (86, 180, 233),
    "upper leg": (0, 190, 130),
    "lower leg": (225, 130, 185),
}

LIMBS: dict[str, tuple[tuple[str, str], ...]] = {  # what is drawn in each part's colour
    "head": (
        ("neck", "nose"), ("nose", "right_eye"), ("nose", "left_eye"),
        ("right_eye", "right_ear"), ("left_eye", "left_ear"),
    ),
    "upper body": (
        ("neck", "right_shoulder"), ("right_shoulder", "right_elbow"),
        ("right_elbow", "right_wrist"), ("neck", "left_shoulder"),
        ("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"),
        ("neck", "right_hip"), ("neck", "left_hip"),
    ),
    "upper leg": (("right_hip", "right_knee"), ("left_hip", "left_knee")),
    "lower leg": (("right_knee", "right_ankle"), ("left_knee", "left_ankle")),
}  # fmt: skip

FONT = cv2.FONT_HERSHEY_SIMPLEX
LABEL_PX = 16  # height of a grid's line of text
SHIFT = 3  # fractional bits of the coordinates that OpenCV draws


def joints(
    image: np.ndarray, joints_px: np.ndarray, *, min_confidence: float = 0.2, thickness: int = 2
) -> np.ndarray:
    """Limbs and joints over an image; `joints_px` (18, 3) = x, y in pixels and confidence.

    A limb is drawn where both of its joints are confident. A joint below `min_confidence` is drawn
    as a ring; one that is not finite or has no confidence at all is left out.
    """
    out = image.copy()
    seen = np.isfinite(joints_px).all(1) & (joints_px[:, 2] > 0)
    confident = seen & (np.where(seen, joints_px[:, 2], 0) >= min_confidence)
    ends = {
        n: (_fixed(joints_px[i, 0]), _fixed(joints_px[i, 1])) for n, i in JOINT.items() if seen[i]
    }
    for colour, width in ((INK, thickness + 2), (None, thickness)):
        for part, limbs in LIMBS.items():
            for a, b in limbs:
                if confident[JOINT[a]] and confident[JOINT[b]]:
                    cv2.line(
                        out, ends[a], ends[b], colour or PARTS[part], width, cv2.LINE_AA, SHIFT
                    )
    radius = (thickness + 1) << SHIFT
    for name, centre in ends.items():
        fill = cv2.FILLED if confident[JOINT[name]] else 1
        cv2.circle(out, centre, radius + (1 << SHIFT), INK, fill, cv2.LINE_AA, SHIFT)
        cv2.circle(out, centre, radius, WHITE, fill, cv2.LINE_AA, SHIFT)
    return out


def boxes(
    image: np.ndarray,
    boxes_px: np.ndarray,
    colours: Sequence[Colour] = tuple(PARTS.values()),
    *,
    thickness: int = 2,
) -> np.ndarray:
    """Boxes (N, 4) = x1, y1, x2, y2 pixels over an image, the colours in turn.

    Each box is drawn a line's width narrower at the sides than the one before, because boxes of
    body parts share their left and right. A box that is not finite is left out.
    """
    out = image.copy()
    for colour, width in ((INK, thickness + 2), (None, thickness)):
        for i, (x1, y1, x2, y2) in enumerate(boxes_px):
            if not np.isfinite(boxes_px[i]).all():
                continue
            inset = i * (thickness + 1)
            low = (_fixed(x1 + inset), _fixed(y1))
            high = (_fixed(x2 - inset), _fixed(y2))
            shown = colour or colours[i % len(colours)]
            cv2.rectangle(out, low, high, shown, width, cv2.LINE_AA, SHIFT)
    return out


def mask_over(
    image: np.ndarray,
    mask: np.ndarray,
    colour: Colour = PARTS["whole body"],
    *,
    paper: float = 0.65,
    thickness: int = 1,
) -> np.ndarray:
    """The image with what is outside an (H, W) bool mask faded to paper, and the mask's outline.

    `paper` is the share of paper in the faded pixels. Outlines run along the mask's own outermost
    pixels, around its holes too; the rim lies around them.
    """
    out = image.copy()
    faded = (1 - paper) * image[~mask].astype(np.float32) + paper * np.array(PAPER, np.float32)
    out[~mask] = np.rint(faded).astype(np.uint8)
    edges, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    for line, width in ((INK, thickness + 2), (colour, thickness)):
        cv2.drawContours(out, edges, -1, line, width)
    return out


def margin(image: np.ndarray, share: float, colour: Colour = PAPER) -> tuple[np.ndarray, int]:
    """The image with a margin of `share` of its height all around, and the margin in pixels.

    For boxes that exceed their image: add the margin to their coordinates.
    """
    pixels = round(share * image.shape[0])
    padded = cv2.copyMakeBorder(
        image, pixels, pixels, pixels, pixels, cv2.BORDER_CONSTANT, value=colour
    )
    return padded, pixels


def fitted(image: np.ndarray, height: int, width: int, colour: Colour = PAPER) -> np.ndarray:
    """The image scaled to fit into (height, width), in the middle, the rest in `colour`."""
    scale = min(height / image.shape[0], width / image.shape[1])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    scaled = image if scale == 1 else cv2.resize(image, size, interpolation=method)
    out = np.full((height, width, 3), colour, np.uint8)
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    out[top : top + size[1], left : left + size[0]] = scaled
    return out


def grid(
    cells: Sequence[np.ndarray | None],
    labels: Sequence[str] = (),
    *,
    columns: int = 8,
    height: int = 128,
    width: int = 64,
    gap: int = 6,
) -> np.ndarray:
    """Images in rows of `columns`, each fitted into (height, width) with its label below.

    None is an empty cell. A label longer than its cell is cut; without labels no line is kept free
    for them. Zero cells give a picture of one empty cell.
    """
    cells = cells or [None]
    columns = max(1, min(columns, len(cells)))
    rows = -(-len(cells) // columns)
    text = LABEL_PX if labels else 0
    step_y, step_x = height + text + gap, width + gap
    out = np.full((rows * step_y + gap, columns * step_x + gap, 3), WHITE, np.uint8)
    for i, cell in enumerate(cells):
        top, left = gap + i // columns * step_y, gap + i % columns * step_x
        empty = np.full((height, width, 3), PAPER, np.uint8)
        shown = empty if cell is None else fitted(cell, height, width)
        out[top : top + height, left : left + width] = shown
        if i < len(labels):
            _write(out[top + height : top + height + text, left : left + width], labels[i])
    return out


def ascii_of(text: str) -> str:
    """The text in ASCII, which is all that OpenCV's font has; other characters become `?`."""
    return text.encode("ascii", "replace").decode()


def _write(strip: np.ndarray, label: str) -> None:
    """Write a line of text into `strip`, a view of an image; what does not fit is cut."""
    plain = ascii_of(label)
    while plain and cv2.getTextSize(plain, FONT, 0.36, 1)[0][0] > strip.shape[1]:
        plain = plain[:-1]
    drawn = np.ascontiguousarray(strip)
    cv2.putText(drawn, plain, (0, LABEL_PX - 5), FONT, 0.36, INK, 1, cv2.LINE_AA)
    strip[:] = drawn


def _fixed(value: float) -> int:
    """A coordinate in OpenCV's fixed-point form, clipped to what its integers hold."""
    return round(float(np.clip(value, -(2**20), 2**20)) * (1 << SHIFT))
