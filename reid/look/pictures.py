"""Pictures of ranked images: frames for right and wrong ones, lines of text above, PNG files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from reid.arrays import draw, images
from reid.project.errors import ReidError
from reid.project.layout import write_atomically

CELL_PX = (160, 80)  # height and width of an image
LINE_PX = 20  # height of a line of text
EDGE_PX = 6  # between images, and at the edge of a picture
RIGHT, WRONG = (0, 158, 115), (213, 60, 40)  # frames; a tick and a cross say the same
SCALE = 0.42  # of the font


def framed(image: np.ndarray, match: bool | None) -> np.ndarray:
    """Right: a green frame and a tick; wrong: a red double frame and a cross; None: as it is."""
    height, width = CELL_PX
    out = draw.fitted(image, height, width)
    if match is None:
        return out
    colour = RIGHT if match else WRONG
    cv2.rectangle(out, (1, 1), (width - 2, height - 2), colour, 3)
    if not match:
        cv2.rectangle(out, (6, 6), (width - 7, height - 7), colour, 1)
    x, y = width - 24, 8
    cv2.rectangle(out, (x, y), (x + 16, y + 16), draw.WHITE, cv2.FILLED)
    strokes = ([(3, 8), (7, 12), (13, 4)],) if match else ([(4, 4), (12, 12)], [(12, 4), (4, 12)])
    for stroke in strokes:
        points = np.array([(x + a, y + b) for a, b in stroke], np.int32)
        cv2.polylines(out, [points], False, colour, 2, cv2.LINE_AA)
    return out


def empty() -> np.ndarray:
    """A cell of a grid that shows no image: white, so that it does not look like one."""
    return np.full((*CELL_PX, 3), draw.WHITE, np.uint8)


def titled(image: np.ndarray, *lines: Mapping[int, str]) -> np.ndarray:
    """An image with lines of text above it; each line has its texts by the x at which they begin.

    The picture is widened where a text does not fit.
    """
    plain = [{x: draw.ascii_of(text) for x, text in line.items()} for line in lines]
    ends = [x + _width(text) + EDGE_PX for line in plain for x, text in line.items()]
    height, width = image.shape[0] + LINE_PX * len(lines), max([image.shape[1], *ends])
    out = np.full((height, width, 3), draw.WHITE, np.uint8)
    out[LINE_PX * len(lines) :, : image.shape[1]] = image
    for i, line in enumerate(plain, 1):
        for x, text in line.items():
            corner = (x, LINE_PX * i - 5)
            cv2.putText(out, text, corner, draw.FONT, SCALE, draw.INK, 1, cv2.LINE_AA)
    return out


def _width(text: str) -> int:
    return cv2.getTextSize(text, draw.FONT, SCALE, 1)[0][0]


def save(path: Path, image: np.ndarray) -> Path:
    """Write a picture as PNG."""
    if path.suffix != ".png":
        raise ReidError(f"{path}: must end in .png")
    try:
        write_atomically(path, images.encode_png(image))
    except OSError as error:
        raise ReidError(f"{path}: cannot be written ({error.strerror})") from None
    return path
