"""Writes `docs/cli.md` from the command line's own help: python docs/make_cli.py."""

import os
import subprocess
import sys
from pathlib import Path

TARGET = Path(__file__).parent / "cli.md"
HEADER = """# The command line

Made from the program's own help by `python docs/make_cli.py`; a test keeps it true.

Answers go to stdout; progress and remarks go to stderr. Exit status: 0 success, 1 `check` found
damage, 2 an error (one line on stderr says what to do), 3 photos failed under `--strict`, 130
interrupted.
"""


def help_of(*command: str) -> str:
    """The help text of a command, laid out for 90 columns."""
    environment = {**os.environ, "COLUMNS": "90", "TERMINAL_WIDTH": "90", "NO_COLOR": "1"}
    asked = [sys.executable, "-m", "resight", *command, "--help"]
    run = subprocess.run(asked, capture_output=True, text=True, check=True, env=environment)
    return "\n".join(line.rstrip() for line in run.stdout.strip().splitlines())


def commands(*group: str) -> list[str]:
    """The names of the commands (in a group), in the program's order; a group's after it."""
    _, found, listed = help_of(*group).partition("Commands:")
    if not found:
        return []
    names = []
    for line in listed.splitlines():
        if line.startswith("  ") and line[2] != " ":
            name = (*group, line.split()[0])
            names += [" ".join(name), *commands(*name)]
    return names


def page() -> str:
    """The whole page."""
    parts = [HEADER]
    parts += [
        f"## resight {name}\n\n```text\n{help_of(*name.split())}\n```\n" for name in commands()
    ]
    return "\n".join(parts)


if __name__ == "__main__":
    TARGET.write_text(page(), "utf-8")
