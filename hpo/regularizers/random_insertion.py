from hpo.regularizers._variants import Variants


class RandomInsertion(Variants):
    """Synonyms of random words of a text are inserted at random places: a tenth of the number of words, at least 1."""

    name = "random_insertion"
    summary = "inserts synonyms of the words of a text at random places, with this probability"
    source = "Wei & Zou, EDA, EMNLP 2019"
