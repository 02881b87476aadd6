"""The table of fuzzed targets in `docs/durability.md`, from the figures in `docs/hostile.json`."""

import re
from pathlib import Path
from typing import Any

START, END = "<!-- hostile input -->\n", "<!-- end of hostile input -->"


def table(figures: dict[str, Any]) -> str:
    """Return a table of targets: inputs, peak memory, and inputs that failed."""
    lines = ["| | inputs | memory | failures |", "|---|---:|---:|---:|"]
    for row in figures["rows"]:
        numbers = f"{row['inputs']:,} | {row['peak_mebibytes']:,} MiB | {len(row['failures'])}"
        lines.append(f"| {row['target']} | {numbers} |")
    inputs = sum(row["inputs"] for row in figures["rows"])
    failures = sum(len(row["failures"]) for row in figures["rows"])
    return "\n".join([*lines, f"| all | {inputs:,} |  | {failures} |"]) + "\n"


def update_page(page: Path, figures: dict[str, Any]) -> None:
    """Replace the table in a page."""
    text = page.read_text("utf-8")
    pattern = re.compile(re.escape(START) + ".*" + re.escape(END), re.DOTALL)
    page.write_text(pattern.sub(lambda _: START + table(figures) + END, text), "utf-8")
