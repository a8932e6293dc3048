"""Compare the similarities of Q, K and V in every layer: over all word pairs, and within and across categories."""

from collections.abc import Callable
from functools import partial

import numpy as np

from stages.artefacts.files import Tensors
from stages.artefacts.layers import each_layer, layers_of
from stages.artefacts.tables import write_table
from stages.geometry.comparison import COMPARISONS, pairwise
from stages.geometry.names import MATRICES, Arrays
from stages.geometry.pairs import within_category
from stages.geometry.similarity import METRICS
from stages.pipeline.progress import stack
from stages.pipeline.stage import Stage, run


def main(stage: Stage) -> None:
    tensors = Tensors(stage.input("data/similarity.safetensors"))
    within, own = within_category(tensors.record["categories"]), METRICS[tensors.record["metric"]].own
    features = partial(COMPARISONS[stage.settings.rsa.comparison].features, own=own)
    compare = partial(rsa_scores, within=within, features=features)
    layers = layers_of(tensors, MATRICES)
    columns = stack(each_layer("rsa", compare, layers))
    write_table(stage.output("metrics/rsa.csv"), "rsa.csv", columns, layers.numbers)


def rsa_scores(
    similarity: Arrays, within: np.ndarray, features: Callable[[np.ndarray], np.ndarray]
) -> dict[str, np.ndarray]:
    """Return the RSA scores of one layer: over all pairs those of `features`, within and across Pearson's r."""
    columns = pairwise(similarity, features)
    for kind, pairs in {"within": within, "across": ~within}.items():
        scores = pairwise({name: values[pairs] for name, values in similarity.items()})
        columns |= {f"{pair}_{kind}": r for pair, r in scores.items()}
    return columns


if __name__ == "__main__":
    run("rsa", main, __doc__)
