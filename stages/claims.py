"""Hold the run against the post's findings and what is left of them, and put it in a few numbers."""

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from stages.artefacts import measures, store
from stages.findings.claims import Results, Verdict, judge, summarise
from stages.findings.scrutiny import Evidence, scrutinise, summarise_controls
from stages.findings.wording import ASKED, in_words
from stages.pipeline.settings import check_focus_layer
from stages.pipeline.stage import Stage, run
from stages.statistics.heads import strongest
from stages.statistics.heads import undefined as undefined_heads

#: The columns of `dvc exp show`.
SUMMARY = ("rsa", "rsa_floor", "rsa_gap", "d_q", "d_k", "d_v", "d_floor", "qk_r", "claims", "tests")


def main(stage: Stage) -> None:
    focus = stage.settings.focus_layer
    with store.open_tensors(stage.input("data/similarity.safetensors")) as tensors:
        check_focus_layer(focus, tensors.shape("q")[0])
        mean_similarity = {name: float(tensors[name][focus].mean()) for name in store.MATRICES}
    results = Results(
        correlation=store.read_table(stage.input("metrics/correlation.csv")),
        rsa=store.read_table(stage.input("metrics/rsa.csv")),
        separability=store.read_table(stage.input("metrics/separability.csv")),
        mean_similarity=mean_similarity,
        focus=focus,
    )
    evidence = Evidence(
        inference=measures.read_measures(stage.input("metrics/inference.csv")),
        controls=measures.read_measures(stage.input("metrics/controls.csv")),
        alpha=stage.settings.inference.alpha,
    )
    heads = store.read_table(stage.input("metrics/heads.csv"), may_be_empty=True)
    claims, scrutinies = judge(results), scrutinise(evidence)
    verdicts = claims | scrutinies
    notes = measures.empty_cells(evidence.inference, evidence.controls)
    if undefined := [pair for pair in store.PAIRS if pair not in results.correlation]:
        notes.append(f"correlation.csv: {', '.join(undefined)} are empty: the matrices differ in their number of units")
    notes += _empty_of_heads(heads)
    notes += [f"{name} is not judged: {v.reason}" for name, v in verdicts.items() if v.holds is None]
    numbers = {
        **summarise(results),
        **summarise_controls(evidence),
        "claims": sum(verdict.holds is True for verdict in claims.values()),
        "tests": sum(verdict.holds is True for verdict in scrutinies.values()),
    }
    # DVC's tables leave lists out: in the summary and yet no column.
    texts = {
        "strongest_heads": [
            f"{name} {strongest(heads[name])}" for name in store.MATRICES if np.isfinite(heads[name]).any()
        ],
        "notes": notes,
    }

    show(verdicts)
    store.write_json(stage.output("metrics/summary.json"), _narrow(numbers) | texts)
    store.write_json(
        stage.output("metrics/claims.json"),
        {
            name: {"measured": verdict.measured, "post": ASKED[name].post, "holds": verdict.holds}
            for name, verdict in verdicts.items()
        },
    )


def _narrow(numbers: dict[str, float]) -> dict[str, float]:
    """Put the numbers in order, to three decimals: tables hold six, but `dvc exp show` has a column for each number."""
    return {name: round(numbers[name], 3) for name in SUMMARY if name in numbers}


def _empty_of_heads(heads: dict[str, np.ndarray]) -> list[str]:
    """Say which cells of heads.csv are empty, and why."""
    lines = [
        f"heads.csv: {column} of {names} is empty: vectors or similarities do not vary"
        for column, names in undefined_heads(heads).items()
    ]
    if heads["q"].size and not set(store.HEAD_FLOORS) & set(heads):
        lines.append(f"heads.csv: {', '.join(store.HEAD_FLOORS)} are empty: controls.enabled is false")
    return lines


def show(verdicts: dict[str, Verdict]) -> None:
    """Print the claims as a table: finding, post, this run, holds."""
    table = Table("finding", "the post", "this run", "holds", box=box.SIMPLE_HEAD)
    for name, verdict in verdicts.items():
        holds = {True: "yes", False: "no", None: verdict.reason}[verdict.holds]
        table.add_row(ASKED[name].finding, ASKED[name].post, in_words(verdict.measured), holds)
    console = Console()
    if not console.is_terminal:  # rich would fold the table to 80 columns in a log
        console.width = 120
    console.print(table)


if __name__ == "__main__":
    run("claims", main, __doc__)
