"""Dividing prompts into forward passes, so that what all prompts begin with is computed as seldom as possible."""

import inspect
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

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
    row : int
        The first word of the pass.
    tokens : torch.Tensor of int, shape (words, positions)
        Where the kept positions are among the tokens of the pass, its sequences one after the other.
    word : int or None
        Which of the kept positions is the word's, if any.
    spans : sequence of range
        For each word, its own tokens, counted likewise.
    """

    inputs: dict[str, Any]
    row: int
    tokens: torch.Tensor
    word: int | None
    spans: Sequence[range]

    def select(self, tensor: torch.Tensor, mean: bool) -> torch.Tensor:
        """Take the kept tokens of a (sequences, tokens, units) tensor: shape (words, positions, units)."""
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
    - "padded": batches of whole prompts, padded on the right;
    - "single": whole prompts, one by one.

    Parameters
    ----------
    model : torch.nn.Module
    prompts : Prompts
    causal : bool
        Whether a token sees only what stands before it.
    """
    longest = max(map(len, prompts.ids))
    packs = causal and _shared(prompts) and _takes_positions(model) and longest <= _room(model)
    return [*(["packed"] if packs else []), "padded", "single"]


def most_tokens(model: nn.Module) -> int | None:
    """Return how many tokens a model takes; None where there is no limit."""
    config = model.config.get_text_config()
    sizes = [getattr(config, "max_position_embeddings", None)]
    for path, module in model.named_modules():
        if isinstance(module, nn.Embedding) and re.search(r"(^|\.)(wpe|(embed_)?positions?(_embeddings)?)$", path):
            padding = module.padding_idx  # RoBERTa and others count positions from behind it
            sizes.append(module.num_embeddings - (0 if padding is None else padding + 1))
    return min((size for size in sizes if size), default=None)


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
    if way == "padded":
        return [partial(_batch, prompts, positions, rows) for rows in _groups(list(map(len, prompts.ids)), TOKENS)]
    return [partial(_packed, model, prompts, positions, rows) for rows in _packs(model, prompts)]


def farthest_back(model: nn.Module, prompts: Prompts) -> int:
    """Return which prompt stands farthest back if they are packed: the last of the longest pack."""
    shared = _shared(prompts)
    return max(_packs(model, prompts), key=lambda rows: sum(len(prompts.ids[row]) - shared for row in rows))[-1]


def _packs(model: nn.Module, prompts: Prompts) -> list[range]:
    """Divide prompts into those that are packed together."""
    shared = _shared(prompts)
    return _groups([len(ids) - shared for ids in prompts.ids], min(TOKENS, _room(model) - shared))


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
    """Return whether a token's position is what `position_ids` says; ALiBi goes by the place of the keys."""
    return "position_ids" in inspect.signature(model.forward).parameters and not getattr(model.config, "alibi", False)


def _room(model: nn.Module) -> float:
    """Return the longest sequence in which every token can see every earlier one."""
    config = model.config.get_text_config()
    limits = [getattr(config, name, None) for name in ("sliding_window", "window_size", "max_position_embeddings")]
    return min((limit for limit in limits if limit), default=math.inf)


def _packed(model: nn.Module, prompts: Prompts, positions: Sequence[int], rows: range) -> Pass:
    """Make one sequence of the shared tokens and those of some prompts, up to the last that is read of each."""
    shared = _shared(prompts)
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
    tokens = np.where(sources < shared, sources, sources + offsets[:, None])
    return _of_words(prompts, positions, rows, inputs, tokens, offsets)


def _batch(prompts: Prompts, positions: Sequence[int], rows: range) -> Pass:
    """Make a batch of some prompts, padded on the right."""
    ids = [prompts.ids[row] for row in rows]
    longest = max(map(len, ids))
    inputs = {
        "input_ids": torch.tensor([[*some, *[0] * (longest - len(some))] for some in ids]),
        "attention_mask": torch.tensor([[1] * len(some) + [0] * (longest - len(some)) for some in ids]),
        "use_cache": False,
    }
    offsets = longest * np.arange(len(ids))
    tokens = prompts.sources()[rows.start : rows.stop][:, list(positions)] + offsets[:, None]
    return _of_words(prompts, positions, rows, inputs, tokens, offsets)


def _of_words(
    prompts: Prompts,
    positions: Sequence[int],
    rows: range,
    inputs: dict[str, Any],
    tokens: np.ndarray,
    offsets: np.ndarray,
) -> Pass:
    """Make the pass of some words, whose tokens stand by `offsets` farther back in it than in the prompt."""
    word = positions.index(prompts.word_position) if prompts.word_position in positions else None
    spans = [
        range(span.start + offset, span.stop + offset)
        for span, offset in zip(prompts.words[rows.start : rows.stop], offsets.tolist(), strict=True)
    ]
    return Pass(inputs, rows.start, torch.from_numpy(tokens), word, spans)
