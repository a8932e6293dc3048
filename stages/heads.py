"""Measure, head by head, how far categories stand apart in Q, K and V, and how well the three geometries agree."""

from functools import partial

from stages.artefacts.files import Tensors, read_json
from stages.artefacts.layers import each_layer, vectors_at_target
from stages.artefacts.schema import OFF
from stages.artefacts.tables import write_table
from stages.geometry.names import MATRICES
from stages.geometry.pairs import within_category
from stages.geometry.similarity import Similar
from stages.pipeline.progress import stack
from stages.pipeline.stage import Stage, run
from stages.statistics.heads import head_scores


def main(stage: Stage) -> None:
    table = stage.output("metrics/heads.csv")
    if not stage.settings.heads.enabled:
        return write_table(table, "heads.csv", OFF)
    heads = read_json(stage.input("data/capture.json"))["overview"]["heads"]
    # From the layers' similarities, not the settings: made with the same choices, and checked there.
    record = Tensors(stage.input("data/similarity.safetensors")).record
    within = within_category(record["categories"])
    score = partial(head_scores, heads=heads, similar=Similar.of(record), within=within)
    vectors = vectors_at_target(stage, MATRICES)
    write_table(table, "heads.csv", stack(each_layer("heads", score, vectors)), vectors.numbers)


if __name__ == "__main__":
    run("heads", main, __doc__)
