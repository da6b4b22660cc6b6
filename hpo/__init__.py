"""Which strength of which regularizer? `hpo.search(space)` answers from Python, `hpo search` from the terminal."""

import os
from typing import Any

# A matrix product of MKL may differ in its last bit with the alignment of its operands, so with the row that a fit has in
# its stack. Its strict mode does not, at no measurable cost; it must be chosen before torch is loaded.
os.environ.setdefault("MKL_CBWR", "AVX2,STRICT")

__all__ = ["search"]


def __getattr__(name: str) -> Any:
    # Late, so that `hpo --help` does not wait for torch.
    if name == "search":
        from hpo.workflows.api import search

        return search
    raise AttributeError(f"module 'hpo' has no attribute {name!r}")
