"""Checksums of the rows that have none of their own: photos, and the small tables.

Triggers clear a checksum whenever its row changes, whichever program changes it; `seal` computes
the missing ones before a transaction of the writer ends. So a checksum that differs is damage.
"""

import sqlite3
import zlib
from collections.abc import Iterable

SEALED_TABLES = {
    "meta": "{0}.key",
    "fitted": "{0}.name",
    "hints": "{0}.first || ' ' || {0}.second",
    "names": "{0}.content || ' ' || {0}.name",
}
"""Small tables, and SQL for the key of a row of each."""

_TABLES = (
    """CREATE TABLE IF NOT EXISTS photo_sums (
        photo INTEGER PRIMARY KEY,
        crc32 INTEGER                  -- of the row in photos, NULL until the transaction ends
    )""",
    "CREATE INDEX IF NOT EXISTS photo_sums_missing ON photo_sums (photo) WHERE crc32 IS NULL",
    """CREATE TABLE IF NOT EXISTS table_sums (
        name TEXT PRIMARY KEY,         -- table and key of a row, or 'schema' and its version
        crc32 INTEGER                  -- as in photo_sums
    ) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS table_sums_missing ON table_sums (name) WHERE crc32 IS NULL",
    *(
        f"""CREATE TRIGGER IF NOT EXISTS photo_sum_{event} AFTER {event} ON photos BEGIN
        DELETE FROM photo_sums WHERE photo = {row}.id;
        {"INSERT INTO photo_sums VALUES (NEW.id, NULL);" if row == "NEW" else ""}
    END"""
        for event, row in (("insert", "NEW"), ("update", "NEW"), ("delete", "OLD"))
    ),
)


def add_sums(connection: sqlite3.Connection) -> None:
    """Create the tables and triggers of checksums, in a transaction of the caller's."""
    present = _names(connection)
    if "photo_sums" not in present:
        for statement in _TABLES:
            connection.execute(statement)
        connection.execute("INSERT INTO photo_sums SELECT id, NULL FROM photos")
    for table, key in SEALED_TABLES.items():
        if table in present and f"{table}_sum_insert" not in present:
            for event, row in (("insert", "NEW"), ("update", "NEW"), ("delete", "OLD")):
                name = f"'{table} ' || {key.format(row)}"
                missing = f"INSERT INTO table_sums VALUES ({name}, NULL);" if row == "NEW" else ""
                connection.execute(
                    f"CREATE TRIGGER {table}_sum_{event} AFTER {event} ON {table} BEGIN "
                    f"DELETE FROM table_sums WHERE name = {name}; {missing} END"
                )
            connection.execute(
                f"INSERT OR IGNORE INTO table_sums SELECT '{table} ' || {key.format(table)}, NULL "
                f"FROM {table}"
            )


def has_sums(connection: sqlite3.Connection) -> bool:
    """Return whether a database has checksums of rows; older versions wrote none."""
    select = "SELECT 1 FROM sqlite_master WHERE name = 'table_sums'"
    return connection.execute(select).fetchone() is not None


def is_sealed(connection: sqlite3.Connection) -> bool:
    """Return whether no checksum is missing, as after changes by an older version."""
    if not has_sums(connection):
        return False
    return not any(
        connection.execute(f"SELECT 1 FROM {table} WHERE crc32 IS NULL LIMIT 1").fetchone()
        for table in ("photo_sums", "table_sums")
    )


def seal(connection: sqlite3.Connection) -> None:
    """Compute the checksums that are missing, before the end of a transaction."""
    changed = connection.execute(
        "SELECT photos.* FROM photo_sums JOIN photos ON photos.id = photo_sums.photo "
        "WHERE photo_sums.crc32 IS NULL"
    ).fetchall()
    connection.executemany(
        "UPDATE photo_sums SET crc32 = ? WHERE photo = ?",
        [(row_crc32(row), row[0]) for row in changed],
    )
    schema = f"schema {_schema_version(connection)}"
    sealed = "SELECT 1 FROM table_sums WHERE name = ?"
    if connection.execute(sealed, (schema,)).fetchone() is None:
        add_sums(connection)
        schema = f"schema {_schema_version(connection)}"
        connection.execute("DELETE FROM table_sums WHERE name LIKE 'schema %'")
        connection.execute("INSERT INTO table_sums VALUES (?, ?)", (schema, _schema(connection)))
    missing = connection.execute("SELECT name FROM table_sums WHERE crc32 IS NULL").fetchall()
    for table in SEALED_TABLES.keys() & {name.split(" ")[0] for (name,) in missing}:
        sums = [(row_crc32(row), name) for name, row in _rows(connection, table, unsealed=True)]
        connection.executemany("UPDATE table_sums SET crc32 = ? WHERE name = ?", sums)


def damaged_tables(connection: sqlite3.Connection) -> list[str]:
    """Return the small tables with rows that have changed or are gone.

    A changed schema is `schema`, and checksums of no table are `table_sums`.
    """
    stored = dict(connection.execute("SELECT name, crc32 FROM table_sums").fetchall())
    present = {f"schema {_schema_version(connection)}": _schema(connection)}
    for table in SEALED_TABLES.keys() & _names(connection):
        present |= {name: row_crc32(row) for name, row in _rows(connection, table)}
    changed = {
        name.split(" ")[0]
        for name, crc32 in stored.items()
        if name not in present or present[name] != crc32
    }
    known = {*SEALED_TABLES, "schema"}
    return sorted({name if name in known else "table_sums" for name in changed})


def is_damaged(connection: sqlite3.Connection, table: str, key: str, row: Iterable[object]) -> bool:
    """Return whether a row of a small table differs from its checksum."""
    if not has_sums(connection):
        return False
    select = "SELECT crc32 FROM table_sums WHERE name = ?"
    stored = connection.execute(select, (f"{table} {key}",)).fetchone()
    return stored is not None and stored[0] not in (None, row_crc32(row))


def damaged_photos(connection: sqlite3.Connection, bounds: tuple[str, str]) -> list[int]:
    """Return the IDs of photos whose row has changed, with a content within bounds.

    Photos without a content belong to the bounds that start with the empty text.
    """
    select = (
        "SELECT photo_sums.crc32, photos.* FROM photos "
        "LEFT JOIN photo_sums ON photos.id = photo_sums.photo WHERE "
    )
    rows = connection.execute(f"{select} content >= ? AND content < ?", bounds).fetchall()
    if bounds[0] == "":
        rows += connection.execute(f"{select} content IS NULL").fetchall()
    return [row[0] for crc32, *row in rows if crc32 != row_crc32(row)]


def row_crc32(row: Iterable[object]) -> int:
    """Return the checksum of the values of a row: integers, texts, bytes and None."""
    crc32 = 0
    for value in row:
        data = value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")
        crc32 = zlib.crc32(f"{type(value).__name__}{len(data)} ".encode() + data, crc32)
    return crc32


def _rows(
    connection: sqlite3.Connection, table: str, *, unsealed: bool = False
) -> list[tuple[str, tuple[object, ...]]]:
    """Return the names in `table_sums` and the rows of a small table, or only unsealed rows."""
    name = f"'{table} ' || {SEALED_TABLES[table].format(table)}"
    missing = f"JOIN table_sums ON table_sums.name = {name} AND crc32 IS NULL" if unsealed else ""
    rows = connection.execute(f"SELECT {name}, {table}.* FROM {table} {missing}")
    return [(first, tuple(rest)) for first, *rest in rows]


def _schema(connection: sqlite3.Connection) -> int:
    rows = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name, type")
    return row_crc32(row_crc32(row) for row in rows)


def _schema_version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA schema_version").fetchone()[0])


def _names(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
