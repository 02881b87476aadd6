"""Fine-tuned networks in their authors' layouts: what is read of them, and what is refused."""

import dataclasses
import functools
import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import oracle
from resight.config import ExtractionConfig
from resight.descriptors.cnn_extractor import CnnExtractor
from resight.descriptors.pipeline import apply_gem
from resight.errors import UsageError, WeightsError
from resight.networks import BACKBONES
from resight.networks.checkpoints import NetVlad, RetrievalHead
from resight.networks.parameters import Parameters, load_parameters, recognize
from resight.networks.weights import named_file, read_content
from resight.vectors import Projection

MEAN, STD = [0.1, 0.2, 0.3], [0.5, 0.6, 0.7]
PLACES = {"conv1": 0, "bn1": 1, "layer1": 4, "layer2": 5, "layer3": 6, "layer4": 7}


random_state = functools.cache(oracle.random_state)


def resnet_state(full: bool = False) -> dict[str, Tensor]:
    """Return a ResNet-50 without its classifier: random, or zeros that take no memory."""
    state = random_state(50, seed=0)
    names = [name for name in state if not name.startswith("fc.")]
    return {n: state[n] if full else torch.zeros(()).expand(state[n].shape) for n in names}


def vgg_state() -> dict[str, Tensor]:
    state = {}
    for layer in BACKBONES["vgg16"].convolutions:
        state[f"{layer.name}.weight"] = torch.zeros(()).expand(layer.shape)
        state[f"{layer.name}.bias"] = torch.zeros(layer.shape[0])
    return state


def in_sequence(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the names of a ResNet whose children stand in a sequence."""
    named = [(name.split(".", 1), value) for name, value in state.items()]
    return {f"features.{PLACES[first]}.{rest}": value for (first, rest), value in named}


def linear(name: str, outputs: int, inputs: int, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        f"{name}.weight": torch.randn(outputs, inputs, generator=generator),
        f"{name}.bias": torch.randn(outputs, generator=generator),
    }


def cirtorch(**changes: Any) -> dict[str, Any]:
    """Return a file as Radenovic et al. publish them: whitening trained with the network."""
    meta = {"architecture": "resnet50", "pooling": "gem", "whitening": True, "regional": False}
    meta |= {"local_whitening": False, "mean": MEAN, "std": STD, "outputdim": 2048}
    state = in_sequence(resnet_state()) | {"pool.p": torch.tensor([2.5])}
    return {"meta": meta, "state_dict": state | linear("whiten", 8, 2048)} | changes


def dirtorch(**changes: Any) -> dict[str, Any]:
    """Return a file as Gordo et al. and Revaud et al. publish them."""
    options = {"arch": "resnet50_rmac", "out_dim": 8, "pooling": "gem", "gemp": 3}
    options |= {"norm_features": False, "without_fc": False}
    state = resnet_state() | {"adpool.p": torch.tensor([2.7])} | linear("fc", 8, 2048)
    named = {f"module.{name}": value for name, value in state.items()}
    preprocess = {"mean": MEAN, "std": STD, "input_size": 224}
    return {"state_dict": named, "model_options": options, "preprocess": preprocess} | changes


def save(content: Any, folder: Path) -> Path:
    torch.save(content, folder / "tuned.pth")
    return folder / "tuned.pth"


def head_of(parameters: Parameters) -> RetrievalHead:
    assert isinstance(parameters.head, RetrievalHead)
    return parameters.head


NETVLAD = {
    "pytorch-NetVlad": ("encoder.", "pool.", "WPCA.0."),
    "OpenIBL": ("base_model.base.", "net_vlad.", "pca_layer."),
}
WORDS = 4


def netvlad_state(
    layout: str, state: dict[str, Tensor] | None = None, **changes: Tensor | None
) -> dict[str, Tensor]:
    """Return a state dict of NetVLAD on VGG-16 in one of the layouts, with a random layer."""
    network, layer, whitening = NETVLAD[layout]
    generator = torch.Generator().manual_seed(1)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    named = {network + n.removeprefix("features."): v for n, v in (state or vgg_state()).items()}
    named |= {
        f"{layer}conv.weight": drawn(WORDS, 512, 1, 1),
        f"{layer}centroids": drawn(WORDS, 512),
    }
    named |= {f"{whitening}weight": drawn(7, WORDS * 512, 1, 1), f"{whitening}bias": drawn(7)}
    return {name: value for name, value in (named | changes).items() if value is not None}


def slow_netvlad(feature_map: np.ndarray, layer: dict[str, Tensor], prefix: str) -> np.ndarray:
    """Equation 4 of the paper, and its normalizations, place by place."""
    words = layer[f"{prefix}centroids"].double().numpy()
    weight = layer[f"{prefix}conv.weight"][:, :, 0, 0].double().numpy()
    bias = layer.get(f"{prefix}conv.bias", torch.zeros(len(words))).double().numpy()
    vlad = np.zeros_like(words)
    for y, x in np.ndindex(feature_map.shape[1:]):
        column = feature_map[:, y, x].astype(float)
        column /= np.sqrt((column**2).sum())
        shares = np.exp(weight @ column + bias)
        vlad += (shares / shares.sum())[:, None] * (column - words)
    vlad /= np.sqrt((vlad**2).sum(axis=1, keepdims=True))
    return vlad.ravel() / np.sqrt((vlad**2).sum())


def test_a_whitening_that_was_trained_with_the_network(tmp_path: Path) -> None:
    parameters = load_parameters("resnet50", save(cirtorch(), tmp_path))
    head = head_of(parameters)
    assert head.power == pytest.approx(2.5)
    assert head.unit
    assert (parameters.mean, parameters.std) == (tuple(MEAN), tuple(STD))
    assert parameters.classifier is None
    expected = linear("whiten", 8, 2048)
    assert head.projection is not None
    np.testing.assert_array_equal(head.projection.weight, expected["whiten.weight"])
    np.testing.assert_array_equal(head.projection.bias, expected["whiten.bias"])
    assert head.whitening is head.multi_scale_whitening is None
    assert head.dimensions(2048, 3) == 8


def test_whitenings_that_were_fitted_afterwards(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    fitted = {
        kind: {"m": rng.normal(size=(512, 1)), "P": rng.normal(size=(values, 512))}
        for kind, values in (("ss", 7), ("ms", 9))
    }
    meta = {"architecture": "vgg16", "pooling": "mac", "mean": MEAN, "std": STD}
    meta["Lw"] = {"retrieval-SfM-30k": {"ss": {}, "ms": {}}, "retrieval-SfM-120k": fitted}
    head = head_of(
        load_parameters("vgg16", save({"meta": meta, "state_dict": vgg_state()}, tmp_path))
    )
    assert math.isinf(head.power)
    assert head.projection is None
    assert (head.dimensions(512, 1), head.dimensions(512, 2)) == (7, 9)
    vector = rng.normal(size=512)
    for whitening, kind in ((head.whitening, "ss"), (head.multi_scale_whitening, "ms")):
        assert whitening is not None
        expected = fitted[kind]["P"] @ (vector[:, None] - fitted[kind]["m"])
        expected /= np.linalg.norm(expected)
        np.testing.assert_allclose(whitening.apply(vector), expected[:, 0], atol=1e-5)


def test_the_layer_behind_the_pooling_and_a_converted_pca(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pca = {
        "mean": rng.normal(size=8),
        "components": rng.normal(size=(5, 8)),
        "variance": np.ones(5),
    }
    pca["variance"] = rng.random(5) + 0.1
    parameters = load_parameters("resnet50", save(dirtorch(pca={"Landmarks_clean": pca}), tmp_path))
    head = head_of(parameters)
    assert head.power == pytest.approx(2.7)
    assert not head.unit
    assert parameters.mean == tuple(MEAN)
    vector = rng.normal(size=8)
    expected = pca["components"] @ (vector - pca["mean"]) / pca["variance"] ** 0.25
    assert head.whitening is not None
    found = head.whitening.apply(vector)
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), atol=1e-5)


def changed(content: dict[str, Any], part: str, **changes: Any) -> dict[str, Any]:
    fields = {n: v for n, v in (content[part] | changes).items() if v is not None}
    return content | {part: fields}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: changed(cirtorch(), "meta", architecture="resnet152"), "is a resnet152, which is"),
        (lambda: changed(cirtorch(), "meta", pooling="rmac"), "its pooling rmac is none of gem"),
        (lambda: changed(cirtorch(), "meta", regional=True), "regional is on in its meta"),
        (lambda: changed(cirtorch(), "meta", mean=None), "meta is not as published: KeyError"),
        (lambda: changed(cirtorch(), "meta", whitening=False), "whiten.weight is unexpected"),
        (lambda: changed(cirtorch(), "state_dict", **{"pool.p": None}), "pool.p is missing"),
        (
            lambda: changed(cirtorch(), "state_dict", **{"features.1.bias": None}),
            "bn1.bias is missing",
        ),
        (
            lambda: changed(cirtorch(), "state_dict", **{"features.9.x": torch.ones(1)}),
            "features.9.x is unexpected",
        ),
        (
            lambda: changed(cirtorch(), "state_dict", **linear("whiten", 8, 512)),
            r"a projection has shape \(8, 512\), not \(8, 2048\)",
        ),
        (
            lambda: changed(cirtorch(), "meta", architecture="resnet101"),
            "are weights of resnet101, not of resnet50",
        ),
        (
            lambda: changed(dirtorch(), "state_dict", **{"module.fc.bias": None}),
            "fc.bias is missing",
        ),
        (lambda: changed(dirtorch(), "model_options", center_bias=0.3), "center_bias is on"),
        (lambda: changed(dirtorch(), "model_options", arch="senet_rmac"), "is a senet, which is"),
        (lambda: {"state_dict": {}}, "has a state_dict, but none of meta, model_options"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_what_is_not_as_published_is_refused_in_one_line(
    make: Callable[[], dict[str, Any]], message: str, tmp_path: Path
) -> None:
    path = save(make(), tmp_path)
    with pytest.raises(WeightsError, match=message) as caught:
        load_parameters("resnet50", path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("layer3.0.conv1.weight", np.nan, "layer3.0.conv1.weight holds values that are not finite"),
        ("fc.bias", np.inf, "fc.bias holds values that are not finite"),
        ("layer3.0.bn1.running_var", -5.0, "not finite after batch normalization"),
    ],
)
@pytest.mark.slow
def test_weights_that_are_not_finite_are_refused(
    name: str, value: float, message: str, tmp_path: Path
) -> None:
    state = resnet_state() | linear("fc", 8, 2048)
    state[name] = state[name].clone()
    state[name].view(-1)[1] = value
    path = save(state, tmp_path)
    with pytest.raises(WeightsError, match=message) as caught:
        load_parameters("resnet50", path)
    assert str(caught.value).startswith(f"{path}: ")
    with pytest.raises(WeightsError, match=message):
        recognize(named_file(path))


def test_pickled_code_is_refused_with_a_hint_how_to_convert_it(tmp_path: Path) -> None:
    decomposition = pytest.importorskip("sklearn.decomposition")
    fitted = decomposition.PCA(2).fit(np.random.default_rng(0).normal(size=(9, 8)))
    path = save(dirtorch(pca={"Landmarks_clean": fitted}), tmp_path)
    with pytest.raises(WeightsError, match="contains a scikit-learn object") as caught:
        load_parameters("resnet50", path)
    assert "\n" not in str(caught.value)
    # The command in the message writes a file that can be read.
    program = str(caught.value).split('python -c "', 1)[1].rsplit('" FILE NEW', 1)[0]
    new = tmp_path / "new.pth"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["-c", str(path), str(new)])
        exec(program, {})
    whitening = head_of(load_parameters("resnet50", new)).whitening
    assert whitening is not None
    assert whitening.weight.shape == (2, 8)

    class Program:
        def __reduce__(self) -> tuple[Any, ...]:
            return print, ("run",)

    with pytest.raises(WeightsError, match="cannot be read as weights"):
        load_parameters("resnet50", save({"state_dict": {}, "meta": Program()}, tmp_path))


def test_arrays_of_old_versions_of_numpy_are_read(tmp_path: Path) -> None:
    values = {"m": np.arange(6.0).reshape(2, 3), "n": np.float32([1, 2]), "one": np.float64(3)}
    path = save(values, tmp_path)
    old = tmp_path / "old.pth"
    with zipfile.ZipFile(path) as new, zipfile.ZipFile(old, "w") as rewritten:
        for name in new.namelist():
            rewritten.writestr(name, new.read(name).replace(b"numpy._core.", b"numpy.core."))
    assert b"numpy.core.multiarray" in old.read_bytes()
    for file in (path, old):
        found = read_content(file)
        for name, value in values.items():
            np.testing.assert_array_equal(found[name], value)


# Use


def slow_descriptor(maps: list[np.ndarray], head: RetrievalHead) -> np.ndarray:
    def unit(vector: np.ndarray) -> np.ndarray:
        return vector / np.sqrt((vector**2).sum())

    def project(vector: np.ndarray, projection: Projection) -> np.ndarray:
        return unit(projection.weight.astype(float) @ vector + projection.bias)

    vectors = []
    for one in maps:
        means = [(channel.astype(float) ** head.power).mean() for channel in one]
        vector = np.array(means) ** (1 / head.power)
        vector = unit(vector) if head.unit else vector
        vectors.append(
            unit(vector) if head.projection is None else project(vector, head.projection)
        )
    power = 1 if head.projection is not None else head.power
    together = unit(np.mean([v**power for v in vectors], axis=0) ** (1 / power))
    whitening = head.whitening if len(maps) == 1 else head.multi_scale_whitening
    return together if whitening is None else project(together, whitening)


def projection(outputs: int, inputs: int, seed: int) -> Projection:
    layer = linear("x", outputs, inputs, seed)
    return Projection(layer["x.weight"].numpy(), layer["x.bias"].numpy())


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(
    "head",
    [
        RetrievalHead(3.0),
        RetrievalHead(2.5, True, projection(4, 6, 0)),
        RetrievalHead(2.5, False, projection(4, 6, 0), projection(3, 4, 1), projection(2, 4, 2)),
        RetrievalHead(1.5, True, None, projection(3, 6, 1), projection(2, 6, 2)),
    ],
    ids=["pooled", "projected", "projected-whitened", "whitened"],
)
def test_the_descriptor_is_the_papers(head: RetrievalHead, count: int) -> None:
    rng = np.random.default_rng(0)
    maps = [rng.random((6, 3 + i, 4), np.float32) for i in range(count)]
    found = apply_gem(maps, head)
    np.testing.assert_allclose(found, slow_descriptor(maps, head), atol=1e-5)
    assert found.dtype == np.float32
    assert found.shape == (head.dimensions(6, count),)


def test_the_largest_values_where_the_power_is_infinite() -> None:
    one = np.random.default_rng(0).random((6, 3, 4), np.float32)
    expected = one.max(axis=(1, 2))
    found = apply_gem([one], RetrievalHead(math.inf))
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), atol=1e-6)


@pytest.mark.parametrize("layout", NETVLAD)
@pytest.mark.parametrize("whitened", [True, False], ids=["whitened", "plain"])
def test_a_photo_is_described_by_the_layer_of_netvlad(
    layout: str, whitened: bool, tmp_path: Path
) -> None:
    _, prefix, last = NETVLAD[layout]
    more: dict[str, Tensor | None] = {f"{prefix}conv.bias": torch.arange(WORDS) / 2}
    if not whitened:
        more = {f"{last}weight": None, f"{last}bias": None}
    state = netvlad_state(layout, oracle.random_vgg16_state(seed=0), **more)
    path = save({"state_dict": state, "epoch": 3} if whitened else state, tmp_path)
    config = dataclasses.replace(TRAINED, resolutions=(64,))
    extractor = CnnExtractor(config, path)
    assert extractor.dimensions == (7 if whitened else WORDS * 512)
    assert config.descriptor_distance == "cosine"
    picture = np.random.default_rng(0).integers(0, 256, (40, 64, 3), np.uint8)
    copies = extractor.prepare(Image.fromarray(picture))
    (maps,) = extractor.feature_maps(copies)
    assert maps["conv5_3"].min() < 0
    expected = slow_netvlad(maps["conv5_3"], state, prefix)
    if whitened:
        weight, bias = (state[f"{last}{part}"].double().numpy() for part in ("weight", "bias"))
        expected = weight[:, :, 0, 0] @ expected + bias
        expected /= np.sqrt((expected**2).sum())
    found = extractor.describe(copies).global_
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_names_of_netvlad_as_trained_on_several_devices(tmp_path: Path) -> None:
    filled = {"encoder.28.bias": torch.arange(512.0)}
    state = netvlad_state("pytorch-NetVlad", **filled)
    parts = [(name.partition("."), value) for name, value in state.items()]
    named = {f"{part}.module.{rest}": value for (part, _, rest), value in parts}
    parameters = load_parameters("vgg16", save({"state_dict": named}, tmp_path))
    assert isinstance(parameters.head, NetVlad)
    np.testing.assert_array_equal(parameters.head.layer["words"], state["pool.centroids"])
    np.testing.assert_array_equal(parameters.head.layer["biases"], np.zeros(WORDS))
    np.testing.assert_array_equal(parameters.convolutions["features.28"][1], np.arange(512))
    assert parameters.mean == (0.485, 0.456, 0.406)


def test_netvlad_of_openibl_sees_pictures_as_it_was_trained_with(tmp_path: Path) -> None:
    parameters = load_parameters("vgg16", save(netvlad_state("OpenIBL"), tmp_path))
    assert parameters.mean == pytest.approx((0.48502, 0.45796, 0.40760), abs=1e-5)
    assert parameters.std == pytest.approx((1 / 255,) * 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pool.centroids": None}, "pool.centroids is missing"),
        ({"pool.conv.weight": None}, "pool.conv.weight is missing"),
        (
            {"pool.centroids": torch.ones(4, 8)},
            r"pool.centroids has shape \(4, 8\), not \(words, 512",
        ),
        ({"pool.conv.weight": torch.ones(5, 512, 1, 1)}, r"conv.weight has shape \(5, 512, 1, 1\)"),
        ({"pool.conv.bias": torch.ones(5)}, r"pool.conv.bias has shape \(5,\), not \(4,\)"),
        ({"WPCA.0.weight": None}, "WPCA.0.weight is missing"),
        ({"WPCA.0.bias": torch.ones(8)}, r"WPCA.0.weight has shape .*, not \(8, 2048, 1, 1\)"),
        ({"WPCA.0.bias": None}, "WPCA.0.weight is unexpected"),
        ({"encoder.28.bias": None}, "features.28.bias is missing"),
        ({"pool.more": torch.ones(1)}, "pool.more is unexpected"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_netvlad_that_is_not_as_published_is_refused_in_one_line(
    changes: dict[str, Tensor | None], message: str, tmp_path: Path
) -> None:
    path = save({"state_dict": netvlad_state("pytorch-NetVlad", **changes)}, tmp_path)
    with pytest.raises(WeightsError, match=message) as caught:
        load_parameters("vgg16", path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_netvlad_and_other_methods_need_weights_of_their_own(tmp_path: Path) -> None:
    path = save(netvlad_state("pytorch-NetVlad"), tmp_path)
    assert recognize(named_file(path)) == ("vgg16", "netvlad")
    tuned = dataclasses.replace(TUNED, backbone="vgg16", layers=("conv5",))
    with pytest.raises(WeightsError, match="are not fine-tuned for retrieval"):
        CnnExtractor(tuned, path)
    with pytest.raises(WeightsError, match="have no NetVLAD layer: use another method"):
        CnnExtractor(TRAINED, save(vgg_state(), tmp_path))
    for fields in ({"fusion": "early"}, {"layers": ("conv5",)}):
        with pytest.raises(UsageError, match=r"^pooling: netvlad needs fusion"):
            dataclasses.replace(TRAINED, **fields)
    with pytest.raises(UsageError, match=r"^pooling: gem needs values >= 0, but conv5_3"):
        dataclasses.replace(TRAINED, pooling="gem")


TRAINED = ExtractionConfig(backbone="vgg16", layers=("conv5_3",), fusion="late", pooling="netvlad")
TUNED = ExtractionConfig(
    resolutions=(96, 64), layers=("layer4",), fusion="late", pooling="fine-tuned"
)


@pytest.mark.slow
def test_a_photo_is_described_by_the_weights_own_pooling(
    tmp_path: Path, small_weights: Path
) -> None:
    content = changed(cirtorch(), "state_dict", **in_sequence(resnet_state(full=True)))
    path = save(content, tmp_path)
    extractor = CnnExtractor(TUNED, path)
    assert extractor.dimensions == 8
    assert TUNED.descriptor_distance == "cosine"
    picture = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)
    copies = extractor.prepare(Image.fromarray(picture))
    found = extractor.describe(copies).global_
    maps = [one["layer4"] for one in extractor.feature_maps(copies)]
    head = head_of(load_parameters("resnet50", path))
    np.testing.assert_allclose(found, slow_descriptor(maps, head), atol=1e-5)
    with pytest.raises(WeightsError, match="are not fine-tuned for retrieval"):
        CnnExtractor(TUNED, small_weights)
    with pytest.raises(UsageError, match="fine-tuned needs fusion"):
        ExtractionConfig(pooling="fine-tuned")
