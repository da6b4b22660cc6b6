"""Tune the regularization of a neural network."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

# The last bit of a matrix product of MKL can depend on the memory alignment of its operands, and so on the position of
# a fit in its stack. The strict mode of MKL prevents that at no measurable cost; it must be set before torch is loaded.
os.environ.setdefault("MKL_CBWR", "AVX2,STRICT")

if TYPE_CHECKING:
    from hpo.workflows.api import search

__all__ = ["search"]


def __getattr__(name: str) -> Any:
    # Imported on first use, so that `hpo --help` does not wait for torch.
    if name == "search":
        from hpo.workflows.api import search

        return search
    raise AttributeError(f"module 'hpo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
