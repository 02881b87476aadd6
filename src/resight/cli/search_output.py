"""Write what searches found: tables, JSON or CSV on stdout, pages, sheets, copies of photos."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from resight.backends.store import Filter
from resight.cli.output import (
    NO_EVIDENCE,
    VERDICTS,
    count,
    print_failures,
    print_json,
    print_table,
    printable,
    progress,
    say,
)
from resight.config import SearchConfig
from resight.errors import QueryError, UsageError
from resight.searching import Searcher
from resight.searching.query import QuerySource, Result, SearchResults
from resight.searching.query_list import QueryList

BLANK = "the query shows too few details to be compared; only copies of it are found"


@dataclass(frozen=True)
class SearchOutput:
    """Output options of a search.

    Attributes:
        style: on stdout: table, json or csv.
        everything: tables list also what shows something else.
        html: a page of all results.
        sheet: a contact sheet of all results.
        copy_to: a folder for copies of what was found.
        link_to: a folder for links to what was found.
    """

    style: str = "table"
    everything: bool = False
    html: Path | None = None
    sheet: Path | None = None
    copy_to: Path | None = None
    link_to: Path | None = None

    def check(self, queries: Sequence[Path], rows: int) -> None:
        """Refuse files and folders that cannot be written, before a search.

        Args:
            queries: photos that must not be overwritten.
            rows: number of answers.

        Raises:
            UsageError: one of them cannot be written, is a query, or its suffix does not fit.
        """
        from resight.files import ensure_picture_writable
        from resight.searching.export import ensure_folder
        from resight.views.contact_sheet import check_rows
        from resight.views.results_page import ensure_page_writable

        if self.sheet is not None:
            ensure_picture_writable(self.sheet)
            check_rows(rows)
        if self.html is not None:
            ensure_page_writable(self.html)
        for folder in (self.copy_to, self.link_to):
            if folder is not None:
                ensure_folder(folder)
        self._spare(queries)

    def _spare(self, photos: Sequence[Path]) -> None:
        """Refuse to overwrite a photo."""
        targets = [file for file in (self.sheet, self.html) if file is not None and file.exists()]
        for photo in photos:
            for target in targets:
                if photo.exists() and photo.samefile(target):
                    raise UsageError(f"{target}: is a photo, which would be overwritten")

    def print_one(self, results: SearchResults) -> None:
        """Print the answer of a search on stdout."""
        if self.style == "json":
            print_json(results.to_dict())
        elif self.style == "csv":
            self._print_csv([results])
        else:
            self._print_table(results)
            if results.found is not None:
                rest = len(results) - results.found
                others = f"; --all also lists {count(rest, 'similar photo')}" if rest else ""
                say(found_text(results) + ("" if self.everything else others))
                if results.blank:
                    say(BLANK)
            unread = [printable(result.path) for result in results if result.unread]
            if unread:
                say(f"not verified, because they cannot be read: {', '.join(unread)}")
            if results.found is not None and len(results) and not any(r.match for r in results):
                say(NO_EVIDENCE)

    def print_each(self, answers: Iterable[SearchResults]) -> list[SearchResults]:
        """Print the answers of many searches as they come, JSON as one list; return them."""
        if self.style == "json":
            answers = list(answers)
            print_json([results.to_dict() for results in answers])
            return answers
        if self.style == "csv":
            self._print_csv([])
        printed: list[SearchResults] = []
        for results in answers:
            if self.style == "csv":
                self._print_csv([results], header=False)
            else:
                if printed:
                    print()
                name = "" if results.query is None else printable(results.query)
                print(f"{name}: {found_text(results)}")
                self._print_table(results)
            printed.append(results)
        return printed

    def write_files(self, answers: list[SearchResults]) -> None:
        """Write the page, the contact sheet, and copies of or links to what was found.

        Raises:
            UsageError: a file cannot be written, or is one of the photos.
        """
        from resight.files import save_picture
        from resight.searching.export import export_found
        from resight.views.contact_sheet import results_sheet, results_sheets
        from resight.views.results_page import save_results_page

        self._spare([path for answer in answers for r in answer for path in (r.path, *r.copies)])
        if self.sheet is not None:
            sheet = results_sheet(answers[0]) if len(answers) == 1 else results_sheets(answers)
            save_picture(sheet, self.sheet)
            say(f"contact sheet: {self.sheet}")
        if self.html is not None:
            save_results_page(answers, self.html)
            say(f"page: {self.html}")
        for folder, verb in ((self.copy_to, "copied"), (self.link_to, "linked")):
            if folder is not None:
                export = export_found(answers, folder, link=verb == "linked")
                there = f", {len(export.present)} were there already" if export.present else ""
                say(f"{folder}: {verb} {count(export.written, 'photo')}{there}")
                print_failures(export.failed)

    def _print_table(self, results: SearchResults) -> None:
        """Print a table of the results that show the same thing, or of all."""
        listed = [r for r in results if self.everything or r.verdict != "different"]
        if not listed:
            return
        compared = any(result.inliers is not None for result in listed)
        decided = results.found is not None
        table = Table(box=None, pad_edge=False)
        for heading in ("rank", "distance", *(["inliers"] if compared else [])):
            table.add_column(heading, justify="right")
        for heading in ["verdict", "probability"] if decided else []:
            table.add_column(heading)
        table.add_column("path", overflow="fold")
        for result in listed:
            table.add_row(*_cells(result, compared=compared), escape(_path_text(result)))
        print_table(table)

    def _print_csv(self, answers: list[SearchResults], *, header: bool = True) -> None:
        from resight.searching.export import results_csv

        print(results_csv(answers, header=header), end="")


def search_list(
    searcher: Searcher,
    asked: QueryList,
    config: SearchConfig,
    where: Filter,
    target: SearchOutput,
) -> tuple[list[SearchResults], list[tuple[Path, str]]]:
    """Search by each query of a list, with progress; return the answers and the unreadable ones."""
    failed = list(asked.failed)
    total = len(asked.paths)

    def skip(query: QuerySource, error: QueryError) -> None:
        failed.append((Path(str(query)), str(error).removeprefix(f"{query}: ")))

    with progress() as update:

        def queries() -> Iterator[Path]:
            for done, path in enumerate(asked.paths, 1):
                yield path
                update("searching", done, total)

        answers = target.print_each(searcher.search_each(queries(), config, where, skipped=skip))
    found = sum(bool(answer.found) for answer in answers)
    say(f"{count(answers, 'query')}, {found} of them found something")
    print_failures(failed)
    return answers, failed


def found_text(results: SearchResults) -> str:
    """Return how many photos were found, as a phrase."""
    if not results.found:
        return "nothing shows the same thing"
    copies = sum(len(r.copies) for r in results if r.verdict != "different")
    more = f", and {count(copies, 'copy')} of them" if copies else ""
    return f"{count(results.found, 'photo')} of the same thing{more}"


def _cells(result: Result, *, compared: bool) -> Iterator[str]:
    """Yield the cells of a row but the last."""
    yield str(result.rank)
    yield f"{result.distance:.4f}"
    if compared:
        yield "" if result.inliers is None else str(result.inliers)
    if result.verdict is not None and result.probability is not None:
        yield VERDICTS[result.verdict]
        yield f"{100 * result.probability:.0f} %"


def _path_text(result: Result) -> str:
    copies = f" (+{count(result.copies, 'copy')})" if result.copies else ""
    return printable(result.path) + copies
