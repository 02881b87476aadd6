"""One target fuzzed by Atheris, in a process that a crash, a hang or an overflow may end."""

import os
import random
import sys
import traceback
from pathlib import Path

from mutations import mutate

INSTRUMENTED = ["resight", "PIL", "tomllib", "zipfile", "pickletools", "pickle"]
SOURCE = "src/resight/"


def fuzz(name: str, folder: Path, seconds: int, seed: int) -> None:
    """Fuzz a target; store new inputs in `corpus` and failing ones, deduplicated, in `failures`."""
    import atheris

    with atheris.instrument_imports(include=INSTRUMENTED):
        import targets

        (target,) = (each for each in targets.TARGETS if each.name == name)
        drawn = target.seeds()
        for data in drawn:  # imports what it needs, so that it is instrumented
            target.read(data)
    corpus, failures = folder / "corpus" / target.slug, folder / "failures" / target.slug
    for place in (corpus, failures):
        place.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(drawn):
        (corpus / f"seed-{number}").write_bytes(data)

    def read(data: bytes) -> None:
        try:
            target.read(data)
        except Exception as error:  # noqa: BLE001 - any exception is a finding
            _note(failures, data, error)

    def mutated(data: bytes, max_size: int, chance_seed: int) -> bytes:
        chance = random.Random(chance_seed)
        if chance.random() < 0.5:
            return atheris.Mutate(data, max_size)
        return mutate(data, chance, drawn)[:max_size]

    arguments = {
        "max_total_time": seconds,
        "timeout": target.seconds,
        "rss_limit_mb": target.mebibytes,
        "max_len": target.max_bytes,
        "seed": seed,
        "print_final_stats": 1,
        "artifact_prefix": f"{failures}{os.sep}",
    }
    flags = [f"-{key}={value}" for key, value in arguments.items()]
    atheris.Setup([sys.argv[0], *flags, str(corpus)], read, custom_mutator=mutated)
    atheris.Fuzz()


def _note(failures: Path, data: bytes, error: Exception) -> None:
    """Keep an input that fails, and its traceback, unless another failed at the same place."""
    places = [
        f"{Path(frame.filename).name}-{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if SOURCE in frame.filename
    ]
    signature = "-".join([type(error).__name__, *places[-2:]])
    if not (failures / signature).exists():
        (failures / signature).write_bytes(data)
        text = "".join(traceback.format_exception(error))
        (failures / f"{signature}.txt").write_text(text, "utf-8", "replace")
