"""The commands that train: train, rehearse, pretrain; what a network costs; CaffeNet's weights."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from pipeline.commands.console import (
    USE,
    Device,
    Json,
    Name,
    PaperName,
    checked,
    console,
    heading,
    short,
    show,
    table_of,
)
from pipeline.commands.here import project
from pipeline.commands.names import check_experiment, check_paper, complete_paper

app = typer.Typer()


@app.command(rich_help_panel=USE)
def train(
    experiment: Name,
    device: Device = "auto",
    devices: Annotated[
        int, typer.Option(help="How many of them; torchrun says it itself.", callback=checked)
    ] = 1,
    overfit_batch: Annotated[
        bool, typer.Option(help="Only check that one batch can be learnt by heart.")
    ] = False,
) -> None:
    """Train an experiment, or go on where it was stopped.

    Example: reid train street-baseline
    """
    home = project()
    check_experiment(home, experiment)
    if devices > 1 and "TORCHELASTIC_RUN_ID" not in os.environ:
        _run_by_torchrun(devices)
    from reid import experiments
    from reid.training import train as trainer
    from reid.training.published import read_history

    loaded = experiments.load(home, experiment)
    if overfit_batch:
        from reid.training.run import overfit_batch as overfit

        accuracy = overfit(loaded, home)
        console().print(f"{experiment}: accuracy on one batch {accuracy:.3f}")
        raise typer.Exit(0 if accuracy == 1.0 else 1)

    def say(line: str) -> None:
        console().print(line, markup=False)

    folder = trainer.train(loaded, home, device=device, say=say)
    if not trainer.is_first():
        return
    last = next(reversed(read_history(folder.parent)), {})
    shown = [f"{heading(k)} {v if v.isdigit() else short(float(v))}" for k, v in last.items() if v]
    console().print(f"{experiment}: {', '.join(shown) or 'trained'}: {folder}")


def _run_by_torchrun(devices: int) -> NoReturn:
    """Become torchrun, which runs this very command in so many processes."""
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(devices)]
    os.execv(sys.executable, [sys.executable, *launch, "-m", "reid", *sys.argv[1:]])


@app.command(rich_help_panel=USE)
def rehearse(
    experiment: Name,
    steps: Annotated[
        int, typer.Option(help="How many; the first is not timed.", callback=checked)
    ] = 10,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """A few steps, nothing kept: memory, speed, and how long the whole training would take.

    Example: reid rehearse street-baseline
    """
    home = project()
    check_experiment(home, experiment)
    from reid import experiments
    from reid.project.progress import duration
    from reid.training.rehearse import rehearse as run

    found = run(experiments.load(home, experiment), home, steps=steps, device=device)

    def lines() -> None:
        console().print(
            f"{experiment} on {found['device']}, {found['precision']}, {found['steps']} steps of "
            f"{found['batch']:g} images: {found['images_per_second']:.1f} images/s, waiting for "
            f"data {100 * found['waited_share']:.1f} %, memory {found['memory_gb']:.2f} GB; "
            f"{duration(3600 * found['hours_per_epoch'])} per epoch, "
            f"{duration(3600 * found['hours'])} for {found['epochs']} epochs"
        )

    show(found, as_json, lines)


@app.command(rich_help_panel=USE)
def pretrain(
    paper: Annotated[
        str, typer.Argument(help="A paper that has a pretraining.", autocompletion=complete_paper)
    ],
    root: Annotated[Path, typer.Option(help="Images in one folder a class, such as ImageNet.")],
    epochs: Annotated[int, typer.Option(help="0 = the paper's own number.", callback=checked)] = 0,
    dataset: Annotated[
        str, typer.Option(help="Whose scale in params.yaml; the paper's size by default.")
    ] = "",
    device: Device = "auto",
) -> None:
    """Pretrain a paper's network on classified images; its weights feed `weights:`.

    Example: reid pretrain attention_driven --root imagenet/train
    """
    check_paper(paper)
    from reid.experiments import network_params
    from reid.papers import paper_of
    from reid.training import pretrain as pretraining

    home, chosen = project(), paper_of(paper)
    recipe = pretraining.pretraining_of(chosen).recipe
    if epochs:
        recipe = recipe.model_copy(update={"epochs": epochs})
    params = network_params(home, paper, dataset)
    folder = pretraining.pretrain(home, root, chosen, params, recipe, device, typer.echo)
    console().print(f"weights: {folder / 'weights.pt'}")


@app.command(rich_help_panel=USE)
def summary(
    paper: PaperName,
    as_json: Json = False,
) -> None:
    """Parameters and multiply-adds of a paper's network, beside what the paper prints.

    Example: reid summary attention_driven
    """
    check_paper(paper)
    from reid.results.network_cost import paper_summary

    found = paper_summary(paper)

    def lines() -> None:
        for title, rows in found.items():
            table_of(title, rows)

    show(found, as_json, lines)


@app.command("convert-caffe", rich_help_panel=USE)
def convert_caffe(
    source: Annotated[Path, typer.Argument(help="bvlc_reference_caffenet.caffemodel")],
    target: Annotated[Path, typer.Argument(help="A .safetensors file.")],
) -> None:
    """CaffeNet's published weights as safetensors; `weights:` takes either file.

    Example: reid convert-caffe bvlc_reference_caffenet.caffemodel caffenet.safetensors
    """
    from reid.nn.caffe_weights import convert

    state = convert(source, target)
    values = sum(tensor.numel() for tensor in state.values())
    console().print(f"{len(state)} tensors, {values:,} values: {target}", markup=False)
