"""Find the single words and units that carry a score: leave each word out, and the largest unit and direction."""

from functools import partial

import numpy as np

from stages.artefacts.activations import vectors_at_target
from stages.artefacts.layerwise import each_layer, layers_of
from stages.artefacts.results import Results
from stages.artefacts.tables import write_table
from stages.artefacts.tensors import Tensors
from stages.findings.carriers import units_that_carry, words_that_carry
from stages.geometry.anisotropy import anisotropy
from stages.geometry.influence import influence, strongest
from stages.geometry.names import MATRICES, Arrays
from stages.geometry.pairs import within_category
from stages.geometry.similarity import Similar
from stages.pipeline.progress import stack
from stages.pipeline.stage import Stage, run


def main(stage: Stage) -> None:
    similarity = Tensors(stage.input("data/similarity.safetensors"))
    record, layers, vectors = similarity.record, layers_of(similarity, MATRICES), vectors_at_target(stage)
    within = within_category(record["categories"])
    similar = Similar(len(record["words"]), record["metric"], record["transform"])
    words = stack(each_layer("influence", partial(most_influential, within=within, words=record["words"]), layers))
    found = stack(each_layer("anisotropy", partial(anisotropy, similar=similar, within=within), vectors))
    units = {key: {"value": values} for key, values in found.items()}
    for name, content in {"influence": words, "anisotropy": units}.items():
        write_table(stage.output(f"metrics/{name}.csv"), f"{name}.csv", content, vectors.numbers)
    results = Results(stage.input, record=record, numbers=vectors.numbers, influence=words, anisotropy=units)
    for line in (*words_that_carry(results), *units_that_carry(results)):
        print(line)


def most_influential(similarity: Arrays, within: np.ndarray, words: list[str]) -> dict:
    """Return of each score of a layer the words that change it most, and by how much."""
    changes = influence(similarity, within)
    places = {key: strongest(change) for key, change in changes.items()}
    return {key: {"value": changes[key][some], "word": np.array(words)[some]} for key, some in places.items()}


if __name__ == "__main__":
    run("carriers", main, __doc__)
