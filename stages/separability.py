"""Measure by Cohen's d how far similarities within categories stand above those across them, in every layer."""

from stages import store
from stages.geometry.effects import separability
from stages.geometry.pairs import within_category
from stages.stage import Stage, run


def main(stage: Stage) -> None:
    path = stage.input("data/similarity.safetensors")
    similarity, within = store.read_tensors(path), within_category(store.read_record(path)["categories"])
    matrices = {name: similarity[name] for name in store.MATRICES}
    store.write_table(stage.output("metrics/separability.csv"), "separability.csv", separability(matrices, within))


if __name__ == "__main__":
    run("separability", main, __doc__)
