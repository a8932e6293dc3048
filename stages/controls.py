"""Compare RSA and separability with those of the input and with other choices of transform and comparison."""

from collections.abc import Sequence
from functools import partial

from stages.artefacts.activations import vectors_at_target
from stages.artefacts.schema import OFF, RSA_BY
from stages.artefacts.tables import write_table
from stages.artefacts.tensors import Tensors
from stages.geometry.comparison import COMPARISONS, pairwise
from stages.geometry.effects import cohens_d
from stages.geometry.names import MATRICES, WITH_INPUT, Arrays, Scores
from stages.geometry.pairs import within_category
from stages.geometry.similarity import METRICS, Similar
from stages.geometry.transforms import TRANSFORMS
from stages.pipeline.progress import BLOCK, blocks, join, progress
from stages.pipeline.stage import Stage, run
from stages.statistics.amounts import amount
from stages.statistics.bootstrap import bootstrap, resample_words
from stages.statistics.partial import against_input
from stages.statistics.seeds import stream

#: Layers that are worked on at a time, unless there are so many words that they take more than `BLOCK`.
MOST_LAYERS = 8


def main(stage: Stage) -> None:
    scores, choices, layers = compute(stage) if stage.settings.controls.enabled else (OFF, OFF, [])
    write_table(stage.output("metrics/controls.csv"), "controls.csv", scores, layers)
    write_table(stage.output("metrics/robustness.csv"), "robustness.csv", choices, layers)


def compute(stage: Stage) -> tuple[dict, dict, Sequence[int]]:
    """Return what the two tables hold, worked out some layers at a time, and the layers' numbers."""
    inference = stage.settings.inference
    tensors, vectors = Tensors(stage.input("data/similarity.safetensors")), vectors_at_target(stage, MATRICES)
    categories, (layers, pairs) = tensors.record["categories"], tensors["q"].shape
    similarity = {name: tensors[name] for name in WITH_INPUT}
    resamples = amount("inference.bootstraps", inference.bootstraps, len(categories), inference.alpha)
    counts, _ = resample_words(categories, resamples, stream(inference.seed, "bootstrap"))
    bar = progress("bootstrap")
    scores = bootstrap(similarity, categories, counts, inference.alpha, against_input, progress=bar)
    size = min(MOST_LAYERS, BLOCK // (8 * 7 * pairs))
    choices = [
        robustness(vectors[part], categories, tensors.record["metric"])
        for part in progress("controls")(list(blocks(layers, size)))
    ]
    # No bootstrap interval of an SD covers: see the README of this package's statistics.
    scores = {key: {"value": cells["value"]} if key[0].startswith("sd_") else cells for key, cells in scores.items()}
    return scores, join(choices), vectors.numbers


def robustness(vectors: Arrays, categories: Sequence[str], metric: str) -> Scores:
    """Return RSA over all pairs under every transform and comparison, and Cohen's d under every transform."""
    within, found = within_category(categories), {}
    for transform in TRANSFORMS:
        similar = Similar(len(categories), metric, transform)
        similarity = {name: similar(vectors[name]) for name in MATRICES}
        for comparison, measure in RSA_BY.items():
            scores = pairwise(similarity, partial(COMPARISONS[comparison].features, own=METRICS[metric].own))
            found |= {(measure, pair, transform): {"value": score} for pair, score in scores.items()}
        found |= {("d", name, transform): {"value": cohens_d(values, within)} for name, values in similarity.items()}
    return found


if __name__ == "__main__":
    run("controls", main, __doc__)
