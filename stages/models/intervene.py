"""Proving what an attention uses where it cannot be watched: by what it makes of changed queries, keys and values."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn

from stages.models.projections import Projection

#: Takes what was captured as one part, shape (tokens, heads, units), gives what the attention is to work with.
Change = Callable[[torch.Tensor], torch.Tensor]


def intervene(projection: Projection, arguments: tuple, options: Mapping[str, Any], tolerance: float) -> str | None:
    """Let one attention run again with changed queries, keys and values, and say what is not as it should be, or None.

    What holds of softmax(q·k) v, whatever mask, rotation, bias of positions or scale there is: the output is linear in
    the values; the query of a token matters to that token alone, its key to others; a factor of a head's queries is
    undone by dividing the keys they meet by it; all values of a head are used with the same weights, as many as queries
    share it; and these do not depend on other heads' queries.

    Parameters
    ----------
    projection : Projection
    arguments, options
        What the attention was given when the model read a prompt.
    tolerance : float
        How far two numbers may be apart, as a share of the largest.
    """
    heads, kv_heads = projection.heads, projection.kv_heads

    def attend(**changes: Change) -> torch.Tensor:
        with _changed(projection, changes), torch.no_grad():
            output = projection.attention(*arguments, **options)
        output = output if isinstance(output, torch.Tensor) else output[0]
        return output.reshape(-1, output.shape[-1]).float()

    def same(one: torch.Tensor, other: torch.Tensor) -> bool:
        return bool((one - other).abs().max() <= tolerance * plain.abs().max())

    try:
        plain, none = attend(), attend(v=torch.zeros_like)
    except Exception:  # any: it may want what only the whole model gives
        return "it does not run by itself"
    if same(plain, none):
        return "its output does not depend on the values captured"
    if not same(attend(v=lambda v: 3 * v) - none, 3 * (plain - none)):
        return "its output is not linear in the values captured"
    changed = {part: attend(**{part: partial(_turned_round, token)}) for part, token in (("q", -1), ("k", 0))}
    moved = {part: (other - plain).abs().amax(-1) > tolerance * plain.abs().max() for part, other in changed.items()}
    if moved["q"].nonzero().flatten().tolist() != [len(plain) - 1]:
        return "the query captured at a token does not change the output of that token alone"
    if not moved["k"][1:].any():
        return "the key captured at a token does not change the output of another"
    factors = torch.linspace(0.5, 2, kv_heads)[:, None]
    grouped = factors.repeat_interleave(heads // kv_heads, dim=0)
    if not same(attend(q=lambda q: q * grouped.to(q), k=lambda k: k / factors.to(k)), plain):
        return "it does not divide the queries and keys captured into the same heads"

    def taken(head: int, unit: int) -> torch.Tensor:
        """How much each token takes of a value that one token alone has: (tokens, tokens · units of the output)."""

        def alone(v: torch.Tensor, token: int) -> torch.Tensor:
            return torch.zeros_like(v).index_put_(tuple(map(torch.tensor, (token, head, unit))), v.abs().max())

        return torch.cat([attend(v=partial(alone, token=token)) - none for token in range(len(plain))])

    for head in {0, kv_heads - 1}:
        first, last = taken(head, 0), taken(head, -1)
        ranks = [int(torch.linalg.matrix_rank(m, rtol=tolerance)) for m in (first, torch.cat([first, last], 1))]
        if ranks != [heads // kv_heads] * 2:
            return f"each value captured is used with the weights of {ranks} heads, not {heads // kv_heads}"
        only = torch.zeros(kv_heads, 1).index_fill_(0, torch.tensor(head), 1)
        queries = only.repeat_interleave(heads // kv_heads, dim=0)
        values = {"v": lambda v, only=only: v * only.to(v)}
        if not same(attend(**values), attend(**values, q=lambda q, some=queries: q * some.to(q))):
            return "it does not divide the queries and values captured into the same heads"
    return None


def _turned_round(token: int, part: torch.Tensor) -> torch.Tensor:
    """Change the direction of a token's vectors."""
    changed = part.clone()
    changed[token] = part[token].roll(1, dims=-1) - 2 * part[token]
    return changed


@contextmanager
def _changed(projection: Projection, changes: Mapping[str, Change]) -> Iterator[None]:
    """Put other units in the place of those that the projection's modules give."""

    def put(name: str) -> Callable[..., torch.Tensor]:
        def hook(module: nn.Module, inputs: tuple, output: torch.Tensor) -> torch.Tensor:
            output = output.clone()
            for part, units in projection.columns[name].items():
                if part in changes:
                    own = output[..., units]
                    count = projection.heads if part == "q" else projection.kv_heads
                    output[..., units] = changes[part](own.reshape(-1, count, own.shape[-1] // count)).reshape(
                        own.shape
                    )
            return output

        return hook

    with ExitStack() as stack:
        for name, module in projection.modules.items():
            stack.callback(module.register_forward_hook(put(name)).remove)
        yield
