"""Files that are to be written: what is refused before the work; looking changes nothing."""

import errno
import os
import sys
from pathlib import Path

import pytest
from PIL import Image

from resight.errors import UsageError
from resight.files import (
    create_folder,
    ensure_picture_writable,
    ensure_writable,
    save_picture,
    sync_folder,
    write_atomically,
    write_output,
)


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        path.name: (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.iterdir()
        if path.is_file()
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "there.npz").write_bytes(b"of the last time")
    (tmp_path / "folder.jpg").mkdir()
    return tmp_path


@pytest.mark.parametrize("name", ["there.npz", "new.npz", "no suffix"])
def test_looking_changes_nothing(folder: Path, name: str) -> None:
    before = state(folder)
    ensure_writable(folder / name)
    assert state(folder) == before


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nowhere/new.jpg", "No such file or directory"),
        ("there.npz/new.jpg", "Not a directory"),
        ("folder.jpg", "Is a directory"),
    ],
)
def test_what_cannot_be_written_is_refused(folder: Path, name: str, reason: str) -> None:
    for check in (ensure_writable, ensure_picture_writable):
        with pytest.raises(UsageError, match=rf"{name}: cannot be written: {reason}$"):
            check(folder / name)
    with pytest.raises(UsageError, match=rf"{name}: cannot be written: {reason}$"):
        save_picture(Image.new("RGB", (4, 3)), folder / name)


def test_a_pipe_is_left_to_its_reader(folder: Path) -> None:
    os.mkfifo(folder / "pipe.npz")
    ensure_writable(folder / "pipe.npz")  # to open it would wait for a reader


def test_the_folder_one_is_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    ensure_writable(Path("new.npz"))
    ensure_picture_writable(Path("new.JPG"))


@pytest.mark.parametrize("name", ["new", "new.xyz", "new.psd", "there.npz"])
def test_a_picture_has_the_suffix_of_a_format(folder: Path, name: str) -> None:
    picture = Image.new("RGB", (4, 3))
    with pytest.raises(UsageError, match=rf"{name}: name it with \.jpg or \.png$"):
        ensure_picture_writable(folder / name)
    with pytest.raises(UsageError, match=rf"{name}: name it with \.jpg or \.png$"):
        save_picture(picture, folder / name)
    for good in ("a.jpg", "a.PNG", "a.webp"):
        ensure_picture_writable(folder / good)
        save_picture(picture, folder / good)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif"])
def test_only_own_pictures_are_overwritten(tmp_path: Path, name: str) -> None:
    target, picture = tmp_path / name, Image.new("RGB", (4, 3))
    picture.save(target)
    before = state(tmp_path)
    with pytest.raises(UsageError, match="may be a photo"):
        ensure_picture_writable(target)
    (tmp_path / f"link-{name}").symlink_to(target)
    with pytest.raises(UsageError, match="may be a photo"):
        ensure_picture_writable(tmp_path / f"link-{name}")
    (tmp_path / f"link-{name}").unlink()
    assert state(tmp_path) == before
    target.write_bytes(b"")  # as mktemp makes it
    for _ in range(2):
        ensure_picture_writable(target)
        save_picture(picture, target)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the names of open files")
def test_a_file_is_on_the_disk_before_its_name_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, calls = tmp_path / "new" / "folder" / "file", []
    real = os.fsync

    def fsync(number: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{number}"))
        calls.append((path.relative_to(tmp_path).as_posix(), target.exists()))
        real(number)

    monkeypatch.setattr(os, "fsync", fsync)
    create_folder(target.parent)
    assert calls == [("new", False), (".", False)]
    calls.clear()
    with write_atomically(target) as unfinished:
        unfinished.write_text("whole")
    name = unfinished.relative_to(tmp_path).as_posix()
    assert calls == [(name, False), ("new/folder", True)]
    create_folder(target.parent)
    assert len(calls) == 2


def test_a_folder_that_cannot_be_synced_is_no_error_on_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(number: int) -> None:
        raise OSError(numbers.pop(), "from the disk")

    monkeypatch.setattr(os, "fsync", fail)
    numbers = [errno.EINVAL]
    sync_folder(tmp_path)
    numbers = [errno.EIO]
    with pytest.raises(OSError, match="from the disk"):
        sync_folder(tmp_path)


def test_saving_refuses_a_photo_too(tmp_path: Path) -> None:
    Image.new("RGB", (4, 3)).save(tmp_path / "photo.jpg")
    before = state(tmp_path)
    with pytest.raises(UsageError, match="may be a photo"):
        save_picture(Image.new("RGB", (40, 30)), tmp_path / "photo.jpg")
    assert state(tmp_path) == before


def test_an_output_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"old")

    def fail(file: Path) -> None:
        file.write_bytes(b"half of the ne")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    reason = "out: cannot be written: No space left on device"
    with pytest.raises(UsageError, match=reason), write_output(tmp_path / "out") as unfinished:
        fail(unfinished)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"out": b"old"}


def test_the_target_of_a_link_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "out").write_bytes(b"old")
    (tmp_path / "link").symlink_to("deep/out")
    with write_output(tmp_path / "link") as unfinished:
        unfinished.write_bytes(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "deep" / "out").read_bytes() == b"new"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this machine has no /dev/full")
def test_devices_are_written_directly() -> None:
    with (
        pytest.raises(UsageError, match="No space left on device"),
        write_output(Path("/dev/full")) as device,
    ):
        device.write_bytes(b"text")
