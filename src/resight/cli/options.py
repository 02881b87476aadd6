"""Options that several commands share, and how their texts are parsed."""

import dataclasses
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resight.config import BackendConfig
from resight.errors import UsageError

if TYPE_CHECKING:
    from resight.methods.model import ModelOptions
    from resight.photos.transforms import Box

NETWORK = "Network"
RANKING = "Re-ranking and verification"
FILTER = "Filter"
CLUSTER = "Ray cluster"
BACKEND = "Backend (docs/backends.md)"


def _folder(text: str) -> Path:
    from resight.backends.open import check_folder

    return check_folder(text)


Collection = Annotated[
    Path,
    typer.Option(
        "--collection",
        "-c",
        help="Collection folder.",
        parser=_folder,
        metavar="FOLDER",
        show_default=False,
    ),
]
Place = Annotated[
    str,
    typer.Option(
        "--collection",
        "-c",
        help="Collection folder, or its address in PostgreSQL or Qdrant.",
        metavar="FOLDER|URL",
        show_default=False,
    ),
]
Address = Annotated[
    str,
    typer.Argument(
        metavar="URL",
        help="postgresql://HOST/DATABASE/NAME or qdrant+http://HOST:6333/NAME.",
        show_default=False,
    ),
]
Config = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FILE",
        help="Method (see resight methods) or TOML file.",
        show_default="paper",
    ),
]
Box_ = Annotated[
    str | None,
    typer.Option(metavar="X,Y,W,H", help="Query region, in pixels.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Output = Annotated[
    Path, typer.Option("--output", "-o", metavar="FILE", help="File to write.", show_default=False)
]

Weights = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Network weights, .pth or .safetensors.",
        show_default=False,
        rich_help_panel=NETWORK,
    ),
]
Runtime = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Inference runtime: auto, torch, openvino or onnx.",
        rich_help_panel=NETWORK,
    ),
]
Device = Annotated[
    str,
    typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:1 or mps.", rich_help_panel=NETWORK),
]
Precision = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="float32, float16 (faster on a GPU) or int8 (faster on a CPU).",
        show_default="float32",
        rich_help_panel=NETWORK,
    ),
]
Cam = Annotated[
    bool | None,
    typer.Option(
        "--cam/--no-cam",
        help="Add a descriptor masked by the class activation map.",
        show_default=False,
        rich_help_panel=NETWORK,
    ),
]

Rerank = Annotated[
    str,
    typer.Option(
        metavar="METHOD",
        help="Re-rank the top results: aqe, alpha-qe, dba, k-reciprocal, diffusion, late-fusion.",
        rich_help_panel=RANKING,
    ),
]
RerankWith = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=VALUE",
        help="Re-ranking parameter, such as k1=20; repeatable.",
        show_default=False,
        rich_help_panel=RANKING,
    ),
]
Verify = Annotated[
    int,
    typer.Option(
        metavar="N",
        help="Verify the geometry of the top N results with RANSAC.",
        rich_help_panel=RANKING,
    ),
]
VerifyBy = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Local features: sift, or columns of the network.",
        rich_help_panel=RANKING,
    ),
]
VerifyGeometry = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Geometric model: homography or affine.",
        rich_help_panel=RANKING,
    ),
]


def backend_option(name: str) -> Any:
    """Return the option of a `BackendConfig` field."""
    field = BackendConfig.__dataclass_fields__[name]
    text = field.metadata["help"]
    flags = [f"--{name}"] if field.default is False else []
    return typer.Option(*flags, help=f"{text[0].upper()}{text[1:]}.", rich_help_panel=BACKEND)


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
        except ValueError:
            settings[name] = value
    return settings


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
