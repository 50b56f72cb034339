"""Street cameras: where each stands, what its lens and sensor do to the light.

World coordinates of a camera: x to the right, y ahead, z up, metres; the camera is at
(0, 0, height). Camera coordinates: right, down, ahead. Frame pixels: column j covers [j, j + 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import cv2
import numpy as np

from pipeline.world.shapes import Frames

FRAME_HEIGHT, FRAME_WIDTH = 540, 960  # pixels of a camera's full frame
SUPERSAMPLING = 2  # rays per image pixel and axis


class Window(NamedTuple):
    """A rectangle of a camera's frame, in pixels; it may reach beyond the frame."""

    x1: float
    y1: float
    x2: float
    y2: float

    def to_image(self, frame_px: np.ndarray, height: int, width: int) -> np.ndarray:
        """(N, 2) frame pixels to pixels of the image that this window becomes."""
        scale = [width / (self.x2 - self.x1), height / (self.y2 - self.y1)]
        return (frame_px - [self.x1, self.y1]) * scale

    def centres(self, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Frame columns (width,) and rows (height,) of the image's pixel centres."""
        columns = self.x1 + (np.arange(width) + 0.5) * ((self.x2 - self.x1) / width)
        rows = self.y1 + (np.arange(height) + 0.5) * ((self.y2 - self.y1) / height)
        return columns, rows


@dataclass(frozen=True)
class Camera:
    """One camera; angles in radians, lengths in metres."""

    number: int  # from 1
    height: float
    pitch: float  # downwards
    focal: float  # pixels of the frame
    distance: float  # ground distance to the middle of the walking path
    path: float  # direction of the path; 0 runs along x, pi/2 along the view
    sun: tuple[float, float, float]
    gain: tuple[float, float, float]  # colour cast
    saturation: float
    gamma: float
    blur: float  # standard deviation, image pixels
    noise: float  # standard deviation, of 255
    quality: int  # of JPEG

    @cached_property
    def rotation(self) -> np.ndarray:
        """(3, 3) camera to world coordinates."""
        c, s = np.cos(self.pitch), np.sin(self.pitch)
        return np.array([[1, 0, 0], [0, -s, c], [0, -c, -s]], float)

    @property
    def origin(self) -> np.ndarray:
        """(3,) where the camera is in the world."""
        return np.array([0, 0, self.height])

    def see(self, frames: Frames) -> Frames:
        """World frames in camera coordinates."""
        return frames.seen_from(self.origin, self.rotation)

    def to_camera(self, world: np.ndarray) -> np.ndarray:
        """(N, 3) world points in camera coordinates."""
        return (world - self.origin) @ self.rotation

    def project(self, points: np.ndarray) -> np.ndarray:
        """(N, 3) camera coordinates to (N, 2) frame pixels."""
        centre = [FRAME_WIDTH / 2, FRAME_HEIGHT / 2]
        return points[:, :2] / np.maximum(points[:, 2:], 1e-6) * self.focal + centre

    def slopes(self, window: Window, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """x (width,) and y (height,) of the rays (x, y, 1) through an image's pixel centres."""
        columns, rows = window.centres(height, width)
        return (columns - FRAME_WIDTH / 2) / self.focal, (rows - FRAME_HEIGHT / 2) / self.focal


def draw_camera(
    rng: np.random.Generator, number: int, strength: float, noise: float, blur: float, quality: int
) -> Camera:
    """A random camera; `strength` scales how much its colours differ from the others'.

    Paths of successive cameras point in different directions, so that a person is seen from the
    front, the back and the sides.
    """
    height, distance = float(rng.uniform(2.4, 5.0)), float(rng.uniform(6.5, 11.0))
    azimuth, elevation = float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(0.5, 1.1))
    flat = np.cos(elevation)
    cast = np.exp(strength * rng.normal(0, 0.1, 3))
    return Camera(
        number=number,
        height=height,
        pitch=float(np.arctan2(height - 0.9, distance)),
        focal=float(rng.uniform(620, 760)) * distance / 8.5,
        distance=distance,
        path=float(np.pi * ((number - 1) * 0.382 % 1) + rng.uniform(-0.15, 0.15)),
        sun=(flat * np.cos(azimuth), flat * np.sin(azimuth), float(np.sin(elevation))),
        gain=tuple((cast / cast.mean()).tolist()),
        saturation=float(np.exp(strength * rng.normal(-0.1, 0.22))),
        gamma=float(np.exp(strength * rng.normal(-0.08, 0.12))),
        blur=blur * float(rng.uniform(0.4, 1.3)),
        noise=noise * float(rng.uniform(0.4, 1.6)),
        quality=int(np.clip(quality + rng.integers(-8, 9), 20, 98)),
    )


def develop(
    camera: Camera,
    light: np.ndarray,
    window: Window,
    rng: np.random.Generator,
    height: int,
    width: int,
) -> np.ndarray:
    """Light to the image that the camera gives: (SH, SW, 3) float to (height, width, 3) uint8.

    The picture first has no more pixels than the window has in the frame, then is enlarged.
    """  # fmt: skip
    share = float(np.clip((window.y2 - window.y1) / height, 0.35, 1.0))
    seen = cv2.resize(
        light.astype(np.float32), (max(round(width * share), 4), max(round(height * share), 4)),
        interpolation=cv2.INTER_AREA,
    )  # fmt: skip
    seen = cv2.GaussianBlur(seen, (0, 0), max(camera.blur * share, 0.05))
    seen = np.maximum(seen * np.array(camera.gain, np.float32), 0) ** camera.gamma
    gray = seen @ np.array([0.299, 0.587, 0.114], np.float32)
    seen = gray[..., None] + (seen - gray[..., None]) * camera.saturation
    seen += rng.normal(0, camera.noise / 255, seen.shape).astype(np.float32)
    seen = cv2.resize(seen, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.rint(255 * seen.clip(0, 1)).astype(np.uint8)
