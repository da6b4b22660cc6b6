from hpo.regularizers._variants import Variants


class RandomSwap(Variants):
    """Two words change places, a tenth as often as there are words, at least once. It needs terms of two words or more
    (`data.text.ngrams`): single words are counted without their order."""

    name = "random_swap"
    summary = "reads a text with words that have changed places, with this probability"
    source = "Wei & Zou, EDA, EMNLP 2019"
