"""Finding a model's files: in a folder, in a .gguf file, or on the hub, from which they are downloaded once."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import errors, model_info, snapshot_download

from stages.pipeline.errors import UserError
from stages.pipeline.mistakes import beside

#: Files of a hub repository besides the weights: configuration and tokenizer.
_SMALL_FILES = [
    *("config.json", "tokenizer*", "vocab.json", "vocab.txt"),
    *("merges.txt", "special_tokens_map.json", "added_tokens.json"),
]
_WEIGHT_FILES = ["model*.safetensors", "model.safetensors.index.json"]


class Files(NamedTuple):
    """Where a model is: its folder, its weights where they are not random, its commit on the hub, its .gguf file."""

    folder: Path
    weights: Sequence[Path]
    commit: str | None = None
    gguf: Path | None = None

    @property
    def named(self) -> dict[str, str]:
        """What transformers wants to be told besides the folder."""
        return {"gguf_file": self.gguf.name} if self.gguf else {}


def find(name: str, revision: str, weights: str) -> Files:
    """Find a model's files; parameters and errors as `stages.models.load.load`."""
    path, pretrained = Path(os.path.expanduser(name)), weights == "pretrained"  # noqa: PTH111  that raises where no home is
    if path.suffix == ".gguf":
        if not path.is_file():
            raise UserError(f"model.name: there is no file {name}")
        return Files(path.parent, [path] if pretrained else [], gguf=path)
    if path.is_dir() and not (path / "config.json").is_file():
        raise UserError(f"model.name: the folder {name} holds no model: it has no config.json")
    folder, commit = (path, None) if path.is_dir() else _download(name, revision, pretrained)
    files = sorted(folder.glob("model*.safetensors")) if pretrained else []
    if pretrained and not files:
        if commit:
            try:  # where the hub does not answer, a cache that lacks files looks like a model without them
                model_info(name, revision=revision)
            except (OSError, errors.HfHubHTTPError):
                raise UserError(_unreached(f"{name} is in the cache without all its files", name, revision)) from None
        raise UserError(f"model.name: {name} has no weights in safetensors format (model.safetensors)")
    return Files(folder, files, commit)


def _download(name: str, revision: str, pretrained: bool) -> tuple[Path, str]:
    """Return the folder of a hub model and its commit; all its files are from that one."""
    wanted = _SMALL_FILES + (_WEIGHT_FILES if pretrained else [])
    try:
        found = Path(snapshot_download(name, revision=revision, allow_patterns=wanted))
    except errors.HFValidationError:
        said = f"model.name: there is no folder {name}{beside()}"
    except errors.RevisionNotFoundError:
        said = f"model.revision: {name} has no revision {revision!r} on the hub"
    except errors.GatedRepoError:
        said = f"model.name: {name} is gated: accept its terms on the hub, then run `hf auth login`"
    except errors.RepositoryNotFoundError:
        said = f"model.name: no folder {name} here, and no model of that name on the Hugging Face hub{beside()}"
    except errors.IncompleteSnapshotError:
        said = _unreached(f"{name} is in the cache without all its files", name, revision)
    except (OSError, errors.HfHubHTTPError) as error:
        said = _unreached(f"no folder {name} here", name, revision, f" ({type(error).__name__})")
    else:
        return found, found.name
    raise UserError(said)


def _unreached(found: str, name: str, revision: str, why: str = "") -> str:
    return (
        f"model.name: {found}, and the Hugging Face hub cannot be reached{why}\n"
        f"with a network, `hf download {name} --revision {revision}` fetches it once for use without one"
    )
