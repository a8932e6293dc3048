"""Estimate how much of the geometries, and of their agreement, is due to the words and how much to the sentence."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from stages.artefacts.activations import embedding_similarity, vectors_at, vectors_in_sentences
from stages.artefacts.files import read_json
from stages.artefacts.layerwise import each_layer, each_matrix
from stages.artefacts.schema import OFF
from stages.artefacts.tables import write_table
from stages.artefacts.tensors import Tensors, TensorWriter
from stages.geometry.names import WITH_INPUT, Arrays, Scores
from stages.geometry.pairs import pairs_of, within_category
from stages.geometry.similarity import Similar
from stages.pipeline.progress import stack
from stages.pipeline.stage import Stage, run
from stages.statistics.amounts import amount
from stages.statistics.sentences import by_sentence, draw, two_way

MEAN = "data/mean_similarity.safetensors"


def main(stage: Stage) -> None:
    scores, layers = compute(stage) if stage.settings.sentences.enabled else (OFF, [])
    if scores == OFF:
        with TensorWriter(stage.output(MEAN), {}, {}):
            pass  # a file without an array
    write_table(stage.output("metrics/sentences.csv"), "sentences.csv", scores, layers)


def compute(stage: Stage) -> tuple[Scores, Sequence[int]]:
    """Return what the table holds and the layers' numbers; write the mean similarities where they are asked for."""
    captured = read_json(stage.input("data/capture.json"))
    chosen, inference = stage.settings.similarity, stage.settings.inference
    words, categories = captured["words"], captured["categories"]
    choices = {"metric": chosen.metric, "transform": chosen.transform}
    activations, reference, further = (
        Tensors(stage.input(f"data/{name}.safetensors")) for name in ("activations", "reference", "sentences")
    )
    own, place = vectors_at("word", "tokens.target", activations, reference), activations.record["word_position"]
    names, vectors = vectors_in_sentences(own, captured["prompt"]["template"], further)
    resamples = amount("sentences.bootstraps", stage.settings.sentences.bootstraps, len(words), inference.alpha)
    draws = draw(categories, len(names), resamples, inference.seed)
    statistics = partial(two_way, categories=categories, draws=draws, alpha=inference.alpha)
    singly = partial(by_sentence, within=within_category(categories), names=names)
    similar = Similar(len(words), **choices)
    work = partial(of_layer, compare=similar, asked=(statistics, singly))
    averaged, first, record = (), {}, {}
    if chosen.average_sentences:
        averaged, first = WITH_INPUT, embedding_similarity(similar, activations, reference)
        record = {"words": words, "categories": categories, "target": place, "word_position": place, **choices}
        record |= {**vectors.record, "sentences": names}
    shapes = dict.fromkeys(averaged, (len(vectors), pairs_of(len(words))))
    shapes |= {name: values.shape for name, values in first.items()}
    scores = []
    with TensorWriter(stage.output(MEAN), shapes, record, np.float64) as file:
        for name, values in first.items():
            file.write(name, 0, values)
        for place, (found, mean) in enumerate(each_layer("sentences", work, vectors)):
            scores.append(found)
            for name in averaged:
                file.write(name, place, mean[name][None])
    return stack(scores), vectors.numbers


def of_layer(
    vectors: Arrays, compare: Callable[[np.ndarray], np.ndarray], asked: Sequence[Callable]
) -> tuple[Scores, dict[str, np.ndarray]]:
    """Return what is asked of one layer's similarities, and by matrix their mean over sentences."""
    similarity = each_matrix(compare)(vectors)
    scores = {key: cells for ask in asked for key, cells in ask(similarity).items()}
    return scores, {name: values.mean(axis=0) for name, values in similarity.items()}


if __name__ == "__main__":
    run("sentences", main, __doc__)
