from hpo.regularizers._variants import Variants


class SynonymReplacement(Variants):
    """A tenth of the words, at least one, by a synonym each: of the table that `data.text.synonyms` names, else of WordNet."""

    name = "synonym_replacement"
    summary = "reads a text with a tenth of its words replaced by synonyms, with this probability"
    source = "Wei & Zou, EDA, EMNLP 2019"
