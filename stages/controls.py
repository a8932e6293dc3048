"""Hold RSA and separability against what shared input, a bias, the spread of similarities and other choices give."""

from functools import partial

from stages import measures, store
from stages.geometry.bootstrap import bootstrap, resample_words
from stages.geometry.floor import projection_floor
from stages.geometry.matching import range_matched
from stages.geometry.partial import PRODUCTS, against_input
from stages.geometry.robustness import robustness
from stages.geometry.similarity import ROTATION_INVARIANT, similarities
from stages.geometry.streams import stream
from stages.stage import Stage, run
from stages.vectors import read_biases, read_with_reference


def main(stage: Stage) -> None:
    chosen, inference = stage.settings.controls, stage.settings.inference
    alpha, seed = inference.alpha, inference.seed
    target = stage.settings.tokens.target
    path = stage.input("data/similarity.safetensors")
    similarity, categories = store.read_tensors(path), store.read_record(path)["categories"]
    metric, transform = stage.settings.similarity.metric, stage.settings.similarity.transform
    similar = partial(similarities, words=len(categories), metric=metric, transform=transform)
    with (
        store.open_tensors(stage.input("data/activations.safetensors")) as activations,
        store.open_tensors(stage.input("data/reference.safetensors")) as reference,
    ):
        vectors = {name: read_with_reference(activations, reference, name, target) for name in "qkvx"}
        biases = read_biases(activations)

    controls: dict = {}
    robust: dict = {name: [] for name in store.TABLES["robustness.csv"].columns}
    if chosen.enabled:
        counts, _ = resample_words(categories, inference.bootstraps, stream(seed, "bootstrap"))
        unbiased = {name: similar(vectors[name] - biases[name][:, None]) for name in store.MATRICES}
        widths = {name: vectors[name].shape[-1] for name in store.MATRICES}
        rotates = {metric, transform} <= ROTATION_INVARIANT
        rng = stream(seed, "floor")
        floor = projection_floor(vectors["x"], widths, similar, categories, chosen.draws, alpha, rng, rotates)
        controls = {
            **bootstrap(similarity, categories, counts, alpha, against_input, PRODUCTS),
            **{f"{name}_without_bias": cells for name, cells in bootstrap(unbiased, categories, counts, alpha).items()},
            **{f"{name}_floor": cells for name, cells in floor.items()},
        }
        rng = stream(seed, "matching")
        controls |= range_matched(similarity, categories, chosen.bins, chosen.matches, alpha, rng)
        for cells, layers in measures.unmatched(controls).items():
            print(f"controls.csv: {cells} is empty, fewer than three pairs of a kind can be matched in layers {layers}")
        robust = robustness({name: vectors[name] for name in store.MATRICES}, categories, metric)
    else:
        print("controls.enabled is false: controls.csv and robustness.csv hold their headers only")
    undefined = [name for name in controls if "_matched_" in name]
    measures.write_measures(stage.output("metrics/controls.csv"), "controls.csv", controls, undefined)
    store.write_table(stage.output("metrics/robustness.csv"), "robustness.csv", robust)


if __name__ == "__main__":
    run("controls", main, __doc__)
