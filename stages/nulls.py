"""Compare RSA and separability with a ladder of nulls: any map of the input, trained spectra, shared directions."""

from collections.abc import Sequence
from functools import partial

from stages.artefacts.files import Tensors
from stages.artefacts.layers import biases_of, each_layer, vectors_at_target, weights_of
from stages.artefacts.schema import NOT_APPLICABLE, OFF
from stages.artefacts.tables import write_table
from stages.geometry.comparison import COMPARISONS
from stages.geometry.names import INPUT, MATRICES, PAIRS, Arrays
from stages.geometry.pairs import within_category
from stages.geometry.similarity import Similar
from stages.geometry.transforms import TRANSFORMS
from stages.pipeline import messages
from stages.pipeline.errors import UserError
from stages.pipeline.progress import stack
from stages.pipeline.stage import Stage, run
from stages.statistics.draws import amount, stream
from stages.statistics.heads import head_draws, head_ranges
from stages.statistics.nulls import Choices, draw_rungs, ladder, observed
from stages.statistics.projections import mismatched, project_turned, spectra

#: Words above which RSA of draws is Pearson's alone: ranking their pairs takes too long.
MOST_WORDS = 500
WRITTEN = ("nulls.csv", "spectra.csv", "head_nulls.csv")


def main(stage: Stage) -> None:
    tables, layers = compute(stage) if stage.settings.nulls.enabled else (dict.fromkeys(WRITTEN, OFF), [])
    for name, content in tables.items():
        write_table(stage.output(f"metrics/{name}"), name, content, layers)


def compute(stage: Stage) -> tuple[dict[str, dict | str], Sequence[int]]:
    """Return what the tables hold, layer by layer from what was captured and the weights, and the layers' numbers."""
    chosen, alpha = stage.settings.nulls, stage.settings.inference.alpha
    weights = Tensors(stage.input("data/projections.safetensors"))
    if not weights.names:
        return dict.fromkeys(WRITTEN, NOT_APPLICABLE), []
    record = Tensors(stage.input("data/similarity.safetensors")).record
    words, within = len(record["words"]), within_category(record["categories"])
    draws = amount("nulls.draws", chosen.draws, words, alpha)
    single = amount("nulls.precision", chosen.precision, words) == "single"
    similar = {name: Similar(words, record["metric"], name, single) for name in TRANSFORMS}
    others = [name for name in COMPARISONS if name != "pearson" and COMPARISONS[name].nulls and words <= MOST_WORDS]
    choices, rng = Choices(similar, others, within), stream(chosen.seed, "nulls")
    heads = weights.record["heads"]
    of_heads = partial(head_draws, heads=heads, similar=similar[record["transform"]], within=within)

    def of_layer(vectors: Arrays, bias: Arrays, matrices: Arrays) -> tuple:
        """Return the drawn rungs, the scores without bias and as trained, the spectra, and the heads' nulls."""
        x, unbiased = vectors[INPUT], {name: vectors[name] - bias[name] for name in MATRICES}
        if wrong := mismatched(matrices, x, unbiased):
            raise UserError(messages.NOT_A_PRODUCT.format(wrong[0]))
        drawn, blocks = draw_rungs(x, partial(project_turned, matrices), choices, draws, rng, of_heads)
        # As trained in the prompt's own sentence, whose vectors the nulls are made of: `similarity` may hold a mean.
        without, scored = (observed(some, x, choices) for some in (unbiased, vectors))
        return drawn, without, scored, spectra(matrices, PAIRS), head_ranges(blocks, alpha)

    vectors, biases = vectors_at_target(stage), biases_of(Tensors(stage.input("data/activations.safetensors")))
    found = list(each_layer("nulls", of_layer, vectors, biases, weights_of(weights, vectors.numbers)))
    drawn, unbiased, trained, spectrum, of_head = zip(*found, strict=True)
    tables = ladder(drawn, unbiased, trained, alpha), stack(spectrum), stack(of_head)
    return dict(zip(WRITTEN, tables, strict=True)), vectors.numbers


if __name__ == "__main__":
    run("nulls", main, __doc__)
