"""Options that several commands share, and how their texts are parsed."""

import dataclasses
import json
import os
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resight.config import DEFAULT_METHOD, BackendConfig, Geometry, Reranking, VerifiedBy
from resight.errors import UsageError

if TYPE_CHECKING:
    from resight.methods.model import ModelOptions
    from resight.photos.transforms import Box

NETWORK = "Network"
RANKING = "Re-ranking and verification"
FILTER = "Filter"
OUTPUT = "Output"
ACCESS = "Access control"
CLUSTER = "Ray cluster"
BACKEND = "Backend (docs/backends.md)"

THING = "name:"
"""Begins a query by the name of a thing."""

MAX_DIGITS = 20
"""Length of the longest number; longer ones would overflow, or take minutes to read."""


def option(help: str, *flags: str, panel: str | None = None, **settings: Any) -> Any:
    """Return an option with its help text, in a panel of the help."""
    return typer.Option(*flags, help=help, rich_help_panel=panel, **settings)


def argument(metavar: str, help: str) -> Any:
    """Return an argument with its help text."""
    return typer.Argument(metavar=metavar, help=help)


def backend_option(name: str) -> Any:
    """Return the option of a `BackendConfig` field."""
    field = BackendConfig.__dataclass_fields__[name]
    text = field.metadata["help"]
    flags = [f"--{name}"] if field.default is False else []
    return option(f"{text[0].upper()}{text[1:]}.", *flags, panel=BACKEND)


def _folder(text: str) -> Path:
    from resight.backends import check_folder

    return check_folder(text)


Collection = Annotated[
    Path, option("Collection folder.", "--collection", "-c", parser=_folder, metavar="FOLDER")
]
Place = Annotated[
    str,
    option(
        "The collection.",
        "--collection",
        "-c",
        metavar="FOLDER|URL",
    ),
]
Address = Annotated[
    str, argument("URL", "postgresql://HOST/DATABASE/NAME or qdrant+http://HOST:6333/NAME.")
]
Config = Annotated[
    str | None,
    option(
        "Method (see resight methods) or TOML file.",
        metavar="NAME|FILE",
        show_default=DEFAULT_METHOD,
    ),
]
BoxText = Annotated[str | None, option("Query region, in pixels.", metavar="X,Y,W,H")]
Json = Annotated[bool, option("Print JSON and nothing else.", "--json")]
Output = Annotated[Path, option("File to write.", "--output", "-o", metavar="FILE")]

Weights = Annotated[
    Path | None, option("Network weights, .pth or .safetensors.", metavar="FILE", panel=NETWORK)
]
Runtime = Annotated[str, option("auto, torch, openvino or onnx.", metavar="NAME", panel=NETWORK)]
Device = Annotated[str, option("auto, cpu, cuda, cuda:1 or mps.", metavar="NAME", panel=NETWORK)]
Precision = Annotated[
    str | None,
    option(
        "float32, bfloat16 (CPUs with AMX), auto, float16 (GPUs) or int8 (faster on a CPU).",
        metavar="NAME",
        show_default="as configured",
        panel=NETWORK,
    ),
]
Cam = Annotated[
    bool | None,
    option("Add a descriptor masked by the class activation map.", "--cam/--no-cam", panel=NETWORK),
]

Rerank = Annotated[
    Reranking,
    option(
        "Re-rank: aqe, alpha-qe, dba, k-reciprocal, diffusion, late-fusion.",
        metavar="METHOD",
        show_default=False,
        panel=RANKING,
    ),
]
RerankWith = Annotated[
    list[str] | None,
    option("Its parameter, such as k1=20.", metavar="NAME=VALUE", panel=RANKING),
]
Verify = Annotated[
    int,
    option("Verify the top N results with RANSAC.", metavar="N", show_default=False, panel=RANKING),
]
VerifyBy = Annotated[
    VerifiedBy,
    option("By sift or columns.", metavar="NAME", panel=RANKING),
]
VerifyGeometry = Annotated[
    Geometry,
    option("homography (default) or affine.", metavar="NAME", show_default=False, panel=RANKING),
]


def one_of(**flags: bool) -> str | None:
    """Return the name of the flag that is set, if any is.

    Raises:
        UsageError: several are.
    """
    given = [name for name, flag in flags.items() if flag]
    if len(given) > 1:
        raise UsageError(f"not together with --{given[1]}", parameter=given[0])
    return given[0] if given else None


def parse_settings(texts: list[str] | None, option: str) -> dict[str, Any]:
    """Parse `NAME=VALUE` texts; a value is JSON, or else a plain string.

    >>> parse_settings(["features=64", "method=pfa"], "set")
    {'features': 64, 'method': 'pfa'}

    Raises:
        UsageError: a text has no `=`.
    """
    settings = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"{text!r} is not NAME=VALUE", parameter=option)
        try:
            settings[name] = json.loads(value)
        except (ValueError, RecursionError):  # recursion: lists in lists, thousands deep
            settings[name] = value
    return settings


def parse_share(text: str) -> float:
    """Parse a fraction such as `1/30`.

    Raises:
        UsageError: anything else, or not above 0 and up to 1.
    """
    try:
        readable = len(text) <= MAX_DIGITS and "e" not in text.lower()
        share = float(Fraction(text)) if readable else 0.0
    except (ValueError, ZeroDivisionError):
        share = 0.0
    if not 0 < share <= 1:
        raise UsageError(f"{text}: expected a fraction up to 1, such as 1/30", parameter="sample")
    return share


def parse_duration(text: str) -> float:
    """Return the seconds of a duration such as `30s`, `10m` or `2h`.

    >>> parse_duration("10m")
    600.0

    Raises:
        UsageError: anything else.
    """
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    number, unit = text[:-1], text[-1:]
    valid = number.isdecimal() and len(number) <= MAX_DIGITS and unit in units
    if not valid or int(number) == 0:
        raise UsageError(f"{text}: expected a time such as 30s, 10m or 2h", parameter="for")
    return int(number) * units[unit]


def parse_box(text: str | None) -> "Box | None":
    """Parse `x,y,w,h` in whole pixels.

    Raises:
        UsageError: anything else.
    """
    if text is None:
        return None
    try:
        x, y, w, h = (int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"{text}: expected x,y,w,h in whole pixels", parameter="box") from None
    return x, y, w, h


def parse_thing(queries: list[str]) -> str | None:
    """Return the name in the query `name:NAME`; None for photos.

    >>> parse_thing(["name:our boat"])
    'our boat'

    Raises:
        UsageError: there are other queries, too.
    """
    things = [query.removeprefix(THING) for query in queries if query.startswith(THING)]
    if (len(things) < len(queries) and things) or len(things) > 1:
        raise UsageError(f"{THING}{things[0]}: search with one name, and nothing else")
    return things[0] if things else None


def model_options(weights: Path | None, runtime: str, device: str) -> "ModelOptions":
    """Return how to find and run the network, with download progress on stderr."""
    from resight.cli import output
    from resight.methods.model import ModelOptions

    return ModelOptions(weights, device, runtime, output.download_progress())


def benchmark_model_options(
    weights: list[Path] | None, runtime: str, device: str
) -> "ModelOptions":
    """Return the same with several weights files, or that of the environment."""
    from resight.networks.weights import ENVIRONMENT_VARIABLE

    named = os.environ.get(ENVIRONMENT_VARIABLE)
    files = weights or ([Path(named).expanduser()] if named else [])
    return dataclasses.replace(model_options(None, runtime, device), weights_files=tuple(files))
