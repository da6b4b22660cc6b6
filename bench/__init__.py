"""What a trial-epoch costs: hpo beside its peers, on one core and on all, and beside what the machine can do."""

import os


def free_kernels() -> None:
    """For the processes that are started from here: `OPENBLAS_CORETYPE` forces kernels for some processor on numpy's library,
    which else chooses those for this one."""
    os.environ.pop("OPENBLAS_CORETYPE", None)
