"""Hold RSA and separability against what shared input, a bias, the spread of similarities and other choices give."""

from functools import partial

from stages.artefacts.activations import read_biases, vectors_at
from stages.artefacts.layerwise import layers_of
from stages.artefacts.tables import empty_cells, write_table
from stages.artefacts.tensors import open_tensors
from stages.geometry.names import INPUT, MATRICES, WITH_INPUT, Scores
from stages.geometry.robustness import robustness
from stages.geometry.similarity import ROTATION_INVARIANT, similarities
from stages.pipeline.progress import BLOCK, blocks, join, progress
from stages.pipeline.stage import Stage, run
from stages.statistics.bootstrap import bootstrap, resample_words
from stages.statistics.matching import range_matched
from stages.statistics.partial import PRODUCTS, against_input
from stages.statistics.projections import projection_floor
from stages.statistics.seeds import stream

#: Layers that are worked on at a time, unless there are so many words that they take more than `BLOCK`.
MOST_LAYERS = 8


def main(stage: Stage) -> None:
    scores, robust = {}, {}
    if stage.settings.controls.enabled:
        scores, robust = compute(stage)
        for reason in empty_cells("controls.csv", scores):
            print(reason)
    else:
        print("controls.enabled is false: controls.csv and robustness.csv hold their headers only")
    write_table(stage.output("metrics/controls.csv"), "controls.csv", scores)
    write_table(stage.output("metrics/robustness.csv"), "robustness.csv", robust)


def compute(stage: Stage) -> tuple[dict, dict]:
    """Return what the two tables hold, worked out some layers at a time."""
    chosen, inference = stage.settings.controls, stage.settings.inference
    metric, transform = stage.settings.similarity.metric, stage.settings.similarity.transform
    with (
        open_tensors(stage.input("data/activations.safetensors")) as activations,
        open_tensors(stage.input("data/reference.safetensors")) as reference,
        open_tensors(stage.input("data/similarity.safetensors")) as tensors,
    ):
        categories, (layers, pairs) = tensors.record["categories"], tensors["q"].shape
        vectors = vectors_at(stage.settings.tokens.target, "tokens.target", activations, reference)
        similarity, biases = layers_of(tensors, WITH_INPUT), read_biases(activations)
        similar = partial(similarities, words=len(categories), metric=metric, transform=transform)
        counts, _ = resample_words(categories, inference.bootstraps, stream(inference.seed, "bootstrap"))
        alike = {"categories": categories, "alpha": inference.alpha}
        rotates, rng = {metric, transform} <= ROTATION_INVARIANT, stream(inference.seed, "floor")
        floor = partial(projection_floor, similar=similar, draws=chosen.draws, rng=rng, up_to_rotation=rotates, **alike)
        rng = stream(inference.seed, "matching")
        matched = partial(range_matched, bins=chosen.bins, draws=chosen.matches, rng=rng, **alike)
        interval = partial(bootstrap, counts=counts, **alike)
        some = min(MOST_LAYERS, BLOCK // (8 * pairs * len(WITH_INPUT + MATRICES)))
        found = []
        for part in progress("controls")(list(blocks(layers, some))):
            trained, compared = vectors[part], similarity[part]
            unbiased = {name: similar(trained[name] - bias[part, None]) for name, bias in biases.items()}
            widths = {name: trained[name].shape[-1] for name in MATRICES}
            scores = {
                **interval(compared, statistics=against_input, products=PRODUCTS),
                **renamed(interval(unbiased), "_without_bias"),
                **renamed(floor(trained[INPUT], widths), "_floor"),
                **matched(compared),
            }
            found.append((scores, robustness(trained, categories, metric)))
    return tuple(join(parts) for parts in zip(*found, strict=True))


def renamed(scores: Scores, suffix: str) -> Scores:
    """Return scores with a suffix to the names of their measures."""
    return {(f"{measure}{suffix}", name): cells for (measure, name), cells in scores.items()}


if __name__ == "__main__":
    run("controls", main, __doc__)
