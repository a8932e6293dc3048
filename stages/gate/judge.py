"""Compare the workspace with another revision: what the gate found, and its exit code."""

from dataclasses import dataclass, field
from pathlib import Path

from stages.gate import revisions, verdicts
from stages.gate.verdicts import FAILED, UNJUDGED, Judgement, Verdict
from stages.pipeline.errors import UserError

METRICS = Path("metrics")
ENDINGS = (".json", ".csv")
TOLERANCES = METRICS / "tolerances.yaml"


@dataclass
class Report:
    """What the gate found.

    Attributes
    ----------
    base : str
        The revision that the workspace is held against.
    allowed : set of Verdict
        Verdicts that count for neither failure.
    judgements : dict of str to list of Judgement
        By file.
    problems : list of str
        Why it cannot judge, beside the judgements; a line each.
    notes : list of str
        What else the user should know.
    """

    base: str
    allowed: set[Verdict]
    judgements: dict[str, list[Judgement]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def among(self, kinds: set[Verdict]) -> list[Judgement]:
        """Return the judgements of these verdicts that count."""
        counted = kinds - self.allowed
        return [j for judgements in self.judgements.values() for j in judgements if j.verdict in counted]

    @property
    def code(self) -> int:
        """The exit code."""
        return 2 if self.problems or self.among(UNJUDGED) else 1 if self.among(FAILED) else 0

    @property
    def sentence(self) -> str:
        """The verdict on the whole."""
        counts = f"{len(self.among(FAILED))} beyond tolerance or changed, {len(self.among(UNJUDGED))} not to be judged"
        return {
            0: f"within tolerance of {self.base}: {sum(map(len, self.judgements.values()))} metrics",
            1: f"not within tolerance of {self.base}: {counts}",
            2: f"cannot judge against {self.base}: {counts}" + "".join(f"\n{line}" for line in self.problems),
        }[self.code]


def judge(revision: str | None, allowed: set[Verdict]) -> Report:
    """Compare the workspace with a revision."""
    tolerances = verdicts.read_tolerances(TOLERANCES)
    base, theirs = revisions.metrics_at(revision, str(METRICS), ENDINGS)
    ours = {path.name: path.read_bytes() for path in sorted(METRICS.iterdir()) if path.name.endswith(ENDINGS)}
    report = Report(base, allowed)
    for name in sorted({*theirs, *ours}):
        sides = []
        for where, files in ((base, theirs), ("the workspace", ours)):
            try:
                sides.append(verdicts.parse(name, files[name].decode()) if name in files else None)
            except ValueError as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
                report.problems.append(f"{METRICS / name} of {where} cannot be read: {error}")
        if len(sides) == 2:
            try:
                report.judgements[name] = verdicts.compare(name, *sides, tolerances)
            except UserError as error:
                raise UserError(f"{TOLERANCES}: {error}") from None
    judged = [j for judgements in report.judgements.values() for j in judgements]
    if all(j.verdict == Verdict.NEW for j in judged):
        report.problems.append(f"{base} has no metric in {METRICS}")
    for pattern in verdicts.unused(tolerances, [j.metric for j in judged]):
        report.notes.append(f"no metric goes by {pattern!r} of {TOLERANCES}")
    for stage, differences in revisions.stale().items():
        report.problems.append(f"dvc.lock is stale, stage {stage}: {', '.join(differences)}; run `dvc repro`")
    return report
