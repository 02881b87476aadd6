"""Parsing of options: oversized input is refused."""

import pytest

from resight.cli.options import parse_duration, parse_settings, parse_share
from resight.config import RerankConfig
from resight.errors import UsageError


@pytest.mark.parametrize("text", ["1e9999999", "1/" + "9" * 5000, "9" * 500, "1/0", "", "2"])
def test_shares_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="expected a fraction up to 1"):
        parse_share(text)


@pytest.mark.parametrize("text", ["9" * 5000 + "s", "9" * 400 + "h", "0m", "s", "³s"])
def test_durations_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="expected a time"):
        parse_duration(text)


def test_settings_that_are_nested_too_deeply() -> None:
    nested = "[" * 100_000
    assert parse_settings([f"a={nested}"], "set") == {"a": nested}
    with pytest.raises(UsageError, match="is not a number"):
        RerankConfig.parse("aqe", [f"expanded={nested}"])
