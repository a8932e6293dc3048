"""Hold RSA and separability against what shared input, a bias, the spread of similarities and other choices give."""

from functools import partial

import numpy as np
from tqdm import tqdm

from stages.artefacts import measures, store
from stages.artefacts.activations import read_biases, read_with_reference
from stages.artefacts.layerwise import join
from stages.geometry.robustness import robustness
from stages.geometry.similarity import ROTATION_INVARIANT, similarities
from stages.pipeline.stage import Stage, run
from stages.statistics.bootstrap import bootstrap, resample_words
from stages.statistics.matching import range_matched
from stages.statistics.partial import PRODUCTS, against_input
from stages.statistics.permutation import BLOCK, blocks
from stages.statistics.projections import projection_floor
from stages.statistics.seeds import stream

#: Layers that are worked on at a time, unless there are so many words that they take more than `BLOCK`.
MOST_LAYERS = 8


def main(stage: Stage) -> None:
    chosen, inference = stage.settings.controls, stage.settings.inference
    alpha, target = inference.alpha, stage.settings.tokens.target
    metric, transform = stage.settings.similarity.metric, stage.settings.similarity.transform
    rotates = {metric, transform} <= ROTATION_INVARIANT
    controls: dict = {}
    robust: dict = {name: np.empty(0) for name in store.TABLES["robustness.csv"].columns}
    with (
        store.open_tensors(stage.input("data/activations.safetensors")) as activations,
        store.open_tensors(stage.input("data/reference.safetensors")) as reference,
        store.open_tensors(stage.input("data/similarity.safetensors")) as tensors,
    ):
        categories, (layers, pairs) = tensors.record["categories"], tensors.shape("q")
        similar = partial(similarities, words=len(categories), metric=metric, transform=transform)
        biases = read_biases(activations)
        floor_rng, matching_rng = stream(inference.seed, "floor"), stream(inference.seed, "matching")

        def control(part: slice) -> tuple[dict, dict]:
            similarity = {name: tensors[name][part] for name in "qkvx"}
            vectors = {
                name: np.stack(
                    [
                        read_with_reference(activations, reference, name, layer, target)
                        for layer in range(part.start, part.stop)
                    ]
                )
                for name in "qkvx"
            }
            unbiased = {name: similar(vectors[name] - biases[name][part, None]) for name in store.MATRICES}
            widths = {name: vectors[name].shape[-1] for name in store.MATRICES}
            floor = projection_floor(vectors["x"], widths, similar, categories, chosen.draws, alpha, floor_rng, rotates)
            without_bias = bootstrap(unbiased, categories, counts, alpha)
            found = {
                **bootstrap(similarity, categories, counts, alpha, against_input, PRODUCTS),
                **{f"{name}_without_bias": cells for name, cells in without_bias.items()},
                **{f"{name}_floor": cells for name, cells in floor.items()},
                **range_matched(similarity, categories, chosen.bins, chosen.matches, alpha, matching_rng),
            }
            return found, robustness({name: vectors[name] for name in store.MATRICES}, categories, metric)

        if chosen.enabled:
            counts, _ = resample_words(categories, inference.bootstraps, stream(inference.seed, "bootstrap"))
            parts = list(blocks(layers, min(MOST_LAYERS, BLOCK // (8 * pairs * len("qkvxqkv")))))
            found = [control(part) for part in tqdm(parts, desc="controls", unit="block", delay=2)]
            controls, robust = (join(results) for results in zip(*found, strict=True))
            for cells, where in measures.unmatched(controls).items():
                print(
                    f"controls.csv: {cells} is empty, fewer than three pairs of a kind can be matched in layers {where}"
                )
        else:
            print("controls.enabled is false: controls.csv and robustness.csv hold their headers only")
    undefined = [name for name in controls if "_matched_" in name]
    measures.write_measures(stage.output("metrics/controls.csv"), "controls.csv", controls, undefined)
    store.write_table(stage.output("metrics/robustness.csv"), "robustness.csv", robust)


if __name__ == "__main__":
    run("controls", main, __doc__)
