"""Collections that adapt to their photos: copies described once, the same numbers anywhere."""

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import samples
from environment import Run
from resight.backends.manage import info, remove
from resight.backends.transfer import pull, push
from resight.collection import Collection
from resight.collection.integrity import check
from resight.collection.search_arrays import load_arrays
from resight.collection.writer import Writer, writing
from resight.config import ExtractionConfig, LocalConfig, RerankConfig, SearchConfig, WccnConfig
from resight.descriptors.extractor import Description
from resight.errors import CollectionMismatchError, FitError, WeightsError
from resight.evaluation import evaluate
from resight.indexing import pipeline
from resight.indexing.cluster.merge import merge
from resight.indexing.cluster.segments import Segment, encode, write_segment
from resight.indexing.extraction import PhotoResult
from resight.indexing.fitting import FitRun, fit
from resight.indexing.pipeline import IndexRun
from resight.photos.files import PhotoFile
from resight.ranking.exact import euclidean
from resight.reductions import to_query
from resight.reductions.wccn import Wccn
from resight.searching import search

pytestmark = pytest.mark.usefixtures("networks_loaded_once")

LITE = ExtractionConfig(
    backbone="efficientnet-lite0",
    layers=("expand8", "expand4"),
    resolutions=(64,),
    reduced_jpeg=True,
)
"""Early layers of few channels: covariances of 1,280 channels take half a second to decompose."""

ADAPTED = WccnConfig(copies=2, features=16, neighbors=4)


def index(photos: Path, collection: Path, **options: Any) -> IndexRun:
    config = options.pop("config", (LITE, ADAPTED))
    return pipeline.index([photos], collection, config=config, **options)


def copies(collection: Path) -> dict[str, tuple[int, bytes]]:
    """Return the number of the row and the descriptors of copies by content.

    A row that is written again gets a new number.
    """
    with closing(sqlite3.connect(collection / "resight.sqlite")) as database:
        rows = database.execute("SELECT content, rowid, descriptors FROM copies")
        return {content: (number, data) for content, number, data in rows}


def fitted(collection: Path) -> bytes:
    with Collection.open(collection) as opened:
        data = opened.fitted_data("selection")
    assert data is not None
    return data


def contents(collection: Path) -> set[str]:
    return {str(photo.content) for photo in samples.photos_by_name(collection).values()}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "photos"
    samples.draw_many(folder, 12)
    return folder


@pytest.fixture(scope="module")
def indexed(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("indexed") / "c"
    note = index(drawn, folder).selection_note
    assert note == "adapted 38 of 384 values to 12 photos (refit it with: resight fit)"
    return folder


@pytest.fixture
def collection(indexed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(indexed, tmp_path / "c"))


# Searching


def test_searches_compare_adapted_values(indexed: Path, drawn: Path) -> None:
    with Collection.open(indexed) as opened:
        reduction, arrays = opened.reduction(), load_arrays(opened)
        assert isinstance(reduction, Wccn)
        assert opened.distance == "euclidean"
        stored = {id_: values for id_, values, _ in opened.photo_descriptors()}
    rows = arrays.database.global_
    for row, id_ in zip(rows, arrays.database.ids, strict=True):
        np.testing.assert_allclose(row, reduction.apply(stored[int(id_)]), atol=1e-3)
    assert rows.shape == (12, 38)
    found = search(drawn / "003.png", indexed)
    query = to_query(reduction, reduction.apply(stored[4]))
    expected = np.sort(euclidean(query, rows))
    assert [r.distance for r in found.results] == pytest.approx(expected[:10].tolist(), abs=1e-3)
    assert found.results[0].path == drawn / "003.png"


def test_a_photo_that_is_not_in_the_collection_is_found_by_its_original(
    indexed: Path, drawn: Path, tmp_path: Path
) -> None:
    with Image.open(drawn / "005.png") as image:
        image.crop((6, 4, 114, 86)).point([int(0.8 * v) for v in range(256)] * 3).save(
            tmp_path / "darker.png"
        )
    assert search(tmp_path / "darker.png", indexed).results[0].path == drawn / "005.png"


@pytest.mark.parametrize(
    "method", ["aqe", "alpha-qe", "dba", "k-reciprocal", "diffusion", "late-fusion"]
)
def test_searches_are_re_ranked(indexed: Path, drawn: Path, method: str) -> None:
    config = SearchConfig(k=12, rerank=RerankConfig(method=method))
    found = search(drawn / "003.png", indexed, config)
    plain = {r.path: r.distance for r in search(drawn / "003.png", indexed, k=12).results}
    assert {r.path: r.distance for r in found.results} == plain
    assert found.results[0].path == drawn / "003.png"


def test_evaluation(indexed: Path, drawn: Path, tmp_path: Path) -> None:
    groups = {"a": ["000.png", "001.png"], "b": ["002.png", "003.png", "004.png"]}
    names = {name: [str(drawn / file) for file in files] for name, files in groups.items()}
    (tmp_path / "groups.json").write_text(json.dumps(names))
    report = evaluate(tmp_path / "groups.json", indexed).report
    assert 0 < report.mean_average_precision <= 1


def test_info_shows_the_adaptation(indexed: Path, resight: Run) -> None:
    selection = info(indexed).selection
    assert selection is not None
    assert (selection["config"]["method"], selection["sampled"]) == ("wccn", 12)
    line = "wccn, 38 values, fitted on 12 photos (2 copies of each of 12 photos)"
    assert line in " ".join(resight("info", "-c", indexed).stdout.split())


# Copies are described once


def test_an_interrupted_adaptation_resumes(
    drawn: Path, indexed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded: list[str] = []

    def interrupt(what: str, done: int, total: int) -> None:
        if what == "adapting":
            recorded.append(what)
            if done == 5:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index(drawn, tmp_path / "c", progress=interrupt)
    before = copies(tmp_path / "c")
    assert len(before) == 5
    with Collection.open(tmp_path / "c") as opened:
        assert opened.reduction() is None
        assert opened.count("ok") == 12
    assert len(search(drawn / "003.png", tmp_path / "c").results) == 10
    described: list[Any] = []
    original = Writer.record_copies
    monkeypatch.setattr(
        Writer,
        "record_copies",
        lambda self, *arguments: (described.append(arguments), original(self, *arguments)),
    )
    assert index(drawn, tmp_path / "c").selection_note is not None
    assert {content for content, _ in described} == contents(indexed) - before.keys()
    after = copies(tmp_path / "c")
    assert before.items() <= after.items()
    assert {c: data for c, (_, data) in after.items()} == {
        c: data for c, (_, data) in copies(indexed).items()
    }
    assert fitted(tmp_path / "c") == fitted(indexed)


def test_fitting_again_describes_nothing(collection: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, data = copies(collection), fitted(collection)
    monkeypatch.setattr(Collection, "fitted_method", None)  # no extractor can be loaded
    assert fit(collection) == FitRun(38, 384, 12, "wccn")
    assert copies(collection) == before
    assert fitted(collection) == data
    assert fit(collection, shrinkage=0.5, correction=0.0).features == 22
    assert fitted(collection) != data


@pytest.mark.slow
def test_more_copies_and_back(collection: Path, drawn: Path, resight: Run) -> None:
    before, data = copies(collection), fitted(collection)
    done = resight("fit", "-c", collection, "--set", "copies=3")
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "adapted 38 of 384 values to 12 photos"
    assert fitted(collection) != data
    more = copies(collection)
    for content, (_, few) in before.items():  # the first of more copies are the same
        assert more[content][1][: len(few)] == few
    # An index run keeps what was fitted last.
    assert index(drawn, collection).selection_note is None
    assert fit(collection, copies=2).method == "wccn"
    assert fitted(collection) == data
    assert copies(collection) == more, "more than are needed stay"


@pytest.mark.slow
def test_other_reductions_and_back(collection: Path, drawn: Path, resight: Run) -> None:
    data, before = fitted(collection), copies(collection)
    assert fit(collection, method="none").method == "none"
    assert index(drawn, collection).selection_note is None
    with Collection.open(collection) as opened:
        assert opened.distance == "manhattan"
    assert "kept 8 of 384 values" in resight(
        "fit", "-c", collection, "--method", "pfa", "--set", "features=8"
    ).stderr  # fmt: skip
    done = resight("fit", "-c", collection, "--method", "wccn", "--set", "shrinkage=-1")
    assert done.returncode == 2
    settings = {"copies": 2, "features": 16, "neighbors": 4}
    assert fit(collection, method="wccn", **settings).features == 38
    assert fitted(collection) == data
    assert copies(collection) == before


@pytest.mark.slow
def test_the_same_numbers_whatever_the_order_and_the_workers(
    drawn: Path, indexed: Path, tmp_path: Path
) -> None:
    other = tmp_path / "photos"
    other.mkdir()
    names = sorted(path.name for path in drawn.iterdir())
    for number, name in enumerate(reversed(names)):
        shutil.copyfile(drawn / name, other / f"{number}.png")
    index(other, tmp_path / "c", workers=3)
    assert fitted(tmp_path / "c") == fitted(indexed)
    # Also when the photos come one after the other.
    later = tmp_path / "later"
    pipeline.index([other / f"{n}.png" for n in range(7)], later, config=(LITE, ADAPTED))
    index(other / "7.png", later)
    index(other, later)
    assert {c: d for c, (_, d) in copies(later).items()}.items() < {
        c: d for c, (_, d) in copies(indexed).items()
    }.items()
    fit(later)
    assert fitted(later) == fitted(indexed)


@pytest.mark.slow
def test_a_sample_of_the_photos(drawn: Path, tmp_path: Path) -> None:
    index(drawn, tmp_path / "c", config=(LITE, replace(ADAPTED, sample=5)))
    assert sorted(copies(tmp_path / "c")) == sorted(contents(tmp_path / "c"))[:5]


# Collections that change


@pytest.mark.slow
def test_the_adaptation_follows_a_growing_collection(tmp_path: Path) -> None:
    place, folder = tmp_path / "photos", tmp_path / "c"

    def grown(photos: int) -> str:
        samples.draw_many(place, photos)
        return str(index(place, folder).selection_note)

    assert grown(5) == (
        "searches compare all values of the descriptors until there are 8 photos for an adaptation"
    )
    assert len(search(place / "003.png", folder).results) == 5
    assert grown(8).startswith("adapted 30 of 384 values to 8 photos")
    data = fitted(folder)
    assert grown(15) == "None"
    assert fitted(folder) == data
    assert len(search(place / "014.png", folder, k=20).results) == 15
    assert grown(16).startswith("adapted 46 of 384 values to 16 photos")
    assert copies(folder).keys() == contents(folder)


def test_copies_of_removed_photos_are_removed(collection: Path, drawn: Path) -> None:
    data = fitted(collection)
    gone = samples.photos_by_name(collection)["004.png"].content
    remove([drawn / "004.png"], collection)
    assert copies(collection).keys() == contents(collection)
    assert gone not in copies(collection)
    assert fitted(collection) == data
    assert len(search(drawn / "003.png", collection, k=20).results) == 11


def test_photos_that_vanished_or_changed_since_they_were_indexed(
    drawn: Path, tmp_path: Path
) -> None:
    place, folder = Path(shutil.copytree(drawn, tmp_path / "photos")), tmp_path / "c"

    def damage(what: str, done: int, total: int) -> None:
        if what == "indexing" and done == total:
            (place / "000.png").unlink()
            (place / "001.png").write_bytes(b"no picture")
            samples.draw(place / "002.png", 77)
            (place / "003.png").unlink()
            (place / "003.png").mkdir()

    note = index(place, folder, progress=damage).selection_note
    assert str(note).startswith("adapted ")
    photos = samples.photos_by_name(folder)
    lost = {photos[f"{n:03}.png"].content for n in range(4)}
    assert copies(folder).keys() == contents(folder) - lost
    selection = info(folder).selection
    assert selection is not None
    assert (selection["photos"], selection["sampled"]) == (12, 8)


@pytest.mark.slow
def test_no_photo_can_be_read_any_more(drawn: Path, tmp_path: Path) -> None:
    place, folder = Path(shutil.copytree(drawn, tmp_path / "photos")), tmp_path / "c"

    def remove_all(what: str, done: int, total: int) -> None:
        if what == "indexing" and done == total:
            shutil.rmtree(place)

    note = index(place, folder, progress=remove_all).selection_note
    assert note == (
        "searches compare all values of the descriptors: none of the sampled photos can be "
        "read: there is nothing to adapt to"
    )
    assert len(search(drawn / "003.png", folder).results) == 10
    with pytest.raises(FitError, match="none of the sampled photos"):
        fit(folder)


@pytest.mark.slow
def test_a_refit_that_fails_keeps_what_was_fitted(
    collection: Path, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = fitted(collection)
    samples.draw_many(tmp_path / "more", 12, first=12)

    def refuse(*arguments: object) -> None:
        raise FitError("it is Sunday")

    monkeypatch.setattr("resight.indexing.fitting.fit_reduction", refuse)
    note = pipeline.index([drawn, tmp_path / "more"], collection).selection_note
    assert note == "searches use the parameters fitted on 12 photos: it is Sunday"
    assert fitted(collection) == data


# Unusual photos


def test_photos_that_are_all_alike(tmp_path: Path) -> None:
    """Files of one picture that differ in nothing but their metadata."""
    image = samples.picture(0)
    (tmp_path / "photos").mkdir()
    for number in range(9):
        exif = Image.Exif()
        exif[0x010E] = f"number {number}"
        image.save(tmp_path / "photos" / f"{number}.png", exif=exif)
    note = index(tmp_path / "photos", tmp_path / "c").selection_note
    assert note == (
        "searches compare all values of the descriptors: the photos' descriptors are all equal: "
        "there is nothing to adapt to"
    )
    assert len(search(tmp_path / "photos" / "3.png", tmp_path / "c").results) == 9


def test_the_same_file_many_times(tmp_path: Path) -> None:
    for number in range(9):
        samples.draw(tmp_path / "photos" / f"{number}.png", 0)
    note = index(tmp_path / "photos", tmp_path / "c").selection_note
    assert note == (
        "searches compare all values of the descriptors: adapting needs 8 different photos or "
        "more, not 1"
    )


@pytest.mark.slow
def test_blank_tiny_and_long_pictures(drawn: Path, tmp_path: Path) -> None:
    place = Path(shutil.copytree(drawn, tmp_path / "photos"))
    for name, mode, size, color in (
        ("black", "RGB", (80, 60), 0),
        ("white", "L", (70, 70), 255),
        ("clear", "RGBA", (64, 64), (0, 0, 0, 0)),
        ("pixel", "RGB", (1, 1), (200, 10, 10)),
        ("line", "RGB", (900, 2), (10, 200, 10)),
    ):
        Image.new(mode, size, color).save(place / f"{name}.png")
    note = index(place, tmp_path / "c").selection_note
    assert str(note).startswith("adapted 46 of 384 values to 17 photos")
    assert len(copies(tmp_path / "c")) == 17
    with Collection.open(tmp_path / "c") as opened:
        assert np.isfinite(load_arrays(opened).database.global_).all()
    for name in ("black", "pixel", "line", "003"):
        found = search(place / f"{name}.png", tmp_path / "c").results
        assert place / f"{name}.png" in [result.path for result in found[:3]]


# Other methods, other places


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_aggregated_local_features_of_photos_at_full_size(
    drawn: Path, tmp_path: Path, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A descriptor of one part; its copies have a fixed size, as the photos are not reduced."""
    monkeypatch.setattr("resight.indexing.adaptation.DEFAULT_SIDE", 128)
    method = LocalConfig(
        method="local",
        features="rootsift",
        aggregation="vlad",
        longest_side=128,
        max_keypoints=60,
        centers=4,
        sample=4000,
        dtype=dtype,  # type: ignore[arg-type]
    )
    note = index(drawn, tmp_path / "c", config=(method, ADAPTED)).selection_note
    assert str(note).startswith("adapted 27 of 512 values to 12 photos")
    assert {len(data) for _, data in copies(tmp_path / "c").values()} == {2 * 2 * 512}
    assert search(drawn / "003.png", tmp_path / "c").results[0].path == drawn / "003.png"


@pytest.mark.slow
def test_photos_in_an_object_store(
    object_store: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in object_store.items():
        monkeypatch.setenv(name, value)
    few = LITE, replace(ADAPTED, min_photos=5)
    run = pipeline.index("s3://photos/2026", tmp_path / "remote", config=few)
    assert (run.photos, len(run.report.failed)) == (6, 1)
    pipeline.index(object_store["DRAWN"], tmp_path / "local", config=few)
    assert len(copies(tmp_path / "remote")) == 6
    assert fitted(tmp_path / "remote") == fitted(tmp_path / "local")


# Other collections, damage


@pytest.mark.slow
def test_fitted_from_another_collection(
    collection: Path, drawn: Path, tmp_path: Path, resight: Run
) -> None:
    samples.draw_many(tmp_path / "photos", 10, first=40)
    other = tmp_path / "other"
    index(tmp_path / "photos", other, config=(LITE, replace(ADAPTED, copies=1)))
    own = copies(collection)
    done = resight("fit", "-c", collection, "--from", other)
    assert done.returncode == 0, done.stderr
    assert "adapted 34 of 384 values to 10 photos" in done.stderr
    assert copies(collection) == own
    assert {len(data) for _, data in copies(other).values()} == {2 * 2 * 384}
    fit(other, copies=2)
    assert fitted(collection) == fitted(other)
    selection = info(collection).selection
    assert selection is not None
    assert selection["collection"] == str(other)
    assert search(drawn / "003.png", collection).results[0].path == drawn / "003.png"
    # From itself is as without.
    assert fit(collection, source=f"{collection}/.").photos == 12


@pytest.mark.slow
def test_another_configuration_is_no_source(collection: Path, drawn: Path, tmp_path: Path) -> None:
    index(drawn, tmp_path / "other", config=(replace(LITE, resolutions=(96,)), ADAPTED))
    with pytest.raises(CollectionMismatchError, match="has another configuration"):
        fit(collection, source=tmp_path / "other")


@pytest.mark.parametrize("damage", ["descriptors = x'0102'", "crc32 = crc32 + 1"])
def test_check_finds_damaged_copies(collection: Path, damage: str, resight: Run) -> None:
    before, data = copies(collection), fitted(collection)
    assert check(collection).problems == []
    with closing(sqlite3.connect(collection / "resight.sqlite")) as database:
        database.execute(f"UPDATE copies SET {damage} WHERE rowid IN (2, 5)")
        database.commit()
    done = resight("check", "-c", collection)
    assert done.returncode == 1
    assert "varied copies: descriptors were damaged (of 2 sampled photos)" in done.stderr
    assert "varied copies: removed; the next fit describes them again" in done.stderr
    assert len(copies(collection)) == 10
    assert check(collection).problems == []
    fit(collection)
    assert {c: d for c, (_, d) in copies(collection).items()} == {
        c: d for c, (_, d) in before.items()
    }
    assert fitted(collection) == data


@pytest.mark.slow
def test_damaged_copies_are_described_again_without_a_check(collection: Path) -> None:
    data = fitted(collection)
    with closing(sqlite3.connect(collection / "resight.sqlite")) as database:
        database.execute("UPDATE copies SET crc32 = 0 WHERE rowid = 3")
        database.commit()
    fit(collection)
    assert fitted(collection) == data
    assert check(collection).problems == []


def test_a_damaged_adaptation_is_read_from_the_database_again(
    collection: Path, drawn: Path
) -> None:
    before = search(drawn / "005.png", collection)
    (file,) = (collection / "arrays").glob("*/selection.bin")
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    assert search(drawn / "005.png", collection) == before


@pytest.mark.slow
def test_copies_do_not_travel(collection: Path, drawn: Path, tmp_path: Path) -> None:
    """A pulled collection keeps the adaptation; its copies are described again to refit it."""
    address = f"qdrant+file://{tmp_path}/qdrant/name"
    push(collection, address)
    assert "wccn" in str(info(address).selection)
    pull(address, tmp_path / "pulled")
    assert fitted(tmp_path / "pulled") == fitted(collection)
    for place in (address, tmp_path / "pulled"):
        found = search(drawn / "003.png", place).results
        expected = search(drawn / "003.png", collection).results
        assert [r.path for r in found] == [r.path for r in expected]
        assert [r.distance for r in found] == pytest.approx(
            [r.distance for r in expected], abs=1e-4
        )
    with Collection.open(tmp_path / "pulled") as opened:
        assert not opened.has_copies()
    fit(tmp_path / "pulled", copies=2)
    assert fitted(tmp_path / "pulled") == fitted(collection)


@pytest.mark.slow
def test_a_merge_adapts(indexed: Path, drawn: Path, tmp_path: Path) -> None:
    with Collection.open(indexed) as opened:
        results = []
        for photo in opened.photos():
            described = opened.descriptors(str(photo.content))
            assert described is not None
            file = PhotoFile(photo.path, photo.size, photo.mtime_ns)
            pixels = photo.width or 0, photo.height or 0
            description = Description(described.global_)
            results.append(PhotoResult(file, photo.content, pixels, description))
        segment = Segment(opened.meta("fingerprint"), tuple(results))
    write_segment(tmp_path / "all.segment", encode(segment))
    folder = tmp_path / "c"
    pipeline.index(sorted(drawn.iterdir())[:3], folder, config=(LITE, ADAPTED))
    run = merge(tmp_path / "all.segment", folder)
    assert str(run.selection_note).startswith("adapted 38 of 384 values to 12 photos")
    assert fitted(folder) == fitted(indexed)
    assert merge(tmp_path / "all.segment", folder).selection_note is None


@pytest.mark.slow
def test_without_weights_all_values_are_compared(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that only merges or searches may have none; `resight fit` adapts elsewhere."""

    def refuse(*arguments: object) -> None:
        raise WeightsError("no weights found")

    folder = tmp_path / "c"
    with monkeypatch.context() as patch:
        patch.setattr("resight.indexing.fitting._load_extractor", refuse)
        note = index(drawn, folder).selection_note
        assert note == "searches compare all values of the descriptors: no weights found"
        with pytest.raises(WeightsError, match="no weights found"):
            fit(folder)
    assert len(search(drawn / "003.png", folder).results) == 10
    assert str(index(drawn, folder).selection_note).startswith("adapted ")


# Class activation maps, and an approximate index


@pytest.mark.slow
def test_local_descriptors_share_the_adaptation(drawn: Path, tmp_path: Path) -> None:
    index(drawn, tmp_path / "c", config=(replace(LITE, cam=True), ADAPTED))
    with Collection.open(tmp_path / "c") as opened:
        reduction, arrays = opened.reduction(), load_arrays(opened)
        assert isinstance(reduction, Wccn)
        stored = {id_: local for id_, _, local in opened.photo_descriptors()}
    assert arrays.database.local is not None
    for row, id_ in zip(arrays.database.local, arrays.database.ids, strict=True):
        local = stored[int(id_)]
        assert local is not None
        np.testing.assert_allclose(row, reduction.apply(local), atol=1e-3)
    found = search(drawn / "003.png", tmp_path / "c")
    assert found.results[0].path == drawn / "003.png"
    assert check(tmp_path / "c").problems == []


@pytest.fixture
def many(collection: Path) -> Path:
    """Return a collection with 1,500 more photos that lie around the drawn ones."""
    generator = np.random.default_rng(0)
    with writing(collection) as writer:
        writer.collection.connection.execute("PRAGMA synchronous = OFF")
        rows = np.stack([values for _, values, _ in writer.collection.photo_descriptors()])
        record_around(writer, rows, range(1500), generator)
    return collection


def record_around(
    writer: Writer, rows: np.ndarray, numbers: range, generator: np.random.Generator
) -> None:
    """Record photos with descriptors that are mixtures of others."""
    with writer.transaction():
        for number in numbers:
            weights = generator.dirichlet(np.full(len(rows), 0.3))
            file = PhotoFile(Path(f"/photos/{number}.jpg"), 1, 1)
            writer.record_described(file, f"content {number}", (4, 3), weights @ rows, None)


@pytest.mark.slow
def test_an_approximate_index(many: Path, drawn: Path) -> None:
    pytest.importorskip("faiss")
    data = fitted(many)
    index(drawn, many, approximate=True)
    built = info(many).approximate
    assert built is not None
    # The collection has grown by far more than twice: it has been adapted again before.
    assert fitted(many) != data
    assert built.rows == 1512
    assert built.recall >= 0.98
    for name in ("003", "007"):
        exact = search(drawn / f"{name}.png", many, k=10).results
        near = search(drawn / f"{name}.png", many, SearchConfig(approximate=True)).results
        assert near[0] == exact[0]
        shared = {r.path for r in exact} & {r.path for r in near}
        assert len(shared) >= 9
    # New rows are found before they are in the lists.
    with writing(many) as writer:
        (target,) = (v for id_, v, _ in writer.collection.photo_descriptors() if id_ == 4)
        file = PhotoFile(Path("/photos/9999.jpg"), 1, 1)
        writer.record_described(file, "content new", (4, 3), 0.999 * target, None)
    near = search(drawn / "003.png", many, SearchConfig(approximate=True)).results
    assert Path("/photos/9999.jpg") in [result.path for result in near[:2]]
    assert check(many).problems == []
