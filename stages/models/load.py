"""Loading a model and its tokenizer, from a folder or the hub: always safetensors, never code that comes with them."""

import hashlib
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from safetensors import SafetensorError
from torch import nn

from stages.models.attentions import around, text_part
from stages.models.precision import choose, computing
from stages.models.projections import find_projections
from stages.pipeline.errors import UserError

#: Files of a hub repository besides the weights: configuration and tokenizer.
_SMALL_FILES = [
    "config.json",
    "tokenizer*",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
]
_WEIGHT_FILES = ["model*.safetensors", "model.safetensors.index.json"]
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
    files : sequence of Path
        Of the weights; none where they are random.
    """

    model: nn.Module
    tokenizer: Any
    source: dict[str, Any]
    files: Sequence[Path]

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """`source` with the digests of the weights' files, which take seconds a few gigabytes, and library versions.

        Versions as `requirements.txt` has them, without what says for which machine a library was built: the record is
        the same on every machine that installs them.
        """
        digests = {"weights": {file.name: _sha256(file) for file in self.files}} if self.files else {}
        return self.source | digests | {"versions": {name: version(name).split("+")[0] for name in _LIBRARIES}}


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
        A folder, or a repository of the Hugging Face hub.
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
    folder, commit = _find(name, revision, weights)
    files = sorted(folder.glob("model*.safetensors")) if weights == "pretrained" else []
    if weights == "pretrained" and not files:
        raise UserError(f"model.name: {name} has no weights in safetensors format (model.safetensors)")
    try:
        config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        spread = {"device_map": "auto", "max_memory": max_memory or None} if device_map == "auto" else {}
        dtype, place, why = choose(dtype, device, _count_parameters(config, part), bool(spread), _devices())
        with computing(getattr(torch, dtype)):
            model = _build(folder, config, weights, seed, getattr(torch, dtype), spread, part)
    # First what no damage causes: Python counts NotImplementedError, transformers' own, as a RuntimeError.
    except (ImportError, AttributeError, AssertionError, NotImplementedError) as error:
        raise UserError(f"model.name: transformers cannot build {name}: {_reason(error)}") from None
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise UserError(
            f"model.name: {name} cannot be loaded, a file of it is missing or damaged: {_reason(error)}"
        ) from None
    source = {
        "model": name,
        "revision": commit,
        "weights": f"random, seed {seed}",
        "dtype": dtype,
        "precision": why,
        "device": "spread by accelerate" if spread else place,
    }
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


def _find(name: str, revision: str, weights: str) -> tuple[Path, str | None]:
    """Give the model's folder and its commit; a hub model is downloaded once, all its files from one commit."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise UserError(f"model.name: the folder {name} holds no model: it has no config.json")
        return folder, None
    wanted = _SMALL_FILES + (_WEIGHT_FILES if weights == "pretrained" else [])
    try:
        found = Path(snapshot_download(name, revision=revision, allow_patterns=wanted))
    except HFValidationError:
        raise UserError(f"model.name: there is no folder {name}") from None
    except RevisionNotFoundError:
        raise UserError(f"model.revision: {name} has no revision {revision!r} on the hub") from None
    except GatedRepoError:
        raise UserError(f"model.name: {name} is gated: accept its terms on the hub, then run `hf auth login`") from None
    except RepositoryNotFoundError:
        raise UserError(
            f"model.name: no folder {name} here, and no model of that name on the Hugging Face hub"
        ) from None
    except (OSError, HfHubHTTPError) as error:
        raise UserError(
            f"model.name: no folder {name} here, and the Hugging Face hub cannot be reached ({type(error).__name__})\n"
            f"with a network, `hf download {name} --revision {revision}` fetches it once for use without one"
        ) from None
    return found, found.name


def _build(
    folder: Path, config: Any, weights: str, seed: int, dtype: torch.dtype, spread: dict[str, Any], part: str
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
            folder,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            offload_folder=offload,
            **spread,
        )
        found = text_part(model, part)
    except BaseException:
        if offload:
            shutil.rmtree(offload, ignore_errors=True)
        raise
    if offload:
        found.hf_device_map = model.hf_device_map
        weakref.finalize(found, shutil.rmtree, offload, ignore_errors=True)
    # transformers would fill what the file lacks with random numbers and only warn.
    prefix = next((f"{path}." for path, module in model.named_modules() if path and module is found), "")
    absent = [key for key in map(str, (*info["missing_keys"], *info["mismatched_keys"])) if key.startswith(prefix)]
    if absent := sorted(key for key in absent if not key.startswith(f"{prefix}pooler.")):  # behind the last layer
        raise ValueError(f"no weights for {', '.join(absent[:3])}{' ...' if len(absent) > 3 else ''}")
    return found


def _maker(config: Any) -> Any:
    """Return the class that builds a model of this configuration: a few types are known only with a head."""
    return transformers.AutoModel if type(config) in transformers.MODEL_MAPPING else transformers.AutoModelForCausalLM


def _count_parameters(config: Any, part: str) -> int:
    """Count the parameters of the part that reads text, without making them."""
    with torch.device("meta"):
        model = text_part(_maker(config).from_config(config, trust_remote_code=False), part)
    return sum(parameter.numel() for parameter in model.parameters())


def _reason(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _devices() -> dict[str, bool]:
    """Return which devices this machine has, the fastest first."""
    return {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
