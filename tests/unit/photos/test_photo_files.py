"""Discovery of photos in folders and files, and reports of the rest."""

import os
from collections import Counter
from pathlib import Path

import pytest

from resight.errors import UsageError
from resight.photos import absolute, is_under, open_photo
from resight.photos.files import COLLECTION_MARK, PhotoFile, find_photos


def touch(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def found(*places: Path) -> list[Path]:
    return [file.path for file in find_photos(places).photos]


def test_folders_are_searched_to_the_bottom_in_the_order_of_the_paths(tmp_path: Path) -> None:
    names = ["b.jpg", "a/z.jpg", "a/b/c/d/e.png", "a.jpg", "c/.jpg.webp"]
    paths = [touch(tmp_path / name) for name in names]
    assert found(tmp_path) == sorted(paths[:4])


def test_a_photo_comes_with_its_size_and_time(tmp_path: Path) -> None:
    path = touch(tmp_path / "a.jpg", b"12345")
    os.utime(path, ns=(0, 1_234_567_890_123_456_789))
    (photo,) = find_photos([tmp_path]).photos
    assert photo == PhotoFile(path, 5, 1_234_567_890_123_456_789)
    status = path.stat()
    assert (photo.ctime_ns, photo.inode) == (status.st_ctime_ns, status.st_ino)
    assert photo.device == status.st_dev


@pytest.mark.parametrize(
    "name",
    [
        "A.JPG",
        "a.Jpeg",
        "a.PNG",
        "a.TiF",
        "a.tiff",
        "a.webp",
        "a.bmp",
        "a.GIF",
        "a.AVIF",
        "a.heic",
        "a.HEIF",
        "a.b.jfif",
    ],
)
def test_suffixes_of_photos_in_any_case(tmp_path: Path, name: str) -> None:
    path = touch(tmp_path / name)
    assert found(tmp_path) == [path]


def test_other_files_are_counted_by_suffix(tmp_path: Path) -> None:
    for name in ("a.txt", "b.TXT", "c.mov", "README", "jpg", ".hidden.jpg", ".DS_Store", "d.jpg"):
        touch(tmp_path / name)
    scan = find_photos([tmp_path])
    assert [file.path.name for file in scan.photos] == ["d.jpg"]
    assert scan.ignored == Counter({".txt": 2, ".mov": 1, "no suffix": 2, ".hidden": 2})
    assert scan.unreadable == []


def test_hidden_folders_are_passed_over(tmp_path: Path) -> None:
    touch(tmp_path / ".thumbnails" / "a.jpg")
    path = touch(tmp_path / "shown" / "a.jpg")
    assert found(tmp_path) == [path]


def test_a_hidden_place_is_searched_when_it_is_named(tmp_path: Path) -> None:
    path = touch(tmp_path / ".photos" / "a.jpg")
    assert found(tmp_path / ".photos") == [path]


NAMES = [
    "Ærøskøbing.jpg",
    "北京 天坛.jpg",
    "Ελλάδα.JPG",
    "القاهرة.jpg",
    "e\u0301 decomposed.jpg",
    "📷🏛️.jpg",
    " spaces .jpg",
    "new\nline.jpg",
    "tab\tbell\a.jpg",
    "-dash.jpg",
    "[rich] %s {0} $HOME 'q' \"q\".jpg",
    "\\back\\slash.jpg",
    "ü" * 120 + ".jpg",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_in_any_language(tmp_path: Path, name: str) -> None:
    path = touch(tmp_path / "Straße" / name)
    assert found(tmp_path) == [path]
    assert found(path) == [path]


def test_names_that_are_no_text(tmp_path: Path) -> None:
    raw = os.path.join(os.fsencode(tmp_path), b"caf\xe9-\xff\xfe.jpg")
    try:
        with open(raw, "wb") as file:
            file.write(b"x")
    except OSError:
        pytest.skip("this file system accepts only text names")
    (photo,) = find_photos([tmp_path]).photos
    assert os.fsencode(photo.path) == raw


# Links


def test_linked_files_and_folders_are_followed(tmp_path: Path) -> None:
    outside = touch(tmp_path / "outside" / "a.jpg")
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "file.jpg").symlink_to(outside)
    (photos / "folder").symlink_to(outside.parent)
    (photos / "other.jpg").symlink_to(touch(tmp_path / "b.jpg"))
    assert found(photos) == [photos / "folder" / "a.jpg", photos / "other.jpg"]
    # One file is one photo, at the path that is no link.
    assert find_photos([photos]).aliases == {photos / "file.jpg": photos / "folder" / "a.jpg"}


def test_loops_of_folders_end(tmp_path: Path) -> None:
    path = touch(tmp_path / "a" / "b" / "photo.jpg")
    (path.parent / "up").symlink_to(tmp_path / "a")
    (path.parent / "here").symlink_to(path.parent)
    (tmp_path / "a" / "top").symlink_to(tmp_path, target_is_directory=True)
    scan = find_photos([tmp_path])
    assert [file.path for file in scan.photos] == [path]
    assert scan.unreadable == []


def test_links_that_lead_nowhere_are_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nothing")
    (tmp_path / "self.jpg").symlink_to(tmp_path / "self.jpg")
    (tmp_path / "one.jpg").symlink_to(tmp_path / "two.jpg")
    (tmp_path / "two.jpg").symlink_to(tmp_path / "one.jpg")
    (tmp_path / "folder").symlink_to(tmp_path / "folder")
    scan = find_photos([tmp_path])
    assert scan.photos == []
    assert {path.name for path, _ in scan.unreadable} == {
        "gone.jpg",
        "self.jpg",
        "one.jpg",
        "two.jpg",
    }
    assert all(reason for _, reason in scan.unreadable)


@pytest.mark.timeout(20)
def test_pipes_are_named_and_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    for place in (tmp_path, tmp_path / "pipe.jpg"):
        scan = find_photos([place])
        assert scan.photos == []
        assert scan.unreadable == [(tmp_path / "pipe.jpg", "not a regular file")]


@pytest.mark.timeout(20)
def test_what_has_become_a_pipe_since_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(OSError, match="not a regular file"):
        open_photo(tmp_path / "pipe.jpg")
    with pytest.raises(IsADirectoryError):
        open_photo(tmp_path)


def test_a_folder_with_the_name_of_a_photo_is_a_folder(tmp_path: Path) -> None:
    path = touch(tmp_path / "folder.jpg" / "a.jpg")
    assert found(tmp_path) == [path]


# Collections and places


def test_a_collection_among_the_photos_is_passed_over(tmp_path: Path) -> None:
    path = touch(tmp_path / "a.jpg")
    touch(tmp_path / "collection" / COLLECTION_MARK)
    touch(tmp_path / "collection" / "sheet.jpg")
    touch(tmp_path / "collection" / "arrays" / "b.jpg")
    scan = find_photos([tmp_path])
    assert [file.path for file in scan.photos] == [path]
    assert scan.ignored == Counter()
    assert found(tmp_path / "collection") == []


@pytest.mark.parametrize("name", ["photo", "photo.txt", ".hidden.jpg", "photo.jpg"])
def test_a_named_file_is_indexed_with_any_suffix(tmp_path: Path, name: str) -> None:
    path = touch(tmp_path / name)
    assert found(path) == [path]


def test_a_place_that_is_missing_is_refused(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg")
    with pytest.raises(UsageError, match=r"nowhere: no such file or folder"):
        find_photos([tmp_path, tmp_path / "nowhere"])


def test_a_link_to_nowhere_as_a_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nothing")
    assert find_photos([tmp_path / "gone.jpg"]).unreadable == [
        (tmp_path / "gone.jpg", "No such file or directory")
    ]


def test_each_photo_is_found_once(tmp_path: Path) -> None:
    path = touch(tmp_path / "a" / "photo.jpg")
    scan = find_photos([tmp_path, tmp_path, path, path.parent, tmp_path / "a" / ".." / "a"])
    assert [file.path for file in scan.photos] == [path]


def test_an_empty_folder_has_no_photos(tmp_path: Path) -> None:
    assert find_photos([tmp_path]).photos == []
    assert find_photos([]).photos == []


def test_a_folder_that_cannot_be_read_is_named_and_the_others_are_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shut = touch(tmp_path / "shut" / "a.jpg").parent
    path = touch(tmp_path / "open" / "b.jpg")
    scandir = os.scandir

    def guarded(folder: str) -> object:  # permissions do not hold for root
        if Path(folder) == shut:
            raise PermissionError(13, "Permission denied", os.fspath(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", guarded)
    scan = find_photos([tmp_path])
    assert [file.path for file in scan.photos] == [path]
    assert scan.unreadable == [(shut, "folder: Permission denied")]


# Paths


def test_relative_places_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = touch(tmp_path / "photos" / "a.jpg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for place in ("photos", "./photos", "photos/../photos", "~/photos"):
        assert found(Path(place)) == [path]


def test_absolute_keeps_links_as_they_were_named(tmp_path: Path) -> None:
    touch(tmp_path / "real" / "a.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert absolute(tmp_path / "link" / "a.jpg") == tmp_path / "link" / "a.jpg"


def test_is_under_takes_whole_names() -> None:
    places = [Path("/photos/a"), Path("/photos/b.jpg")]
    inside = ["/photos/a", "/photos/a/x.jpg", "/photos/a/b/c", "/photos/b.jpg"]
    outside = ["/photos", "/photos/ab", "/photos/ab/x.jpg", "/photos/b.jpg2", "/"]
    assert all(is_under(Path(path), places) for path in inside)
    assert not any(is_under(Path(path), places) for path in outside)
    assert not is_under(Path("/photos"), [])


@pytest.mark.parametrize("text", ["a\0b", "~\0", "/a\0"])
def test_a_path_with_a_nul_is_refused(text):
    with pytest.raises(UsageError, match="holds a NUL"):
        absolute(Path(text))
