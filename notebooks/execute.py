"""Run the notebooks of this folder, two at a time, and write their outputs into them; stop at the first cell that fails.

``python notebooks/execute.py 04 06`` runs only those whose name begins so.
"""

import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import nbformat
from nbclient import NotebookClient

AT_ONCE = 2


def execute(path: Path) -> str:
    """Run one notebook; returns its name and the time it took."""
    start = time.perf_counter()
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    notebook.metadata.pop("language_info", None)
    nbformat.write(notebook, path)
    return f"{path.name}: {time.perf_counter() - start:.0f} s"


if __name__ == "__main__":
    wanted = tuple(sys.argv[1:])
    paths = [p for p in sorted(Path(__file__).parent.glob("*.ipynb")) if not wanted or p.name.startswith(wanted)]
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # kernels that share the cores
    with ProcessPoolExecutor(AT_ONCE) as pool:
        for done in as_completed([pool.submit(execute, path) for path in paths]):
            try:
                print(done.result(), flush=True)
            except Exception:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
