"""Commands that fit, compare and evaluate methods."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from resight.cli import options as opt
from resight.cli.options import argument, option
from resight.config import DEFAULT_METHOD, RerankConfig, SearchConfig

if TYPE_CHECKING:
    from resight.evaluation.decisions import Decisions, PairMeasures
    from resight.methods.spec import MethodSpec


def fit(
    collection: opt.Collection,
    method: Annotated[
        str | None,
        option("pfa, whitening, wccn or none.", metavar="NAME", show_default="the collection's"),
    ] = None,
    settings: Annotated[
        list[str] | None,
        option(
            "Parameter of the method, such as features=512; repeatable (docs/method.md, "
            "sections 6, 12 and 16).",
            "--set",
            metavar="NAME=VALUE",
            show_default="the collection's",
        ),
    ] = None,
    source: Annotated[
        Path | None, option("Fit on another collection.", "--from", metavar="FOLDER")
    ] = None,
    weights: opt.Weights = None,
    runtime: opt.Runtime = "auto",
    device: opt.Device = "auto",
) -> None:
    """Refit feature selection, whitening or adaptation."""
    from resight.cli import output
    from resight.indexing.fitting import fit

    changes = opt.parse_settings(settings, "set")
    if method is not None:
        changes["method"] = method
    with output.progress() as progress:
        run = fit(
            collection,
            source=source,
            model=opt.model_options(weights, runtime, device),
            progress=progress,
            **changes,
        )
    values, photos = f"{run.features} of {run.dimensions} values", output.count(run.photos, "photo")
    if run.method == "wccn":
        output.say(f"adapted {values} to {photos}")
    else:
        output.say(f"kept {values}, fitted on {photos}")


def describe(
    images: Annotated[list[Path], argument("PHOTOS...", "Photos and folders.")],
    out: opt.Output,
    config: opt.Config = None,
    weights: opt.Weights = None,
    runtime: opt.Runtime = "auto",
    device: opt.Device = "auto",
    cam: opt.Cam = None,
) -> None:
    """Write the descriptors of photos as NumPy arrays (.npz)."""
    from resight.cli import output
    from resight.indexing.describe import describe, ensure_npz_writable

    ensure_npz_writable(out)
    with output.progress() as progress:
        described = describe(
            images,
            config=config,
            cam=cam,
            model=opt.model_options(weights, runtime, device),
            progress=progress,
        )
    described.save(out)
    output.print_failures(described.failed)
    photos = output.count(described.paths, "photo")
    output.say(f"{out}: descriptors {described.descriptors.shape} of {photos}")


def evaluate(
    groups: Annotated[
        Path,
        argument(
            "GROUPS.JSON",
            "Ground truth: the photos of each group, relative to the file (or its folder).",
        ),
    ],
    collection: opt.Place,
    json: opt.Json = False,
    strict: Annotated[bool, option("Refuse if a photo is missing.", "--strict")] = False,
    rerank: opt.Rerank = RerankConfig.method,
    rerank_with: opt.RerankWith = None,
    verify: opt.Verify = SearchConfig.verify,
    verify_by: opt.VerifyBy = SearchConfig.verify_by,
    verify_geometry: opt.VerifyGeometry = SearchConfig.verify_geometry,
    decide: Annotated[
        bool,
        option("Measure decisions too, or rankings only.", "--decide/--no-decide"),
    ] = SearchConfig.decide,
    weights: opt.Weights = None,
    runtime: opt.Runtime = "auto",
    device: opt.Device = "auto",
) -> None:
    """Measure mAP, N-S score and decisions of a collection against ground truth."""
    from resight.cli import output
    from resight.evaluation import evaluate

    with output.progress() as progress:
        evaluation = evaluate(
            groups,
            collection,
            rerank=RerankConfig.parse(rerank, rerank_with or []),
            verify=verify,
            verify_by=verify_by,
            verify_geometry=verify_geometry,
            decide=decide,
            strict=strict,
            model=opt.model_options(weights, runtime, device),
            progress=progress,
        )
    output.print_evaluation(evaluation, as_json=json)
    if evaluation.decisions is not None and not json:
        _print_decisions(evaluation.decisions)


def _print_decisions(decisions: "Decisions") -> None:
    """Print precision, recall and so on of verdicts and groups, in percent."""
    from rich.table import Table

    from resight.cli.output import NO_EVIDENCE, count, print_table, say

    table = Table(box=None, pad_edge=False)
    table.add_column("verdict")
    for heading in ("precision", "recall", "F1", "first matches", "false alarms"):
        table.add_column(heading, justify="right")
    for verdict, figures in (
        ("at least probably", decisions.probable),
        ("same thing", decisions.same),
    ):
        shares = (figures.first_matches, figures.false_alarms)
        table.add_row(verdict, *map(_percent, (*_pair_shares(figures.pairs), *shares)))
    if decisions.groups is not None:
        table.add_row("groups", *map(_percent, _pair_shares(decisions.groups)))
    print_table(table)
    error = decisions.calibration_error
    calibration = "" if error is None else f"calibration error {error:.3f} "
    print(
        f"{calibration}({count(decisions.compared, 'pair')}); "
        f"{count(decisions.matched, 'query')} with a match, {decisions.unmatched} without"
    )
    if not decisions.evidence:
        say(NO_EVIDENCE)


def _pair_shares(pairs: "PairMeasures") -> tuple[float | None, ...]:
    return pairs.precision, pairs.recall, pairs.f1


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"


def demo(
    folder: Annotated[Path, argument("FOLDER", "Where to create the demo.")] = Path("resight-demo"),
    config: Annotated[
        str, option("Method (see resight methods) or TOML file.", metavar="NAME|FILE")
    ] = DEFAULT_METHOD,
    weights: opt.Weights = None,
    runtime: opt.Runtime = "auto",
    device: opt.Device = "auto",
) -> None:
    """Draw sample photos, index and search them, and show the results."""
    from resight.cli import output
    from resight.demo import run_demo

    with output.progress() as progress:
        result = run_demo(
            folder,
            config=config,
            model=opt.model_options(weights, runtime, device),
            progress=progress,
        )
    output.print_demo(result)


def methods(
    name: Annotated[str | None, argument("NAME", "One of them, in detail.")] = None,
    json: opt.Json = False,
) -> None:
    """List the methods, or show one with its paper and published scores."""
    from resight.cli.output import print_fields, print_json
    from resight.errors import UsageError
    from resight.methods import METHODS, find_method

    spec = None if name is None else find_method(name)
    if name is not None and spec is None:
        raise UsageError(f"no method {name!r} (resight methods lists the methods)")
    if json:
        chosen = METHODS if name is None or spec is None else {name: spec}
        print_json({name: _as_dict(each) for name, each in chosen.items()})
    elif spec is None:
        print_fields({name: each.title for name, each in METHODS.items()})
    else:
        published = spec.published
        scores = ", ".join(f"{name} {value:g}" for name, value in published.scores.items())
        print_fields(
            {
                "method": str(name),
                "what": spec.title,
                "weights": spec.weights or "none",
                "values": spec.values,
                "paper": spec.source,
                "tables": ", ".join(map(str, published.tables)) or "none",
                "published": scores or "none",
                "conditions": published.conditions or "none",
            }
        )


def _as_dict(spec: "MethodSpec") -> dict[str, object]:
    return {
        "title": spec.title,
        "source": spec.source,
        "tables": list(spec.published.tables),
        "published": dict(spec.published.scores),
        "published_with": spec.published.conditions,
        "values": spec.values,
        "weights": spec.weights,
        "extraction": spec.config.to_dict(),
        "selection": spec.reduction.to_dict(),
        "rerank": spec.rerank.to_dict(),
        "verify": spec.verify,
        "verify_by": spec.verify_by,
    }
