"""What figures, and the pages that show them, are called and call things: no drawing, so that it costs no import."""

from typing import NamedTuple

#: What the report shows as well, to readers of the other setting, at dots an inch that a page can show.
OTHER_THEME, OTHER_DPI = {"dark": "light", "light": "dark"}, 120


class MetricLabel(NamedTuple):
    """What a similarity metric is called on an axis, and in short; the similarity of a word with itself."""

    long: str
    short: str
    own: float

    @property
    def bounded(self) -> bool:
        """Whether the post's limits suit it."""
        return self.own == 1


METRIC_LABELS = {
    "cosine": MetricLabel("Cosine similarity", "cossim", 1.0),
    "correlation": MetricLabel("Correlation", "corr", 1.0),
    "euclidean": MetricLabel("Negated distance", "−distance", 0.0),
}


class ComparisonLabel(NamedTuple):
    """What a score over all pairs is called on an axis, and in a sentence; its symbol."""

    axis: str
    name: str
    symbol: str


COMPARISON_LABELS = {
    "pearson": ComparisonLabel("RSA scores", "Pearson's r", "r"),
    "spearman": ComparisonLabel("RSA scores (Spearman)", "Spearman's ρ", "ρ"),
    "cka_debiased": ComparisonLabel("RSA scores (debiased CKA)", "debiased CKA", "CKA"),
}

#: What is done to vectors before they are compared, after "vectors".
TRANSFORM_LABELS = {"none": "as they are", "center": "centred", "zscore": "z-scored"}


def number(value: float) -> str:
    """Write a number with two decimals and a real minus sign.

    Examples
    --------
    >>> number(-0.239)
    '−0.24'
    """
    return f"{value:.2f}".replace("-", "−")
