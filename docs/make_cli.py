"""Write `docs/cli.md` from the command line's own help: python docs/make_cli.py."""

from pathlib import Path
from typing import Any
from unittest import mock

import typer.main
from typer.testing import CliRunner

from resight.cli.app import app

TARGET = Path(__file__).parent / "cli.md"
HEADER = """# The command line

Generated from the program's help by `python docs/make_cli.py`; a test keeps it up to date.

Results go to stdout; progress and remarks to stderr. Exit status: 0 success, 1 `check` found
damage, 2 an error (one line on stderr says what to do), 3 photos failed under `--strict`, 130
interrupted.
"""


def help_of(*command: str) -> str:
    """Return the help text of a command, laid out for 80 columns."""
    with mock.patch("typer.rich_utils.MAX_WIDTH", 80):
        run = CliRunner().invoke(app, [*command, "--help"], prog_name="resight")
    return "\n".join(line.rstrip() for line in run.stdout.strip().splitlines())


def commands(*group: str) -> list[str]:
    """Return the names of the commands in the program's order, each group before its own."""
    command: Any = typer.main.get_command(app)
    for name in group:
        command = command.commands[name]
    names = []
    for name in getattr(command, "commands", ()):
        names += [" ".join((*group, name)), *commands(*group, name)]
    return names


def page() -> str:
    """Return the whole page."""
    parts = [HEADER]
    parts += [
        f"## resight {name}\n\n```text\n{help_of(*name.split())}\n```\n" for name in commands()
    ]
    return "\n".join(parts)


if __name__ == "__main__":
    TARGET.write_text(page(), "utf-8")
