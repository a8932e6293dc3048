"""The similarities of a run, wherever they are: a file, or a Git revision or DVC experiment of this repository."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from stages.artefacts.files import Tensors
from stages.geometry.names import MATRICES
from stages.geometry.pairs import pairs_of
from stages.pipeline import messages
from stages.pipeline.command import need_commit
from stages.pipeline.errors import UserError

SIMILARITY = "data/similarity.safetensors"


class Run(NamedTuple):
    """A run's similarities, read when asked for."""

    name: str  # as the user gave it
    path: Path  # the file of that name, or a copy of what the revision has
    similarity: Tensors  # q, k, v and, of a run of this pipeline, x: shape (layers, pairs)
    record: dict[str, Any]  # words, categories (one a word), metric, transform

    @property
    def layers(self) -> list[int]:
        """The layers' numbers, as the model counts."""
        return self.similarity.layers

    @property
    def label(self) -> str:
        """The given name; of a file, the folder of its run and the file's MD5 (as in dvc.lock)."""
        if self.path != Path(self.name):
            return self.name
        path = self.path.absolute()  # where DVC links its files into its cache, not what they are there
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "md5").hexdigest()[:8]
        return f"{path.parents[1].name if path.match(SIMILARITY) else path.name} {digest}"


@contextmanager
def open_run(name: str) -> Iterator[Run]:
    """Open the similarities of a run.

    `name` is a file `data/similarity.safetensors` from anywhere, or else a Git revision or DVC experiment of this
    repository whose similarities are in DVC's cache or in a remote. A `UserError` if there is no such file or revision,
    its data cannot be had, or it holds something else.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(name)
        if not (path.is_file() or name == SIMILARITY):
            path = Path(folder) / Path(SIMILARITY).name
            _fetch(name, path)
        try:
            tensors = Tensors(path)
            record = tensors.record if set(MATRICES) <= tensors.names else {}
        except UserError:
            if name == SIMILARITY or not os.access(path, os.R_OK):
                raise
            record = {}  # a file of the user's: it is not to be deleted, nor made by `dvc repro`
        if not {"words", "categories", "metric", "transform"} <= set(record):
            raise UserError(messages.NO_SIMILARITIES.format(name, SIMILARITY))
        words = len(record["words"])
        if any(tensors[matrix].shape[-1] != pairs_of(words) for matrix in tensors.names):
            raise UserError(messages.NOT_EACH_PAIR.format(name, words))
        yield Run(name, path, tensors, record)


def _fetch(revision: str, copy: Path) -> None:
    """Get the similarities of a revision from DVC's cache or a remote."""
    from dvc.api import DVCFileSystem  # a third of a second, which two files need not wait for
    from dvc.exceptions import DvcException
    from dvc.scm import SCMError
    from fsspec.callbacks import TqdmCallback

    if revision.endswith(".safetensors"):
        raise UserError(messages.NO_FILE.format(revision))
    unknown = messages.NO_FILE_OR_REVISION.format(revision.strip() or "an empty name")
    if not revision.strip():  # DVC would take the workspace
        raise UserError(messages.NO_RUN.format(unknown))
    bar = {"desc": f"similarities of {revision}", "unit": "B", "unit_scale": True, "delay": 1, "disable": None}
    try:
        files = DVCFileSystem(rev=revision)
        files.info(SIMILARITY)  # not `exists`, which takes an unknown revision for a missing file
        files.get_file(SIMILARITY, str(copy), callback=TqdmCallback(tqdm_kwargs=bar))
    except (SCMError, AttributeError):  # which is raised for a name of Git's that is no commit, as HEAD:params.yaml
        need_commit()
        raise UserError(messages.NO_RUN.format(unknown)) from None
    except (DvcException, OSError):
        raise UserError(messages.NOT_CACHED.format(SIMILARITY, revision)) from None
