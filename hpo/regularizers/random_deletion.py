from hpo.regularizers._variants import Variants


class RandomDeletion(Variants):
    """Each word of a text is deleted with probability 0.1."""

    name = "random_deletion"
    summary = "deletes a tenth of the words of a text, with this probability"
    source = "Wei & Zou, EDA, EMNLP 2019"
