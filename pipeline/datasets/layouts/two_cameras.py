"""What readers of people before two cameras share: a tracklet of each person in each.

A person has a folder below each camera's, and it is one tracklet. `two_camera_splits` divides them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pipeline.datasets.base import Reject, Sample
from pipeline.datasets.layouts import names
from reid.arrays.images import BadImage, encode_png, kind_of
from reid.project.errors import ReidError


class Frame(NamedTuple):
    """One image; sorts by person, camera and frame."""

    person: int
    camera: int
    frame: int
    path: str  # below the raw root
    image_id: str


class Layout(NamedTuple):
    """How a data set names its folders and files."""

    folders: Mapping[int, str]  # by camera: what holds its persons' folders
    person: Callable[[str, int], int]  # (folder, camera) to its person; 0 where it is none's
    frame: Callable[[str, int, int], int | str]  # (file, person, camera) to frame, or a reason
    example: str  # of a person's folder


@dataclass
class Recordings:
    """What lies in the folders of both cameras."""

    frames: list[Frame] = field(default_factory=list)  # sorted
    folders: dict[str, int] = field(default_factory=dict)  # persons by folder, empty ones too
    empty: int = 0  # folders without a frame
    rejects: list[Reject] = field(default_factory=list)

    def by_tracklet(self) -> dict[tuple[int, int], list[int]]:
        """Frame numbers in order, by (person, camera)."""
        numbers: dict[tuple[int, int], list[int]] = defaultdict(list)
        for one in self.frames:
            numbers[one.person, one.camera].append(one.frame)
        return numbers

    def in_both(self, least: int = 1) -> list[int]:
        """Persons of whom each camera has at least `least` frames."""
        seen = Counter(p for (p, _), frames in self.by_tracklet().items() if len(frames) >= least)
        return sorted(person for person, cameras in seen.items() if cameras == 2)


# ------------------------------------------------------------------------------------ the folders


def home_of(root: Path, inners: Sequence[str], layout: Layout, title: str) -> tuple[Path, str]:
    """Where a layout's folders lie, at or below `root`, and what paths there begin with.

    `inners` are the folders that a download may have around them. Raises `ReidError`.
    """
    top = layout.folders[1].partition("/")[0]
    inner = next((i for i in inners if names.is_folder(root / i / top)), "")
    home = names.locate(root / inner, "", layout.folders.values(), title)
    return home, f"{inner}/" if inner else ""


def read_tracklets(home: Path, below: str, layout: Layout) -> Recordings:
    """All frames by their folders and names; what does not fit is a reject."""
    result = Recordings()
    known: dict[tuple[int, int], str] = {}  # by inode: a link would show a folder twice
    for camera, top in layout.folders.items():
        for name, inode in _folders_in(home / top, top, layout.example, result.rejects):
            person, label = layout.person(name, camera), f"{top}/{names.printable(name)}"
            if not person:
                reason = f"not a person's folder such as {layout.example}"
                result.rejects.append(Reject(label, reason))
                continue
            result.folders[name] = person
            if known.setdefault(inode, label) != label:
                result.rejects.append(Reject(label, f"one and the same folder as {known[inode]}"))
                continue
            frames = _frames_in(home / top / name, label, layout, person, camera, result.rejects)
            result.empty += not frames
            result.frames += [
                Frame(person, camera, number, f"{below}{label}/{file}", f"{label}/{file[:-4]}")
                for number, file in frames.items()
            ]
    result.frames.sort()
    return result


def _folders_in(
    folder: Path, label: str, example: str, rejects: list[Reject]
) -> list[tuple[str, tuple[int, int]]]:
    """Sorted (name, device and inode) of the folders in a folder; all else is a reject."""
    reason = f"not a person's folder such as {example}"
    folders, odd = names.entries_in(folder, label, lambda e: "" if e.is_dir() else reason)
    rejects += odd
    status = [(folder / name).stat() for name in folders]
    return [(name, (s.st_dev, s.st_ino)) for name, s in zip(folders, status, strict=True)]


def _frames_in(
    folder: Path, label: str, layout: Layout, person: int, camera: int, rejects: list[Reject]
) -> dict[int, str]:
    """Files of one tracklet by frame, in that order."""
    files, odd = names.files_in(folder, label)
    frames: dict[int, str] = {}
    for name in files:
        frame = layout.frame(name, person, camera)
        if isinstance(frame, int) and frame in frames:
            frame = f"frame {frame} is {frames[frame]} already"
        if isinstance(frame, str):
            odd.append(Reject(f"{label}/{names.printable(name)}", frame))
        else:
            frames[frame] = name
    if not frames:
        odd.append(Reject(label, "no frame in it"))
    rejects += odd
    return dict(sorted(frames.items()))


def count(recordings: Recordings) -> dict[str, int]:
    """Counts of all that is there, whatever the split."""
    tracklets = recordings.by_tracklet().values()
    people = {frame.person for frame in recordings.frames}
    both = len(recordings.in_both())
    return {
        "images": len(recordings.frames), "identities": len(people), "tracklets": len(tracklets),
        "one_camera_identities": len(people) - both, "empty_folders": recordings.empty,
        "tracklets_of_one_frame": sum(len(t) == 1 for t in tracklets),
        "tracklets_with_gaps": sum(t[-1] - t[0] >= len(t) for t in tracklets),
    }  # fmt: skip


def check_persons(root: Path, persons: Sequence[int], layout: str, rejects: list[Reject]) -> None:
    """`ReidError` where fewer than two persons can be divided."""
    if len(persons) < 2:
        first = f"; first reject: {rejects[0].image_id}: {rejects[0].reason}" if rejects else ""
        raise ReidError(f"{root}: {len(persons)} persons are seen by both cameras; two are needed "
                        f"at least ({layout}){first}")  # fmt: skip


# ---------------------------------------------------------------------------------------- writing


def png_of(sample: Sample) -> bytes:
    """A sample's PNG bytes. `ReidError` where it comes encoded as something else."""
    if sample.encoded is None:
        return encode_png(sample.image)
    try:
        kind = kind_of(sample.encoded)
    except BadImage as error:
        kind = str(error)
    if kind != "png":
        raise ReidError(f"person {sample.person}: encoded bytes must be PNG, not {kind}")
    return sample.encoded


def write_frame(path: Path, data: bytes, made: set[Path]) -> None:
    """Write one frame, its folder with the first. `ReidError` where it is there already."""
    if path.parent not in made:
        names.new_folder(path.parent)
        made.add(path.parent)
    if path.exists():
        raise ReidError(f"{path}: written twice")
    names.write_file(path, data)


def persons_of(folders: Iterable[Path]) -> list[str]:
    """Sorted names of the persons' folders below any camera's."""
    return sorted({folder.name for folder in folders})
