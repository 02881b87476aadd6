"""Segments: as they were written or refused, never half there, and merged as often as one likes."""

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

import samples
from environment import Run
from resight.backends.manage import remove
from resight.collection import Collection
from resight.descriptors.extractor import Description
from resight.errors import CollectionMismatchError, SegmentError, UsageError
from resight.indexing.cluster.merge import merge
from resight.indexing.cluster.segments import (
    MARK,
    Segment,
    decode,
    encode,
    find_segments,
    read_segment,
    segment_name,
    write_segment,
)
from resight.indexing.extraction import PhotoResult
from resight.photos.files import PhotoFile


def segment(count: int = 3, dtype: str = "float32", local: bool = False) -> Segment:
    """Described photos, a copy of the first, and one that failed."""
    values = np.random.default_rng(0).random((count, 5)).astype(dtype)
    results = [
        PhotoResult(
            PhotoFile(Path(f"/photos/{i}\udcff ü.jpg"), 10 + i, i * 10**18),
            f"{i:064x}",
            (4, 3),
            Description(values[i], values[-1 - i] if local else None),
        )
        for i in range(count)
    ]
    copy = replace(results[0], file=PhotoFile(Path("/copy.jpg"), 10, 0), description=None)
    failed = PhotoResult(PhotoFile(Path("/photos/bad.jpg"), 0, 1), reason="an empty file")
    return Segment("f" * 64, (copy, *results, failed))


def written(folder: Path, segment: Segment) -> Path:
    files = [result.file for result in segment.results]
    path = folder / segment_name(segment.fingerprint, files)
    write_segment(path, encode(segment))
    return path


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("local", [False, True])
def test_a_segment_is_read_as_it_was_written(tmp_path: Path, dtype: str, local: bool) -> None:
    original = segment(3, dtype, local)
    path = written(tmp_path / "new", original)
    assert find_segments(tmp_path / "new") == [path]
    assert list(path.parent.iterdir()) == [path]
    found = read_segment(path)
    assert found.fingerprint == original.fingerprint
    for ours, theirs in zip(found.results, original.results, strict=True):
        assert replace(ours, description=None) == replace(theirs, description=None)
        assert (ours.description is None) == (theirs.description is None)
        if ours.description is not None and theirs.description is not None:
            assert ours.description.global_.dtype == dtype
            assert ours.description.global_.tobytes() == theirs.description.global_.tobytes()
            assert (ours.description.local is None) == (not local)
            assert np.array_equal(ours.description.local, theirs.description.local) or not local
    assert encode(found) == encode(original)


def test_a_segment_may_hold_only_failures(tmp_path: Path) -> None:
    failures = Segment("f" * 64, segment().results[-1:])
    assert read_segment(written(tmp_path, failures)) == failures


def test_every_damage_is_found_and_named() -> None:
    whole = encode(segment())
    for place in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        with pytest.raises(SegmentError, match="a file: not a segment, or damaged"):
            decode(bytes(damaged), "a file")
    for length in (0, 7, 39, 40, 41, len(whole) // 2, len(whole) - 1):
        with pytest.raises(SegmentError, match="damaged"):
            decode(whole[:length], "a file")


@pytest.mark.parametrize(
    "photo",
    [
        ["/a.jpg", 9, 7, "0" * 64, [4, 3], None, 5],  # no such descriptor
        ["/a.jpg", 9, 7, None, [4, 3], None, 0],  # described, but of unknown content
        ["/a.jpg", 2**63, 7, "0" * 64, [4, 3], None, 0],
        ["/a\0.jpg", 9, 7, "0" * 64, [4, 3], None, 0],
        ["/a.jpg", 9, 7, "short", [4, 3], None, 0],
        ["/a.jpg"],
        7,
    ],
)
def test_a_malformed_segment_with_a_checksum_that_fits_is_refused(photo: object) -> None:
    def body(entry: object) -> bytes:
        metadata = json.dumps({"fingerprint": "f" * 64, "photos": [entry]})
        content = save({"global": np.ones((1, 4), np.float32)}, {"segment": metadata})
        return content + MARK + hashlib.sha256(content).digest()

    valid = ["/a.jpg", 9, 7, "0" * 64, [4, 3], None, 0]
    assert decode(body(valid), "a file").results[0].pixels == (4, 3)
    with pytest.raises(SegmentError, match="a file: not a segment, or damaged"):
        decode(body(photo), "a file")


def test_the_name_tells_what_is_described() -> None:
    files = [result.file for result in segment().results]
    name = segment_name("f" * 64, files)
    assert name == segment_name("f" * 64, list(files))
    others = [
        segment_name("e" * 64, files),
        segment_name("f" * 64, files[1:]),
        segment_name("f" * 64, files[::-1]),
        segment_name("f" * 64, [replace(files[0], mtime_ns=5), *files[1:]]),
    ]
    assert len({name, *others}) == 5


def test_a_segment_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SegmentError, match="file"):
        written(tmp_path / "file", segment())
    assert (tmp_path / "file").read_text() == ""


def test_a_full_disk_is_reported_and_leaves_nothing(tmp_path: Path) -> None:
    code = (
        "import pathlib; from resight.indexing.cluster.segments import write_segment; "
        "from resight.errors import SegmentError\n"
        f"folder = pathlib.Path({str(tmp_path)!r})\n"
        "try: write_segment(folder / 'large', bytes(500_000))\n"
        "except SegmentError as error: print(error, list(folder.iterdir()))\n"
    )
    command = [*samples.on_small_disk(tmp_path, 64), sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"{tmp_path}: the disk is full; free some space and run again []\n"


# Merging


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    """Four photos, one of them damaged, indexed."""
    samples.draw_many(tmp_path / "photos", 3)
    (tmp_path / "photos" / "bad.png").write_bytes(b"no picture")
    samples.index(tmp_path / "photos", tmp_path / "collection")
    return tmp_path / "collection"


def segment_of(collection: Path, target: Path, fingerprint: str | None = None) -> Path:
    """Write everything that a collection holds as a segment."""
    with Collection.open(collection) as opened:
        results = []
        for photo in opened.photos():
            file = PhotoFile(photo.path, photo.size, photo.mtime_ns)
            stored = opened.descriptors(str(photo.content))
            described = None if stored is None else Description(stored.global_, stored.local)
            pixels = (photo.width, photo.height) if described else None
            results.append(PhotoResult(file, photo.content, pixels, described, photo.reason))
        complete = Segment(fingerprint or opened.meta("fingerprint"), tuple(results))
    return written(target, complete)


def emptied(collection: Path) -> None:
    """Remove all photos of a collection, but not its provenance."""
    with Collection.open(collection) as opened:
        paths = [photo.path for photo in opened.photos()]
    remove(paths, collection, everything=True)


def test_merged_as_it_was_described_and_again_without_effect(
    collection: Path, tmp_path: Path, resight: Run
) -> None:
    before = samples.contents(collection)
    segment_of(collection, tmp_path / "segments")
    emptied(collection)
    done = resight("merge", tmp_path / "segments", "-c", collection)
    assert (done.returncode, done.stdout) == (0, "")
    assert f"{collection}: 3 photos (3 new, 1 failed)" in done.stderr
    assert f"{tmp_path}/photos/bad.png: not an image, or damaged beyond recognition" in done.stderr
    merged = samples.contents(collection)
    assert [row[1:] for row in merged["photos"]] == [row[1:] for row in before["photos"]]
    assert merged["descriptors"] == before["descriptors"]
    stamp = samples.stamp(collection)
    again = merge([tmp_path / "segments"], collection)
    assert (again.report.new, again.report.changed, again.report.unchanged) == (0, 0, 3)
    assert samples.contents(collection) == merged
    assert samples.stamp(collection) == stamp
    samples.assert_whole(collection)


def test_an_old_segment_changes_nothing_that_is_newer(collection: Path, tmp_path: Path) -> None:
    old = segment_of(collection, tmp_path / "segments")
    samples.draw(tmp_path / "photos" / "001.png", 77)
    samples.draw(tmp_path / "photos" / "bad.png", 78)
    samples.index(tmp_path / "photos", collection)
    before = samples.photos_by_name(collection)["001.png"]
    run = merge([old], collection)
    assert samples.photos_by_name(collection)["001.png"] == before
    assert (run.photos, run.report.unchanged) == (4, 4)


def test_a_photo_without_descriptors_anywhere_is_a_failure(
    collection: Path, tmp_path: Path
) -> None:
    path = segment_of(collection, tmp_path / "segments")
    complete = read_segment(path)
    bare = tuple(replace(result, description=None) for result in complete.results)
    write_segment(path, encode(replace(complete, results=bare)))
    emptied(collection)
    run = merge([path], collection)
    assert run.photos == 0
    assert [reason for _, reason in run.report.failed][:1] == [
        "is not described yet; index it again"
    ]
    samples.assert_whole(collection)


def test_what_cannot_be_merged_is_refused(collection: Path, tmp_path: Path, resight: Run) -> None:
    before = samples.contents(collection)
    other = segment_of(collection, tmp_path / "other", "e" * 64)
    with pytest.raises(CollectionMismatchError, match=f"{other.name}: has another configuration"):
        merge([other], collection)
    (tmp_path / "empty").mkdir()
    for path, reason in ((tmp_path / "empty", "no segments there"), (tmp_path / "x", "no such")):
        with pytest.raises(UsageError, match=reason):
            merge([path], collection)
    damaged = segment_of(collection, tmp_path / "damaged")
    damaged.write_bytes(damaged.read_bytes()[:-1])
    done = resight("merge", tmp_path / "damaged", "-c", collection)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"resight: {damaged}: not a segment, or damaged; delete it and index its photos again\n"
    )
    none = resight("merge", damaged, "-c", tmp_path / "nowhere")
    assert (none.returncode, none.stderr.count("\n")) == (2, 1)
    assert "no collection here" in none.stderr
    assert samples.contents(collection) == before
