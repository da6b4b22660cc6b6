from hpo.regularizers._variants import Variants


class BackTranslation(Variants):
    """A text is replaced by a paraphrase, such as a translation into another language and back.

    The paraphrases come from the function that `data.text.back_translation` names.
    """

    name = "back_translation"
    summary = "replaces a text by its paraphrase from your function, with this probability"
    source = "Sennrich et al., Improving neural machine translation models with monolingual data, ACL 2016"
