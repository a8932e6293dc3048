"""Test RSA and separability by permuting words and labels, and put bootstrap intervals around them."""

from functools import partial

from stages.artefacts.files import Tensors
from stages.artefacts.layers import each_layer, each_matrix, layers_of
from stages.artefacts.schema import OFF
from stages.artefacts.tables import write_table
from stages.geometry.effects import common_language
from stages.geometry.names import MATRICES
from stages.geometry.pairs import within_category
from stages.pipeline.progress import progress, stack
from stages.pipeline.stage import Stage, run
from stages.statistics.bootstrap import bootstrap
from stages.statistics.draws import draw_permutations, draw_words
from stages.statistics.permutation import permute_labels, permute_words


def main(stage: Stage) -> None:
    chosen, table = stage.settings.inference, stage.output("metrics/inference.csv")
    if not chosen.enabled:
        return write_table(table, "inference.csv", OFF)
    tensors = Tensors(stage.input("data/similarity.safetensors"))
    similarity, categories = {name: tensors[name] for name in MATRICES}, tensors.record["categories"]
    counts, redrawn = draw_words(categories, chosen)
    print(f"bootstrap: {len(counts)} resamples, {redrawn} without three pairs of a kind drawn again")
    scores = bootstrap(similarity, categories, counts, chosen.alpha, progress=progress("bootstrap"))
    words, labels = (draw_permutations(len(categories), chosen, name) for name in ("words", "labels"))
    tested = permute_words(similarity, words, progress("permutations of words"))
    tested |= permute_labels(similarity, categories, labels, progress("permutations of labels"))
    for names, cells in tested.items():
        scores[names] |= cells
    work = each_matrix(partial(common_language, within=within_category(categories)))
    cles = stack(each_layer("common-language effect size", work, layers_of(tensors, MATRICES)))
    scores |= {("cles", matrix): values for matrix, values in cles.items()}
    write_table(table, "inference.csv", scores, tensors.layers)


if __name__ == "__main__":
    run("inference", main, __doc__)
