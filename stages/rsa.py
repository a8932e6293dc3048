"""Compare the similarities of Q, K and V in every layer: over all word pairs, and within and across categories."""

import numpy as np

from stages.artefacts import store
from stages.artefacts.layerwise import each_layer
from stages.geometry.comparison import COMPARISONS, pairwise
from stages.geometry.pairs import within_category
from stages.pipeline.stage import Stage, run


def main(stage: Stage) -> None:
    features = COMPARISONS[stage.settings.rsa.comparison].features
    with store.open_tensors(stage.input("data/similarity.safetensors")) as tensors:
        within = within_category(tensors.record["categories"])

        def compare(layer: int) -> dict[str, np.ndarray]:
            similarity = {name: tensors[name][layer] for name in store.MATRICES}
            columns = pairwise(similarity, features)
            for kind, pairs in {"within": within, "across": ~within}.items():
                scores = pairwise({name: values[pairs] for name, values in similarity.items()})
                columns |= {f"{pair}_{kind}": r for pair, r in scores.items()}
            return columns

        columns = each_layer("rsa", tensors.shape("q")[0], compare)
    store.write_table(stage.output("metrics/rsa.csv"), "rsa.csv", columns)


if __name__ == "__main__":
    run("rsa", main, __doc__)
