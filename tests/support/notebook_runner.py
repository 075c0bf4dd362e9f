"""Execute a notebook in a process of its own: `python notebook_runner.py NOTEBOOK`."""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient


def main(path: str) -> None:
    """Run all cells; prints what they print, ends with an error if one does."""
    notebook = nbformat.read(Path(path), as_version=4)
    try:
        NotebookClient(notebook, timeout=900, kernel_name="python3").execute()
    finally:
        for cell in notebook.cells:
            for output in cell.get("outputs", ()):
                sys.stdout.write(output.get("text", "") or "\n".join(output.get("traceback", ())))


if __name__ == "__main__":
    main(sys.argv[1])
