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


if __name__ == "__main__":
    loans().to_csv("search_spaces/loans.csv", index=False)
