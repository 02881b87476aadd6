"""The evidence of a collection's photos in PostgreSQL: a table beside theirs, by content.

Collections that an older version pushed have the table only once evidence is added. Rows are large
and already deflated, so they are stored out of line as they are.
"""

from collections.abc import Collection, Mapping
from typing import Any

import psycopg

from resight.backends.postgres.server import MIGRATION_LOCK
from resight.backends.postgres.sql import photos_table

Connection = psycopg.Connection[Any]


def evidence_table(key: str) -> str:
    """Return the table of a collection's evidence."""
    return f"resight.evidence_{key}"


def create_evidence(key: str) -> str:
    """Return the statements that create the table."""
    table = evidence_table(key)
    return (
        f"CREATE TABLE IF NOT EXISTS {table} (content text PRIMARY KEY, data bytea NOT NULL); "
        f"ALTER TABLE {table} ALTER data SET STORAGE EXTERNAL"
    )


def read(connection: Connection, key: str, contents: Collection[str]) -> dict[str, bytes]:
    """Return the stored evidence by content; contents without evidence are omitted."""
    if not contents or not _exists(connection, key):
        return {}
    select = f"SELECT content, data FROM {evidence_table(key)} WHERE content = ANY(%s)"
    return dict(connection.execute(select, (list(contents),), binary=True).fetchall())


def without(connection: Connection, key: str, contents: Collection[str]) -> set[str]:
    """Return those of some contents that have no evidence."""
    if not _exists(connection, key):
        return set(contents)
    select = f"SELECT content FROM {evidence_table(key)} WHERE content = ANY(%s)"
    return set(contents) - {c for (c,) in connection.execute(select, (list(contents),))}


def add(connection: Connection, key: str, evidence: Mapping[str, bytes]) -> None:
    """Add evidence by content; what is stored already stays."""
    if not _exists(connection, key):
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (MIGRATION_LOCK + int(key),))
        connection.execute(create_evidence(key))
    insert = f"INSERT INTO {evidence_table(key)} VALUES (%s, %b) ON CONFLICT (content) DO NOTHING"
    with connection.cursor() as cursor:
        # All writers go by the order of the contents, so that they cannot deadlock.
        cursor.executemany(insert, sorted(evidence.items()))


def remove_unused(connection: Connection, key: str, contents: Collection[str]) -> None:
    """Remove the evidence of those of some contents that no photo has any more."""
    if contents and _exists(connection, key):
        connection.execute(
            f"DELETE FROM {evidence_table(key)} AS e WHERE content = ANY(%s) AND NOT EXISTS "
            f"(SELECT 1 FROM {photos_table(key)} AS p WHERE p.content = e.content)",
            (list(contents),),
        )


def _exists(connection: Connection, key: str) -> bool:
    row = connection.execute("SELECT to_regclass(%s)", (evidence_table(key),)).fetchone()
    return row is not None and row[0] is not None
