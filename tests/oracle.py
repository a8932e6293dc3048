"""The post's analysis in plain loops: shares no code with `stages/`."""

import numpy as np
import pingouin
from safetensors.numpy import load_file
from scipy.spatial.distance import pdist


def tables(
    activations: str, words: dict[str, list[str]], context: int, target: int, heads: int, metric: str = "cosine"
) -> dict:
    """Compute every table from the activations file: {table: {column: list of its rows}}; of heads {keys: value}."""
    tensors = load_file(activations)
    layers = len([name for name in tensors if name.endswith("_q")])
    labels = [category for category, listed in words.items() for _ in listed]
    within = [labels[i] == labels[j] for i in range(len(labels)) for j in range(i + 1, len(labels))]
    result = {"correlation": {}, "rsa": {}, "separability": {}, "heads": {}, "similarity": {}}

    def add(table: str, column: str, value: float) -> None:
        result[table].setdefault(column, []).append(value)

    def similar(vectors: np.ndarray) -> np.ndarray:
        vectors = vectors.astype(float)
        return -pdist(vectors, metric) if metric == "euclidean" else 1 - pdist(vectors, metric)

    for layer in range(layers):
        similarity = {}
        for name in "qkvx":
            similarity[name] = similar(tensors[f"attn_{layer}_{name}"][:, target])
            add("similarity", name, similarity[name])
        for a, b in ("qk", "qv", "kv"):
            for token, suffix in ((context, ""), (target, "_target")):
                x, y = (tensors[f"attn_{layer}_{name}"][:, token].astype(float).ravel() for name in (a, b))
                add("correlation", f"{a}{b}{suffix}", np.corrcoef(x, y)[0, 1])
            for wanted, suffix in ((None, ""), (True, "_within"), (False, "_across")):
                kept = [p for p, is_within in enumerate(within) if wanted is None or is_within == wanted]
                add("rsa", f"{a}{b}{suffix}", np.corrcoef(similarity[a][kept], similarity[b][kept])[0, 1])
        for name in "qkv":
            inside = [s for s, is_within in zip(similarity[name], within, strict=True) if is_within]
            outside = [s for s, is_within in zip(similarity[name], within, strict=True) if not is_within]
            add("separability", name, pingouin.compute_effsize(inside, outside, paired=False, eftype="cohen"))
            for kind, values in (("within", inside), ("across", outside)):
                add("separability", f"{name}_{kind}_mean", np.mean(values))
                add("separability", f"{name}_{kind}_sd", np.std(values, ddof=1))
        size = tensors["attn_0_q"].shape[-1] // heads
        for head in range(heads):
            units = slice(head * size, (head + 1) * size)
            own = {name: similar(tensors[f"attn_{layer}_{name}"][:, target, units]) for name in "qkv"}
            for name in "qkv":
                inside = [s for s, is_within in zip(own[name], within, strict=True) if is_within]
                outside = [s for s, is_within in zip(own[name], within, strict=True) if not is_within]
                d = pingouin.compute_effsize(inside, outside, paired=False, eftype="cohen")
                result["heads"][layer, head, "d", name] = d
            for a, b in ("qk", "qv", "kv"):
                result["heads"][layer, head, "rsa", f"{a}{b}"] = np.corrcoef(own[a], own[b])[0, 1]
        for table in ("correlation", "rsa", "separability"):
            add(table, "layer", layer)
    return result
