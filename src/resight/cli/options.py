"""The options that commands share."""

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resight.config import BackendConfig, SelectionConfig, WhiteningConfig
from resight.errors import UsageError
from resight.methods.resolve import load_config

if TYPE_CHECKING:
    from resight.methods.model import ModelOptions


def selection_option(name: str) -> Any:
    """An option of `fit`: a field of `SelectionConfig` or `WhiteningConfig`, or of both."""
    texts, defaults = [], []
    for method, cls in (("PFA", SelectionConfig), ("whitening", WhiteningConfig)):
        field = cls.__dataclass_fields__.get(name)
        if field is not None:
            help = field.metadata["help"]
            texts.append(f"{method}: {help}" if name != "method" else help)
            defaults.append("none" if field.default is None else str(field.default).lower())
    texts, defaults = list(dict.fromkeys(texts)), list(dict.fromkeys(defaults))
    text = "; ".join(texts)
    default = "the collection's" if name == "method" else " or ".join(defaults)
    return typer.Option(help=f"{text[0].upper()}{text[1:]}.", show_default=default)


def engine_option(name: str) -> Any:
    """An option of `push`: a field of `BackendConfig`."""
    field = BackendConfig.__dataclass_fields__[name]
    text = field.metadata["help"]
    default = "no" if field.default is False else str(field.default)
    flags = [f"--{name}"] if field.default is False else []
    return typer.Option(*flags, help=f"{text[0].upper()}{text[1:]}.", show_default=default)


def _folder(text: str) -> Path:
    from resight.backends.addresses import check_folder

    return check_folder(text)


Collection = Annotated[
    Path,
    typer.Option(
        "--collection",
        "-c",
        help="The collection's folder.",
        parser=_folder,
        metavar="<path>",
        show_default=False,
    ),
]
Place = Annotated[
    str,
    typer.Option(
        "--collection",
        "-c",
        help="The collection's folder, or its address on a backend: "
        "postgresql://HOST/DATABASE/NAME or qdrant+http://HOST:6333/NAME.",
        metavar="<path or address>",
        show_default=False,
    ),
]
Address = Annotated[
    str,
    typer.Argument(
        metavar="ADDRESS",
        help="postgresql://HOST/DATABASE/NAME or qdrant+http://HOST:6333/NAME.",
        show_default=False,
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option(help="Network weights, .pth or .safetensors.", show_default=False),
]
Runtime = Annotated[
    str,
    typer.Option(help="What computes the network: auto, torch, openvino or onnx (CPU)."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
Config = Annotated[
    str | None,
    typer.Option(
        help="A method by its name (see resight methods), or a TOML file of fields.",
        show_default="paper",
    ),
]
Cam = Annotated[
    bool | None,
    typer.Option(
        "--cam/--no-cam",
        help="Also a local descriptor, masked by the class activation map.",
        show_default=False,
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(
        help="float32; float16, faster on a GPU; or int8: faster on a CPU, a little less exact, "
        "quantised on the photos.",
        show_default="float32",
    ),
]
Rerank = Annotated[
    str,
    typer.Option(
        help="Put the first results into a better order: aqe, alpha-qe, dba, k-reciprocal, "
        "diffusion or late-fusion."
    ),
]
RerankWith = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=VALUE",
        help="A field of that, such as k1=20, shortlist=1000 or gamma=5; may be repeated.",
        show_default=False,
    ),
]
Verify = Annotated[
    int, typer.Option(help="Check the geometry of so many first results with RANSAC.")
]
VerifyBy = Annotated[str, typer.Option(help="What is matched: sift, or the network's columns.")]
VerifyGeometry = Annotated[
    str, typer.Option(help="What the matches are to agree on: homography or affine.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


def chosen_config(config: str | None, method: str | None) -> str | None:
    """What `--config` and `--method` name together; None where neither is given.

    Raises:
        UsageError: they contradict each other.
    """
    if method not in (None, "cnn", "sift-vlad"):  # the others are named by --config
        raise UsageError(f"--method {method}: is not one of cnn, sift-vlad")
    if config is None:
        return "paper" if method == "cnn" else method
    if method is not None:
        asked = load_config(config)[0].method
        if asked != method:
            raise UsageError(f"--config {config}: is of the method {asked}, not {method}")
    return config


def model_options(weights: Path | None, runtime: str, device: str) -> "ModelOptions":
    """How to find and run a network, with downloads told on stderr."""
    from resight.cli import output
    from resight.methods.model import ModelOptions

    return ModelOptions(weights, device, runtime, output.download_progress())


def several_weights(weights: list[Path] | None, runtime: str, device: str) -> "ModelOptions":
    """The same with several weights files, or that of the environment, each for its network."""
    from resight.networks.weights import ENVIRONMENT_VARIABLE

    named = os.environ.get(ENVIRONMENT_VARIABLE)
    files = weights or ([Path(named).expanduser()] if named else [])
    return dataclasses.replace(model_options(None, runtime, device), weights_files=tuple(files))
