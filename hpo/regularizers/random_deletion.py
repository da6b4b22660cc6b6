from hpo.regularizers._variants import Variants


class RandomDeletion(Variants):
    """Each word of a text is left out with probability 0.1."""

    name = "random_deletion"
    summary = "reads a text without a tenth of its words, with this probability"
    source = "Wei & Zou, EDA, EMNLP 2019"
