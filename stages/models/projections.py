"""Where each architecture computes its queries, keys and values."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from stages.errors import UserError


@dataclass(frozen=True)
class Projection:
    """One layer's projection to Q, K and V.

    Attributes
    ----------
    module : torch.nn.Module
        Takes x, the layer-normed hidden state, and gives Q, K and V side by side.
    widths : tuple of int
        Units of q, k and v.
    """

    module: nn.Module
    widths: tuple[int, int, int]

    def split(self, output: torch.Tensor) -> dict[str, torch.Tensor]:
        """Divide the fused output, shape (..., q + k + v units), into "q", "k" and "v"."""
        return dict(zip("qkv", torch.split(output, self.widths, dim=-1), strict=True))

    def bias(self) -> dict[str, torch.Tensor]:
        """Give the bias of "q", "k" and "v", shape (units,); empty where the projection has none."""
        bias = getattr(self.module, "bias", None)
        return {} if bias is None else self.split(bias.detach())


def _gpt2(model: nn.Module) -> list[Projection]:
    """One fused `c_attn`: [q | k | v]."""
    width = model.config.hidden_size
    return [Projection(block.attn.c_attn, (width, width, width)) for block in model.h]


#: config.model_type → the projections of a base model, layer by layer.
FAMILIES: dict[str, Callable[[nn.Module], list[Projection]]] = {"gpt2": _gpt2}


def check_family(model_type: str) -> None:
    """Raise a `UserError` if the architecture is not one of `FAMILIES`."""
    if model_type not in FAMILIES:
        known = ", ".join(sorted(FAMILIES))
        raise UserError(f"model.name: the architecture {model_type!r} is not known here; known: {known}")


def find_projections(model: nn.Module) -> list[Projection]:
    """Find the Q, K and V projection of every layer of a transformers base model, layer 0 first.

    Raises
    ------
    UserError
        If the architecture is unknown; the message names the known ones.
    """
    check_family(model.config.model_type)
    return FAMILIES[model.config.model_type](model)
