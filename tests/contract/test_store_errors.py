"""Failures of remote backends: an error of one line, and the next run resumes."""

import http.server
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import psycopg
import pytest

import samples
from postgres_server import PostgresServer, on_small_disk
from resight.backends import open_remote
from resight.backends.postgres import server as server_module
from resight.backends.transfer import push
from resight.cli.app import main
from resight.collection.writer import writing
from resight.errors import CollectionError, MissingExtraError
from store_samples import make, record


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make(tmp_path / "c", 40).folder


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command that is refused and return its line on stderr."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["resight", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
    captured = capsys.readouterr()
    assert ended.value.code == 2, captured.err
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("resight: ")
    return line


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("postgresql://localhost:1/db/name", r"name: cannot be reached \(.* PostgreSQL running"),
        ("qdrant+http://localhost:1/name", r"name: cannot be reached \(.* Qdrant running"),
        ("postgresql://localhost/name", r"expected postgresql://HOST/DATABASE/NAME"),
        ("qdrant+http://localhost/a b", r"where NAME is of letters"),
        ("mysql://localhost/db/name", r"no such kind of address; there are postgresql://"),
        ("postgresql://me:secret@localhost/db/name?prot=1", r"invalid .*prot"),
    ],
)
def test_unreachable_and_invalid_addresses(capsys, folder, address, message):
    for command in (["info", "-c", address], ["push", address, "-c", str(folder)]):
        line = refused(capsys, *command)
        assert re.search(message, line), line
        assert "secret" not in line


def test_commands_that_need_a_folder(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for command in (["index", "."], ["fit"], ["check"], ["pull", "qdrant+http://localhost/n"]):
        line = refused(capsys, *command, "-c", "postgresql://me:secret@localhost/db/name")
        assert "postgresql://me@localhost/db/name: is on a remote backend" in line
    assert "is no address of a remote backend" in refused(capsys, "push", "elsewhere", "-c", "c")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("module", "extra", "address"),
    [
        ("psycopg", "postgres", "postgresql://localhost/db/name"),
        ("qdrant_client", "qdrant", "qdrant+http://localhost/name"),
    ],
)
def test_a_missing_client_names_the_extra(monkeypatch, module, extra, address):
    monkeypatch.delitem(sys.modules, f"resight.backends.{extra}", raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"pip install 'resight\[{extra}\]'"):
        open_remote(address)


# PostgreSQL


def test_wrong_password(capsys, folder, postgres: PostgresServer):
    address = postgres.address("postgres", "name", "guarded:secret")
    line = refused(capsys, "push", address, "-c", str(folder))
    assert re.search(r"wrong user or password \(.*\); put them into the address, PGPASSWORD", line)
    assert "secret" not in line


def test_missing_extension(capsys, folder, postgres: PostgresServer):
    database = postgres.new_database()
    address = postgres.address(database, "name", "modest")
    assert "ask its owner for: CREATE EXTENSION vector" in refused(
        capsys, "push", address, "-c", str(folder)
    )
    assert "no collection there; make one with: resight push" in refused(
        capsys, "info", "-c", address
    )
    # A server without pgvector.
    postgres.execute(f"ALTER DATABASE {database} SET extension_control_path = '/nowhere'")
    address = postgres.address(database, "name")
    line = refused(capsys, "push", address, "-c", str(folder))
    assert re.search(r"the server has no pgvector; install it there .* and run again", line)


def test_unsupported_versions(capsys, folder, monkeypatch, postgres):
    database = postgres.new_database()
    address = postgres.address(database, "name")
    postgres.execute("CREATE EXTENSION vector", database)
    postgres.execute("UPDATE pg_extension SET extversion = '0.7.4'", database)
    line = refused(capsys, "push", address, "-c", str(folder))
    assert "pgvector 0.7.4 is too old, 0.8 or newer is needed" in line
    assert "ALTER EXTENSION vector UPDATE" in line
    postgres.execute("UPDATE pg_extension SET extversion = '0.10.0'", database)
    push(folder, address)
    postgres.execute("INSERT INTO resight.migrations (number) VALUES (99)", database)
    line = refused(capsys, "push", "--replace", address, "-c", str(folder))
    assert "are of version 99, newer than the 1 of this Resight; update it" in line
    monkeypatch.setattr(server_module, "OLDEST_SERVER", 990000)
    line = refused(capsys, "info", "-c", address)
    assert re.search(r"PostgreSQL \d+ is too old; 99 or newer is needed", line)


@pytest.mark.parametrize("values", [4000, 4001])
def test_descriptors_that_are_too_long(capsys, tmp_path, values, postgres: PostgresServer):
    address = postgres.address(postgres.new_database(), "name")
    sample = make(tmp_path / "c", 0, keep=np.arange(values))
    sample.global_ = np.ones((3, values), np.float32)
    with writing(sample.folder) as writer:
        record(writer, sample, 0, 1, 2)
    if values <= 4000:
        assert push(sample.folder, address).photos == 3
        return
    line = refused(capsys, "push", address, "-c", str(sample.folder))
    assert re.search(r"at most 4000 values, .* 4001; select fewer first \(resight fit", line)


def test_refusals_of_the_server(capsys, folder, postgres: PostgresServer):
    for address in (
        postgres.address("nowhere", "name"),
        postgres.address("postgres", "name", "nobody"),
    ):
        line = refused(capsys, "push", address, "-c", str(folder))
        assert re.search(r"refuses the address \(.* does not exist\); name an existing", line)
    database = postgres.new_database()
    address = postgres.address(database, "name")
    hasty = f"{address}&options=-c%20statement_timeout%3D1"
    assert "the server canceled it" in refused(capsys, "push", hasty, "-c", str(folder))
    assert push(folder, address).sent == 40
    postgres.execute("UPDATE resight.collections SET identity = '[]'", database)
    assert "the collection there is damaged" in refused(capsys, "info", "-c", address)


def test_resume_after_a_crash_of_the_server(folder, monkeypatch, postgres: PostgresServer):
    monkeypatch.setattr("resight.backends.transfer.BATCH", 10)
    address = postgres.address(postgres.new_database(), "name")

    def cut(what: str, done: int, total: int) -> None:
        if (what, done) == ("uploading", 20):
            postgres.kill()

    try:
        with pytest.raises(CollectionError, match=r"cannot be reached .* The next run resumes"):
            push(folder, address, progress=cut)
    finally:
        postgres.start()
    with closing(open_remote(address)) as remote:  # a search after that: test_web_engines
        assert remote.count("ok") == 20
    done = push(folder, address)
    assert (done.sent, done.unchanged, done.photos) == (20, 20, 40)


def test_resume_after_a_full_disk(capsys, folder, monkeypatch, tmp_path):
    monkeypatch.setattr("resight.backends.transfer.BATCH", 10)
    (tmp_path / "server").mkdir()
    with on_small_disk(tmp_path / "server", 64) as socket:
        address = f"postgresql://postgres@/postgres/name?host={socket}"
        ballast = tmp_path / "server" / "disk" / "ballast"

        def fill(size: int) -> None:
            """Write a file on the server's disk, which no other program sees."""
            rows = f"SELECT repeat('x', 1000) FROM generate_series(1, {size})"
            with psycopg.connect(f"host={socket} user=postgres", autocommit=True) as connection:
                connection.execute(f"COPY ({rows}) TO '{ballast}'")  # type: ignore[call-overload]

        def cut(what: str, done: int, total: int) -> None:
            if (what, done) == ("uploading", 20):
                with pytest.raises(psycopg.errors.DiskFull):
                    fill(64_000)

        message = (
            r"the backend's disk is full \(.*\); free some space there and run again to resume"
        )
        with pytest.raises(CollectionError, match=message):
            push(folder, address, progress=cut)
        assert re.search(message, refused(capsys, "push", address, "-c", str(folder)))
        fill(0)
        done = push(folder, address)
    assert (done.sent, done.unchanged, done.photos) == (20, 20, 40)


# Qdrant


@contextmanager
def answering(status: int, body: object) -> Iterator[str]:
    """Start a server with one response to everything, in Qdrant's form; return its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Say nothing on stderr."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"qdrant+http://127.0.0.1:{server.server_port}/name"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (401, {"status": {"error": "Must provide an API key"}}, r"key; put it into QDRANT_API_KEY"),
        (
            200,
            {"title": "qdrant", "version": "1.5.0"},
            r"Qdrant 1\.5\.0 is too old; 1\.12 or newer",
        ),
        (
            500,
            {"status": {"error": "Service internal error: No space left on device"}},
            r"the backend's disk is full .*; free some space there and run again",
        ),
        (404, {"detail": "Not Found"}, r"Qdrant refused: 404 .*Not Found"),
        (200, {"hello": "world"}, r"is not Qdrant"),
    ],
)
def test_error_responses(capsys, folder, status, body, message):
    with answering(status, body) as address:
        line = refused(capsys, "push", address, "-c", str(folder))
    assert re.search(message, line), line


@pytest.mark.slow
def test_full_disk_without_a_server(folder, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    push = ["push", f"qdrant+file://{disk}/qdrant/name", "-c", str(folder)]
    command = [*samples.on_small_disk(disk, 64), sys.executable, "-m", "resight", *push]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("resight:"))
    assert re.search(
        r"the backend's disk is full \(.*\); free some space there and run again", line
    )


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_damaged_folder_without_a_server(capsys, folder, tmp_path):
    address = f"qdrant+file://{tmp_path}/qdrant/name"
    push(folder, address)
    for file in (tmp_path / "qdrant").rglob("*.sqlite"):
        file.write_bytes(b"no database")
    assert "the collection there is damaged" in refused(capsys, "info", "-c", address)
    (tmp_path / "qdrant" / "meta.json").write_text("{")
    assert "the collection there is damaged" in refused(capsys, "info", "-c", address)


# The client leaves the file of its lock to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_locked_folder_without_a_server(capsys, folder, tmp_path):
    address = f"qdrant+file://{tmp_path}/qdrant/name"
    with closing(open_remote(address)):
        line = refused(capsys, "push", address, "-c", str(folder))
        assert "another process has this folder open" in line
