from hpo.regularizers._variants import Variants


class BackTranslation(Variants):
    """Paraphrases of a text, such as translations into another language and back.

    The function that `data.text.back_translation` names writes them.
    """

    name = "back_translation"
    summary = "replaces a text by its paraphrase from your function, with this probability"
    source = "Sennrich et al., Improving neural machine translation models with monolingual data, ACL 2016"
