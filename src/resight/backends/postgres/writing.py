"""Uploads to PostgreSQL, and the index over what was uploaded."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import psycopg
from psycopg import sql

from resight.backends.postgres import rows
from resight.backends.postgres import sql as statements
from resight.backends.postgres.server import MIGRATION_LOCK
from resight.backends.remote_base import RemoteState
from resight.backends.store import Record
from resight.progress import Progress

POLL_S = 1.0
LINKED = "SELECT tuples_done FROM pg_stat_progress_create_index WHERE datname = current_database()"


def write(
    connection: psycopg.Connection[Any],
    kept: RemoteState[int],
    records: Sequence[Record],
    encode: Callable[[np.ndarray], bytes],
) -> None:
    """Add photos by COPY, or put them in the place of what was at their paths.

    Args:
        connection: in a transaction.
        kept: the collection.
        records: the photos.
        encode: makes bytes of descriptors before the selection.
    """
    table = statements.photos_table(kept.key)
    columns = sql.SQL(", ").join(map(sql.Identifier, rows.COLUMNS))
    renewed = sql.SQL(", ").join(
        sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in rows.COLUMNS
    )
    # As the table is, so that nothing is compressed in vain on its way.
    connection.execute(
        sql.SQL(
            "CREATE TEMP TABLE incoming (LIKE {} INCLUDING STORAGE) ON COMMIT DROP; "
            "ALTER TABLE incoming DROP COLUMN id"
        ).format(table)
    )
    with (
        connection.cursor() as cursor,
        cursor.copy(
            sql.SQL("COPY incoming ({}) FROM STDIN (FORMAT binary)").format(columns)
        ) as copy,
    ):
        copy.set_types(rows.COPIED)
        # All writers go by the paths, so that none waits for one that waits for it.
        for record in sorted(records, key=lambda record: record.photo.path):
            copy.write_row(rows.copied(record, encode))
    connection.execute(
        sql.SQL(
            "INSERT INTO {} ({}) SELECT {} FROM incoming ON CONFLICT (path) DO UPDATE SET {}"
        ).format(table, columns, columns, renewed)
    )


def make_index(connection: psycopg.Connection[Any], kept: RemoteState[int], side: str) -> None:
    """Make the index of one of the descriptors, if no other program has."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (MIGRATION_LOCK + kept.key,))
    connection.execute(
        "SELECT set_config('maintenance_work_mem', greatest("
        "pg_size_bytes(current_setting('maintenance_work_mem')) / 1024, %s)::text, true)",
        (kept.config.build_memory * 1024,),
    )
    connection.execute(statements.create_index(kept.key, side, kept.layout, kept.config))


@contextmanager
def watched(linked: Callable[[], int], progress: Progress, count: int) -> Iterator[None]:
    """Report meanwhile how far the server is with an index.

    Args:
        linked: how many photos are linked already.
        progress: hears of it every second.
        count: how many there are.
    """
    stopped = threading.Event()

    def watch() -> None:
        while not stopped.wait(POLL_S):
            progress("linking neighbours", min(count, linked()), count)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stopped.set()
        watcher.join()
    progress("linking neighbours", count, count)
