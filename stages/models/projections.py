"""Where a model computes its queries, keys and values, found from its modules.

What is caught is the projection's own output: before rotary embedding and before any normalisation of queries or keys,
as one row of units a token, head after head.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate.utils import align_module_device
from torch import nn
from transformers.pytorch_utils import Conv1D

from stages.models.attentions import find_attentions
from stages.models.layouts import HEAD_SIZE, HEADS, Columns, Layout, columns
from stages.pipeline.errors import UserError


@dataclass(frozen=True)
class Projection:
    """One layer's projection to Q, K and V.

    Attributes
    ----------
    modules : dict of str to torch.nn.Module
        ``{"qkv": fused}`` or ``{"q": ..., "k": ..., "v": ...}``; each takes x, the input of the attention. Under
        multi-head latent attention ``{"q": ..., "kv": ...}``, which take what a bottleneck left of x.
    columns : dict of str to dict
        Module → "q", "k", "v" → which units of the module's output they are.
    heads, kv_heads : int
        Query heads, and key/value heads (fewer under grouped-query and multi-query attention).
    layer : int
        The layer's number, as the model counts.
    path : str
        Where the attention is in the model.
    attention, source : torch.nn.Module
        The attention, and the module whose input is x.
    layout : Layout
    linear : bool
        Whether q, k and v are each a linear map of x (plus a bias): `modules` applied to other rows are then what the
        model would make of them. Not so where a bottleneck with a normalisation lies between, or where values are
        made of another input.
    biases : dict of str to str
        "q", "k" or "v" → the parameter of the attention that is added to it outside of `modules`.
    """

    modules: dict[str, nn.Module]
    columns: dict[str, dict[str, Columns]]
    heads: int
    kv_heads: int
    layer: int
    path: str
    attention: nn.Module
    source: nn.Module
    layout: Layout
    linear: bool = True
    biases: dict[str, str] = field(default_factory=dict)

    @property
    def widths(self) -> dict[str, int]:
        """Units of "q", "k" and "v"."""
        found = {}
        for name, parts in self.columns.items():
            units = range(_units(self.modules[name]))
            found |= {part: len(units[c]) if isinstance(c, slice) else len(c) for part, c in parts.items()}
        return {part: found[part] for part in "qkv"}

    @property
    def width_in(self) -> int:
        """Units of x."""
        return _units_in(self.source)

    def split(self, name: str, output: torch.Tensor) -> dict[str, torch.Tensor]:
        """Divide what a module gives, shape (..., units), into those of "q", "k" and "v" that it makes."""
        return {part: output[..., columns] for part, columns in self.columns[name].items()}

    @property
    def biased(self) -> list[str]:
        """Which of "q", "k" and "v" have a bias."""
        made = {part: self.modules[name] for name, parts in self.columns.items() for part in parts}
        return [part for part in "qkv" if made[part].bias is not None or part in self.biases]

    def bias(self) -> dict[str, torch.Tensor]:
        """Return the bias of "q", "k" and "v", shape (units,), where the projection has one."""
        found: dict[str, torch.Tensor] = {}
        for name, module in self.modules.items():
            if module.bias is not None:
                with align_module_device(module):  # brings offloaded weights in, for the moment
                    found |= self.split(name, module.bias.detach().clone())
        with align_module_device(self.attention):
            return found | {part: getattr(self.attention, name).detach().clone() for part, name in self.biases.items()}


def find_projections(model: nn.Module) -> list[Projection]:
    """Find the Q, K and V projection of every layer that attends to the text's own tokens, in the order of the layers.

    Of a model whose layers differ in their heads or widths those of the most frequent shape.

    Nothing is looked up by the model's name: an attention is a module whose class says so and whose modules `LAYOUTS`
    names. A layer that is used several times (ALBERT) is listed once for each.

    Parameters
    ----------
    model : torch.nn.Module
        A transformers base model, on any device.

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
    projections = [
        _projection(attention, layout, path, number, config)
        for number, (path, attention, layout) in zip(numbers, found, strict=True)
    ]
    if hasattr(config, "num_hidden_groups"):  # few layers, each used many times
        each = config.num_hidden_layers // len(projections)
        return [
            Projection(**{**vars(projection), "layer": each * number + use})
            for number, projection in enumerate(projections)
            for use in range(each)
        ]
    # Tables and figures compare layers unit by unit and head by head: those of another shape are left out.
    shape = Counter(map(_shape, projections)).most_common(1)[0][0]
    return [projection for projection in projections if _shape(projection) == shape]


def describe(model: nn.Module, projections: Sequence[Projection]) -> dict[str, Any]:
    """Describe what was found, for the record.

    Returns
    -------
    dict
        The class of the part that reads text, the attention's class and its modules in the first layer, how a fused
        output divides, the layers as the model numbers them, and whether q, k and v are linear in x.
    """
    first = projections[0]
    return {
        "part": type(model).__name__,
        "attention": type(first.attention).__name__,
        "modules": {part: f"{first.path}.{name}" for part, name in first.layout.modules.items()},
        "layout": first.layout.order,
        "layers": [projection.layer for projection in projections],
        "linear": first.linear,
    }


def _shape(projection: Projection) -> tuple[int, ...]:
    return (projection.heads, projection.kv_heads, projection.width_in, *projection.widths.values())


def _projection(attention: nn.Module, layout: Layout, path: str, number: int, config: Any) -> Projection:
    modules = {part: _linear(attention, name) for part, name in layout.modules.items()}
    source = _linear(attention, layout.source) if layout.source else next(iter(modules.values()))
    units = {part: _units(module) for part, module in modules.items()}
    size = _head_size(attention, config, units)
    if layout.order == "latent":
        size = attention.qk_nope_head_dim
        heads = kv_heads = units["kv"] // (size + attention.v_head_dim)
    elif "qkv" in units:
        # By widths, not by the many names under which configurations keep the number of key/value heads.
        heads = _heads(attention, config) or units["qkv"] // (3 * size)
        kv_heads = (units["qkv"] // size - heads) // 2
    else:
        kv_heads = units["k"] // size
        groups = getattr(attention, "num_key_value_groups", None)
        heads = kv_heads * groups if groups else units["q"] // size
    inputs = {_units_in(module) for module in modules.values()}
    return Projection(
        modules,
        columns(layout, units, heads, kv_heads, size),
        heads,
        kv_heads,
        number,
        path,
        attention,
        source,
        layout,
        linear=not layout.source and len(inputs) == 1,
        biases={"q": "q_bias", "v": "v_bias"} if layout.bias else {},
    )


def _linear(attention: nn.Module, name: str) -> nn.Module:
    """Return a linear module by name, out of the wrapper around it, if any."""
    module = getattr(attention, name)
    inner: Iterator[nn.Module] = (child for child in module.children() if isinstance(child, nn.Linear))
    linear = module if isinstance(module, (nn.Linear, Conv1D)) else next(inner, None)
    if linear is None:
        raise UserError(
            f"model.name: {name} of {type(attention).__name__} is a {type(module).__name__}, not a linear map of its "
            "input's units"
        )
    return linear


def _heads(attention: nn.Module, config: Any) -> int | None:
    found = [getattr(owner, name, None) for owner in (attention, config) for name in HEADS]
    return next((value for value in found if isinstance(value, int)), None)


def _head_size(attention: nn.Module, config: Any, units: dict[str, int]) -> int:
    named = ((attention, name) for name in HEAD_SIZE)
    found = (getattr(owner, name, None) for owner, name in (*named, (config, "head_dim")))
    size = next((value for value in found if isinstance(value, int)), None)
    if size is None and "q" in units:
        size = units["q"] // _heads(attention, config)
    return size or config.hidden_size // _heads(attention, config)


def _units_in(module: nn.Module) -> int:
    return module.nx if isinstance(module, Conv1D) else module.in_features


def _units(module: nn.Module) -> int:
    """Count the units that a linear module gives; GPT-2's Conv1D keeps its weight transposed."""
    return module.nf if isinstance(module, Conv1D) else module.out_features
