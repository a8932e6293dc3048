"""Where a model computes its queries, keys and values, found from its modules.

What is caught is the projection's own output: before rotary embedding and before any normalisation of queries or keys,
as one row of units a token, head after head.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate.utils import align_module_device
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from stages.models.layouts import HEAD_SIZE, HEADS, LAYOUTS, NO_ATTENTION, NOT_SELF_ATTENTION, Layout
from stages.pipeline.errors import UserError

#: Which units of a module's output are the queries', the keys' or the values'.
Columns = slice | torch.Tensor


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
    added : dict of str to torch.Tensor
        What the attention adds to q, k or v outside of `modules`: a bias, shape (units,).
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
    added: dict[str, torch.Tensor] = field(default_factory=dict)

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
        return self.source.weight.shape[0] if isinstance(self.source, Conv1D) else self.source.in_features

    def split(self, name: str, output: torch.Tensor) -> dict[str, torch.Tensor]:
        """Divide what a module gives, shape (..., units), into those of "q", "k" and "v" that it makes."""
        return {part: output[..., columns] for part, columns in self.columns[name].items()}

    @property
    def biased(self) -> list[str]:
        """Which of "q", "k" and "v" have a bias."""
        parts = [part for name, module in self.modules.items() if module.bias is not None for part in self.columns[name]]
        return [part for part in "qkv" if part in parts or part in self.added]

    def bias(self) -> dict[str, torch.Tensor]:
        """Return the bias of "q", "k" and "v", shape (units,), where the projection has one."""
        found: dict[str, torch.Tensor] = {}
        for name, module in self.modules.items():
            if module.bias is not None:
                with align_module_device(module):  # brings offloaded weights in, for the moment
                    found |= self.split(name, module.bias.detach().clone())
        for part, bias in self.added.items():
            found[part] = bias.detach() + found.get(part, 0)
        return found


def find_projections(model: nn.Module) -> list[Projection]:
    """Find the Q, K and V projection of every layer that attends to the text's own tokens, in the order of the layers.

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
    found = _attentions(model)
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
    return projections


def text_part(model: nn.Module) -> nn.Module:
    """Return the part of a model that reads text: without the towers for images and sound, and without a decoder.

    Of an encoder-decoder it is the encoder, to which the text is given.

    Raises
    ------
    UserError
        As `find_projections`, and if that part does not read tokens.
    """
    first = _attentions(model)[0][0]
    parents = [".".join(first.split(".")[:depth]) for depth in range(first.count("."), -1, -1)]
    part = next(p for p in map(model.get_submodule, parents) if isinstance(p, PreTrainedModel))
    if part.main_input_name != "input_ids":
        raise UserError(f"model.name: {type(part).__name__} reads {part.main_input_name}, not the tokens of a text")
    return part


def _attentions(model: nn.Module) -> list[tuple[str, nn.Module, Layout]]:
    """List the self-attentions over text: path, module and layout."""
    types = getattr(model.config.get_text_config(), "layer_types", None) or []
    named = [(path, module) for path, module in model.named_modules() if re.search("att|MLA", type(module).__name__, re.I)]
    named = [(path, module) for path, module in named if re.search(r"\d", path)]
    named = [(path, module) for path, module in named if not re.search(NOT_SELF_ATTENTION, path)]
    found = [(path, module, layout) for path, module in named if (layout := _layout(module))]
    if not found:
        raise UserError(f"model.name: {_why_none(model, named)}")
    stacks: dict[str, list[tuple[str, nn.Module, Layout]]] = {}
    for path, module, layout in found:
        stacks.setdefault(re.split(r"\d", path)[0].rstrip("."), []).append((path, module, layout))
    if len(stacks) > 1:  # of an encoder and a decoder, the encoder
        stacks = {path: stack for path, stack in stacks.items() if "decoder" not in path} or stacks
    if len(stacks) > 1:
        raise UserError(
            f"model.name: {type(model).__name__} has several stacks of layers ({', '.join(stacks)}), which are not one "
            "sequence of layers over the tokens of the text"
        )
    (stack,) = stacks.values()

    def attends(path: str) -> bool:
        number = int(re.search(r"\d+", path)[0])
        return number >= len(types) or not re.search(NO_ATTENTION, types[number])

    stack = [entry for entry in stack if attends(entry[0])]
    if not stack:
        raise UserError(f"model.name: none of the layers of {type(model).__name__} attends ({', '.join(sorted(set(types)))})")
    return stack


def _layout(attention: nn.Module) -> Layout | None:
    """Find the layout whose modules an attention has."""
    for layout in LAYOUTS:
        names = [*layout.modules.values(), *filter(None, [layout.source])]
        if type(attention).__name__.startswith(layout.only) and all(
            isinstance(getattr(attention, name, None), nn.Module) for name in names
        ):
            return layout
    return None


def _why_none(model: nn.Module, named: list[tuple[str, nn.Module]]) -> str:
    """Say why a model's attention cannot be captured."""
    if not named:
        blocks = {type(block).__name__ for m in model.modules() if isinstance(m, nn.ModuleList) for block in m}
        return f"{type(model).__name__} has no attention in its layers ({', '.join(sorted(blocks)[:3]) or 'none'})"
    path, attention = max(named, key=lambda entry: len(list(entry[1].children())))
    children = ", ".join(name for name, _ in attention.named_children()) or "no module"
    return (
        f"{type(attention).__name__} makes no query, key and value of one input with linear modules known here "
        f"(it has {children})"
    )


def _projection(attention: nn.Module, layout: Layout, path: str, number: int, config: Any) -> Projection:
    modules = {part: _linear(attention, name) for part, name in layout.modules.items()}
    source = _linear(attention, layout.source) if layout.source else next(iter(modules.values()))
    units = {part: _units(module) for part, module in modules.items()}
    size = _head_size(attention, config, units)
    if layout.order == "latent":
        heads = kv_heads = units["kv"] // (attention.qk_nope_head_dim + attention.v_head_dim)
        size = attention.qk_head_dim
    elif "qkv" in units:
        # By widths, not by the many names under which configurations keep the number of key/value heads.
        heads = _heads(attention, config) or units["qkv"] // (3 * size)
        kv_heads = (units["qkv"] // size - heads) // 2
    else:
        kv_heads = units["k"] // size
        groups = getattr(attention, "num_key_value_groups", None)
        heads = kv_heads * groups if groups else units["q"] // size
    inputs = {module.weight.shape[0] if isinstance(module, Conv1D) else module.in_features for module in modules.values()}
    return Projection(
        modules,
        columns(layout, units, heads, kv_heads, size, getattr(attention, "qk_nope_head_dim", 0)),
        heads,
        kv_heads,
        number,
        path,
        attention,
        source,
        layout,
        linear=not layout.source and len(inputs) == 1,
        added={"q": attention.q_bias, "v": attention.v_bias} if layout.bias else {},
    )


def columns(
    layout: Layout, units: dict[str, int], heads: int, kv_heads: int, size: int, nope: int = 0
) -> dict[str, dict[str, Columns]]:
    """Return which units of each module's output are the queries', the keys' and the values'.

    Parameters
    ----------
    layout : Layout
    units : dict of str to int
        The width of each module's output.
    heads, kv_heads, size : int
        Query heads, key/value heads, units of a query head.
    nope : int
        Under latent attention, how many units of a key its own head makes (the others, which are rotated, all heads
        share).
    """
    everything = {part: {part: slice(None)} for part in units}
    if "q" in units and units["q"] > heads * size:  # a gate stands behind each head's query
        everything["q"] = {"q": torch.arange(units["q"]).view(heads, -1)[:, :size].flatten()}
    match layout.order:
        case "blocks":
            q, k = heads * size, kv_heads * size
            return {"qkv": {"q": slice(0, q), "k": slice(q, q + k), "v": slice(q + k, q + 2 * k)}}
        case "by key head":
            every = torch.arange(units["qkv"]).view(kv_heads, heads // kv_heads + 2, size)
            return {"qkv": {"q": every[:, :-2].flatten(), "k": every[:, -2].flatten(), "v": every[:, -1].flatten()}}
        case "quarters of q, v, k":
            every = torch.arange(units["qkv"]).view(4, 3, -1)
            return {"qkv": {part: every[:, place].flatten() for place, part in enumerate("qvk")}}
        case "latent":
            every = torch.arange(units["kv"]).view(kv_heads, -1)
            return everything | {"kv": {"k": every[:, :nope].flatten(), "v": every[:, nope:].flatten()}}
        case _:
            return everything


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


def _units(module: nn.Module) -> int:
    """Count the units that a linear module gives; GPT-2's Conv1D keeps its weight transposed."""
    return module.nf if isinstance(module, Conv1D) else module.out_features
