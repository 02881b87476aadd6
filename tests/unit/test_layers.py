"""The architecture: arrows between rooms, what is imported when, and the public names."""

import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import resight
from conftest import ROOT


def modules() -> set[str]:
    """Every module by its name below `resight`."""
    found = pkgutil.walk_packages(resight.__path__, "resight.")
    return {module.name.removeprefix("resight.") for module in found}


def test_arrows_between_rooms_point_one_way() -> None:
    # The contracts are in pyproject.toml, [tool.importlinter].
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout


# What is imported when


def loaded(code: str, *names: str) -> set[str]:
    """Which of some packages are loaded in a fresh process after some code."""
    code += f"\nimport json, sys\nprint(json.dumps([n for n in {names!r} if n in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_torch_is_for_describing_alone() -> None:
    names = """ranking.exact evaluation.measures reductions.pfa collection.reader collection.search_arrays
    searching.searcher collection.writer indexing.plan collection.integrity"""
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


def test_searching_by_a_known_photo_loads_no_network(tmp_path: Path) -> None:
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


# The public names

PUBLIC = [
    "METHODS",
    "Collection",
    "BackendConfig",
    "ExtractionConfig",
    "Filter",
    "ModelOptions",
    "ResightError",
    "SearchConfig",
    "Searcher",
    "SelectionConfig",
    "LocalConfig",
    "WhiteningConfig",
    "check",
    "describe",
    "evaluate",
    "fit",
    "index",
    "info",
    "merge",
    "pull",
    "push",
    "remove",
    "search",
]


def test_public_api() -> None:
    assert sorted(resight.__all__) == sorted(PUBLIC)
    assert [name for name in PUBLIC if getattr(resight, name) is None] == []
    assert sorted(resight._HOMES) == sorted(PUBLIC)
    with pytest.raises(AttributeError, match=r"has no attribute 'serch'"):
        resight.serch  # noqa: B018
    public = {name for name in PUBLIC if name not in modules()}
    assert public == set(PUBLIC), "a module of this name would hide the public one"


def test_public_names_stay_when_every_module_is_imported() -> None:
    names = sorted(n for n in modules() if n and n != "__main__" and not n.startswith("web"))
    code = f"""
import importlib, types
for name in {names!r}:
    importlib.import_module("resight." + name)
import resight
from resight import *
for name in resight.__all__:
    assert not isinstance(getattr(resight, name), types.ModuleType), name
    assert globals()[name] is getattr(resight, name)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
