"""Set up the extractor of an index run; fit what must be fitted before the first extraction."""

import hashlib
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from resight.collection import Collection
from resight.collection.writer import Writer
from resight.config import ExtractionConfig, MethodConfig
from resight.descriptors.extractor import Extractor, Fittable, FittedParams
from resight.errors import FitError, ImageError
from resight.indexing.partial import Arrays, PartialResults
from resight.indexing.plan import Plan
from resight.methods.model import FittedMethod, Model, ModelOptions, find_model, load_fittable
from resight.photos import open_photo, path_text
from resight.photos.files import PhotoFile
from resight.photos.images import load_image
from resight.photos.transforms import resized_copies
from resight.progress import Progress

MAX_CALIBRATION_PHOTOS = 100
"""Maximum number of photos to quantize a network on, each at one of the resolutions."""

MAX_FIT_PHOTOS = 300
"""Maximum number of photos to fit a method's parameters on."""

T = TypeVar("T")

FitInfo = dict[str, Any]
"""A description of the photos that a model was fitted on, as JSON values."""


@dataclass(frozen=True)
class MethodSetup:
    """An extractor, with its fitted parameters and 8-bit network that are not yet stored."""

    extractor: Extractor
    params: tuple[FittedParams, FitInfo] | None = None
    quantized: tuple[bytes, FitInfo] | None = None

    def store(self, writer: Writer) -> None:
        """Store what was fitted in the collection."""
        if self.quantized is not None:
            writer.store_quantized_network(*self.quantized)
        if self.params is not None:
            writer.store_fitted_params(*self.params)


def fit_method(
    config: MethodConfig, options: ModelOptions, photos: Sequence[PhotoFile], progress: Progress
) -> MethodSetup:
    """Set up a method for a new collection, fitted on its photos.

    Raises:
        UsageError: the runtime cannot compute in the configured precision.
        WeightsError: weights are needed, and there are none, or they do not fit.
        FitError: the photos are too few, or have too few local features.
    """
    from resight.networks.quantization import ensure_available

    model = find_model(config, options) if config.needs_network else None
    quantized = None
    if isinstance(config, ExtractionConfig) and config.precision == "int8" and model is not None:
        ensure_available(options.runtime)
        quantized = fit_quantized_network(config, model, photos, progress)
    if config.learns:
        fittable = load_fittable(config, model, options)
        fingerprint = config.fingerprint(model.sha256 if model else "")
        params, info = fit_params(fittable, photos, fingerprint, progress)
        return MethodSetup(fittable.with_params(params), (params, info), quantized)
    method = FittedMethod(config, model, quantized=quantized[0] if quantized else None)
    return MethodSetup(method.load_extractor(options), None, quantized)


def load_extractor(
    writer: Writer, plan: Plan, options: ModelOptions, setup: MethodSetup | None, progress: Progress
) -> Extractor | None:
    """Return the extractor for a plan, if it needs one; bind the collection to its weights.

    `setup` is the method of a new collection; None loads that of an existing one.

    Raises:
        CollectionMismatchError: the weights are not those of the collection.
        WeightsError, FitError: see `fit_method`.
    """
    collection = writer.collection
    if not plan.todo and options.weights is None:
        return None
    if setup is None and plan.todo and not _is_fitted(collection):
        # The first run was killed before it stored what it fitted.
        setup = fit_method(collection.config, options, plan.todo, progress)
    extractor = None
    if setup is not None:
        setup.store(writer)
        extractor = setup.extractor
    elif plan.todo:
        extractor = collection.fitted_method(options).load_extractor(options)
    if _is_fitted(collection):  # after loading, so that unusable weights are not bound
        writer.bind_model(collection.find_model(options))
    if extractor is not None and plan.todo:
        writer.record_precision(extractor.precision)
    return extractor


def _is_fitted(collection: Collection) -> bool:
    """Return whether a collection holds all that its method fits before the first extraction."""
    config = collection.config
    if config.learns and collection.fit_info("learned") is None:
        return False
    return config.precision != "int8" or collection.fit_info("network") is not None


def fit_params(
    fittable: Fittable, files: Sequence[PhotoFile], fingerprint: str, progress: Progress
) -> tuple[FittedParams, FitInfo]:
    """Fit the parameters of a method that learns on a random sample of photos.

    The features of each photo are stored until the sample is complete, so that a killed run
    resumes.
    `fingerprint` is that of the method without its parameters.

    Raises:
        FitError: none of the photos can be read, or they have too few local features.
    """
    sample = _sample(files, MAX_FIT_PHOTOS, fittable.seed)
    generator = np.random.default_rng(fittable.seed)
    per_photo = -(-fittable.max_samples // max(1, len(sample)))
    names = [(path_text(file.path), file.size, file.mtime_ns) for file in sample]
    partial = PartialResults("sample", [fingerprint, names])
    kept = partial.load()
    photos = []
    contents: set[str] = set()

    def load(file: PhotoFile, number: int) -> Image.Image | Arrays | None:
        content = _content(file)
        if content in contents:
            return None
        contents.add(content)
        return kept.get(str(number)) or load_image(file.path, fittable.decode_size)

    for number, loaded in _load_sample(sample, load, "fit a vocabulary on", progress):
        if loaded is None:  # a copy of an earlier one; each content counts once
            continue
        if isinstance(loaded, dict):
            groups = [loaded[f"group{index}"] for index in range(len(loaded) - 1)]
            for size in loaded["sizes"]:
                generator.permutation(size)  # as drawn before
        else:
            whole = fittable.sample(loaded)
            groups = [group[generator.permutation(len(group))[:per_photo]] for group in whole]
            arrays = {f"group{index}": group for index, group in enumerate(groups)}
            partial.keep(str(number), {**arrays, "sizes": np.array([len(g) for g in whole])})
        photos.append(groups)
    progress("learning", 0, 1)
    params = fittable.fit(photos)
    progress("learning", 1, 1)
    partial.remove()
    return params, {
        "photos": len(photos),
        "local_features": sum(len(group) for groups in photos for group in groups),
        "seed": fittable.seed,
    }


def _content(file: PhotoFile) -> str:
    """Return the SHA-256 of a photo.

    Raises:
        ImageError: it cannot be read.
    """
    try:
        with open_photo(file.path) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ImageError(error.strerror or str(error)) from None


def fit_quantized_network(
    config: ExtractionConfig, model: Model, files: Sequence[PhotoFile], progress: Progress
) -> tuple[bytes, FitInfo]:
    """Quantize the network of an int8 collection on a sample of its photos.

    Raises:
        FitError: none of the photos can be read.
        WeightsError: the weights do not fit.
    """
    from resight.networks.parameters import load_parameters
    from resight.networks.quantization import quantize

    if model.path is None:
        raise FitError("a network needs a weights file")
    sample = _sample(files, MAX_CALIBRATION_PHOTOS, seed=0)
    copies = []

    def load(file: PhotoFile, number: int) -> Image.Image:
        return load_image(file.path, 2 * config.resolutions[number % len(config.resolutions)])

    for number, image in _load_sample(sample, load, "quantize the network on", progress):
        copies += resized_copies(
            image,
            (config.resolutions[number % len(config.resolutions)],),
            filter=config.resize_filter,
            upscale=config.upscale,
            square=config.square,
        )
    parameters = load_parameters(config.backbone, model.path, model.sha256)
    progress("quantizing", 0, 1)
    network = quantize(config.backbone, parameters, config.network_layers(), iter(copies))
    progress("quantizing", 1, 1)
    return network, {"photos": len(copies)}


def _sample(files: Sequence[PhotoFile], limit: int, seed: int) -> list[PhotoFile]:
    """Draw a random sample that does not depend on the order of the files."""
    by_path = sorted(files, key=lambda file: file.path)
    return random.Random(seed).sample(by_path, min(limit, len(by_path)))


def _load_sample(
    files: Sequence[PhotoFile],
    load: Callable[[PhotoFile, int], T],
    purpose: str,
    progress: Progress,
) -> Iterator[tuple[int, T]]:
    """Yield the number (from 1) of each readable photo, and what is loaded from it."""
    failed = []
    for number, file in enumerate(files, 1):
        progress("sampling", number, len(files))
        try:
            yield number, load(file, number)
        except ImageError as error:
            failed.append(f"{file.path}: {error}")  # if others can be read, the run lists it
    if len(failed) == len(files):
        raise FitError(
            f"none of the photos can be read ({'; '.join(failed[:3])}): "
            f"there is nothing to {purpose}"
        )
