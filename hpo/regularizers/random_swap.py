from hpo.regularizers._variants import Variants


class RandomSwap(Variants):
    """Random pairs of words of a text are swapped; the number of swaps is a tenth of the number of words, at least one.

    It needs terms of two or more words (`data.text.ngrams`), because single words are counted regardless of their
    order.
    """

    name = "random_swap"
    summary = "swaps words of a text, with this probability"
    source = "Wei & Zou, EDA, EMNLP 2019"
