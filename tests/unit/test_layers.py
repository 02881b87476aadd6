"""The architecture: imports between packages, and what is imported when."""

import json
import subprocess
import sys
from pathlib import Path

from environment import ROOT


def test_imports_between_packages_point_one_way() -> None:
    # The contracts are in pyproject.toml, [tool.importlinter].
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout


# Imports of commands


def loaded(code: str, *names: str) -> set[str]:
    """Return which of some packages are loaded in a fresh process after some code."""
    code += f"\nimport json, sys\nprint(json.dumps([n for n in {names!r} if n in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_torch_is_loaded_only_for_extraction() -> None:
    names = """ranking.exact evaluation.measures reductions.pfa collection
    collection.search_arrays searching collection.writer indexing.plan
    backends.manage"""
    # One after the other in one process: the first that loads it is named.
    code = f"""
import importlib, sys
for name in {names.split()!r}:
    importlib.import_module("resight." + name)
    assert "torch" not in sys.modules, name
import resight.indexing.pipeline, resight.cli.output
"""
    assert loaded(code, "torch", "sklearn", "cv2", "numpy") == {"numpy"}


def test_the_package_costs_nothing() -> None:
    heavy = ("numpy", "torch", "PIL", "cv2", "sklearn", "sqlite3", "typer", "resight.config")
    assert loaded("import resight", *heavy) == set()


def test_help_costs_next_to_nothing() -> None:
    code = """
import sys
sys.argv = ["resight", "--help"]
from resight.cli.app import main
try:
    main()
except SystemExit as ended:
    assert ended.code == 0
"""
    heavy = ("numpy", "torch", "PIL", "cv2", "sklearn", "sqlite3", "safetensors", "filelock")
    assert loaded(code, *heavy, "typer") == {"typer"}


def test_searching_by_an_indexed_photo_loads_no_network(tmp_path: Path) -> None:
    import shutil

    folder = shutil.copytree(ROOT / "tests" / "fixtures" / "collection-v1", tmp_path / "c")
    (tmp_path / "query.jpg").write_bytes(b"photo one")
    code = f"""
import sys
sys.argv = ["resight", "search", {str(tmp_path / "query.jpg")!r}, "-c", {str(folder)!r}]
from resight.cli.app import main
try:
    main()
except SystemExit as ended:
    assert ended.code == 0
"""
    assert loaded(code, "torch", "sklearn", "cv2", "numpy") == {"numpy"}
