"""Correlate the activations of Q, K and V unit by unit in every layer, at the context token and at the target token."""

from stages import store
from stages.geometry.comparison import pairwise
from stages.stage import Stage, run
from stages.vectors import read_vectors


def main(stage: Stage) -> None:
    tokens = stage.settings.tokens
    with store.open_tensors(stage.input("data/activations.safetensors")) as tensors:
        context = {name: read_vectors(tensors, name, tokens.context, "tokens.context") for name in "qkv"}
        target = {name: read_vectors(tensors, name, tokens.target, "tokens.target") for name in "qkv"}
    r_context, r_target = (
        pairwise({name: values.reshape(len(values), -1) for name, values in vectors.items()})
        for vectors in (context, target)
    )
    if left_out := [pair for pair in store.PAIRS if pair not in r_context]:
        units = ", ".join(f"{name} {values.shape[-1]}" for name, values in context.items())
        print(
            f"correlation.csv: {', '.join(left_out)} are empty: the matrices differ in their number of units ({units})"
        )
    store.write_tensors(stage.output("data/context.safetensors"), context)
    store.write_table(
        stage.output("metrics/correlation.csv"),
        "correlation.csv",
        {**r_context, **{f"{pair}_target": r for pair, r in r_target.items()}},
    )


if __name__ == "__main__":
    run("correlation", main, __doc__)
