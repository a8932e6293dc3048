"""Loading a model and its tokenizer, from a folder, a .gguf file or the hub: never code that comes with them."""

import re
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from typing import Any

import psutil
import torch
import transformers
from torch import nn
from transformers.quantizers.auto import AutoHfQuantizer

from stages.models.attentions import text_part
from stages.models.find import Files, find
from stages.models.gguf import check_tensors, complete, quantisation, reading
from stages.models.precision import choose, computing
from stages.pipeline import messages
from stages.pipeline.command import no_memory
from stages.pipeline.errors import UserError, some_of
from stages.pipeline.schema import Model
from stages.pipeline.stage import digest_file

LIBRARIES = ("torch", "transformers", "tokenizers", "safetensors", "numpy")
#: What old files hold though it is no weight: causal masks, angles of rotary embeddings, numbers of positions.
CONSTANTS = r"(attn|attention)\.(masked_)?bias$|inv_freq$|(cos|sin)_cached$|(position|token_type)_ids$"


@dataclass(frozen=True)
class Loaded:
    """A model ready to run, its tokenizer, and where both come from.

    The model is the part of the base model (no language-model head) that reads text, in evaluation mode, on its device.
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
        digests = {path.name: digest_file(path) for path in self.files.weights}
        libraries = (*LIBRARIES, "gguf") if self.files.gguf else LIBRARIES
        versions = {name: version(name).split("+")[0] for name in libraries}
        return {**self.source, "weights": digests or self.source["weights"], "versions": versions}


def load_chosen(chosen: Model) -> Loaded:
    """Load the model that the settings below `model` choose, and its tokenizer.

    Raises
    ------
    UserError
        If the model is not to be had, is damaged, incomplete or without attention over a text, is larger than memory,
        or there is no such device.
    """
    transformers.logging.set_verbosity_error()
    if not sys.stderr.isatty():
        transformers.logging.disable_progress_bar()
    name = chosen.name.rstrip("/\\") or chosen.name
    files, config, spread = find(name, chosen.revision, chosen.weights == "pretrained"), None, {}
    source: dict[str, Any] = {"model": name, "revision": files.commit, "weights": f"random, seed {chosen.seed}"}
    if chosen.device_map == "auto":
        _check_devices(chosen.max_memory)
        # A copy: accelerate writes its own numbers into it.
        spread = {"device_map": "auto", "max_memory": dict(chosen.max_memory) or None}
    told = {"trust_remote_code": False, "gguf_file": files.gguf and files.gguf.name}
    try:
        with reading():
            config = transformers.AutoConfig.from_pretrained(files.folder, **told)
            if files.gguf:
                complete(config, files.gguf)
                source |= {"quantisation": quantisation(files.gguf)} if files.weights else {}
            tokenizer = transformers.AutoTokenizer.from_pretrained(files.folder, **told)
            if tokenizer.vocab_size <= len(tokenizer.all_special_tokens):  # some are made empty where there is no file
                raise UserError(f"model.name: {messages.NO_TOKENIZER.format(name)}")
            with torch.device("meta"):  # without making its parameters
                model = _maker(config).from_config(config, trust_remote_code=False)
            used = sum(map(torch.numel, text_part(model, chosen.part).parameters()))
            kind, place, why = choose(chosen.dtype, chosen.device, used, bool(spread))
            dtype = getattr(torch, kind)
            # Random weights are drawn in double precision.
            needed = model.num_parameters() * (8 if chosen.weights == "random" else dtype.itemsize)
            free = psutil.virtual_memory().available + psutil.swap_memory().free
            if needed > free and not spread:  # the system would end the run without a word
                raise UserError(messages.TOO_LARGE.format(name, needed / 2**30, free / 2**30))
            with computing(dtype):
                model = _build(files, config, chosen, dtype, spread)
    except Exception as error:  # any: transformers and the libraries below it fail at damaged files in their own ways
        if isinstance(error, (UserError, MemoryError)) or no_memory(error):
            raise
        raise UserError(f"model.name: {_why_not(error, name, config)}") from None
    source |= {"dtype": kind, "precision": why, "device": "spread by accelerate" if spread else place}
    return Loaded((model if spread else model.to(place)).eval(), tokenizer, source, files)


def _maker(config: Any) -> Any:
    """Return the class that builds a model of this configuration: a few types are known only with a head."""
    return transformers.AutoModel if type(config) in transformers.MODEL_MAPPING else transformers.AutoModelForCausalLM


def _build(files: Files, config: Any, chosen: Model, dtype: torch.dtype, spread: dict[str, Any]) -> nn.Module:
    """Build the part of a model that reads text."""
    if dtype == torch.float64:
        config._experts_implementation = "eager"  # the faster ones know no double precision
    if chosen.weights == "random":
        # In double precision, whatever it computes in: the same weights, and on every processor.
        with torch.random.fork_rng(devices=[]), computing(torch.float64):
            torch.manual_seed(chosen.seed)
            model = _maker(config).from_config(config, trust_remote_code=False, dtype=torch.float64)
        return text_part(model, chosen.part).to(dtype)
    if (how := getattr(config, "quantization_config", None)) and not AutoHfQuantizer.supports_quant_method(how):
        raise ValueError(messages.QUANTISED_SOMEHOW)  # and would take the weights as they are
    offload = tempfile.TemporaryDirectory(prefix="offload-", ignore_cleanup_errors=True) if spread else None
    model, info = _maker(config).from_pretrained(
        files.folder,
        config=config,
        dtype=dtype,
        use_safetensors=True,
        trust_remote_code=False,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # `_check_keys` says which
        offload_folder=offload and offload.name,
        gguf_file=files.gguf and files.gguf.name,
        quantization_config=transformers.GgufConfig(dequantize=True) if files.gguf else None,
        **spread,
    )
    found = text_part(model, chosen.part)
    if offload:
        found.offload = offload  # the folder is removed with the model
        if hasattr(model, "hf_device_map"):  # not where all of it fits into memory
            found.hf_device_map = model.hf_device_map
    _check_keys(model, found, info)
    if files.gguf:
        check_tensors(model, info["unexpected_keys"], files.gguf)
    return found


def _check_devices(named: Iterable[int | str]) -> None:
    """Raise a `UserError` if a device is named that accelerate does not find here."""
    known = [*range(torch.cuda.device_count()), *(["mps"] if torch.backends.mps.is_available() else []), "cpu", "disk"]
    if unknown := [device for device in named if device not in known]:
        raise UserError(messages.NO_DEVICE_TO_SPREAD.format(unknown[0], ", ".join(map(str, known))))


def _check_keys(model: nn.Module, found: nn.Module, info: Mapping[str, Any]) -> None:
    """Raise an error if weights of the part that is used are missing in the files, or have no place in the model.

    transformers would fill what is missing with random numbers, leave out what has no place, and only warn.
    """
    path = next((path for path, module in model.named_modules() if module is found), "")
    part, prefix = model.get_submodule(path), f"{path}." if path else ""

    def used(keys: Iterable[Any]) -> list[str]:
        names = sorted({key if isinstance(key, str) else key[0] for key in keys})
        tops = {name: name.removeprefix(prefix).split(".")[0] for name in names if name.startswith(prefix)}
        return [name for name, top in tops.items() if hasattr(part, top) and top != "pooler"]  # behind the last layer

    if absent := used(info["missing_keys"]):
        raise ValueError(messages.NO_WEIGHTS.format(some_of(absent, 3)))
    if other := used(info["mismatched_keys"]):
        raise ValueError(messages.OTHER_SHAPE.format(some_of(other, 3)))
    # Files of a model with a head call its body by a name of its own.
    body = f"{model.base_model_prefix}."
    left = used(key for name in info["unexpected_keys"] for key in (name, name.removeprefix(body)))
    if left := [key for key in left if not re.search(CONSTANTS, key)]:
        raise UserError(messages.NO_PLACE.format(some_of(left, 3)))


def _why_not(error: Exception, name: str, config: Any) -> str:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    if reason.startswith("Couldn't instantiate the backend tokenizer"):  # there is no file of one
        return messages.NO_TOKENIZER.format(name)
    if quantised := getattr(config, "quantization_config", None):
        quantised = quantised if isinstance(quantised, dict) else vars(quantised)
        return messages.QUANTISED.format(name, quantised.get("quant_method"), reason)
    # First what no damage causes: Python counts NotImplementedError, transformers' own, as a RuntimeError.
    unknown = (ImportError, AttributeError, AssertionError, NotImplementedError)
    if isinstance(error, unknown) or re.search("not supported|not recognize|Unrecognized conf", reason):
        return messages.NOT_BUILT.format(name, reason)
    return (messages.DAMAGED if name.endswith(".gguf") else messages.DAMAGED_FOLDER).format(name, reason)
