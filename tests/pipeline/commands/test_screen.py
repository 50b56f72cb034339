"""What reaches the screen: nothing that steers a terminal, and one line where memory ran out."""

import pickle
import resource
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest
import torch

from pipeline.commands import console, main
from pipeline.stages import ingest, masks
from reid.export.folder import new_folder
from reid.project.errors import ReidError
from reid.project.params import check
from reid.shards.folder import write_shard

CLEARS = "toy\x1b[2J\x1b]0;title\x07 \x9b2J \u202etxt.exe \x7f"
SHOWN = r"toy\x1b[2J\x1b]0;title\x07 \x9b2J \u202etxt.exe \x7f"


def test_what_steers_a_terminal_is_made_visible(capsys, monkeypatch):
    console.console().print(f"{CLEARS} [bold]")
    console.table(CLEARS, [CLEARS], [[CLEARS]])
    monkeypatch.setattr(main, "app", lambda: raise_(ReidError(f"{CLEARS}: no such file")))
    with pytest.raises(SystemExit):
        main.main()
    printed, said = capsys.readouterr()
    assert f"{SHOWN} [bold]\n" in printed
    assert printed.count(SHOWN) == 4
    assert said == f"reid: {SHOWN}: no such file\n"


@pytest.mark.parametrize("text", ["Größe 5 µm, 人, ± 1", "two\nlines\tand a tab"])
def test_other_texts_stay_as_they_are(text):
    assert console.visible(text) == text


def raise_(error: BaseException) -> None:
    raise error


def numpy_error() -> MemoryError:
    with pytest.raises(MemoryError) as caught:
        np.empty(2**60, np.uint8)
    return pickle.loads(pickle.dumps(caught.value))  # as it comes from a worker


def torch_error() -> RuntimeError:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    return caught.value


def opencv_error() -> cv2.error:
    with pytest.raises(cv2.error, match="Insufficient memory") as caught:
        cv2.resize(np.zeros((1, 1), np.uint8), (2**30, 2**30))
    return caught.value


@pytest.mark.parametrize(
    ("error", "says"),
    [
        pytest.param(MemoryError(), "no more memory", id="Python"),
        pytest.param(numpy_error(), "Unable to allocate 1.00 EiB", id="NumPy, from a worker"),
        pytest.param(torch_error(), "you tried to allocate", id="torch"),
        pytest.param(
            torch.OutOfMemoryError("CUDA out of memory.\nTried"), "CUDA out of memory. Tried",
            id="a GPU",
        ),
        pytest.param(opencv_error(), "Failed to allocate", id="OpenCV"),
    ],
)  # fmt: skip
def test_no_more_memory_is_one_line(capsys, monkeypatch, error, says):
    monkeypatch.setattr(main, "app", lambda: raise_(error))
    with pytest.raises(SystemExit, match="2"):
        main.main()
    said = capsys.readouterr().err
    assert said.startswith("reid: out of memory (")
    assert says in said
    assert said.endswith("`batch`, fewer --workers or a larger machine, and run the same command "
                         "again\n")  # fmt: skip
    assert said.count("\n") == 1


@pytest.mark.parametrize("limit", [0, 5_000])
def test_a_limit_of_file_sizes_is_one_line(capsys, monkeypatch, tmp_path, limit):
    """As `ulimit -f` sets it, and FAT has it."""
    rows = pa.table({"image_id": pa.array([str(n) for n in range(100_000)])})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        monkeypatch.setattr(main, "app", lambda: write_shard(tmp_path / "x.parquet", rows, {}))
        with pytest.raises(SystemExit, match="2"):
            main.main()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    said = capsys.readouterr().err
    assert said.startswith("reid: File too large")
    assert said.count("\n") == 1


def test_other_faults_of_a_program_are_no_lack_of_memory(monkeypatch):
    monkeypatch.setattr(main, "app", lambda: raise_(RuntimeError("a stage returned 3 rows for 4")))
    with pytest.raises(RuntimeError, match="returned 3 rows"):
        main.main()


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("model", "values"),
    [
        *[(ingest.Params, {"shard_rows": rows}) for rows in (-1, 0)],
        *[(ingest.Params, {"shard_megabytes": size}) for size in (-1, 0, NAN, INF)],
        *[(masks.Params, {"max_reject_rate": rate}) for rate in (NAN, INF, -0.1, 1.5)],
    ],
)
def test_numbers_that_mean_nothing_are_refused_by_name(model, values):
    (name, value), *_ = values.items()
    given = {"reader": "folder", **values} if model is ingest.Params else values
    with pytest.raises(ReidError, match=rf"^params.yaml: stage.{name}: .* not {value}$"):
        check(model, given, "stage")


def test_the_root_is_no_new_folder():
    with (
        pytest.raises(ReidError, match=r"^/: is no new folder; write into"),
        new_folder(Path("/")),
    ):
        pass
