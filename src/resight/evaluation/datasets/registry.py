"""Which benchmarks there are, how each is read, and where it can be had."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from resight.errors import DatasetError
from resight.evaluation.datasets.dataset import Dataset
from resight.evaluation.datasets.folders import read_folder
from resight.evaluation.datasets.holidays import read_holidays
from resight.evaluation.datasets.landmarks import OFFICIAL_COUNTS, read_landmarks
from resight.evaluation.datasets.ukb import read_ukb

READERS: Mapping[str, Callable[..., Dataset]] = {
    "groups": read_folder,
    "holidays": read_holidays,
    "ukb": read_ukb,
    "oxford5k": functools.partial(read_landmarks, "oxford5k"),
    "paris6k": functools.partial(read_landmarks, "paris6k"),
    "roxford5k": functools.partial(read_landmarks, "roxford5k"),
    "rparis6k": functools.partial(read_landmarks, "rparis6k"),
}

SWITCHES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "groups": {},
    "holidays": {"database": ("all", "others"), "upright": ()},
    "ukb": {"queries": ("all", "first")},
    **{name: {"query": ("crop", "full", "both")} for name in OFFICIAL_COUNTS},
}
"""What can be chosen where a protocol leaves a choice; the first is the default, none is a file."""


@dataclass(frozen=True)
class Origin:
    """Where a benchmark can be had by hand, on what terms, and the paper to cite."""

    url: str
    terms: str
    citation: str


_OXFORD = "https://www.robots.ox.ac.uk/~vgg/data/oxbuildings/"
_PARIS = "https://www.robots.ox.ac.uk/~vgg/data/parisbuildings/"
_REVISITED = "https://cmp.felk.cvut.cz/revisitop/"
_FLICKR = "photos of Flickr users, whose terms hold"
_RADENOVIC = "Radenovic et al., Revisiting Oxford and Paris, CVPR 2018"

ORIGINS: Mapping[str, Origin] = {
    "holidays": Origin(
        "https://lear.inrialpes.fr/~jegou/data.php",
        "copyright INRIA, as is, the paper is to be cited",
        "Jegou, Douze and Schmid, Hamming embedding and weak geometric consistency, ECCV 2008",
    ),
    "ukb": Origin(
        "https://archive.org/details/ukbench",
        "see there",
        "Nister and Stewenius, Scalable recognition with a vocabulary tree, CVPR 2006",
    ),
    "oxford5k": Origin(
        _OXFORD, _FLICKR, "Philbin et al., Object retrieval with large vocabularies, CVPR 2007"
    ),
    "paris6k": Origin(_PARIS, _FLICKR, "Philbin et al., Lost in quantization, CVPR 2008"),
    "roxford5k": Origin(f"{_OXFORD} (photos), {_REVISITED} (ground truth)", _FLICKR, _RADENOVIC),
    "rparis6k": Origin(f"{_PARIS} (photos), {_REVISITED} (ground truth)", _FLICKR, _RADENOVIC),
}


def parse_dataset(text: str) -> tuple[str, Path]:
    """`groups:PATH` or `holidays:PATH` as name and folder.

    Raises:
        DatasetError: no such benchmark, or no path.
    """
    name, colon, path = text.partition(":")
    if name not in READERS:
        raise DatasetError(f"{text}: not NAME:FOLDER with a name of {', '.join(READERS)}")
    if not colon or not path:
        raise DatasetError(f"{text}: name the folder too, as in {name}:FOLDER")
    return name, Path(path).expanduser()


def read_dataset(name: str, folder: Path, switches: Mapping[str, str] | None = None) -> Dataset:
    """A benchmark from a folder.

    Args:
        name: one of `READERS`.
        folder: where its photos are.
        switches: see `SWITCHES`.

    Raises:
        DatasetError: no such benchmark, switch or folder, or no ground truth.
    """
    if name not in READERS:
        raise DatasetError(f"{name}: no benchmark; there are {', '.join(READERS)}")
    for switch, value in (switches or {}).items():
        allowed = SWITCHES[name].get(switch)
        if allowed is None:
            has = ", ".join(SWITCHES[name]) or "none"
            raise DatasetError(f"{name}: has no switch {switch!r} (it has {has})")
        if allowed and value not in allowed:
            raise DatasetError(f"{name}: {switch}: {value!r} is not one of {', '.join(allowed)}")
    return READERS[name](folder, **(switches or {}))
