"""Compute, in every layer, how alike the vectors of each pair of words are: in Q, K and V, and in their input x."""

from stages import store
from stages.errors import UserError
from stages.geometry.comparison import same_rows
from stages.geometry.similarity import METRICS
from stages.stage import Stage, run


def main(stage: Stage) -> None:
    captured = store.read_json(stage.input("data/capture.json"))
    target, metric = stage.settings.tokens.target, stage.settings.similarity.metric
    with store.open_tensors(stage.input("data/activations.safetensors")) as tensors:
        vectors = {name: store.read_vectors(tensors, name, target, "tokens.target") for name in "qkvx"}
    if same_rows(vectors["x"]):
        raise UserError(
            f"tokens.target: token {target} has the same vectors whatever the word: "
            f"choose the word's own token, {captured['word_position']}, or a later one"
        )
    similarity = {name: METRICS[metric](values) for name, values in vectors.items()}
    record = {"words": captured["words"], "categories": captured["categories"], "metric": metric, "transform": "none"}
    store.write_tensors(stage.output("data/similarity.safetensors"), similarity, record)


if __name__ == "__main__":
    run("similarity", main, __doc__)
