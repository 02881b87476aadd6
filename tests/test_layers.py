"""Who may know whom: the layers of the software, what is imported when, and the public names."""

import ast
import functools
import json
import subprocess
import sys
from pathlib import Path

import pytest

import resight
from conftest import ROOT

SOURCE = ROOT / "src" / "resight"

LAYERS = {
    "ground": (
        "errors config.fields config.extraction config.local config.reduction config.searching "
        "config.methods config progress ahead recipes wanted memory targets"
    ),
    "photos": "photos.remote photos.images photos.files",
    "networks": (
        "networks.weights networks.architectures networks.projection networks.layouts "
        "networks.backbones networks.batching networks.engine_torch networks.engine_openvino "
        "networks.engine_onnx networks.engines networks.quantization"
    ),
    "selection": "selection.pfa selection.whitening selection.beside selection.reduction",
    "descriptors": (
        "descriptors.pooling descriptors.regions descriptors.fusion descriptors.fine_tuned "
        "descriptors.localization descriptors.sift descriptors.words descriptors.vlad "
        "descriptors.fisher descriptors.triangulation descriptors.netvlad descriptors.hamming "
        "descriptors.weighting descriptors.extractor descriptors.descriptor descriptors.cnn "
        "descriptors.local_features descriptors.aggregation descriptors.local"
    ),
    "ranking": (
        "ranking.sad ranking.codes ranking.inverted ranking.neighbors ranking.late_fusion "
        "ranking.reranking ranking.verification ranking.groups"
    ),
    "evaluation": "evaluation.measures evaluation.protocols",
    "explaining": "explaining.supply explaining.explain explaining.explain_sift",
    "storage": (
        "storage.database storage.learned storage.made_with storage.collection storage.writer "
        "storage.rowfiles storage.derived storage.arrays storage.approximating storage.integrity"
    ),
    "stores": (
        "stores.addresses stores.identity stores.store stores.engine stores.local "
        "stores.postgres_sql stores.postgres_rows stores.postgres_server stores.postgres_catalog "
        "stores.postgres_search stores.postgres_writing stores.postgres stores.qdrant_points "
        "stores.qdrant_server stores.qdrant_catalog stores.qdrant_search stores.qdrant "
        "stores.places stores.overview stores.transfer"
    ),
    "datasets": "datasets",
    "methods": "methods",
    "indexing": (
        "indexing.outcomes indexing.plan indexing.room indexing.fitting indexing.making "
        "indexing.describing"
    ),
    "cluster": (
        "cluster.segments cluster.merging cluster.shards cluster.work cluster.on_ray "
        "cluster.describing"
    ),
    "searching": "searching.geometry searching.searcher searching.pairs evaluation.comparing",
    "pipeline": "pipeline benchmark",
    "pictures": "pictures.sheet pictures.overlay demo",
    "faces": (
        "demo.run cli.progress cli.output cli.output_benchmark web cli.options cli.web "
        "cli.transfer cli.benchmark cli.app __main__"
    ),
}
"""From the bottom to the top, and in a layer from left to right: a module may import only what
stands before it. A package stands for the modules in it that are not named themselves."""

MATHS = [
    module
    for layer in ("ground", "selection", "descriptors", "ranking", "evaluation", "explaining")
    for module in LAYERS[layer].split()
]

STORED_ONLY = ["sqlite3", "filelock", "typer", "rich", "starlette", "uvicorn", "fastapi"]
"""What maths has no business with."""


@functools.cache
def modules() -> dict[str, ast.Module]:
    """Every module by its name below `resight`, `""` for the package itself, parsed."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text("utf-8"), str(path))
    return found


def imported(tree: ast.AST) -> set[str]:
    """Full names of what a module imports anywhere in it, but for the type checker alone."""
    found: set[str] = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        else:
            found |= imported(node)
    return found


def own_imports(name: str) -> set[str]:
    """The modules of `resight`, by their names below it, that a module imports."""
    found = set()
    for full in imported(modules()[name]):
        root, _, rest = full.partition(".")
        if root == "resight":
            while rest and rest not in modules():  # a name in a module
                rest = rest.rpartition(".")[0]
            found.add(rest)
    return found - {""}  # the package itself offers names and imports none before they are used


def outside_imports(name: str) -> set[str]:
    return {full.partition(".")[0] for full in imported(modules()[name])} - {"resight"}


ORDER = [module for layer in LAYERS.values() for module in layer.split()]


def place(name: str) -> int:
    """Where a module stands in the order; the package it is in counts where it is not named."""
    while name not in ORDER:
        name, _, last = name.rpartition(".")
        assert last, "not in the table of layers"
    return ORDER.index(name)


def test_every_module_has_its_place() -> None:
    assert len(ORDER) == len(set(ORDER))
    assert set(ORDER) <= set(modules())
    rooms = {module.partition(".")[0] for module in ORDER}
    missing = [
        n
        for n in modules()
        if n and n not in rooms and not any(f"{n}.".startswith(f"{m}.") for m in ORDER)
    ]
    assert missing == []


def test_modules_import_only_what_is_below_them() -> None:
    # Within a package that stands as one, any way round.
    wrong = [
        f"{name} imports {other}"
        for name in filter(None, modules())
        for other in own_imports(name)
        if place(other) > place(name)
    ]
    assert wrong == []


def test_the_package_imports_nothing_by_itself() -> None:
    assert own_imports("") == set()
    assert outside_imports("") == {"importlib", "typing"}


def below(name: str) -> set[str]:
    """A module and everything of the project that it stands on."""
    found, waiting = set(), [name]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            waiting += own_imports(current)
    return found


@pytest.mark.parametrize("name", MATHS)
def test_maths_knows_nothing_of_storage_and_faces(name: str) -> None:
    known = {package for module in below(name) for package in outside_imports(module)}
    assert known.isdisjoint(STORED_ONLY)
    above = " ".join(
        LAYERS[layer] for layer in ("storage", "stores", "searching", "pipeline", "faces")
    )
    assert below(name).isdisjoint(above.split())


def test_the_graph_is_read_right() -> None:
    # Hand-checked: if the reading of the source broke, the tests above could not fail.
    assert own_imports("descriptors.fusion") == {"descriptors.pooling"}
    assert {"storage.database", "photos.files", "selection.reduction"} <= own_imports(
        "storage.writer"
    )
    assert {"pipeline", "cli.output", "demo.run"} <= own_imports("cli.app")  # inside functions
    assert "sqlite3" in outside_imports("storage.database")
    assert {"torch", "numpy"} <= {p for m in below("descriptors.cnn") for p in outside_imports(m)}
    assert "demo.run" not in own_imports("cli.output")  # for the type checker alone


# What is imported when


def loaded(code: str, *names: str) -> set[str]:
    """Which of some packages are loaded in a fresh process after some code."""
    code += f"\nimport json, sys\nprint(json.dumps([n for n in {names!r} if n in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_torch_is_for_describing_alone() -> None:
    names = """ranking.neighbors evaluation.measures selection.pfa storage.collection storage.arrays
    searching.searcher storage.writer indexing.plan storage.integrity"""
    # One after the other in one process: the first that loads it is named.
    code = f"""
import importlib, sys
for name in {names.split()!r}:
    importlib.import_module("resight." + name)
    assert "torch" not in sys.modules, name
import resight.pipeline, resight.cli.output
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
    "RECIPES",
    "Collection",
    "EngineConfig",
    "ExtractionConfig",
    "Filter",
    "ModelOptions",
    "ResightError",
    "SearchConfig",
    "Searcher",
    "SelectionConfig",
    "SiftVladConfig",
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
    assert resight.__all__ == PUBLIC
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
