"""Made tables with a known truth."""

import numpy as np
import pandas as pd


def loans(rows: int = 900, seed: int = 0) -> pd.DataFrame:
    """Who repays a loan: numbers, categories, gaps that mean something, gaps that do not, and columns of pure noise.

    The truth: chances fall with the debt ratio and past-due bills, rise with income (on its log scale) and years employed,
    differ by employment and home, and debt hurts those who rent twice as much. Region and the six survey answers are noise.
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
    table = pd.DataFrame({
        "income": income,
        "debt_ratio": debt,
        "past_due": past_due,
        "years_employed": years,
        "employment": employment,
        "home": home,
        "region": r.choice(["north", "south", "east", "west", "centre"], rows),
        **{f"survey_{i}": r.normal(size=rows).round(2) for i in range(1, 7)},
    })
    table.loc[r.random(rows) < 0.08, "income"] = np.nan
    table.loc[r.random(rows) < 0.05, "region"] = None
    table["repaid"] = np.where(r.random(rows) < 1 / (1 + np.exp(-logit)), "yes", "no")
    return table


_GOOD = ["great", "lovely", "sturdy", "quiet", "sharp", "cheerful", "reliable", "comfortable", "quick", "handsome"]
_BAD = ["awful", "flimsy", "noisy", "blunt", "dull", "shaky", "clumsy", "slow", "ugly", "uncomfortable"]
_PARTS = ["handle", "lid", "motor", "cover", "paper", "plot", "colour", "blade", "hose", "seat", "label", "ending"]
_SAID = ["the {part} is {word}", "{word} {part}", "I found the {part} {word}", "what a {word} {part}", "a rather {word} {part}"]
_FILLED = [
    "bought it for my sister", "it came in a box", "the second one I own", "arrived on a Tuesday", "we use it every week",
    "as in the picture", "it was a present", "read the manual first", "my neighbour has the same",
]  # fmt: skip


def _review(r: np.random.Generator, mood: float) -> str:
    """A few sentences; the better the mood, the more of the words are good, some of them said by the contrary: "not dull"."""
    sentences = list(r.choice(_FILLED, r.integers(1, 3), replace=False))
    for _ in range(r.integers(2, 6)):
        good, turned = r.random() < 1 / (1 + np.exp(-3 * mood)), r.random() < 0.2
        word = r.choice(_GOOD if good != turned else _BAD)
        sentences.append(r.choice(_SAID).format(part=r.choice(_PARTS), word=f"not {word}" if turned else word))
    r.shuffle(sentences)
    marks = r.choice([".", "!", "...", " 🙂", "<br />"], p=[0.7, 0.15, 0.05, 0.05, 0.05])
    return f"{marks} ".join(text[0].upper() + text[1:] for text in sentences) + marks


def reviews(rows: int = 400, seed: int = 0) -> pd.DataFrame:
    """Who would buy it again: a text, a number with gaps and a category.

    The truth: chances rise with the mood in which the review was written, of which its words tell, and fall with the price; what was
    bought is noise. One review in fifty is missing.
    """
    r = np.random.default_rng(seed)
    mood, price = r.normal(size=rows), np.exp(r.normal(3, 0.6, rows)).round(2)
    table = pd.DataFrame({
        "review": [_review(r, one) for one in mood],
        "price": price,
        "bought": r.choice(["kitchen", "books", "garden"], rows),
    })
    table.loc[r.random(rows) < 0.02, "review"] = None
    table.loc[r.random(rows) < 0.05, "price"] = np.nan
    table["again"] = np.where(r.random(rows) < 1 / (1 + np.exp(-4 * mood + 2 * (np.log(price) - 3))), "yes", "no")
    return table


def synonyms() -> pd.DataFrame:
    """Words of the reviews that say nearly the same."""
    groups = [
        "great lovely excellent splendid", "sturdy reliable solid robust", "quiet silent", "sharp keen", "quick fast swift",
        "cheerful bright colourful", "handsome pretty", "comfortable cosy", "awful terrible horrible", "flimsy shaky weak", "noisy loud",
        "blunt dull", "clumsy awkward", "slow sluggish", "ugly unsightly", "handle grip", "lid cover top", "motor engine",
        "plot story", "colour shade", "seat chair", "box package", "present gift", "manual instructions", "picture photo", "bought got",
    ]  # fmt: skip
    pairs = [(a, b) for group in map(str.split, groups) for a in group for b in group if a != b]
    return pd.DataFrame(pairs, columns=["word", "synonym"])


def domain(rows: int = 100, seed: int = 0, by: float = 0.0) -> pd.DataFrame:
    """Two clouds in four dimensions, all of it moved `by` so much; `kind` is noise, and `row` tells rows apart.

    The truth: a point is of the cloud whose centre is nearer, so that a line learned without the shift is wrong with it.
    """
    r = np.random.default_rng(seed)
    y = r.permutation(np.arange(rows) % 2)
    x = r.normal(size=(rows, 4)) + 1.5 * (2 * y - 1)[:, None] * np.array([1.0, 1.0, 0.0, 0.0]) + by * np.array([1.0, 0.0, 1.0, 0.0])
    kind = r.choice(["u", "v"], rows)
    table = pd.DataFrame({"row": 1000 * seed + np.arange(rows), "kind": kind, **{f"x{i}": x[:, i] for i in range(4)}})
    return table.assign(y=np.where(y == 1, "good", "bad"))


if __name__ == "__main__":
    loans().to_csv("search_spaces/loans.csv", index=False)
    reviews().to_csv("search_spaces/reviews.csv", index=False)
    synonyms().to_csv("search_spaces/synonyms.csv", index=False)
