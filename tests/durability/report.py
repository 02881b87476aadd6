"""The table of trials in `docs/durability.md`, from the figures in `docs/durability.json`."""

import re
from pathlib import Path
from typing import Any

KINDS = (
    "kill", "full disk", "I/O error", "power loss", "unmounted disk", "clock jump", "bit rot"
)  # fmt: skip
START, END = "<!-- trials -->\n", "<!-- end of trials -->"


def table(figures: dict[str, Any]) -> str:
    """Return a table of trials by operation and kind of fault, and of what did not survive."""
    lines = ["| | " + " | ".join(KINDS) + " | violations |", "|---|" + "---:|" * (len(KINDS) + 1)]
    names = dict.fromkeys(row["operation"] for row in figures["rows"])
    for name in (*names, None):
        rows = [row for row in figures["rows"] if name in (None, row["operation"])]
        counts = {kind: sum(r["trials"] for r in rows if r["fault"] == kind) for kind in KINDS}
        cells = [f"{count:,}" if count else "" for count in counts.values()]
        violations = sum(len(row["violations"]) for row in rows)
        lines.append(f"| {name or 'all'} | {' | '.join(cells)} | {violations} |")
    return "\n".join(lines) + "\n"


def update_page(page: Path, figures: dict[str, Any]) -> None:
    """Replace the table in a page."""
    text = page.read_text("utf-8")
    pattern = re.compile(re.escape(START) + ".*" + re.escape(END), re.DOTALL)
    page.write_text(pattern.sub(lambda _: START + table(figures) + END, text), "utf-8")
