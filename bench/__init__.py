"""Benchmarks of hpo: the cost of a trial-epoch compared with other tools and with the machine's peak, and more."""

import os


def free_kernels() -> None:
    """Let processes that are started from here choose their own numpy kernels.

    `OPENBLAS_CORETYPE` forces the kernels of one processor; without it, numpy's library chooses those of this machine.
    """
    os.environ.pop("OPENBLAS_CORETYPE", None)
