"""Catching Q, K, V and their input of every prompt, at as little cost as exact numbers allow."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from stages.models.hooks import run
from stages.models.passes import Pass, farthest_back, plan, ways
from stages.models.precision import grid, not_finite
from stages.models.projections import Projection
from stages.models.prompts import Prompts

Write = Callable[[str, int, np.ndarray], None]

#: How far numbers of a faster way may be from those of whole prompts, as a share of the largest.
TOLERANCES = {torch.float64: 1e-9, torch.float32: 1e-4, torch.float16: 2**-7, torch.bfloat16: 2**-4}


class Inexact(Exception):
    """A way of dividing prompts into passes changes the numbers."""


def shapes(projections: Sequence[Projection], words: int, positions: int) -> dict[str, tuple[int, ...]]:
    """Return what `capture` fills: name → shape.

    ``attn_{layer}_{q,k,v,x}``, shape (words, positions, units), and ``attn_{layer}_{q,k,v}_bias``, shape (units,),
    where the projection has one; layers as the model numbers them.
    """
    found: dict[str, tuple[int, ...]] = {}
    for projection in projections:
        for name, units in {**projection.widths, "x": projection.width_in}.items():
            found[f"attn_{projection.layer}_{name}"] = (words, positions, units)
        for name in projection.biased:
            found[f"attn_{projection.layer}_{name}_bias"] = (projection.widths[name],)
    return found


def capture(
    model: nn.Module,
    projections: Sequence[Projection],
    prompts: Prompts,
    write: Write,
    positions: Sequence[int],
    multi_token: str,
    rows: Sequence[int] = (),
) -> tuple[str, dict[str, str]]:
    """Run all prompts and keep what every layer's projection takes and gives.

    Some prompts run whole and alone first. They show whether a token sees what follows it. The fastest way that `ways`
    lists must then give their numbers; where it gives others, the next is taken. No pass goes beyond the last
    projection.

    Parameters
    ----------
    model : torch.nn.Module
        A transformers base model, in evaluation mode.
    projections : sequence of Projection
        One a layer.
    prompts : Prompts
    write : callable
        Takes the name of an array of `shapes`, the first row, and the rows that follow it. Rows may be written again.
    positions : sequence of int
        Which positions are kept, counted from 0.
    multi_token : {"error", "last", "mean"}
        "mean": a word's vector is the mean over its tokens; otherwise that of its last token.
    rows : sequence of int, optional
        Prompts to run whole; by default those with which a faster way is most likely to go wrong.

    Returns
    -------
    way : str
        How prompts were divided into passes.
    refused : dict of str to str
        The faster ways that were tried, and why they were not taken.

    Raises
    ------
    FloatingPointError
        If an activation is not finite.
    """
    mean, rows = multi_token == "mean", rows or _held_rows(model, prompts)
    held: dict[str, dict[int, np.ndarray]] = {}
    whole = plan(model, prompts, range(prompts.positions), "single")

    def hold(key: str, row: int, values: np.ndarray) -> None:
        held.setdefault(key, {})[row] = values[0]

    for row in rows:
        _each(model, projections, prompts, whole[row](), mean, hold)
    share = TOLERANCES[model.dtype]
    bounds = {key: share * max(float(np.abs(values).max()) for values in some.values()) for key, some in held.items()}

    kept = list(positions)
    steps = {key: grid([values[kept] for values in some.values()], model.dtype) for key, some in held.items()}

    def write_rounded(key: str, first: int, block: np.ndarray) -> None:
        write(key, first, np.round(block / steps[key]) * steps[key] if steps[key] else block)

    before = list(range(len(prompts.before)))
    causal = bool(before) and all(
        np.abs(values[before] - some[rows[0]][before]).max() <= bounds[key]
        for key, some in held.items()
        for values in some.values()
    )

    def check(key: str, first: int, block: np.ndarray) -> None:
        for row in rows:
            if first <= row < first + len(block):
                apart = np.abs(block[row - first] - held[key][row][kept]).max()
                if not apart <= bounds[key]:
                    raise Inexact(f"{key} differs by {apart:.2g} of at most {bounds[key] / share:.2g}")
        write_rounded(key, first, block)

    refused: dict[str, str] = {}
    *faster, exact = ways(model, prompts, causal)
    for way in faster:
        try:
            _fill(model, projections, prompts, plan(model, prompts, positions, way), check, mean)
            break
        except Exception as error:  # any: models that were never meant to run so fail in their own ways
            refused[way] = (str(error) or type(error).__name__).splitlines()[0]
    else:
        way = exact
        _fill(model, projections, prompts, plan(model, prompts, positions, way), write_rounded, mean)
    for projection in projections:
        for name, bias in projection.bias().items():
            write(f"attn_{projection.layer}_{name}_bias", 0, bias.float().cpu().numpy())
    return way, refused


def _held_rows(model: nn.Module, prompts: Prompts) -> list[int]:
    """Choose prompts to run whole: the first, the last, the one farthest back in a pack, and the most padded."""
    lengths = list(map(len, prompts.ids))
    return sorted({0, len(lengths) - 1, lengths.index(min(lengths)), farthest_back(model, prompts)})


def _each(
    model: nn.Module, projections: Sequence[Projection], prompts: Prompts, part: Pass, mean: bool, receive: Write
) -> None:
    """Run one pass and hand over what of it is kept: the array's name, its first word, and its values."""

    def select(place: int, name: str, tensor: torch.Tensor) -> None:
        kept, layer = part.select(tensor, mean), projections[place].layer
        finite = torch.isfinite(kept).flatten(1).all(dim=1)
        if not finite.all():
            raise not_finite(layer, name, prompts.names[part.row + int(finite.int().argmin())], model.dtype)
        receive(f"attn_{layer}_{name}", part.row, (kept if kept.dtype == torch.float64 else kept.float()).cpu().numpy())

    run(model, projections, select, part.inputs)


def _fill(
    model: nn.Module,
    projections: Sequence[Projection],
    prompts: Prompts,
    passes: Sequence[Callable[[], Pass]],
    write: Write,
    mean: bool,
) -> None:
    """Run passes one after the other, and write what they give."""
    total, said = len(passes) * len(projections), f"capture {len(prompts.ids)} words"
    with tqdm(total=total, desc=said, unit="layer", delay=2, disable=None) as bar:

        def receive(key: str, row: int, values: np.ndarray) -> None:
            write(key, row, values)
            bar.update(key.endswith("x"))

        for make in passes:
            _each(model, projections, prompts, make(), mean, receive)
