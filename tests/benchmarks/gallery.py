"""`python -m tests.benchmarks.gallery`: 10,000 queries against 1,000,000 gallery features.

`reid score` of a features file against the bare product of the same features, and against faiss's
exact search of the ten nearest where faiss is installed. Each runs in a process of its own, on one
thread, and reads the same file: its processor seconds, and the most memory that it ever held.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer

from pipeline.commands.console import show, table
from reid.evaluation.features import feature_table

AT_ONCE = 50_000  # rows made, read and written at a time
BLOCK = 256  # queries of one product
NEAREST = 10
PRODUCT = """
from tests.benchmarks.gallery import BLOCK, sides
query, gallery = sides({path!r})
for start in range(0, len(query), BLOCK):
    query[start : start + BLOCK] @ gallery.T
"""
FAISS = """
import faiss
from tests.benchmarks.gallery import NEAREST, sides
query, gallery = sides({path!r})
index = faiss.IndexFlatIP(query.shape[1])
index.add(gallery)
index.search(query, NEAREST)
"""
SCORE = "from pipeline.commands.main import main; main()"


def write(path: Path, queries: int, gallery: int, dimensions: int) -> None:
    """A features file: persons of some ten images each, in six cameras."""
    random = np.random.default_rng(0)
    persons = max(1, (queries + gallery) // 10)
    centre = random.standard_normal((persons, dimensions), dtype=np.float32)
    writer = None
    for start in range(0, queries + gallery, AT_ONCE):
        row = np.arange(start, min(start + AT_ONCE, queries + gallery))
        person = row % persons
        noise = random.standard_normal((len(row), dimensions), dtype=np.float32)
        labels = pa.table(
            {
                "person": person + 1,
                "camera": random.integers(1, 7, len(row)),
                "query": row < queries,
                "gallery": row >= queries,
            }
        )
        part = feature_table(labels, centre[person] + 2 * noise)
        writer = writer or pq.ParquetWriter(path, part.schema)
        writer.write_table(part)
    assert writer is not None  # there are queries
    writer.close()


def sides(path: str) -> tuple[np.ndarray, np.ndarray]:
    """The features of the queries and of the gallery, which comes behind them."""
    file = pq.ParquetFile(path)
    queries = int(np.count_nonzero(file.read(["query"])["query"]))
    parts = file.iter_batches(AT_ONCE, columns=["feature"])
    blocks = [part["feature"].flatten().to_numpy().reshape(len(part), -1) for part in parts]
    whole = np.concatenate(blocks)
    return whole[:queries], whole[queries:]


def spent(code: str, *arguments: str) -> tuple[float, float, str]:
    """Processor seconds, peak of memory in GB, and output of Python code in its own process."""
    one = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with tempfile.TemporaryFile("w+") as output:
        child = subprocess.Popen([sys.executable, "-c", code, *arguments], env=one, stdout=output)
        _, status, usage = os.wait4(child.pid, 0)
        output.seek(0)
        if status:
            raise SystemExit(f"{code}: ended with {os.waitstatus_to_exitcode(status)}")
        unit = 1 if sys.platform == "darwin" else 1_024  # bytes of ru_maxrss
        return usage.ru_utime + usage.ru_stime, unit * usage.ru_maxrss / 1e9, output.read()


def main(
    queries: Annotated[int, typer.Option()] = 10_000,
    gallery: Annotated[int, typer.Option()] = 1_000_000,
    dimensions: Annotated[int, typer.Option()] = 256,
) -> None:
    """Measure, and print a table; some minutes, 5 GB of memory, 2 GB of disk."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "features.parquet"
        write(path, queries, gallery, dimensions)
        calls = {
            "reid score": (SCORE, "score", str(path), "--json"),
            "bare product": (PRODUCT.format(path=str(path)),),
        }
        try:
            import faiss  # noqa: F401  # type: ignore[import-not-found]
        except ImportError:
            typer.echo("without faiss: pip install faiss-cpu", err=True)
        else:
            calls[f"faiss, {NEAREST} nearest"] = (FAISS.format(path=str(path)),)
        rows = {name: spent(*call)[:2] for name, call in calls.items()}
    lines = [
        {"what": name, "CPU s": round(seconds, 1), "GB": round(held, 2)}
        for name, (seconds, held) in rows.items()
    ]
    columns = ["what", "CPU s", "GB"]
    show(lines, False, lambda: table("gallery", columns, [[*line.values()] for line in lines]))


if __name__ == "__main__":
    typer.run(main)
