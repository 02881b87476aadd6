"""Connections to a PostgreSQL server, its schema, and readable messages for its errors."""

import collections
import contextlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import psycopg
from pgvector.psycopg import register_vector
from psycopg import errors

from resight.backends.postgres.sql import MIGRATIONS, OLDEST_PGVECTOR, OLDEST_SERVER
from resight.backends.remote import disk_full, no_collection, unreachable
from resight.errors import CollectionError, CollectionLockedError, UsageError

T = TypeVar("T")

CONNECT_S = 10
MIGRATION_LOCK = 0x7265736967687400
"""Advisory lock for changes to the schema."""


class Server:
    """A database with a connection for each thread that uses it at the same time; thread-safe.

    Work on a lost connection is run once more on a new one, so it must be idempotent.
    """

    def __init__(self, address: str, shown: str) -> None:
        """Prepare without connecting to a libpq address; messages name the collection `shown`."""
        self._address = address
        self.shown = shown
        self._idle: collections.deque[psycopg.Connection[Any]] = collections.deque()

    def run(self, work: Callable[[psycopg.Connection[Any]], T]) -> T:
        """Run a function of a connection in a transaction.

        Raises:
            CollectionError: the server cannot be reached, or refuses.
        """
        with explained(self.shown):
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = self._connect()
            try:
                return self._transact(connection, work)
            except psycopg.OperationalError:
                if not connection.broken:
                    raise
                self.close()  # the other idle connections are lost, too
                return self._transact(self._connect(), work)

    def close(self) -> None:
        """Close the idle connections."""
        with contextlib.suppress(IndexError):
            while True:
                self._idle.pop().close()

    def prepare(self) -> None:
        """Install the extension and upgrade the schema if necessary.

        Raises:
            CollectionError: an old server, a newer schema, or no permission.
        """
        self.run(_prepare)
        self.close()  # connections register the types of the extension when they are opened

    def _transact(
        self, connection: psycopg.Connection[Any], work: Callable[[psycopg.Connection[Any]], T]
    ) -> T:
        try:
            with connection.transaction():
                return work(connection)
        finally:
            if connection.broken:
                connection.close()
            else:
                self._idle.append(connection)

    def _connect(self) -> psycopg.Connection[Any]:
        connection = psycopg.connect(
            self._address, autocommit=True, connect_timeout=CONNECT_S, application_name="resight"
        )
        try:
            if connection.info.server_version < OLDEST_SERVER:
                raise CollectionError(
                    f"{self.shown}: PostgreSQL {connection.info.server_version // 10000} is too "
                    f"old; {OLDEST_SERVER // 10000} or newer is needed"
                )
            with contextlib.suppress(psycopg.ProgrammingError):  # no extension yet: see `prepare`
                register_vector(connection)
        except BaseException:
            connection.close()
            raise
        return connection


@contextlib.contextmanager
def explained(shown: str) -> Iterator[None]:
    """Turn errors of the server into a `CollectionError` of one line without any password."""
    try:
        yield
    except errors.DiskFull as error:
        raise disk_full(shown, _first_line(error)) from error
    except errors.InsufficientPrivilege as error:
        raise CollectionError(
            f"{shown}: the user lacks a permission ({_first_line(error)}); ask the database's owner"
        ) from error
    except (errors.UndefinedTable, errors.InvalidSchemaName) as error:
        raise no_collection(shown) from error
    except (errors.LockNotAvailable, errors.DeadlockDetected) as error:
        raise CollectionLockedError(
            f"{shown}: another program holds the collection; try again later"
        ) from error
    except errors.QueryCanceled as error:
        raise CollectionError(
            f"{shown}: the server canceled it ({_first_line(error)}); run again, or ask its owner"
        ) from error
    except psycopg.OperationalError as error:
        raise _refused(shown, _first_line(error)) from error
    except psycopg.ProgrammingError as error:
        if isinstance(error, errors.Error) and error.sqlstate is None:  # an address libpq refuses
            raise UsageError(f"{shown}: {_first_line(error)}") from error
        raise CollectionError(f"{shown}: {_first_line(error)}") from error
    except psycopg.Error as error:
        raise CollectionError(f"{shown}: {_first_line(error)}") from error


def _refused(shown: str, reason: str) -> CollectionError:
    """Return the error for a refused connection."""
    if "password" in reason:
        return CollectionError(
            f"{shown}: wrong user or password ({reason}); put them into the address, PGPASSWORD or "
            "~/.pgpass"
        )
    if "does not exist" in reason:
        return CollectionError(
            f"{shown}: the server refuses the address ({reason}); name an "
            "existing user and database"
        )
    return unreachable(shown, "PostgreSQL", reason)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _prepare(connection: psycopg.Connection[Any]) -> None:
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (MIGRATION_LOCK,))
    _check_extension(connection)
    connection.execute("CREATE SCHEMA IF NOT EXISTS resight")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS resight.migrations "
        "(number int PRIMARY KEY, done timestamptz NOT NULL DEFAULT now())"
    )
    row = connection.execute("SELECT max(number) FROM resight.migrations").fetchone()
    version = int(row[0] or 0) if row else 0
    if version > len(MIGRATIONS):
        raise CollectionError(
            f"the tables in the database are of version {version}, newer than the "
            f"{len(MIGRATIONS)} of this Resight; update it: pip install -U resight"
        )
    for number, statements in enumerate(MIGRATIONS[version:], version + 1):
        connection.execute(statements)
        connection.execute("INSERT INTO resight.migrations (number) VALUES (%s)", (number,))


def _check_extension(connection: psycopg.Connection[Any]) -> None:
    query = "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
    row = connection.execute(query).fetchone()
    if row is None:
        _create_extension(connection)
        row = connection.execute(query).fetchone() or ("0",)
    version = tuple(int(part) for part in str(row[0]).split(".")[:2])
    if version < OLDEST_PGVECTOR:
        needed = ".".join(map(str, OLDEST_PGVECTOR))
        raise CollectionError(
            f"pgvector {row[0]} is too old, {needed} or newer is needed; update it on the "
            "server, and then: ALTER EXTENSION vector UPDATE"
        )


def _create_extension(connection: psycopg.Connection[Any]) -> None:
    try:
        with connection.transaction():
            connection.execute("CREATE EXTENSION vector")
    except errors.InsufficientPrivilege as error:
        raise CollectionError(
            "the database lacks the extension pgvector, and the user may not create it; ask its "
            "owner for: CREATE EXTENSION vector"
        ) from error
    except (errors.FeatureNotSupported, errors.UndefinedFile) as error:
        raise CollectionError(
            "the server has no pgvector; install it there (https://github.com/pgvector/pgvector)"
            f" and run again ({_first_line(error)})"
        ) from error
