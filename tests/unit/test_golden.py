"""Golden values of the method; see `golden/generate.py` for when they may change."""

import functools
import json
from typing import Any

import numpy as np
import pytest

from golden import generate

FILES = sorted(path.stem for path in generate.FOLDER.glob("*.json"))


@functools.cache
def computed() -> generate.Values:
    return generate.golden_values()


def stored(name: str) -> dict[str, Any]:
    return json.loads((generate.FOLDER / f"{name}.json").read_text("utf-8"))


def test_every_file_is_computed_and_every_computed_file_exists() -> None:
    assert sorted(computed()) == FILES


@pytest.mark.parametrize("name", FILES)
def test_golden_values(name: str) -> None:
    expected, values = stored(name), computed()[name]
    assert list(values) == list(expected)
    for case, value in expected.items():
        if isinstance(value, str):
            assert values[case] == value, case
        else:
            np.testing.assert_allclose(values[case], value, rtol=0, atol=1e-6, err_msg=case)


def test_golden_values_equal_the_oracle() -> None:
    generate.check_with_oracle({name: stored(name) for name in FILES})
