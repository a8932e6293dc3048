"""Catching Q, K, V and their input with forward hooks."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from stages.models.projections import Projection
from stages.models.prompts import Prompts

#: Prompts in one forward pass.
BATCH = 64

Receive = Callable[[int, str, torch.Tensor], None]


@contextmanager
def hooked(projections: Sequence[Projection], receive: Receive) -> Iterator[None]:
    """Hand every layer's x, q, k and v to `receive` whenever the model runs.

    Parameters
    ----------
    projections : sequence of Projection
        One a layer.
    receive : callable
        Takes the layer, "x", "q", "k" or "v", and the tensor, shape (prompts, tokens, units).
    """

    def hook_of(layer: int, projection: Projection) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            # No return value: torch would put it in the place of the module's output.
            for name, tensor in {"x": inputs[0], **projection.split(output)}.items():
                receive(layer, name, tensor)

        return hook

    handles = [p.module.register_forward_hook(hook_of(layer, p)) for layer, p in enumerate(projections)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def capture(
    model: nn.Module, projections: Sequence[Projection], prompts: Prompts, multi_token: str
) -> dict[str, np.ndarray]:
    """Run all prompts and keep what every layer's projection takes and gives.

    Parameters
    ----------
    model : torch.nn.Module
        A transformers base model, in evaluation mode.
    projections : sequence of Projection
        One a layer.
    prompts : Prompts
    multi_token : {"error", "last", "mean"}
        "mean": a word's vector is the mean over its tokens; otherwise that of its last token.

    Returns
    -------
    dict of str to ndarray of float32
        ``attn_{layer}_{q,k,v,x}``, shape (words, positions, units), and ``attn_{layer}_{q,k,v}_bias``, shape (units,),
        where the projection has one.

    Raises
    ------
    FloatingPointError
        If an activation is not finite.
    """
    words, device = len(prompts.ids), next(model.parameters()).device
    sources = torch.from_numpy(prompts.sources()).to(device)
    activations: dict[str, np.ndarray] = {}

    def receive(layer: int, name: str, tensor: torch.Tensor) -> None:
        kept = tensor[torch.arange(len(tensor), device=device)[:, None], sources[rows]]
        if multi_token == "mean":
            for row, span in enumerate(prompts.spans[rows]):
                kept[row, prompts.before] = tensor[row, span.start : span.stop].mean(dim=0)
        if not torch.isfinite(kept).all():
            raise FloatingPointError(f"activations of layer {layer} ({name}) are not finite; try model.dtype: float32")
        key = f"attn_{layer}_{name}"
        if key not in activations:
            activations[key] = np.empty((words, *kept.shape[1:]), dtype=np.float32)
        activations[key][rows] = kept.float().cpu().numpy()
        bar.update(name == "x")

    batches = range(0, words, BATCH)
    with (
        tqdm(total=len(batches) * len(projections), desc=f"capture {words} words", unit="layer") as bar,
        hooked(projections, receive),
        torch.inference_mode(),
    ):
        for start in batches:
            rows = slice(start, start + BATCH)
            ids, mask = _pad(prompts.ids[rows])
            model(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False)
    for layer, projection in enumerate(projections):
        for name, bias in projection.bias().items():
            activations[f"attn_{layer}_{name}_bias"] = bias.float().cpu().numpy()
    return activations


def _pad(ids: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Make token ids a rectangle: padded on the right, where a causal model does not look; the mask says where."""
    longest = max(map(len, ids))
    padded = torch.tensor([[*row, *[0] * (longest - len(row))] for row in ids])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in ids])
    return padded, mask
