"""Attention maps: for some test images what the masks of each block weigh up."""

from __future__ import annotations

from reid.papers.attention_driven.masks import BLOCKS
from reid.report.blocks import Row, Section, Sheet, Shot, Text, jpeg, small
from reid.results.built import Run, Runs

NAME = "attention_driven"
HEADINGS = ("image", *BLOCKS.values())
HIGHEST_PX, WIDTH_PX = 512, 128  # of a map: its file, and as it is shown


def maps(runs: Runs) -> Section | None:
    """Of the experiments that params.yaml names those whose network has intra-attention."""
    sheets = [sheet for run in runs.named if (sheet := _sheet(runs, run)) is not None]
    text = (
        "The intra-attention masks of the blocks 2 to 4, mean over their channels: the whole body "
        "above the four parts' maps put together. Yellow is each map's greatest weight, violet its "
        "least, each part by itself; a map whose weights are all alike has no colours. The least "
        "and the greatest weight stand beside; they lie within 0 and 1."
    )
    return Section("Attention maps", [Text(text), *sheets]) if sheets else None


def _sheet(runs: Runs, run: Run) -> Sheet | None:
    """None where there is no such network, or it is not the one that params.yaml describes."""
    if run.trained is None or not (run.folder / "train" / "model.safetensors").is_file():
        return None
    from reid.experiments import load
    from reid.look import attention_maps

    experiment = load(runs.built.project, run.name)
    held = run.trained["params"]
    same = all(held.get(name) == value for name, value in experiment.trained().items())
    there = all(runs.built.has(column) for column in experiment.columns)
    if not (same and there and run.paper == NAME and experiment.params.intra):
        return None
    rows = []
    for found in attention_maps.maps(experiment, runs.built.project, device="cpu"):
        names = ("whole body", "parts")
        pairs = zip(names, attention_maps.rows(found), attention_maps.spread(found), strict=True)
        for name, pictures, weights in pairs:
            shots = [
                Shot(jpeg(small(image, HIGHEST_PX)), f"{found.image_id}, {name}, {heading}")
                for image, heading in zip(pictures, HEADINGS, strict=True)
            ]
            blocks = zip(BLOCKS.values(), weights, strict=True)
            note = ", ".join(f"{block} {weight}" for block, weight in blocks)
            rows.append(Row(f"{found.image_id}, {name}", shots, note))
    return Sheet(rows, f"{run.name}.", list(HEADINGS), width_px=WIDTH_PX)
