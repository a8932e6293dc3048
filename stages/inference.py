"""Test RSA and separability by permuting words and labels, and put bootstrap intervals around them."""

from functools import partial

import numpy as np
from tqdm import tqdm

from stages.artefacts import measures, store
from stages.artefacts.layerwise import OnDisk, each_layer
from stages.geometry.contrast import anosim_r, common_language
from stages.geometry.pairs import within_category
from stages.pipeline.stage import Stage, run
from stages.statistics.bootstrap import bootstrap, resample_words
from stages.statistics.permutation import permute_labels, permute_words
from stages.statistics.seeds import stream


def main(stage: Stage) -> None:
    chosen = stage.settings.inference
    table: dict = {}
    with store.open_tensors(stage.input("data/similarity.safetensors")) as tensors:
        categories, matrices = tensors.record["categories"], {name: OnDisk(tensors, name) for name in store.MATRICES}
        if chosen.enabled:
            counts, redrawn = resample_words(categories, chosen.bootstraps, stream(chosen.seed, "bootstrap"))
            print(f"bootstrap: {chosen.bootstraps} resamples, {redrawn} without three pairs of a kind drawn again")
            table = bootstrap(matrices, categories, counts, chosen.alpha, progress=bar("bootstrap"))
            words, labels = stream(chosen.seed, "words"), stream(chosen.seed, "labels")
            times = chosen.permutations
            tests = {
                "rsa": permute_words(matrices, times, words, progress=bar("permutations of words")),
                "d": permute_labels(matrices, categories, times, labels, progress=bar("permutations of labels")),
            }
            for measure, tested in tests.items():
                for name, columns in tested.items():
                    table[measure][name] |= {column: columns[column] for column in ("p", "p_familywise")}
            within = within_category(categories)

            def contrast(layer: int) -> dict[str, np.ndarray]:
                return {name: common_language(values[layer], within) for name, values in matrices.items()}

            cles = each_layer("common-language effect size", len(matrices["q"]), contrast)
            table["cles"] = {name: {"value": values} for name, values in cles.items()}
            table["anosim_r"] = {name: {"value": anosim_r(values)} for name, values in cles.items()}
            print("inference.csv: p is empty but for rsa and d, which are tested; low and high for cles and anosim_r")
        else:
            print("inference.enabled is false: inference.csv holds its header only")
    measures.write_measures(stage.output("metrics/inference.csv"), "inference.csv", table)


def bar(name: str) -> partial:
    """Make a progress bar for what takes more than two seconds."""
    return partial(tqdm, desc=name, unit="block", delay=2)


if __name__ == "__main__":
    run("inference", main, __doc__)
