"""Configurations by name and from TOML files."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from resight.config import (
    DEFAULT_METHOD,
    ExtractionConfig,
    LocalConfig,
    NoReduction,
    RerankConfig,
    SelectionConfig,
    WccnConfig,
    WhiteningConfig,
)
from resight.errors import UsageError
from resight.methods import METHODS, find_method, load_config, method_name, resolve_config


def toml(fields: dict[str, Any]) -> str:
    """Return fields as TOML: strings, numbers, lists and booleans are written as in JSON."""
    return "".join(f"{n} = {json.dumps(v)}\n" for n, v in fields.items() if v is not None)


def write(folder: Path, text: str) -> str:
    (folder / "my.toml").write_text(text, "utf-8")
    return str(folder / "my.toml")


def test_methods_by_name() -> None:
    assert load_config("paper") == (ExtractionConfig(), SelectionConfig())
    assert load_config("fast") == (ExtractionConfig(resolutions=(550,)), SelectionConfig())
    assert load_config("sift-vlad") == (LocalConfig(method="sift-vlad"), NoReduction())
    for name, spec in METHODS.items():
        if spec.rerank == RerankConfig() and not spec.verify:
            assert load_config(name) == (spec.config, spec.reduction)
        else:
            with pytest.raises(UsageError, match="re-ranks results"):
                load_config(name)


def test_a_method_that_re_ranks_names_the_one_without() -> None:
    for name, base, settings in (
        ("whitened-dba", "whitened", "rerank=dba"),
        ("bow-aqe", "bow", "rerank=aqe"),
        ("whitened-columns", "whitened", "verify=20, verify_by=columns"),
    ):
        with pytest.raises(UsageError, match=f"index with {base}, and search with {settings}$"):
            load_config(name)


def test_combined_whitens_from_400_photos_on() -> None:
    combined = METHODS["combined"].reduction
    assert isinstance(combined, WhiteningConfig)
    assert combined.for_photos(399) == METHODS["paper"].reduction
    assert combined.for_photos(400) == combined
    assert combined.combine_with == "pfa"


def test_auto_adapts() -> None:
    for name in ("auto", "accurate"):
        assert isinstance(METHODS[name].reduction, WccnConfig)
        assert METHODS[name].config.precision == "auto"


def test_method_names() -> None:
    assert method_name(METHODS["hamming"].config) == "hamming"
    assert method_name(LocalConfig(centers=77)) == "local"


def test_a_method_on_another_backbone() -> None:
    spec = find_method("ms-rmac@vgg16")
    assert spec is not None
    assert spec.config.layers == ("conv1", "conv2", "conv3", "conv4", "conv5")
    assert (spec.values, spec.weights) == ("1472", "VGG-16")
    columns = find_method("vlad-conv@vgg16")
    assert columns is not None
    assert (columns.config.backbone, columns.config.layers) == ("vgg16", ("conv4",))
    assert find_method("rmac") is METHODS["rmac"]
    assert find_method("nonsense@vgg16") is None
    for name, message in (
        ("sift-vlad@vgg16", "has no network"),
        ("rmac@vgg19", "expected one of resnet50"),
        ("neural-codes-fc6@resnet50", "has no equivalent of fc6"),
        ("paper-cam@vgg16", "cam: vgg16 has no classifier"),
    ):
        with pytest.raises(UsageError, match=f"^{name}: .*{message}"):
            find_method(name)


def test_overrides() -> None:
    assert resolve_config(None, None) == load_config(DEFAULT_METHOD) == load_config("auto")
    assert resolve_config("paper", True)[0].cam
    assert resolve_config(ExtractionConfig(), None, "int8")[0].precision == "int8"
    pair = (ExtractionConfig(), NoReduction())
    assert resolve_config(pair, False) == pair
    with pytest.raises(UsageError, match=r"^cam: class activation maps need the CNN"):
        resolve_config("sift-vlad", True)
    with pytest.raises(UsageError, match=r"^precision: sift-vlad has no network"):
        resolve_config("sift-vlad", None, "int8")


@pytest.mark.parametrize(
    ("fields", "table", "expected"),
    [
        ({}, "", (ExtractionConfig(), SelectionConfig())),
        (
            {"cam": True, "stride": 1},
            "[selection]\nfeatures = 320\n",
            (ExtractionConfig(cam=True, stride=1.0), SelectionConfig(features=320)),
        ),
        (
            {},
            '[selection]\nmethod = "whitening"\nfeatures = 32\n',
            (ExtractionConfig(), WhiteningConfig(features=32)),
        ),
        (
            {"method": "sift-vlad", "centers": 64},
            "",
            (LocalConfig(method="sift-vlad", centers=64), NoReduction()),
        ),
        (
            {"method": "local", "features": "cells", "aggregation": "stack", "scales": [1, 2]},
            '[selection]\nmethod = "whitening"\n',
            (LocalConfig(features="cells", aggregation="stack", scales=(1, 2)), WhiteningConfig()),
        ),
    ],
)
def test_files(fields: dict[str, Any], table: str, expected: Any, tmp_path: Path) -> None:
    assert load_config(write(tmp_path, toml(fields) + table)) == expected


def test_a_file_of_all_fields(tmp_path: Path) -> None:
    for spec in (METHODS["paper"], METHODS["mop-cnn"], METHODS["netvlad-trained"]):
        config = spec.config
        text = toml(config.to_dict())
        assert load_config(write(tmp_path, text)) == (config, config.default_reduction())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("resolutions = 550", "resolutions: expected array, not 550"),
        ("levels = 0", "levels: expected int >= 1, not 0"),
        ('pooling = "max"', "pooling: expected one of "),
        ("colour = 1", "unknown field 'colour'"),
        ('method = ["cnn"]', "method: "),
        ('method = "sift-vlad"\ncam = true', "unknown field 'cam'"),
        ("selection = 3", "expected a table of fields, not 3"),
        ("[selection]\nfeatures = 0", "features: expected int >= 1, not 0"),
        (
            '[selection]\nmethod = "pca"',
            "method: expected one of pfa, whitening, wccn, none, not 'pca'",
        ),
        ('[selection]\nmethod = "whitening"\nrestarts = 4', "unknown field 'restarts'"),
        ("levels = ", "cannot be read as TOML: "),
        ("levels = 3\nlevels = 3", "cannot be read as TOML: "),
        ("levels = 1" + 5000 * "0", "cannot be read as TOML: "),
        ("levels = " + 5000 * "[", "cannot be read as TOML: nested too deeply"),
        ("levels" + 5000 * ".a" + " = 1", "levels: expected int, not {'a': {'a': "),
        ("selection.method" + 5000 * ".a" + " = 1", "method: expected one of pfa, "),
        ("method" + 5000 * ".a" + " = 1", "method: expected one of "),
        ("stride = inf", "stride: expected float <= 1.0, not inf"),
        ("stride = 2024-01-01", "stride: expected float, not datetime.date"),
    ],
    ids=lambda text: text[:40],
)
def test_a_bad_file_is_named_with_the_reason(text: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path, text)
    with pytest.raises(UsageError, match=f"^{re.escape(path)}: {re.escape(message)}") as caught:
        load_config(path)
    assert "\n" not in str(caught.value)


def test_neither_a_method_nor_a_readable_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^config: no method or file 'papr' .resight methods"):
        load_config("papr")
    with pytest.raises(UsageError, match=r"cannot be read as TOML: .*Is a directory"):
        load_config(str(tmp_path))
    (tmp_path / "my.toml").write_bytes(b"fusion = '\xff'")
    with pytest.raises(UsageError, match="cannot be read as TOML"):
        load_config(str(tmp_path / "my.toml"))
