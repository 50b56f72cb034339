"""One's own images: a table of labels beside them, or names that hold the labels.

    labels.csv      path,person,camera,role
                    cam1/0004.jpg,17,1,train
    labels.parquet  the same columns; optional ones are tracklet, frame, viewpoint, depth_path, and
                    boolean train, query, gallery in place of role where an image has several
    reid.yaml       pattern: '.*/p(?P<person>[0-9]+)_c(?P<camera>[0-9]+)\\.jpg'
                    roles: {train: train, test: [query, gallery]}   # of the folders so named
                    published: {train: 1200}                        # counts to compare with

One of the three. The pattern matches whole paths below the folder and may also have the groups
tracklet, frame, viewpoint and role. As elsewhere, person -1 is junk and 0 a distractor, and both
may be in the gallery alone: number people from 1. An image without a role is left out.
"""

from __future__ import annotations

import csv
import difflib
import io
import json
import os
import re
import stat
import subprocess
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.core.errors import ReidError
from pipeline.core.images import BadImage, encode_jpeg, encode_png, kind_of
from pipeline.datasets import names
from pipeline.datasets.base import LISTED, Info, Listing, Reject, Sample

SOURCES = ("labels.csv", "labels.parquet", "reid.yaml")
ROLES = ("train", "query", "gallery")
JUNK, DISTRACTOR = -1, 0
INTEGERS = {  # column: smallest and largest value
    "person": (JUNK, 2**31 - 1),
    "camera": (0, 2**15 - 1),
    "tracklet": (0, 2**31 - 1),
    "frame": (0, 2**31 - 1),
    "viewpoint": (-(2**7), 2**7 - 1),
}
COLUMNS = ("path", *INTEGERS, "role", "part", *ROLES, "depth_path")  # `part` is another `role`
WRITTEN = ("path", *INTEGERS, "role", "depth_path")
REQUIRED = ("path", "person", "camera")
GROUPS = (*INTEGERS, "role")
KEYS = ("pattern", "roles", "published")
FOUND = (
    *(name for role in ROLES for name in (role, f"{role}_identities")),
    "gallery_distractors",
    "gallery_junk",
)
INTEGER = re.compile(r"[+-]?[0-9]{1,18}(\.0+)?")  # pandas writes 3 as 3.0 beside an empty cell
YES, NO = {"true", "1", "1.0", "yes"}, {"false", "0", "0.0", "no", ""}
ENDINGS = (".jpg", ".jpeg", ".png")
LONGEST = 512  # characters of a path, and of a pattern
MATCH_SECONDS = 30  # a million names take a few; some patterns would take years

INFO = Info(
    title="A folder of one's own",
    layout="labels.csv or labels.parquet (path, person, camera, role: train, query or gallery), or "
    "reid.yaml (pattern with groups person and camera, roles of folders), beside the images",
    published={},  # reid.yaml may hold them
    licence="the images' own",
    where="your own disk",
    citation="none",
)


class Unfit(ValueError):
    """Why a row is left out."""


class Row(NamedTuple):
    """Labels before they are checked, and where they stand."""

    place: str  # such as labels.csv:7, for a row without a path
    values: dict[str, Any]


class Config(NamedTuple):
    """reid.yaml, checked."""

    pattern: str
    roles: dict[str, tuple[str, ...]]  # by folder name, or by what the group `role` holds
    published: dict[str, int]


def read(root: Path) -> Listing:
    """List the images by their labels; nothing is decoded.

    A row that is not as it should be is a reject with its reason. A `ReidError` where `root` holds
    no labels, or labels that cannot be read, or no train, query or gallery image.
    """
    source = _source(root)
    published: dict[str, int] = {}
    rejects: list[Reject] = []
    if source == "reid.yaml":
        config = _config(root / source)
        published = config.published
        rows = _named_rows(root, config, rejects)
    else:
        rows = (_csv_rows if source == "labels.csv" else _parquet_rows)(root / source, rejects)
    columns: dict[str, list[Any]] = {field.name: [] for field in LISTED}
    files, first = Files(root), {}
    for row in rows:
        try:
            listed = parse(row.values)
            _check_new(listed, row.place, first)
            files.check(listed["path"])
            if listed["depth_path"] is not None:
                files.check(listed["depth_path"], "depth: ")
        except Unfit as error:
            rejects.append(Reject(_shown(row), str(error)))
            continue
        first[listed["image_id"]] = row.place
        for name, value in listed.items():
            columns[name].append(value)
    _check_roles(root / source, columns, rejects)
    found = _count(columns)
    return Listing(names.listed(columns), found, rejects, _protocols(published, found))


def _source(root: Path) -> str:
    try:
        present = [name for name in SOURCES if (root / name).is_file()]
    except OSError:  # no right to look, or a name that is too long
        present = []
    if not present:
        raise ReidError(f"{root}: holds none of {', '.join(SOURCES)}; one must give the labels")
    if len(present) > 1:
        raise ReidError(f"{root}: holds {' and '.join(present)}; keep the one that gives labels")
    return present[0]


def _content(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ReidError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ReidError(f"{path}: not UTF-8 at byte {error.start:,}; save it as UTF-8") from None


# ------------------------------------------------------------------------------- tables of labels


def _csv_rows(path: Path, rejects: list[Reject]) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(_content(path), newline=""), strict=True)
    header: list[str] = []
    try:
        for cells in reader:
            place = f"{path.name}:{reader.line_num}"
            if not cells:  # an empty line
                continue
            if not header:
                header = [name.strip() for name in cells]
                _check_columns(path, header)
            elif len(cells) != len(header):
                reason = f"{len(cells)} values in a row; the header names {len(header)}"
                rejects.append(Reject(place, reason))
            else:
                yield Row(place, dict(zip(header, cells, strict=True)))
    except csv.Error as error:
        raise ReidError(
            f"{path}: line {reader.line_num}: {error}; is a quote not closed?"
        ) from None
    if not header:
        raise ReidError(f"{path}: empty; its first line must name {', '.join(REQUIRED)}")


def _parquet_rows(path: Path, rejects: list[Reject]) -> Iterator[Row]:
    del rejects  # a Parquet row has all its columns
    try:
        with pq.ParquetFile(path) as file:
            header = file.schema_arrow.names
            _check_columns(path, header)
            rows = file.read().to_pylist()
    except (pa.ArrowException, OSError, ValueError, ArithmeticError, KeyError) as error:
        reason = names.printable(str(error).splitlines()[0] if str(error) else "damaged")
        raise ReidError(f"{path}: cannot be read as Parquet: {reason}") from None
    for number, values in enumerate(rows, 1):
        yield Row(f"{path.name}:{number}", values)


def _check_columns(path: Path, header: list[str]) -> None:
    """Known columns, each once, the required ones among them, and roles given in one way."""
    known = f"it may have {', '.join(COLUMNS)}"
    for name in header:
        if name not in COLUMNS:
            hint = "; separate columns by commas" if ";" in name or "\t" in name else ""
            shown = names.printable(name[:60])
            raise ReidError(f"{path}: no column `{shown}`{hint}{_nearest(name, COLUMNS)} ({known})")
        if header.count(name) > 1:
            raise ReidError(f"{path}: column `{name}` stands there twice")
    missing = [name for name in REQUIRED if name not in header]
    if missing:
        raise ReidError(f"{path}: no column {', '.join(missing)} ({known})")
    ways = [way for way in (("role",), ("part",), ROLES) if set(way) & set(header)]
    if len(ways) > 1:
        given = ", ".join(name for way in ways for name in way if name in header)
        raise ReidError(f"{path}: columns {given} give roles in two ways; keep one")


def _nearest(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word.lower(), list(known), n=1)
    return f"; did you mean `{close[0]}`?" if close else ""


# --------------------------------------------------------------------------- labels in file names


def _config(path: Path) -> Config:
    try:  # every scalar as text: no dates, no octal numbers
        loaded = YAML(typ="base", pure=True).load(_content(path))
    except (YAMLError, ValueError, RecursionError) as error:
        text = names.printable(" ".join(str(error).split())[:200])
        raise ReidError(f"{path}: not valid YAML (quote patterns by '): {text}") from None
    if not isinstance(loaded, dict) or not isinstance(loaded.get("pattern"), str):
        raise ReidError(f"{path}: must hold `pattern:`, a regular expression in single quotes")
    for key in loaded:
        if key not in KEYS:
            shown, nearest = names.printable(str(key)[:60]), _nearest(str(key), KEYS)
            raise ReidError(f"{path}: no key `{shown}`{nearest} (it may have {', '.join(KEYS)})")
    _check_pattern(path, loaded["pattern"])
    roles = {role: (role,) for role in ROLES}
    for name, given in _mapping(path, loaded, "roles").items():
        roles[name] = tuple(given) if isinstance(given, list) else (given,)
        if not roles[name] or not all(role in ROLES for role in roles[name]):
            raise ReidError(f"{path}: roles: `{names.printable(name[:60])}` must be one or a list "
                            f"of {', '.join(ROLES)}")  # fmt: skip
    published = {}
    for name, count in _mapping(path, loaded, "published").items():
        if name not in FOUND:
            shown, nearest = names.printable(name[:60]), _nearest(name, FOUND)
            raise ReidError(f"{path}: published has no `{shown}`{nearest} ({', '.join(FOUND)})")
        if not isinstance(count, str) or not re.fullmatch("[0-9]{1,12}", count):
            raise ReidError(f"{path}: published: `{name}` must be a whole number")
        published[name] = int(count)
    return Config(loaded["pattern"], roles, published)


def _mapping(path: Path, loaded: dict[str, Any], key: str) -> dict[str, Any]:
    value = loaded.get(key) or {}
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise ReidError(f"{path}: `{key}` must be names with values, such as {{train: ...}}")
    return value


def _check_pattern(path: Path, pattern: str) -> None:
    if len(pattern) > LONGEST:
        raise ReidError(f"{path}: pattern of {len(pattern):,} characters; at most {LONGEST}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as a possible nested set
            groups = list(re.compile(pattern).groupindex)
    except (re.error, OverflowError, RecursionError) as error:
        text = names.printable(str(error))
        raise ReidError(f"{path}: pattern is no regular expression: {text}") from None
    for name in groups:
        if name not in GROUPS:
            raise ReidError(f"{path}: pattern has a group `{name}`{_nearest(name, GROUPS)} "
                            f"(it may have {', '.join(GROUPS)})")  # fmt: skip
    missing = [name for name in ("person", "camera") if name not in groups]
    if missing:
        first = missing[0]
        raise ReidError(f"{path}: pattern has no group {', '.join(missing)}; write one as "
                        f"(?P<{first}>[0-9]+)")  # fmt: skip


def _named_rows(root: Path, config: Config, rejects: list[Reject]) -> Iterator[Row]:
    paths = []
    for path in _walk(root, rejects):
        if len(path) > LONGEST:
            reason = f"a path of {len(path)} characters; at most {LONGEST} are matched"
            rejects.append(Reject(names.printable(path), reason))
        elif names.printable(path) != path:
            rejects.append(Reject(names.printable(path), "a name that is not printable text"))
        else:
            paths.append(path)
    for path, groups in zip(paths, _matched(root, config.pattern, paths), strict=True):
        if groups is None:
            rejects.append(Reject(path, "does not match the pattern of reid.yaml"))
            continue
        folders = [name for name in path.split("/")[-2::-1] if name in config.roles]
        role = groups.pop("role", None) or (folders[0] if folders else "")
        roles = config.roles.get(role, (role,) if role else ())
        yield Row(path, {"path": path, **groups, "roles": roles})


def _walk(root: Path, rejects: list[Reject]) -> Iterator[str]:
    """Paths below `root` of what is named as an image, in order; hidden folders are passed over."""

    def fail(error: OSError) -> None:
        raise ReidError(f"{error.filename}: cannot be read: {error.strerror}")

    for folder, folders, files in os.walk(root, onerror=fail):
        folders[:] = sorted(n for n in folders if n[0] != "." and not names.is_clutter(n))
        below = os.path.relpath(folder, root)
        prefix = "" if below == "." else f"{below}/"
        for name in folders:
            if os.path.islink(os.path.join(folder, name)):  # noqa: PTH114, PTH118 (odd bytes)
                shown = names.printable(f"{prefix}{name}")
                rejects.append(Reject(shown, "a link to a folder; these are not followed"))
        for name in sorted(files):
            if name.lower().endswith(ENDINGS) and not names.is_clutter(name):
                yield f"{prefix}{name}"


MATCHER = """
import json, re, sys, warnings
warnings.simplefilter("ignore")
pattern, paths = json.load(sys.stdin)
match = re.compile(pattern).fullmatch
found = [match(path) for path in paths]
json.dump([m and m.groupdict() for m in found], sys.stdout)
"""


def _matched(root: Path, pattern: str, paths: list[str]) -> list[dict[str, str | None] | None]:
    """The groups of each path, or None. In a process of its own: `re` knows no limit of time."""
    if not paths:
        return []
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", MATCHER], input=json.dumps([pattern, paths]),
            capture_output=True, encoding="ascii", check=True, timeout=MATCH_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        reason = f"pattern takes more than {MATCH_SECONDS} s; simplify repeats of repeats: (a+)+"
        raise ReidError(f"{root}/reid.yaml: {reason}") from None
    except (subprocess.CalledProcessError, OSError) as error:
        raise ReidError(f"{root}/reid.yaml: pattern cannot be matched: {error}") from None
    return json.loads(done.stdout)


# ---------------------------------------------------------------------------------- a row's labels


def parse(values: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `LISTED` from labels as text or numbers. Raises `Unfit` with the reason."""
    path = _path(values.get("path"), ENDINGS)
    numbers = {name: _integer(name, values.get(name)) for name in INTEGERS}
    roles = _roles(values)
    person = numbers["person"]
    if person is not None and person <= DISTRACTOR and roles != ("gallery",):
        kind = "junk" if person == JUNK else "a distractor"
        raise Unfit(f"person {person} is {kind}, which may be in the gallery alone; "
                    "number people from 1")  # fmt: skip
    depth = values.get("depth_path")
    return {
        "path": path,
        "part": "train" if "train" in roles else "test",
        "image_id": path.rpartition(".")[0],
        **numbers,
        **{role: role in roles for role in ROLES},
        "depth_path": None if depth in (None, "") else _path(depth, (".png",), "depth: "),
    }


def _path(value: Any, endings: tuple[str, ...], label: str = "") -> str:
    if not isinstance(value, str) or not value:
        raise Unfit(f"{label}no path")
    if len(value) > LONGEST:
        raise Unfit(f"{label}a path of {len(value):,} characters; at most {LONGEST}")
    if names.printable(value) != value:
        raise Unfit(f"{label}a path that is not printable text")
    if value.startswith("/") or ".." in value.split("/"):
        raise Unfit(f"{label}leads out of the data set's folder; write the path below it")
    if "#" in value:  # it parts a container file from what is inside
        raise Unfit(f"{label}`#` in a path; rename the file")
    path = str(PurePosixPath(value))  # a//b and ./a/b are a/b
    if not path.lower().endswith(endings) or path.rpartition("/")[2].lower() in endings:
        raise Unfit(f"{label}not a file such as name{endings[0]} ({', '.join(endings)} are read)")
    return path


def _integer(name: str, value: Any) -> int | None:
    text = "" if value is None or value != value else str(value).strip()  # NaN is no value
    if not text:
        if name in REQUIRED:
            raise Unfit(f"no {name}")
        return None
    if isinstance(value, bool) or INTEGER.fullmatch(text) is None:
        shown = names.printable(text[:40])
        raise Unfit(f"{name} `{shown}`: not a whole number of at most 18 digits")
    number, (low, high) = int(text.partition(".")[0]), INTEGERS[name]
    if not low <= number <= high:
        raise Unfit(f"{name} {number} is not in {low} to {high}")
    return number


def _roles(values: Mapping[str, Any]) -> tuple[str, ...]:
    if "roles" in values:
        roles = tuple(values["roles"])
    elif set(ROLES) & set(values):
        roles = tuple(role for role in ROLES if _boolean(role, values.get(role)))
    else:
        given = values.get("role", values.get("part"))
        roles = () if given is None or not str(given).strip() else (str(given).strip(),)
    for role in roles:
        if role not in ROLES:
            shown = names.printable(role[:40])
            raise Unfit(f"role `{shown}`{_nearest(role, ROLES)} (there are {', '.join(ROLES)})")
    if not roles:
        raise Unfit(f"no role (there are {', '.join(ROLES)})")
    return roles


def _boolean(name: str, value: Any) -> bool:
    text = "" if value is None or value != value else str(value).strip()
    if text.lower() not in YES | NO:
        raise Unfit(f"{name} `{names.printable(text[:40])}`: not true or false")
    return text.lower() in YES


class Files:
    """Tells files below a root from all else; each folder is resolved once."""

    def __init__(self, root: Path) -> None:
        self.real = os.path.realpath(root).rstrip("/")
        self.folders: dict[str, bool] = {}  # whether a folder lies inside

    def check(self, path: str, label: str = "") -> None:
        """Raises `Unfit` where `path` is no file, or one that lies outside the root."""
        full, folder = f"{self.real}/{path}", path.rpartition("/")[0]
        try:
            if folder not in self.folders:
                self.folders[folder] = self._inside(f"{self.real}/{folder}")
            inside = self.folders[folder]
            if inside and stat.S_ISLNK(os.lstat(full).st_mode):
                inside = self._inside(full)
            mode = Path(full).stat().st_mode if inside else 0
        except (FileNotFoundError, NotADirectoryError):
            hint = "; write / between folders" if "\\" in path else ""
            raise Unfit(f"{label}no such file{hint}") from None
        except OSError as error:
            raise Unfit(f"{label}cannot be looked at: {error.strerror}") from None
        if not inside:
            raise Unfit(f"{label}a link that leads out of the data set's folder")
        if not stat.S_ISREG(mode):
            raise Unfit(f"{label}{'a folder' if stat.S_ISDIR(mode) else 'neither file nor folder'}")

    def _inside(self, full: str) -> bool:
        return f"{os.path.realpath(full)}/".startswith(f"{self.real}/")


def _check_new(listed: dict[str, Any], place: str, first: dict[str, str]) -> None:
    earlier = first.get(listed["image_id"])
    if earlier is not None:
        hint = "" if earlier == place else "; columns train, query and gallery give several roles"
        raise Unfit(f"listed before, at {earlier}, with or without another ending{hint}")


def _shown(row: Row) -> str:
    path = row.values.get("path")
    return names.printable(path) if isinstance(path, str) and path else row.place


# ------------------------------------------------------------------------------ the whole data set


def _check_roles(source: Path, columns: dict[str, list[Any]], rejects: list[Reject]) -> None:
    """Nothing can be trained without train images, or evaluated without queries and a gallery."""
    absent = [role for role in ROLES if not any(columns[role])]
    if not absent:
        return
    good, bad = len(columns["path"]), len(rejects)
    example = f"; first reject: {rejects[0].image_id}: {rejects[0].reason}" if rejects else ""
    if source.name == "reid.yaml":
        how = "give roles by folder, as `roles: {one: train, two: [query, gallery]}`"
    else:
        how = "give roles in a column `role`, or in boolean columns train, query, gallery"
    raise ReidError(f"{source}: no {' and no '.join(absent)} image among {good} good rows and "
                    f"{bad} rejects; {how}{example}")  # fmt: skip


def _count(columns: dict[str, list[Any]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for role in ROLES:
        people = [p for p, member in zip(columns["person"], columns[role], strict=True) if member]
        found[role] = len(people)
        found[f"{role}_identities"] = len(set(people) - {JUNK, DISTRACTOR})
        if role == "gallery":
            found["gallery_distractors"] = people.count(DISTRACTOR)
            found["gallery_junk"] = people.count(JUNK)
    return found


def _protocols(published: dict[str, int], found: dict[str, int]) -> list[dict[str, Any]]:
    """Market-1501's rule, which most later data sets share."""
    rule = {
        "exclude": "same_person_same_camera",
        "junk": [JUNK],
        "distractors": [DISTRACTOR],
        "query": "single",
    }
    return [
        {
            "name": "folder",
            "title": "roles as labelled, single query",
            "published": published,
            "found": found,
            "members": "columns",
            "rule": rule,
            "metrics": ["cmc", "map"],
        }
    ]


# ---------------------------------------------------------------------------------------- writing


def write(root: Path, samples: Iterable[Sample], *, lossless: bool = False) -> Iterator[str]:
    """Write samples and labels.csv into a new or empty folder; yields each image_id, in order.

    A sample is written as its own encoded bytes, else as JPEG of quality 90, or as PNG where
    `lossless`. Depth is 16-bit PNG below depth/. Sequence 0 is written as none. Raises `ReidError`
    for labels that `read` would reject, and where a file cannot be written.
    """
    names.new_folder(root)
    for folder in (*ROLES, "depth"):
        names.new_folder(root / folder)
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, WRITTEN, lineterminator="\n")
    table.writeheader()
    for number, sample in enumerate(samples):
        image_id, labelled = _written(root, number, sample, lossless)
        table.writerow(labelled)
        yield image_id
    names.write_file(root / "labels.csv", text.getvalue().encode())  # last: no half data set


def _written(root: Path, number: int, sample: Sample, lossless: bool) -> tuple[str, dict[str, Any]]:
    """Write one sample; its image_id, such as query/0005_c2_000031, and its row of labels."""
    name = f"{sample.person:04d}_c{sample.camera}_{number:06d}"
    ending, data = _encoded(sample, lossless)
    labelled = {
        "path": f"{sample.role}/{name}.{ending}", "person": sample.person, "camera": sample.camera,
        "tracklet": sample.tracklet or None, "frame": sample.frame, "viewpoint": sample.viewpoint,
        "role": sample.role, "depth_path": None,
    }  # fmt: skip
    if sample.depth_mm is not None:
        labelled["depth_path"] = f"depth/{name}.png"
    try:
        image_id = parse(labelled)["image_id"]
    except Unfit as error:
        raise ReidError(f"{root}: sample {number}: {error}") from None
    names.write_file(root / labelled["path"], data)
    if sample.depth_mm is not None:
        names.write_file(root / labelled["depth_path"], encode_png(sample.depth_mm))
    return image_id, labelled


def _encoded(sample: Sample, lossless: bool) -> tuple[str, bytes]:
    if sample.encoded is not None:
        try:
            return {"jpeg": "jpg", "png": "png"}[kind_of(sample.encoded)], sample.encoded
        except BadImage as error:
            raise ReidError(f"encoded bytes of a sample: {error}") from None
    if lossless:
        return "png", encode_png(sample.image)
    return "jpg", encode_jpeg(sample.image)
