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
    """What the gate found: judgements by file; why else it cannot judge, and what else the user should know."""

    base: str  # the revision that the workspace is compared with
    allowed: set[Verdict]  # those that count for neither failure
    judgements: dict[str, list[Judgement]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def judged(self) -> list[Judgement]:
        """The judgements of all files."""
        return [judgement for judgements in self.judgements.values() for judgement in judgements]

    @property
    def counts(self) -> tuple[int, int]:
        """How many judgements fail, and after how many it cannot judge."""
        failed, unjudged = (sum(j.verdict in kinds - self.allowed for j in self.judged) for kinds in (FAILED, UNJUDGED))
        return failed, unjudged

    @property
    def code(self) -> int:
        """The exit code."""
        failed, unjudged = self.counts
        return 2 if self.problems or unjudged else 1 if failed else 0

    @property
    def sentence(self) -> str:
        """The verdict on the whole."""
        if not self.code:
            return f"within tolerance of {self.base}: {len(self.judged)} metrics"
        verdict = "not within tolerance of" if self.code == 1 else "cannot judge against"
        counts = "{} beyond tolerance or changed, {} not to be judged".format(*self.counts)
        return "\n".join([f"{verdict} {self.base}: {counts}", *self.problems])


def judge(revision: str | None, allowed: set[Verdict]) -> Report:
    """Compare the workspace with a revision."""
    tolerances = verdicts.read_tolerances(TOLERANCES)
    base, theirs = revisions.metrics_at(revision, METRICS.as_posix(), ENDINGS)
    ours = {path.name: path.read_bytes() for path in sorted(METRICS.iterdir()) if path.name.endswith(ENDINGS)}
    report = Report(base, allowed)
    for name in sorted({*theirs, *ours}):
        sides = []
        for where, files in ((base, theirs), ("the workspace", ours)):
            try:
                sides.append(verdicts.parse(name, files[name].decode()) if name in files else None)
            except ValueError as error:  # UnicodeDecodeError, JSONDecodeError and pandas' errors are ValueErrors
                report.problems.append(f"{METRICS / name} of {where} cannot be read: {str(error).strip()}")
        if len(sides) == 2:
            try:
                report.judgements[name] = verdicts.compare(name, *sides, tolerances)
            except UserError as error:
                raise UserError(f"{TOLERANCES}: {error}") from None
    if all(j.verdict == Verdict.NEW for j in report.judged):
        report.problems.append(f"{base} has no metric in {METRICS}")
    unused = tolerances.unused(j.metric for j in report.judged)
    report.notes += [f"no metric goes by {pattern!r} of {TOLERANCES}" for pattern in unused]
    for stage, differences in revisions.stale().items():
        report.problems.append(f"dvc.lock is stale, stage {stage}: {', '.join(differences)}; run `dvc repro`")
    return report
