"""What the matrices and their pairs are called: in data and tables, and to a reader."""

from collections.abc import Mapping
from typing import Literal

import numpy as np

#: The projections of attention: query, key and value.
MATRICES = ("q", "k", "v")
#: What all three are projections of: the layer-normed hidden state.
INPUT = "x"
#: What the model begins with: its own vectors of single words, before the first layer.
EMBEDDING = "embedding"
WITH_INPUT = (*MATRICES, INPUT)
PAIRS = ("qk", "qv", "kv")
#: In `metrics/verdicts.csv`, instead of a name, a transform or a comparison: all of them.
EVERY = "every"
#: Differences that tables hold, the first less the second: their `of` is "v-q".
MATRIX_DIFFERENCES = (("v", "q"), ("v", "k"), ("k", "q"))
PAIR_DIFFERENCES = (("qv", "qk"), ("kv", "qk"), ("kv", "qv"))
#: Where the two matrices of each pair stand among `MATRICES`.
PLACES = {a + b: (MATRICES.index(a), MATRICES.index(b)) for a, b in PAIRS}

#: To a reader.
LABELS = {"q": "Q", "k": "K", "v": "V", "x": "x", "qk": "Q–K", "qv": "Q–V", "kv": "K–V"}

#: The rungs of the ladder of nulls, in their order: what the step to each from the one below it means. All but the last
#: two are drawn; `OF_PAIRS` only of two matrices.
RUNGS = {
    "gaussian": "",
    "spectrum": "narrow spectrum",
    "orientation": "shared directions",
    "unbiased": "alignment",
    "trained": "bias",
}
DRAWN = tuple(RUNGS)[:-2]
OF_PAIRS = ("orientation",)

#: With more words `auto` draws less; with so many, maps have no room for every name.
MANY_WORDS = 100

#: The choices of params.yaml. What each is, its registry says: `METRICS`, `TRANSFORMS` and `COMPARISONS`.
MetricName = Literal["cosine", "correlation", "euclidean"]
TransformName = Literal["none", "center", "zscore"]
ComparisonName = Literal["pearson", "spearman", "cka_debiased", "whitened_correlation", "whitened_cosine"]
#: Geometries of words that need no file.
CandidateName = Literal["categories", "frequency", "spelling", "length", "tokens", "embeddings"]

#: Arrays by name, such as "q", "k" and "v".
Arrays = Mapping[str, np.ndarray]
#: Scores over layers, by measure and by matrix or pair (``scores["rsa", "qk"]``): columns such as "value", "low" and
#: "high", each of shape (layers,).
Scores = Mapping[tuple[str, ...], Arrays]
