"""A server in its own process, for the tests of its start, load and end."""

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

SERVE = """
import json, sys, threading
from pathlib import Path
from resight.methods.model import ModelOptions
from resight.web import WebSettings, serve
settings = WebSettings(**{"token": None, **json.loads(sys.argv[2])})
serve(Path(sys.argv[1]), settings=settings, end_process=True,
      started=lambda url: print(url, flush=True),
      say=lambda text: print(text, file=sys.stderr, flush=True))
"""


class Served:
    """A server in its own process, its address, and its output after it has ended."""

    def __init__(
        self,
        collection: Path,
        preparation: str = "",
        environment: Mapping[str, str] | None = None,
        **settings: object,
    ) -> None:
        code = preparation + SERVE
        arguments = [sys.executable, "-W", "error", "-c", code, str(collection)]
        self.process = subprocess.Popen(
            [*arguments, json.dumps({"port": 0, **settings})],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.url = self.process.stdout.readline().strip() if self.process.stdout else ""
        self.output = ""

    def stop(self, sent: signal.Signals = signal.SIGINT) -> int:
        """Send a signal, wait for the end, and return the status."""
        self.process.send_signal(sent)
        _, self.output = self.process.communicate(timeout=60)
        return self.process.returncode
