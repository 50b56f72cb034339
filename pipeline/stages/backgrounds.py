"""Backgrounds for mask swaps: each training image without its region, and who may be put there.

Reads   1-shards (`image`, roles, person, viewpoint; where the data set has them `occlusion_up`,
        `box_head_shoulder`, `box_upper_body`), 2-derived/masks, and where needed joints
Writes  2-derived/backgrounds: `background`, the squared image with its region dilated and filled
        in; `region` (1-bit PNG), what is pasted of this image; `rectangle` x1, y1, x2, y2 of the
        region, null where regions are pasted where they are; `partners`, the rows whose background
        this image may take, by their numbers among all rows of the data set. Rows that are not
        for training have nulls and no partners.
        fit.json and fit.parquet: the partners of all training rows and how many there are
Source  Yaghoubi et al., implicit attention by swapped regions, trained on RAP; geometry and
        thresholds as in the authors' code (`reid.arrays.swaps`, `pipeline.swapping.pairs`)
Differs Partners are training images of other persons, where the authors' code takes any image; the
        search by masks is on, where their published runs have it off. The paper writes both
        comparisons of masks the other way round and gives no IoU: `area_ratio` and `iou` are the
        least of each, as in the code. Areas are compared in the squared images. Without viewpoint
        labels k-means clusters the poses themselves, where the paper clusters their t-SNE. Of all
        partners `max_partners` are drawn, 256, where the paper has no limit.

`region` is full_body (the person's mask), upper_body (the mask from the head's top to the upper
body's bottom, by part boxes; by joints where a data set has no such boxes) or given: any mask,
such as hair, of another build of the masks stage, named by `builds: {region_masks: ...}`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, Literal

import cv2
import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from pipeline.engine.run import generator
from pipeline.engine.stage import Fit, Resources, Stage, TableStep
from pipeline.swapping import pairs, regions
from reid.arrays import swaps
from reid.arrays.images import BadImage, decode, encode_jpeg, encode_png
from reid.arrays.pose_clusters import cluster, complete, nearest, normalise
from reid.arrays.poses import joints_array
from reid.project.errors import ReidError
from reid.project.params import DerivedParams
from reid.shards.schema import IMAGE

SCHEMA = pa.schema(
    [
        pa.field("background", IMAGE),
        pa.field("background_size", pa.int32()),
        pa.field("region", IMAGE),
        pa.field("region_size", pa.int32()),
        pa.field("rectangle", pa.list_(pa.float32(), 4)),
        pa.field("partners", pa.list_(pa.int32())),
    ]
)


class Params(DerivedParams):
    region: Literal["full_body", "upper_body", "given"] = "full_body"
    side: Annotated[int, Field(ge=8, le=4096)] = 256  # pixels of the squared images
    area_ratio: Annotated[float, Field(ge=0, le=1)] = 0.8  # smaller mask over larger, at least
    iou: Annotated[float, Field(ge=0, le=1)] = 0.5  # of the masks at one width, at least
    mask_width: Annotated[int, Field(ge=8, le=1024)] = 200  # that width
    same_viewpoint: bool = True
    not_occluded: bool = True  # a background's head is not occluded, where the data set says so
    other_person: bool = True
    viewpoint: Literal["labels", "poses"] = "labels"  # poses: clusters of joints
    viewpoints: Annotated[int, Field(ge=1, le=127)] = 4  # how many clusters
    min_confidence: Annotated[float, Field(ge=0, le=1)] = 0.2  # joints below are filled in
    min_joints: Annotated[int, Field(ge=2, le=18)] = 4  # with fewer a row has no pose
    max_partners: Annotated[int, Field(ge=0)] = 256  # drawn for each image; 0 = all are kept
    iterations: Annotated[int, Field(ge=1)] = 1  # dilations by 7x7: paper 1, authors' code 5
    radius: Annotated[float, Field(gt=0, le=1)] = 0.1  # of filling in, in widths of the region
    quality: Annotated[int, Field(ge=0, le=100)] = 0  # of backgrounds as JPEG; 0 = PNG
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _masks_if_given(self) -> Params:
        if (self.region == "given") != ("region_masks" in self.builds):
            raise ValueError("`builds.region_masks`, a build of masks, goes with region `given`")
        return self


def reads(params: Params, columns: Collection[str]) -> dict[str, list[str]]:
    """What the step reads, of base shards with these columns."""
    rows, others = _geometry(params, columns)
    return {"rows": ["image", "height", "width", "train", *rows], "masks": ["mask"], **others}


def fit_reads(params: Params, columns: Collection[str]) -> dict[str, list[str]]:
    """What the fit reads."""
    rows, others = _geometry(params, columns)
    rows += ["occlusion_up"] if "occlusion_up" in columns else []
    if params.viewpoint == "poses":
        others["joints"] = ["joints"]
    read = ["height", "width", "person", "viewpoint", *rows]
    return {"rows": read, "masks": ["mask"], **others}


def _geometry(params: Params, columns: Collection[str]) -> tuple[list[str], dict[str, list[str]]]:
    """What gives the region beside the person's mask: base columns, and other inputs."""
    if params.region == "full_body":
        return [], {}
    if params.region == "given":
        return [], {"region_masks": ["mask"]}
    if set(regions.PART_BOXES) <= set(columns):
        return [*regions.PART_BOXES], {}
    return [], {"joints": ["joints"]}


def fit(tables: Iterator[pa.Table], params: Params) -> Fit:
    """The partners of every training row that has a region.

    Rows go by their `position`, their number among all rows of the data set.
    """
    kept: list[pa.Table] = []
    outlines: list[pairs.Outline] = []
    areas: list[int] = []
    for table in tables:
        with ThreadPoolExecutor(max(1, cv2.getNumThreads())) as pool:
            results = list(pool.map(lambda row: _outline(row, params), _rows(table, params)))
        good = [r is not None for r in results]
        outlines += [r[0] for r in results if r is not None]
        areas += [r[1] for r in results if r is not None]
        drop = [c for c in table.column_names if c.endswith("mask")]
        kept.append(table.drop_columns(drop).filter(pa.array(good, pa.bool_())))
    rows = pa.concat_tables(kept) if kept else pa.table({})
    if not rows.num_rows:
        raise ReidError("backgrounds: no training row has a region; are its masks built?")
    viewpoint, poses = _viewpoints(rows, params)
    swappable = _search(rows, pairs.gather(outlines), np.array(areas), viewpoint, params)
    positions = rows["position"].to_numpy()
    partners = pa.ListArray.from_arrays(
        pa.array(swappable.offsets, pa.int32()),
        pa.array(positions[swappable.partners], pa.int32()),
    )
    columns = {"image_id": rows["image_id"], "position": rows["position"], "partners": partners}
    return Fit({**_facts(swappable, viewpoint), **poses}, pa.table(columns))


def _outline(row: dict[str, Any], params: Params) -> tuple[pairs.Outline, int] | None:
    try:
        person = region_of(row, params).person
    except BadImage:
        return None  # the step says why
    return pairs.outline(person, params.mask_width), int(np.count_nonzero(person))


def _search(
    rows: pa.Table,
    outlines: pairs.Outlines,
    areas: np.ndarray,
    viewpoint: np.ndarray,
    params: Params,
) -> pairs.Partners:
    ids = rows["image_id"].to_pylist()
    occluded = np.zeros(len(ids), bool)
    if "occlusion_up" in rows.column_names:
        occluded = rows["occlusion_up"].fill_null(False).to_numpy(zero_copy_only=False)

    def choose(image: int, partners: np.ndarray) -> np.ndarray:
        if not 0 < params.max_partners < len(partners):
            return partners
        random = generator(params.seed, ids[image])
        return np.sort(random.choice(partners, params.max_partners, replace=False))

    rules = pairs.Rules(
        params.area_ratio, params.iou, params.same_viewpoint, params.not_occluded,
        params.other_person,
    )  # fmt: skip
    person = rows["person"].to_numpy()
    return pairs.search(outlines, areas, person, viewpoint, ~occluded, rules, choose)


def _viewpoints(rows: pa.Table, params: Params) -> tuple[np.ndarray, dict[str, Any]]:
    """(N,) viewpoints, -1 unknown; and the centres where they are clusters of poses."""
    if params.viewpoint == "labels":
        labels = rows["viewpoint"].fill_null(-1).to_numpy().astype(np.int64)
        if params.same_viewpoint and (labels < 0).all():
            raise ReidError(
                "backgrounds: the data set has no viewpoints; set `viewpoint: poses` to cluster "
                "its joints, or `same_viewpoint: false`"
            )
        return labels, {}
    xy, known = _poses(rows, params)
    viewpoint = np.full(rows.num_rows, -1)
    if not known.any():
        raise ReidError("backgrounds: no training row has joints to cluster into viewpoints")
    poses = normalise(xy[known])
    centres = cluster(poses, params.viewpoints, params.seed)
    viewpoint[known] = nearest(poses, centres)
    return viewpoint, {"poses": centres.round(6).tolist()}


def _facts(partners: pairs.Partners, viewpoint: np.ndarray) -> dict[str, Any]:
    """How many partners there are, in all and by viewpoint, before any draw."""
    by_viewpoint = {
        str(value): {
            "images": int((viewpoint == value).sum()),
            "partners_median": float(np.median(partners.counts[viewpoint == value])),
        }
        for value in np.unique(viewpoint)
    }
    return {
        "images": len(viewpoint),
        "partners_mean": round(float(partners.counts.mean()), 3),
        "partners_median": float(np.median(partners.counts)),
        "without_partner": int((partners.counts == 0).sum()),
        "share_without_partner": round(float((partners.counts == 0).mean()), 6),
        "viewpoints": by_viewpoint,
    }


def build(params: Params, resources: Resources[Fit]) -> TableStep:
    """The stage's step, with the result of `fit`."""
    fitted = resources.fitted
    if fitted is None:
        raise ValueError("backgrounds needs the partners of `fit`")
    number = {image_id: i for i, image_id in enumerate(fitted.table["image_id"].to_pylist())}
    partners = fitted.table["partners"].combine_chunks()

    def step(table: pa.Table) -> pa.Table:
        train = table["train"].to_pylist()
        work = [row if t else None for row, t in zip(_rows(table, params), train, strict=True)]
        with ThreadPoolExecutor(max(1, cv2.getNumThreads())) as pool:  # OpenCV leaves the lock
            rows = list(pool.map(lambda row: _row(row, params), work))
        for row, image_id in zip(rows, table["image_id"].to_pylist(), strict=True):
            good = row.get("background") is not None and image_id in number
            row["partners"] = partners[number[image_id]].as_py() if good else []
        return pa.Table.from_pylist(rows, SCHEMA.append(pa.field("reject", pa.string())))

    return TableStep(step)


def _row(row: dict[str, Any] | None, params: Params) -> dict[str, Any]:
    """The stage's columns of one row; None is a row that is not for training."""
    if row is None:
        return {}
    try:
        region = region_of(row, params)
        if not row["image"]:
            raise BadImage("no image")
        image = swaps.square(decode(row["image"]["bytes"] or b""), params.side)
    except BadImage as error:
        return {"reject": str(error)}
    made = swaps.background(image, region.mask, region.rectangle, params.iterations, params.radius)
    columns = {
        "background": encode_jpeg(made, params.quality) if params.quality else encode_png(made),
        "region": encode_png(region.mask),
    }
    return {
        **{name: {"bytes": data, "path": None} for name, data in columns.items()},
        **{f"{name}_size": len(data) for name, data in columns.items()},
        "rectangle": None if params.region == "full_body" else region.rectangle,
    }


def region_of(row: dict[str, Any], params: Params) -> regions.Region:
    """What is swapped of one row. Raises `BadImage` where that is nothing, or all there is."""
    region = regions.region_of(row, params.region, params.side)
    if swaps.dilate(region.mask, params.iterations).all():
        raise BadImage(f"region {params.region} leaves nothing to fill it in from")
    return region


def _rows(table: pa.Table, params: Params) -> list[dict[str, Any]]:
    """Rows as `regions.region_of` takes them."""
    if "joints" not in table.column_names:
        return table.to_pylist()
    rows = table.drop_columns(["joints"]).to_pylist()
    if params.region == "upper_body":
        xy, known = _poses(table, params)
        for row, box, believed in zip(rows, regions.upper_bodies(xy), known, strict=True):
            row["upper_body"] = box if believed else None
    return rows


def _poses(table: pa.Table, params: Params) -> tuple[np.ndarray, np.ndarray]:
    """Completed joints (N, 18, 2), and which rows have some."""
    height, width = table["height"].to_numpy(), table["width"].to_numpy()
    joints = joints_array(table["joints"])
    return complete(joints, height, width, params.min_confidence, params.min_joints)


STAGE = Stage(
    name="backgrounds",
    params=Params,
    reads=reads,
    schema=SCHEMA,
    build=build,
    fit=fit,
    fit_reads=fit_reads,
    stage_of={"region_masks": "masks"},
)
