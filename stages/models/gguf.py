"""Models in a .gguf file, as llama.cpp runs them: transformers turns their quantised weights into floats."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import gguf
from torch import nn
from tqdm import tqdm
from transformers import modeling_gguf_pytorch_utils as converting
from transformers.integrations.gguf import GGUF_ARCHS

from stages.pipeline import messages
from stages.pipeline.errors import UserError, some_of


@contextmanager
def reading() -> Iterator[None]:
    """Let transformers read a file once, not three times, and list the names of tensors once, not for every module.

    Its bar appears after two seconds, in a terminal only.
    """
    with (
        patch.object(gguf, "GGUFReader", cache(gguf.GGUFReader)),
        patch.object(gguf, "get_tensor_name_map", cache(gguf.get_tensor_name_map)),
        patch.object(converting, "tqdm", partial(tqdm, delay=2, disable=None)),
    ):
        yield


def quantisation(file: Path) -> str:
    """Return the type in which most of the weights are stored, such as ``"Q4_1"``."""
    values: Counter[str] = Counter()
    for tensor in gguf.GGUFReader(str(file)).tensors:
        values[tensor.tensor_type.name] += int(tensor.n_elements)
    return values.most_common(1)[0][0]


def complete(config: Any, file: Path) -> None:
    """Set what transformers leaves out of a configuration; raise a `UserError` if it would read numbers wrongly."""
    reader, lost = gguf.GGUFReader(str(file)), []
    architecture = reader.get_field("general.architecture").contents()

    def told(key: str) -> Any:
        field = reader.get_field(f"{architecture}.{key}")
        return None if field is None else field.contents()

    if architecture == "gpt2":  # transformers calls it n_ctx, which nothing reads
        config.n_positions = told("context_length")
    rope = getattr(config, "rope_parameters", None) or {}
    base, scaling = told("rope.freq_base"), told("rope.scaling.type")
    if scaling not in (None, "none") and rope.get("rope_type", "default") == "default":
        lost.append(f"rope.scaling.type {scaling}")
    if base and not math.isclose(rope.get("rope_theta", base), base, rel_tol=1e-6):
        lost.append(f"rope.freq_base {base:g}")
    if architecture == "llama" and told("attention.head_count_kv") is None:  # then queries stay in llama.cpp's order
        lost.append("queries and keys without attention.head_count_kv")
    if architecture == "falcon" and told("attention.head_count_kv") not in (None, 1):
        lost.append("the order of grouped queries, keys and values")
    _refuse(file, lost)


def check_tensors(model: nn.Module, unexpected: Iterable[str], file: Path) -> None:
    """Raise a `UserError` if transformers left out weights of a file, those of the head aside.

    It says itself which are `unexpected`, but not of most architectures.
    """
    reader = gguf.GGUFReader(str(file))
    architecture = reader.get_field("general.architecture").contents()
    if architecture not in GGUF_ARCHS:
        processor = converting.TENSOR_PROCESSORS.get(architecture, converting.TensorProcessor)(config={})
        known = converting.get_gguf_hf_weights_map(model, processor)
        names = [tensor.name for tensor in reader.tensors]
        unexpected = [name for name in names if not {name, name.removesuffix(".weight")} & known.keys()]
    _refuse(file, sorted(name for name in unexpected if not name.startswith("output.")))


def _refuse(file: Path, lost: list[str]) -> None:
    if lost:
        raise UserError(messages.NOT_READ.format(file.name, some_of(lost, 3)))
