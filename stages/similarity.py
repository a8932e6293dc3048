"""Compute, in every layer, how alike the vectors of each pair of words are: in Q, K and V, and in their input x."""

import numpy as np

from stages.artefacts.files import Tensors, TensorWriter, read_json
from stages.artefacts.layers import (
    each_layer,
    each_matrix,
    find_position,
    vectors_at_target,
    vectors_in_sentences,
)
from stages.geometry.comparison import same_rows
from stages.geometry.names import EMBEDDING, WITH_INPUT
from stages.geometry.pairs import pairs_of
from stages.geometry.similarity import Similar
from stages.pipeline import messages
from stages.pipeline.errors import UserError
from stages.pipeline.stage import Stage, run


def main(stage: Stage) -> None:
    captured, chosen = read_json(stage.input("data/capture.json")), stage.settings.similarity
    words, target = captured["words"], stage.settings.tokens.target
    choices = {"metric": chosen.metric, "transform": chosen.transform}
    activations, vectors = Tensors(stage.input("data/activations.safetensors")), vectors_at_target(stage)
    position, word = find_position(activations, target, "tokens.target"), activations.record["word_position"]
    if position != word:
        print(f"tokens.target: words are compared at token {position}, which is not the word's own: that is {word}")
    pairs = zip(vectors.numbers, vectors, strict=True)
    if same := [number for number, layer in pairs if same_rows(layer["x"][: len(words)])]:
        other = f"choose word, its own token ({word})" if position != word else "the model reads none of the words"
        raise UserError(messages.SAME_VECTORS.format(target, same[0], other))
    similar = compare = Similar(len(words), **choices)
    record = {"words": words, "categories": captured["categories"], **choices}
    record |= {"target": position, "word_position": word}
    if vectors.numbers != [*range(len(vectors))]:  # a hybrid's layers
        record["layers"] = vectors.numbers
    further = Tensors(stage.input("data/sentences.safetensors"))
    if chosen.average_sentences:
        record["sentences"], vectors = vectors_in_sentences(vectors, captured["prompt"]["template"], further)
        print(f"similarity.average_sentences: the mean of {len(record['sentences'])} sentences")

        def compare(values: np.ndarray) -> np.ndarray:
            return similar(values).mean(axis=0)

    first, shapes = {}, {name: (len(vectors), pairs_of(len(words))) for name in WITH_INPUT}
    if EMBEDDING in activations.names:  # the model's own vectors of the words, before the first layer
        try:
            first = {EMBEDDING: similar(activations[EMBEDDING][:][None])}
        except FloatingPointError as error:
            print(f"no similarities of the input embeddings: {error}")
    shapes |= {name: values.shape for name, values in first.items()}
    # In float64: where words hardly differ, cosines do in the seventh decimal, which is too fine for float32.
    with TensorWriter(stage.output("data/similarity.safetensors"), shapes, record, np.float64) as file:
        for name, values in first.items():
            file.write(name, 0, values)
        for layer, found in enumerate(each_layer("similarity", each_matrix(compare), vectors)):
            for name, values in found.items():
                file.write(name, layer, values[None])


if __name__ == "__main__":
    run("similarity", main, __doc__)
