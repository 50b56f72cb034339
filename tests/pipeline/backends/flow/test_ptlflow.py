"""The library beside others: what is installed next to it must not keep it from being imported."""

import subprocess
import sys
from pathlib import Path

IMPORT = """
from pipeline.backends.flow.ptlflow import import_ptlflow
ptlflow = import_ptlflow()
import faiss
print(ptlflow.__name__, faiss.__file__)
"""


def test_faiss_of_the_cpu_may_be_there(tmp_path: Path):
    """It has no resources of a GPU, and ptlflow asks any faiss for them."""
    fake = tmp_path / "faiss.py"
    fake.touch()
    path = [str(tmp_path), str(Path(__file__).parents[4])]
    code = f"import sys\nsys.path[:0] = {path}\n{IMPORT}"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stdout.split()[-2:] == ["ptlflow", str(fake)], run.stderr
