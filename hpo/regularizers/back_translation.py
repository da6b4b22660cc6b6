from hpo.regularizers._variants import Variants


class BackTranslation(Variants):
    """A text said in other words, as by translating it and back: by the function that `data.text.back_translation` names."""

    name = "back_translation"
    summary = "reads a text as your function says it in other words, with this probability"
    source = "Sennrich et al., Improving neural machine translation models with monolingual data, ACL 2016"
