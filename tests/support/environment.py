"""The checkout, optional licensed test data, and the type of the command-line fixtures."""

import subprocess
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared"
"""Optional folder of licensed weights and photos, next to the checkout."""

Run = Callable[..., subprocess.CompletedProcess[str]]
"""Type of the fixtures `resight` and `resight_process`."""
