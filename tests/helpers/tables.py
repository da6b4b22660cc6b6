"""Synthetic tables whose true relations are known."""

import numpy as np
import pandas as pd
from scipy.ndimage import rotate
from scipy.sparse import csr_matrix
from sklearn.datasets import dump_svmlight_file, load_digits


def loans(rows: int = 900, seed: int = 0) -> pd.DataFrame:
    """Make a table of loans with numbers, categories, informative and uninformative gaps, and columns of pure noise.

    The probability of repayment falls with the debt ratio and past-due bills, rises with the logarithm of income and
    the years employed, and differs by employment and home; debt weighs twice as much for tenants. The region and the
    six survey answers are noise.
    """
    r = np.random.default_rng(seed)
    employment = r.choice(["salaried", "self-employed", "student", "retired"], rows, p=[0.55, 0.2, 0.15, 0.1])
    home = r.choice(["own", "rent", "family"], rows, p=[0.4, 0.45, 0.15])
    income = np.exp(r.normal(10.3, 0.5, rows)).round(-2)
    years = np.where(employment == "student", np.nan, r.gamma(2.0, 4.0, rows).round(1))
    debt = r.beta(2, 4, rows).round(3)
    past_due = r.poisson(0.6, rows)
    logit = (
        1.2
        + 1.1 * (np.log(income) - 10.3)
        - 4.0 * (debt - 0.33) * np.where(home == "rent", 2.0, 1.0)
        - 0.9 * past_due
        + 0.06 * np.nan_to_num(years, nan=0.0)
        + np.select([employment == "retired", employment == "student"], [0.5, -0.4], 0.0)
        + np.where(home == "own", 0.4, 0.0)
    )
    table = pd.DataFrame(
        {
            "income": income,
            "debt_ratio": debt,
            "past_due": past_due,
            "years_employed": years,
            "employment": employment,
            "home": home,
            "region": r.choice(["north", "south", "east", "west", "centre"], rows),
            **{f"survey_{i}": r.normal(size=rows).round(2) for i in range(1, 7)},
        }
    )
    table.loc[r.random(rows) < 0.08, "income"] = np.nan
    table.loc[r.random(rows) < 0.05, "region"] = None
    table["repaid"] = np.where(r.random(rows) < 1 / (1 + np.exp(-logit)), "yes", "no")
    return table


_GOOD = ["great", "lovely", "sturdy", "quiet", "sharp", "cheerful", "reliable", "comfortable", "quick", "handsome"]
_BAD = ["awful", "flimsy", "noisy", "blunt", "dull", "shaky", "clumsy", "slow", "ugly", "uncomfortable"]
_PARTS = ["handle", "lid", "motor", "cover", "paper", "plot", "colour", "blade", "hose", "seat", "label", "ending"]
_SAID = [
    "the {part} is {word}",
    "{word} {part}",
    "I found the {part} {word}",
    "what a {word} {part}",
    "a rather {word} {part}",
]
_FILLED = [
    "bought it for my sister",
    "it came in a box",
    "the second one I own",
    "arrived on a Tuesday",
    "we use it every week",
    "as in the picture",
    "it was a present",
    "read the manual first",
    "my neighbour has the same",
]


def _review(r: np.random.Generator, mood: float) -> str:
    """Make a few sentences with the more good words the better the mood; some words are negated ("not dull")."""
    sentences = list(r.choice(_FILLED, r.integers(1, 3), replace=False))
    for _ in range(r.integers(2, 6)):
        good, turned = r.random() < 1 / (1 + np.exp(-3 * mood)), r.random() < 0.2
        word = r.choice(_GOOD if good != turned else _BAD)
        sentences.append(r.choice(_SAID).format(part=r.choice(_PARTS), word=f"not {word}" if turned else word))
    r.shuffle(sentences)
    marks = r.choice([".", "!", "...", " 🙂", "<br />"], p=[0.7, 0.15, 0.05, 0.05, 0.05])
    return f"{marks} ".join(text[0].upper() + text[1:] for text in sentences) + marks


def reviews(rows: int = 400, seed: int = 0) -> pd.DataFrame:
    """Make a table of product reviews: a text, a number with gaps and a category; the target is a second purchase.

    Its probability rises with the mood of the reviewer, which shows in the words, and falls with the price; the
    category is noise. One review in fifty is missing.
    """
    r = np.random.default_rng(seed)
    mood, price = r.normal(size=rows), np.exp(r.normal(3, 0.6, rows)).round(2)
    table = pd.DataFrame(
        {
            "review": [_review(r, one) for one in mood],
            "price": price,
            "bought": r.choice(["kitchen", "books", "garden"], rows),
        }
    )
    table.loc[r.random(rows) < 0.02, "review"] = None
    table.loc[r.random(rows) < 0.05, "price"] = np.nan
    table["again"] = np.where(r.random(rows) < 1 / (1 + np.exp(-4 * mood + 2 * (np.log(price) - 3))), "yes", "no")
    return table


def branch(rows: int = 500, seed: int = 1) -> pd.DataFrame:
    """Make the loans of another bank, whose customers earn two fifths less and repay as if they did not."""
    table = loans(rows, seed)
    table["income"] = (0.6 * table["income"]).round(-2)
    return table


def digits(rotated: bool) -> pd.DataFrame:
    """Return half of scikit-learn's digits (8 × 8 pixels of 0 to 16), or the other half rotated by 30° with noise."""
    pixels, labels = load_digits(return_X_y=True)
    r = np.random.default_rng(0)
    rows = np.array_split(r.permutation(len(labels)), 2)[int(rotated)]
    images = pixels[rows].reshape(-1, 8, 8)
    if rotated:
        images = rotate(images, 30, axes=(2, 1), reshape=False, order=1) + r.normal(0, 2, images.shape)
    whole = images.clip(0, 16).round().astype(int).reshape(len(rows), 64)
    return pd.DataFrame(whole, columns=[f"pixel_{i}_{j}" for i in range(8) for j in range(8)]).assign(
        target=labels[rows]
    )


def opinions(domain: str, rows: int = 600) -> tuple[csr_matrix, np.ndarray]:
    """Make reviews of books or films as counts of 400 words, with labels 1 (good) or -1.

    Words 0 to 39 are informative in both domains (good and bad ones alternate), 40 to 119 for books only, 120 to 199
    for films only. The other words, most of a review, name the topic and have different frequencies in each domain.
    """
    r = np.random.default_rng(["books", "films"].index(domain))
    topic = np.random.default_rng(7).dirichlet(np.full(200, 0.3), 2)[["books", "films"].index(domain)]
    own = 40 if domain == "books" else 120
    labels = np.where(r.permutation(rows) % 2 == 0, 1, -1)
    found = np.zeros((rows, 400), dtype=int)
    for row, label in enumerate(labels):
        for first, count, said in ((0, 40, r.poisson(2)), (own, 80, r.poisson(4))):
            words = first + r.integers(0, count // 2, said) * 2
            np.add.at(found[row], words + (r.random(said) < (0.25 if label > 0 else 0.75)), 1)
        np.add.at(found[row], 200 + r.choice(200, 30, p=topic), 1)
    return csr_matrix(found), labels


def synonyms() -> pd.DataFrame:
    """Words of the reviews that say nearly the same."""
    groups = [
        "great lovely excellent splendid",
        "sturdy reliable solid robust",
        "quiet silent",
        "sharp keen",
        "quick fast swift",
        "cheerful bright colourful",
        "handsome pretty",
        "comfortable cosy",
        "awful terrible horrible",
        "flimsy shaky weak",
        "noisy loud",
        "blunt dull",
        "clumsy awkward",
        "slow sluggish",
        "ugly unsightly",
        "handle grip",
        "lid cover top",
        "motor engine",
        "plot story",
        "colour shade",
        "seat chair",
        "box package",
        "present gift",
        "manual instructions",
        "picture photo",
        "bought got",
    ]
    pairs = [(a, b) for group in map(str.split, groups) for a in group for b in group if a != b]
    return pd.DataFrame(pairs, columns=["word", "synonym"])


def domain(rows: int = 100, seed: int = 0, by: float = 0.0) -> pd.DataFrame:
    """Make two clouds in four dimensions, all points moved by `by`; `kind` is noise, and `row` is unique.

    A point belongs to the cloud with the nearer centre, so a line learned without the shift is wrong with it.
    """
    r = np.random.default_rng(seed)
    y = r.permutation(np.arange(rows) % 2)
    x = (
        r.normal(size=(rows, 4))
        + 1.5 * (2 * y - 1)[:, None] * np.array([1.0, 1.0, 0.0, 0.0])
        + by * np.array([1.0, 0.0, 1.0, 0.0])
    )
    kind = r.choice(["u", "v"], rows)
    table = pd.DataFrame({"row": 1000 * seed + np.arange(rows), "kind": kind, **{f"x{i}": x[:, i] for i in range(4)}})
    return table.assign(y=np.where(y == 1, "good", "bad"))


if __name__ == "__main__":
    loans().to_csv("search_spaces/loans.csv", index=False)
    branch().to_csv("search_spaces/branch.csv", index=False)
    reviews().to_csv("search_spaces/reviews.csv", index=False)
    synonyms().to_csv("search_spaces/synonyms.csv", index=False)
    digits(rotated=False).to_csv("search_spaces/digits_upright.csv", index=False)
    digits(rotated=True).to_csv("search_spaces/digits_rotated.csv", index=False)
    for domain in ("books", "films"):
        dump_svmlight_file(*opinions(domain), f"search_spaces/{domain}.svmlight")


def three_places(rows, moved, seed, numbers=False):
    """Three classes around three places, of which another domain has all a little aside."""
    random = np.random.default_rng(seed)
    y = random.integers(3, size=rows)
    x = (
        np.array([[0, 2, 0, 0], [2, 0, 0, 0], [0, 0, 2, 0]])[y]
        + random.normal(size=(rows, 4)) * 0.8
        + moved * np.array([1, 1, 0, 2])
    )
    return pd.DataFrame(x, columns=list("abcd")).assign(
        y=x[:, 0] + 2 * x[:, 2] if numbers else np.array(["one", "three", "two"])[y]
    )
