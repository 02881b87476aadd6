"""The SQLite file of a collection: its tables, its connection, its errors in plain words."""

import contextlib
import errno
import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from resight.errors import CollectionError, CollectionLockedError

FORMAT_VERSION = 2

DISK_FULL = "the disk is full; free some space and run again"

SCHEMA = """
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL                -- JSON
) WITHOUT ROWID;
CREATE TABLE photos (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    path BLOB NOT NULL UNIQUE,         -- absolute, in the file system's own bytes
    size INTEGER NOT NULL,             -- bytes
    mtime_ns INTEGER NOT NULL,
    content TEXT,                      -- SHA-256 of the file, NULL if it could not be read
    width INTEGER,                     -- pixels, upright
    height INTEGER,
    state TEXT NOT NULL CHECK (state IN ('ok', 'failed')),
    reason TEXT,                       -- why it failed
    indexed_at TEXT NOT NULL
);
CREATE INDEX photos_by_content ON photos (content);
CREATE TABLE descriptors (
    content TEXT PRIMARY KEY,
    global BLOB NOT NULL,              -- values in the configuration's dtype, little-endian
    local BLOB,                        -- the same, with class activation maps
    crc32 INTEGER NOT NULL             -- of global, then local
);
CREATE TABLE fitted (
    name TEXT PRIMARY KEY,             -- 'selection', 'learned', 'network' ('vocabulary' of old)
    how TEXT NOT NULL,                 -- JSON: what it was fitted on, and the configuration
    data BLOB NOT NULL                 -- as to_bytes of reduction or learned has it
);
"""

SEEN = "(CASE WHEN {0}.state = 'ok' THEN {0}.content END)"
"""The content that searches see in a photo's row, if any."""

CHANGES = f"""
CREATE TABLE changes (                 -- by which derived arrays are brought up to date
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    photo INTEGER NOT NULL,
    what TEXT NOT NULL CHECK (what IN ('descriptor', 'path', 'unseen')),  -- that searches see
    former TEXT                        -- the content that the photo has no more
);
CREATE TRIGGER photo_added AFTER INSERT ON photos WHEN NEW.state = 'ok' BEGIN
    INSERT INTO changes (photo, what) VALUES (NEW.id, 'descriptor');
END;
CREATE TRIGGER photo_removed AFTER DELETE ON photos BEGIN
    INSERT INTO changes (photo, what, former)
    VALUES (OLD.id, iif(OLD.state = 'ok', 'descriptor', 'unseen'), OLD.content);
END;
CREATE TRIGGER photo_changed AFTER UPDATE ON photos
WHEN OLD.state != NEW.state OR OLD.content IS NOT NEW.content OR OLD.path != NEW.path BEGIN
    INSERT INTO changes (photo, what, former) VALUES (
        NEW.id,
        CASE WHEN {SEEN.format("OLD")} IS NOT {SEEN.format("NEW")} THEN 'descriptor'
            WHEN NEW.state = 'ok' AND OLD.path != NEW.path THEN 'path' ELSE 'unseen' END,
        CASE WHEN OLD.content IS NOT NEW.content THEN OLD.content END
    );
END;
"""


def create_database(path: Path, meta: dict[str, Any]) -> None:
    """A file with empty tables but for `meta`; it appears under its name only when it is whole."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.new")
    unfinished.unlink(missing_ok=True)  # of a process with this number that was killed
    with contextlib.closing(_connect(unfinished)) as database:
        _set_modes(database)
        database.executescript(
            f"BEGIN; {SCHEMA} {CHANGES} PRAGMA user_version = {FORMAT_VERSION}; COMMIT;"
        )
        rows = [(key, json.dumps(value)) for key, value in meta.items()]
        with transaction(database):
            database.executemany("INSERT INTO meta VALUES (?, ?)", rows)
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    unfinished.replace(path)


def open_database(path: Path) -> sqlite3.Connection:
    """A connection to a collection's database.

    Raises:
        CollectionError: not one of ours, damaged, or of a newer format.
    """
    database = _connect_to_existing(path)
    try:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version > FORMAT_VERSION:
            raise CollectionError(
                f"{path.parent}: has format {version}, newer than the {FORMAT_VERSION} of this "
                "Resight; update it (pip install -U resight)"
            )
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
        if version < 1 or not tables >= {"meta", "photos", "descriptors", "fitted"}:
            raise CollectionError(f"{path}: is a database, but not one of Resight's")
        if os.access(path.parent, os.W_OK):
            _set_modes(database)  # only now: a file of another program is left as it is
        if version < FORMAT_VERSION:
            _upgrade(database)
    except BaseException:
        database.close()
        raise
    return database


@contextlib.contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Turn errors of SQLite and the file system into one line that says what to do."""
    try:
        yield
    except sqlite3.Error as error:
        raise _explain(folder, error) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise CollectionError(f"{folder}: {DISK_FULL}") from error
        reason = error.strerror or error
        raise CollectionError(f"{error.filename or folder}: {reason}") from error


@contextlib.contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """All or nothing, and on the disk when it ends."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        # A full disk may have ended the transaction already.
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, timeout=30)


def _connect_to_existing(path: Path) -> sqlite3.Connection:
    """A connection; where nothing can be written, one that does without a write-ahead log."""
    database = _connect(path)
    try:
        database.execute("PRAGMA user_version")
        return database
    except sqlite3.Error as error:
        database.close()
        shut = not os.access(path.parent, os.W_OK)
        logged = path.with_name(f"{path.name}-wal").exists()
        if logged or not shut or not isinstance(error, sqlite3.OperationalError):
            raise
    uri = f"{Path(os.path.abspath(path)).as_uri()}?immutable=1"
    return sqlite3.connect(uri, uri=True, isolation_level=None)


def _set_modes(database: sqlite3.Connection) -> None:
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")


def _upgrade(database: sqlite3.Connection) -> None:
    """From format 1, which kept no record of changes."""
    with transaction(database):
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version < FORMAT_VERSION:  # else another process was faster
            for statement in _statements(CHANGES):
                database.execute(statement)
            database.execute(f"PRAGMA user_version = {FORMAT_VERSION}")


def _statements(script: str) -> Iterator[str]:
    """The statements of a script; `executescript` would end the transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _explain(folder: Path, error: sqlite3.Error) -> CollectionError:
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith("SQLITE_FULL"):
        return CollectionError(f"{folder}: {DISK_FULL}")
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return CollectionError(f"{folder}: no permission to write there ({error})")
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return CollectionError(
            f"{folder}: the database is damaged ({error}); restore it from a backup or index anew"
        )
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return CollectionLockedError(
            f"{folder}: another program holds the database; try again later"
        )
    return CollectionError(f"{folder}: {error}")
