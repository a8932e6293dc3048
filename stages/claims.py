"""Hold the run against the post's findings and what is left of them, and put it in a few numbers."""

from rich import box
from rich.console import Console
from rich.table import Table

from stages import measures, store
from stages.geometry.findings import Results, Verdict, judge, summarise
from stages.geometry.heads import strongest
from stages.geometry.scrutiny import Evidence, scrutinise, summarise_controls
from stages.settings import check_focus_layer
from stages.stage import Stage, run
from stages.wording import ASKED, in_words


def main(stage: Stage) -> None:
    focus = stage.settings.focus_layer
    similarity = store.read_tensors(stage.input("data/similarity.safetensors"))
    check_focus_layer(focus, len(similarity["q"]))
    results = Results(
        correlation=store.read_table(stage.input("metrics/correlation.csv")),
        rsa=store.read_table(stage.input("metrics/rsa.csv")),
        separability=store.read_table(stage.input("metrics/separability.csv")),
        mean_similarity={name: float(similarity[name][focus].mean()) for name in store.MATRICES},
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
    summary = {
        **summarise(results),
        **summarise_controls(evidence),
        **{f"head_{name}": strongest(heads[name]) for name in store.MATRICES if heads[name].size},
        "claims_held": sum(verdict.holds is True for verdict in claims.values()),
        "controls_held": sum(verdict.holds is True for verdict in scrutinies.values()),
    }
    empty = [
        f"controls.csv, too few pairs to match: {c} in layers {n}"
        for c, n in measures.unmatched(evidence.controls).items()
    ]
    if undefined := [pair for pair in store.PAIRS if pair not in results.correlation]:
        empty.insert(0, f"correlation.csv, matrices of different numbers of units: {', '.join(undefined)}")
    if empty:
        summary["empty_cells"] = "; ".join(empty)
    if unjudged := "; ".join(f"{name}: {v.reason}" for name, v in verdicts.items() if v.holds is None):
        summary["not_judged"] = unjudged

    show(verdicts)
    store.write_json(stage.output("metrics/summary.json"), summary)
    store.write_json(
        stage.output("metrics/claims.json"),
        {
            name: {"measured": verdict.measured, "post": ASKED[name].post, "holds": verdict.holds}
            for name, verdict in verdicts.items()
        },
    )


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
