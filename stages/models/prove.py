"""Proving, on the model itself, that what was found are the queries, keys and values which its attention uses."""

import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from stages.models.precision import computing, not_finite, place_of
from stages.models.projections import Projection, hooked
from stages.models.prompts import Prompts
from stages.pipeline import messages
from stages.pipeline.command import no_memory
from stages.pipeline.errors import UserError

#: How far two numbers may be apart, as a share of the largest, in float32; in half precision it is more.
TOLERANCE = 1e-4
#: How many of the attention's own modules (normalisations, short convolutions) may lie between, one after the other.
STEPS = 3


@dataclass
class _Use:
    """What was seen of one layer's attention at work."""

    captured: dict[str, torch.Tensor] = field(default_factory=dict)  # what `hooked` gives, shape (1, tokens, units)
    #: Of each product, what may be q, k and v: shape (heads, tokens, units).
    received: list[tuple[torch.Tensor, ...]] = field(default_factory=list)
    #: Name, input and output of each module inside the attention that is no projection.
    inside: list[tuple[str, torch.Tensor, torch.Tensor]] = field(default_factory=list)


class _Products(TorchDispatchMode):
    """Hands the operands of every product of two batches of matrices to `receive`, each as what it may be."""

    def __init__(self, receive: Callable[..., None]) -> None:
        super().__init__()
        self._receive = receive

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if "scaled_dot_product" in func.__name__:
            self._receive(*(tensor[0] for tensor in args[:3]))
        elif func.__name__.startswith(("bmm", "baddbmm")):
            left, right = args[-2:]
            self._receive(left, right.transpose(1, 2), right)
        return func(*args, **(kwargs or {}))


def prove(model: nn.Module, projections: Sequence[Projection], prompts: Prompts, row: int = 0) -> dict[str, str]:
    """Run one prompt, `row`, and compare what `split` gives in every layer with what its attention multiplies.

    Values must be received as captured, but for one factor. Queries and keys too, or up to a rotation (the norm of
    every head at every token is the same, and at the first token, where a rotation turns by nothing, the units are)
    and a factor that all heads share. Normalisations and short convolutions that the attention applies with modules of
    its own are watched at work. Returns by "q", "k" and "v" how what the attention received equals what was captured.

    Raises
    ------
    UserError
        If what was received is not what was captured; the message says in which layer, and what differs.
    """
    uses, tokens = _watch(model, projections, prompts, row), len(prompts.ids[row])
    tolerance = max(TOLERANCE, 4 * torch.finfo(model.dtype).eps)
    found: dict[str, set[str]] = {"q": set(), "k": set(), "v": set()}
    for projection, use in zip(projections, uses, strict=True):
        where = f"model.name: layer {projection.layer} ({projection.path})"
        if set(use.captured) != {"x", "q", "k", "v"}:
            raise UserError(messages.UNUSED.format(where))
        if (other := use.captured["q"][..., 0].numel()) != tokens:
            raise UserError(messages.OTHER_TOKENS.format(where, other, tokens))
        if not use.received:
            raise UserError(messages.NO_PRODUCTS.format(where))
        clip = getattr(projection.attention, "clip_qkv", None) or getattr(model.config, "clip_qkv", None)
        for place, (part, ways) in enumerate(found.items()):
            heads = projection.heads if part == "q" else projection.kv_heads
            own = use.captured[part].reshape(tokens, heads, -1).transpose(0, 1).float()
            own = own.clamp(-clip, clip) if clip else own
            received = [operands[place] for operands in use.received]
            if projection.layout.order == "latent":  # the other units are rotated, and shared in the keys
                received = [tensor[..., : own.shape[-1]] for tensor in received]
            how = compare(own, received, use.inside, tolerance)
            if how is None or (part == "v" and "rotation" in how):
                name = {"q": "queries", "k": "keys", "v": "values"}[part]
                shapes = ", ".join(sorted({str(tuple(tensor.shape)) for tensor in received}))
                raise UserError(messages.NOT_CAPTURED.format(where, name, tuple(own.shape), shapes))
            ways.add(how)
    return {part: "; ".join(sorted(ways)) for part, ways in found.items()}


def _watch(model: nn.Module, projections: Sequence[Projection], prompts: Prompts, row: int) -> list[_Use]:
    """Run one prompt, and keep what every layer's attention makes of it and works with."""
    uses = [_Use() for _ in projections]
    latest = _Use()  # whose projections ran last: what is multiplied next is its attention's; at first, nobody's

    def capture(layer: int, part: str, tensor: torch.Tensor) -> None:
        nonlocal latest
        if not torch.isfinite(tensor).all():
            raise not_finite(projections[layer].layer, part, prompts.names[row], model.dtype)
        latest = uses[layer]
        latest.captured[part] = tensor

    def receive(*operands: torch.Tensor) -> None:
        latest.received.append(operands)

    def inside(name: str, module: nn.Module, inputs: tuple, output: Any) -> None:
        if inputs and all(isinstance(tensor, torch.Tensor) for tensor in (inputs[0], output)):
            latest.inside.append((name, inputs[0], output))

    with ExitStack() as stack:
        for attention in {projection.attention for projection in projections}:
            for name, module in attention.named_modules():
                if name and not isinstance(module, nn.Linear):
                    stack.enter_context(module.register_forward_hook(partial(inside, name)))
        for context in (hooked(projections, capture), _Products(receive), computing(model.dtype), torch.no_grad()):
            stack.enter_context(context)
        try:
            model(input_ids=torch.tensor([prompts.ids[row]], device=place_of(model)), use_cache=False)
        except Exception as error:  # any: a model that was never meant to read a text fails in its own way
            if isinstance(error, FloatingPointError) or no_memory(error):
                raise
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            lacks = isinstance(error, (TypeError, ValueError)) and re.search("missing|specify|required|provide", reason)
            said = messages.NOT_ALONE if lacks else messages.FAILED
            raise UserError(said.format(type(model).__name__, prompts.names[row], reason)) from error
    return uses


def compare(
    own: torch.Tensor,
    received: Sequence[torch.Tensor],
    inside: Sequence[tuple[str, torch.Tensor, torch.Tensor]],
    tolerance: float,
    steps: int = STEPS,
) -> str | None:
    """Return how what an attention received equals what was captured, shape (heads, tokens, units), or None."""
    for other in received:
        if how := same(own, other, tolerance):
            return how
    alike = [head.float() for other in received for head in other if head.shape == own[0].shape]
    if alike and all(any(_near(head, other, tolerance) for other in alike) for head in own):
        return "exactly, in another order of heads"
    for name, given, made in inside if steps else ():
        for before, after in zip(_as_heads(given, own), _as_heads(made, own), strict=False):
            if same(own, before, tolerance) and (how := compare(after, received, inside, tolerance, steps - 1)):
                return f"after {name}, {how}"
    return None


def same(own: torch.Tensor, other: torch.Tensor, tolerance: float) -> str | None:
    """Return up to what two tensors of shape (heads, tokens, units) are the same, or None.

    `other` may repeat each head for the queries that share it.
    """
    heads, tokens, units = own.shape
    if other.ndim != 3 or other.shape[0] % heads or other.shape[1:] != (tokens, units):
        return None
    other = other[:: other.shape[0] // heads].float()
    near = partial(_near, tolerance=tolerance)
    factor = (own * other).sum() / (own * own).sum()
    if near(own, other):
        return "exactly"
    if near(own * factor, other):
        return "up to one factor"
    if near(nn.functional.normalize(own, dim=-1), nn.functional.normalize(other, dim=-1)):
        return "up to the length of each vector"
    turned = (own - other).abs().amax((0, 1)) > tolerance * other.abs().max()  # a factor may be theirs alone
    return _rotated(own, other, near) or _rotated(own[..., turned], other[..., turned], near)


def _rotated(own: torch.Tensor, other: torch.Tensor, near: Callable[..., bool]) -> str | None:
    """Return what kind of rotation of each head's units leads from one tensor to the other, or None."""
    sizes, others = own.norm(dim=-1), other.norm(dim=-1)
    scales = {"": torch.ones(1, device=own.device), " and one factor": (others.sum() / sizes.sum()).reshape(1)}
    if len(own) > 1:  # of a single head's vectors it would leave the directions alone
        scales[" and one factor a token"] = others.sum(0) / sizes.sum(0)
    for words, scale in scales.items():
        if near(sizes * scale, others):
            first, received = own[:, 0] * scale[0], other[:, 0]
            if near(first, received):
                return f"up to a rotation{words}"
            if near(first.abs().sort().values, received.abs().sort().values):
                return f"up to a rotation{words}, units in another order"
    return None


def _near(a: torch.Tensor, b: torch.Tensor, tolerance: float) -> bool:
    return bool((a - b).abs().max() <= tolerance * b.abs().max())


def _as_heads(tensor: torch.Tensor, like: torch.Tensor) -> list[torch.Tensor]:
    """Return both readings of a tensor as (heads, tokens, units), which `like` is: heads first, and tokens first.

    The wrong one is like nothing that is captured or received.
    """
    if tensor.numel() != like.numel():
        return []
    heads, tokens, units = like.shape
    return [tensor.float().reshape(like.shape), tensor.float().reshape(tokens, heads, units).transpose(0, 1)]
