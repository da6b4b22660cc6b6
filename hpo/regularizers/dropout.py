from torch import Tensor

from hpo.regularizers.base import Regularizer, Step


class Dropout(Regularizer):
    """Inverted dropout (Srivastava et al., JMLR 2014) after each hidden layer, in training only.

    Each unit is zeroed with probability `s`, and the remaining ones are divided by 1 - s.
    """

    name = "dropout"
    summary = "zeroes each hidden unit with this probability in training"
    needs_rng = "layer"
    allowed = (0.0, 1.0)
    prior = {"low": 0.0, "high": 0.6}
    probe = (0.1, 0.9)
    source = "Srivastava et al., Dropout, JMLR 2014"

    def hidden(self, s: Tensor, step: Step, h: Tensor, h_in: Tensor, site: int) -> Tensor:
        del h_in
        if not step.training:
            return h
        return h * step.noise[self.name][site].dropout(s, tuple(h.shape[1:]))
