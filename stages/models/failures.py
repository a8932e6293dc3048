"""Why a model cannot be loaded: damaged files, weights that are missing or have no place, unknown types."""

import re
import struct
from collections.abc import Iterable, Mapping
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import nn

from stages.pipeline.errors import UserError, some_of

#: What old files hold though it is no weight: causal masks, angles of rotary embeddings, numbers of positions.
_CONSTANTS = r"(attn|attention)\.(masked_)?bias$|inv_freq$|(cos|sin)_cached$|(position|token_type)_ids$"
#: How transformers and the libraries below it fail at files that are damaged, and at models that they cannot build.
FAILURES = (
    *(OSError, ValueError, LookupError, TypeError, RuntimeError, OverflowError, SafetensorError, struct.error),
    *(ImportError, AttributeError, AssertionError, StrictDataclassError),
)
#: How transformers begins to say that there is no file of a tokenizer.
NO_TOKENIZER = "Couldn't instantiate the backend tokenizer"


def check_keys(model: nn.Module, found: nn.Module, info: Mapping[str, Any]) -> None:
    """Raise an error if weights of the part that is used are missing in the files, or have no place in the model.

    transformers would fill what is missing with random numbers, leave out what has no place, and only warn.
    """
    path = next((path for path, module in model.named_modules() if module is found), "")
    prefix, children = f"{path}." if path else "", {name for name, _ in model.get_submodule(path).named_children()}

    def used(keys: Iterable[Any]) -> list[str]:
        names = (key if isinstance(key, str) else key[0] for key in keys)
        names = sorted({name for name in names if name.startswith(prefix)})
        return [name for name in names if not name.startswith(f"{prefix}pooler.")]  # behind the last layer

    if absent := used(info["missing_keys"]):
        raise ValueError(f"no weights for {some_of(absent, 3)}")
    if other := used(info["mismatched_keys"]):
        raise ValueError(f"weights of another shape than config.json says: {some_of(other, 3)}")
    # Files of a model with a head call its body by a name of its own.
    left = used(
        key for name in info["unexpected_keys"] for key in (name, name.removeprefix(f"{model.base_model_prefix}."))
    )
    left = [key for key in left if key.removeprefix(prefix).split(".")[0] in children]
    if left := [key for key in left if not re.search(_CONSTANTS, key)]:
        raise UserError(
            f"model.name: its files hold weights that have no place in the model: {some_of(left, 3)}\n"
            "its config.json names fewer layers than there are, or does not say how the weights are quantised"
        )


def why_not(error: Exception, name: str, config: Any) -> str:
    """Return why a model cannot be loaded."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    if reason.startswith(NO_TOKENIZER):
        return f"{name} has no tokenizer: a file such as tokenizer.json or vocab.txt is missing"
    if quantised := getattr(config, "quantization_config", None):
        quantised = quantised if isinstance(quantised, dict) else vars(quantised)
        return f"{name} is quantised ({quantised.get('quant_method')}), and cannot be loaded here: {reason}"
    # First what no damage causes: Python counts NotImplementedError, transformers' own, as a RuntimeError.
    unknown = (ImportError, AttributeError, AssertionError, NotImplementedError)
    if isinstance(error, unknown) or re.search("not supported|Unrecognized configuration", reason):
        return f"transformers cannot build {name}: {reason}"
    damage = "it is cut short or damaged" if name.endswith(".gguf") else "a file of it is missing or damaged"
    return f"{name} cannot be loaded, {damage}: {reason}"
