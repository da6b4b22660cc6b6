from hpo.regularizers._variants import Variants


class RandomInsertion(Variants):
    """Synonyms of words of a text are inserted at random places, a tenth as many as there are words, at least one."""

    name = "random_insertion"
    summary = "inserts synonyms of the words of a text at random places, with this probability"
    source = "Wei & Zou, EDA, EMNLP 2019"
