"""Watching what every attention of a model receives while it runs, and what its own modules do."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from stages.models.projections import Projection


@dataclass
class Seen:
    """What one use of one attention received, and what its own modules did.

    Attributes
    ----------
    received : dict of str to list of torch.Tensor
        "q", "k", "v" → what may be it, shape (heads, tokens, units).
    inside : list of tuple
        Name, input and output of each module inside the attention that is no projection.
    interface : bool
        Whether it went through transformers' attention interface.
    """

    received: dict[str, list[torch.Tensor]] = field(default_factory=lambda: {"q": [], "k": [], "v": []})
    inside: list[tuple[str, torch.Tensor, torch.Tensor]] = field(default_factory=list)
    interface: bool = False

    @property
    def by(self) -> str:
        """Where it was watched."""
        return "transformers' attention interface" if self.interface else "the matrix products of its attention"

    def receive(self, part: str, tensor: torch.Tensor, interface: bool = False) -> None:
        """Keep what the attention received; what its interface was given counts alone."""
        if interface and not self.interface:
            self.received, self.interface = {"q": [], "k": [], "v": []}, True
        if interface or not self.interface:
            self.received[part].append(tensor)


class _Products(TorchDispatchMode):
    """Hands the operands of every product of two batches of matrices to `receive`: as queries, keys or values."""

    def __init__(self, receive: Callable[[str, torch.Tensor], None]) -> None:
        super().__init__()
        self._receive = receive

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        name = func.__name__
        if "scaled_dot_product" in name:
            for part, tensor in zip("qkv", args[:3], strict=True):
                self._receive(part, tensor[0])
        elif name.startswith(("bmm", "baddbmm")):
            left, right = args[-2:]
            self._receive("q", left)
            self._receive("k", right.transpose(1, 2))
            self._receive("v", right)
        return func(*args, **(kwargs or {}))


@contextmanager
def watch(model: nn.Module, projections: Sequence[Projection]) -> Iterator[list[Seen]]:
    """Watch what every attention receives while the model runs.

    Yields
    ------
    list of Seen
        One a layer, filled as the model runs.
    """
    seen = [Seen() for _ in projections]
    uses: dict[int, list[int]] = {}
    for layer, projection in enumerate(projections):
        uses.setdefault(id(projection.attention), []).append(layer)
    running: list[Seen] = []  # the attention that is at work, innermost last
    latest: list[Seen] = []  # the last whose projection ran: some models put another attention around the same modules

    def begin(module: nn.Module, arguments: tuple) -> None:
        layers = uses[id(module)]
        layers.append(layers.pop(0))  # the next use is the next layer's
        running.append(seen[layers[-1]])

    def end(*_: Any) -> None:
        running.pop()

    def project(layer: int) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            latest[:] = [running[-1] if running else seen[layer]]

        return hook

    def inside(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple, output: Any) -> None:
            if running and inputs and all(isinstance(t, torch.Tensor) for t in (inputs[0], output)):
                running[-1].inside.append((name, inputs[0], output))

        return hook

    original = type(ALL_ATTENTION_FUNCTIONS).get_interface

    def watched(self: Any, *arguments: Any, **kwargs: Any) -> Callable:
        function = original(self, *arguments, **kwargs)

        def attend(module: nn.Module, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *rest: Any, **options: Any):
            if latest:
                for part, tensor in zip("qkv", (q, k, v), strict=True):
                    latest[0].receive(part, tensor[0], interface=True)
            return function(module, q, k, v, *rest, **options)

        return attend

    def product(part: str, tensor: torch.Tensor) -> None:
        if latest:
            latest[0].receive(part, tensor)

    with ExitStack() as stack:
        for layer, projection in enumerate(projections):
            stack.callback(projection.source.register_forward_pre_hook(project(layer)).remove)
        for attention in {id(p.attention): p.attention for p in projections}.values():
            stack.callback(attention.register_forward_pre_hook(begin, prepend=True).remove)
            stack.callback(attention.register_forward_hook(end, always_call=True).remove)
            for name, module in attention.named_modules():
                if name and not isinstance(module, nn.Linear):
                    stack.callback(module.register_forward_hook(inside(name)).remove)
        type(ALL_ATTENTION_FUNCTIONS).get_interface = watched
        stack.callback(setattr, type(ALL_ATTENTION_FUNCTIONS), "get_interface", original)
        stack.enter_context(_Products(product))
        yield seen
