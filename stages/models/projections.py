"""Where a model computes its queries, keys and values, found from its modules, and hooks that catch them there.

What is caught is the projection's own output: before rotary embedding and before any normalisation of queries or keys,
as one row of units a token, head after head.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle
from typing import Any

import torch
from accelerate.utils import align_module_device
from torch import nn
from transformers.pytorch_utils import Conv1D

from stages.models.attentions import Layout, around, columns, find_attentions
from stages.pipeline import messages
from stages.pipeline.errors import UserError


@dataclass(frozen=True)
class Projection:
    """One layer's projection to Q, K and V."""

    path: str  # where the attention is in the model
    attention: nn.Module
    layout: Layout
    layer: int  # as the model counts
    #: ``{"qkv": fused}`` or ``{"q": ..., "k": ..., "v": ...}``; each takes x, the input of the attention. Under
    #: multi-head latent attention ``{"q": ..., "kv": ...}``, which take what a bottleneck left of x.
    modules: dict[str, nn.Module]
    columns: dict[str, dict[str, torch.Tensor]]  # module → "q", "k", "v" → which units of its output they are
    heads: int  # of queries
    kv_heads: int  # of keys and values: fewer under grouped-query and multi-query attention

    @property
    def source(self) -> nn.Module:
        """The module whose input is x."""
        return _linear(self.attention, self.layout.source) if self.layout.source else next(iter(self.modules.values()))

    @property
    def linear(self) -> bool:
        """Whether q, k and v are each a linear map of x (plus a bias), whose weights `modules` hold.

        Not so where a bottleneck with a normalisation lies between, where values are made of another input, or where
        weights are packed.
        """
        modules = self.modules.values()
        plain = all({*module.weight.shape} == {*_units(module)} for module in modules)
        return plain and not self.layout.source and len({_units(module)[0] for module in modules}) == 1

    @property
    def widths(self) -> dict[str, int]:
        """Units of "q", "k" and "v"."""
        found = {part: len(units) for parts in self.columns.values() for part, units in parts.items()}
        return {part: found[part] for part in "qkv"}

    @property
    def width_in(self) -> int:
        """Units of x."""
        return _units(self.source)[0]

    def split(self, name: str, output: torch.Tensor) -> dict[str, torch.Tensor]:
        """Divide what a module gives, shape (..., units), into those of "q", "k" and "v" that it makes."""
        return {part: output[..., units.to(output.device)] for part, units in self.columns[name].items()}

    def weights(self) -> dict[str, torch.Tensor]:
        """Return W of "q", "k" and "v", shape (units of x, units), by which x is multiplied: x W, and the bias.

        In float32, or float64 where the model computes in it, on the model's device.
        """
        found = {}
        for name, module in self.modules.items():
            with align_module_device(module), torch.inference_mode():  # brings offloaded weights in, for the moment
                matrix = module.weight if isinstance(module, Conv1D) else module.weight.T
                found |= self.split(name, matrix if matrix.dtype == torch.float64 else matrix.float())
        return found

    def bias(self) -> dict[str, torch.Tensor]:
        """Return the bias of "q", "k" and "v", shape (units,), where the projection has one."""
        found: dict[str, torch.Tensor] = {}
        for name, module in self.modules.items():
            if module.bias is not None:
                with align_module_device(module):
                    found |= self.split(name, module.bias.detach())
        with align_module_device(self.attention):
            added = self.layout.biases.items()
            return found | {part: getattr(self.attention, name).detach().clone() for part, name in added}


def find_projections(model: nn.Module) -> list[Projection]:
    """Find the Q, K and V projection of every layer that attends to the text's own tokens, in the order of the layers.

    Of a model whose layers differ in their heads or widths those of the most frequent shape. A layer that is used
    several times (ALBERT) is listed once for each.

    Raises
    ------
    UserError
        If there is no attention, or none that makes queries, keys and values with linear modules; the message says why.
    """
    found = find_attentions(model)
    config = model.config.get_text_config()
    numbers = [int(re.search(r"\d+", path)[0]) for path, _, _ in found]
    if len(set(numbers)) < len(numbers):  # two attentions in a layer
        numbers = list(range(len(found)))
    projections = [_projection(*some, number, config) for number, some in zip(numbers, found, strict=True)]
    if hasattr(config, "num_hidden_groups"):  # few layers, each used many times
        each = config.num_hidden_layers // len(projections)
        return [replace(some, layer=each * some.layer + use) for some in projections for use in range(each)]
    # Tables and figures compare layers unit by unit and head by head: those of another shape are left out.
    shapes = [(some.heads, some.kv_heads, some.width_in, *some.widths.values()) for some in projections]
    usual = Counter(shapes).most_common(1)[0][0]
    return [projection for projection, shape in zip(projections, shapes, strict=True) if shape == usual]


@contextmanager
def hooked(projections: Sequence[Projection], receive: Callable[[int, str, torch.Tensor], None]) -> Iterator[None]:
    """Hand every layer's x, q, k and v to `receive` whenever the model runs.

    It takes the layer's place in `projections`, "x", "q", "k" or "v", and the tensor, shape (prompts, tokens, units).
    Projections are one a layer; where layers share their modules, these are taken to run in the order of the layers.
    """
    layers: dict[nn.Module, list[int]] = {}
    for layer, projection in enumerate(projections):
        layers.setdefault(projection.attention, []).append(layer)

    def catch(uses: Iterator[int], name: str, module: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        # No return value: torch would put it instead of the module's output.
        layer = next(uses)
        projection = projections[layer]
        for part, tensor in ({"x": inputs[0]} if name == "x" else projection.split(name, output)).items():
            added = projection.layout.biases.get(part)
            receive(layer, part, tensor + getattr(projection.attention, added) if added else tensor)

    with ExitStack() as stack:
        for places in layers.values():
            projection = projections[places[0]]
            for name, module in {"x": projection.source, **projection.modules}.items():
                stack.enter_context(module.register_forward_hook(partial(catch, cycle(places), name)))
        yield


def describe(model: nn.Module, projections: Sequence[Projection]) -> dict[str, Any]:
    """Describe what was found, for the record: modules of the first layer, layers as the model numbers them."""
    first = projections[0]
    return {
        "part": type(around(model, first.path)).__name__,
        "attention": type(first.attention).__name__,
        "modules": {part: f"{first.path}.{name}" for part, name in first.layout.modules.items()},
        "layout": first.layout.order,
        "layers": [projection.layer for projection in projections],
        "linear": all(projection.linear for projection in projections),
    }


def overview(model: nn.Module, projections: Sequence[Projection]) -> dict[str, Any]:
    """Describe a model in a few numbers: units of x, heads, units in and out of the projection, and its parameters."""
    first = projections[0]
    return {
        "architecture": type(around(model, first.path)).__name__,
        "layers": len(projections),
        "width": first.width_in,
        "heads": first.heads,
        "key_value_heads": first.kv_heads,
        "projection": [first.width_in, sum(first.widths.values())],
        "projection_widths": first.widths,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }


def _projection(path: str, attention: nn.Module, layout: Layout, number: int, config: Any) -> Projection:
    modules = {part: _linear(attention, name) for part, name in layout.modules.items()}
    units = {part: _units(module)[1] for part, module in modules.items()}
    heads = getattr(attention, "num_attention_heads", None) or config.num_attention_heads
    size = getattr(attention, "head_dim", None) or units.get("q", config.hidden_size) // heads
    if layout.order == "latent":
        size = attention.qk_nope_head_dim
        heads = kv_heads = units["kv"] // (size + attention.v_head_dim)
    elif "qkv" in units:  # by widths, not by the many names under which configurations keep the number
        kv_heads = (units["qkv"] // size - heads) // 2
    else:
        kv_heads = units["k"] // size
        heads = kv_heads * getattr(attention, "num_key_value_groups", 0) or units["q"] // size
    found = columns(layout, units, heads, kv_heads, size)
    return Projection(path, attention, layout, number, modules, found, heads, kv_heads)


def _linear(attention: nn.Module, name: str) -> nn.Module:
    """Return a linear module by name, out of the wrapper around it, if any."""
    module = getattr(attention, name)
    for some in (module, *module.children()):
        if isinstance(some, (nn.Linear, Conv1D)):
            return some
    raise UserError(messages.NOT_LINEAR.format(name, type(attention).__name__, type(module).__name__))


def _units(module: nn.Module) -> tuple[int, int]:
    """Count the units that a linear module takes and gives; GPT-2's Conv1D keeps its weight transposed."""
    return (module.nx, module.nf) if isinstance(module, Conv1D) else (module.in_features, module.out_features)
