"""Forward hooks that hand over what every layer's projection takes and gives."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import cycle
from typing import Any

import torch
from torch import nn

from stages.models.precision import computing
from stages.models.projections import Projection

Receive = Callable[[int, str, torch.Tensor], None]


class _Enough(Exception):
    """Ends a forward pass once the last layer's Q, K and V are there: what follows is not needed."""


@contextmanager
def hooked(projections: Sequence[Projection], receive: Receive) -> Iterator[None]:
    """Hand every layer's x, q, k and v to `receive` whenever the model runs.

    It takes the layer's place in `projections`, "x", "q", "k" or "v", and the tensor, shape (prompts, tokens, units).
    Projections are one a layer; where layers share their modules, these are taken to run in the order of the layers.
    """
    layers: dict[nn.Module, list[int]] = {}
    for layer, projection in enumerate(projections):
        layers.setdefault(projection.attention, []).append(layer)

    def hook(places: Sequence[int], projection: Projection, name: str) -> Callable[..., None]:
        uses = cycle(places)

        def caught(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            # No return value: torch would put it instead of the module's output.
            layer, parts = next(uses), {"x": inputs[0]} if name == "x" else projection.split(name, output)
            for part, tensor in parts.items():
                added = projection.layout.biases.get(part)
                receive(layer, part, tensor + getattr(projection.attention, added) if added else tensor)

        return caught

    with ExitStack() as stack:
        for places in layers.values():
            projection = projections[places[0]]
            for name, module in {"x": projection.source, **projection.modules}.items():
                stack.callback(module.register_forward_hook(hook(places, projection, name)).remove)
        yield


def run(model: nn.Module, projections: Sequence[Projection], receive: Receive, inputs: Mapping[str, Any]) -> None:
    """Run a model up to its last projection, and hand over what every projection takes and gives."""
    last, missing = len(projections) - 1, {"x", "q", "k", "v"}

    def until_enough(layer: int, name: str, tensor: torch.Tensor) -> None:
        receive(layer, name, tensor)
        if layer == last:
            missing.discard(name)
            if not missing:
                raise _Enough

    place = place_of(model)
    tensors = {name: v.to(place) if isinstance(v, torch.Tensor) else v for name, v in inputs.items()}
    with hooked(projections, until_enough), computing(model), torch.inference_mode(), suppress(_Enough):
        model(**tensors)


def place_of(model: nn.Module) -> torch.device | str | int:
    """Return the device that takes a model's input: of a model that is spread, where it begins."""
    place = next(iter(getattr(model, "hf_device_map", {"": model.device}).values()))
    return "cpu" if place == "disk" else place  # disk and memory feed the processor
