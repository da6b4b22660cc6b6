from hpo.regularizers._variants import Variants


class Synthetic(Variants):
    """With probability `s`, a generated row replaces a row of the minibatch.

    It has the same class, or in a regression a similar target. `data.synthetic` selects the generator: interpolation
    between neighbors (SMOTE), a mixture of Gaussians, or a variational autoencoder.
    """

    name = "synthetic"
    summary = "replaces a row by one that was generated from training rows of its class, with this probability"
    needs = ("generated",)
    source = "Chawla, Bowyer, Hall & Kegelmeyer, SMOTE: Synthetic Minority Over-sampling Technique, JAIR 2002"
