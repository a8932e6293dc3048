"""Finding a model's files: in a folder, in a .gguf file, or on the hub, from which they are downloaded once."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import errors, model_info, snapshot_download

from stages.pipeline import messages
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


def find(name: str, revision: str, pretrained: bool) -> Files:
    """Find a model's files, those of its weights if it is `pretrained`; a `UserError` says what is not there."""
    path = Path(os.path.expanduser(name))  # noqa: PTH111  that raises where no home is
    if path.suffix == ".gguf":
        if not path.is_file():
            raise UserError(messages.NO_GGUF.format(name))
        return Files(path.parent, [path] if pretrained else [], gguf=path)
    if path.is_dir() and not (path / "config.json").is_file():
        raise UserError(messages.NO_CONFIG.format(name))
    folder, commit = (path, None) if path.is_dir() else _download(name, revision, pretrained)
    files = sorted(folder.glob("model*.safetensors")) if pretrained else []
    if pretrained and not files:
        if commit:
            try:  # where the hub does not answer, a cache that lacks files looks like a model without them
                model_info(name, revision=revision)
            except (OSError, errors.HfHubHTTPError):
                raise UserError(messages.IN_PART.format(name, revision, "")) from None
        raise UserError(messages.NO_SAFETENSORS.format(name))
    return Files(folder, files, commit)


def _download(name: str, revision: str, pretrained: bool) -> tuple[Path, str]:
    """Return the folder of a hub model and its commit; all its files are from that one."""
    wanted = _SMALL_FILES + (_WEIGHT_FILES if pretrained else [])
    try:
        found = Path(snapshot_download(name, revision=revision, allow_patterns=wanted))
        return found, found.name
    except errors.HFValidationError:
        said = messages.NO_MODEL_FOLDER.format(name, beside())
    except errors.RevisionNotFoundError:
        said = messages.NO_MODEL_REVISION.format(name, revision)
    except errors.GatedRepoError:
        said = messages.GATED.format(name)
    except errors.RepositoryNotFoundError:
        said = messages.NO_MODEL.format(name, beside())
    except errors.IncompleteSnapshotError:
        said = messages.IN_PART.format(name, revision, "")
    except (OSError, errors.HfHubHTTPError) as error:
        said = messages.NOT_HERE.format(name, revision, f" ({type(error).__name__})")
    raise UserError(said)
