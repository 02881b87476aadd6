"""Configurations: validation, plain values and the fingerprint."""

import dataclasses
import json
import os
import re
import subprocess
import sys
import typing
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
from resight.config import method as method_module
from resight.config.local import SIFT_VLAD_FIELDS
from resight.errors import UsageError
from resight.methods import METHODS

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
def test_every_field_has_a_help_text_and_is_frozen(cls: type[Any]) -> None:
    for field in dataclasses.fields(cls):
        assert field.metadata["help"], field.name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(cls(), field.name, field.default)


# Plain values

CHOICES = {
    name: st.sampled_from(typing.get_args(hint))
    for name, hint in typing.get_type_hints(ExtractionConfig).items()
    if typing.get_origin(hint) is typing.Literal and name not in ("fusion", "precision")
}
NETWORKS = [
    {"backbone": "resnet50", "layers": ("layer3", "layer4"), "cam": True},
    {"backbone": "resnet101", "layers": ("conv1", "layer1", "layer2")},
    {"backbone": "vgg16", "layers": ("conv1", "conv2", "conv3", "conv4", "conv5")},
    {"backbone": "vgg16", "layers": ("fc6",), "square": True},
    {"backbone": "efficientnet-lite0", "layers": ("head", "expand"), "cam": True},
]
EXTRACTION = st.fixed_dictionaries(
    {
        **CHOICES,
        "network": st.sampled_from(NETWORKS),
        "fusion_interpolation": st.sampled_from(["bilinear", "bicubic"]),
        "resolutions": st.lists(st.integers(32, 8192), min_size=1, max_size=4),
        "levels": st.integers(1, 8),
        "gem_power": st.floats(0.1, 100),
        "stride": st.floats(0, 1, exclude_min=True),
        "cam_threshold": st.floats(0, 1e6),
        "upscale": st.booleans(),
        "normalize_concatenation": st.booleans(),
    }
).map(lambda fields: ExtractionConfig(**fields.pop("network"), **fields))


@given(config=EXTRACTION)
def test_plain_values_and_back(config: ExtractionConfig) -> None:
    plain = json.loads(json.dumps(config.to_dict()))
    assert plain == config.to_dict()
    assert method_from_dict(plain) == ExtractionConfig.from_dict(plain) == config


def test_whole_numbers_become_floats_and_lists_tuples() -> None:
    config = ExtractionConfig(stride=1, layer_weights=[1, 0])  # type: ignore[arg-type]
    assert config == ExtractionConfig(stride=1.0, layer_weights=(1.0, 0.0))
    assert type(config.stride) is float
    assert type(config.layer_weights) is tuple


# Refusals: one line that names the field, the limit and the value

BAD: dict[type[Any], dict[str, list[Any]]] = {
    ExtractionConfig: {
        "method": ["sift-vlad", None],
        "backbone": ["vgg19", 50],
        "resolutions": [(), (31,), (8193,), (550.0,), (True,), 550, "550", None],
        "resize_filter": ["nearest", None],
        "upscale": [1, "true", None],
        "layers": [(), ("layer4", "layer4"), ("conv5",), "layer4", None],
        "levels": [0, 9, 3.0, True, None],
        "pooling": [None],
        "gem_power": [0, float("nan"), "3"],
        "region_values": [0, 8.0],
        "layer_weights": [(1.0,), (0.0, 0.0), (1.0, -1.0), ("1", "1"), 1.0],
        "stride": [0, 1.01, float("nan"), float("inf"), 10**400, "0.4", True],
        "cam_threshold": [-0.1, float("nan"), float("inf")],
        "precision": ["int4"],
    },
    LocalConfig: {
        "features": [None],
        "longest_side": [63, 8193],
        "max_keypoints": [0, 100_001],
        "contrast_threshold": [0, 1],
        "backbone": ["vgg19"],
        "layer": ["conv5", "layer5"],
        "scales": [(), (0,), (17,), (1, 2)],
        "patch_side": [31, 1025],
        "values": [0],
        "centers": [0, 65_537],
        "assigned": [0, 129],
        "sample": [127, 0],
        "power": [0, 1.1],
        "distance": ["hamming"],
        "seed": [-1, 2**32],
        "dtype": ["int8"],
    },
    WhiteningConfig: {
        "variance": [0, 1.01],
        "max_components": [0],
        "shrinkage": [-0.1, "0"],
        "prior": [-1],
        "min_photos": [1],
        "fallback": ["whitening"],
        "combine_with": ["whitening"],
        "weight": [0, 1],
    },
    SelectionConfig: {"features": [0, None], "components": [0], "restarts": [0], "seed": [2**32]},
    NoReduction: {"method": ["pfa"]},
    RerankConfig: {
        "method": ["gqe"],
        "shortlist": [1],
        "alpha": [-1, 101],
        "share": [-0.1, 1.1],
        "gamma": [0, float("inf")],
        "damping": [0, 1],
        "related": [-1],
    },
    SearchConfig: {"rerank": ["best", None], "k": [0, 1.0], "verify": [-1], "approximate": ["yes"]},
}


@pytest.mark.parametrize(
    ("cls", "name", "value"),
    [
        (cls, name, v)
        for cls, fields in BAD.items()
        for name, values in fields.items()
        for v in values
    ],
    ids=lambda value: getattr(value, "__name__", str(value)[:20]),
)
def test_a_bad_value_is_refused_by_name(cls: type[Any], name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=rf"^{name}: ") as caught:
        cls(**{name: value})
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match=rf"^{name}: "):
        cls.from_dict({name: list(value) if isinstance(value, tuple) else value})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"fusion": "sum"}, "fusion: expected one of early, late, not 'sum'"),
        ({"levels": 9}, "levels: expected int <= 8, not 9"),
        ({"levels": "3"}, "levels: expected int, not '3'"),
        ({"cam": 1}, "cam: expected bool, not 1"),
        ({"resolutions": (10,)}, "resolutions: expected int >= 32, not (10,)"),
        ({"cam_threshold": float("inf")}, "cam_threshold: expected float that is finite, not inf"),
        (
            {"backbone": "vgg19"},
            "backbone: expected one of resnet50, resnet101, vgg16, efficientnet-lite0, "
            "efficientnet-lite1, efficientnet-lite2 or timm:NAME, not 'vgg19'",
        ),
        ({"layers": ("fc6",)}, "layers: fc6 is not a stage of resnet50, which has conv1, layer1"),
        ({"cam": True, "fusion": "late"}, "cam: needs fusion"),
        (
            {"cam": True, "backbone": "vgg16", "layers": ("conv5",)},
            "cam: vgg16 has no classifier that is linear",
        ),
        ({"pooling": "fine-tuned"}, 'pooling: fine-tuned needs fusion = "late" and the last'),
        (
            {"backbone": "vgg16", "layers": ("conv5_3",), "pooling": "gem"},
            "pooling: gem needs values >= 0, but conv5_3 of vgg16 may be negative; use one of",
        ),
        (
            {"precision": "int8", "learn_layer_weights": True},
            "precision: int8 is not for methods that learn",
        ),
        (
            {"layer_weights": (1, 1), "learn_layer_weights": True},
            "learn_layer_weights: not with layer_weights",
        ),
        (
            {"fusion_align_corners": True, "fusion_interpolation": "nearest"},
            "fusion_align_corners: not with nearest",
        ),
    ],
    ids=str,
)
def test_messages(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=f"^{re.escape(message)}"):
        ExtractionConfig(**fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"features": "columns", "scales": (1, 2)}, "scales: only for cells and patches"),
        ({"aggregation": "stack"}, "aggregation: stack is for cells"),
        ({"aggregation": "netvlad", "centers": 1}, "centers: expected 2 or more for netvlad"),
        ({"aggregation": "hamming", "features": "columns"}, "aggregation: hamming is for rootsift"),
        ({"aggregation": "hamming", "dtype": "float16"}, "dtype: only float32 for hamming"),
        ({"sample": 64, "centers": 65}, "sample: expected at least centers"),
        ({"method": "sift-vlad", "aggregation": "fisher"}, "aggregation: fixed in the method sift"),
    ],
    ids=str,
)
def test_messages_of_local_features(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}"):
        LocalConfig(**fields)


def test_unknown_fields_and_methods() -> None:
    with pytest.raises(UsageError, match=r"^unknown field 'colour'; the fields are method, featur"):
        SelectionConfig.from_dict({"colour": 1})
    for fields in ([], 3, "features", None):
        with pytest.raises(UsageError, match=r"^expected a table of fields, not "):
            reduction_from_dict(fields)
    for method in ("vlad", "", None, 1, ["cnn"], {"cnn": 1}):
        with pytest.raises(
            UsageError, match=r"^method: expected one of cnn, sift-vlad, local, not"
        ):
            method_from_dict({"method": method})


# Re-ranking by name and settings


def test_a_re_ranking_from_settings() -> None:
    config = RerankConfig.parse("k-reciprocal", ["k1=8", "share=0.5"])
    assert config == RerankConfig(method="k-reciprocal", k1=8, share=0.5)
    assert RerankConfig.parse("none", []) == RerankConfig()


@pytest.mark.parametrize(
    ("method", "setting", "message"),
    [
        ("best", "k1=8", "rerank: 'best' is not one of none, aqe"),
        ("dba", "k1", "rerank_with: 'k1' is not NAME=VALUE"),
        ("dba", "method=1", "rerank_with: 'method=1' is not NAME=VALUE"),
        ("dba", "k1=x", "rerank_with: k1=x: 'x' is not a number"),
        ("dba", "k1=0", "rerank_with: k1: expected int >= 1, not 0"),
        ("none", "k1=3", "rerank_with: needs a method"),
    ],
)
def test_bad_settings_of_a_re_ranking(method: str, setting: str, message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}"):
        RerankConfig.parse(method, [setting])


# Stored by earlier versions


def test_sift_vlad_is_stored_with_its_own_fields_only() -> None:
    config = LocalConfig(method="sift-vlad", centers=64)
    assert tuple(config.to_dict()) == SIFT_VLAD_FIELDS
    assert method_from_dict(config.to_dict()) == config
    assert not config.reducible


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
"""Another value of every field but `method`."""

REQUIRED: dict[str, dict[str, Any]] = {"scales": {"features": "patches"}}
"""Other fields that a value of `OTHER` requires."""


@pytest.mark.parametrize(
    ("cls", "name"),
    [(cls, f.name) for cls in OTHER for f in dataclasses.fields(cls) if f.name != "method"],
)
def test_every_field_changes_the_fingerprint(cls: type[Any], name: str) -> None:
    assert name in OTHER[cls], f"{name} is a new field: add another value of it"
    required = REQUIRED.get(name, {})
    changed = cls(**required, **{name: OTHER[cls][name]})
    assert changed.fingerprint(MODEL) != cls(**required).fingerprint(MODEL)


def test_fingerprints_differ_by_method_model_and_algorithm(monkeypatch: pytest.MonkeyPatch) -> None:
    configs: list[MethodConfig] = list(dict.fromkeys(spec.config for spec in METHODS.values()))
    found = {config.fingerprint(model) for config in configs for model in (MODEL, "1" * 64)}
    monkeypatch.setattr(method_module, "ALGORITHM_VERSION", -1)
    found |= {config.fingerprint(MODEL) for config in configs}
    assert len(found) == 3 * len(configs)
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in found)


def test_the_fingerprint_is_the_same_in_every_process() -> None:
    program = (
        "from resight.methods import METHODS\n"
        f"print([spec.config.fingerprint({MODEL!r}) for spec in METHODS.values()])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONHASHSEED": "1"},
    )
    assert done.stdout.strip() == str([s.config.fingerprint(MODEL) for s in METHODS.values()])
