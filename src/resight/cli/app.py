"""The command line: parse, call the function of the same name, print its result.

Results go to stdout, everything else to stderr. Exit status: 0 success, 1 damage found by `check`,
or two photos that differ by `same`, 2 an error in one line, 3 unreadable photos under `--strict`,
130 an interrupt.
"""

import os
import sys
import warnings
from collections.abc import Callable
from typing import Annotated

import typer

from resight import __version__
from resight.cli import collection, compare, groups, hints, names, research, search
from resight.cli.benchmark import benchmark
from resight.cli.streams import prepare_streams
from resight.errors import ResightError, UsageError

INTERRUPTED = 130
COMMANDS: dict[str, tuple[Callable[..., None], ...]] = {
    "Collections": (
        collection.index,
        collection.info,
        collection.move,
        collection.remove,
        collection.check,
        collection.merge,
        collection.push,
        collection.pull,
    ),
    "Search": (
        search.search,
        compare.same,
        search.serve,
        groups.groups,
        hints.decide,
        hints.hints,
        names.name,
        names.names,
        compare.explain,
    ),
    "Research": (
        research.demo,
        research.methods,
        research.fit,
        research.evaluate,
        research.describe,
    ),
}
"""Panel of the help to its commands."""

app = typer.Typer(
    name="resight",
    help="Find the photos that show the very same object, building or scene.",
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for panel, commands in COMMANDS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)
app.add_typer(benchmark, name="benchmark", rich_help_panel="Research")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"resight {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Take the options that precede a command."""


def main() -> None:
    """Run the command line; print an expected error as one line on stderr."""
    prepare_streams()
    warnings.filterwarnings("ignore", module=r"PIL\.")  # Pillow warns about odd files
    try:
        arguments = sys.argv[1:] or ["--help"]
        if "" in arguments:  # which Path would take for the current folder
            raise UsageError("an argument is empty; is a variable of the shell not set?")
        status = app(arguments, prog_name="resight", standalone_mode=False)
        sys.stdout.flush()
    except ResightError as error:
        status = _fail(_message(error))
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "resight"
        status = _fail(f"{error.format_message()} (see {command} --help)")
    except OSError as error:
        status = _fail(f"{error.filename or 'input/output'}: {error.strerror or error}")
        _discard_output()
    except ImportError as error:
        status = _fail(f"a package cannot be imported ({error}); install Resight again")
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    if status == INTERRUPTED:  # Typer turns Ctrl-C into this status without a message
        print("resight: stopped; run the same command again to resume", file=sys.stderr)
    sys.exit(status if isinstance(status, int) else 0)


def _message(error: ResightError) -> str:
    """Return the message of an error, with the option in place of the parameter."""
    if error.parameter is None:
        return str(error)
    return f"--{error.parameter.replace('_', '-')}{str(error).removeprefix(error.parameter)}"


def _fail(message: str) -> int:
    print(f"resight: {' '.join(message.split())}", file=sys.stderr)
    return 2


def _discard_output() -> None:
    """Discard unwritable output, which the interpreter would try to flush at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
