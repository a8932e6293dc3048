"""Compare RSA and separability with those of the input, of other choices, and without single words and units."""

from functools import partial

import numpy as np

from stages.artefacts.files import Tensors
from stages.artefacts.layers import each_layer, layers_of, vectors_at_target
from stages.artefacts.schema import OFF, RSA_BY
from stages.artefacts.tables import write_table
from stages.geometry.anisotropy import anisotropy
from stages.geometry.comparison import COMPARISONS, pairwise
from stages.geometry.effects import cohens_d, most_influential
from stages.geometry.names import MATRICES, WITH_INPUT, Arrays
from stages.geometry.pairs import within_category
from stages.geometry.similarity import METRICS, Similar
from stages.geometry.transforms import TRANSFORMS
from stages.pipeline.progress import progress, stack
from stages.pipeline.stage import Stage, run
from stages.statistics.bootstrap import against_input, bootstrap
from stages.statistics.draws import draw_words


def main(stage: Stage) -> None:
    tensors, vectors = Tensors(stage.input("data/similarity.safetensors")), vectors_at_target(stage)
    record, categories = tensors.record, tensors.record["categories"]
    within = within_category(categories)
    tables = {"controls": OFF, "robustness": OFF}
    if stage.settings.controls.enabled:
        choices = partial(robustness, words=len(record["words"]), metric=record["metric"], within=within)
        tables["robustness"] = stack(each_layer("controls", choices, vectors))
        similarity, inference = {name: tensors[name] for name in WITH_INPUT}, stage.settings.inference
        (counts, _), bar = draw_words(categories, inference), progress("bootstrap")
        tables["controls"] = bootstrap(similarity, categories, counts, inference.alpha, against_input, progress=bar)
    words = partial(most_influential, within=within, words=np.array(record["words"]))
    tables["influence"] = stack(each_layer("influence", words, layers_of(tensors, MATRICES)))
    units = partial(anisotropy, similar=Similar.of(record), within=within)
    tables["anisotropy"] = stack(each_layer("anisotropy", units, vectors))
    for name, content in tables.items():
        write_table(stage.output(f"metrics/{name}.csv"), f"{name}.csv", content, vectors.numbers)


def robustness(vectors: Arrays, words: int, metric: str, within: np.ndarray) -> dict[tuple[str, str, str], float]:
    """Return a layer's RSA under every transform and comparison, and Cohen's d under every transform."""
    found = {}
    for transform in TRANSFORMS:
        similar = Similar(words, metric, transform)
        similarity = {name: similar(vectors[name]) for name in MATRICES}
        for comparison, measure in RSA_BY.items():
            scores = pairwise(similarity, partial(COMPARISONS[comparison].features, own=METRICS[metric].own))
            found |= {(measure, pair, transform): score for pair, score in scores.items()}
        found |= {("d", name, transform): cohens_d(values, within) for name, values in similarity.items()}
    return found


if __name__ == "__main__":
    run("controls", main, __doc__)
