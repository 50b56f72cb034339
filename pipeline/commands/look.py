"""The commands that look at what a trained network does: features, search, compare, attention."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands.console import Device, Json, Name, checked, console, show, table_of
from pipeline.commands.here import project
from pipeline.commands.names import check_dataset, check_experiment, check_run

LOOK = "Look at a network"
app = typer.Typer()


@app.command(rich_help_panel=LOOK)
def features(
    experiment: Name,
    dataset: Annotated[str, typer.Argument(help="A built data set.")],
    out: Annotated[
        Path | None, typer.Option(help="A .parquet file; in the run by default.")
    ] = None,
    device: Device = "auto",
) -> None:
    """Features of every row of a data set, with labels, as `reid score` reads them.

    Example: reid features street-baseline street
    """
    home = project()
    check_experiment(home, experiment)
    check_dataset(home, dataset)
    from reid import experiments
    from reid.look.search import write_features

    loaded = experiments.load(home, experiment)
    path, table_ = write_features(loaded, home, dataset, out, device)
    console().print(f"{len(table_):,} features of {dataset}: {path}")


@app.command(rich_help_panel=LOOK)
def search(
    experiment: Name,
    image: Annotated[str, typer.Argument(help="A JPEG or PNG file, or an image_id.")],
    dataset: Annotated[str | None, typer.Option(help="Whose gallery; its own by default.")] = None,
    top: Annotated[int, typer.Option(help="How many gallery images.", callback=checked)] = 10,
    out: Annotated[Path | None, typer.Option(help="The picture, a .png file.")] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Rank a gallery for one image, as a table and as a picture, right and wrong marked.

    What an evaluation leaves out for that query is left out; of a file nothing is known to be.

    Example: reid search street-baseline query.jpg
    """
    home = project()
    check_experiment(home, experiment)
    check_dataset(home, dataset)
    from reid import experiments
    from reid.look import pictures
    from reid.look import search as searching

    loaded = experiments.load(home, experiment)
    found = searching.search(loaded, home, image, dataset=dataset, top=top, device=device)
    path = pictures.save(
        out or home.reports / "pictures" / f"search-{experiment}.png", searching.picture(found)
    )

    def lines() -> None:
        columns = list(found.rows[0])
        words = {True: "right", False: "wrong", None: ""}
        shown = [
            {**row, "distance": f"{row['distance']:.4f}", "match": words[row["match"]]}
            for row in found.rows
        ]
        table_of(f"{image} in the gallery", shown, columns)
        if found.note:
            console().print(found.note, markup=False)
        console().print(f"picture: {path}", markup=False)

    show({"note": found.note, "picture": str(path), "rows": found.rows}, as_json, lines)


@app.command(rich_help_panel=LOOK)
def compare(
    first: Name,
    second: Name,
    queries: Annotated[int, typer.Option(help="From the best to the worst.", callback=checked)] = 3,
    out: Annotated[Path | None, typer.Option(help="The picture, a .png file.")] = None,
) -> None:
    """The first five gallery images of two evaluated runs side by side, right and wrong.

    Example: reid compare street-baseline street-intra-inter
    """
    home = project()
    for name in (first, second):
        check_run(home, name)
    from reid.look import compare as comparing
    from reid.look import pictures

    image = comparing.compare(home, first, second, queries)
    path = out or home.reports / "pictures" / f"compare-{first}-{second}.png"
    console().print(f"picture: {pictures.save(path, image)}", markup=False)


@app.command(rich_help_panel=LOOK)
def attention(
    experiment: Name,
    images: Annotated[
        list[str] | None, typer.Option("--image", help="An image_id; may be given again.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The picture, a .png file.")] = None,
    device: Device = "auto",
) -> None:
    """Attention maps of some images, or frames of clips, over what the network sees.

    Example: reid attention street-intra-inter
    """
    home = project()
    check_experiment(home, experiment)
    from reid import experiments
    from reid.look import attention_maps
    from reid.look.pictures import save

    found = attention_maps.maps(experiments.load(home, experiment), home, images, device)
    path = out or home.reports / "pictures" / f"attention-{experiment}.png"
    console().print(f"picture: {save(path, attention_maps.picture(found))}", markup=False)
