"""The method of an index run, with what is fitted on photos before any of them is described."""

from collections.abc import Sequence
from dataclasses import dataclass

from resight.collection.reader import Collection
from resight.collection.writer import Writer
from resight.config import ExtractionConfig, MethodConfig
from resight.descriptors.extractor import Extractor
from resight.indexing.fitting import Lesson, QuantizedNetwork, fit_quantized_network, learn
from resight.indexing.plan import Plan
from resight.methods.factory import FittedMethod, load_fittable
from resight.methods.model import ModelOptions, find_model
from resight.networks.quantization import ensure_available
from resight.photos.files import PhotoFile
from resight.progress import Progress


@dataclass(frozen=True)
class Made:
    """A method ready to describe photos, and what of it was fitted on photos for that."""

    extractor: Extractor
    quantized: QuantizedNetwork | None = None
    lesson: Lesson | None = None


def make_method(
    config: MethodConfig, options: ModelOptions, photos: Sequence[PhotoFile], progress: Progress
) -> Made:
    """The method of a new collection, with what is fitted on its photos before any is described.

    Raises:
        UsageError: the runtime cannot compute in the wanted precision.
        WeightsError: weights are needed, and there are none, or they do not fit.
        FitError: the photos are too few, or too plain, for what the method learns from them.
    """
    model, quantized = find_model(config, options) if config.needs_network else None, None
    if isinstance(config, ExtractionConfig) and config.precision == "int8" and model is not None:
        ensure_available(options.runtime)
        quantized = fit_quantized_network(config, model, photos, progress)
    if config.learns:
        pupil = load_fittable(config, model, options)
        lesson = learn(pupil, photos, progress)
        return Made(pupil.with_params(lesson[0]), quantized, lesson)
    method = FittedMethod(config, model, quantized=quantized[0] if quantized else None)
    return Made(method.load_extractor(options), quantized)


def _is_made(collection: Collection) -> bool:
    """Whether a collection holds what its method fits before photos are described."""
    config = collection.config
    int8 = config.precision == "int8"
    if config.learns and collection.fit_info("learned") is None:
        return False
    return not int8 or collection.fit_info("network") is not None


def extractor_for(
    writer: Writer,
    plan: Plan,
    options: ModelOptions,
    made: Made | None,
    progress: Progress,
) -> Extractor | None:
    """The extractor the plan needs, if any; the model is remembered and guarded.

    Args:
        writer: of the collection.
        plan: of the run.
        options: weights and device.
        made: the method of a new collection; None is the collection's own.
        progress: called while anything is fitted.

    Raises:
        CollectionMismatchError: the weights are others than those of the collection.
        WeightsError, FitError: see `make_method`.
    """
    collection, config = writer.collection, writer.collection.config
    if not plan.todo and options.weights is None:
        return None
    if made is None and plan.todo and not _is_made(collection):
        # Of a run that was killed before it stored it.
        made = make_method(config, options, plan.todo, progress)
    if made is not None and made.quantized is not None:
        writer.store_quantized_network(*made.quantized)
    if made is not None and made.lesson is not None:
        writer.store_fitted_params(*made.lesson)
    # Loaded first: weights that cannot be used are not remembered.
    extractor = made.extractor if made is not None else None
    if extractor is None and plan.todo:
        extractor = collection.fitted_method(options).load_extractor(options)
    if _is_made(collection):
        writer.bind_model(collection.find_model(options))
    return extractor
