"""What Git and DVC know: the metrics of a revision, and whether dvc.lock matches the workspace."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stages.pipeline import messages
from stages.pipeline.command import need_commit
from stages.pipeline.errors import UserError

#: The main branch, in a clone that has it and in one that knows it from the remote only.
MAIN = ("main", "origin/main")


def metrics_at(revision: str | None, folder: str, endings: tuple[str, ...]) -> tuple[str, dict[str, bytes]]:
    """Read the files of a folder whose names have these endings, as a Git revision or DVC experiment has them.

    Returns the revision as given (None is the main branch) with its commit, and the files' content by name, sorted.

    Raises
    ------
    UserError
        If there is no such revision, or no commit at all.
    """
    from dvc.scm import SCM, SCMError, resolve_rev  # a third of a second, which --help need not wait for

    need_commit()
    for name in MAIN if revision is None else filter(str.strip, [revision]):
        try:
            git = SCM(".")
            commit = resolve_rev(git, name)
            files = git.get_fs(commit)
        except (SCMError, AttributeError):  # which is raised for a name of Git's that is no commit, as HEAD:params.yaml
            continue
        paths = files.ls(folder, detail=False) if files.exists(folder) else []
        return f"{name} ({commit[:7]})", {Path(p).name: files.cat_file(p) for p in sorted(paths) if p.endswith(endings)}
    if revision is not None:
        said = messages.NO_RUN.format(messages.NO_REVISION.format(revision.strip() or "an empty name"))
        raise UserError(messages.SHALLOW.format(said))
    raise UserError(messages.NO_MAIN.format(" nor ".join(MAIN)))


def stale() -> dict[str, list[str]]:
    """List what differs between dvc.lock and the workspace, by stage; only stages of which something does.

    Data that DVC caches and that are not here, as in a fresh clone, are no difference. Two stages whose locks record
    different data of the same path are one. A `UserError` if DVC cannot read the pipeline or the lock.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.stage import PipelineStage

    try:
        with Repo() as repo:
            stages = [stage for stage in repo.index.stages if isinstance(stage, PipelineStage)]
            made = {out.fs_path: out for stage in stages for out in stage.outs if out.use_cache}
            found = {stage.addressing: [*dict.fromkeys(_differences(stage, made))] for stage in stages}
    except DvcException as error:
        raise UserError(messages.NO_LOCK.format(error)) from None
    return {stage: differences for stage, differences in found.items() if differences}


def _differences(stage: Any, made: dict[str, Any]) -> Iterator[str]:
    """List what has changed since a stage's lock; `made` are the outputs of all stages that DVC caches."""
    if not any(entry.hash_info for entry in (*stage.deps, *stage.outs)):
        yield "never ran"
        return
    if stage.cmd_changed:
        yield "its command"
    for entry in (*stage.deps, *stage.outs):
        for path, status in entry.workspace_status().items():  # not `status`, which also asks for the cache
            if isinstance(status, dict):
                yield from (f"{key} in {path}" for key in status)
            elif status != "deleted":
                yield path
            elif entry.fs_path not in made:
                yield f"{path} (missing)"
            elif entry.hash_info != made[entry.fs_path].hash_info:
                yield f"{path} (made anew since)"
