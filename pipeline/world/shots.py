"""One picture of one moment: rays through a window of a camera's frame, and their ground truth.

The image takes several rays a pixel; the ground truth is that of the ray through a pixel's centre.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np

from pipeline.world.backdrops import Backdrop
from pipeline.world.cameras import SUPERSAMPLING, Camera, Window, develop
from pipeline.world.paint import Light, shade, surface
from pipeline.world.shapes import Frames, Hits, Solids, cast
from pipeline.world.truth import BACK, FRONT, LEFT, RIGHT, Truth
from reid.arrays.flow import encode_flow
from reid.arrays.images import encode_png

# How far the surface may lie before a joint that still counts as seen, in the order of JOINT_NAMES:
# the face's points lie on it, the others inside a limb or the trunk.
JOINT_COVER_M = np.array(
    [0.05, 0.14, *[0.13, 0.09, 0.08] * 2, *[0.17, 0.13, 0.11] * 2, *[0.05] * 4]
)


@dataclass(frozen=True)
class Site:
    """A camera and what it sees when nobody is there."""

    camera: Camera
    backdrop: Backdrop


class Moment(NamedTuple):
    """Where everything is at one time, world coordinates, and the window that is cut out."""

    frames: Frames  # bones of all actors, the person meant first
    joints: np.ndarray  # (18, 3) of the person meant
    feet: np.ndarray  # (A, 2) ground point of each actor, for its shadow
    window: Window


def picture(
    site: Site,
    solids: Solids,
    moment: Moment,
    light: Light,
    rng: np.random.Generator,
    height: int,
    width: int,
) -> np.ndarray:
    """The (height, width, 3) uint8 image of a moment."""  # fmt: skip
    camera, window = site.camera, moment.window
    fine = height * SUPERSAMPLING, width * SUPERSAMPLING
    x, y = camera.slopes(window, *fine)
    frames = camera.see(moment.frames.take(solids.bone))
    hits = cast(solids, frames, x, y)
    behind = cut(site.backdrop.depth, window, *fine, cv2.INTER_NEAREST)
    colour = cut(site.backdrop.colour, window, *fine, cv2.INTER_LINEAR)
    colour *= light.tint.astype(np.float32)
    coarse = _shadows(camera, moment.feet, behind[::2, ::2], light, x[::2], y[::2])
    colour *= cv2.resize(coarse, fine[::-1], interpolation=cv2.INTER_LINEAR)[..., None]
    points = surface(hits, frames, x, y, hits.depth < behind)
    colour[points.pixels] = shade(points, solids, frames, light, camera.rotation.T)
    return develop(camera, colour, window, rng, height, width)


def look(site: Site, solids: Solids, moment: Moment, height: int, width: int) -> Hits:
    """What the ray through each pixel's centre meets: -1 and its depth where it is the backdrop."""
    window = moment.window
    x, y = site.camera.slopes(window, height, width)
    hits = cast(solids, site.camera.see(moment.frames.take(solids.bone)), x, y)
    behind = cut(site.backdrop.depth, window, height, width, cv2.INTER_NEAREST)
    return Hits(np.where(hits.depth < behind, hits.index, -1), np.minimum(hits.depth, behind))


def truth_of(
    site: Site,
    solids: Solids,
    own: int,
    moment: Moment,
    following: Moment | None,
    facing: float | None,
    height: int,
    width: int,
    *,
    hits: Hits | None = None,
) -> Truth:
    """The ground truth of a moment's image.

    The first `own` solids are the person meant (0: nobody is). `following` is the moment of the
    next image of the pass, `facing` the person's walking direction in the world; `hits` are of
    `look`, where it was called already.
    """  # fmt: skip
    camera, window = site.camera, moment.window
    frames = camera.see(moment.frames.take(solids.bone))
    solid, depth = hits or look(site, solids, moment, height, width)
    mask = (solid >= 0) & (solid < own)
    parts = np.where(mask, solids.part[solid], 0).astype(np.uint8)
    depth_mm = np.where(np.isfinite(depth), np.rint(1000 * depth), 0).clip(0, 65535)
    seen = Truth(encode_png(mask), encode_png(depth_mm.astype(np.uint16)), encode_png(parts))
    if facing is None:
        return seen
    flow = None
    if following is not None:
        flow = _flow(camera, solids, frames, Hits(solid, depth), moment, following)
    return replace(
        seen, joints=_joints(camera, moment, mask, depth),
        box=person_box(camera, solids, own, moment.frames, window, height, width),
        viewpoint=viewpoint(moment.feet[0], facing), flow=flow,
    )  # fmt: skip


def person_box(
    camera: Camera,
    solids: Solids,
    own: int,
    bones: Frames,
    window: Window | None = None,
    height: int = 0,
    width: int = 0,
) -> np.ndarray:
    """(4,) float32 x1, y1, x2, y2 of the whole person, hidden or not.

    In pixels of the `window`'s image; without one in pixels of the frame.
    """  # fmt: skip
    frames = camera.see(bones.take(solids.bone[:own]))
    ends = np.stack([frames.to_outer(solids.start[:own]), frames.to_outer(solids.end[:own])])
    centres = camera.project(ends.reshape(-1, 3))
    reach = camera.focal * solids.radius[:own] / ends[..., 2]  # (2, own) frame pixels
    reach = reach.reshape(-1, 1)
    corners = np.stack([(centres - reach).min(0), (centres + reach).max(0)])
    corners = corners if window is None else window.to_image(corners, height, width)
    return corners.reshape(4).astype(np.float32)


def viewpoint(feet: np.ndarray, facing: float) -> int:
    """Which side of a person at the ground point `feet` (2,) the camera at the origin sees."""
    to_camera = np.arctan2(-feet[1], -feet[0])
    angle = (to_camera - facing + np.pi) % (2 * np.pi) - np.pi  # to the person's left
    if abs(angle) < np.pi / 4:
        return FRONT
    if abs(angle) > 3 * np.pi / 4:
        return BACK
    return LEFT if angle > 0 else RIGHT


def cut(layer: np.ndarray, window: Window, height: int, width: int, method: int) -> np.ndarray:
    """A window of a frame's layer, sampled at the image's pixel centres; edges repeat."""
    columns, rows = window.centres(height, width)  # frame pixel j has its centre at j + 0.5
    maps = np.meshgrid((columns - 0.5).astype(np.float32), (rows - 0.5).astype(np.float32))
    return cv2.remap(layer, *maps, method, borderMode=cv2.BORDER_REPLICATE)


def _shadows(camera: Camera, feet, behind, light: Light, x, y) -> np.ndarray:
    """(H, W) factor below 1 where an actor's shadow lies on the ground."""
    rays = np.stack(np.broadcast_arrays(x[None, :], y[:, None], 1.0), -1) @ camera.rotation.T
    ground = -camera.height / np.minimum(rays[..., 2], -1e-6)
    points = rays[..., :2] * ground[..., None]
    sun = light.sun[:2] / max(float(np.linalg.norm(light.sun[:2])), 1e-6)
    factor = np.ones(behind.shape, np.float32)
    for foot in feet:
        along = (points - foot) @ -sun
        across = (points - foot) @ np.array([-sun[1], sun[0]])
        near = np.exp(-((along / 0.35) ** 2 + (across / 0.3) ** 2))
        cast_long = np.exp(-(((along - 0.8) / 0.75) ** 2 + (across / 0.22) ** 2))
        factor *= 1 - 0.45 * near - 0.6 * light.strength * cast_long * (1 - near)
    return np.where(np.abs(ground - behind) < 0.02 * ground, factor, 1).astype(np.float32)


def _joints(camera: Camera, moment: Moment, mask: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """(18, 3) float32: x, y in image pixels; 1 seen, 0.5 hidden, 0 outside the image."""
    height, width = mask.shape
    points = camera.to_camera(moment.joints)
    image_px = moment.window.to_image(camera.project(points), height, width)
    columns, rows = np.floor(image_px).astype(int).T
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    at = rows.clip(0, height - 1), columns.clip(0, width - 1)
    cover = points[:, 2] - depth[at]
    seen = mask[at] & (cover < JOINT_COVER_M)
    confidence = np.where(inside, np.where(seen, 1.0, 0.5), 0.0)
    return np.column_stack([image_px, confidence]).astype(np.float32)


def _flow(camera, solids, frames, hits: Hits, moment: Moment, following: Moment) -> bytes:
    """Where each pixel's surface point is in the next image, as a flow PNG."""
    height, width = hits.index.shape
    columns, rows = moment.window.centres(height, width)
    target = np.stack(np.meshgrid(columns, rows), -1)  # what stands still keeps its frame pixel
    x, y = camera.slopes(moment.window, height, width)
    points = surface(hits, frames, x, y, hits.index >= 0)
    later = camera.see(following.frames.take(solids.bone)).take(points.solid)
    outer = later.to_outer(points.local)
    target[points.pixels] = camera.project(outer)
    moved = following.window.to_image(target.reshape(-1, 2), height, width)
    here = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), -1)
    valid = np.ones((height, width), bool)
    valid[points.pixels] = outer[:, 2] > 0.1
    return encode_flow(moved.reshape(height, width, 2) - here, valid)
