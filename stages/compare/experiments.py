"""The experiments of this repository: the numbers of each, and the settings in which they differ."""

from typing import Any, NamedTuple

from stages.pipeline import messages
from stages.pipeline.command import need_commit, print_table, width
from stages.pipeline.errors import UserError
from stages.pipeline.settings import PARAMS, written

SUMMARY = "metrics/summary.json"
#: Instead of a commit, and of a name.
WORKSPACE = "workspace"
#: A setting's value is folded beyond so many characters: it may be a list of words.
WIDEST = 36


class Experiment(NamedTuple):
    """A run: its name, the numbers of its summary, its settings by key (`rsa.comparison`), and its commit."""

    name: str
    numbers: dict[str, str]
    settings: dict[str, str]
    revision: str = WORKSPACE


def show(runs: list[Experiment], notes: list[str]) -> None:
    """Print all runs, a table of numbers, then the settings in which they differ; and what is to be noted."""
    if len(runs) > 2:
        numbers = dict.fromkeys(key for run in runs for key in run.numbers)
        # A long heading would be wider than its numbers.
        headings = ["experiment", *(name.replace("_", "_\n") if len(name) > 6 else name for name in numbers)]
        print_table(headings, [[run.name, *(run.numbers.get(key, "") for key in numbers)] for run in runs], padding=0)
        if not (settings := differing(runs)):
            print("they have the same settings")
        for part in packed(runs, settings, width()):
            rows = [[run.name, *(run.settings.get(key, "") for key in part)] for run in runs]
            print_table(["experiment", *part], rows, padding=0)
    else:
        print("no experiments yet: `dvc exp run --temp --name NAME -S rsa.comparison=spearman` makes one")
    for note in notes:
        print(note)


def collect() -> tuple[list[Experiment], list[str]]:
    """List the workspace, HEAD, and the experiments that are done, of whichever commit; and what is to be noted.

    A `UserError` if there is no commit, or DVC cannot read the repository.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.scm import SCMError

    need_commit()
    try:
        with Repo() as repo:
            commits = repo.experiments.ls(all_commits=True)
            states = repo.experiments.show(revs=["HEAD", *commits])
            shallow = bool(repo.scm.dulwich.repo.get_shallow())
    except (DvcException, SCMError) as error:
        raise UserError(messages.NO_EXPERIMENTS.format(error)) from None
    # Of commits, HEAD alone is listed, the first after the workspace.
    named, queue = list(zip((WORKSPACE, "HEAD"), states, strict=False)), {}
    for part in (part for state in states for part in state.experiments or []):
        # Those of the queue keep an executor when they are done, until `dvc queue remove`.
        if not part.executor or part.executor.state == "success":
            named.append((part.revs[0].name, part.revs[0]))
        else:
            queue.setdefault(part.executor.state, []).append(part.name or part.revs[0].rev[:7])
    more = {
        "running": "",
        "queued": "; `dvc queue start` runs them, unless it does already",
        "failed": f"; `dvc queue logs {queue.get('failed', [''])[0]}` shows why",
    }
    notes = [f"{state}: {', '.join(queue[state])}{what}" for state, what in more.items() if state in queue]
    if shallow:
        notes.append("in a shallow clone `--temp` and `--queue` lose experiments: `git fetch --unshallow` first")
    return [_experiment(name, state.rev, state.data) for name, state in named], notes


def differing(runs: list[Experiment]) -> list[str]:
    """Name the settings that are not the same in all runs, those of most different values first."""
    keys = dict.fromkeys(key for run in runs for key in run.settings)
    values = {key: len({run.settings.get(key) for run in runs}) for key in keys}
    return sorted((key for key in keys if values[key] > 1), key=lambda key: -values[key])


def packed(runs: list[Experiment], settings: list[str], most: int) -> list[list[str]]:
    """Divide settings into tables that are `most` characters wide."""
    left = max(len("experiment"), *(len(run.name) for run in runs)) + 2
    parts: list[list[str]] = []
    used = most
    for key in settings:
        column = 1 + max(len(key), *(min(len(run.settings.get(key, "")), WIDEST) for run in runs))
        if used + column > most:
            parts.append([])
            used = left
        parts[-1].append(key)
        used += column
    return parts


def _experiment(name: str, revision: str, data: Any) -> Experiment:
    from dvc.utils.flatten import flatten

    metrics, params = (data.metrics, data.params) if data else ({}, {})
    summary = flatten(metrics.get(SUMMARY, {}).get("data", {}))
    settings = flatten(params.get(PARAMS.as_posix(), {}).get("data", {}))
    return Experiment(
        name,
        {key: f"{value:.3f}" if isinstance(value, float) else str(value) for key, value in summary.items()},
        {key: written(value) for key, value in settings.items()},
        revision,
    )
