"""The commands that bring collections to an engine and back: `push` and `pull`."""

from typing import Annotated

import typer

from resight.cli.options import Address, Collection, engine_option
from resight.config import BackendConfig


def push(
    address: Address,
    collection: Collection,
    links: Annotated[int, engine_option("links")] = BackendConfig.links,
    build_effort: Annotated[int, engine_option("build_effort")] = BackendConfig.build_effort,
    search_effort: Annotated[int, engine_option("search_effort")] = BackendConfig.search_effort,
    half: Annotated[bool, engine_option("half")] = BackendConfig.half,
    build_memory: Annotated[int, engine_option("build_memory")] = BackendConfig.build_memory,
    shards: Annotated[int, engine_option("shards")] = BackendConfig.shards,
    replicas: Annotated[int, engine_option("replicas")] = BackendConfig.replicas,
    oversampling: Annotated[float, engine_option("oversampling")] = BackendConfig.oversampling,
    compact: Annotated[
        bool,
        typer.Option(
            "--compact",
            help="Send only the values that are compared; such a collection cannot be pulled.",
        ),
    ] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Forget photos there that are not here.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Begin anew, whatever is there.")
    ] = False,
) -> None:
    """Bring a collection to an engine; run it again after a change or an interrupt."""
    from resight.backends import transfer
    from resight.cli import output

    with output.progress() as progress:
        done = transfer.push(
            collection,
            address,
            BackendConfig(
                links=links,
                build_effort=build_effort,
                search_effort=search_effort,
                half=half,
                build_memory=build_memory,
                shards=shards,
                replicas=replicas,
                oversampling=oversampling,
            ),
            compact=compact,
            prune=prune,
            replace=replace,
            progress=progress,
        )
    output.print_transfer(done)


def pull(
    address: Address,
    collection: Collection,
    empty: Annotated[
        bool,
        typer.Option(
            "--empty", help="Bring no photos, only what is needed to index more likewise."
        ),
    ] = False,
) -> None:
    """Bring a collection from an engine into a folder; run it again after an interrupt."""
    from resight.backends import transfer
    from resight.cli import output

    with output.progress() as progress:
        done = transfer.pull(address, collection, empty=empty, progress=progress)
    output.print_transfer(done)
