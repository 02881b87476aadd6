"""A browser for the tests of the page: an installed one, otherwise one that is installed now."""

import functools
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

INSTALLED = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
INSTALL_S = 300


class NoBrowserError(Exception):
    """No browser is available; the message is the reason."""


@contextmanager
def launch() -> Iterator[Any]:
    """Launch a headless Chromium, as Playwright's `Browser`.

    Raises:
        NoBrowserError: none is installed, and none could be installed.
    """
    executable = find_browser()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(QUIET))
        yield browser
        browser.close()


@functools.cache
def find_browser() -> str | None:
    """Return the path of a Chromium; None stands for Playwright's own.

    RESIGHT_BROWSER takes precedence, then one on the PATH, then Debian's package where it can be
    installed, finally the one that Playwright downloads.
    """
    if importlib.util.find_spec("playwright") is None:
        raise NoBrowserError("playwright is not installed")
    path = os.environ.get("RESIGHT_BROWSER")
    if path:
        return path
    # Of several test processes one installs it, and the others wait.
    with FileLock(Path(tempfile.gettempdir(), "resight-browser.lock")):
        path = _installed()
        if path is None and shutil.which("apt-get") and os.geteuid() == 0:
            _succeeds("apt-get", "update")
            _succeeds("apt-get", "install", "--yes", "--no-install-recommends", "chromium")
            path = _installed()
    if path is not None:
        return path
    if _succeeds(sys.executable, "-m", "playwright", "install", "chromium"):
        return None
    raise NoBrowserError(
        "no Chromium is installed, and neither apt-get nor playwright could install one; "
        "set RESIGHT_BROWSER to the path of one"
    )


def _installed() -> str | None:
    return next((path for name in INSTALLED if (path := shutil.which(name))), None)


def _succeeds(*command: str) -> bool:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        run = subprocess.run(
            command, check=False, capture_output=True, timeout=INSTALL_S, env=environment
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return run.returncode == 0
