"""What the collections in a PostgreSQL database were made with."""

from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from resight.backends.identity import Identity
from resight.backends.postgres import sql as statements
from resight.backends.remote_base import RemoteState, from_said, to_said
from resight.backends.store import Layout
from resight.config import BackendConfig


def look(
    connection: psycopg.Connection[Any], collection: str, shown: str
) -> RemoteState[int] | None:
    """What the database says of a collection now; None where it is not there.

    Args:
        connection: in a transaction.
        collection: its name in the database.
        shown: its name in messages.
    """
    present = connection.execute("SELECT to_regclass('resight.collections')").fetchone()
    if present is None or present[0] is None:
        return None
    row = connection.execute(
        "SELECT id, identity, layout, config FROM resight.collections WHERE name = %s",
        (collection,),
    ).fetchone()
    if row is None:
        return None
    fitted = connection.execute(
        "SELECT name, data FROM resight.fitted WHERE collection = %s", (row[0],)
    ).fetchall()
    said = dict(zip(("identity", "layout", "config"), row[1:], strict=True))
    return from_said(row[0], shown, said, {name: bytes(data) for name, data in fitted})


def create(
    connection: psycopg.Connection[Any],
    collection: str,
    identity: Identity,
    layout: Layout,
    config: BackendConfig,
) -> None:
    """Make a collection, empty, unless another program was faster."""
    said = {what: Jsonb(value) for what, value in to_said(identity, layout, config).items()}
    row = connection.execute(
        "INSERT INTO resight.collections (name, identity, layout, config) "
        "VALUES (%(name)s, %(identity)s, %(layout)s, %(config)s) "
        "ON CONFLICT (name) DO NOTHING RETURNING id",
        {"name": collection, **said},
    ).fetchone()
    if row is None:
        return
    for name, data in identity.data.items():
        connection.execute("INSERT INTO resight.fitted VALUES (%s, %s, %s)", (row[0], name, data))
    connection.execute(statements.create_photos(row[0], layout))


def drop(connection: psycopg.Connection[Any], number: int) -> None:
    """Remove a collection with its tables."""
    connection.execute("DELETE FROM resight.collections WHERE id = %s", (number,))
    connection.execute(
        sql.SQL("DROP TABLE {}; DROP SEQUENCE {}").format(
            statements.photos_table(number), statements.changes(number)
        )
    )
