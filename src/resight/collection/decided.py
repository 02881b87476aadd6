"""The tables of what a person decided: hints, and the names of things."""

import sqlite3

from resight.collection.database import HINTS, NAMES
from resight.collection.hints import Hint, Hints
from resight.collection.names import Names, Naming


def read_hints(connection: sqlite3.Connection) -> Hints:
    """Return the hints of a collection; none where none was ever stored."""
    if not _exists(connection, "hints"):
        return Hints()
    rows = connection.execute("SELECT verdict, first, second, decided FROM hints").fetchall()
    return Hints(
        Hint(verdict, (first, second) if second else (first,), decided)
        for verdict, first, second, decided in rows
    )


def write_hints(connection: sqlite3.Connection, hints: Hints) -> None:
    """Replace the hints, in a transaction of the caller's; searches see the change."""
    rows = [
        (hint.contents[0], "".join(hint.contents[1:]), hint.verdict, hint.decided) for hint in hints
    ]
    connection.execute(HINTS)
    connection.execute("DELETE FROM hints")
    connection.executemany("INSERT INTO hints VALUES (?, ?, ?, ?)", rows)
    # A change of no photo, so that the stamp changes while derived arrays stay valid.
    connection.execute("INSERT INTO changes (photo, what) VALUES (0, 'path')")


def read_names(connection: sqlite3.Connection) -> Names:
    """Return the names of a collection; none where none was ever stored."""
    if not _exists(connection, "names"):
        return Names()
    rows = connection.execute("SELECT name, content, decided FROM names").fetchall()
    return Names(Naming(*row) for row in rows)


def write_names(connection: sqlite3.Connection, names: Names) -> None:
    """Replace the names, in a transaction of the caller's."""
    connection.execute(NAMES)
    connection.execute("DELETE FROM names")
    connection.executemany(
        "INSERT INTO names VALUES (?, ?, ?)", [(n.content, n.name, n.decided) for n in names]
    )


def _exists(connection: sqlite3.Connection, table: str) -> bool:
    select = "SELECT 1 FROM sqlite_master WHERE name = ?"
    return connection.execute(select, (table,)).fetchone() is not None
