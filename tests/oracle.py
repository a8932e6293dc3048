"""The post's analysis in plain loops: shares no code with `stages/`."""

from itertools import combinations

import numpy as np
import pingouin
from safetensors.numpy import load_file
from scipy.spatial.distance import pdist

PAIRS = ("qk", "qv", "kv")


def standardised(values: np.ndarray) -> np.ndarray:
    return (values - values.mean(axis=-1, keepdims=True)) / values.std(axis=-1, keepdims=True)


def pairs_drawn(counts: np.ndarray) -> list[tuple[int, int]]:
    """List the pairs of words that were drawn so often, copies repeated; a word makes none with its own copies."""
    drawn = np.repeat(np.arange(len(counts)), counts).tolist()
    return [(one, other) for one, other in combinations(drawn, 2) if one != other]


def cohens_d(similarity: np.ndarray, within: np.ndarray) -> float:
    """Compare pairs within categories with those across."""
    return pingouin.compute_effsize(similarity[within], similarity[~within], eftype="cohen")


def scores(similarity: dict[str, np.ndarray], within: np.ndarray) -> dict[tuple[str, str], float]:
    """Score RSA of each pair and Cohen's d of each matrix."""
    rsa = {("rsa", a + b): np.corrcoef(similarity[a], similarity[b])[0, 1] for a, b in PAIRS}
    return rsa | {("d", name): cohens_d(similarity[name], within) for name in "qkv"}


def tables(
    activations: str, words: dict[str, list[str]], context: int, target: int, heads: int, metric: str = "cosine"
) -> dict:
    """Compute every table from the activations file: {table: {column: list of its rows}}; of heads {keys: value}."""
    tensors = load_file(activations)
    layers = len([name for name in tensors if name.endswith("_q")])
    labels = [category for category, listed in words.items() for _ in listed]
    within = np.array([one == other for one, other in combinations(labels, 2)])
    result = {"correlation": {}, "rsa": {}, "separability": {}, "heads": {}, "similarity": {}}

    def add(table: str, column: str, value: float) -> None:
        result[table].setdefault(column, []).append(value)

    def similar(vectors: np.ndarray) -> np.ndarray:
        vectors = vectors.astype(float)
        return -pdist(vectors, metric) if metric == "euclidean" else 1 - pdist(vectors, metric)

    for layer in range(layers):
        similarity = {name: similar(tensors[f"attn_{layer}_{name}"][:, target]) for name in "qkvx"}
        for name, values in similarity.items():
            add("similarity", name, values)
        for a, b in PAIRS:
            for token, suffix in ((context, ""), (target, "_target")):
                x, y = (tensors[f"attn_{layer}_{name}"][:, token].astype(float).ravel() for name in (a, b))
                add("correlation", f"{a}{b}{suffix}", np.corrcoef(x, y)[0, 1])
            for kept, suffix in ((slice(None), ""), (within, "_within"), (~within, "_across")):
                add("rsa", f"{a}{b}{suffix}", np.corrcoef(similarity[a][kept], similarity[b][kept])[0, 1])
        for name in "qkv":
            add("separability", name, cohens_d(similarity[name], within))
            for kept, kind in ((within, "within"), (~within, "across")):
                add("separability", f"{name}_{kind}_mean", np.mean(similarity[name][kept]))
                add("separability", f"{name}_{kind}_sd", np.std(similarity[name][kept], ddof=1))
        size = tensors["attn_0_q"].shape[-1] // heads
        for head in range(heads):
            units = slice(head * size, (head + 1) * size)
            own = {name: similar(tensors[f"attn_{layer}_{name}"][:, target, units]) for name in "qkv"}
            result["heads"] |= {(layer, head, *key): value for key, value in scores(own, within).items()}
        for table in ("correlation", "rsa", "separability"):
            add(table, "layer", layer)
    return result
