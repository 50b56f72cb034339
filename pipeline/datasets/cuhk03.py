"""CUHK03: five pairs of cameras on a campus, a person in one pair alone, boxes of varying size.

    cuhk03_release/cuhk-03.mat                 labeled and detected: per camera pair a cell of
                                               (persons, 10) images, 5 of each view; testsets
    cuhk03_new_protocol_config_labeled.mat     beside it or above: the 767/700 protocol; or in place
    cuhk03_new_protocol_config_detected.mat    of all three the copy that is cut for it:
    cuhk03-np/labeled/bounding_box_train/0001_c1_1.png = person 1, view 1, image 1

Boxes by hand (labeled) and by a detector (detected) are two data sets: the modules cuhk03_labeled
and cuhk03_detected read one each, through the functions here. The .mat comes first where both are.

An image of the .mat is called {pair}_{index:03}_{view}_{number:02}, as in 2_017_1_03: number 1 to 5
is view 1, 6 to 10 view 2. Its person is the 1-based running number over pair, then index (also
where a person has no image); its camera is 2 pair - 1 in view 1 and 2 pair in view 2, ten in all.
The copy has persons and views of its own: its cameras are 1 and 2.

Protocols: `new` (767 persons to train, 700 to test) is the first where it is there. `classic-01` to
`classic-20` are the 20 splits of the .mat. Their members are persons,

    {"train": {"persons": [1, 3, ...]}, "test": {"persons": [2, ...]}}

every image of a test person being query and gallery both; the gallery of a trial is one image of
each, drawn anew. Without `new`, classic-01 is the first, and its members are the rows' columns.

Source   Li et al., DeepReID: Deep Filter Pairing Neural Network, CVPR 2014; the new protocol: Zhong
         et al., Re-ranking Person Re-identification with k-reciprocal Encoding, CVPR 2017
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.errors import ReidError
from pipeline.core.images import MAX_PIXELS, BadImage, decode, encode_png
from pipeline.datasets import names
from pipeline.datasets.base import Info, Listing, Reject, Sample, Source

KINDS = ("labeled", "detected")
RELEASE, MAT, COPY = "cuhk03_release", "cuhk-03.mat", "cuhk03-np"
FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
NAME = re.compile(r"([1-5])_([0-9]{3})_([12])_(0[1-9]|10)")  # in the .mat
COPIED = re.compile(r"([0-9]{4})_c([12])_[0-9]{1,4}\.(?:png|jpg)")  # in the copy
PAIRS, SHOTS, SPLITS = 5, 5, 20  # SHOTS: images of a person in one view, at most
MOST_PERSONS = 999  # of one pair; three digits
EMPTY = "empty"
TROUBLE = (  # what h5py raises on a damaged file
    OSError, KeyError, ValueError, RuntimeError, TypeError, AttributeError, OverflowError,
    MemoryError, SystemError, NotImplementedError,
)  # fmt: skip

IDENTITIES = {
    "identities": 1_467, "train_identities": 767, "query_identities": 700,
    "gallery_identities": 700,
}  # fmt: skip
PUBLISHED = {
    "labeled": {"images": 14_096, "train": 7_368, "query": 1_400, "gallery": 5_328, **IDENTITIES},
    "detected": {"images": 14_097, "train": 7_365, "query": 1_400, "gallery": 5_332, **IDENTITIES},
}


def info(kind: str) -> Info:
    """What a user needs to know of the boxes of one kind."""
    return Info(
        title=f"CUHK03, {kind}",
        layout=f"{RELEASE}/{MAT} with {config_name(kind)} beside {RELEASE}, or "
        f"{COPY}/{kind}/bounding_box_train/0001_c1_1.png with query and bounding_box_test",
        published=PUBLISHED[kind],
        licence="academic use; its authors ask that research that uses it cites them",
        where="http://www.ee.cuhk.edu.hk/~xgwang/CUHK_identification.html; the new protocol: "
        "https://github.com/zhunzhong07/person-re-ranking",
        citation="Li, Zhao, Xiao, Wang. DeepReID: Deep Filter Pairing Neural Network for Person "
        "Re-identification. CVPR 2014",
    )


def config_name(kind: str) -> str:
    """File name of the new protocol's members."""
    return f"cuhk03_new_protocol_config_{kind}.mat"


def read(root: Path, kind: str) -> Listing:
    """List the images of one kind; nothing is decoded.

    A broken image, file name or split is a reject; a .mat that cannot be read is a `ReidError`.
    """
    for below in (MAT, f"{RELEASE}/{MAT}"):
        if _is_file(root / below):
            return _read_mat(root, below, kind)
    for below in (f"{COPY}/{kind}", kind, ""):
        if any((root / below / folder).exists() for folder in FOLDERS.values()):
            return _read_copy(root, below, kind)
    raise ReidError(f"{root}: no CUHK03 download (expected {RELEASE}/{MAT} or {COPY}/{kind}/)")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # no right to look, or a name that is too long
        return False


# ----------------------------------------------------------------------------- the .mat file


@dataclass
class Images:
    """Columns of the listing, one entry per image."""

    path: list[str] = field(default_factory=list)
    image_id: list[str] = field(default_factory=list)
    person: list[int] = field(default_factory=list)
    camera: list[int] = field(default_factory=list)


class Mat:
    """The opened .mat file, one kind of boxes. Raises `ReidError` where it is none."""

    def __init__(self, path: Path, kind: str) -> None:
        self.path = path
        h5py = _h5py()
        try:
            self.file = h5py.File(path, "r", locking=False)
        except TROUBLE as error:
            raise ReidError(
                f"{path}: cannot be read as HDF5, which MATLAB 7.3 files are ({_short(error)}); "
                "copy or download it anew"
            ) from None
        try:
            self.pairs = self._pairs(kind)  # per pair (persons, 10) references
        except ReidError:
            self.file.close()
            raise
        self.offsets = np.cumsum([0, *(len(pair) for pair in self.pairs)]).tolist()

    def variable(self, name: str, count: int) -> list[Any]:
        """The references of a cell variable of `count` cells, in order."""
        h5py = _h5py()
        wanted = f"expected the variable `{name}`, a cell of {count}"
        try:
            link = self.file.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):  # a link may lead to any file of this machine
                found = "no such variable" if link is None else "a link"
                raise ReidError(f"{self.path}: {found}; {wanted}, in the file itself")
            cells = inside(self.file[name])
            if cells.size != count or h5py.check_ref_dtype(cells.dtype) is not h5py.Reference:
                raise ReidError(f"{self.path}: `{name}` is {_form(cells)}; {wanted}")
            return list(np.ravel(cells[()]))
        except TROUBLE as error:
            raise ReidError(f"{self.path}: {_short(error)}; {wanted}") from None

    def _pairs(self, kind: str) -> list[np.ndarray]:
        h5py = _h5py()
        pairs = []
        for i, reference in enumerate(self.variable(kind, PAIRS), 1):
            place = f"{self.path}: `{kind}`, camera pair {i}"
            wanted = f"expected a cell of persons x {2 * SHOTS} images"
            try:
                cells = inside(self.file[reference])
                if _is_empty(cells):
                    pairs.append(np.empty((0, 2 * SHOTS), object))
                    continue
                form = cells.ndim == 2 and cells.shape[0] == 2 * SHOTS  # HDF5 has it transposed
                references = h5py.check_ref_dtype(cells.dtype) is h5py.Reference
                if not form or not references or cells.shape[1] > MOST_PERSONS:
                    raise ReidError(f"{place} is {_form(cells)}; {wanted}")
                pairs.append(cells[()].T)
            except TROUBLE as error:
                raise ReidError(f"{place}: {_short(error)}; {wanted}") from None
        return pairs

    def cell(self, pair: int, index: int, number: int) -> tuple[Any, str]:
        """The image's HDF5 data set, and "" where it is good, `EMPTY`, or why it is broken."""
        reference = self.pairs[pair - 1][index - 1, number - 1]
        if not reference:
            return None, EMPTY
        try:
            found = inside(self.file[reference])
            return found, _why_no_image(found)
        except TROUBLE as error:
            return None, f"cannot be read: {_short(error)}"

    def image(self, pair: int, index: int, number: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB. Raises `BadImage`."""
        if not (pair <= PAIRS and 1 <= index <= len(self.pairs[pair - 1])):
            raise BadImage(f"{MAT} has no such person")
        found, reason = self.cell(pair, index, number)
        if reason:
            raise BadImage(reason)
        try:
            return np.ascontiguousarray(found[()].T)  # (3, W, H) -> (H, W, 3)
        except TROUBLE as error:
            raise BadImage(f"cannot be read: {_short(error)}") from None

    def split(self, reference: Any) -> list[int]:
        """Sorted test persons of one split. Raises `ValueError` with the reason."""
        try:
            found = inside(self.file[reference])
            if found.ndim != 2 or found.shape[0] != 2 or not 0 < found.shape[1] <= 9_999:
                raise ValueError(f"{_form(found)}; expected rows of pair and index")
            rows = np.asarray(found[()], np.float64).T  # (persons, 2)
        except TROUBLE as error:
            raise ValueError(_short(error)) from None
        if not np.isfinite(rows).all() or (rows != np.rint(rows)).any():
            raise ValueError("pair and index must be whole numbers")
        persons = set()
        for pair, index in rows.tolist():
            if not (1 <= pair <= PAIRS and 1 <= index <= len(self.pairs[int(pair) - 1])):
                raise ValueError(f"there is no person {index:g} in camera pair {pair:g}")
            persons.add(self.offsets[int(pair) - 1] + int(index))
        return sorted(persons)


def _h5py() -> Any:
    try:
        import h5py
    except ImportError:
        raise ReidError(f"{MAT} needs h5py; run `pip install h5py`") from None
    return h5py


def inside(found: Any) -> Any:
    """`found` itself; `ValueError` where it is no array, or one whose data lie elsewhere."""
    if not isinstance(found, _h5py().Dataset):
        raise ValueError("a group in place of an array")
    if found.external or found.is_virtual:
        raise ValueError("its data are outside the file, and are not followed there")
    return found


def _is_empty(found: Any) -> bool:
    """MATLAB writes an empty array as its size, [0 0]."""
    return found.size == 0 or "MATLAB_empty" in found.attrs


def _why_no_image(found: Any) -> str:
    if _is_empty(found) or (found.ndim == 1 and found.dtype == np.uint64 and found.size <= 3):
        return EMPTY
    if found.dtype != np.uint8 or found.ndim != 3 or found.shape[0] != 3:
        return f"{_form(found)}; expected 3 x width x height of uint8"
    if found.shape[1] * found.shape[2] > MAX_PIXELS:
        return f"{found.shape[1]} x {found.shape[2]} pixels; at most {MAX_PIXELS:,} are read"
    return ""


def _form(found: Any) -> str:
    return f"{' x '.join(map(str, found.shape)) or 'a single value'} of {found.dtype}"


def _short(error: BaseException) -> str:
    return names.printable(str(error).strip("'\""))[:160] or type(error).__name__


def _read_mat(root: Path, below: str, kind: str) -> Listing:
    mat = Mat(root / below, kind)
    try:
        images, rejects = _images(mat, below, kind)
        config = _find_config(root, below, kind)
        roles = _read_config(config) if config else None
        splits = _splits(mat, rejects, roles is not None)
    finally:
        mat.file.close()
    if roles is not None:
        known = {*images.image_id, *(r.image_id for r in rejects)}
        gone = sorted(name for name in roles if f"{kind}/{name}" not in known)
        rejects += [
            Reject(f"{kind}/{n}", f"in {config_name(kind)}, but not in {MAT}") for n in gone
        ]
    return _listing(images, rejects, kind, roles, splits)


def _images(mat: Mat, below: str, kind: str) -> tuple[Images, list[Reject]]:
    images, rejects = Images(), []
    for pair, cells in enumerate(mat.pairs, 1):
        for index in range(1, len(cells) + 1):
            for number in range(1, 2 * SHOTS + 1):
                _, reason = mat.cell(pair, index, number)
                if reason == EMPTY:
                    continue
                image_id = f"{kind}/{image_name(pair, index, number)}"
                if reason:
                    rejects.append(Reject(image_id, reason))
                    continue
                images.path.append(f"{below}#{image_id}")
                images.image_id.append(image_id)
                images.person.append(mat.offsets[pair - 1] + index)
                images.camera.append(2 * pair - (number <= SHOTS))
    return images, rejects


def image_name(pair: int, index: int, number: int) -> str:
    """An image's name, such as 2_017_1_03; all are counted from 1."""
    return f"{pair}_{index:03d}_{1 if number <= SHOTS else 2}_{number:02d}"


def _splits(mat: Mat, rejects: list[Reject], has_default: bool) -> dict[str, list[int]]:
    """Test persons by protocol. A broken split is a reject, unless there is no other default."""
    try:
        references = mat.variable("testsets", SPLITS)
    except ReidError as error:
        if not has_default:
            raise
        rejects.append(Reject("testsets", str(error).removeprefix(f"{mat.path}: ")))
        return {}
    splits = {}
    for k, reference in enumerate(references, 1):
        try:
            splits[f"classic-{k:02d}"] = mat.split(reference)
        except ValueError as error:
            rejects.append(Reject(f"testsets/{k:02d}", str(error)))
    if "classic-01" not in splits and not has_default:
        reason = next(r.reason for r in rejects if r.image_id == "testsets/01")
        raise ReidError(f"{mat.path}: split 1 of `testsets`: {reason}")
    return splits


# --------------------------------------------------------------------------- the new protocol


def _find_config(root: Path, below: str, kind: str) -> Path | None:
    places = (root / below).parent / config_name(kind), root / config_name(kind)
    return next((path for path in places if _is_file(path)), None)


def _read_config(path: Path) -> dict[str, set[str]]:
    """Roles by image name. Raises `ReidError`."""
    values = _load(path)
    files = [str(np.ravel(f)[0]) if np.size(f) else "" for f in np.ravel(values["filelist"])]
    image_names = [f.removesuffix(".png") for f in files]
    for name in image_names:
        if NAME.fullmatch(name) is None:
            raise ReidError(f"{path}: filelist has {ascii(name)[:60]}; expected 1_001_1_01.png")
    if len(set(image_names)) != len(image_names):
        raise ReidError(f"{path}: filelist names an image twice")
    roles: dict[str, set[str]] = {name: set() for name in image_names}
    for role in FOLDERS:
        for i in _indices(path, f"{role}_idx", values, len(files)):
            roles[image_names[i - 1]].add(role)
    train = {name[:5] for name, has in roles.items() if "train" in has}
    both = sorted(
        n[:5] for n, has in roles.items() if has & {"query", "gallery"} and n[:5] in train
    )
    if both:
        raise ReidError(f"{path}: person {both[0]} is in train and in test")
    return roles


def _load(path: Path) -> dict[str, Any]:
    try:
        from scipy.io import loadmat
    except ImportError:
        raise ReidError(f"{path} needs scipy; run `pip install scipy`") from None
    wanted = ("filelist", *(f"{role}_idx" for role in FOLDERS))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values = loadmat(path)
    except Exception as error:  # damaged files raise whatever the parser trips over
        raise ReidError(f"{path}: not a MATLAB 5 file ({_short(error)})") from None
    missing = [name for name in wanted if name not in values]
    if missing:
        raise ReidError(f"{path}: no variable {', '.join(missing)} (expected {', '.join(wanted)})")
    return values


def _indices(path: Path, name: str, values: dict[str, Any], files: int) -> list[int]:
    """1-based positions in the list of files."""
    found = np.ravel(values[name])
    whole = found.dtype.kind in "iuf" and bool((found == np.rint(found)).all())
    if not whole or (len(found) and not (found.min() >= 1 and found.max() <= files)):
        raise ReidError(f"{path}: {name} must hold positions 1 to {files}")
    return found.astype(int).tolist()


# ------------------------------------------------------------------------ listing, protocols


def _listing(
    images: Images,
    rejects: list[Reject],
    kind: str,
    roles: dict[str, set[str]] | None,
    splits: dict[str, list[int]],
) -> Listing:
    columns: dict[str, list[Any]] = vars(images).copy()
    if roles is None:
        test = set(splits["classic-01"])
        columns["part"] = ["all"] * len(images.person)
        columns["train"] = [person not in test for person in images.person]
        columns["query"] = columns["gallery"] = [person in test for person in images.person]
    else:
        of = [roles.get(image_id.partition("/")[2], set()) for image_id in images.image_id]
        columns |= {role: [role in has for has in of] for role in FOLDERS}
        columns["part"] = ["train" if train else "test" for train in columns["train"]]
    classic = [_classic(name, test, images, kind) for name, test in splits.items()]
    if roles is None:
        classic[0]["members"] = "columns"
        return Listing(names.listed(columns), classic[0]["found"], rejects, classic)
    found = _count(columns)
    return Listing(names.listed(columns), found, rejects, [_new(found, kind), *classic])


def _count(columns: dict[str, list[Any]]) -> dict[str, int]:
    found = {"images": len(columns["person"])}
    for role in FOLDERS:
        found[role] = sum(columns[role])
    found["identities"] = len(set(columns["person"]))
    for role in FOLDERS:
        chosen = zip(columns["person"], columns[role], strict=True)
        found[f"{role}_identities"] = len({person for person, member in chosen if member})
    return found


def _new(found: dict[str, int], kind: str) -> dict[str, Any]:
    rule = {"exclude": "same_person_same_camera", "junk": [], "distractors": [], "query": "single"}
    return {
        "name": "new",
        "title": f"CUHK03 {kind}, 767 persons to train and 700 to test",
        "published": PUBLISHED[kind],
        "found": found,
        "members": "columns",
        "rule": rule,
        "metrics": ["cmc", "map"],
    }


def _classic(name: str, test: Sequence[int], images: Images, kind: str) -> dict[str, Any]:
    held, everyone = set(test), set(images.person)
    train = sorted(everyone - held)
    seen = sum(person in held for person in images.person)
    found = {"images": len(images.person), "identities": len(everyone),
             "train": len(images.person) - seen, "train_identities": len(train),
             "test": seen, "test_identities": len(held & everyone)}  # fmt: skip
    published = {"images": PUBLISHED[kind]["images"], "identities": 1_467,
                 "train_identities": 1_367, "test_identities": 100}  # fmt: skip
    return {
        "name": name,
        "title": f"CUHK03 {kind}, split {int(name[-2:])} of {SPLITS}, single gallery shot",
        "published": published,
        "found": found,
        "members": {"train": {"persons": train}, "test": {"persons": list(test)}},
        "rule": {"exclude": "same_camera", "junk": [], "distractors": [],
                 "query": "every test image", "gallery": "single shot by repeats", "repeats": 10},
        "metrics": ["cmc"],
    }  # fmt: skip


# --------------------------------------------------------------------------------- the copy


def _read_copy(root: Path, below: str, kind: str) -> Listing:
    home = names.locate(root / below, "", FOLDERS.values(), f"CUHK03 {kind}")
    prefix = f"{below}/" if below else ""
    columns: dict[str, list[Any]] = {
        c: [] for c in ("path", "part", "image_id", "person", "camera", *FOLDERS)
    }
    rejects: list[Reject] = []
    for role, folder in FOLDERS.items():
        files, odd = names.files_in(home / folder, folder)
        rejects += odd
        taken: set[str] = set()
        for name in files:
            match = COPIED.fullmatch(name)
            if match is None or match[1] == "0000" or name[:-4] in taken:
                reason = "not a CUHK03 name such as 0001_c1_1.png"
                if name[:-4] in taken:
                    reason = "a second image of this name"
                rejects.append(Reject(f"{folder}/{names.printable(name)}", reason))
                continue
            taken.add(name[:-4])
            columns["path"].append(f"{prefix}{folder}/{name}")
            columns["part"].append("train" if role == "train" else "test")
            columns["image_id"].append(f"{folder}/{name[:-4]}")
            columns["person"].append(int(match[1]))
            columns["camera"].append(int(match[2]))
            for other in FOLDERS:
                columns[other].append(other == role)
    found = _count(columns)
    return Listing(names.listed(columns), found, rejects, [_new(found, kind)])


# ----------------------------------------------------------------- images from the container


def open_source(root: Path) -> Source:
    """Bytes by the paths of the listing: files as they are, images of the .mat as PNG."""
    opened: dict[tuple[str, str], Mat] = {}

    def source(path: str) -> bytes:
        file, hash_sign, image_id = path.partition("#")
        if not hash_sign:
            try:
                return (root / file).read_bytes()
            except OSError as error:
                raise BadImage(f"cannot be read: {error.strerror}") from None
        kind, _, name = image_id.partition("/")
        match = NAME.fullmatch(name)
        if match is None or kind not in KINDS:
            raise BadImage(f"no image of {MAT} has this name")
        if (file, kind) not in opened:
            opened[file, kind] = Mat(root / file, kind)
        pair, index, _, number = map(int, match.groups())
        return encode_png(opened[file, kind].image(pair, index, number))

    return source


# ----------------------------------------------------------------------------------- writing


@dataclass
class _Written:
    """What has been written: the references of each person's images, by pair and index."""

    pairs: list[list[list[Any]]] = field(default_factory=lambda: [[] for _ in range(PAIRS)])
    place: dict[int, tuple[int, int]] = field(default_factory=dict)  # person: pair, index
    roles: dict[str, str] = field(default_factory=dict)  # by image name

    def take(self, sample: Sample) -> tuple[int, int, int]:
        """(pair, index, number) of a new image. Raises `ReidError` where it has no place."""
        who = f"person {sample.person}"
        if sample.role not in FOLDERS or sample.person < 1:
            raise ReidError(f"{who}, role {sample.role}: CUHK03 has persons from 1, in train, "
                            "query or gallery")  # fmt: skip
        if not 1 <= sample.camera <= 2 * PAIRS:
            raise ReidError(f"{who}: camera {sample.camera}; CUHK03 has cameras 1 to {2 * PAIRS}")
        pair, view = (sample.camera + 1) // 2, 2 - sample.camera % 2
        persons = self.pairs[pair - 1]
        if sample.person not in self.place:
            if len(persons) == MOST_PERSONS:
                raise ReidError(f"more than {MOST_PERSONS} persons in camera pair {pair}")
            persons.append([None] * (2 * SHOTS))
            self.place[sample.person] = pair, len(persons)
        at, index = self.place[sample.person]
        if at != pair:
            raise ReidError(f"{who} is in camera pairs {at} and {pair}; CUHK03 has one pair each")
        row, start = persons[index - 1], (view - 1) * SHOTS
        free = [n for n in range(start, start + SHOTS) if row[n] is None]
        if not free:
            raise ReidError(f"{who}: more than {SHOTS} images in camera {sample.camera}")
        return pair, index, free[0] + 1


def write(root: Path, samples: Iterable[Sample], kind: str) -> Iterator[str]:
    """Write samples as cuhk-03.mat and the new protocol's file; yields the image_ids, in order.

    A person is numbered by his place: pairs in order, in each as they first appear. Test persons of
    split 1 are those with a query or gallery image; splits 2 to 20 are drawn with their number as
    the seed. The file holds boxes of this kind alone. Raises `ReidError` where a label has no place
    in the layout, and where the folder is not empty or cannot be written.
    """
    names.new_folder(root / RELEASE)
    path, h5py, written = root / RELEASE / MAT, _h5py(), _Written()
    try:
        file = h5py.File(path, "w", userblock_size=512)
    except OSError as error:
        raise ReidError(f"{path}: cannot be written: {error.strerror}") from None
    with file:
        cells = file.create_group("#refs#")
        for sample in samples:
            pair, index, number = written.take(sample)
            image = sample.image if sample.encoded is None else decode(sample.encoded)
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
                raise ReidError(f"person {sample.person}: an image must be (H, W, 3) uint8")
            name = image_name(pair, index, number)
            reference = _put(cells, name, image.T, "uint8").ref
            written.pairs[pair - 1][index - 1][number - 1] = reference
            written.roles[name] = sample.role
            yield f"{kind}/{name}"
        _finish(file, cells, written, kind)
    with path.open("r+b") as header:
        header.write(_header("MATLAB 7.3 MAT-file", 0x0200))
    names.write_file(root / config_name(kind), _config(written.roles))


def _put(group: Any, name: str, data: np.ndarray, matlab_class: str) -> Any:
    found = group.create_dataset(name, data=data)
    found.attrs["MATLAB_class"] = np.bytes_(matlab_class)
    return found


def _put_cell(group: Any, name: str, references: np.ndarray) -> Any:
    found = group.create_dataset(name, data=references, dtype=_h5py().ref_dtype)
    found.attrs["MATLAB_class"] = np.bytes_("cell")
    return found


def _put_empty(group: Any, name: str, matlab_class: str) -> Any:
    found = _put(group, name, np.zeros(2, np.uint64), matlab_class)
    found.attrs["MATLAB_empty"] = np.uint8(1)
    return found


def _finish(file: Any, cells: Any, written: _Written, kind: str) -> None:
    """The variables, once all images are there."""
    empty = _put_empty(cells, "empty", "double").ref
    outer = np.empty((1, PAIRS), object)
    for i, persons in enumerate(written.pairs):
        if not persons:
            outer[0, i] = _put_empty(cells, f"pair{i + 1}", "cell").ref
            continue
        inner = np.empty((2 * SHOTS, len(persons)), object)
        for j, row in enumerate(persons):
            inner[:, j] = [empty if reference is None else reference for reference in row]
        outer[0, i] = _put_cell(cells, f"pair{i + 1}", inner).ref
    _put_cell(file, kind, outer)
    everyone = sorted(written.place.values())
    test = sorted(
        {(int(n[0]), int(n[2:5])) for n, role in written.roles.items() if role != "train"}
    )
    if not test:
        raise ReidError(f"{file.filename}: no query or gallery image; CUHK03 needs test persons")
    splits = np.empty((1, SPLITS), object)
    for k in range(SPLITS):
        drawn = np.random.default_rng(k + 1).permutation(len(everyone))[: len(test)]
        rows = test if k == 0 else [everyone[i] for i in np.sort(drawn)]
        splits[0, k] = _put(cells, f"testset{k + 1}", np.array(rows, float).T, "double").ref
    _put_cell(file, "testsets", splits)


def _config(roles: dict[str, str]) -> bytes:
    """The new protocol's file from the role of each image."""
    from scipy.io import savemat

    image_names = sorted(roles)
    files = np.empty((len(roles), 1), object)
    files[:, 0] = [f"{name}.png" for name in image_names]
    persons = sorted({name[:5] for name in image_names})
    column = {
        "labels": [persons.index(name[:5]) + 1 for name in image_names],
        "camId": [int(name[6]) for name in image_names],
        **{f"{r}_idx": [i for i, n in enumerate(image_names, 1) if roles[n] == r] for r in FOLDERS},
    }
    values = {name: np.array(rows, float).reshape(-1, 1) for name, rows in column.items()}
    out = io.BytesIO()
    savemat(out, {"filelist": files, **values})
    return _header("MATLAB 5.0 MAT-file", 0x0100) + out.getvalue()[128:]  # theirs holds the time


def _header(text: str, version: int) -> bytes:
    """The 128 bytes that MATLAB files begin with."""
    return text.encode().ljust(116) + bytes(8) + version.to_bytes(2, "little") + b"IM"
