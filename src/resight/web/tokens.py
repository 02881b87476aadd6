"""The token that every request to a server must send: a new one, or from a file or the environment.

It is never an option of the command line, which every user of the machine can read.
"""

import os
import re
import secrets
import stat
from pathlib import Path

from resight.errors import UsageError

ENVIRONMENT_VARIABLE = "RESIGHT_TOKEN"
MIN_LENGTH = 16
"""Shorter tokens can be guessed."""
MAX_LENGTH = 1024


def new_token() -> str:
    """Return a random token of 192 bits."""
    return secrets.token_urlsafe(24)


def check_token(token: str, parameter: str | None = None) -> str:
    """Return a token that can be part of a URL and cannot be guessed.

    Raises:
        UsageError: another one; `parameter` names where it comes from.
    """
    if not re.fullmatch(r"[A-Za-z0-9._~-]+", token):
        raise UsageError("a token has letters, digits and . _ ~ - only", parameter=parameter)
    if not MIN_LENGTH <= len(token) <= MAX_LENGTH:
        raise UsageError(f"a token has at least {MIN_LENGTH} characters", parameter=parameter)
    return token


def find_token(file: Path | None) -> str:
    """Return the token in a file, else that of the environment, else a new one.

    Raises:
        UsageError: the file cannot be read, or others can read it; or it is no token.
    """
    if file is not None:
        return check_token(_read(file), parameter="token_file")
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    if named is None:
        return new_token()
    try:
        return check_token(named.strip())
    except UsageError as error:
        raise UsageError(f"{ENVIRONMENT_VARIABLE}: {error}") from None


def _read(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            text = opened.read(MAX_LENGTH + 2)
    except OSError as error:
        message = f"{file}: cannot be read: {error.strerror}"
        raise UsageError(message, parameter="token_file") from None
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO) and stat.S_ISREG(mode):
        message = f"{file}: other users can read it; protect it with chmod 600"
        raise UsageError(message, parameter="token_file")
    return text.decode("latin-1").strip()
