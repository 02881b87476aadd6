"""Operations on a tiny collection, each with the state before it and the state it must reach."""

import dataclasses
import os
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import moving
from operation import Operation, State, read_state, start_from

import samples
from resight.backends import open_store
from resight.backends.hints import decide
from resight.backends.manage import remove
from resight.backends.names import name
from resight.backends.transfer import pull, push
from resight.collection import Collection
from resight.collection.integrity import check
from resight.collection.search_arrays import load_arrays
from resight.config import LocalConfig, SearchConfig, WccnConfig
from resight.descriptors.extractor import Description
from resight.errors import CollectionError, UsageError
from resight.indexing.cluster.merge import merge
from resight.indexing.cluster.segments import Segment, encode, write_segment
from resight.indexing.extraction import PhotoResult
from resight.indexing.fitting import fit
from resight.indexing.pipeline import index
from resight.methods.model import ModelOptions
from resight.photos.files import PhotoFile
from resight.progress import Progress
from resight.searching import search

PHOTOS = 8
METHOD = LocalConfig(
    method="local", aggregation="vlad", longest_side=128, max_keypoints=60, centers=2, sample=4000
)
ADAPTED = WccnConfig(min_photos=4, copies=2, features=4, neighbors=3)


def prepare(folder: Path) -> list[Operation]:
    """Draw photos, make the collections to start from, and the states to reach."""
    photos = folder / "photos"
    drawn = samples.draw_many(photos, PHOTOS)
    half, whole, plain, mixed = (folder / name for name in ("half", "whole", "plain", "mixed"))
    index(drawn[: PHOTOS // 2], half, config=(METHOD, ADAPTED))
    index([photos], whole, config=(METHOD, ADAPTED))
    index([photos], plain, config=(METHOD, ADAPTED), evidence=False)
    for collection in (half, whole, plain):
        _arrays(collection, lambda *_: None)
    changing = folder / "changing"
    mixed_photos = samples.draw_many(changing, PHOTOS)
    index([changing], mixed, config=(METHOD, ADAPTED))
    samples.draw(mixed_photos[0], 100)
    (changing / "album").mkdir()
    mixed_photos[1].rename(changing / "album" / "moved.png")
    mixed_photos[2].unlink()
    samples.draw(changing / "new.png", 101)
    (changing / "broken.jpg").write_text("no photo")
    segments = _segments(whole, folder / "segments")
    rest = Path(shutil.copytree(whole, folder / "rest"))
    remove(drawn[PHOTOS // 2 :], rest)
    address = f"qdrant+file://{folder}/qdrant/pushed"
    push(whole, address)
    operations = [
        Operation("index: a new collection", folder / "none", _index([photos])),
        Operation("index: more photos", half, _index([photos])),
        Operation(
            "index: changed, moved, gone",
            mixed,
            _index([changing], prune=True),
            photos="changing",
        ),
        Operation(
            "index: evidence", plain, _index([photos], evidence=True), "evidence", "evidence"
        ),
        Operation("index: approximate", whole, _index([photos], approximate=True)),
        Operation("search: arrays", half, _arrays),
        Operation("remove", whole, _remove(drawn[1:4])),
        Operation("fit", whole, _fit(method="pfa", features=8)),
        Operation("adapt", whole, _fit(copies=3), "copies", "adapting"),
        Operation("merge", rest, _merge(segments)),
        Operation("push", whole, _push, again=_push_again, confirm=_not_pushed),
        Operation("pull", folder / "none", _pull(address)),
        Operation("decide", whole, _decide(drawn)),
        Operation("name", whole, _name(drawn)),
        Operation("check", whole, _check),
        Operation("serve: index job", half, _job("index", [photos])),
        Operation("serve: remove job", whole, _job("remove", [2, 3])),
        *moving.operations(folder, (METHOD, ADAPTED)),
    ]
    return [_with_states(operation, folder) for operation in operations]


def _with_states(operation: Operation, folder: Path) -> Operation:
    place = folder / "world" / "c"
    start_from(operation, place)
    former = read_state(place)
    operation.run(place, lambda *_: None)
    after = read_state(place)
    found = results(place, after)
    return dataclasses.replace(operation, former=former, after=after, found=found)


def results(folder: Path, state: State) -> list[tuple[str, float]]:
    """Search for one of the photos of a state; return names and distances."""
    paths = (Path(os.fsdecode(p)) for p, row in state["photos"].items() if row[1] == "ok")
    query = min(path for path in paths if path.exists())
    found = search(query, folder, SearchConfig(k=PHOTOS)).results
    return sorted((result.path.name, round(result.distance, 4)) for result in found)


def _index(photos: list[Path], **options: Any) -> Callable[[Path, Progress], object]:
    def run(folder: Path, progress: Progress) -> object:
        return index(photos, folder, config=(METHOD, ADAPTED), progress=progress, **options)

    return run


def _arrays(folder: Path, progress: Progress) -> object:
    with Collection.open(folder) as opened:
        shutil.rmtree(folder / "arrays", ignore_errors=True)
        return load_arrays(opened)


def _remove(paths: list[Path]) -> Callable[[Path, Progress], object]:
    def run(folder: Path, progress: Progress) -> object:
        with Collection.open(folder) as opened:
            left = [path for path in paths if opened.photo_at(path)]
        return remove(left, folder) if left else None

    return run


def _fit(**changes: Any) -> Callable[[Path, Progress], object]:
    return lambda folder, progress: fit(folder, progress=progress, **changes)


def _segments(source: Path, folder: Path) -> Path:
    with Collection.open(source) as opened:
        fingerprint = str(opened.meta("fingerprint"))
        for number, photo in enumerate(opened.photos("ok")):
            content = str(photo.content)
            stored = opened.descriptors(content)
            assert stored is not None
            evidence = opened.evidence([content])[content]
            result = PhotoResult(
                PhotoFile(photo.path, photo.size, photo.mtime_ns),
                content,
                (photo.width or 0, photo.height or 0),
                Description(stored.global_, evidence=evidence),
            )
            data = encode(Segment(fingerprint, (result,)))
            write_segment(folder / f"{number}.segment", data)
    return folder


def _merge(segments: Path) -> Callable[[Path, Progress], object]:
    return lambda folder, progress: merge(segments, folder, progress=progress)


def _push(folder: Path, progress: Progress) -> object:
    return push(folder, f"qdrant+file://{folder.parent}/qdrant/pushed", progress=progress)


def _push_again(folder: Path, progress: Progress) -> object:
    """Push; Qdrant's client damages its own files, which are removed as the error says."""
    try:
        _push(folder, progress)
    except CollectionError as error:
        if "remove it there" not in str(error):
            raise
        shutil.rmtree(folder.parent / "qdrant")
        _push(folder, progress)
    missing = _not_pushed(folder)
    if missing:
        raise AssertionError(missing)
    return None


def _not_pushed(folder: Path) -> str | None:
    with open_store(f"qdrant+file://{folder.parent}/qdrant/pushed") as store:
        count = store.count("ok")
    return None if count == PHOTOS else f"{count} of {PHOTOS} photos were pushed"


def _pull(address: str) -> Callable[[Path, Progress], object]:
    return lambda folder, progress: pull(address, folder, progress=progress)


def _decide(paths: Iterable[Path]) -> Callable[[Path, Progress], object]:
    chosen = list(paths)

    def run(folder: Path, progress: Progress) -> object:
        return [
            decide("same", chosen[:2], folder),
            decide("different", chosen[2:4], folder),
            decide("keep", chosen[4:5], folder),
        ]

    return run


def _name(paths: list[Path]) -> Callable[[Path, Progress], object]:
    def run(folder: Path, progress: Progress) -> object:
        return [
            name("our boat", paths[:2], folder),
            name("Our Boat", paths[2:4], folder),
            name("a hat", paths[4:6], folder),
            name("a hat", paths[4:5], folder, remove=True),
        ]

    return run


def _check(folder: Path, progress: Progress) -> object:
    return check(folder, read_photos=True)


def _job(action: str, items: list[Any]) -> Callable[[Path, Progress], object]:
    def run(folder: Path, progress: Progress) -> object:
        from resight.web import WebSettings, index_jobs, job_routes, job_schemas
        from resight.web.app_state import AppState

        folders = tuple(items) if action == "index" else ()
        state = AppState(folder, WebSettings(index_folders=folders), ModelOptions())
        try:
            if action == "index":
                names = [str(each) for each in folders]
                request = job_schemas.JobRequest(action="index", folders=names)
                task = index_jobs.index_task(request, state)
            else:
                present = state.service.current_store().photos_by_id(items)
                task = job_routes._remove_task(list(present), state)
            job = state.jobs.start(
                action, lambda inner: task(lambda *a: (inner(*a), progress(*a))[0])
            )
            while job.state == "running":
                time.sleep(0.001)
            if job.state == "failed":
                raise UsageError(str(job.detail))
            return job
        finally:
            state.close()

    return run
