"""The SQLite database of a collection: schema, connections, and readable messages for errors."""

import contextlib
import errno
import json
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from resight.errors import CollectionError, CollectionLockedError
from resight.files import write_atomically

FORMAT_VERSION = 2

DAMAGED = (
    "the database is damaged ({}); restore it from a backup, or index the photos into a new "
    "collection"
)
DISK_FULL = "the disk is full; free some space and run again"
READ_ONLY = "cannot be changed, as its disk is read-only"

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
    name TEXT PRIMARY KEY,             -- 'selection', 'learned', 'network' (formerly 'vocabulary')
    how TEXT NOT NULL,                 -- JSON: the photos it was fitted on, and the configuration
    data BLOB NOT NULL                 -- as reduction.to_bytes or params_to_bytes encodes it
);
"""

COPIES = """
CREATE TABLE IF NOT EXISTS copies (    -- of sampled photos, for an adaptation
    content TEXT PRIMARY KEY,
    descriptors BLOB NOT NULL,         -- of varied copies, (V, D), float16, little-endian
    crc32 INTEGER NOT NULL
)
"""
"""A table that collections have only once an adaptation was fitted."""

EVIDENCE = """
CREATE TABLE IF NOT EXISTS evidence (
    content TEXT PRIMARY KEY,
    data BLOB NOT NULL,                -- as evidence.encoding.to_bytes encodes it
    crc32 INTEGER NOT NULL
)
"""
"""A table that collections have only once evidence was recorded."""

FILE_STATES = """
CREATE TABLE IF NOT EXISTS file_states (
    photo INTEGER PRIMARY KEY,         -- id
    ctime_ns INTEGER NOT NULL,         -- 0 if unknown
    inode INTEGER NOT NULL             -- 0 if unknown
)
"""
"""A table that collections have only once a run recorded files of this machine."""

HINTS = """
CREATE TABLE IF NOT EXISTS hints (     -- what a person decided about photos
    first TEXT NOT NULL,               -- content; of a pair, the smaller one
    second TEXT NOT NULL,              -- content, '' for the verdict keep
    verdict TEXT NOT NULL CHECK (verdict IN ('same', 'different', 'keep')),
    decided TEXT NOT NULL,             -- UTC, ISO 8601
    PRIMARY KEY (first, second)
) WITHOUT ROWID
"""
"""A table that collections have only once a hint was stored."""

NAMES = """
CREATE TABLE IF NOT EXISTS names (     -- what a person called the things in photos
    content TEXT NOT NULL,
    name TEXT NOT NULL,
    decided TEXT NOT NULL,             -- UTC, ISO 8601
    PRIMARY KEY (content, name)
) WITHOUT ROWID
"""
"""A table that collections have only once a thing was named."""

SEEN = "(CASE WHEN {0}.state = 'ok' THEN {0}.content END)"
"""SQL: the content of a photo's row that searches see, or NULL."""

CHANGES = (
    """CREATE TABLE changes (             -- from which derived arrays are updated
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        photo INTEGER NOT NULL,
        what TEXT NOT NULL CHECK (what IN ('descriptor', 'path', 'unseen')),  -- as searches see it
        former TEXT                    -- the photo's previous content
    )""",
    """CREATE TRIGGER photo_added AFTER INSERT ON photos WHEN NEW.state = 'ok' BEGIN
        INSERT INTO changes (photo, what) VALUES (NEW.id, 'descriptor');
    END""",
    """CREATE TRIGGER photo_removed AFTER DELETE ON photos BEGIN
        INSERT INTO changes (photo, what, former)
        VALUES (OLD.id, iif(OLD.state = 'ok', 'descriptor', 'unseen'), OLD.content);
    END""",
    f"""CREATE TRIGGER photo_changed AFTER UPDATE ON photos
    WHEN OLD.state != NEW.state OR OLD.content IS NOT NEW.content OR OLD.path != NEW.path BEGIN
        INSERT INTO changes (photo, what, former) VALUES (
            NEW.id,
            CASE WHEN {SEEN.format("OLD")} IS NOT {SEEN.format("NEW")} THEN 'descriptor'
                WHEN NEW.state = 'ok' AND OLD.path != NEW.path THEN 'path' ELSE 'unseen' END,
            CASE WHEN OLD.content IS NOT NEW.content THEN OLD.content END
        );
    END""",
)
"""Statements that add the record of changes, which format 1 did not have."""


def create_database(path: Path, meta: dict[str, Any]) -> None:
    """Create a database with empty tables except for `meta`; `path` appears only when complete."""
    with (
        write_atomically(path) as unfinished,
        contextlib.closing(_connect(unfinished)) as connection,
    ):
        _set_modes(connection)
        connection.executescript(
            f"BEGIN; {SCHEMA} {'; '.join(CHANGES)}; PRAGMA user_version = {FORMAT_VERSION}; COMMIT;"
        )
        rows = [(key, json.dumps(value)) for key, value in meta.items()]
        with transaction(connection):
            connection.executemany("INSERT INTO meta VALUES (?, ?)", rows)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


class Connections:
    """Connections to one database, one for each thread that uses it.

    A thread's connection is opened on first use. Those of threads that have ended are closed when
    another one is opened, the rest by `close`.
    """

    def __init__(self, path: Path) -> None:
        """Connect the current thread.

        Raises:
            CollectionError: the file is not a Resight database, damaged, or of a newer format.
        """
        self._path = path
        self._by_thread: dict[threading.Thread, sqlite3.Connection] = {}
        self._lock = threading.Lock()
        self._closed = False
        self.current()

    def current(self) -> sqlite3.Connection:
        """Return the connection of the current thread."""
        thread = threading.current_thread()
        connection = self._by_thread.get(thread)
        if connection is None:
            connection = _open_database(self._path)
            with self._lock:
                for ended in [other for other in self._by_thread if not other.is_alive()]:
                    self._by_thread.pop(ended).close()
                if self._closed:
                    connection.close()  # its use raises sqlite3.ProgrammingError
                self._by_thread[thread] = connection
        return connection

    def close(self) -> None:
        """Close all connections; no thread may be using one."""
        with self._lock:
            self._closed = True
            for connection in self._by_thread.values():
                connection.close()


def _open_database(path: Path) -> sqlite3.Connection:
    connection = _connect_to_existing(path)
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > FORMAT_VERSION:
            raise CollectionError(
                f"{path.parent}: has format {version}, newer than the {FORMAT_VERSION} of this "
                "Resight; update it (pip install -U resight)"
            )
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        if version < 1 or not tables >= {"meta", "photos", "descriptors", "fitted"}:
            raise CollectionError(f"{path}: is a database, but not one of Resight's")
        if os.access(path.parent, os.W_OK):
            _set_modes(connection)  # only now: a file of another program is left unchanged
        if version < FORMAT_VERSION:
            _upgrade(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def check_disk_space(folder: Path, needed: int, purpose: str) -> None:
    """Refuse work that writes more bytes to a folder than its disk has.

    `purpose` is the subject of the message, such as "searching needs".

    Raises:
        CollectionError: the message gives the needed and the free space.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise CollectionError(
            f"{folder}: {DISK_FULL} ({purpose} {needed / 2**20:,.1f} MiB there, "
            f"{free / 2**20:,.1f} are free)"
        )


@contextlib.contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Turn errors of SQLite and the file system into a `CollectionError` of one line."""
    try:
        yield
    except sqlite3.Error as error:
        raise _explain(folder, error) from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CollectionError(f"{folder}: {DAMAGED.format(error)}") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise CollectionError(f"{folder}: {DISK_FULL}") from error
        if error.errno == errno.EROFS:
            raise CollectionError(f"{folder}: {READ_ONLY}") from error
        reason = error.strerror or error
        raise CollectionError(f"{error.filename or folder}: {reason}") from error


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Make all changes in the block atomic, and durable when it ends."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        # A full disk may have ended the transaction already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _connect(path: Path | str, *, uri: bool = False) -> sqlite3.Connection:
    # Each connection serves one thread, but `Connections` closes it from another.
    return sqlite3.connect(path, isolation_level=None, timeout=30, check_same_thread=False, uri=uri)


def _connect_to_existing(path: Path) -> sqlite3.Connection:
    """Connect; without a write-ahead log where the folder is read-only."""
    connection = _connect(path)
    try:
        connection.execute("PRAGMA user_version")
        return connection
    except sqlite3.Error as error:
        connection.close()
        read_only = not os.access(path.parent, os.W_OK)
        has_log = path.with_name(f"{path.name}-wal").exists()
        if has_log or not read_only or not isinstance(error, sqlite3.OperationalError):
            raise
    return _connect(f"{Path(os.path.abspath(path)).as_uri()}?immutable=1", uri=True)


def _set_modes(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")


def _upgrade(connection: sqlite3.Connection) -> None:
    """Upgrade from format 1, which had no table `changes`."""
    with transaction(connection):
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version < FORMAT_VERSION:  # else another process was faster
            for statement in CHANGES:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")


def _explain(folder: Path, error: sqlite3.Error) -> CollectionError:
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith("SQLITE_FULL"):
        return CollectionError(f"{folder}: {DISK_FULL}")
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return CollectionError(f"{folder}: no permission to write there ({error})")
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")) or "decode to UTF-8" in str(error):
        return CollectionError(f"{folder}: {DAMAGED.format(error)}")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return CollectionLockedError(
            f"{folder}: another program holds the database; try again later"
        )
    return CollectionError(f"{folder}: {error}")
