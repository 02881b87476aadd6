"""The steps of docs/add-a-method.md, followed on a copy of the source."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from environment import ROOT
from resight.config import ExtractionConfig


def insert(path: Path, after: str, text: str, imported: str = "") -> None:
    """Insert text after a line of a module, and an import after the other imports."""
    source = path.read_text("utf-8")
    assert source.count(after) == 1, f"{path.name}: {after!r}"
    source = source.replace(after, after + text)
    if imported:
        source = source.replace("\nimport numpy as np\n", f"\nimport numpy as np\n{imported}\n")
    path.write_text(source, "utf-8")


def test_the_steps_add_a_pooling(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "add-a-method.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    function, line, method, paper, test, field, added_later = blocks
    copy = tmp_path / "resight"
    shutil.copytree(ROOT / "src" / "resight", copy, ignore=shutil.ignore_patterns("__pycache__"))
    pooling = copy / "descriptors" / "pooling"
    (pooling / "rms.py").write_text(function, "utf-8")
    imported = "from resight.descriptors.pooling.rms import rms"
    insert(pooling / "__init__.py", "POOLINGS: Mapping[str, Pooling] = {\n", line, imported)
    insert(copy / "methods" / "pooled.py", "METHODS: Mapping[str, MethodSpec] = {\n", method)
    insert(copy / "methods" / "spec.py", 'OURS = "this project"\n', paper)
    previous = '    pooling: str = option("modified-rmac", "how a feature map becomes a vector")\n'
    insert(copy / "config" / "extraction.py", previous, field)
    insert(copy / "config" / "method.py", "ADDED_LATER: dict[str, Any] = {\n", added_later)
    code = f"""
import numpy as np
from resight.descriptors.pooling import POOLINGS
{imported}
from resight.config import ExtractionConfig
from resight.methods import resolve_config, spec

{test}
test_rms_by_hand()
config, _ = resolve_config("rms", None)
vector = POOLINGS[config.pooling](np.ones((4, 2, 3), np.float32), config)
np.testing.assert_allclose(vector, [0.5] * 4, rtol=1e-6)
assert spec.CHUM.endswith("2007")
assert ExtractionConfig().fingerprint("") == {ExtractionConfig().fingerprint("")!r}
assert ExtractionConfig(rms_floor=0.5).fingerprint("") != ExtractionConfig().fingerprint("")
"""
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
