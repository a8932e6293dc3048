"""Catching Q, K, V and their input of every prompt, at as little cost as exact numbers allow."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from stages.artefacts.files import TensorWriter
from stages.geometry.names import EMBEDDING
from stages.models.passes import Pass, divide, farthest_back, make_pass, ways
from stages.models.precision import computing, grid, not_finite, place_of
from stages.models.projections import Projection, hooked
from stages.models.prompts import Prompts
from stages.pipeline.progress import progress

Write = Callable[[str, int, np.ndarray], None]

#: How far numbers of a faster way may be from those of whole prompts, as a share of the largest.
TOLERANCES = {torch.float64: 1e-9, torch.float32: 1e-4, torch.float16: 2**-7, torch.bfloat16: 2**-4}


def shapes(projections: Sequence[Projection], words: int, positions: int) -> dict[str, tuple[int, int, int]]:
    """Return what `capture` fills: ``attn_{layer}_{q,k,v,x}`` → shape (words, positions, units).

    Layers are numbered as the model numbers them.
    """
    return {
        f"attn_{projection.layer}_{name}": (words, positions, units)
        for projection in projections
        for name, units in {**projection.widths, "x": projection.width_in}.items()
    }


def biases(projections: Sequence[Projection]) -> dict[str, np.ndarray]:
    """Return ``attn_{layer}_{q,k,v}_bias``, shape (units,), where the projection has one."""
    return {
        f"attn_{projection.layer}_{name}_bias": bias.float().cpu().numpy()
        for projection in projections
        for name, bias in projection.bias().items()
    }


def write_weights(path: Path, projections: Sequence[Projection]) -> None:
    """Write the weights of all layers to a safetensors file: ``attn_{layer}_{q,k,v}``, shape (units of x, units).

    In double precision where the model computes in it, otherwise in single; one layer is held at a time. The record
    says how many query ``heads`` there are. The file is empty unless Q, K and V are linear maps of x.
    """
    linear = all(projection.linear for projection in projections)
    sizes = {
        f"attn_{projection.layer}_{name}": (projection.width_in, units)
        for projection in projections
        for name, units in projection.widths.items()
    }
    double = next(iter(projections[0].modules.values())).weight.dtype == torch.float64
    record, dtype = {"heads": projections[0].heads}, np.float64 if double else np.float32
    with TensorWriter(path, sizes if linear else {}, record, dtype) as file:
        for projection in progress("weights", "layer")(projections if linear else []):
            for name, values in projection.weights().items():
                file.write(f"attn_{projection.layer}_{name}", 0, values.cpu().numpy())


def embeddings(model: nn.Module, several: Sequence[Prompts]) -> dict[str, np.ndarray]:
    """Return ``embedding``, the model's own vectors of single words, shape (words, units); nothing where it has none.

    They are what the model begins with, whatever the prompt; of several tokens the last one's, or their mean.
    """
    table = None
    with suppress(NotImplementedError, AttributeError):
        table = model.get_input_embeddings()
    if not isinstance(table, nn.Embedding):
        return {}
    both = [(ids, word) for prompts in several for ids, word in zip(prompts.ids, prompts.words, strict=True)]
    spans = [ids[word.start : word.stop] for ids, word in both]
    with torch.inference_mode():
        found = [table(torch.tensor(ids, device=place_of(model))).float().cpu().numpy() for ids in spans]
    return {EMBEDDING: np.stack([of.mean(axis=0) if several[0].mean else of[-1] for of in found])}


def capture(
    model: nn.Module,
    projections: Sequence[Projection],
    prompts: Prompts,
    write: Write,
    positions: Sequence[int],
    rows: Sequence[int] = (),
) -> tuple[str, dict[str, str]]:
    """Run all prompts and keep what every layer's projection takes and gives, at some `positions`, counted from 0.

    Some prompts run whole and alone first. They show whether a token sees what follows it. The fastest way that `ways`
    lists must then give their numbers; where it gives others, the next is taken. No pass goes beyond the last
    projection.

    Parameters
    ----------
    write : callable
        Takes the name of an array of `shapes`, the first row, and the rows that follow it. Rows may be written again.
    rows : sequence of int, optional
        Prompts to run whole; by default those with which a faster way is most likely to go wrong: the first, the last,
        the one farthest back in a pack, and the most padded.

    Returns
    -------
    way : str
        How prompts were divided into passes. FloatingPointError if an activation is not finite.
    refused : dict of str to str
        The faster ways that were tried, and why they were not taken.
    """
    lengths = list(map(len, prompts.ids))
    rows = rows or sorted({0, len(lengths) - 1, lengths.index(min(lengths)), farthest_back(model, prompts)})
    held = {key: np.empty(shape) for key, shape in shapes(projections, len(rows), prompts.positions).items()}

    def hold(key: str, row: int, values: np.ndarray) -> None:
        held[key][rows.index(row)] = values[0]

    for row in rows:
        part = make_pass(model, prompts, range(prompts.positions), "single", range(row, row + 1))
        _run_pass(model, projections, prompts, part, hold)
    share, kept, before = TOLERANCES[model.dtype], list(positions), slice(prompts.word_position)
    bounds = {key: share * np.abs(whole).max() for key, whole in held.items()}
    steps = {key: grid(whole[:, kept], model.dtype) for key, whole in held.items()}
    causal = prompts.word_position > 0 and all(
        np.abs(whole[:, before] - whole[0, before]).max() <= bounds[key] for key, whole in held.items()
    )

    def run_all(way: str) -> None:
        parts, said = divide(model, prompts, way), f"capture {len(lengths)} words"
        with tqdm(total=len(parts) * len(projections), desc=said, unit="layer", delay=2, disable=None) as bar:

            def check_and_write(key: str, first: int, block: np.ndarray) -> None:
                for row in set(rows).intersection(range(first, first + len(block))):
                    apart = np.abs(block[row - first] - held[key][rows.index(row), kept]).max()
                    if not apart <= bounds[key]:
                        raise ArithmeticError(f"{key} differs by {apart:.2g} of at most {bounds[key] / share:.2g}")
                write(key, first, np.round(block / steps[key]) * steps[key] if steps[key] else block)
                bar.update(key.endswith("x"))

            for part in parts:
                made = make_pass(model, prompts, positions, way, part)
                _run_pass(model, projections, prompts, made, check_and_write)

    refused: dict[str, str] = {}
    *faster, exact = ways(model, prompts, causal)
    for way in faster:
        try:
            run_all(way)
            return way, refused
        except Exception as error:  # any: models that were never meant to run so fail in their own ways
            refused[way] = (str(error) or type(error).__name__).splitlines()[0]
    run_all(exact)
    return exact, refused


def capture_several(
    model: nn.Module,
    projections: Sequence[Projection],
    several: Mapping[str, Prompts],
    write: Write,
    positions: Sequence[int] = (),
    way: str = "",
) -> dict[str, str]:
    """Run several sets of prompts by name, whose rows follow each other in the same arrays.

    Parameters and errors are those of `capture`. Without `positions` the word's own token is kept of each set. `way` is
    how other prompts of these words were divided into passes: a faster way that has held there, or in the set before,
    is checked on one whole prompt, not three. Returns how each set's prompts were divided, and prints it.
    """
    found: dict[str, str] = {}
    first = 0
    for name, prompts in several.items():

        def below(key: str, row: int, block: np.ndarray, first: int = first) -> None:
            write(key, first + row, block)

        rows = [farthest_back(model, prompts)] if way == "packed" else []
        way, refused = capture(model, projections, prompts, below, positions or [prompts.word_position], rows)
        for other, why in refused.items():
            print(f"{name}: prompts not {other}: {why}")
        print(f"{name}: prompts {way}")
        found[name] = way
        first += len(prompts.ids)
    return found


class _Enough(Exception):
    """Ends a forward pass once the last layer's Q, K and V are there: what follows is not needed."""


def _run_pass(
    model: nn.Module, projections: Sequence[Projection], prompts: Prompts, part: Pass, receive: Write
) -> None:
    """Run one pass, and hand over what of it is kept as it comes: the array's name, its first word, and its values."""
    missing = {"x", "q", "k", "v"}  # of the last layer

    def select(place: int, name: str, tensor: torch.Tensor) -> None:
        kept, layer = part.select(tensor), projections[place].layer
        finite = torch.isfinite(kept).flatten(1).all(dim=1)
        if not finite.all():
            raise not_finite(layer, name, prompts.names[part.row + int(finite.int().argmin())], model.dtype)
        receive(f"attn_{layer}_{name}", part.row, (kept if kept.dtype == torch.float64 else kept.float()).cpu().numpy())
        if place == len(projections) - 1:
            missing.discard(name)
            if not missing:
                raise _Enough

    inputs = {name: tensor.to(place_of(model)) for name, tensor in part.inputs.items()}
    with hooked(projections, select), computing(model.dtype), torch.inference_mode(), suppress(_Enough):
        model(**inputs, use_cache=False)
