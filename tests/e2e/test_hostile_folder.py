"""A folder of broken and odd files: each one is indexed, or listed with a reason."""

from broken_photos import make_files
from resight.collection import Collection
from resight.photos.images import PHOTO_SUFFIXES


def test_every_broken_file_is_indexed_or_listed(tmp_path, resight):
    folder = tmp_path / "photos"
    folder.mkdir()
    files = make_files(folder)
    config = tmp_path / "small.toml"
    config.write_text('method = "sift-vlad"\nlongest_side = 64\ncenters = 4\nmax_keypoints = 50\n')
    run = resight("index", folder, "-c", tmp_path / "c", "--config", config)
    assert run.returncode == 0, run.stderr[-2000:]
    assert "Traceback" not in run.stderr
    assert run.stdout == ""
    with Collection.open(tmp_path / "c") as collection:
        photos = {photo.path: photo for photo in collection.photos()}
    failed = [photo for photo in photos.values() if photo.state == "failed"]
    assert len(failed) >= 200
    assert all(photo.reason and "\n" not in photo.reason for photo in failed)
    listed = run.stderr.splitlines()
    assert f"{len(failed)} could not be read:" in listed
    for file in files:
        is_photo = file.path.suffix.lower() in PHOTO_SUFFIXES and file.path.name[0] != "."
        if is_photo and file.expect == "loads":
            # A link to another of the files is that photo.
            photo = photos.get(file.path) or photos[file.path.resolve()]
            assert photo.state == "ok", (file.path, photo.reason)
