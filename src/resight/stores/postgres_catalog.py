"""What the collections in a PostgreSQL database were made with."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import psycopg
from psycopg import sql

from resight.config import EngineConfig, from_dict, to_dict
from resight.selection.reduction import Reduction
from resight.stores import postgres_sql as statements
from resight.stores.identity import Identity, identity_from_json
from resight.stores.store import Layout


@dataclass(frozen=True)
class Kept:
    """What is known of a collection that is there; `number` names its tables."""

    number: int
    identity: Identity
    layout: Layout
    config: EngineConfig
    selection: Reduction | None


def look(connection: psycopg.Connection[Any], collection: str, shown: str) -> Kept | None:
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
    identity = identity_from_json(shown, row[1], {name: bytes(data) for name, data in fitted})
    config = from_dict(EngineConfig, row[3])
    return Kept(row[0], identity, Layout(**row[2]), config, identity.selection())


def create(
    connection: psycopg.Connection[Any],
    collection: str,
    identity: Identity,
    layout: Layout,
    config: EngineConfig,
) -> None:
    """Make a collection, empty, unless another program was faster."""
    said: Mapping[str, Any] = {
        "name": collection,
        "identity": json.dumps(identity.to_json()),
        "layout": json.dumps(asdict(layout)),
        "config": json.dumps(to_dict(config)),
    }
    row = connection.execute(
        "INSERT INTO resight.collections (name, identity, layout, config) "
        "VALUES (%(name)s, %(identity)s, %(layout)s, %(config)s) "
        "ON CONFLICT (name) DO NOTHING RETURNING id",
        said,
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
