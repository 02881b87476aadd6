"""What the command line shows: tables for people, JSON for programs, contact sheets.

Answers go to stdout; progress, remarks and lists of failures go to stderr.
"""

import contextlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from resight.backends.info import Info
from resight.backends.transfer import Transfer
from resight.cli.progress import progress_on
from resight.collection.integrity import CheckReport
from resight.errors import ImageError, UsageError
from resight.evaluation.evaluate_collection import Evaluation
from resight.indexing.pipeline import IndexRun
from resight.output_files import save_picture
from resight.photos.images import Box, image_size, load_image, scale_box
from resight.photos.remote import as_text
from resight.ranking.groups import Groups, groups_as_csv, groups_as_json
from resight.searching.searcher import SearchResults

if TYPE_CHECKING:
    from resight.demo.run import DemoResult

LISTED = 20
"""Photos of one kind that are listed by name; the rest are counted."""


def progress() -> contextlib.AbstractContextManager[Callable[[str, int, int], None]]:
    """A progress function that draws on stderr."""
    return progress_on(_stderr())


def download_progress() -> Callable[[int, int], None]:
    """Lines on stderr while weights are fetched: at the start and at every quarter."""
    said: set[int] = set()

    def update(received: int, total: int) -> None:
        quarter = 4 * received // total if total else 0
        if quarter not in said:
            said.add(quarter)
            say(f"downloading the network's weights: {received >> 20} of {total >> 20} MiB")

    return update


def say(message: str) -> None:
    """A remark on stderr."""
    _stderr().print(message, markup=False, highlight=False, soft_wrap=True)


def parse_box(text: str) -> Box:
    """`x,y,w,h` as whole pixels.

    Raises:
        UsageError: anything else.
    """
    try:
        x, y, w, h = (int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--box {text}: expected x,y,w,h in whole pixels") from None
    return x, y, w, h


def print_index_run(run: IndexRun, collection: Path) -> None:
    """The counts of an index run, what failed and why, and how to go on."""
    report = run.report
    counts = {
        "new": report.new,
        "changed": report.changed,
        "moved": len(report.moved),
        "unchanged": report.unchanged,
        "failed": len(report.failed),
        "vanished": len(report.vanished),
    }
    parts = [f"{count} {name}" for name, count in counts.items() if count or name == "new"]
    say(f"{collection}: {run.photos} photos ({', '.join(parts)})")
    if report.copied:
        say(f"{report.copied} of the new ones are copies of photos that were known")
    if report.ignored:
        kinds = ", ".join(f"{n} {suffix}" for suffix, n in sorted(report.ignored.items()))
        say(f"passed over files that are not photos: {kinds}")
    print_failures(report.failed)
    if report.vanished:
        fate = "removed from the collection" if report.pruned else "remove them with --prune"
        _list(f"gone from the disk ({fate})", [_shown(path) for path in report.vanished])
    if run.selection_note:
        say(run.selection_note)
    if report.interrupted:
        say(
            f"stopped with {report.interrupted} photos to go; nothing is lost: "
            "run the same command again to go on"
        )


def print_failures(failed: list[tuple[Path, str]]) -> None:
    """The photos that could not be read, with the reasons; all of them."""
    if failed:
        lines = [f"{_shown(path)}: {reason}" for path, reason in failed]
        _list(f"{len(failed)} could not be read", lines, limit=None)


def print_results(found: SearchResults, *, as_json: bool) -> None:
    """A table of rank, distance and path, or one JSON object."""
    if as_json:
        print_json(results_as_dict(found))
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("rank", justify="right")
    table.add_column("distance", justify="right")
    verified = any(result.inliers is not None for result in found.results)
    if verified:
        table.add_column("inliers", justify="right")
    table.add_column("path", overflow="fold")
    for result in found.results:
        inliers = "" if result.inliers is None else str(result.inliers)
        row = [str(result.rank), f"{result.distance:.4f}", *([inliers] if verified else [])]
        table.add_row(*row, escape(_shown(result.path)))
    print_table(table)


def results_as_dict(found: SearchResults) -> dict[str, Any]:
    """Results as JSON values: `query`, `box` where there is one, and `results`.

    A result that was verified has `inliers`, and where there are any `region` and `query_region`,
    the boxes [x, y, w, h] of the result and of the query that hold them.
    """
    results = []
    for result in found.results:
        entry: dict[str, Any] = {
            "path": as_text(result.path),
            "distance": result.distance,
            "rank": result.rank,
        }
        if result.inliers is not None:
            entry["inliers"] = result.inliers
        if result.region and result.query_region:
            entry |= {"region": list(result.region), "query_region": list(result.query_region)}
        results.append(entry)
    box = {"box": list(found.box)} if found.box else {}
    return {"query": str(found.query), **box, "results": results}


def write_sheet(found: SearchResults, target: Path) -> None:
    """Write a contact sheet of a query and its results.

    Raises:
        UsageError: the file cannot be written, or its suffix names no image format.
    """
    from resight.views.contact_sheet import SheetPhoto, contact_sheet

    def photo(path: Path, detail: str) -> SheetPhoto:
        try:
            return SheetPhoto(load_image(path), _shown(Path(path.name)), detail)
        except ImageError:  # the tile says that the file cannot be read
            return SheetPhoto(None, _shown(Path(path.name)), detail)

    results = [photo(result.path, f"{result.distance:.3f}") for result in found.results]
    query, box = photo(found.query, ""), found.box
    if box is not None and query.image is not None:
        box = scale_box(box, image_size(found.query), query.image.size)
    save_picture(contact_sheet(query, results, box=box), target)
    say(f"contact sheet: {target}")


def print_evaluation(evaluation: Evaluation, *, as_json: bool) -> None:
    """MAP (in percent) and N-S score, for each group too."""
    report = evaluation.report
    if evaluation.missing:
        _list(
            f"{len(evaluation.missing)} photos of the ground truth are not in the collection; "
            "they count neither as queries nor as positives",
            [_shown(path) for path in evaluation.missing],
        )
    if as_json:
        summary = {
            "mAP": 100 * report.mean_average_precision,
            "ns_score": report.ns_score,
            "queries": len(report.queries),
            "photos": evaluation.photos,
            "missing": [str(path) for path in evaluation.missing],
            "groups": {group: 100 * value for group, value in report.by_group().items()},
        }
        print_json(summary)
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
    print(
        f"mAP {100 * report.mean_average_precision:.2f}{score} "
        f"({len(report.queries)} queries, {evaluation.photos} photos)"
    )


def print_groups(found: Groups, paths: dict[int, Path], *, style: str) -> None:
    """The groups as a list for people, as JSON or as CSV (`style`: table, json, csv)."""
    if style != "table":
        text = groups_as_json(found, paths) if style == "json" else groups_as_csv(found, paths)
        print(text, end="" if text.endswith("\n") else "\n")
        return
    for number, group in enumerate(found.groups, 1):
        print(f"{number} {group.kind}")
        for id_ in group.ids:
            print(f"  {_shown(paths[id_])}")
    say(f"{len(found.groups)} groups within a distance of {found.limit:.4g}")


def print_info(info: Info, *, as_json: bool) -> None:
    """What a collection is."""
    if as_json:
        failed = [{"path": str(path), "reason": reason} for path, reason in info.failed]
        approximate = info.approximate and vars(info.approximate)
        print_json({**vars(info), "failed": failed, "approximate": approximate})
        return
    kept = "none"
    if info.selection:
        config, photos = info.selection["config"], info.selection["photos"]
        values = info.selection.get("values", config["features"])
        kept = f"{config.get('method', 'pfa')}, {values} values, fitted on {photos} photos"
    rows = {
        "photos": str(info.photos),
        "failed": str(len(info.failed)),
        "made": info.created,
        "disk": "?" if info.bytes_on_disk is None else f"{info.bytes_on_disk / 1e6:.1f} MB",
        "fingerprint": (info.fingerprint or "none yet")[:16],
        "weights": str(info.model["path"]) if info.model and info.model["path"] else "none",
        "selection": kept,
        **(info.about or {"approximate index": _approximate(info)}),
        **{name: str(value) for name, value in info.config.items()},
    }
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, escape(value))
    print_table(table)
    print_failures(info.failed)


def _approximate(info: "Info") -> str:
    made = info.approximate
    if made is None:
        return "none"
    return (
        f"{made.rows} photos, finds {100 * made.recall:.1f} % of the nearest ten "
        f"(measured on {made.queries} photos)"
    )


def print_check(report: CheckReport, collection: Path) -> None:
    """What a check found and did."""
    for line in (*report.problems, *report.repaired):
        say(line)
    if report.to_describe:
        say(f"run resight index again: {len(report.to_describe)} photos are to be described anew")
    state = "damaged" if report.problems else "whole"
    say(f"{collection}: {report.photos} photos, {state}")


def print_transfer(done: Transfer) -> None:
    """What was brought from one place to another, and what was left out."""
    counts = {"sent": done.sent, "known": done.known, "removed": done.removed}
    parts = [f"{count} {name}" for name, count in counts.items() if count or name == "sent"]
    say(f"{done.place}: {done.photos} photos ({', '.join(parts)})")
    if done.failed:
        _list(
            f"{len(done.failed)} were left out",
            [f"{_shown(path)}: {reason}" for path, reason in done.failed],
            limit=None,
        )


def print_demo(result: "DemoResult") -> None:
    """What the demo made, and how to go on with one's own photos."""
    if result.why_no_network:
        say(result.why_no_network)
        say(
            "so the demo used sift-vlad, the method that needs no network; with weights it "
            "uses the paper's"
        )
    score = "" if result.ns_score is None else f", N-S score {result.ns_score:.2f} of 4"
    print(f"mAP {100 * result.mean_average_precision:.1f} %{score} ({result.config})")
    print(f"queries and what they found: {result.sheet}")
    method = " --method sift-vlad" if result.why_no_network else ""
    print("now with your own photos:")
    print(f"  resight index PHOTOS -c my-collection{method}")
    print("  resight search PHOTO.jpg -c my-collection --sheet found.jpg")


def _list(title: str, lines: list[str], limit: int | None = LISTED) -> None:
    say(f"{title}:")
    for line in lines[:limit]:
        say(f"  {line}")
    if limit is not None and len(lines) > limit:
        say(f"  and {len(lines) - limit} more")


def _shown(path: Path) -> str:
    """A path as it can be printed: control characters and undecodable bytes are escaped."""
    text = os.fsencode(as_text(path)).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def print_json(value: dict[str, Any]) -> None:
    """One JSON object on stdout."""
    print(json.dumps(value, indent=2))


def print_table(table: Table) -> None:
    """A table on stdout, cut to the width of a terminal only where there is one."""
    # Off a terminal nothing shall be cut or wrapped at some assumed width.
    width = None if sys.stdout.isatty() else 10_000
    console = Console(width=width, highlight=False)
    with console.capture() as captured:
        console.print(table)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))


def _stderr() -> Console:
    return Console(stderr=True)
