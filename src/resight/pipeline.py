"""Everything Resight does, one function each: the command line and the Python API stand on these.

The functions take paths and options, open and close what they need, and return small frozen
results. Long ones report to a `progress` function of what, how many done, how many in all.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resight.collection import Collection
from resight.config import (
    ExtractionConfig,
    MethodConfig,
    SearchConfig,
    SelectionConfig,
    load_config,
    to_dict,
)
from resight.errors import CollectionMismatch, DatasetError, ImageError, UsageError
from resight.evaluation import Report, evaluate_groups, read_groups
from resight.extractor import Extractor
from resight.files import absolute, find_photos, is_under
from resight.fitting import (
    MIN_PHOTOS_TO_FIT,
    FitRun,
    fit_collection_selection,
    fit_collection_vocabulary,
    fit_missing_selection,
)
from resight.groups import Groups, find_groups
from resight.images import Box, load_image
from resight.indexing import IndexReport, Plan, Progress, plan_run, run_plan
from resight.methods import (
    ModelOptions,
    cnn_extractor,
    cnn_model,
    collection_extractor,
    vocabulary_model,
)
from resight.neighbors import Query, distances_to, ranking
from resight.searching import Searcher, SearchResults
from resight.writer import Writer, writing


def no_progress(what: str, done: int, total: int) -> None:
    """A progress function that tells nobody."""


@dataclass(frozen=True)
class IndexRun:
    """What `index` did: the report of the photos, and what it says of the selection."""

    report: IndexReport
    photos: int
    selection_note: str | None


def index(
    photos: Sequence[Path],
    collection: Path,
    *,
    config: str | MethodConfig | None = None,
    cam: bool | None = None,
    model: ModelOptions | None = None,
    workers: int = 1,
    prune: bool = False,
    progress: Progress = no_progress,
) -> IndexRun:
    """Bring a collection up to date with the photos under some folders and files.

    New and changed photos are described, moved ones recognised by their content, files that
    cannot be read are listed. An interrupt (Ctrl-C) ends the run cleanly; the next run goes on.

    Args:
        photos: folders (searched recursively) and files.
        collection: the collection's folder, made where it does not exist.
        config: a preset, a TOML file or a configuration; None is the collection's own, `paper`
            for a new one.
        cam: class activation maps on or off; None as the configuration says.
        model: weights and device.
        workers: threads that prepare photos while the network works.
        prune: remove photos from the collection that are gone from the disk.
        progress: called after each photo.

    Raises:
        UsageError: a path does not exist, or a new collection would be empty.
        CollectionError: see `resight.errors`.
        WeightsError: photos are to be described and no weights are found.
    """
    model = model or ModelOptions()
    places = [absolute(path) for path in photos]
    walk = find_photos(places)
    new, loaded = None, None
    if Collection.exists(collection):
        with Collection.open(collection) as existing:
            _check_wanted(existing, config, cam)
    else:
        new = _settings(config, cam)
        if not walk.photos:
            names = ", ".join(map(str, photos))
            raise UsageError(f"{names}: no photos there, so there is nothing to index")
        if isinstance(new[0], ExtractionConfig):
            # Without a network that can be used there shall be no empty collection, nor one that
            # remembers those weights.
            loaded = cnn_extractor(new[0], cnn_model(new[0], model), model.device)
    with writing(collection, new) as writer:
        plan = plan_run(writer.collection, places, walk)
        extractor = _extractor_for(writer, plan, model, loaded, progress)
        report = run_plan(writer, plan, extractor, workers=workers, progress=progress)
        if prune and not report.interrupted:
            gone = set(report.vanished)
            writer.remove([photo for photo in plan.vanished if photo.path in gone])
            report.pruned = len(gone)
        described = report.new + report.changed > 0
        # A run that was killed before it fitted leaves that to the next one, which finds all known.
        enough = writer.collection.count("ok") >= MIN_PHOTOS_TO_FIT
        fits = (described or enough) and not report.interrupted
        note = fit_missing_selection(writer, progress) if fits else None
        return IndexRun(report, writer.collection.count("ok"), note)


def fit(
    collection: Path,
    *,
    source: Path | None = None,
    progress: Progress = no_progress,
    **changes: Any,
) -> FitRun:
    """Fit the selection of a collection (anew).

    Args:
        collection: the collection's folder.
        source: another collection of the same configuration to fit on instead of itself.
        progress: called before and after.
        **changes: fields of `SelectionConfig` that shall differ from the collection's
            configuration, such as `features` or `seed`; None leaves a field as it is.

    Raises:
        FitError: too few photos, or fewer usable values than `features`.
    """
    changes = {name: value for name, value in changes.items() if value is not None}
    with writing(collection) as writer:
        config = dataclasses.replace(writer.collection.selection_config, **changes)
        if source is None:
            return fit_collection_selection(writer, config, writer.collection, progress)
        with Collection.open(source) as other:
            if other.meta("fingerprint") != writer.collection.meta("fingerprint"):
                raise CollectionMismatch(
                    f"{source}: has another configuration or other weights than {collection}"
                )
            return fit_collection_selection(writer, config, other, progress)


def search(
    query: Path,
    collection: Path,
    config: SearchConfig | None = None,
    *,
    box: Box | None = None,
    model: ModelOptions | None = None,
) -> SearchResults:
    """The photos of a collection nearest to a photo or a region of it; see `Searcher.search`."""
    with Collection.open(collection) as opened:
        return Searcher(opened, model).search(query, config or SearchConfig(), box)


@dataclass(frozen=True)
class Described:
    """Descriptors of photos, before selection.

    Attributes:
        paths: the photos that could be read, absolute, in the order they were named.
        descriptors: float32 (N, D).
        local: float32 (N, D) with class activation maps, else None.
        failed: path and reason of the others.
    """

    paths: list[Path]
    descriptors: np.ndarray
    local: np.ndarray | None
    failed: list[tuple[Path, str]]

    def save(self, path: Path) -> None:
        """Write `paths`, `descriptors` and, if there, `local` as an `.npz` file."""
        arrays = {"paths": np.array([str(p) for p in self.paths]), "descriptors": self.descriptors}
        if self.local is not None:
            arrays["local"] = self.local
        try:
            with path.open("wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
        except OSError as error:
            raise UsageError(f"{path}: cannot be written: {error.strerror or error}") from None


def describe(
    images: Sequence[Path],
    *,
    config: str | MethodConfig | None = None,
    cam: bool | None = None,
    model: ModelOptions | None = None,
    progress: Progress = no_progress,
) -> Described:
    """Descriptors of photos (folders are searched), without a collection and before selection.

    Raises:
        UsageError: a path does not exist, no photo can be read, or the method needs a collection.
        WeightsError: there are no weights.
    """
    method, _ = _settings(config, cam)
    if not isinstance(method, ExtractionConfig):
        raise UsageError("describe: sift-vlad needs a vocabulary, which is fitted by index")
    model = model or ModelOptions()
    walk = find_photos(images)
    extractor = cnn_extractor(method, cnn_model(method, model), model.device)
    paths, descriptions, failed = [], [], list(walk.unreadable)
    for done, file in enumerate(walk.photos, 1):
        try:
            image = load_image(file.path, extractor.decode_at)
            descriptions.append(extractor.describe(extractor.prepare(image)))
            paths.append(file.path)
        except ImageError as error:
            failed.append((file.path, str(error)))
        progress("describing", done, len(walk.photos))
    if not paths:
        reasons = "; ".join(f"{path}: {reason}" for path, reason in failed[:3])
        raise UsageError(f"no photo could be read ({reasons or 'none there'})")
    local = [d.local for d in descriptions if d.local is not None]
    return Described(
        paths,
        np.stack([d.global_ for d in descriptions]),
        np.stack(local) if local else None,
        failed,
    )


@dataclass(frozen=True)
class Evaluation:
    """How well a collection finds the groups of a `groups.json`.

    Attributes:
        report: mean average precision and N-S score, per query and per group.
        photos: how many photos the rankings are over.
        missing: photos of the ground truth that the collection lacks; they count neither as
            queries nor as positives.
    """

    report: Report
    photos: int
    missing: list[Path]


def evaluate(groups: Path, collection: Path, *, progress: Progress = no_progress) -> Evaluation:
    """Mean average precision and N-S score over a folder's groups (section 9).

    Every photo of a group of two or more is a query in turn; the rankings are over the whole
    collection.

    Raises:
        DatasetError: the ground truth cannot be read, or none of its photos is indexed.
    """
    truth = read_groups(groups)
    with Collection.open(collection) as opened:
        ids = {photo.path: photo.id for photo in opened.photos("ok")}
        missing = [p for photos in truth.values() for p in photos if absolute(p) not in ids]
        known = {
            group: [ids[absolute(path)] for path in photos if absolute(path) in ids]
            for group, photos in truth.items()
        }
        if not any(known.values()):
            raise DatasetError(f"{groups}: none of its photos is in {collection}; index them first")
        searcher = Searcher(opened)
        database = searcher.arrays().database
        rows = {int(id_): row for row, id_ in enumerate(database.ids)}
        total, done = sum(len(photos) for photos in known.values() if len(photos) > 1), 0

        def rank(photo: int) -> list[int]:
            nonlocal done
            row = rows[photo]
            local = None if database.local is None else database.local[row]
            query = Query(database.global_[row], local)
            distances = distances_to(query, database, searcher.distance)
            done += 1
            progress("evaluating", done, total)
            return [int(id_) for id_ in database.ids[ranking(distances, database.ids)]]

        return Evaluation(evaluate_groups(known, rank), len(database.ids), missing)


def groups(
    collection: Path, *, limit: float | None = None, progress: Progress = no_progress
) -> tuple[Groups, dict[int, Path]]:
    """A collection's groups of photos of the same thing, and the paths of their photos by id.

    Args:
        collection: the collection's folder.
        limit: largest distance between photos that are joined; None is estimated.
        progress: called after each photo.
    """
    with Collection.open(collection) as opened:
        searcher = Searcher(opened)
        database = searcher.arrays().database
        found = find_groups(
            database,
            searcher.distance,
            limit,
            progress=lambda done, total: progress("comparing", done, total),
        )
        ids = np.array([id_ for group in found.groups for id_ in group.ids], np.int64)
        return found, dict(zip(ids.tolist(), opened.paths(ids), strict=True))


def remove(paths: Sequence[Path], collection: Path) -> list[Path]:
    """Forget photos (or all below a folder); the files themselves are never touched.

    Returns:
        The paths removed.

    Raises:
        UsageError: a path names no photo of the collection; nothing is removed then.
    """
    places = [absolute(path) for path in paths]
    with writing(collection) as writer:
        photos = list(writer.collection.photos())
        for named, place in zip(paths, places, strict=True):
            if not any(is_under(photo.path, [place]) for photo in photos):
                raise UsageError(f"{named}: no photo of {collection} is there; nothing was removed")
        chosen = [photo for photo in photos if is_under(photo.path, places)]
        writer.remove(chosen)
        return [photo.path for photo in chosen]


@dataclass(frozen=True)
class Info:
    """What a collection is: counts, configuration, model, selection, failures, bytes on disk."""

    photos: int
    failed: list[tuple[Path, str]]
    config: dict[str, Any]
    model: dict[str, Any] | None
    fingerprint: str | None
    selection: dict[str, Any] | None
    vocabulary: dict[str, Any] | None
    created: str
    bytes_on_disk: int


def info(collection: Path) -> Info:
    """What a collection is and what is in it."""
    with Collection.open(collection) as opened:
        return Info(
            photos=opened.count("ok"),
            failed=[(photo.path, str(photo.reason)) for photo in opened.photos("failed")],
            config=to_dict(opened.config),
            model=opened.meta("model"),
            fingerprint=opened.meta("fingerprint"),
            selection=opened.how_fitted("selection"),
            vocabulary=opened.how_fitted("vocabulary"),
            created=str(opened.meta("created")),
            bytes_on_disk=sum(f.stat().st_size for f in collection.rglob("*") if f.is_file()),
        )


def _settings(
    config: str | MethodConfig | None, cam: bool | None
) -> tuple[MethodConfig, SelectionConfig]:
    if config is None or isinstance(config, str):
        method, selection = load_config(config or "paper")
    else:
        method, selection = config, SelectionConfig()
    if cam is not None:
        if not isinstance(method, ExtractionConfig):
            raise UsageError("--cam: class activation maps need the CNN, not sift-vlad")
        method = dataclasses.replace(method, cam=cam)
    return method, selection


def _check_wanted(
    existing: Collection, config: str | MethodConfig | None, cam: bool | None
) -> None:
    """Refuse a configuration that is not the collection's."""
    stored = existing.config
    if config is None:
        wanted = stored if cam is None else _settings(stored, cam)[0]
    else:
        wanted = _settings(config, cam)[0]
    if wanted == stored:
        return
    ours, theirs = to_dict(stored), to_dict(wanted)
    differing = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
    details = ", ".join(f"{n} is {ours.get(n)}, not {theirs.get(n)}" for n in differing)
    raise CollectionMismatch(
        f"{existing.folder}: was made with another configuration ({details}); leave the "
        "options out, or make a new collection"
    )


def _extractor_for(
    writer: Writer,
    plan: Plan,
    options: ModelOptions,
    loaded: Extractor | None,
    progress: Progress,
) -> Extractor | None:
    """The extractor the plan needs, if it is not loaded; the model is remembered and guarded."""
    collection, config = writer.collection, writer.collection.config
    if not plan.todo and options.weights is None:
        return None
    if isinstance(config, ExtractionConfig):
        # Loaded first: weights that cannot be used are not remembered.
        extractor = loaded
        if extractor is None and plan.todo:
            extractor = collection_extractor(collection, options)
        known = collection.model
        writer.bind_model(cnn_model(config, options, known.path if known else None))
        return extractor
    if collection.vocabulary() is None:
        fit_collection_vocabulary(writer, config, plan.todo, progress)
    vocabulary = collection.vocabulary()
    if vocabulary is not None:
        writer.bind_model(vocabulary_model(vocabulary))
    return collection_extractor(collection, options) if plan.todo else None
