"""Finding a model's files: in a folder, in a .gguf file, or on the hub, from which they are downloaded once."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import model_info, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    IncompleteSnapshotError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

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


@dataclass(frozen=True)
class Files:
    """Where a model is.

    Attributes
    ----------
    folder : Path
    weights : sequence of Path
        None where they are random.
    commit : str or None
        On the hub.
    gguf : Path or None
        The file that holds configuration, tokenizer and weights.
    """

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
    path, pretrained = Path(name).expanduser(), weights == "pretrained"
    if path.suffix == ".gguf":
        if not path.is_file():
            raise UserError(f"model.name: there is no file {name}")
        return Files(path.parent, [path] if pretrained else [], gguf=path)
    if path.is_dir() and not (path / "config.json").is_file():
        raise UserError(f"model.name: the folder {name} holds no model: it has no config.json")
    folder, commit = (path, None) if path.is_dir() else _download(name, revision, pretrained)
    files = sorted(folder.glob("model*.safetensors")) if pretrained else []
    if pretrained and not files:
        if commit and not _reached(name, revision):
            raise _incomplete(name, revision)
        raise UserError(f"model.name: {name} has no weights in safetensors format (model.safetensors)")
    return Files(folder, files, commit)


def _download(name: str, revision: str, pretrained: bool) -> tuple[Path, str]:
    """Return the folder of a hub model and its commit; all its files are from that one."""
    wanted = _SMALL_FILES + (_WEIGHT_FILES if pretrained else [])
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
    except IncompleteSnapshotError:
        raise _incomplete(name, revision) from None
    except (OSError, HfHubHTTPError) as error:
        raise UserError(
            f"model.name: no folder {name} here, and the Hugging Face hub cannot be reached ({type(error).__name__})\n"
            + _later(name, revision)
        ) from None
    return found, found.name


def _incomplete(name: str, revision: str) -> UserError:
    return UserError(
        f"model.name: {name} is in the cache without all its files, and the Hugging Face hub cannot be reached\n"
        + _later(name, revision)
    )


def _later(name: str, revision: str) -> str:
    return f"with a network, `hf download {name} --revision {revision}` fetches it once for use without one"


def _reached(name: str, revision: str) -> bool:
    """Return whether the hub answers: without it a cache that lacks files looks like a model that has none."""
    try:
        return bool(model_info(name, revision=revision))
    except (OSError, HfHubHTTPError):
        return False
