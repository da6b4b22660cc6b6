"""Train scikit-learn's models with default settings and balanced class weights on everything but the test part.

In docs, their scores are compared on each split, while published scores are of a single split.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

MODELS = {
    "logistic": LogisticRegressionCV(
        Cs=10,
        scoring="balanced_accuracy",
        class_weight="balanced",
        max_iter=2000,
        l1_ratios=(0,),
        use_legacy_attributes=False,
    ),
    "boosting": HistGradientBoostingClassifier(class_weight="balanced", random_state=0),
    "forest": RandomForestClassifier(500, class_weight="balanced", random_state=0),
}


def scores(name: str, split: int, folder: Path) -> dict[str, float]:
    """Return the balanced accuracy on the test rows by model."""
    table = pd.read_csv(folder / f"{name}.csv")
    learn, test = train_test_split(table, test_size=0.2, random_state=split, stratify=table["target"])
    encoder = make_column_transformer(
        (StandardScaler(), make_column_selector(dtype_include="number")),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), make_column_selector(dtype_exclude="number")),
    )
    found = {}
    for key, model in MODELS.items():
        fitted = make_pipeline(encoder, model).fit(learn.drop(columns="target"), learn["target"])
        found[key] = float(balanced_accuracy_score(test["target"], fitted.predict(test.drop(columns="target"))))
    return found
