"""Compare the similarities of Q, K and V in every layer: over all word pairs, and within and across categories."""

from stages import store
from stages.geometry.comparison import COMPARISONS, pairwise
from stages.geometry.pairs import within_category
from stages.stage import Stage, run


def main(stage: Stage) -> None:
    path = stage.input("data/similarity.safetensors")
    similarity, within = store.read_tensors(path), within_category(store.read_record(path)["categories"])
    columns = pairwise(similarity, COMPARISONS[stage.settings.rsa.comparison].score)
    for name, pairs in {"within": within, "across": ~within}.items():
        scores = pairwise({matrix: values[:, pairs] for matrix, values in similarity.items()})
        columns |= {f"{pair}_{name}": score for pair, score in scores.items()}
    store.write_table(stage.output("metrics/rsa.csv"), "rsa.csv", columns)


if __name__ == "__main__":
    run("rsa", main, __doc__)
