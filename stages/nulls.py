"""Hold RSA and separability against a ladder of nulls: any maps of the input, trained spectra, shared directions."""

from functools import partial

import numpy as np

from stages.artefacts.activations import count_layers, read_biases, read_with_reference
from stages.artefacts.tables import write_table
from stages.artefacts.tensors import open_tensors
from stages.geometry.names import MATRICES, PAIRS
from stages.geometry.pairs import within_category
from stages.geometry.similarity import ROTATION_INVARIANT, similarities
from stages.models.load import load_chosen
from stages.models.projections import find_projections
from stages.models.rotated import check_weights, rotate, spectra, weights
from stages.pipeline.progress import bar
from stages.pipeline.stage import Stage, run
from stages.statistics.heads import HeadNulls
from stages.statistics.nulls import by_layer, draw_rungs, ladder, paired_scores
from stages.statistics.seeds import stream


def main(stage: Stage) -> None:
    if stage.settings.nulls.enabled:
        tables = draw(stage)
    else:
        print("nulls.enabled is false: nulls.csv, spectra.csv and head_nulls.csv hold their headers only")
        tables = {"nulls.csv": {}, "spectra.csv": {}, "head_nulls.csv": {}}
    for name, content in tables.items():
        write_table(stage.output(f"metrics/{name}"), name, content)


def draw(stage: Stage) -> dict[str, dict]:
    """Draw the rungs layer by layer: the model's weights, turned against what was captured."""
    draws, alpha = stage.settings.nulls.draws, stage.settings.inference.alpha
    rng = stream(stage.settings.nulls.seed, "nulls")
    projections = find_projections(load_chosen(stage.settings.model).model)
    drawn, trained, unbiased, spectrum, of_heads = [], [], [], [], []
    with (
        open_tensors(stage.input("data/activations.safetensors")) as activations,
        open_tensors(stage.input("data/reference.safetensors")) as reference,
        open_tensors(stage.input("data/similarity.safetensors")) as tensors,
    ):
        record = tensors.record
        within, metric, transform = within_category(record["categories"]), record["metric"], record["transform"]
        similar = partial(similarities, words=len(record["words"]), metric=metric, transform=transform)
        rotates, biases = ROTATION_INVARIANT.issuperset((metric, transform)), read_biases(activations)
        for layer in bar(range(count_layers(activations)), "nulls", "layer"):
            matrices = weights(projections[layer])
            x, *qkv = (read_with_reference(activations, reference, n, layer, "target") for n in ("x", *MATRICES))
            plain = {n: v - biases[n][layer] for n, v in zip(MATRICES, qkv, strict=True)}
            check_weights(matrices, x, plain, layer)
            unbiased.append(paired_scores({n: similar(v[None]) for n, v in plain.items()}, within))
            trained.append(paired_scores({n: tensors[n][layer][None] for n in MATRICES}, within))
            spectrum.append(spectra(matrices, PAIRS))
            heads = HeadNulls(projections[layer].heads, similar, within)
            drawn.append(draw_rungs(x, partial(rotate, matrices), similar, within, draws, rng, rotates, heads.add))
            of_heads.append(heads.ranges(alpha))
    return {
        "nulls.csv": ladder(drawn, by_layer(unbiased), by_layer(trained), draws, alpha),
        "spectra.csv": {column: np.array([layer[column] for layer in spectrum]) for column in spectrum[0]},
        "head_nulls.csv": {column: np.stack([layer[column] for layer in of_heads]) for column in of_heads[0]},
    }


if __name__ == "__main__":
    run("nulls", main, __doc__)
