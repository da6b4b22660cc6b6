"""Which strength of which regularizer? `hpo.search(space)` answers from Python, `hpo search` from the terminal."""

from typing import Any

__all__ = ["search"]


def __getattr__(name: str) -> Any:
    # Late, so that `hpo --help` does not wait for torch.
    if name == "search":
        from hpo.api import search

        return search
    raise AttributeError(f"module 'hpo' has no attribute {name!r}")
