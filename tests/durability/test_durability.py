"""A small part of the fault injection; all of it is `python -m tests.durability`."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import report

from environment import ROOT

TRIALS = 5
DOCS = ROOT / "docs"


def test_the_table_in_the_documentation_is_that_of_the_figures() -> None:
    figures = json.loads((DOCS / "durability.json").read_text("utf-8"))
    assert report.START + report.table(figures) in (DOCS / "durability.md").read_text("utf-8")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="faults are injected by a preloaded library")
@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_nothing_is_lost_by_faults(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "tests.durability"]
    figures = tmp_path / "figures.json"
    options = ["--trials", str(TRIALS), "--json", str(figures)]
    result = subprocess.run(
        [*command, *options], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    rows = json.loads(figures.read_text())["rows"]
    assert {row["fault"] for row in rows} == set(report.KINDS)
    assert len({row["operation"] for row in rows}) >= 20, "each operation meets some fault"
    assert all(row["trials"] > 0 and not row["violations"] for row in rows)
    assert sum(row["hit"] for row in rows) > TRIALS
