"""Estimate how much of the geometries, and of their agreement, is due to the words and how much to the sentence."""

from stages.artefacts.files import Tensors, read_json
from stages.artefacts.layers import each_layer, each_matrix, vectors_at, vectors_in_sentences
from stages.artefacts.schema import OFF
from stages.artefacts.tables import write_table
from stages.geometry.names import MATRICES, Arrays, Scores
from stages.geometry.pairs import within_category
from stages.geometry.similarity import Similar
from stages.pipeline.progress import stack
from stages.pipeline.stage import Stage, run
from stages.statistics.draws import amount
from stages.statistics.sentences import by_sentence, draw, two_way


def main(stage: Stage) -> None:
    table = stage.output("metrics/sentences.csv")
    if not stage.settings.sentences.enabled:
        return write_table(table, "sentences.csv", OFF)
    captured, inference = read_json(stage.input("data/capture.json")), stage.settings.inference
    words, categories = captured["words"], captured["categories"]
    own = vectors_at("word", "tokens.target", Tensors(stage.input("data/activations.safetensors")), MATRICES)
    further = Tensors(stage.input("data/sentences.safetensors"))
    names, vectors = vectors_in_sentences(own, captured["prompt"]["template"], further)
    resamples = amount("sentences.bootstraps", stage.settings.sentences.bootstraps, len(words), inference.alpha)
    draws = draw(categories, len(names), resamples, inference.seed)
    similar = Similar(len(words), stage.settings.similarity.metric, stage.settings.similarity.transform)

    def of_layer(vectors: Arrays) -> Scores:
        similarity = each_matrix(similar)(vectors)
        statistics = two_way(similarity, categories, draws, inference.alpha)
        return statistics | by_sentence(similarity, within_category(categories), names)

    write_table(table, "sentences.csv", stack(each_layer("sentences", of_layer, vectors)), vectors.numbers)


if __name__ == "__main__":
    run("sentences", main, __doc__)
