"""Configurations: presets, TOML, what is refused, and the fingerprint."""

import dataclasses
import json
import os
import re
import subprocess
import sys
import typing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resight.config import (
    ExtractionConfig,
    LocalConfig,
    MethodConfig,
    NoReduction,
    RerankConfig,
    SearchConfig,
    SelectionConfig,
    WhiteningConfig,
    method_from_dict,
    reduction_from_dict,
    stored_reduction,
)
from resight.config import method as configuration
from resight.config.local import SIFT_VLAD_FIELDS
from resight.descriptors.aggregation import AGGREGATIONS
from resight.descriptors.pooling import POOLINGS
from resight.errors import UsageError
from resight.methods.catalogue import METHODS
from resight.methods.resolve import load_config, resolve_config

MODEL = "0" * 64
CLASSES: list[type[Any]] = [
    ExtractionConfig,
    LocalConfig,
    SelectionConfig,
    WhiteningConfig,
    NoReduction,
    RerankConfig,
    SearchConfig,
]


def toml(fields: dict[str, Any]) -> str:
    """Fields as TOML: strings, numbers, lists and true/false are written as in JSON."""
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in fields.items())


def write(folder: Path, text: str) -> str:
    (folder / "my.toml").write_text(text, "utf-8")
    return str(folder / "my.toml")


# Presets and defaults


def test_presets() -> None:
    assert load_config("paper") == (ExtractionConfig(), SelectionConfig())
    assert load_config("fast") == (ExtractionConfig(resolutions=(550,)), SelectionConfig())
    assert load_config("auto") == (ExtractionConfig(), METHODS["auto"].reduction)
    assert load_config("sift-vlad") == (LocalConfig(method="sift-vlad"), NoReduction())
    for name, recipe in METHODS.items():
        if recipe.rerank == RerankConfig() and not recipe.verify:
            assert load_config(name) == (recipe.config, recipe.reduction)
        else:
            with pytest.raises(UsageError, match="re-ranks results"):
                load_config(name)
    with pytest.raises(UsageError, match="search with verify=20, verify_by=columns"):
        load_config("whitened-columns")


def test_auto_whitens_from_400_photos_on() -> None:
    auto = METHODS["auto"].reduction
    assert isinstance(auto, WhiteningConfig)
    assert auto.for_photos(399) == METHODS["paper"].reduction
    assert auto.for_photos(400) == auto
    assert auto.combine_with == "pfa"


def test_the_defaults_are_the_papers() -> None:
    paper = ExtractionConfig()
    assert paper.resolutions == (1050, 800, 550)
    assert paper.layers == ("layer4", "layer3")
    assert (paper.fusion, paper.levels, paper.stride) == ("early", 3, 0.4)
    assert (paper.resize_filter, paper.resize_from, paper.upscale) == ("bilinear", "original", True)
    assert (paper.cam, paper.cam_threshold) == (False, 0.9)
    selection = SelectionConfig()
    assert (selection.features, selection.variance, selection.components) == (768, 0.9, None)
    assert (selection.absolute, selection.renormalize) == (False, False)
    assert selection.restarts >= 4


@pytest.mark.parametrize("cls", CLASSES)
def test_every_field_says_what_it_is(cls: type[Any]) -> None:
    for field in dataclasses.fields(cls):
        assert field.metadata["help"], field.name


@pytest.mark.parametrize("cls", CLASSES)
def test_configurations_cannot_be_changed(cls: type[Any]) -> None:
    config = cls()
    name = dataclasses.fields(cls)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(config, name, getattr(config, name))


# Files and plain values

LITERALS = {
    name: st.sampled_from(typing.get_args(hint))
    for name, hint in typing.get_type_hints(ExtractionConfig).items()
    if typing.get_origin(hint) is typing.Literal
}
LITERALS["pooling"] = st.sampled_from([*POOLINGS, "rmac-whitened"])
EXTRACTION = st.fixed_dictionaries(
    {
        **{
            n: values
            for n, values in LITERALS.items()
            if n not in ("fusion", "backbone", "precision")
        },
        "network": st.sampled_from(
            [
                {"backbone": "resnet50", "layers": ("layer4", "layer3"), "cam": True},
                {"backbone": "resnet50", "layers": ("layer3", "layer4"), "cam": False},
                {"backbone": "resnet101", "layers": ("layer4",), "cam": True},
                {"backbone": "resnet101", "layers": ("conv1", "layer1", "layer2")},
                {"backbone": "vgg16", "layers": ("conv1", "conv2", "conv3", "conv4", "conv5")},
                {"backbone": "vgg16", "layers": ("fc6",), "square": True},
            ]
        ),
        "fusion_interpolation": st.sampled_from(["bilinear", "bicubic"]),
        "resolutions": st.lists(st.integers(32, 8192), min_size=1, max_size=4).map(tuple),
        "levels": st.integers(1, 8),
        "gem_power": st.floats(0.1, 100),
        "stride": st.floats(0, 1, exclude_min=True),
        "cam_threshold": st.floats(0, 1e6),
        **dict.fromkeys(
            (
                "upscale",
                "reduced_jpeg",
                "fusion_align_corners",
                "normalize_concatenation",
            ),
            st.booleans(),
        ),
    }
).map(lambda fields: ExtractionConfig(**fields.pop("network"), **fields))
SELECTION = st.builds(
    SelectionConfig,
    features=st.integers(1, 10_000),
    variance=st.floats(0, 1, exclude_min=True),
    components=st.none() | st.integers(1, 3072),
    restarts=st.integers(1, 100),
    absolute=st.booleans(),
    renormalize=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)


@given(config=EXTRACTION)
def test_plain_values_and_back(config: ExtractionConfig) -> None:
    plain = json.loads(json.dumps(config.to_dict()))
    assert plain == config.to_dict()
    assert method_from_dict(plain) == ExtractionConfig.from_dict(plain) == config


@given(config=EXTRACTION, selection=SELECTION)
def test_files_and_back(
    config: ExtractionConfig,
    selection: SelectionConfig,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    chosen = {name: value for name, value in selection.to_dict().items() if value is not None}
    fields = {name: value for name, value in config.to_dict().items() if value is not None}
    text = f"{toml(fields)}[selection]\n{toml(chosen)}"
    path = write(tmp_path_factory.getbasetemp(), text)
    assert load_config(path) == (config, selection)


def test_a_file_of_whitening(tmp_path: Path) -> None:
    path = write(tmp_path, '[selection]\nmethod = "whitening"\nfeatures = 32\n')
    assert load_config(path) == (ExtractionConfig(), WhiteningConfig(features=32))
    with pytest.raises(UsageError, match="unknown field 'restarts'"):
        load_config(write(tmp_path, '[selection]\nmethod = "whitening"\nrestarts = 4\n'))
    with pytest.raises(UsageError, match="method: 'pca' is not one of pfa, whitening, none"):
        load_config(write(tmp_path, '[selection]\nmethod = "pca"\n'))


def test_a_file_of_sift_vlad(tmp_path: Path) -> None:
    config = LocalConfig(method="sift-vlad", centers=64, distance="manhattan", power=0.25)
    assert load_config(write(tmp_path, toml(config.to_dict()))) == (config, NoReduction())


def test_a_file_of_local_features(tmp_path: Path) -> None:
    config = LocalConfig(features="cells", aggregation="stack", scales=(1, 2), layer="layer3")
    plain = {name: value for name, value in config.to_dict().items() if value is not None}
    assert load_config(write(tmp_path, toml(plain))) == (config, NoReduction())
    white = toml(plain) + '[selection]\nmethod = "whitening"\n'
    assert load_config(write(tmp_path, white)) == (config, WhiteningConfig())


def test_a_recipe_with_re_ranking_names_the_one_without() -> None:
    for name, base in (("whitened-dba", "whitened"), ("bow-aqe", "bow")):
        with pytest.raises(UsageError, match=f"index with {base}, and search with"):
            load_config(name)


def test_a_file_names_the_fields_it_changes_alone(tmp_path: Path) -> None:
    path = write(tmp_path, "cam = true\nstride = 1\n[selection]\nfeatures = 320\n")
    assert load_config(path) == (
        ExtractionConfig(cam=True, stride=1.0),
        SelectionConfig(features=320),
    )
    assert load_config(write(tmp_path, "")) == (ExtractionConfig(), SelectionConfig())


def test_whole_numbers_are_numbers() -> None:
    config = ExtractionConfig(stride=1, cam_threshold=0)
    assert config == ExtractionConfig(stride=1.0, cam_threshold=0.0)
    assert type(config.stride) is float
    assert config.fingerprint(MODEL) == ExtractionConfig(stride=1.0, cam_threshold=0.0).fingerprint(
        MODEL
    )


# What is refused: the field is named, on one line

BAD: dict[type[Any], dict[str, list[Any]]] = {
    ExtractionConfig: {
        "method": ["sift-vlad", None, 1],
        "backbone": ["vgg19", None, 50],
        "resolutions": [(), (31,), (8193,), (550, 0), (-5,), (550.0,), (True,), 550, "550", None],
        "resize_filter": ["nearest", None],
        "resize_from": ["next", False],
        "upscale": [1, "true", None],
        "square": [0, "no", None],
        "reduced_jpeg": [0, None],
        "fusion": ["sum", None],
        "fusion_interpolation": ["area", None],
        "fusion_align_corners": ["no", None],
        "layers": [(), ("layer4", "layer4"), ("conv5",), "layer4", None],
        "levels": [0, 9, -1, 3.0, True, None],
        "pooling": [None, 1],
        "gem_power": [0, -1, float("nan"), "3", None],
        "region_values": [0, -1, 8.0, True],
        "layer_weights": [(1.0,), (0.0, 0.0), (1.0, -1.0), ("1", "1"), 1.0, None],
        "learn_layer_weights": [1, None],
        "stride": [0, -0.4, 1.01, float("nan"), float("inf"), 10**400, "0.4", True, None],
        "normalize_concatenation": [1, None],
        "cam": ["yes", None],
        "cam_threshold": [-0.1, float("nan"), float("inf"), False, None],
        "mask_interpolation": ["area", None],
        "dtype": ["float64", None],
        "precision": ["int4", None],
    },
    LocalConfig: {
        "method": ["cnn", None],
        "features": [None, 1],
        "aggregation": [None, 1],
        "longest_side": [63, 8193, 1024.0, None],
        "max_keypoints": [0, 100_001, None],
        "contrast_threshold": [0, 1, -1, float("nan"), None],
        "backbone": ["vgg19", None, 50],
        "layer": ["conv5", "layer5", None],
        "scales": [(), (0,), (17,), (1.0,), 1, (1, 2), None],
        "patch_side": [31, 1025, None],
        "values": [0, 1.0, True],
        "centers": [0, 65_537, None],
        "assigned": [0, 129, 1.0, None],
        "sample": [127, 0, None],
        "power": [0, 1.1, float("nan"), None],
        "distance": ["hamming", None],
        "seed": [-1, 2**32, 0.0, None],
        "dtype": ["int8", None],
    },
    WhiteningConfig: {
        "method": ["pfa", None],
        "features": [0, -1, 32.0, True],
        "variance": [0, 1.01, float("nan"), None],
        "max_components": [0, 1.0, None],
        "shrinkage": [-0.1, float("nan"), "0"],
        "prior": [-1, float("nan"), None],
        "whiten": [1, None],
        "power": [0, 1.1, None],
        "min_photos": [1, 2.0, None],
        "fallback": ["whitening", None],
        "combine_with": ["whitening", None],
        "weight": [0, 1, float("nan"), None],
    },
    SelectionConfig: {
        "method": ["whitening", None],
        "features": [0, -1, 768.0, True, None],
        "variance": [0, 1.01, float("nan"), "0.9", None],
        "components": [0, -1, 1.0, True],
        "restarts": [0, 4.0, None],
        "absolute": [1, None],
        "renormalize": ["no", None],
        "seed": [-1, 2**32, 1.0, None],
    },
    NoReduction: {"method": ["pfa", None]},
    RerankConfig: {
        "method": ["gqe", None],
        "shortlist": [1, 2.0, None],
        "expanded": [0, None],
        "alpha": [-1, 101, float("nan"), None],
        "k1": [0, 1.0, None],
        "k2": [0, None],
        "share": [-0.1, 1.1, None],
        "mutual": [0, True, None],
        "gamma": [0, float("inf"), None],
        "damping": [0, 1, float("nan"), None],
        "references": [0, 1.0, None],
        "related": [-1, 1.0, None],
    },
    SearchConfig: {
        "rerank": ["best", None],
        "rerank_with": [("k1",), ("k1=20",), ("k1=x",), ("method=1",), (3,), None],
        "verify_by": ["orb", None],
        "verify_geometry": ["similarity", None],
        "k": [0, -1, 1.0, True, None],
        "verify": [-1, 0.0, False, None],
        "approximate": [0, "yes", None],
    },
}


def test_names_are_checked_against_the_tables_of_the_descriptors(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^pooling: expected one of modified-rmac, .* not 'max'"):
        resolve_config(ExtractionConfig(pooling="max"), None)
    with pytest.raises(UsageError, match=r"^features: expected one of rootsift, .* not 'surf'"):
        resolve_config(LocalConfig(features="surf"), None)
    path = write(tmp_path, 'method = "local"\naggregation = "sum"\n')
    with pytest.raises(UsageError, match=f"^{re.escape(path)}: aggregation: expected one of vlad"):
        load_config(path)
    for name in AGGREGATIONS:
        if name != "stack":
            assert resolve_config(LocalConfig(aggregation=name), None)


@pytest.mark.parametrize("cls", CLASSES)
def test_bad_values_are_listed_for_every_field(cls: type[Any]) -> None:
    assert set(BAD[cls]) == {field.name for field in dataclasses.fields(cls)}


@pytest.mark.parametrize(
    ("cls", "name", "value"),
    [
        pytest.param(cls, name, value, id=f"{cls.__name__}-{name}-{str(value)[:20]}")
        for cls, fields in BAD.items()
        for name, values in fields.items()
        for value in values
    ],
)
def test_a_bad_value_is_refused_by_name(cls: type[Any], name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=rf"^{name}: ") as caught:
        cls(**{name: value})
    assert "\n" not in str(caught.value)
    plain = list(value) if isinstance(value, tuple) else value
    with pytest.raises(UsageError, match=rf"^{name}: "):
        cls.from_dict({name: plain})


def test_a_refusal_says_what_would_do() -> None:
    for fields, message in (
        ({"fusion": "sum"}, "fusion: expected one of early, late, not 'sum'"),
        ({"levels": "3"}, "levels: expected int, not '3'"),
        ({"stride": "a"}, "stride: expected float, not 'a'"),
        ({"cam": 1}, "cam: expected bool, not 1"),
        ({"resolutions": (10,)}, "resolutions: expected int >= 32, not (10,)"),
        (
            {"backbone": "vgg19"},
            "backbone: expected one of resnet50, resnet101, vgg16, not 'vgg19'",
        ),
        (
            {"layers": ("fc6",)},
            "layers: fc6 is not a stage of resnet50, which has conv1, layer1, layer2, layer3, layer4",
        ),
    ):
        with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
            ExtractionConfig(**fields)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"^components: expected int \| null, not 'all'$"):
        SelectionConfig(components="all")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"cam": True, "fusion": "late"}, "cam"),
        ({"cam": True, "backbone": "vgg16", "layers": ("conv5",)}, "cam"),
        ({"backbone": "vgg16"}, "layers"),
        ({"fusion_align_corners": True, "fusion_interpolation": "nearest"}, "fusion_align_corners"),
    ],
)
def test_fields_that_exclude_each_other(fields: dict[str, Any], name: str) -> None:
    with pytest.raises(UsageError, match=f"^{name}: "):
        ExtractionConfig(**fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"features": "columns", "scales": (1, 2)}, "scales: only for cells and patches"),
        ({"aggregation": "stack"}, "aggregation: stack is for cells"),
        ({"aggregation": "netvlad", "centers": 1}, "centers: expected 2 or more for netvlad"),
        ({"aggregation": "hamming", "features": "columns"}, "aggregation: hamming is for rootsift"),
        (
            {"aggregation": "hamming-wgc", "dtype": "float16"},
            "dtype: only float32 for hamming-wgc",
        ),
        (
            {"backbone": "vgg16", "layer": "layer4"},
            "layer: layer4 is not a stage of vgg16, which has",
        ),
    ],
    ids=str,
)
def test_what_local_features_cannot_be(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}"):
        LocalConfig(**fields)


def test_sift_vlad_fixes_the_other_fields_of_local_features() -> None:
    config = LocalConfig(method="sift-vlad", centers=64)
    assert set(config.to_dict()) == set(SIFT_VLAD_FIELDS)
    assert method_from_dict(config.to_dict()) == config
    with pytest.raises(UsageError, match=r"^aggregation: fixed in the method sift-vlad"):
        LocalConfig(method="sift-vlad", aggregation="fisher")


def test_whitenings_of_earlier_collections_are_read() -> None:
    old = {"method": "whitening", "share": 0.5, "most": 8, "fewest": 9}
    old |= {"below": "pfa", "beside": "pfa", "part": 0.5}
    assert stored_reduction(old) == WhiteningConfig(
        variance=0.5,
        max_components=8,
        min_photos=9,
        fallback="pfa",
        combine_with="pfa",
        weight=0.5,
    )
    with pytest.raises(UsageError, match="unknown field 'share'"):
        reduction_from_dict(old)


def test_a_sample_smaller_than_the_vocabulary_is_refused() -> None:
    assert LocalConfig(method="sift-vlad", sample=64, centers=64).sample == 64
    with pytest.raises(UsageError, match=r"^sample: expected at least centers$"):
        LocalConfig(method="sift-vlad", sample=64, centers=65)


@pytest.mark.parametrize("cls", CLASSES)
def test_an_unknown_field_is_refused_and_the_fields_named(cls: type[Any]) -> None:
    with pytest.raises(UsageError, match=r"^unknown field 'colour'; the fields are ") as caught:
        cls.from_dict({"colour": 1})
    assert "\n" not in str(caught.value)
    for field in dataclasses.fields(cls):
        assert field.name in str(caught.value)


@pytest.mark.parametrize("fields", [[], 3, "features", None])
def test_what_is_no_table_is_refused(fields: Any) -> None:
    with pytest.raises(UsageError, match=r"^expected a table of fields, not "):
        SelectionConfig.from_dict(fields)


@pytest.mark.parametrize("method", ["vlad", "", None, 1, ["cnn"], {"cnn": 1}], ids=str)
def test_an_unknown_method_is_refused(method: Any) -> None:
    with pytest.raises(UsageError, match=r"^method: .* is not one of cnn, sift-vlad, local$"):
        method_from_dict({"method": method})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("resolutions = 550", r"resolutions: expected array, not 550"),
        ("levels = 0", "levels: expected int >= 1, not 0"),
        ("colour = 1", "unknown field 'colour'"),
        ('method = ["cnn"]', "method: "),
        ('method = "sift-vlad"\ncam = true', "unknown field 'cam'"),
        ("selection = 3", "expected a table of fields, not 3"),
        ("[selection]\nfeatures = 0", "features: expected int >= 1, not 0"),
        ("[selection]\nlevels = 1", "unknown field 'levels'"),
        ("levels = ", "cannot be read as TOML: "),
        ("levels = 3\nlevels = 3", "cannot be read as TOML: "),
        ("levels = 1" + 5000 * "0", "cannot be read as TOML: "),
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


def test_a_name_that_is_neither_preset_nor_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load_config("papr")
    assert str(caught.value).startswith("config: no method or file 'papr' (resight methods")
    with pytest.raises(UsageError, match=r"cannot be read as TOML: .*Is a directory"):
        load_config(str(tmp_path))
    (tmp_path / "my.toml").write_bytes(b"fusion = '\xff'")
    with pytest.raises(UsageError, match="cannot be read as TOML"):
        load_config(str(tmp_path / "my.toml"))


# Fingerprints

OTHER: dict[type[Any], dict[str, Any]] = {
    ExtractionConfig: {
        "backbone": "resnet101",
        "resolutions": (1050, 550, 800),
        "resize_filter": "lanczos",
        "resize_from": "previous",
        "upscale": False,
        "square": True,
        "reduced_jpeg": True,
        "fusion": "late",
        "fusion_interpolation": "bicubic",
        "fusion_align_corners": True,
        "layers": ("layer3", "layer4"),
        "levels": 4,
        "pooling": "gem",
        "gem_power": 2.0,
        "region_values": 8,
        "layer_weights": (1.0, 2.0),
        "learn_layer_weights": True,
        "stride": 0.5,
        "normalize_concatenation": True,
        "cam": True,
        "cam_threshold": 1.0,
        "mask_interpolation": "bilinear",
        "dtype": "float16",
        "precision": "int8",
    },
    LocalConfig: {
        "features": "columns",
        "aggregation": "fisher",
        "longest_side": 800,
        "max_keypoints": 1000,
        "contrast_threshold": 0.02,
        "backbone": "resnet101",
        "layer": "layer3",
        "scales": (1, 2),
        "patch_side": 128,
        "values": 64,
        "centers": 64,
        "assigned": 5,
        "sample": 100_000,
        "power": 0.4,
        "distance": "manhattan",
        "seed": 1,
        "dtype": "float16",
    },
}
"""Another value of every field but `method`, which is the class itself."""

NEEDED: dict[str, dict[str, Any]] = {"scales": {"features": "patches"}}
"""What a field needs beside it."""


@pytest.mark.parametrize(
    ("cls", "name"),
    [(cls, f.name) for cls in OTHER for f in dataclasses.fields(cls) if f.name != "method"],
)
def test_every_field_changes_the_fingerprint(cls: type[Any], name: str) -> None:
    assert name in OTHER[cls], f"{name} is a new field: add another value of it"
    beside = NEEDED.get(name, {})
    changed = cls(**beside, **{name: OTHER[cls][name]})
    assert changed.fingerprint(MODEL) != cls(**beside).fingerprint(MODEL)


def test_fingerprints_differ_by_method_model_and_algorithm(monkeypatch: pytest.MonkeyPatch) -> None:
    configs: list[MethodConfig] = list(dict.fromkeys(r.config for r in METHODS.values()))
    found = {config.fingerprint(model) for config in configs for model in (MODEL, "1" * 64)}
    monkeypatch.setattr(configuration, "ALGORITHM_VERSION", -1)
    found |= {config.fingerprint(MODEL) for config in configs}
    assert len(found) == 3 * len(configs)
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in found)


def test_the_fingerprint_is_the_same_in_every_process() -> None:
    program = (
        "from resight.methods.catalogue import METHODS\n"
        f"print([r.config.fingerprint({MODEL!r}) for r in METHODS.values()])"
    )
    here = str([r.config.fingerprint(MODEL) for r in METHODS.values()])
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            check=True,
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONHASHSEED": seed},
        )
        assert done.stdout.strip() == here
