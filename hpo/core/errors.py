"""Exceptions of hpo, and the exit code of each on the command line.

HpoError                1
 ├── InputError         2   the user's input must change; nothing was written
 │    └── SpaceError    2   the space file is invalid: all mistakes at once, in their order in the file
 ├── StoreError         1   the store or the MLflow server failed during a search
 ├── WorkersError       1   all worker processes have ended
 └── SearchFailedError  1   there is no result, because every trial diverged
"""

from __future__ import annotations

from collections.abc import Sequence


class HpoError(Exception):
    """Base class. The message is one complete sentence for the user."""

    exit_code = 1


class InputError(HpoError):
    """The user's input must change; nothing was written."""

    exit_code = 2


class SpaceError(InputError):
    """All mistakes of a space file, one sentence each, in their order in the file."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = tuple(mistakes)


class StoreError(HpoError):
    """The store or the MLflow server failed during a search."""


class WorkersError(HpoError):
    """All worker processes have ended."""


class SearchFailedError(HpoError):
    """There is no result, because every trial diverged."""


def truncate(value: object, limit: int = 80) -> str:
    """Return a value as it is quoted in a message: one line, printable, at most `limit` characters."""
    text = value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else repr(value)
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[: limit + 1])
    return text if len(text) <= limit else text[: limit - 1] + "…"


def describe_exception(error: Exception) -> str:
    """Return the type of an exception and the first line of its message, for use in a sentence."""
    return f"{type(error).__name__}: {truncate(str(error).strip().partition(chr(10))[0], 120)}"


def did_you_mean(name: str, known: Sequence[str], otherwise: str | None = None) -> str:
    """Return ` Did you mean X?` if a known name is similar to `name`.

    If no known name is similar, return `otherwise`, or the list of known names if `otherwise` is None.
    """
    from difflib import get_close_matches

    lower = {word.lower(): word for word in known}
    close = get_close_matches(name.lower(), lower, n=1, cutoff=0.6)
    if close:
        return f" Did you mean {lower[close[0]]}?"
    return f" Known: {', '.join(known)}." if otherwise is None else otherwise
