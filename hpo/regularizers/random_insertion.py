from hpo.regularizers._variants import Variants


class RandomInsertion(Variants):
    """A tenth as many words as a text has, at least one, are put anywhere into it: synonyms of its own words."""

    name = "random_insertion"
    summary = "reads a text with synonyms of its words put in anywhere, with this probability"
    source = "Wei & Zou, EDA, EMNLP 2019"
