"""Compare Q, K, V and their input with other geometries of the words: categories, frequency, spelling, embeddings."""

from stages.artefacts.candidates import Known, read_candidates
from stages.artefacts.files import Tensors, read_json
from stages.artefacts.schema import OFF
from stages.artefacts.tables import write_table
from stages.geometry.names import WITH_INPUT
from stages.geometry.pairs import choose_words
from stages.pipeline.progress import progress
from stages.pipeline.stage import Stage, run
from stages.statistics.candidates import against_candidates
from stages.statistics.draws import draw_permutations, draw_words


def main(stage: Stage) -> None:
    chosen, inference, table = stage.settings.rdms, stage.settings.inference, stage.output("metrics/rdms.csv")
    if not chosen.enabled:
        return write_table(table, "rdms.csv", OFF)
    captured, tensors = read_json(stage.input("data/capture.json")), Tensors(stage.input("data/similarity.safetensors"))
    known = Known(captured, tensors, stage.input(chosen.counts), stage.input("data/rdms"))
    places, candidates = read_candidates(chosen.candidates, known)
    words, categories = len(captured["words"]), [captured["categories"][place] for place in places]
    similarity = {name: choose_words(tensors[name][:], words, places) for name in WITH_INPUT}
    (counts, _), orders = draw_words(categories, inference), draw_permutations(len(places), inference, "words")
    bars = progress("permutations of candidates"), progress("bootstrap of candidates")
    how = inference.alpha, chosen.nonnegative, bars
    scores = against_candidates(similarity, candidates, categories, orders, counts, *how)
    write_table(table, "rdms.csv", scores, tensors.layers)


if __name__ == "__main__":
    run("rdms", main, __doc__)
