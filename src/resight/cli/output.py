"""Print results: tables for people, JSON for programs, contact sheets.

Results go to stdout; progress, notes and lists of failures go to stderr.
"""

import contextlib
import json
import shlex
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from resight.config import DEFAULT_METHOD
from resight.photos import escape_undecodable, path_text
from resight.progress import Progress
from resight.searching.query import Verdict

if TYPE_CHECKING:
    from resight.backends.manage import Info
    from resight.backends.transfer import Transfer
    from resight.collection.integrity import CheckReport
    from resight.demo import DemoResult
    from resight.evaluation import Evaluation
    from resight.indexing.pipeline import IndexRun
    from resight.ranking.groups import Groups
    from resight.searching.sameness import Sameness

NO_EVIDENCE = "decided by descriptors alone, without evidence; resight index --evidence adds it"
LISTED = 20
"""Photos of one kind that are listed by name; the rest are counted."""
LISTED_FOLDERS = 5


def download_progress() -> Callable[[int, int], None]:
    """Return a callback that prints a line at each quarter of a download."""
    reported: set[int] = set()

    def update(received: int, total: int) -> None:
        quarter = 4 * received // total if total else 0
        if quarter not in reported:
            reported.add(quarter)
            say(f"downloading the network's weights: {received >> 20} of {total >> 20} MiB")

    return update


def say(message: str) -> None:
    """Print a note on stderr."""
    _stderr().print(message, markup=False, highlight=False, soft_wrap=True)


def count(items: int | Sized, noun: str) -> str:
    """Return a number with its noun.

    >>> count(1, "photo"), count([], "query")
    ('1 photo', '0 queries')
    """
    number = items if isinstance(items, int) else len(items)
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun[:-1]}ies" if noun.endswith("y") else f"{number} {noun}s"


def print_index_run(run: "IndexRun", collection: Path) -> None:
    """Print the counts of an index run, the failures, and how to continue."""
    report = run.report
    counts = {
        "new": report.new,
        "changed": report.changed,
        "moved": len(report.moved),
        "unchanged": report.unchanged,
        "failed": len(report.failed),
        "vanished": len(report.vanished),
    }
    say(f"{collection}: {count(run.photos, 'photo')} ({_counts(counts, always='new')})")
    if report.evidence:
        say(f"made the missing evidence of {count(report.evidence, 'photo')}")
    if report.copied:
        are = "is a copy" if report.copied == 1 else "are copies"
        say(f"{report.copied} of the new photos {are} of indexed ones")
    if report.ignored:
        kinds = ", ".join(f"{n} {suffix}" for suffix, n in sorted(report.ignored.items()))
        say(f"ignored files that are not photos: {kinds}")
    print_failures(report.failed)
    if report.vanished:
        fate = "removed from the collection" if report.pruned else "remove them with --prune"
        _list(f"gone from the disk ({fate})", map(printable, report.vanished))
    if run.selection_note:
        say(run.selection_note)
    if report.interrupted:
        say(
            f"stopped with {count(report.interrupted, 'photo')} to go; nothing is lost: "
            "run the same command again to resume"
        )
    elif report.new == run.photos > 0:
        say(f"search it with: resight search PHOTO -c {shlex.quote(str(collection))}")


def print_failures(failed: Sequence[tuple[Path, str]]) -> None:
    """List all photos that could not be read, with reasons."""
    if failed:
        lines = [f"{printable(path)}: {reason}" for path, reason in failed]
        _list(f"{len(failed)} could not be read", lines, limit=None)


VERDICTS: dict[Verdict, str] = {
    "same": "same thing",
    "probable": "probably",
    "different": "not the same",
}


def print_sameness(result: "Sameness", *, as_json: bool) -> None:
    """Print the verdict on two photos, or one JSON object."""
    if as_json:
        print_json(result.to_dict())
        return
    print(result)


def print_evaluation(evaluation: "Evaluation", *, as_json: bool) -> None:
    """Print mAP (in percent) and N-S score, also of each group."""
    report = evaluation.report
    if evaluation.missing:
        _list(
            f"{count(evaluation.missing, 'photo')} of the ground truth not in the collection; "
            "not counted as queries or positives",
            map(printable, evaluation.missing),
        )
    if as_json:
        print_json(evaluation.to_dict())
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("group", overflow="fold")
    table.add_column("mAP", justify="right")
    for group, value in report.by_group().items():
        table.add_row(escape(group), f"{100 * value:.2f}")
    table.add_section()
    table.add_row("all", f"{100 * report.mean_average_precision:.2f}", style="bold")
    print_table(table)
    score = "" if report.ns_score is None else f", N-S score {report.ns_score:.3f}"
    if evaluation.incomplete_fours:
        fours = count(evaluation.incomplete_fours, "group")
        say(f"the N-S score leaves out {fours} of four with missing photos")
    print(
        f"mAP {100 * report.mean_average_precision:.2f}{score} "
        f"({count(report.queries, 'query')}, {count(evaluation.photos, 'photo')})"
    )


def print_groups(groups: "Groups", *, style: str) -> None:
    """Print groups as a list, as JSON or as CSV (`style`: table, json, csv)."""
    if style == "json":
        print_json(groups.to_dict())
        return
    if style == "csv":
        print(groups.to_csv(), end="")
        return
    for number, group in enumerate(groups, 1):
        print(f"{number} {group.kind}")
        for path in group.paths:
            print(f"  {printable(path)}{'  (best)' if path == group.best_path else ''}")
    rule = "by evidence" if groups.limit is None else f"within a distance of {groups.limit:.4g}"
    say(f"{count(groups.groups, 'group')} {rule}")


def print_info(info: "Info", *, settings: bool, as_json: bool) -> None:
    """Print the size, method and failures of a collection, with `settings` the whole method."""
    if as_json:
        print_json(info.to_dict())
        return
    rows = _info_rows(info)
    if settings:
        rows |= {name: str(value) for name, value in info.config.items() if name != "method"}
    print_fields(rows)
    print_failures(info.failed)


def print_fields(rows: dict[str, str]) -> None:
    """Print names and their values, one pair a line."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, escape(value))
    print_table(table)


def _info_rows(info: "Info") -> dict[str, str]:
    from resight.config import method_from_dict
    from resight.methods import method_name

    selection = "none"
    if info.selection:
        config = info.selection["config"]
        values = info.selection.get("values", config["features"])
        photos = count(info.selection["photos"], "photo")
        selection = f"{config.get('method', 'pfa')}, {values} values, fitted on {photos}"
        if "sampled" in info.selection:
            sampled = count(info.selection["sampled"], "photo")
            selection += f" ({config['copies']} copies of each of {sampled})"
    approximate = "none"
    if info.approximate:
        approximate = (
            f"{count(info.approximate.rows, 'photo')}, finds {100 * info.approximate.recall:.1f} % "
            f"of the nearest ten (measured on {count(info.approximate.queries, 'photo')})"
        )
    return {
        "photos": str(info.photos),
        "failed": str(len(info.failed)),
        **({"folders": _folders_text(info.folders)} if info.folders else {}),
        "method": method_name(method_from_dict(info.config)),
        "created": info.created,
        "disk": "?" if info.bytes_on_disk is None else f"{info.bytes_on_disk / 1e6:.1f} MB",
        "fingerprint": (info.fingerprint or "none yet")[:16],
        "weights": str(info.model["path"]) if info.model and info.model["path"] else "none",
        "computed in": ", ".join(info.precisions) or "?",
        "selection": selection,
        **({"names": names} if (names := _names_text(info.names)) else {}),
        **(info.details or {"approximate index": approximate}),
    }


def _folders_text(folders: Sequence[Path]) -> str:
    """Return the first folders, and the number of the others."""
    shown = ", ".join(map(printable, folders[:LISTED_FOLDERS]))
    rest = len(folders) - LISTED_FOLDERS
    return shown if rest <= 0 else f"{shown} and {rest} more"


def _names_text(names: dict[str, int]) -> str:
    """Return names of things and how many photos carry each, such as `our boat (3)`."""
    return ", ".join(f"{printable_text(name)} ({photos})" for name, photos in names.items())


def print_check(report: "CheckReport", collection: Path) -> None:
    """Print the problems that a check found and repaired."""
    for line in (*report.problems, *report.repaired):
        say(line)
    if report.to_describe:
        photos = count(report.to_describe, "photo")
        say(f"run resight index again to extract {photos} again")
    for path, reason in report.rotted:
        say(f"{printable(path)}: {reason}; restore it from a backup")
    for what, paths in (
        ("changed since they were indexed", report.changed),
        ("are gone", report.missing),
    ):
        if paths:
            _list(f"{count(paths, 'photo')} {what}; index again", map(printable, paths))
    if report.read:
        say(f"{count(report.read, 'photo')} read, {len(report.rotted)} damaged")
    state = "intact" if report.intact else "damaged"
    share = "" if report.share == 1 else f", {100 * report.share:.3g} % checked"
    say(f"{collection}: {count(report.photos, 'photo')}, {state}{share}")


def print_transfer(transfer: "Transfer") -> None:
    """Print how many photos were copied, and which were left out."""
    counts = {
        "sent": transfer.sent,
        "unchanged": transfer.unchanged,
        "removed": transfer.removed,
        "with new evidence": transfer.evidence,
    }
    photos = count(transfer.photos, "photo")
    say(f"{transfer.target}: {photos} ({_counts(counts, always='sent')})")
    if transfer.failed:
        lines = [f"{printable(path)}: {reason}" for path, reason in transfer.failed]
        _list(f"{len(lines)} were left out", lines, limit=None)


def print_demo(result: "DemoResult") -> None:
    """Print the scores of the demo, and how to index one's own photos."""
    score = "" if result.ns_score is None else f", N-S score {result.ns_score:.2f} of 4"
    print(f"mAP {100 * result.mean_average_precision:.1f} %{score} ({result.config})")
    print(f"queries and their results: {result.sheet}")
    config = "" if result.config == DEFAULT_METHOD else f" --config {result.config}"
    print("now with your own photos:")
    print(f"  resight index PHOTOS -c my-collection{config}")
    print("  resight search PHOTO.jpg -c my-collection --sheet results.jpg")


def print_json(value: dict[str, Any] | list[dict[str, Any]]) -> None:
    """Print one JSON object, or a list, on stdout."""
    print(json.dumps(value, indent=2))


def print_table(table: Table) -> None:
    """Print a table on stdout, as wide as the terminal or, without one, as it needs."""
    width = None if sys.stdout.isatty() else 10_000
    console = Console(emoji=False, width=width, highlight=False)
    with console.capture() as captured:
        console.print(table)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))


def _counts(counts: dict[str, int], always: str) -> str:
    return ", ".join(f"{n} {name}" for name, n in counts.items() if n or name == always)


def _list(title: str, items: Iterable[str], limit: int | None = LISTED) -> None:
    lines = list(items)
    say(f"{title}:")
    for line in lines[:limit]:
        say(f"  {line}")
    if limit is not None and len(lines) > limit:
        say(f"  and {len(lines) - limit} more")


def printable(path: Path) -> str:
    """Return a path with control characters and undecodable bytes escaped."""
    return printable_text(path_text(path))


def printable_text(text: str) -> str:
    """Return a text with control characters and undecodable bytes escaped."""
    text = escape_undecodable(text)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _stderr() -> Console:
    return Console(emoji=False, stderr=True)


LINE_INTERVAL_S = 10.0
"""Seconds between two plain lines."""


@contextlib.contextmanager
def progress(console: Console | None = None) -> Iterator[Progress]:
    """Yield a progress callback: a bar with rate and remaining time, off a terminal some lines."""
    from rich import progress

    console = console or _stderr()
    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[rate]}"),
    )
    tasks: dict[str, progress.TaskID] = {}
    rates: defaultdict[str, _Rate] = defaultdict(_Rate)
    next_line, printed = time.monotonic() + LINE_INTERVAL_S, False
    with progress.Progress(
        *columns,
        console=console,
        disable=not console.is_terminal,
        redirect_stdout=sys.stdout.isatty(),  # results in a file or pipe stay there
    ) as bar:

        def update(what: str, done: int, total: int) -> None:
            nonlocal next_line, printed
            rate = rates[what].text(done, total)
            if console.is_terminal:
                if what not in tasks:
                    tasks[what] = bar.add_task(what, rate="", total=total)
                bar.update(tasks[what], completed=done, total=total, rate=rate)
            elif time.monotonic() >= next_line or (printed and done == total):
                next_line, printed = time.monotonic() + LINE_INTERVAL_S, True
                console.print(f"{what} {done}/{total} {rate}".rstrip(), highlight=False)

        yield update


class _Rate:
    """Rate and remaining time since the first update, or since the count started again."""

    def __init__(self) -> None:
        self._start: tuple[float, int] | None = None
        self._previous = 0

    def text(self, done: int, total: int) -> str:
        now = time.monotonic()
        restarted = done < self._previous
        self._previous = done
        if self._start is None or restarted:
            self._start = (now, done)
        started_at, first = self._start
        if done <= first or now <= started_at:
            return ""
        rate = (done - first) / (now - started_at)
        left = f", {_duration((total - done) / rate)} left" if done < total else ""
        return f"{rate:.1f}/s{left}" if rate >= 1 else f"{1 / rate:.1f} s each{left}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
