from hpo.regularizers._variants import Variants


class Synthetic(Variants):
    """With probability `s` a generated row of the same class, or with about the same number, takes a row's place in a minibatch. How they are
    generated is `data.synthetic`: between neighbours as SMOTE does it, by a mixture of Gaussians, or by a variational autoencoder."""

    name = "synthetic"
    summary = "replaces a row by one that was generated from the training rows of its class, with this probability"
    needs = ("generated",)
    source = "Chawla, Bowyer, Hall & Kegelmeyer, SMOTE: Synthetic Minority Over-sampling Technique, JAIR 2002"
