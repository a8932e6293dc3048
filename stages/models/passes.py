"""Dividing prompts into forward passes, so that what all prompts begin with is computed as seldom as possible."""

import inspect
import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from stages.models.prompts import Prompts

#: Own tokens of prompts in one pass: what bounds memory however many words there are. Twice as many are no faster.
TOKENS = 384


class Pass(NamedTuple):
    """One forward pass: the model's inputs, and which words and tokens its outputs are of."""

    inputs: dict[str, torch.Tensor]  # keyword arguments of the model
    row: int  # the first word of the pass
    tokens: torch.Tensor  # where kept positions are in its sequences, one after the other: int, (words, positions)
    means: Sequence[tuple[int, int, slice]]  # word, position, and the tokens whose mean is taken there instead

    def select(self, tensor: torch.Tensor) -> torch.Tensor:
        """Take the kept tokens of a (sequences, tokens, units) tensor: shape (words, positions, units)."""
        flat = tensor.reshape(-1, tensor.shape[-1])
        kept = flat[self.tokens.to(flat.device)]
        for word, position, own in self.means:
            kept[word, position] = flat[own].mean(dim=0)
        return kept


def ways(model: nn.Module, prompts: Prompts, causal: bool) -> list[str]:
    """List the ways to divide prompts into forward passes, the fastest first, the last of which is exact for any model.

    What the prompts of a causal model, of which a token sees only what stands before it, begin with is the same in all.

    - "packed": one sequence holds the shared tokens once and after them every prompt's own, with a mask that lets these
      see the shared ones and themselves, and positions as in whole prompts. The weights are read once. Not for models
      that count positions by place in the sequence (ALiBi), nor where prompts are longer than the attention's window;
    - "padded": batches of whole prompts, padded on the right;
    - "single": whole prompts, one by one.
    """
    longest = max(map(len, prompts.ids))
    packs = causal and prompts.shared and _takes_positions(model) and longest <= _room(model)
    return [*(["packed"] if packs else []), "padded", "single"]


def most_tokens(model: nn.Module) -> int | None:
    """Return how many tokens a model takes; None where there is no limit."""
    sizes = [getattr(model.config.get_text_config(), "max_position_embeddings", None)]
    for path, module in model.named_modules():
        if isinstance(module, nn.Embedding) and re.search(r"(^|\.)(wpe|(embed_)?positions?(_embeddings)?)$", path):
            padding = module.padding_idx  # RoBERTa and others count positions from behind it
            sizes.append(module.num_embeddings - (0 if padding is None else padding + 1))
    return min(filter(None, sizes), default=None)


def divide(model: nn.Module, prompts: Prompts, way: str) -> list[range]:
    """Divide prompts into consecutive ones that go into a pass together, in one of the `ways`."""
    lengths, most = np.array([len(ids) for ids in prompts.ids]), TOKENS
    if way == "packed":
        lengths, most = lengths - prompts.shared, min(TOKENS, _room(model) - prompts.shared)
    starts, filled = [0], 0
    for row, length in enumerate(lengths):
        if row > starts[-1] and (way == "single" or filled + length > most):
            starts.append(row)
            filled = 0
        filled += length
    return [range(start, stop) for start, stop in zip(starts, [*starts[1:], len(lengths)], strict=True)]


def farthest_back(model: nn.Module, prompts: Prompts) -> int:
    """Return which prompt stands farthest back if they are packed: the last of the longest pack."""
    packs = divide(model, prompts, "packed")
    return max(packs, key=lambda rows: sum(len(prompts.ids[row]) - prompts.shared for row in rows))[-1]


def make_pass(model: nn.Module, prompts: Prompts, positions: Sequence[int], way: str, rows: range) -> Pass:
    """Make the pass of some prompts, `rows` of those that `divide` lists, that keeps some `positions`."""
    ids, spans = ([some[row] for row in rows] for some in (prompts.ids, prompts.words))
    both = zip(ids, spans, strict=True)  # each position is read from a token of its own, the word's from its last
    sources = np.array([[*prompts.before, word[-1], *(len(some) + i for i in prompts.after)] for some, word in both])
    sources = sources[:, list(positions)]
    if way == "packed":  # up to the last token that is read of each: none sees what is behind it
        ends = np.maximum(sources.max(axis=1) + 1, [span.stop for span in spans])
        own = [some[prompts.shared : end] for some, end in zip(ids, ends, strict=True)]
        inputs, shared = _pack(model.dtype, ids[0][: prompts.shared], own), prompts.shared
        offsets = np.cumsum([0, *map(len, own[:-1])])  # how much farther back a prompt's own tokens are than in itself
    else:
        whole, shared = [torch.tensor(some) for some in ids], 0
        inputs = {
            "input_ids": pad_sequence(whole, batch_first=True),
            "attention_mask": pad_sequence([torch.ones_like(some) for some in whole], batch_first=True),
        }
        offsets = max(map(len, ids)) * np.arange(len(ids))
    tokens = np.where(sources < shared, sources, sources + offsets[:, None])
    means = []
    if prompts.mean and prompts.word_position in positions:
        place, moved = positions.index(prompts.word_position), zip(spans, offsets.tolist(), strict=True)
        means = [(word, place, slice(s.start + offset, s.stop + offset)) for word, (s, offset) in enumerate(moved)]
    return Pass(inputs, rows.start, torch.from_numpy(tokens), means)


def _pack(dtype: torch.dtype, shared: Sequence[int], own: Sequence[Sequence[int]]) -> dict[str, torch.Tensor]:
    """Make one sequence of the shared tokens and those of some prompts."""
    # Which prompt a token belongs to; the shared ones to none.
    owner = torch.tensor([-1] * len(shared) + [prompt for prompt, part in enumerate(own) for _ in part])
    place = [*range(len(shared)), *(len(shared) + i for part in own for i in range(len(part)))]
    seen = ((owner == -1) | (owner == owner[:, None])).tril()
    mask = torch.zeros(seen.shape, dtype=dtype).masked_fill(~seen, torch.finfo(dtype).min)
    ids = torch.tensor([[*shared, *(token for part in own for token in part)]])
    return {"input_ids": ids, "position_ids": torch.tensor([place]), "attention_mask": mask[None, None]}


def _takes_positions(model: nn.Module) -> bool:
    """Return whether a token's position is what `position_ids` says; ALiBi goes by the place of the keys."""
    return "position_ids" in inspect.signature(model.forward).parameters and not getattr(model.config, "alibi", False)


def _room(model: nn.Module) -> float:
    """Return the longest sequence in which every token can see every earlier one."""
    config = model.config.get_text_config()
    limits = [getattr(config, name, None) for name in ("sliding_window", "window_size", "max_position_embeddings")]
    return min(filter(None, limits), default=math.inf)
