"""Delete from the database what no photo needs any more, in transactions of the writer's."""

import sqlite3
from collections.abc import Collection

from resight.collection.database import FILE_STATES


def delete_unused(connection: sqlite3.Connection, cleaned: int, kept: Collection[str]) -> None:
    """Delete what belongs to contents that photos had before, and none has now.

    Args:
        connection: in a transaction.
        cleaned: number of the change up to which this was done before.
        kept: contents whose descriptors stay.
    """
    rows = connection.execute(
        "SELECT DISTINCT former FROM changes WHERE number > ? AND former IS NOT NULL", (cleaned,)
    )
    delete_contents(connection, {content for (content,) in rows}.difference(kept))
    connection.execute(FILE_STATES)
    connection.execute("DELETE FROM file_states WHERE photo NOT IN (SELECT id FROM photos)")


def delete_contents(connection: sqlite3.Connection, contents: Collection[str]) -> None:
    """Delete the descriptors of those contents that no photo has, and what belongs to them."""
    connection.executemany(
        "DELETE FROM descriptors WHERE content = ?1 AND NOT EXISTS "
        "(SELECT 1 FROM photos WHERE photos.content = ?1)",
        [(content,) for content in contents],
    )
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    for table in tables & {"copies", "evidence"}:
        connection.execute(
            f"DELETE FROM {table} WHERE content NOT IN (SELECT content FROM descriptors)"
        )
