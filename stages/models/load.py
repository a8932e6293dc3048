"""Loading a model and its tokenizer, from a folder, a .gguf file or the hub: never code that comes with them."""

import hashlib
import shutil
import sys
import tempfile
import weakref
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn

from stages.models.attentions import around, text_part
from stages.models.failures import FAILURES, NO_TOKENIZER, check_keys, why_not
from stages.models.find import Files, find
from stages.models.gguf import check_tensors, complete, quantisation, reading
from stages.models.precision import choose, computing
from stages.models.projections import find_projections
from stages.pipeline.command import no_memory
from stages.pipeline.errors import UserError

_LIBRARIES = ("torch", "transformers", "tokenizers", "safetensors", "numpy")


@dataclass(frozen=True)
class Loaded:
    """A model ready to run, and where it comes from.

    Attributes
    ----------
    model : torch.nn.Module
        The part of the base model (no language-model head) that reads text, in evaluation mode, on its device.
    tokenizer : transformers tokenizer
    source : dict
        Name, resolved revision, weights, dtype, device.
    files : Files
    """

    model: nn.Module
    tokenizer: Any
    source: dict[str, Any]
    files: Files

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """`source` with the digests of the weights' files, which take seconds a few gigabytes, and library versions.

        Versions as `requirements.txt` has them, without what says for which machine a library was built: the record is
        the same on every machine that installs them.
        """
        weights = self.files.weights
        digests = {"weights": {file.name: _sha256(file) for file in weights}} if weights else {}
        libraries = (*_LIBRARIES, "gguf") if self.files.gguf else _LIBRARIES
        return self.source | digests | {"versions": {name: version(name).split("+")[0] for name in libraries}}


def load(
    name: str,
    revision: str,
    weights: str,
    seed: int,
    dtype: str,
    device: str,
    device_map: str = "none",
    max_memory: dict[str | int, str] | None = None,
    part: str = "encoder",
) -> Loaded:
    """Load a model and its tokenizer.

    Parameters
    ----------
    name : str
        A folder, a .gguf file, or a repository of the Hugging Face hub.
    revision : str
        Branch, tag or commit on the hub; not used for a folder.
    weights : {"pretrained", "random"}
        "random" builds the architecture from its configuration and needs no weights.
    seed : int
        Of the random weights.
    dtype : {"auto", "float64", "float32", "bfloat16", "float16"}
        What the model computes in, whatever its weights are stored in; "auto" as `stages.models.precision.choose`.
    device : {"auto", "cpu", "cuda", "mps"}
    device_map : {"none", "auto"}
        "auto" hands a model that exceeds the device, or memory, to accelerate, which spreads it over GPUs, memory and
        disk.
    max_memory : dict, optional
        For "auto": what accelerate may use of each GPU (0, 1, ...) and of "cpu", like ``{"cpu": "1GB"}``.
    part : {"encoder", "decoder"}
        Of an encoder-decoder.

    Raises
    ------
    UserError
        If the model is not to be had, is damaged, incomplete or without attention over a text, or there is no such
        device.
    """
    transformers.logging.set_verbosity_error()
    if not sys.stderr.isatty():
        transformers.logging.disable_progress_bar()
    name = name.rstrip("/\\")
    files = find(name, revision, weights)
    source: dict[str, Any] = {"model": name, "revision": files.commit, "weights": f"random, seed {seed}"}
    # A copy: accelerate writes its own numbers into it.
    spread = {"device_map": "auto", "max_memory": dict(max_memory or {}) or None} if device_map == "auto" else {}
    if spread:
        _check_devices(max_memory or {})
    config = None
    try:
        with reading() if files.gguf else nullcontext():
            config = transformers.AutoConfig.from_pretrained(files.folder, trust_remote_code=False, **files.named)
            if files.gguf:
                complete(config, files.gguf)
                source |= {"quantisation": quantisation(files.gguf)} if files.weights else {}
            tokenizer = _load_tokenizer(files)
            dtype, place, why = choose(dtype, device, _count_parameters(config, part), bool(spread), _devices())
            with computing(getattr(torch, dtype)):
                model = _build(files, config, weights, seed, getattr(torch, dtype), spread, part)
    except FAILURES as error:
        if no_memory(error):
            raise
        raise UserError(f"model.name: {why_not(error, name, config)}") from None
    source |= {"dtype": dtype, "precision": why, "device": "spread by accelerate" if spread else place}
    return Loaded((model if spread else model.to(place)).eval(), tokenizer, source, files)


def load_chosen(chosen: Any) -> Loaded:
    """Load the model that the settings below `model` choose; parameters and errors as `load`."""
    named = ("name", "revision", "weights", "seed", "dtype", "device", "device_map", "max_memory", "part")
    return load(**{name: getattr(chosen, name) for name in named})


def overview(model: nn.Module) -> dict[str, Any]:
    """Describe a model in a few numbers.

    Parameters
    ----------
    model : torch.nn.Module
        A transformers base model.

    Returns
    -------
    dict
        Architecture, layers, width (units of the input x), query heads and key/value heads, the shape of the Q/K/V
        projection (units in, units out), the units of each of q, k and v, and the number of parameters.
    """
    projections = find_projections(model)
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


def _build(
    files: Files, config: Any, weights: str, seed: int, dtype: torch.dtype, spread: dict[str, Any], part: str
) -> nn.Module:
    """Build the part of a model that reads text."""
    if dtype == torch.float64:
        config._experts_implementation = "eager"  # the faster ones know no double precision
    if weights == "random":
        # In double precision, whatever it computes in: the same weights, and on every processor.
        with torch.random.fork_rng(devices=[]), computing(torch.float64):
            torch.manual_seed(seed)
            model = _maker(config).from_config(config, trust_remote_code=False, dtype=torch.float64)
        return text_part(model, part).to(dtype)
    offload = tempfile.mkdtemp(prefix="offload-") if spread else None
    try:
        model, info = _maker(config).from_pretrained(
            files.folder,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # `check_keys` says which
            offload_folder=offload,
            **files.named,
            **({"quantization_config": transformers.GgufConfig(dequantize=True)} if files.gguf else {}),
            **spread,
        )
        found = text_part(model, part)
    except BaseException:
        if offload:
            shutil.rmtree(offload, ignore_errors=True)
        raise
    if offload:
        if hasattr(model, "hf_device_map"):  # not where all of it fits into memory
            found.hf_device_map = model.hf_device_map
        weakref.finalize(found, shutil.rmtree, offload, ignore_errors=True)
    check_keys(model, found, info)
    if files.gguf:
        check_tensors(model, info["unexpected_keys"], files.gguf)
    return found


def _maker(config: Any) -> Any:
    """Return the class that builds a model of this configuration: a few types are known only with a head."""
    return transformers.AutoModel if type(config) in transformers.MODEL_MAPPING else transformers.AutoModelForCausalLM


def _count_parameters(config: Any, part: str) -> int:
    """Count the parameters of the part that reads text, without making them."""
    with torch.device("meta"):
        model = text_part(_maker(config).from_config(config, trust_remote_code=False), part)
    return sum(parameter.numel() for parameter in model.parameters())


def _load_tokenizer(files: Files) -> Any:
    """Load the tokenizer; of some types transformers makes an empty one where there is no file."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(files.folder, trust_remote_code=False, **files.named)
    if tokenizer.vocab_size <= len(tokenizer.all_special_tokens):
        raise ValueError(NO_TOKENIZER)
    return tokenizer


def _check_devices(named: Iterable[int | str]) -> None:
    """Raise a `UserError` if a device is named that accelerate does not find here."""
    known = [*range(torch.cuda.device_count()), *(["mps"] if torch.backends.mps.is_available() else []), "cpu", "disk"]
    if unknown := [device for device in named if device not in known]:
        listed = ", ".join(map(str, known))
        raise UserError(f"model.max_memory: there is no device {unknown[0]} on this machine, which has {listed}")


def _devices() -> dict[str, bool]:
    """Return which devices this machine has, the fastest first."""
    return {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
