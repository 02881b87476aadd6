"""Ground truth from JSON, or from a pickle that holds plain values and nothing else."""

import json
import pickle
from pathlib import Path
from typing import Any

from resight.errors import DatasetError

MAX_BYTES = 64 << 20
"""Larger files are refused: the largest official ground truth has about one MiB."""


class _PlainUnpickler(pickle.Unpickler):
    """Lists, tuples, dictionaries, texts and numbers; whatever would run code is refused."""

    def find_class(self, module: str, name: str) -> Any:
        raise DatasetError(
            f"it wants {module}.{name}, and a pickle may run any program: only plain lists, "
            "dictionaries, texts and numbers are read"
        )

    def persistent_load(self, pid: Any) -> Any:
        raise DatasetError("it refers to something outside of it")


def read_plain(path: Path) -> Any:
    """The plain values of a `.json` or `.pkl` file.

    Raises:
        DatasetError: it cannot be read, is damaged, or is a pickle with anything but plain values.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DatasetError(f"larger than {MAX_BYTES >> 20} MiB")
        with path.open("rb") as file:
            if path.suffix == ".json":
                return json.load(file)
            # Old pickles are of Python 2, whose texts are bytes.
            return _PlainUnpickler(file, encoding="latin1").load()
    except RecursionError:  # lists in lists, thousands deep
        raise DatasetError(f"{path}: cannot be read: nested too deeply") from None
    except DatasetError as error:
        raise DatasetError(f"{path}: refused: {error}") from None
    except Exception as error:  # noqa: BLE001 - a damaged pickle can raise anything
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        raise DatasetError(f"{path}: cannot be read: {first_line[:200]}") from None


def convert_to_json(path: Path, target: Path) -> None:
    """Write the plain values of a pickle as JSON, once and for all.

    Raises:
        DatasetError: see `read_plain`; or the target cannot be written.
    """
    content = read_plain(path)
    try:
        target.write_text(json.dumps(content), "utf-8")
    except (OSError, TypeError, ValueError) as error:
        raise DatasetError(f"{target}: cannot be written: {error}") from None
