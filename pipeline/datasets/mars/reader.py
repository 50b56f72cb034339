"""MARS: six cameras in front of a supermarket, tracklets by a detector and a tracker, 128 x 256.

    bbox_train/0001/0001C1T0001F016.jpg  = person 1, camera 1, tracklet 1 of the person, frame 16
    bbox_test/00-1/00-1C1T0001F001.jpg   = junk, person -1: of no influence on any figure
    bbox_test/0000/0000C1T0001F001.jpg   = distractor, person 0: a wrong match for every query
    info/train_name.txt ...              = which names are a tracklet, and the queries: `info.py`

Two protocols. `mars`, the first, is that of the common loaders: queries are not in the gallery, nor
is junk. 140 of the 1,980 queries then have no match, and do not count. Under `mars-official`, the
authors' own, the gallery is all tracklets of the test, queries and junk too: a query leaves out
what is of its own person and camera, so itself, and junk is ignored.

Junk is of part `test` and has no role in the columns. What does not fit together (a name that is
not of its tracklet's person, camera and number, a name without a file, a file that no tracklet
lists) is a reject, and counted. What lies beside the three folders is left alone.

Source   Zheng et al., MARS: A Video Benchmark for Large-Scale Person Re-identification, ECCV 2016;
         info/ and the official protocol: github.com/liangzheng06/MARS-evaluation
Differs  The authors' average precision is the trapezoid, the common loaders' the rectangle; both
         are always reported.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.datasets.base import Info, Listing, Reader
from pipeline.datasets.layouts import names
from pipeline.datasets.layouts.tracklets import (
    Tracklet,
    count_tracklets,
    queries_without_match,
    tracklet_protocol,
)
from pipeline.datasets.mars import info as mars_info
from pipeline.datasets.mars.rows import DISTRACTOR, FOLDERS, JUNK, Rows, match
from pipeline.datasets.mars.writer import write

INNER = "MARS"
MISFITS = ("names_without_file", "names_that_disagree", "files_without_tracklet")

PUBLISHED = {  # images of query, gallery, junk and distractors: counted in its info/
    "train": 509_914,
    "train_identities": 625,
    "train_tracklets": 8_298,
    "query": 114_493,
    "query_identities": 626,
    "query_tracklets": 1_980,
    "gallery": 543_216,
    "gallery_identities": 620,
    "gallery_tracklets": 9_330,
    "test": 681_089,
    "test_tracklets": 12_180,
    "distractor_tracklets": 3_248,
    "junk_tracklets": 870,
    "queries_without_match": 140,
}
OFFICIAL = {  # where the whole test is the gallery
    **PUBLISHED,
    "gallery": 681_089,
    "gallery_identities": 634,
    "gallery_tracklets": 12_180,
    "queries_without_match": 0,
}

INFO = Info(
    title="MARS",
    layout="bbox_train/0001/0001C1T0001F001.jpg, bbox_test/00-1/00-1C1T0001F001.jpg, "
    "info/{train_name.txt, test_name.txt, tracks_train_info.mat, tracks_test_info.mat, "
    "query_IDX.mat} of github.com/liangzheng06/MARS-evaluation",
    published=PUBLISHED,
    licence="no licence comes with it; its authors ask that research that uses it cites them",
    where="https://zheng-lab.cecs.anu.edu.au/Project/project_mars.html",
    citation="Zheng, Bie, Sun, Wang, Su, Wang, Tian. MARS: A Video Benchmark for Large-Scale "
    "Person Re-identification. ECCV 2016",
)


def locate(root: Path) -> Path:
    """The folder that holds bbox_train, bbox_test and info: `root`, or MARS below it."""
    return names.locate(root, INNER, [*FOLDERS.values(), mars_info.FOLDER], INFO.title)


def read(root: Path) -> Listing:
    """List the images of all tracklets; nothing is decoded.

    `root` is the data set's folder or the one that holds it. Raises `ReidError` where a folder or
    a file of info/ cannot be used, and where nothing of a part fits together.
    """
    home = locate(root)
    below = "" if home == root else f"{INNER}/"
    train, test = (mars_info.load(home, part) for part in FOLDERS)
    queries, rejects = mars_info.load_queries(home, test.tracks)
    persons = [set(part.tracks[:, 2].tolist()) - {JUNK, DISTRACTOR} for part in (train, test)]
    trained = match(home, below, train, set(), persons[1])
    tested = match(home, below, test, set(queries), persons[0])
    rejects += trained.rejects + tested.rejects
    counts = _count(trained, tested)
    files = pa.concat_tables(trained.tables + tested.tables).combine_chunks()
    return Listing(files, counts, rejects, _protocols(counts, tested.tracklets))


def _count(trained: Rows, tested: Rows) -> dict[str, int]:
    test = tested.tracklets
    counts = count_tracklets(trained.tracklets + test)
    counts |= {"test": sum(t.frames for t in test), "test_tracklets": len(test)}
    for kind, person in (("distractor", DISTRACTOR), ("junk", JUNK)):
        counts[f"{kind}_tracklets"] = sum(t.person == person for t in test)
    counts["queries_without_match"] = queries_without_match(test)
    misfits = trained.misfits + tested.misfits
    return counts | {kind: misfits[kind] for kind in MISFITS}


def _protocols(counts: dict[str, int], test: list[Tracklet]) -> list[dict[str, Any]]:
    """Queries outside the gallery, as the columns have it; then all of the test as the gallery."""
    rule = {"junk": [JUNK], "distractors": [DISTRACTOR]}
    plain = tracklet_protocol("mars", "MARS, queries not in the gallery", PUBLISHED, counts, **rule)
    whole = [t._replace(roles=(*t.roles, "gallery")) for t in test]
    gallery = {n: k for n, k in count_tracklets(whole).items() if n.startswith("gallery")}
    counts = counts | gallery | {"queries_without_match": queries_without_match(whole)}
    title = "MARS, as its authors evaluate: queries in the gallery"
    official = tracklet_protocol("mars-official", title, OFFICIAL, counts, **rule)
    added = sorted({t.person for t in test if "gallery" not in t.roles})  # of queries, and junk
    official["members"] = {"columns_and": {"gallery": {"persons": added}}}
    return [plain, official]


READER = Reader(info=INFO, read=read, write=write, locate=locate)
