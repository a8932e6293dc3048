"""Correlate the activations of Q, K and V unit by unit in every layer, at the context token and at the target token."""

import numpy as np

from stages.artefacts import store
from stages.artefacts.activations import count_layers, read_layer
from stages.artefacts.layerwise import each_layer
from stages.geometry.comparison import pairwise
from stages.pipeline.stage import Stage, run


def main(stage: Stage) -> None:
    tokens = stage.settings.tokens
    with store.open_tensors(stage.input("data/activations.safetensors")) as tensors:
        layers = count_layers(tensors)
        sizes = {name: tensors.shape(f"attn_0_{name}") for name in store.MATRICES}
        shapes = {name: (layers, size[0], size[-1]) for name, size in sizes.items()}
        with store.TensorWriter(stage.output("data/context.safetensors"), shapes) as file:

            def correlate(layer: int) -> dict[str, np.ndarray]:
                context, target = (
                    {
                        name: read_layer(tensors, name, layer, getattr(tokens, token), f"tokens.{token}")
                        for name in store.MATRICES
                    }
                    for token in ("context", "target")
                )
                for name, values in context.items():
                    file.write(name, layer, values[None])
                r_context, r_target = (
                    pairwise({name: values.ravel() for name, values in vectors.items()})
                    for vectors in (context, target)
                )
                return {**r_context, **{f"{pair}_target": r for pair, r in r_target.items()}}

            columns = each_layer("correlation", layers, correlate)
    if left_out := [pair for pair in store.PAIRS if pair not in columns]:
        units = ", ".join(f"{name} {shape[-1]}" for name, shape in shapes.items())
        print(
            f"correlation.csv: {', '.join(left_out)} are empty: the matrices differ in their number of units ({units})"
        )
    store.write_table(stage.output("metrics/correlation.csv"), "correlation.csv", columns)


if __name__ == "__main__":
    run("correlation", main, __doc__)
