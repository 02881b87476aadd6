"""Standard streams that are closed, or whose encoding lacks characters; early interrupts."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import samples
from resight.backends.manage import info

RESIGHT = f"{shlex.quote(sys.executable)} -m resight"


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Index two copies with a name outside of most encodings."""
    folder = tmp_path_factory.mktemp("streams")
    for name in ("日本.png", "ö.png"):
        samples.draw(folder / "photos" / name, 1)
    samples.index(folder / "photos", folder / "c")
    return folder / "c"


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command, shell=True, capture_output=True, check=False, env={**os.environ, **environment}
    )


@pytest.mark.parametrize(
    ("environment", "options", "expected"),
    [
        ({"PYTHONIOENCODING": "cp1252"}, "", [rb"\u65e5\u672c.png", b"\xf6.png"]),
        ({"PYTHONIOENCODING": "cp1252"}, "--csv", [rb"\u65e5\u672c.png", b"\xf6.png"]),
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, "--csv", [b".png"]),
    ],
)
def test_what_an_encoding_lacks_is_escaped(
    collection: Path, environment: dict[str, str], options: str, expected: list[bytes]
) -> None:
    done = shell(f"{RESIGHT} groups -c '{collection}' {options}", **environment)
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)
    assert all(name in done.stdout for name in expected)


def test_closed_output_is_one_line(collection: Path) -> None:
    done = shell(f"{RESIGHT} info -c '{collection}' >&-")
    assert (done.returncode, done.stderr) == (2, b"resight: input/output: Bad file descriptor\n")


def test_what_prints_nothing_needs_no_streams(collection: Path) -> None:
    photos = collection.with_name("photos")
    done = shell(f"{RESIGHT} index '{photos}' -c '{collection}' <&- >&- 2>&-")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert info(collection).photos == 2


def run_after(preparation: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    code = f"import sys, runpy\n{preparation}\nrunpy.run_module('resight', run_name='__main__')"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_missing_package_is_one_line(collection: Path) -> None:
    photo = collection.with_name("photos") / "ö.png"
    done = run_after("sys.modules['cv2'] = None", "same", photo, photo)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "a package cannot be imported (import of cv2 halted" in done.stderr


def test_an_interrupt_while_modules_are_imported_is_one_line() -> None:
    done = run_after(
        "class Interrupt:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'typer': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupt())"
    )
    assert done.returncode == 130
    assert done.stderr == "resight: stopped; run the same command again to resume\n"
