"""Files in general: atomic writes, hashes of content, and the user's cache folder."""

import contextlib
import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def write_atomically(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target` that replaces it when the block ends without error.

    Readers see the old file or the whole new one. After an error nothing is left.
    """
    name = f"{target.name}.{os.getpid()}-{threading.get_ident()}.new"
    unfinished = target.with_name(name)
    unfinished.unlink(missing_ok=True)  # left by a killed process with the same ID
    try:
        yield unfinished
        unfinished.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise


def file_sha256(path: Path) -> str:
    """Return the SHA-256 (hex) of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def user_cache() -> Path:
    """Return the folder for what can be computed again, such as folded networks."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "resight"
