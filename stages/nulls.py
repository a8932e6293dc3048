"""Hold RSA and separability against a ladder of nulls: any map of the input, trained spectra, shared directions."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from stages.artefacts.activations import read_biases, vectors_at
from stages.artefacts.empty import write_told
from stages.artefacts.layerwise import Layers, each_layer
from stages.artefacts.tables import NOT_APPLICABLE, OFF
from stages.artefacts.tensors import open_tensors, read_record
from stages.geometry.names import INPUT, MATRICES, PAIRS
from stages.geometry.pairs import within_category
from stages.geometry.similarity import ROTATION_INVARIANT, Similar
from stages.models.load import load_chosen
from stages.models.projections import find_projections
from stages.models.rotated import check_weights, project_turned, spectra, weights
from stages.pipeline.progress import join, stack
from stages.pipeline.stage import Stage, run
from stages.statistics.amounts import amount
from stages.statistics.heads import HeadNulls
from stages.statistics.nulls import draw_rungs, ladder, paired_scores
from stages.statistics.seeds import stream

WRITTEN = ("nulls.csv", "spectra.csv", "head_nulls.csv")


def main(stage: Stage) -> None:
    tables, layers = compute(stage) if stage.settings.nulls.enabled else (dict.fromkeys(WRITTEN, OFF), [])
    for name, content in tables.items():
        write_told(stage.output(f"metrics/{name}"), name, content, layers)


def compute(stage: Stage) -> tuple[dict[str, dict | str], Sequence[int]]:
    """Return what the tables hold, layer by layer from what was captured and the weights, and the layers' numbers."""
    chosen, alpha = stage.settings.nulls, stage.settings.inference.alpha
    projections = find_projections(load_chosen(stage.settings.model).model)
    if not all(projection.linear for projection in projections):
        return dict.fromkeys(WRITTEN, NOT_APPLICABLE), []
    with (
        open_tensors(stage.input("data/activations.safetensors")) as activations,
        open_tensors(stage.input("data/reference.safetensors")) as reference,
    ):
        record, biases = read_record(stage.input("data/similarity.safetensors")), read_biases(activations)
        words, choices = len(record["words"]), {key: record[key] for key in ("metric", "transform")}
        draws, precision = (amount(f"nulls.{key}", getattr(chosen, key), words) for key in ("draws", "precision"))
        similar = Similar(words, **choices, single=precision == "single")
        rotates, within = ROTATION_INVARIANT.issuperset(choices.values()), within_category(record["categories"])
        rungs = partial(draw_rungs, draws=draws, rng=stream(chosen.seed, "nulls"), up_to_rotation=rotates)
        work = partial(of_layer, similar=similar, within=within, heads=projections[0].heads, rungs=rungs, alpha=alpha)
        vectors = vectors_at(stage.settings.tokens.target, "tokens.target", activations, reference)
        bias = Layers(vectors.numbers, lambda layer: {name: values[layer] for name, values in biases.items()})
        matrices = Layers(vectors.numbers, lambda layer: weights(projections[layer]))
        found = list(each_layer("nulls", work, vectors, bias, matrices))
    drawn, unbiased, trained, spectrum, of_heads = zip(*found, strict=True)
    tables = ladder(drawn, join(unbiased), join(trained), draws, alpha), stack(spectrum), stack(of_heads)
    return dict(zip(WRITTEN, tables, strict=True)), vectors.numbers


def of_layer(
    vectors: Mapping, bias: Mapping, matrices: Mapping,
    similar: Similar, within: np.ndarray, heads: int, rungs: Callable, alpha: float,
) -> tuple:  # fmt: skip
    """Return one layer's drawn rungs, its scores without bias and as trained, its spectra, and its heads' nulls."""
    x, unbiased = vectors[INPUT], {name: vectors[name] - bias[name] for name in MATRICES}
    check_weights(matrices, x, unbiased)
    nulls = HeadNulls(heads, similar, within)
    drawn = rungs(x, partial(project_turned, matrices), similar, within, look=nulls.add)
    # As trained in the prompt's own sentence, whose vectors the nulls are made of: `similarity` may hold a mean.
    both = unbiased, {name: vectors[name] for name in MATRICES}
    scores = [paired_scores({name: similar(values)[None] for name, values in v.items()}, within) for v in both]
    return drawn, *scores, spectra(matrices, PAIRS), nulls.ranges(alpha)


if __name__ == "__main__":
    run("nulls", main, __doc__)
