"""Catching Q, K, V and their input with forward hooks, at as little cost as the numbers allow."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from stages.models.hooks import run
from stages.models.passes import Pass, plan
from stages.models.projections import Projection
from stages.models.prompts import Prompts

Write = Callable[[str, int, np.ndarray], None]


def shapes(projections: Sequence[Projection], words: int, positions: int) -> dict[str, tuple[int, ...]]:
    """Tell what `capture` fills: name → shape.

    ``attn_{layer}_{q,k,v,x}``, shape (words, positions, units), and ``attn_{layer}_{q,k,v}_bias``, shape (units,),
    where the projection has one.
    """
    found: dict[str, tuple[int, ...]] = {}
    for layer, projection in enumerate(projections):
        for name, units in {**projection.widths, "x": projection.width_in}.items():
            found[f"attn_{layer}_{name}"] = (words, positions, units)
        for name in projection.biased:
            found[f"attn_{layer}_{name}_bias"] = (projection.widths[name],)
    return found


def capture(
    model: nn.Module,
    projections: Sequence[Projection],
    prompts: Prompts,
    write: Write,
    positions: Sequence[int],
    multi_token: str,
    causal: bool,
) -> None:
    """Run all prompts and keep what every layer's projection takes and gives.

    How the prompts are divided into forward passes, `plan` decides; the numbers are those of whole prompts run one by
    one (to 1e-5). No pass goes beyond the last projection.

    Parameters
    ----------
    model : torch.nn.Module
        A transformers base model, in evaluation mode.
    projections : sequence of Projection
        One a layer.
    prompts : Prompts
    write : callable
        Takes the name of an array of `shapes`, the first row, and the rows that follow it, float32.
    positions : sequence of int
        Which positions are kept, counted from 0.
    multi_token : {"error", "last", "mean"}
        "mean": a word's vector is the mean over its tokens; otherwise that of its last token.
    causal : bool
        Whether a token sees only what stands before it.

    Raises
    ------
    FloatingPointError
        If an activation is not finite.
    """
    passes = plan(model, prompts, positions, causal)
    shared: dict[str, np.ndarray] = {}  # what a pass over the shared tokens gave: the same for every word

    with tqdm(total=len(passes) * len(projections), desc=f"capture {len(prompts.ids)} words", unit="layer") as bar:
        for make in passes:
            part = make()

            def receive(layer: int, name: str, tensor: torch.Tensor, part: Pass = part) -> None:
                kept = part.select(tensor, mean=multi_token == "mean")
                if not torch.isfinite(kept).all():
                    raise FloatingPointError(
                        f"activations of layer {layer} ({name}) are not finite; try model.dtype: float32"
                    )
                key, values = f"attn_{layer}_{name}", kept.float().cpu().numpy()
                if part.row is None:
                    shared[key] = values
                elif key in shared:
                    block = np.empty((len(values), len(positions), values.shape[-1]), dtype=np.float32)
                    block[:, part.columns] = values
                    block[:, [c for c in range(len(positions)) if c not in part.columns]] = shared[key]
                    write(key, part.row, block)
                else:
                    write(key, part.row, values)
                bar.update(name == "x")

            run(model, projections, receive, part.inputs)
    for layer, projection in enumerate(projections):
        for name, bias in projection.bias().items():
            write(f"attn_{layer}_{name}_bias", 0, bias.float().cpu().numpy())
