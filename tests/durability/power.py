"""Power loss: what a disk may hold when the power fails after a prefix of an operation's calls.

Bytes are certain once their file was synced, names once their folder was. Of the bytes that were
not, any pages of 4 KiB may have reached the disk, and parts of a page in sectors of 512 bytes. Of
the names, any prefix of a folder's changes may have: file systems keep their order.
"""

import dataclasses
import os
import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import faults
from faults import Change
from operation import Operation
from trials import Ended, Tally, fork, new_world, note, verify

PAGE, SECTOR = 4096, 512


@dataclass(eq=False)
class File:
    """A file: its bytes after the last sync, and the calls since then.

    `mtime_ns` is the time of a file that was there before the calls, None once it is written.
    """

    synced: bytes = b""
    current: bytearray = field(default_factory=bytearray)
    pending: list[Change] = field(default_factory=list)
    mtime_ns: int | None = None

    def write(self, change: Change) -> None:
        self.mtime_ns = None
        _apply(self.current, change.offset, change.data)
        self.pending.append(change)

    def truncate(self, change: Change) -> None:
        self.mtime_ns = None
        _resize(self.current, change.offset)
        self.pending.append(change)

    def sync(self) -> None:
        self.synced, self.pending = bytes(self.current), []

    def after_loss(self, chance: random.Random, kept: float) -> bytes:
        """Return bytes that the disk may hold; each page is kept with a probability."""
        data = bytearray(self.synced)
        for change in self.pending:
            if change.kind == "T":
                if chance.random() < kept:
                    _resize(data, change.offset)
                continue
            end = change.offset + len(change.data)
            for start in range(change.offset - change.offset % PAGE, end, PAGE):
                first, last = max(start, change.offset), min(start + PAGE, end)
                if chance.random() >= kept:
                    continue
                if chance.random() < 0.2:  # a torn page
                    last = min(last, first + SECTOR * chance.randint(0, PAGE // SECTOR))
                _apply(data, first, change.data[first - change.offset : last - change.offset])
        return bytes(data)


@dataclass(eq=False)
class Folder:
    """A folder: its names after the last sync, now, and the changes since then."""

    synced: dict[str, "File | Folder"] = field(default_factory=dict)
    current: dict[str, "File | Folder"] = field(default_factory=dict)
    pending: list[dict[str, "File | Folder | None"]] = field(default_factory=list)

    def change(self, names: "dict[str, File | Folder | None]") -> None:
        _rename(self.current, names)
        self.pending.append(names)

    def sync(self) -> None:
        self.synced, self.pending = dict(self.current), []

    def after_loss(self, chance: random.Random, kept: float) -> dict[str, "File | Folder"]:
        """Return names that the disk may hold: a prefix of the changes happened."""
        names = dict(self.synced)
        count = chance.randint(0, len(self.pending)) if 0 < kept < 1 else 0
        for change in self.pending if kept == 1 else self.pending[:count]:
            _rename(names, change)
        return names


class Disk:
    """A model of the disk below a folder, all of whose files were synced at first."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.top = _read(root)

    def apply(self, change: Change) -> None:
        """Apply a logged call."""
        parent, name = self._find(change.path)
        if change.kind == "R":
            other, target = self._find(change.target)
            node = parent.current[name]
            if other is parent:
                parent.change({name: None, target: node})
            else:
                other.change({target: node})
                parent.change({name: None})
        elif change.kind == "L":
            other, target = self._find(change.target)
            other.change({target: parent.current[name]})
        elif change.kind in "CD":
            parent.change({name: File() if change.kind == "C" else Folder()})
        elif change.kind == "U":
            parent.change({name: None})
        else:
            node = self.top if Path(change.path) == self.root else parent.current[name]
            if change.kind == "S":
                node.sync()
            elif isinstance(node, File):
                (node.write if change.kind == "W" else node.truncate)(change)

    def write_after_loss(self, target: Path, chance: random.Random, kept: float) -> None:
        """Write what the disk may hold after the loss into an empty folder."""
        _write(self.top, target, chance, kept)

    def _find(self, path: str) -> tuple[Folder, str]:
        *parents, name = Path(path).relative_to(self.root).parts or ("",)
        folder = self.top
        for part in parents:
            inner = folder.current[part]
            assert isinstance(inner, Folder)
            folder = inner
        return folder, name


def lose_power(operation: Operation, folder: Path, points: int, chance: random.Random) -> Tally:
    """Lose power after random prefixes of an operation's calls."""
    operation = dataclasses.replace(operation, confirm=lambda _: None)  # Qdrant's files are its own
    world, log, tally = new_world(operation, folder), folder / "log", Tally()
    start = folder / "start"
    _write(_read(world), _empty(start), chance, 1.0)
    ended = fork(operation, world / "c", root=world, mode=faults.Mode.OFF, log=log)
    if ended.how != "done":
        raise RuntimeError(f"{operation.name}: {ended}")
    changes = _with_unseen(faults.read_log(log))
    for number in range(points):
        cut = len(changes) if number % 8 == 7 else chance.randint(0, len(changes))
        disk = Disk(start)
        disk.root = world
        for change in changes[:cut]:
            if change.kind != "M":
                disk.apply(change)
        disk.write_after_loss(_empty(world), chance, (0.0, 0.5, 0.9, 1.0)[number % 4])
        ended = _acknowledged(changes[:cut])
        note(tally, cut < len(changes), verify(operation, world / "c", ended), number)
    return tally


def _with_unseen(changes: list[Change]) -> list[Change]:
    """Add the creation of files that a library wrote past the shim, which are renamed later."""
    known: set[str] = set()
    complete: list[Change] = []
    targets = {change.path: change.target for change in changes if change.kind == "R"}
    for change in changes:
        path = change.path
        if change.kind in "CDR":
            known.add(change.target or path)
        if change.kind in "SR" and path not in known and path in targets:
            data = Path(targets[path]).read_bytes() if Path(targets[path]).is_file() else None
            if data is not None and path.endswith(".new"):
                complete.append(Change("C", path, "", 0, b""))
                complete.append(Change("W", path, "", 0, data))
                known.add(path)
        complete.append(change)
    return complete


def _acknowledged(changes: list[Change]) -> Ended:
    """Return what the program had said before the loss."""
    counts: dict[str, int] = {}
    how = "killed"
    for change in changes:
        if change.kind == "M" and change.path.startswith("ack "):
            _, number, stage = change.path.split(" ", 2)
            counts[stage] = int(number)
        elif change.kind == "M" and change.path == "done":
            how = "done"
    return Ended(how, acknowledged=counts)


def _read(folder: Path) -> Folder:
    names: dict[str, File | Folder] = {}
    for path in folder.iterdir():
        if path.is_dir():
            names[path.name] = _read(path)
        else:
            data = path.read_bytes()
            names[path.name] = File(data, bytearray(data), mtime_ns=path.stat().st_mtime_ns)
    return Folder(names, dict(names))


def _write(folder: Folder, target: Path, chance: random.Random, kept: float) -> None:
    for name, node in folder.after_loss(chance, kept).items():
        if isinstance(node, Folder):
            (target / name).mkdir()
            _write(node, target / name, chance, kept)
        else:
            (target / name).write_bytes(node.after_loss(chance, kept))
            if node.mtime_ns is not None:
                os.utime(target / name, ns=(node.mtime_ns, node.mtime_ns))


def _empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def _apply(data: bytearray, offset: int, new: bytes) -> None:
    if new:
        _resize(data, max(len(data), offset + len(new)))
        data[offset : offset + len(new)] = new


def _resize(data: bytearray, size: int) -> None:
    del data[size:]
    data.extend(bytes(size - len(data)))


def _rename(names: dict[str, "File | Folder"], changes: dict[str, "File | Folder | None"]) -> None:
    for name, node in changes.items():
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node
