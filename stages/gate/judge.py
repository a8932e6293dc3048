"""Compare the workspace with another revision: what the gate found, and its exit code."""

from itertools import chain
from pathlib import Path
from typing import NamedTuple

from stages.gate import revisions, verdicts
from stages.gate.verdicts import FAILED, UNJUDGED, Judgement, Verdict
from stages.pipeline import messages
from stages.pipeline.errors import UserError

METRICS = Path("metrics")
ENDINGS = (".json", ".csv")
TOLERANCES = METRICS / "tolerances.yaml"


class Report(NamedTuple):
    """What the gate found: judgements by file, what else to note, the exit code, and the verdict on the whole."""

    base: str  # the revision that the workspace is compared with
    allowed: set[Verdict]  # those that count for neither failure
    judgements: dict[str, list[Judgement]]
    notes: list[str]
    code: int
    sentence: str


def judge(revision: str | None, allowed: set[Verdict]) -> Report:
    """Compare the workspace with a revision."""
    tolerances = verdicts.read_tolerances(TOLERANCES)
    base, theirs = revisions.metrics_at(revision, METRICS.as_posix(), ENDINGS)
    ours = {path.name: path.read_bytes() for path in METRICS.iterdir() if path.name.endswith(ENDINGS)}
    judgements, problems = {}, []  # why it cannot judge, beside the judgements
    for name in sorted({*theirs, *ours}):
        sides = []
        for where, files in ((base, theirs), ("the workspace", ours)):
            try:
                sides.append(verdicts.parse(name, files[name].decode()) if name in files else None)
            except ValueError as error:  # UnicodeDecodeError, JSONDecodeError and pandas' errors are ValueErrors
                problems.append(messages.UNREADABLE.format(METRICS / name, where, str(error).strip()))
        if len(sides) == 2:
            try:
                judgements[name] = verdicts.compare(name, *sides, tolerances)
            except UserError as error:
                raise UserError(f"{TOLERANCES}: {error}") from None
    judged = list(chain.from_iterable(judgements.values()))
    if all(j.verdict == Verdict.NEW for j in judged):
        problems.append(messages.NO_METRIC.format(base, METRICS))
    for stage, differences in revisions.stale().items():
        problems.append(messages.STALE.format(stage, ", ".join(differences)))
    notes = [f"no metric goes by {p!r} of {TOLERANCES}" for p in tolerances.unused(j.metric for j in judged)]
    failed, unjudged = (sum(j.verdict in kinds - allowed for j in judged) for kinds in (FAILED, UNJUDGED))
    counts = f"{failed} beyond tolerance or changed, {unjudged} not to be judged"
    code = 2 if problems or unjudged else 1 if failed else 0
    sentence = [
        f"within tolerance of {base}: {len(judged)} metrics",
        f"not within tolerance of {base}: {counts}",
        "\n".join([f"cannot judge against {base}: {counts}", *problems]),
    ][code]
    return Report(base, allowed, judgements, notes, code, sentence)
