"""Connections to a PostgreSQL server, and its errors in plain words."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import psycopg
from pgvector.psycopg import register_vector
from psycopg import errors, sql

from resight.backends.postgres.sql import MIGRATIONS, OLDEST_PGVECTOR, OLDEST_SERVER
from resight.backends.remote_base import disk_full, not_there, unreachable
from resight.errors import CollectionError, CollectionLockedError, UsageError

T = TypeVar("T")

CONNECT_S = 10
MIGRATION_LOCK = 0x7265736967687400
"""The advisory lock of whoever changes the schema."""


class Server:
    """A database, reached by as many connections as threads ask at once; thread-safe.

    A connection that was lost is replaced once by a new one, so what is run on it must do no harm
    when it is run again.
    """

    def __init__(self, address: str, shown: str) -> None:
        """Connect to nothing yet.

        Args:
            address: as libpq takes it.
            shown: how messages name the collection.
        """
        self._address = address
        self.shown = shown
        self._idle: list[psycopg.Connection[Any]] = []
        self._lock = threading.Lock()

    def run(self, work: Callable[[psycopg.Connection[Any]], T]) -> T:
        """Do something in a transaction.

        Raises:
            CollectionError: the server cannot be reached, or cannot do it.
        """
        with explained(self.shown):
            connection = self._take()
            try:
                return self._once(connection, work)
            except psycopg.OperationalError:
                if not connection.broken:
                    raise
                self.close()  # the idle ones are as old
                return self._once(self._connect(), work)

    def close(self) -> None:
        """Close the connections that nobody uses just now."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def prepare(self) -> None:
        """Bring the extension and the schema to what this version needs.

        Raises:
            CollectionError: too old, a newer schema, or no permission.
        """
        self.run(_prepare)
        self.close()  # a connection learns the types of the extension when it is made

    def _once(
        self, connection: psycopg.Connection[Any], work: Callable[[psycopg.Connection[Any]], T]
    ) -> T:
        try:
            with connection.transaction():
                done = work(connection)
        except BaseException:
            connection.close() if connection.broken else self._give_back(connection)
            raise
        self._give_back(connection)
        return done

    def _take(self) -> psycopg.Connection[Any]:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return self._connect()

    def _give_back(self, connection: psycopg.Connection[Any]) -> None:
        with self._lock:
            self._idle.append(connection)

    def _connect(self) -> psycopg.Connection[Any]:
        connection = psycopg.connect(
            self._address,
            autocommit=True,
            connect_timeout=CONNECT_S,
            application_name="resight",
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
    """Turn errors of the server into one line that says what to do, without any password."""
    try:
        yield
    except errors.DiskFull as error:
        raise disk_full(shown, _first_line(error)) from error
    except errors.InsufficientPrivilege as error:
        raise CollectionError(
            f"{shown}: the user may not do that ({_first_line(error)}); ask the database's owner"
        ) from error
    except (errors.UndefinedTable, errors.InvalidSchemaName) as error:
        raise not_there(shown) from error
    except (errors.LockNotAvailable, errors.DeadlockDetected) as error:
        raise CollectionLockedError(
            f"{shown}: another program holds the collection; try again later"
        ) from error
    except errors.QueryCanceled as error:
        raise CollectionError(
            f"{shown}: the engine did not go on ({_first_line(error)}); run again, or ask its owner"
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
    """What it means that there is no connection."""
    if "password" in reason:
        return CollectionError(
            f"{shown}: wrong user or password ({reason}); put them into the address, PGPASSWORD or "
            "~/.pgpass"
        )
    if "does not exist" in reason:
        return CollectionError(
            f"{shown}: the server refuses the address ({reason}); name a user and a database that "
            "are there"
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
    done = schema_version(connection)
    if done > len(MIGRATIONS):
        raise CollectionError(
            f"the tables in the database are of version {done}, newer than the {len(MIGRATIONS)} "
            "of this Resight; update it: pip install -U resight"
        )
    for number, statements in enumerate(MIGRATIONS[done:], done + 1):
        connection.execute(statements)
        connection.execute("INSERT INTO resight.migrations (number) VALUES (%s)", (number,))


def schema_version(connection: psycopg.Connection[Any]) -> int:
    """How many migrations were done in a database; 0 in one without Resight's tables."""
    present = connection.execute("SELECT to_regclass('resight.migrations')").fetchone()
    if present is None or present[0] is None:
        return 0
    row = connection.execute("SELECT max(number) FROM resight.migrations").fetchone()
    return int(row[0] or 0) if row else 0


def _check_extension(connection: psycopg.Connection[Any]) -> None:
    query = "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
    found = connection.execute(query).fetchone()
    if found is None:
        _create_extension(connection)
        found = connection.execute(query).fetchone() or ("0",)
    version = tuple(int(part) for part in str(found[0]).split(".")[:2])
    if version < OLDEST_PGVECTOR:
        needed = ".".join(map(str, OLDEST_PGVECTOR))
        raise CollectionError(
            f"pgvector {found[0]} is too old, {needed} or newer is needed; update it on the "
            "server, and then: ALTER EXTENSION vector UPDATE"
        )


def _create_extension(connection: psycopg.Connection[Any]) -> None:
    try:
        with connection.transaction():
            connection.execute(sql.SQL("CREATE EXTENSION vector"))
    except errors.InsufficientPrivilege as error:
        raise CollectionError(
            "the database lacks the extension pgvector, and the user may not add it; ask its "
            "owner for: CREATE EXTENSION vector"
        ) from error
    except (errors.FeatureNotSupported, errors.UndefinedFile) as error:
        raise CollectionError(
            "the server has no pgvector; install that there (https://github.com/pgvector/pgvector)"
            f" and run again ({_first_line(error)})"
        ) from error
