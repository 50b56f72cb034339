"""DPI-T: a ceiling camera in a hallway over several days; 12 people, 488 videos, colour and depth.

    DPI-T_train_rgb/05/012/05_012_0003.jpg   person 05, video 012, frame 0003; and DPI-T_test_rgb
    DPI-T_train_depth_map.h5                 group 05, array 012 (frames, 240, 320): its depth

The archives of other names that the colour images come in are to be unpacked to these folders. The
data set counts persons from 0; here they are from 1, as in its authors' loader. Training videos are
camera 1, test videos camera 2; the video is the tracklet. The n-th map of an array is the n-th
frame of its video by number: where their numbers differ, no map's frame is known, and all are
rejects. DPI-T_train_depth/ (8-bit pictures of the depth) and the point clouds are left alone.

Depth becomes millimetres. Its unit is not published: whole numbers are taken as millimetres;
floating point as metres where the median of the file's first map is below 20, as millimetres where
it is 1,000 or above, and is refused between. Not a number, negative and beyond 65 m is no
reading. Where a colour image is a whole multiple of its map, each reading is repeated to its size.

Source   Haque et al., Recurrent Attention Models for Depth-Based Person Identification, CVPR 2016;
         protocol: Lejbolle et al., CVPRW 2018: test videos against training videos
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.datasets.base import ALL_TRACKLETS, Info, Listing, Reader, Reject, Sample, Source
from pipeline.datasets.dpit.depth import DepthFile, DepthWriter
from pipeline.datasets.layouts import names
from pipeline.datasets.layouts.rgbd import depth_of
from reid.arrays.images import BadImage, encode_jpeg, encode_png, size_of
from reid.project.errors import ReidError

PARTS = ("train", "test")  # cameras 1 and 2
COLOUR = {part: f"DPI-T_{part}_rgb" for part in PARTS}
DEPTH = {part: f"DPI-T_{part}_depth_map.h5" for part in PARTS}
PICTURES = {part: f"DPI-T_{part}_depth" for part in PARTS}
FRAME = re.compile(r"([0-9]{2})_([0-9]{3})_([0-9]{4})\.jpg")
LIMITS = {"person": (1, 100), "tracklet": (0, 999), "frame": (0, 9_999)}

PUBLISHED = {
    "train": 3_740, "train_videos": 226, "train_identities": 12,
    "query": 4_010, "query_videos": 262, "query_identities": 12,
}  # fmt: skip
TESTED = {"train_videos": 213, "query_videos": 249}  # as Lejbolle et al. have them; why is not said

INFO = Info(
    title="DPI-T",
    layout=f"{COLOUR['train']}/05/012/05_012_0003.jpg, {DEPTH['train']}, {COLOUR['test']}/..., "
    f"{DEPTH['test']}",
    published=PUBLISHED,
    licence="no licence comes with it; for research",
    where="https://www.albert.cm/projects/ram_person_id/",
    citation="Haque, Alahi, Fei-Fei. Recurrent Attention Models for Depth-Based Person "
    "Identification. CVPR 2016",
)


def read(root: Path) -> Listing:
    """List the frames by their names and the arrays of depth; nothing is decoded.

    Raises `ReidError` where a folder or file of the layout is missing or cannot be read.
    """
    names.locate(root, "", COLOUR.values(), INFO.title)
    rows: list[dict[str, Any]] = []
    rejects: list[Reject] = []
    for part in PARTS:
        videos = _videos(root, COLOUR[part], rejects)
        with DepthFile(root / DEPTH[part]) as depth:
            for (person, video), files in sorted(videos.items()):
                reason = depth.why_not(person, video, len(files))
                for position, name in enumerate(files):
                    image_id = f"{COLOUR[part]}/{person}/{video}/{name[:-4]}"
                    if reason:
                        rejects.append(Reject(image_id, reason))
                    else:
                        rows.append(_row(part, image_id, name, position))
    columns = names.columns_of(rows)
    counts = _count(columns)
    return Listing(names.listed(columns), counts, rejects, _protocols(counts))


def _row(part: str, image_id: str, name: str, position: int) -> dict[str, Any]:
    person, video, frame = (int(label) for label in name[:-4].split("_"))
    train = part == "train"
    return {
        "path": f"{image_id}.jpg", "part": part, "image_id": image_id, "person": person + 1,
        "train": train, "query": not train, "gallery": train, "camera": 1 if train else 2,
        "tracklet": video, "frame": frame, "depth_path": f"{DEPTH[part]}#{position}#{image_id}",
    }  # fmt: skip


def _videos(root: Path, part: str, rejects: list[Reject]) -> dict[tuple[str, str], list[str]]:
    """Sorted file names of each video, by the names of its person and its own."""
    videos: dict[tuple[str, str], list[str]] = {}
    for person in _folders(root / part, part, r"[0-9]{2}", "person's", "05", rejects):
        below = f"{part}/{person}"
        for video in _folders(root / below, below, r"[0-9]{3}", "video's", "012", rejects):
            files, odd = names.files_in(root / below / video, f"{below}/{video}")
            rejects += odd
            good = [name for name in files if _why_no_frame(name, person, video) == ""]
            rejects += [
                Reject(f"{below}/{video}/{names.printable(n)}", _why_no_frame(n, person, video))
                for n in files if n not in set(good)
            ]  # fmt: skip
            if good:
                videos[person, video] = good
    return videos


def _folders(folder: Path, label: str, form: str, kind: str, example: str, rejects) -> list[str]:
    """Sorted names of the folders that have the form; all else but clutter is a reject."""
    reason = f"not a {kind} folder such as {example}"
    folders, odd = names.entries_in(
        folder, label, lambda e: "" if e.is_dir() and re.fullmatch(form, e.name) else reason
    )
    rejects += odd
    return folders


def _why_no_frame(name: str, person: str, video: str) -> str:
    match = FRAME.fullmatch(name)
    if match is None:
        return "not a frame such as 05_012_0003.jpg"
    if (match[1], match[2]) != (person, video):
        return f"of person {match[1]}, video {match[2]}, in the folder of {person}/{video}"
    return ""


def _count(columns: dict[str, list[Any]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for role in ("train", "query"):
        chosen = zip(columns["person"], columns["tracklet"], columns[role], strict=True)
        rows = [(person, video) for person, video, member in chosen if member]
        counts |= {role: len(rows), f"{role}_videos": len(set(rows)),
                  f"{role}_identities": len({person for person, _ in rows})}  # fmt: skip
    return counts


def _protocols(counts: dict[str, int]) -> list[dict[str, Any]]:
    """Test videos are searched among those that are trained on."""
    return [{
        "name": "dpit", "title": "DPI-T, test videos against training videos",
        "published": {**PUBLISHED, **TESTED}, "found": counts, "members": "columns",
        "rule": ALL_TRACKLETS, "metrics": ["cmc"],
    }]  # fmt: skip


def open_source(root: Path) -> Source:
    """Bytes by the paths of the listing: images as they are, depth of the arrays as 16-bit PNG."""
    opened: dict[str, DepthFile] = {}

    def source(path: str) -> bytes:
        file, _, rest = path.partition("#")
        position, _, image_id = rest.partition("#")
        try:
            image = names.read_file(root / (f"{image_id}.jpg" if image_id else file))
        except OSError as error:
            raise BadImage(f"cannot be read: {error.strerror}") from None
        if not image_id:
            return image
        if file not in opened:
            opened[file] = DepthFile(root / file)
        _, person, video, _ = image_id.rsplit("/", 3)
        depth = opened[file].millimetres(person, video, int(position))
        return encode_png(repeated(depth, *size_of(image)))

    return source


def repeated(depth_mm: np.ndarray, height: int, width: int) -> np.ndarray:
    """Each reading repeated where the image is a whole multiple of the map, else the map."""
    times = height // depth_mm.shape[0]
    if (height, width) != (times * depth_mm.shape[0], times * depth_mm.shape[1]):
        return depth_mm
    return np.kron(depth_mm, np.ones((times, times), np.uint16))


def write(root: Path, samples: Iterable[Sample]) -> Iterator[str]:
    """Write samples in the layout, depth in metres; yields the image_id of each, in order.

    The role train is the training part, query the test part, whatever the camera; the tracklet is
    the video, whose samples follow each other with rising frames. Raises `ReidError` where they do
    not, and where a label does not fit.
    """
    roles = {"train": "train", "query": "test"}
    for folder in (*COLOUR.values(), *PICTURES.values()):
        names.new_folder(root / folder)
    writers = {part: DepthWriter(root / DEPTH[part]) for part in PARTS}
    for sample in samples:
        names.check_labels(sample, INFO.title, LIMITS)
        if sample.role not in roles:
            raise ReidError(
                f"no role `{sample.role}` (DPI-T has train, also its gallery, and query)"
            )
        part, depth = roles[sample.role], depth_of(sample)
        person, video = f"{sample.person - 1:02d}", f"{sample.tracklet:03d}"
        below = f"{person}/{video}/{person}_{video}_{sample.frame:04d}"
        writers[part].add(person, video, sample.frame, depth)
        data = encode_jpeg(sample.image) if sample.encoded is None else sample.encoded
        _put(root / COLOUR[part] / f"{below}.jpg", data)
        _put(root / PICTURES[part] / f"{below}.jpg", encode_jpeg(_picture(depth)))
        yield f"{COLOUR[part]}/{below}"
    for writer in writers.values():
        writer.close()


def _put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    names.write_file(path, data)


def _picture(depth_mm: np.ndarray) -> np.ndarray:
    """(H, W, 3) gray picture of depth, for looking at."""
    gray = (depth_mm.astype(np.float32) / 16).clip(0, 255).astype(np.uint8)
    return np.repeat(gray[..., None], 3, axis=2)


READER = Reader(info=INFO, read=read, write=write, open_source=open_source)
