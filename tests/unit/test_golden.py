"""Numbers that may not change unnoticed; `golden/generate.py` says when they may be renewed."""

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


def test_every_file_is_computed_and_every_computed_one_is_there() -> None:
    assert sorted(computed()) == FILES


@pytest.mark.parametrize("name", FILES)
def test_golden_values(name: str) -> None:
    expected, found = stored(name), computed()[name]
    assert list(found) == list(expected)
    for case, value in expected.items():
        if isinstance(value, str):
            assert found[case] == value, case
        else:
            np.testing.assert_allclose(found[case], value, rtol=0, atol=1e-6, err_msg=case)


def test_golden_values_are_also_the_oracles() -> None:
    generate.check_with_oracle({name: stored(name) for name in FILES})
