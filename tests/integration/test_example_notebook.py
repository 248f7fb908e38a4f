"""examples/notebook.ipynb, run cell by cell in a kernel as Jupyter does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "examples" / "notebook.ipynb"
RUN = """
import nbformat, sys
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], 4)
NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[2])
"""


def text_of(cell: dict[str, Any]) -> str:
    """What a cell shows, as text."""
    shown = ""
    for output in cell["outputs"]:
        shown += "".join(output.get("text", ""))
        shown += "".join(output.get("data", {}).get("text/plain", ""))
    return shown


def test_it_is_kept_without_outputs() -> None:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    nbformat.validate(notebook)
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == [None] * len(code)
    assert [cell["outputs"] for cell in code] == [[]] * len(code)


def test_it_plans_sends_watches_and_shows_its_report_as_a_table(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN, NOTEBOOK, tmp_path / "run.ipynb"],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "IPYTHONDIR": str(tmp_path),
            "PROMOMSG_STATE": str(tmp_path / "state"),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    cells = json.loads((tmp_path / "run.ipynb").read_text(encoding="utf-8"))["cells"]
    shown = [text_of(cell) for cell in cells if cell["cell_type"] == "code"]
    assert "59 of 60 rows, to http://127.0.0.1:" in shown[2]
    assert "客人1,三件五折" in shown[2]
    assert "done" in shown[3]
    assert "60/60" in shown[3]
    assert "57 sent, 2 failed, 1 unknown" in shown[3]
    assert {"crm-3", "crm-5", "43101", "NO_ADDRESS", "NO_ANSWER"} <= set(shown[4].split())
    assert "57" in shown[5]
    assert "(58, [])" in shown[6]
