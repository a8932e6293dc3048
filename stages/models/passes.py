"""Dividing prompts into forward passes, so that what all prompts begin with is computed as seldom as possible."""

import copy
import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import DynamicCache

from stages.models.prompts import Prompts

#: Own tokens of prompts in one pass: what bounds memory however many words there are. Twice as many are no faster.
TOKENS = 384


@dataclass(frozen=True)
class Pass:
    """One forward pass: what the model is given, and where what it gives belongs.

    Attributes
    ----------
    inputs : dict
        Keyword arguments of the model.
    row : int or None
        The first word of the pass; None for what is the same for all words.
    columns : list of int
        Which of the kept positions the pass gives.
    tokens : torch.Tensor of int, shape (words, columns)
        Where they are among the tokens of the pass, its sequences one after the other.
    word : int or None
        Which column is the word's, if any.
    spans : sequence of range
        For each word, its own tokens, counted likewise.
    """

    inputs: dict[str, Any]
    row: int | None
    columns: list[int]
    tokens: torch.Tensor
    word: int | None = None
    spans: Sequence[range] = ()

    def select(self, tensor: torch.Tensor, mean: bool) -> torch.Tensor:
        """Take the kept tokens of a (sequences, tokens, units) tensor: shape (words, columns, units)."""
        flat = tensor.reshape(-1, tensor.shape[-1])
        kept = flat[self.tokens.to(flat.device)]
        if mean and self.word is not None:
            for row, span in enumerate(self.spans):
                kept[row, self.word] = flat[span.start : span.stop].mean(dim=0)
        return kept


def ways(model: nn.Module, prompts: Prompts, causal: bool) -> list[str]:
    """List the ways to divide prompts into forward passes, the fastest first, the last of which is exact for any model.

    What the prompts of a causal model begin with is the same in all of them, and blind to what follows.

    - "packed": one sequence holds the shared tokens once and after them every prompt's own, with a mask that lets these
      see the shared ones and themselves, and positions as in whole prompts. The weights are read once. Not for models
      that count positions by place in the sequence (ALiBi), nor where prompts are longer than the attention's window;
    - "cached": the shared tokens run first, each prompt's own on a copy of their keys and values;
    - "padded": batches of whole prompts, padded on the right;
    - "single": whole prompts, one by one.

    Parameters
    ----------
    model : torch.nn.Module
    prompts : Prompts
    causal : bool
        Whether a token sees only what stands before it.
    """
    shared = _shared(prompts)
    if not causal or not shared:
        return ["padded", "single"]
    longest = max(len(ids) for ids in prompts.ids)
    packed = ["packed"] if _takes_positions(model) and longest <= _room(model) else []
    return [*packed, "cached", "padded", "single"]


def plan(model: nn.Module, prompts: Prompts, positions: Sequence[int], way: str) -> list[Callable[[], Pass]]:
    """Divide prompts into forward passes, each made when its turn comes.

    Parameters
    ----------
    model : torch.nn.Module
    prompts : Prompts
    positions : sequence of int
        Which positions are kept, counted from 0.
    way : str
        One of those that `ways` lists.

    Returns
    -------
    list of callable
        Each gives the next `Pass`; to be called in order.
    """
    if way == "single":
        return [partial(_batch, prompts, positions, range(row, row + 1)) for row in range(len(prompts.ids))]
    shared = 0 if way == "padded" else _shared(prompts)
    lengths = [len(ids) - shared for ids in prompts.ids]
    if way == "packed":
        groups = _groups(lengths, min(TOKENS, _room(model) - shared))
        return [partial(_packed, model, prompts, positions, shared, rows) for rows in groups]
    groups = _groups(lengths, TOKENS)
    if way == "padded":
        return [partial(_batch, prompts, positions, rows) for rows in groups]
    cache = DynamicCache(config=model.config)
    batches = [partial(_batch, prompts, positions, rows, shared, cache) for rows in groups]
    return [partial(_beginning, prompts, positions, shared, cache), *batches]


def _shared(prompts: Prompts) -> int:
    """Count the tokens that all prompts begin with; the words' own stay together, as a mean is taken over them."""
    return min(prompts.shared, *(span.start for span in prompts.words))


def _groups(lengths: Sequence[int], most: int) -> list[range]:
    """Divide words into consecutive groups of at most so many tokens, or a single word."""
    starts, filled = [0], 0
    for row, length in enumerate(lengths):
        if row > starts[-1] and filled + length > most:
            starts.append(row)
            filled = 0
        filled += length
    return [range(start, stop) for start, stop in zip(starts, [*starts[1:], len(lengths)], strict=True)]


def _takes_positions(model: nn.Module) -> bool:
    """Tell whether a token's position is what `position_ids` says; ALiBi goes by the place of the keys."""
    return "position_ids" in inspect.signature(model.forward).parameters and not getattr(model.config, "alibi", False)


def _room(model: nn.Module) -> float:
    """Give the longest sequence in which every token can see every earlier one."""
    config = model.config.get_text_config()
    limits = [getattr(config, name, None) for name in ("sliding_window", "window_size", "max_position_embeddings")]
    return min((limit for limit in limits if limit), default=math.inf)


def _packed(model: nn.Module, prompts: Prompts, positions: Sequence[int], shared: int, rows: range) -> Pass:
    """Make one sequence of the shared tokens and those of some prompts, up to the last that is read of each."""
    sources = prompts.sources()[rows.start : rows.stop][:, list(positions)]
    ends = np.maximum(sources.max(axis=1) + 1, [prompts.words[row].stop for row in rows]).tolist()
    own = [prompts.ids[row][shared:end] for row, end in zip(rows, ends, strict=True)]  # none sees what is behind it
    ids = [*prompts.ids[0][:shared], *(token for part in own for token in part)]
    # Which prompt a token belongs to; the shared ones to none.
    owner = torch.tensor([-1] * shared + [prompt for prompt, part in enumerate(own) for _ in part])
    place = torch.tensor([*range(shared), *(shared + i for part in own for i in range(len(part)))])
    seen = ((owner == -1) | (owner == owner[:, None])).tril()
    mask = torch.zeros(seen.shape, dtype=model.dtype).masked_fill(~seen, torch.finfo(model.dtype).min)
    inputs = {
        "input_ids": torch.tensor([ids]),
        "position_ids": place[None],
        "attention_mask": mask[None, None],
        "use_cache": False,
    }
    offsets = np.cumsum([0, *map(len, own[:-1])])  # how much farther back a prompt's own tokens are than in itself
    tokens = torch.from_numpy(np.where(sources < shared, sources, sources + offsets[:, None]))
    return _of_words(prompts, positions, rows, inputs, list(range(len(positions))), tokens, offsets)


def _beginning(prompts: Prompts, positions: Sequence[int], shared: int, cache: DynamicCache) -> Pass:
    """Run the shared tokens, and keep their keys and values."""
    sources = prompts.sources()[0, list(positions)]
    early = np.flatnonzero(sources < shared)
    ids = torch.tensor([prompts.ids[0][:shared]])
    inputs = {"input_ids": ids, "past_key_values": cache, "use_cache": True}
    return Pass(inputs, None, early.tolist(), torch.from_numpy(sources[None, early]))


def _batch(
    prompts: Prompts, positions: Sequence[int], rows: range, shared: int = 0, cache: DynamicCache | None = None
) -> Pass:
    """Make a batch of some prompts, whole or what follows the shared tokens, padded on the right."""
    own = [prompts.ids[row][shared:] for row in rows]
    longest = max(map(len, own))
    inputs = {
        "input_ids": torch.tensor([[*part, *[0] * (longest - len(part))] for part in own]),
        "attention_mask": torch.tensor([[1] * (shared + len(part)) + [0] * (longest - len(part)) for part in own]),
        "use_cache": cache is not None,
    }
    if cache is not None:
        repeated = copy.deepcopy(cache)
        repeated.batch_repeat_interleave(len(own))
        inputs |= {"past_key_values": repeated}
    sources = prompts.sources()[rows.start : rows.stop][:, list(positions)]
    late = np.flatnonzero(sources[0] >= shared).tolist()
    offsets = longest * np.arange(len(own)) - shared
    tokens = torch.from_numpy(sources[:, late] + offsets[:, None])
    return _of_words(prompts, positions, rows, inputs, late, tokens, offsets)


def _of_words(
    prompts: Prompts,
    positions: Sequence[int],
    rows: range,
    inputs: dict[str, Any],
    columns: list[int],
    tokens: torch.Tensor,
    offsets: np.ndarray,
) -> Pass:
    """Make the pass of some words, whose tokens stand by `offsets` farther back in it than in the prompt."""
    kept = [positions[column] for column in columns]
    word = kept.index(prompts.word_position) if prompts.word_position in kept else None
    spans = [
        range(span.start + offset, span.stop + offset)
        for span, offset in zip(prompts.words[rows.start : rows.stop], offsets.tolist(), strict=True)
    ]
    return Pass(inputs, rows.start, columns, tokens, word, spans)
