"""The file manager of the server's own machine, which can show where a photo is."""

import contextlib
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

from resight.photos import is_remote
from resight.web.problems import ProblemError

LIMIT_S = 5.0
"""Seconds within which a file manager answers."""

NO_FILE_MANAGER = "There is no file manager on the server's machine to show the photo in."


def reveal(path: Path) -> None:
    """Show a photo in the file manager, selected in its folder if that can.

    Raises:
        ProblemError: 404 if the file is gone, 409 if no file manager can show it.
    """
    if is_remote(path):
        raise ProblemError(409, "The photo is in an object store, which no file manager shows.")
    if not os.path.lexists(path):
        raise ProblemError(404, "The photo's file is gone; is its disk still connected?")
    if not any(_run(command, ignore_status) for command, ignore_status in _commands(path)):
        raise ProblemError(409, NO_FILE_MANAGER)


def _commands(path: Path) -> list[tuple[list[str], bool]]:
    """Return the commands to try, each with whether its exit status tells nothing."""
    if sys.platform == "darwin":
        return [(["open", "-R", str(path)], False)]
    if sys.platform == "win32":
        return [(["explorer", "/select,", str(path)], True)]
    commands: list[tuple[list[str], bool]] = []
    screen = bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    if screen or os.environ.get("DBUS_SESSION_BUS_ADDRESS"):
        # Commas, which separate the items of a list, are escaped in the address.
        call = ["dbus-send", "--session", "--print-reply", f"--reply-timeout={1000 * LIMIT_S:.0f}"]
        call += ["--dest=org.freedesktop.FileManager1", "/org/freedesktop/FileManager1"]
        call += ["org.freedesktop.FileManager1.ShowItems"]
        commands.append(([*call, f"array:string:{path.as_uri()}", "string:"], False))
    if screen:  # without one, a browser in the terminal may open
        commands.append((["xdg-open", str(path.parent)], False))
    return commands


def _run(command: list[str], ignore_status: bool) -> bool:
    """Return whether a command did its work, or does it still."""
    program = shutil.which(command[0])
    if program is None:
        return False
    try:
        process = subprocess.Popen(
            [program, *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return False
    with contextlib.suppress(subprocess.TimeoutExpired):
        return process.wait(LIMIT_S) == 0 or ignore_status
    if command[0] != "xdg-open":  # which may run as long as the window is open
        process.kill()
    threading.Thread(target=process.wait, daemon=True).start()
    return command[0] == "xdg-open"
