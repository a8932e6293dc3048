"""Test RSA and separability by permuting words and labels, and put bootstrap intervals around them."""

from stages import measures, store
from stages.geometry.bootstrap import bootstrap, resample_words
from stages.geometry.contrast import anosim_r, common_language
from stages.geometry.pairs import within_category
from stages.geometry.permutation import permute_labels, permute_words
from stages.geometry.streams import stream
from stages.stage import Stage, run


def main(stage: Stage) -> None:
    chosen = stage.settings.inference
    path = stage.input("data/similarity.safetensors")
    categories, similarity = store.read_record(path)["categories"], store.read_tensors(path)
    matrices = {name: similarity[name] for name in store.MATRICES}
    table: dict = {}
    if chosen.enabled:
        counts, redrawn = resample_words(categories, chosen.bootstraps, stream(chosen.seed, "bootstrap"))
        print(f"bootstrap: {chosen.bootstraps} resamples of words, {redrawn} without three pairs of a kind drawn again")
        table = bootstrap(matrices, categories, counts, chosen.alpha)
        tests = {
            "rsa": permute_words(matrices, chosen.permutations, stream(chosen.seed, "words")),
            "d": permute_labels(matrices, categories, chosen.permutations, stream(chosen.seed, "labels")),
        }
        for measure, tested in tests.items():
            for name, columns in tested.items():
                table[measure][name] |= {column: columns[column] for column in ("p", "p_familywise")}
        cles = {name: common_language(values, within_category(categories)) for name, values in matrices.items()}
        table["cles"] = {name: {"value": values} for name, values in cles.items()}
        table["anosim_r"] = {name: {"value": anosim_r(values)} for name, values in cles.items()}
        print("inference.csv: p is empty but for rsa and d, which are tested; low and high for cles and anosim_r")
    else:
        print("inference.enabled is false: inference.csv holds its header only")
    measures.write_measures(stage.output("metrics/inference.csv"), "inference.csv", table)


if __name__ == "__main__":
    run("inference", main, __doc__)
