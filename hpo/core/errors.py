"""The exceptions of hpo, and the exit code that each becomes on the command line.

HpoError                1
 ├── InputError         2   something the user gave must change; nothing was written
 │    └── SpaceError    2   the space file: every mistake at once, in its order
 ├── StoreError         1   the store or the MLflow server was lost while searching
 ├── WorkersError       1   every worker process has ended
 └── SearchFailedError  1   there is no result: every trial diverged
"""

from __future__ import annotations

from collections.abc import Sequence


class HpoError(Exception):
    """The base: its text is one sentence for a person."""

    exit_code = 1


class InputError(HpoError):
    exit_code = 2


class SpaceError(InputError):
    """Every mistake of a space file, one sentence each, in the order of the file."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = tuple(mistakes)


class StoreError(HpoError):
    pass


class WorkersError(HpoError):
    pass


class SearchFailedError(HpoError):
    pass


def truncate(value: object, limit: int = 80) -> str:
    """What came, as it is quoted in a sentence: on one line, printable, at most `limit` characters."""
    text = value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else repr(value)
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[: limit + 1])
    return text if len(text) <= limit else text[: limit - 1] + "…"


def describe_exception(error: Exception) -> str:
    """Somebody else's exception in a sentence: its kind, and the first line of what it says."""
    return f"{type(error).__name__}: {truncate(str(error).strip().partition(chr(10))[0], 120)}"


def did_you_mean(name: str, known: Sequence[str], otherwise: str | None = None) -> str:
    """` Did you mean X?` when one of `known` is close to `name`; else what is known, or `otherwise`."""
    from difflib import get_close_matches

    lower = {word.lower(): word for word in known}
    close = get_close_matches(name.lower(), lower, n=1, cutoff=0.6)
    if close:
        return f" Did you mean {lower[close[0]]}?"
    return f" Known: {', '.join(known)}." if otherwise is None else otherwise
