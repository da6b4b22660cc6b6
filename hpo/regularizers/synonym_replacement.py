from hpo.regularizers._variants import Variants


class SynonymReplacement(Variants):
    """A tenth of the words of a text, at least one, are replaced by synonyms.

    They come from the table that `data.text.synonyms` names, otherwise from WordNet.
    """

    name = "synonym_replacement"
    summary = "replaces a tenth of the words of a text by synonyms, with this probability"
    source = "Wei & Zou, EDA, EMNLP 2019"
