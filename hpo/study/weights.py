"""Trained tensors on disk, as safetensors and never as pickle."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from hpo.core.errors import InputError
from hpo.study.directory import write_atomic


def weights_of_fit(weights: Mapping[str, Tensor], fit: int) -> dict[str, Tensor]:
    """Return the weights of one fit, with a fit axis of length 1."""
    return {name: tensor[fit : fit + 1] for name, tensor in weights.items()}


def digest(weights: Mapping[str, Tensor]) -> str:
    """Return a short hash of weights, which is the same for equal weights."""
    return hashlib.sha256(save({name: tensor.contiguous() for name, tensor in weights.items()})).hexdigest()[:8]


class WeightStore:
    """The weights of a study's trials, one file per trial; tensors have the fit axis first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, label: str, weights: Mapping[str, Tensor]) -> None:
        write_atomic(self.path(label), save({name: tensor.contiguous() for name, tensor in weights.items()}))

    def load(self, label: str, n_fits: int | None = None) -> dict[str, Tensor]:
        """Return the stored tensors, those of the first `n_fits` fits only if that is given.

        Raises InputError if they are missing.
        """
        if not self.path(label).exists():
            raise InputError(
                f"The weights of trial {label} are missing from {self._folder}; "
                "run the search again under another study name."
            )
        return {name: tensor[:n_fits] for name, tensor in load_file(self.path(label)).items()}

    def n_fits(self, label: str) -> int:
        """Return the length of the first axis of the stored tensors, 0 if there are none."""
        if not self.path(label).exists():
            return 0
        with safe_open(self.path(label), framework="pt") as file:
            return min((file.get_slice(name).get_shape()[0] for name in file.keys()), default=0)  # noqa: SIM118 - not a mapping

    def path(self, label: str) -> Path:
        return self._folder / f"{label}.safetensors"

    def retain_only(self, labels: Collection[str]) -> None:
        """Remove the files of all other labels."""
        for path in self._folder.iterdir():
            if path.name.removesuffix(".safetensors") not in labels:
                path.unlink()
