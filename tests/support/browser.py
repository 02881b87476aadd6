"""A browser for the tests of the page: an installed one, else one that can be had."""

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


class NoBrowser(Exception):  # noqa: N818 - reads as what happened
    """No browser can be had; the text is the reason."""


@contextmanager
def launched() -> Iterator[Any]:
    """A headless Chromium, as Playwright's `Browser`.

    Raises:
        NoBrowser: there is none and none can be installed.
    """
    executable = find_browser()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(QUIET))
        yield browser
        browser.close()


@functools.cache
def find_browser() -> str | None:
    """The path of a Chromium; None stands for Playwright's own.

    One named by RESIGHT_BROWSER comes first, then one on the PATH, then Debian's package where it
    may be installed, at last the one that Playwright brings.
    """
    if importlib.util.find_spec("playwright") is None:
        raise NoBrowser("playwright is not installed")
    named = os.environ.get("RESIGHT_BROWSER")
    if named:
        return named
    # Of several processes that test at the same time one installs it, and the others wait.
    with FileLock(Path(tempfile.gettempdir(), "resight-browser.lock")):
        found = _installed()
        if found is None and shutil.which("apt-get") and os.geteuid() == 0:
            _succeeds("apt-get", "update")
            _succeeds("apt-get", "install", "--yes", "--no-install-recommends", "chromium")
            found = _installed()
    if found is not None:
        return found
    if _succeeds(sys.executable, "-m", "playwright", "install", "chromium"):
        return None
    raise NoBrowser(
        "no Chromium is installed, and neither apt-get nor playwright could install one; "
        "name one with RESIGHT_BROWSER"
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
