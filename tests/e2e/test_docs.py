"""The documentation is true: its examples run, its tables and help texts are those of the code."""

import contextlib
import dataclasses
import functools
import importlib
import importlib.util
import io
import json
import math
import os
import re
import shutil
import subprocess
import sys

import pytest

from environment import ROOT
from resight.config import ExtractionConfig

README = (ROOT / "README.md").read_text("utf-8")


def load_make_cli():
    spec = importlib.util.spec_from_file_location("make_cli", ROOT / "docs" / "make_cli.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_command_line_page_is_the_programs_help():
    assert (ROOT / "docs" / "cli.md").read_text("utf-8") == load_make_cli().page()


def test_every_command_is_in_the_readme():
    for command in load_make_cli().commands():
        assert f"`resight {command}" in README, command


def test_readme_commands_are_makes_targets():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in re.findall(r"^    make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_demo_ends_with_where_its_command_is():
    command = ["make", "--dry-run", "--no-print-directory", "demo", "VENV=somewhere"]
    # Another make, which may have started the tests, must not pass its options on.
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    steps = subprocess.run(command, cwd=ROOT, env=plain, capture_output=True, text=True, check=True)
    *_, demo, last = steps.stdout.splitlines()
    assert demo == "somewhere/bin/resight demo"
    assert last.startswith("echo")
    assert "somewhere/bin/resight" in last


def test_continuous_integration_runs_the_readmes_test_command():
    assert "make test" in (ROOT / ".ci" / "run").read_text("utf-8")
    assert "make test" in README


def test_links_lead_somewhere():
    names = "README.md", "CONTRIBUTING.md", "SECURITY.md"
    for page in [*(ROOT / name for name in names), *(ROOT / "docs").glob("*.md")]:
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
            if not link.startswith("http"):
                assert (page.parent / link).exists(), f"{page.name}: {link}"


def run_examples(page, count, change=str):
    """Run a page's Python blocks in order; what each prints must be the block that follows it."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    blocks = re.findall(r"```(python)?\n(.*?)```(?:\n\n```\n(.*?)```)?", text, re.DOTALL)
    names: dict[str, object] = {}
    for language, code, expected in blocks:
        assert language == "python"
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(change(code), f"docs/{page}", "exec"), names)
        if expected:
            assert printed.getvalue() == expected
    assert len(blocks) == count


@pytest.fixture
def demo_folder(demo_photos, tmp_path, monkeypatch):
    """Return a working folder that holds the demo's pictures as `photos/`."""
    shutil.copytree(demo_photos, tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def keep_objects(photos, numbers):
    """Delete the demo's pictures of other objects, and of none."""
    names = [f"object-{number:02}" for number in numbers]
    for folder in photos.glob("*/"):
        if folder.name not in names:
            shutil.rmtree(folder)
    truth = json.loads((photos / "groups.json").read_text())
    present = {name: paths for name, paths in truth.items() if (photos / paths[0]).exists()}
    (photos / "groups.json").write_text(json.dumps(present))


def test_python_examples_run_and_print_what_the_page_says(demo_folder):
    keep_objects(demo_folder / "photos", range(1, 6))
    run_examples("python.md", 11)


def test_http_examples_run_and_print_what_the_page_says(demo_folder, monkeypatch):
    pytest.importorskip("fastapi", reason="the extra `web` is not installed")
    from resight.web.tokens import find_token
    from web_server import make_sift_collection, running

    keep_objects(demo_folder / "photos", range(1, 5))
    collection = make_sift_collection(demo_folder / "collection", demo_folder / "photos")
    monkeypatch.setenv("RESIGHT_TOKEN", "0123456789abcdef")
    with running(collection, token=find_token(None)) as server:
        server.client.headers["Authorization"] = "Bearer 0123456789abcdef"
        run_examples("http.md", 8, lambda code: code.replace("http://127.0.0.1:8765", server.url))
        operations = server.client.get("/api/v1/openapi.json").json()["paths"]
    text = (ROOT / "docs" / "http.md").read_text("utf-8")
    documented = set(re.findall(r"^\| `([A-Z]+ \S+)`", text, re.MULTILINE))
    served = {
        f"{verb.upper()} {path.removeprefix('/api/v1')}"
        for path, verbs in operations.items()
        for verb in verbs
    }
    assert documented == served


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(ExtractionConfig)])
def test_every_field_of_the_method_is_explained(field):
    structural = {"method", "layers", "resolutions", "levels", "stride", "cam", "dtype"}
    text = (ROOT / "docs" / "method.md").read_text("utf-8")
    assert field in structural or f"`{field}" in text, f"{field} is missing in docs/method.md"


def test_contributing_describes_every_package_and_names_files_that_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    source = ROOT / "src" / "resight"
    table = text[text.index("| package |") : text.index("New methods are")]
    packages = set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))
    assert packages == {path.parent.name for path in source.glob("*/__init__.py")}
    drawing = text[text.index("```") : text.rindex("```")]
    for path in re.findall(r"\w+/(?:\w+\.py|\w+/)?", drawing):
        assert (source / path).exists(), path


def test_package_is_importable_without_its_command_line():
    code = "import resight, sys; assert 'typer' not in sys.modules and 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("script", "name", "page"),
    [
        *(("growth", "growth", "speed"), ("speed", "speed", "speed")),
        *(("backends", "backends", "backends"), ("cluster", "cluster", "cluster")),
        *(("seeds", "seeds", "results"), ("adaptation", "adaptation", "results")),
        *(("methods", "methods", "results"), ("draws", "draws", "results")),
        ("draws", "combined", "benchmarks"),
    ],
)
def test_the_tables_of_measurements_are_those_of_their_files(script, name, page, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    benchmark = importlib.import_module(script)
    measured = json.loads((ROOT / "docs" / f"{name}.json").read_text("utf-8"))
    assert benchmark.table(measured) in (ROOT / "docs" / f"{page}.md").read_text("utf-8")


def test_a_clusters_start_is_not_counted_among_its_photos(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    figures = importlib.import_module("cluster").figures
    # 16 photos more take 16 s more: one a second, on each of two cores 1,800 an hour.
    assert figures({"8": [14.0, 11.0, 12.0], "24": [30.0, 27.0, 28.0]}, cores=2) == {
        "seconds_a_photo": 1.0,
        "start_seconds": 4.0,
        "photos_an_hour_a_core": 1800.0,
    }


def test_the_page_on_sizes_is_what_its_script_computes(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    sizing = importlib.import_module("sizing")
    text = (ROOT / "docs" / "capacity.md").read_text("utf-8")
    for table in sizing.tables(sizing.read(on_ray="| Ray" in text)):
        assert table in text, "run benchmarks/sizing.py"


def test_sizes_are_computed_by_the_formulas_of_the_page(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    sizing = importlib.import_module("sizing")
    figures = {
        "disk, bytes/photo": 20_000.0,
        "index, bytes/photo": 4_800.0,
        "upload, photos/s": 2_000.0,
        "index, photos/s": 500.0,
        "search, ms, real queries": 10.0,
    }
    engine = sizing.fitted({"20000": figures}, cores=2)
    # 20,000 photos at 500 a second are 40 s of two cores, 5 s of 16.
    assert sizing.link_hours(engine, 20_000) == pytest.approx(5 / 3600)
    # Twice the logarithm, twice the time: 20,000 squared.
    assert 1000 * engine.search * math.log(20_000**2) == pytest.approx(20)
    # 48 GB of 64 are for the index: 4.8 GB of a million photos fit ten times.
    assert [sizing.shards(engine, n) for n in (10**6, 10**7, 10**7 + 1, 10**9)] == [1, 1, 2, 100]
    assert sizing.machine_for(48e9) == "1 of 64 GB"
    assert sizing.machine_for(49e9) == "1 of 128 GB"
    assert sizing.machine_for(1600e9) == "none"
    assert [sizing.number(value) for value in (0.0234, 1, 9.96, 12345)] == [
        *("0.023", "1.0", "10", "12,000")
    ]


def test_every_method_has_its_line():
    from resight.methods import METHODS

    text = (ROOT / "docs" / "benchmarks.md").read_text("utf-8")
    for name, spec in METHODS.items():
        (line,) = (line for line in text.splitlines() if line.startswith(f"| `{name}` |"))
        assert spec.title in line
        assert spec.source in line
        assert all(f"{where} {value:g}" in line for where, value in spec.published.scores.items())


def test_every_data_set_is_described():
    from resight.evaluation.datasets import BENCHMARKS

    text = (ROOT / "docs" / "benchmarks.md").read_text("utf-8")
    for name in BENCHMARKS:
        (line,) = (line for line in text.splitlines() if re.match(rf"\| .*`{name}`", line))
        for switch, values in BENCHMARKS[name].switches.items():
            others = "".join(f", `{value}`" for value in values[1:-1])
            choice = f"`{switch}={values[0]}`{others} or `{values[-1]}`" if values else ""
            assert (choice or f"`{switch}=FILE`") in line


def test_engine_examples_run_and_find_what_a_folder_finds(
    demo_folder, monkeypatch, capsys, postgres
):
    from resight.cli.app import main

    photos = demo_folder / "photos"
    keep_objects(photos, (2, 3, 4))
    (demo_folder / "few.toml").write_text('method = "sift-vlad"\ncenters = 16\n')
    addresses = {
        "postgresql://resight@localhost/photos/my-collection": postgres.address(
            postgres.new_database(), "my-collection"
        ),
        "qdrant+http://localhost:6333/my-collection": f"qdrant+file://{demo_folder}/qdrant/mine",
    }

    @functools.cache
    def run(line: str) -> str:
        words = [addresses.get(word, word) for word in line.split()]
        if line == "resight index photos -c my-collection":
            words += ["--config", "few.toml"]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        assert not ended.value.code, (line, captured.err)
        return captured.out

    text = (ROOT / "docs" / "backends.md").read_text("utf-8")
    lines = [
        line
        for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
        for line in block.splitlines()
    ]
    answers = {line: run(line) for line in lines}
    assert len(answers) == 17
    for line, answer in answers.items():
        if re.match(r"resight (search|evaluate) ", line):
            in_folder = re.sub(r"-c \S+", "-c my-collection", line)
            assert sorted(answer.splitlines()) == sorted(run(in_folder).splitlines()), line
            assert re.search("view-1|mAP", answer) or "--taken" in line
        if line.startswith("resight groups "):  # with so few photos the page's finds none
            joined = [
                re.sub("(?m)^[0-9]+ ", "", run(f"resight groups --limit 0.9 -c {c}"))
                for c in (line.split()[-1], "my-collection")
            ]
            # Groups are numbered in the order of the photos, which a backend may store in another.
            assert sorted(joined[0].splitlines()) == sorted(joined[1].splitlines())
            assert "view-1" in joined[0]
