"""The part of the terminal that a command changes in place while it works."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

_SEPARATOR = " · "


class Display:
    """Prints lines and, on a terminal, shows other lines below them that are replaced in place.

    The lines that are shown disappear when the display closes, and at an error. Nothing starts before the first of them
    is shown, because that hides the cursor.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def is_terminal(self) -> bool:
        """Whether lines can be replaced in place."""
        return self._console.is_terminal

    @property
    def width(self) -> int:
        """The number of columns."""
        return self._console.width

    def print(self, line: str) -> None:
        """Print a line; on a terminal it is wrapped between words, elsewhere it stays one line."""
        self._console.print(line, highlight=False, soft_wrap=not self.is_terminal)

    def print_parts(self, parts: Sequence[str]) -> None:
        """Print parts of a line, joined by ` · `; on a terminal, a line that is too long is broken between parts."""
        for line in fill(parts, self.width) if self.is_terminal else [_SEPARATOR.join(parts)]:
            self.print(line)

    def show(self, lines: Sequence[str]) -> None:
        """Replace the lines that are shown; without a terminal, do nothing."""
        if not self.is_terminal:
            return
        if self._live is None:
            # The caller refreshes it: a refresh thread would compete with training and take 1 % of the time.
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        self._live.update(Group(*map(Text, lines)), refresh=True)

    def close(self) -> None:
        """Remove the lines that are shown, and show the cursor again."""
        if self._live:
            self._live.stop()
            self._live = None


def fill(parts: Sequence[str], width: int, indent: str = "") -> list[str]:
    """Join parts by ` · ` to lines of at most `width` characters.

    A line is broken between parts; only a part that is longer than a line is broken between its words.
    """
    lines: list[str] = []
    width -= len(_SEPARATOR.rstrip())  # a line may get a separator at its end
    for part in parts:
        longer = f"{lines[-1]}{_SEPARATOR}{part}" if lines else indent + part
        if lines and len(longer) > width:
            lines[-1] += _SEPARATOR.rstrip()
            longer = indent + part
        elif lines:
            lines.pop()
        lines += textwrap.wrap(longer, width, subsequent_indent=indent, break_long_words=False) or [longer]
    return lines
