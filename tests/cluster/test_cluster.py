"""A Ray cluster of two nodes gives the results of one machine, whatever is lost."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import samples
from cluster_of_two import HIDDEN, POISON, TwoNodes, two_nodes
from environment import ROOT, Run
from resight.backends.manage import info
from resight.collection import Collection
from resight.config import ExtractionConfig
from resight.errors import ClusterError, UsageError
from resight.indexing import cluster as describing
from resight.indexing import pipeline
from resight.indexing.cluster import ray_cluster as on_ray
from resight.indexing.cluster.segments import (
    ExtractionTask,
    Segment,
    Shard,
    decode,
    extract_shard,
    installed_versions,
    read_segment,
    split_into_shards,
)
from resight.methods.model import FittedMethod, ModelOptions
from resight.photos.files import PhotoFile, find_photos

SMALL = ExtractionConfig(layers=("layer2",), resolutions=(64, 48), square=True)
SLOWER = replace(samples.QUICK, max_keypoints=2000, centers=64)


# Shards


def files(count: int) -> list[PhotoFile]:
    return [PhotoFile(Path(f"/{number}.jpg"), number, 0) for number in range(count)]


@given(
    count=st.integers(0, 40),
    size=st.integers(1, 9),
    again=st.integers(1, 9),
    gone=st.sets(st.integers(0, 40)),
    done=st.sets(st.integers(0, 40)),
)
def test_every_photo_is_in_one_shard_in_the_order_of_the_list(
    count: int, size: int, again: int, gone: set[int], done: set[int]
) -> None:
    photos = files(count)
    first = split_into_shards(photos, {}, size)
    assert [file for shard in first for file in shard.files] == photos
    assert all(len(shard.files) == size for shard in first[:-1])
    # Some shards are finished and some photos are gone when the photos are split again.
    segments = {Path(f"{n}.segment"): shard.files for n, shard in enumerate(first) if n in done}
    left = [file for number, file in enumerate(photos) if number not in gone]
    second = split_into_shards(left, segments, again)
    assert [file for shard in second for file in shard.files] == left
    for shard in second:
        assert shard.files == segments[shard.segment] if shard.segment else len(shard.files)
        assert shard.segment is not None or len(shard.files) <= again
    usable = {path for path, described in segments.items() if set(described) <= set(left)}
    assert {shard.segment for shard in second if shard.segment} == usable


def test_segments_that_overlap_count_once() -> None:
    photos = files(4)
    done = {Path("a"): tuple(photos[1:3]), Path("b"): tuple(photos[2:4])}
    assert split_into_shards(photos, done, 9) == [
        Shard((photos[0],)),
        Shard(tuple(photos[1:3]), Path("a")),
        Shard((photos[3],)),
    ]


# The worker


def test_other_versions_are_refused_by_the_worker() -> None:
    fitted = FittedMethod(samples.QUICK, None, {}, None)
    task = ExtractionTask("f" * 64, fitted, ModelOptions())
    task = replace(task, versions={**installed_versions(task), "numpy": "1.0"})
    with pytest.raises(UsageError, match=r"numpy [0-9.]+, this machine 1\.0: install the same"):
        extract_shard(task, [], lambda: b"")


def test_weights_that_a_worker_lacks_are_fetched_once(small_weights: Path, tmp_path: Path) -> None:
    samples.draw_many(tmp_path / "photos", 2)
    options = ModelOptions(small_weights)
    samples.index(tmp_path / "photos", tmp_path / "c", config=SMALL, model=options)
    with Collection.open(tmp_path / "c") as collection:
        fitted = collection.fitted_method(options)
        fingerprint = str(collection.meta("fingerprint"))
    assert fitted.model is not None
    elsewhere = replace(fitted, model=replace(fitted.model, path=Path("/nowhere/weights.pth")))
    threads = ModelOptions(runtime="openvino", device="cpu", threads=1)
    task = ExtractionTask(fingerprint, elsewhere, threads)
    fetched = []

    def fetch() -> bytes:
        fetched.append(small_weights)
        return small_weights.read_bytes()

    photos = find_photos([tmp_path / "photos"]).photos
    once = decode(extract_shard(task, photos, fetch), "once")
    with_two = replace(task, options=replace(threads, threads=2))
    assert values_of(extract_shard(with_two, photos, fetch)) == values(once)
    assert len(fetched) == 1


@pytest.mark.parametrize(
    ("gpus", "options", "runtime", "device", "threads", "slots"),
    [
        (0, ModelOptions(), "openvino", "cpu", 1, 6),
        (2, ModelOptions(), "torch", "cuda", None, 2),
        (2, ModelOptions(device="cpu"), "openvino", "cpu", 1, 6),
        (2, ModelOptions(runtime="onnx"), "onnx", "cpu", 1, 6),
        (0, ModelOptions(device="cuda:1"), "torch", "cuda", None, 0),
    ],
)
def test_the_runtime_and_device_of_the_workers(
    gpus: int, options: ModelOptions, runtime: str, device: str, threads: int | None, slots: int
) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    fitted = FittedMethod(SMALL, None, {}, None)
    resources = {"CPU": 6.0, **({"GPU": float(gpus)} if gpus else {})}
    chosen, count = describing._worker_options(resources, fitted, options)
    assert (chosen.runtime, chosen.device, chosen.threads) == (runtime, device, threads)
    assert count == slots


def values_of(data: bytes) -> list[bytes]:
    return values(decode(data, "a segment"))


def values(segment: Segment) -> list[bytes]:
    described = [result.description for result in segment.results]
    return [description.global_.tobytes() for description in described if description]


# On a cluster


@pytest.fixture(scope="module")
def nodes(
    object_store: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TwoNodes]:
    """Start two nodes and connect this process to them: its runs share their workers."""
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    cache = str(tmp_path_factory.mktemp("workers-cache"))
    environment = {**object_store, "XDG_CACHE_HOME": cache}
    with (
        two_nodes(tmp_path_factory.mktemp("poison"), environment) as started,
        on_ray.connected(started.on),
    ):
        yield started


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Thirty pictures, two of the same content, and two files that are no pictures."""
    folder = tmp_path / "photos"
    drawn = samples.draw_many(folder, 29)
    (folder / "020-copy.png").write_bytes(drawn[3].read_bytes())
    (folder / "007-bad.png").write_bytes(b"no picture")
    (folder / "empty.jpg").write_bytes(b"")
    return folder


def lost(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Record the losses from now on: the number of the shard and of its photos."""
    seen = []
    real = on_ray._Run._retry

    def noting(self: Any, attempt: Any, why: str) -> Any:
        seen.append((attempt.shard, len(attempt.files)))
        return real(self, attempt, why)

    monkeypatch.setattr(on_ray._Run, "_retry", noting)
    return seen


def test_the_network_on_a_cluster_describes_bit_for_bit_as_locally(
    nodes: TwoNodes, photos: Path, tmp_path: Path, small_weights: Path
) -> None:
    options = {"config": SMALL, "model": ModelOptions(small_weights)}
    samples.index(photos, tmp_path / "here", **options)
    run = samples.index(photos, tmp_path / "there", **options, on="ray")
    assert (run.report.new, run.report.copied, len(run.report.failed)) == (30, 1, 2)
    assert samples.contents(tmp_path / "there") == samples.contents(tmp_path / "here")
    assert not (tmp_path / "there" / "segments").exists()
    # Moved and touched photos are recognized there, too.
    (photos / "000.png").rename(photos / "zzz.png")
    os.utime(photos / "001.png", (1, 1))
    for place, on in (("here", None), ("there", "ray")):
        report = samples.index(photos, tmp_path / place, **options, on=on).report
        assert (len(report.moved), report.new, report.unchanged) == (1, 0, 29)
    assert samples.contents(tmp_path / "there") == samples.contents(tmp_path / "here")


def test_a_photo_that_ends_its_worker_is_one_listed_failure(
    nodes: TwoNodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "photos"
    drawn = samples.draw_many(folder, 16)
    samples.index(folder, tmp_path / "here")
    samples.index(folder, tmp_path / "there")
    (folder / "003.png").write_bytes(POISON)
    for path in drawn[4:]:
        path.write_bytes(path.read_bytes() + b"changed")
    repeated = lost(monkeypatch)
    run = samples.index(folder, tmp_path / "there", on="ray")
    assert run.report.changed == 12
    ((path, reason),) = run.report.failed
    assert path == folder / "003.png"
    assert reason == "given up after 3 attempts (its worker crashed)"
    assert [photos for _, photos in repeated] == [2, 2, 1, 1, 1]
    samples.assert_whole(tmp_path / "there")


def start(*arguments: object) -> subprocess.Popen[str]:
    """Start the command line in a process group of its own, as a terminal does."""
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from resight.cli.app import main; main()"
    )
    command = [sys.executable, "-c", code, *map(str, arguments)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, **streams, text=True, start_new_session=True)  # type: ignore[call-overload]


def test_a_machine_outside_the_cluster_can_index_on_it(
    nodes: TwoNodes, photos: Path, tmp_path: Path
) -> None:
    config = samples.write_config(tmp_path / "config.toml", samples.QUICK)
    samples.index(photos, tmp_path / "here", config=str(config))
    arguments = [photos, "-c", tmp_path / "there", "--config", config, "--on", nodes.from_outside]
    for _ in range(3):  # the process that Ray starts for a client now and then ends at once
        with start("index", *arguments) as process:
            _, errors = process.communicate(timeout=120)
        if "Starting Ray client server failed" not in errors:
            break
    assert process.returncode == 0, errors
    assert samples.contents(tmp_path / "there") == samples.contents(tmp_path / "here")


def test_an_interrupted_run_resumes_and_repeats_no_shard(
    nodes: TwoNodes, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = samples.write_config(tmp_path / "config.toml", SLOWER)
    samples.index(photos, tmp_path / "here", config=str(config))
    segments = tmp_path / "segments"
    arguments = [photos, "-c", tmp_path / "there", "--config", config, "--on", nodes.on]
    with start("index", *arguments, "--segments", segments) as process:
        while not list(segments.glob("*.segment")):
            assert process.poll() is None
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finished = {path.name: path.stat().st_mtime_ns for path in segments.glob("*.segment")}
    if len(finished) < 8:  # else the run was faster than the interrupt
        assert process.returncode == 130
        assert "nothing is lost: run the same command again to resume" in errors
    samples.index(photos, tmp_path / "there", config=str(config), on="ray", segments=segments)
    assert samples.contents(tmp_path / "there") == samples.contents(tmp_path / "here")
    after = {path.name: path.stat().st_mtime_ns for path in segments.glob("*.segment")}
    assert finished.items() <= after.items()
    # Another collection is built from the segments without extraction; they stay.
    described = [o.file for path in segments.iterdir() for o in read_segment(path).results]
    assert sorted(file.path.name for file in described) == sorted(p.name for p in photos.iterdir())
    sent: Sequence[Any] = lost(monkeypatch)
    monkeypatch.setattr(on_ray._Run, "next_finished", lambda self: pytest.fail("nothing to do"))
    samples.index(photos, tmp_path / "third", config=str(config), on="ray", segments=segments)
    assert samples.contents(tmp_path / "third") == samples.contents(tmp_path / "here")
    assert sent == []


# The page


def test_the_commands_of_the_page(
    nodes: TwoNodes,
    object_store: dict[str, str],
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from resight.cli.app import main

    for name, value in object_store.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.txt").write_text("photos/000.png\nphotos/001.png\n")
    page = (ROOT / "docs" / "cluster.md").read_text("utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    commands = [line for block in blocks for line in block.splitlines()]
    for command in commands:
        words = command.replace("--on ray:HEAD:6379", "--on ray").split()
        if words[1] == "index" and not (tmp_path / "big").exists():
            words += ["--config", str(samples.write_config(tmp_path / "quick.toml"))]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code, command
    assert [words.split()[1] for words in commands] == ["index"] * 3 + ["merge", "search"]
    assert info(tmp_path / "big").photos == 30 + 6
    samples.index(photos, tmp_path / "here")
    samples.index(Path(object_store["DRAWN"]), tmp_path / "here")
    described = samples.contents(tmp_path / "here")["descriptors"]
    assert samples.contents(tmp_path / "big")["descriptors"] == described


# Errors


def test_photos_that_the_nodes_cannot_read(nodes: TwoNodes, photos: Path, tmp_path: Path) -> None:
    hidden = photos / "hidden.png"
    hidden.write_bytes(HIDDEN)
    line = (
        f"{hidden}: this machine can read it, the node .* cannot .No such file or directory.; keep"
    )
    with pytest.raises(ClusterError, match=line):
        samples.index(photos, tmp_path / "c", on="ray")


def test_nodes_with_other_versions(
    nodes: TwoNodes, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = describing.installed_versions
    monkeypatch.setattr(
        describing, "installed_versions", lambda task: {**real(task), "resight": "9.9"}
    )
    with pytest.raises(UsageError, match=r"has resight 0\.1\.0, this machine 9\.9: install"):
        samples.index(photos, tmp_path / "c", on="ray")


@pytest.mark.parametrize(
    ("on", "line"),
    [
        ("ray:127.0.0.1:1", "ray:127.0.0.1:1: nothing answers at 127.0.0.1:1 (Connection refused)"),
        ("ray://127.0.0.1:1", "ray://127.0.0.1:1: nothing answers at 127.0.0.1:1 (Connection "),
        ("ray://head", "ray://head has no port; the head's is 10001 after ray://, else 6379"),
        ("ray:", "ray: is not one of ray, ray://HEAD:10001 and ray:HEAD:6379"),
        ("spark", "spark is not one of ray, ray://HEAD:10001 and ray:HEAD:6379"),
    ],
)
def test_a_head_that_cannot_be_reached(on: str, line: str, photos: Path, tmp_path: Path) -> None:
    with pytest.raises((ClusterError, UsageError)) as refused:
        samples.index(photos, tmp_path / "c", on=on)
    assert str(refused.value).startswith(f"on: {line}")
    assert not (tmp_path / "c").exists()


def test_without_ray_or_with_segments_only(photos: Path, tmp_path: Path, resight: Run) -> None:
    code = (
        "import sys; sys.modules['ray'] = None; from resight.cli.app import main; "
        f"sys.argv[1:] = ['index', {str(photos)!r}, '-c', {str(tmp_path / 'c')!r}, '--on', 'ray']; "
        "sys.argv += ['--config', 'sift-vlad']; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "resight: --on: ray needs an extra: pip install 'resight[ray]'\n"
    with pytest.raises(UsageError, match="segments: only with a cluster"):
        pipeline.index([photos], tmp_path / "c", segments=tmp_path / "segments")


# The last test: afterwards one node is left


def test_a_killed_node_costs_only_its_shards_in_progress(
    nodes: TwoNodes, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples.index(photos, tmp_path / "here", config=SLOWER)
    repeated, killed = lost(monkeypatch), []

    def kill(what: str, done: int, total: int) -> None:
        if what == "describing" and not killed:
            nodes.kill_second()
            killed.append(done)

    samples.index(photos, tmp_path / "there", config=SLOWER, on="ray", progress=kill)
    assert killed
    assert killed[0] < 32
    assert len(repeated) <= 2  # what was in task there, and what was done and not yet fetched
    assert samples.contents(tmp_path / "there") == samples.contents(tmp_path / "here")
    samples.assert_whole(tmp_path / "there")
