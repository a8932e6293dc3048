"""Test RSA and separability by permuting words and labels, and put bootstrap intervals around them."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from stages.artefacts.files import Tensors
from stages.artefacts.layers import each_layer, each_matrix, layers_of
from stages.artefacts.schema import OFF
from stages.artefacts.tables import write_table
from stages.geometry.effects import common_language
from stages.geometry.names import MATRICES, Scores
from stages.geometry.pairs import within_category
from stages.pipeline.progress import progress, stack
from stages.pipeline.stage import Stage, run
from stages.statistics.bootstrap import bootstrap, of_the_post
from stages.statistics.draws import draw_permutations, draw_words
from stages.statistics.permutation import permute_labels, permute_words


def main(stage: Stage) -> None:
    chosen, scores, layers = stage.settings.inference, OFF, []
    if chosen.enabled:
        tensors = Tensors(stage.input("data/similarity.safetensors"))
        layers, categories = tensors.layers, tensors.record["categories"]
        similarity = {name: tensors[name] for name in MATRICES}
        scores = intervals(similarity, categories, chosen)
        for names, cells in permutation_tests(similarity, categories, chosen).items():
            scores[names] |= {column: cells[column] for column in ("p", "p_familywise")}
        work = each_matrix(partial(common_language, within=within_category(categories)))
        cles = stack(each_layer("common-language effect size", work, layers_of(tensors, MATRICES)))
        scores |= {("cles", matrix): values for matrix, values in cles.items()}
    write_table(stage.output("metrics/inference.csv"), "inference.csv", scores, layers)


def intervals(similarity: Mapping[str, Any], categories: Sequence[str], chosen: Any) -> dict:
    """Return the scores of the words as they are, with bootstrap intervals."""
    counts, redrawn = draw_words(categories, chosen)
    print(f"bootstrap: {len(counts)} resamples, {redrawn} without three pairs of a kind drawn again")
    return bootstrap(similarity, categories, counts, chosen.alpha, later=of_the_post, progress=progress("bootstrap"))


def permutation_tests(similarity: Mapping[str, Any], categories: Sequence[str], chosen: Any) -> Scores:
    """Return p and family-wise p of RSA and of Cohen's d."""
    words, labels = (draw_permutations(len(categories), chosen, name) for name in ("words", "labels"))
    rsa = permute_words(similarity, words, progress("permutations of words"))
    return rsa | permute_labels(similarity, categories, labels, progress("permutations of labels"))


if __name__ == "__main__":
    run("inference", main, __doc__)
