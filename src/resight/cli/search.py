"""Commands that search a collection."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from resight.cli import options as opt
from resight.cli.options import argument, option
from resight.config import RerankConfig, SearchConfig
from resight.errors import UsageError

TIMES = ["%Y", "%Y-%m", "%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]
"""Accepted time formats; a shorter one means its first moment."""

Photo = Annotated[Path, argument("PHOTO", "Query photo.")]


def search(
    queries: Annotated[list[str], argument("QUERY...", "Photos, folders, @LIST, - or name:NAME.")],
    collection: opt.Place,
    k: Annotated[int, option("Number of results.", "-k", metavar="N")] = SearchConfig.k,
    each: Annotated[bool, option("One answer for each QUERY.", "--each")] = False,
    box: opt.BoxText = None,
    mirrored: Annotated[
        bool, option("Also search with the mirror image.", "--mirrored")
    ] = SearchConfig.mirrored,
    rotated: Annotated[
        bool, option("Also search with quarter turns.", "--rotated")
    ] = SearchConfig.rotated,
    everything: Annotated[bool, option("List other similar photos, too.", "--all")] = False,
    only_same: Annotated[bool, option("List only what is surely the same.", "--only-same")] = False,
    min_probability: Annotated[
        float | None, option("Least probability to be the same.", metavar="P")
    ] = None,
    fail_if_none: Annotated[
        bool, option("Exit with status 1 if none is.", "--fail-if-none")
    ] = False,
    strict: Annotated[bool, option("Exit with 3 if one is unreadable.", "--strict")] = False,
    json: Annotated[
        bool, option("Print JSON and nothing else.", "--json", panel=opt.OUTPUT)
    ] = False,
    csv: Annotated[bool, option("Print CSV and nothing else.", "--csv", panel=opt.OUTPUT)] = False,
    html: Annotated[Path | None, option("Write a page.", metavar="FILE", panel=opt.OUTPUT)] = None,
    sheet: Annotated[
        Path | None, option("Write a contact sheet.", metavar="FILE", panel=opt.OUTPUT)
    ] = None,
    copy_to: Annotated[
        Path | None, option("Copy what was found.", metavar="FOLDER", panel=opt.OUTPUT)
    ] = None,
    link_to: Annotated[
        Path | None, option("Link to what was found.", metavar="FOLDER", panel=opt.OUTPUT)
    ] = None,
    rerank: opt.Rerank = RerankConfig.method,
    rerank_with: opt.RerankWith = None,
    verify: opt.Verify = SearchConfig.verify,
    verify_by: opt.VerifyBy = SearchConfig.verify_by,
    verify_geometry: opt.VerifyGeometry = SearchConfig.verify_geometry,
    approximate: Annotated[
        bool, option("Use the approximate index.", "--approximate", panel=opt.RANKING)
    ] = SearchConfig.approximate,
    under: Annotated[
        Path | None, option("In or below this folder.", metavar="FOLDER", panel=opt.FILTER)
    ] = None,
    taken_from: Annotated[
        datetime | None,
        option(
            "Taken on or after this date (EXIF).", metavar="DATE", formats=TIMES, panel=opt.FILTER
        ),
    ] = None,
    taken_before: Annotated[
        datetime | None,
        option("Taken before this date (EXIF).", metavar="DATE", formats=TIMES, panel=opt.FILTER),
    ] = None,
    min_side: Annotated[
        int | None, option("Minimum shorter side.", metavar="PIXELS", min=1, panel=opt.FILTER)
    ] = None,
    file_name: Annotated[
        str | None, option("Part of the file name.", metavar="TEXT", panel=opt.FILTER)
    ] = None,
    weights: opt.Weights = None,
    runtime: opt.Runtime = "auto",
    device: opt.Device = "auto",
) -> None:
    """Find photos of the same thing as a photo, or as several views of it."""
    from resight.backends import open_store
    from resight.cli.search_output import SearchOutput, search_list
    from resight.searching import Searcher, make_filter
    from resight.searching.query import SAME
    from resight.searching.query_list import QueryList, list_queries

    least = min_probability or 0.0
    config = SearchConfig(
        k=k,
        mirrored=mirrored,
        rotated=rotated,
        min_probability=SAME if only_same and 0 <= least < SAME else least,
        rerank=RerankConfig.parse(rerank, rerank_with or []),
        verify=verify,
        verify_by=verify_by,
        verify_geometry=verify_geometry,
        approximate=approximate,
    )
    target = SearchOutput(
        opt.one_of(json=json, csv=csv) or "table", everything, html, sheet, copy_to, link_to
    )
    thing, region = opt.parse_thing(queries), opt.parse_box(box)
    asked = list_queries(queries) if thing is None else QueryList([], [], listed=False)
    each = each or asked.listed
    if thing is not None and (each or region is not None):
        raise UsageError("only with photos as the query", parameter="each" if each else "box")
    if region is not None and (each or len(asked.paths) > 1):
        raise UsageError("only with a single query", parameter="box")
    target.check(asked.paths, rows=len(asked.paths) if each else 1)
    where = make_filter(under, taken_from, taken_before, min_side, file_name)
    failed: Sequence[object] = ()
    with open_store(collection) as store:
        searcher = Searcher(store, opt.model_options(weights, runtime, device))
        if thing is not None:
            answers = [searcher.search_thing(thing, config, where)]
            target.print_one(answers[0])
        elif each:
            answers, failed = search_list(searcher, asked, config, where, target)
        else:
            answers = [searcher.search(asked.paths, config, region, where)]
            target.print_one(answers[0])
    target.write_files(answers)
    if fail_if_none and not any(answer.found for answer in answers):
        raise typer.Exit(1)
    if strict and failed:
        raise typer.Exit(3)


def serve(
    collection: opt.Place,
    host: Annotated[str, option("Address to listen on.", metavar="NAME")] = "127.0.0.1",
    port: Annotated[int, option("Port to listen on; 0 chooses a free one.", metavar="N")] = 8765,
    token_file: Annotated[
        Path | None,
        option(
            "File with the token of all requests.",
            metavar="FILE",
            show_default="RESIGHT_TOKEN, or a new token",
            panel=opt.ACCESS,
        ),
    ] = None,
    open_to_this_machine: Annotated[
        bool,
        option("Let all users of this machine in.", "--open-to-this-machine", panel=opt.ACCESS),
    ] = False,
    allow_folder: Annotated[
        list[Path] | None,
        option("Further folder that the page may use.", metavar="FOLDER", panel=opt.ACCESS),
    ] = None,
    allow_move: Annotated[
        bool,
        option("Let the page move files of photos.", "--allow-move", panel=opt.ACCESS),
    ] = False,
    watch: Annotated[bool, option("Index new photos as they come.", "--watch")] = False,
    watch_every: Annotated[float, option("Seconds between two looks for them.", metavar="N")] = 10,
    urls: Annotated[
        bool, option("Allow queries by the URL of a photo.", "--urls", panel=opt.ACCESS)
    ] = False,
    open_browser: Annotated[
        bool, option("Open the page in the browser.", "--open/--no-open")
    ] = True,
    weights: opt.Weights = None,
    runtime: opt.Runtime = "auto",
    device: opt.Device = "auto",
) -> None:
    """Serve a web page and an HTTP API to search a collection."""
    from resight.cli import output
    from resight.photos import absolute
    from resight.web import WebSettings, serve
    from resight.web.tokens import find_token

    if open_to_this_machine and token_file is not None:
        raise UsageError("not together with --open-to-this-machine", parameter="token_file")
    settings = WebSettings(
        host=host,
        port=port,
        token=None if open_to_this_machine else find_token(token_file),
        allow_urls=urls,
        allow_move=allow_move,
        watch=watch,
        watch_every_s=watch_every,
        index_folders=tuple(absolute(folder) for folder in allow_folder or ()),
    )
    serve(
        collection,
        settings=settings,
        model=opt.model_options(weights, runtime, device),
        open_browser=open_browser,
        say=output.say,
        end_process=True,
    )
