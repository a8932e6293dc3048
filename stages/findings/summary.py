"""A run in short: its findings in words, the few numbers by which runs are compared, and a table of kept ones."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from stages.artefacts.kept import Kept
from stages.artefacts.results import Results
from stages.artefacts.tables import empty_cells
from stages.findings.beyond import spectrum_mean
from stages.findings.carriers import units_that_carry, words_that_carry
from stages.findings.claims import CLAIMS, Verdict, of_post
from stages.findings.evidence import TESTS
from stages.geometry.names import EVERY, MATRICES, PAIRS
from stages.pipeline.command import print_table

#: By the ids of `metrics/claims.json`: the post's findings, then what is left of them.
ASKED = {**CLAIMS, **TESTS}
#: The columns: those of the means are called as in the summary, those of counts as in `metrics/verdicts.csv`.
ABOUT, MEANS = ("parameters", "layers"), ("rsa", "rsa_null", *(f"d_{name}" for name in MATRICES), "d_null")
COUNTS = ("above", "inside", "below")
COLUMNS = ("model", *ABOUT, "words", *MEANS, *COUNTS, "v_above", "held", "judged")


def in_words(measured: Any) -> str:
    """Write what a finding measured: a number, several by name, or nothing."""
    match measured:
        case None:
            return ""
        case int() | str():
            return str(measured)
        case dict() if all(isinstance(value, dict) for value in measured.values()):
            return ", ".join(f"{name} {' / '.join(map(in_words, parts.values()))}" for name, parts in measured.items())
        case dict():
            return ", ".join(f"{name.replace('_', ' ')} {in_words(value)}" for name, value in measured.items())
        case _:
            return f"{measured:.2f}"


def show(verdicts: Mapping[str, Verdict]) -> None:
    """Print a row for each verdict."""
    rows = []
    for name, (measured, holds, reason, beyond) in verdicts.items():
        words = "{verdict}, {above} of {of}".format(**beyond) if beyond else ""
        held = {True: "yes", False: "no", None: reason}[holds]
        rows.append([ASKED[name].finding, ASKED[name].post, in_words(measured), held, words])
    print_table(["finding", "the post", "this run", "holds", "beyond random maps"], rows)


def summarise(run: Results, verdicts: Mapping[str, Verdict]) -> dict[str, Any]:
    """Return the numbers by which experiments are compared, of verdicts by the ids of `ASKED`.

    The keys are those that `metrics/README.md` explains: means over layers, to three decimals (`dvc exp show` has a
    column for each), counts of findings, and lists, which DVC's tables leave out. What was switched off or is not
    defined is left out.
    """
    numbers = {
        "rsa": run.rsa_by_layer().mean(),
        "rsa_pearson": None if run.comparison == "pearson" else run.pearson_by_layer().mean(),
        "rsa_null": spectrum_mean(run.nulls, "rsa") if run.nulls else None,
        "rsa_gap": np.mean([run.rsa[f"{pair}_within"] - run.rsa[f"{pair}_across"] for pair in PAIRS]),
        **{f"d_{name}": run.separability[name].mean() for name in MATRICES},
        "d_null": spectrum_mean(run.nulls, "d") if run.nulls else None,
        "qk_r": run.correlation["qk"].mean() if "qk" in run.correlation else None,
    }
    heads = []  # of each matrix the one with the largest d, of equal ones the first
    for (measure, name), cells in run.heads.items():
        if measure == "d" and np.isfinite(d := cells["value"]).any():
            place, head = np.unravel_index(np.nanargmax(d), d.shape)
            heads.append(f"{name} L{run.numbers[place]}H{head}")
    held = {name for name, verdict in verdicts.items() if verdict.holds}
    beyond = [v.holds is True and v.beyond["verdict"] == "yes" for v in map(verdicts.get, of_post()) if v.beyond]
    tables = ("anisotropy", "correlation", "heads", "head_nulls", "influence", "nulls")
    return {
        **{name: round(float(value), 3) for name, value in numbers.items() if value is not None},
        "claims": len(held & set(of_post())),
        "tests": len(held & set(TESTS)),
        **({"beyond": sum(beyond)} if beyond else {}),
        "strongest_heads": heads,
        "notes": [
            *(note for name in tables for note in empty_cells(f"{name}.csv", getattr(run, name), run.numbers)),
            *words_that_carry(run),
            *units_that_carry(run),
            *(f"{name} is not judged: {v.reason}" for name, v in verdicts.items() if v.measured is None),
        ],
    }


def shelf(kept: Sequence[Kept]) -> pd.DataFrame:
    """Return a row a kept run, of `COLUMNS`.

    ``above``, ``inside`` and ``below`` count RSA scores among maps with the trained spectra, under every choice,
    ``v_above`` the layers in which V separates categories beyond them, likewise; ``held`` and ``judged`` count claims
    of the post, without those that are younger than the run.
    """
    rows = []
    for one in kept:
        row = {"model": one.name, **{key: one.about["overview"][key] for key in ABOUT}, "words": one.about["words"]}
        row |= {name: one.summary.get(name) for name in MEANS} | {"rsa": one.pearson}
        agreed = one.verdicts[(one.verdicts["transform"] == EVERY) & (one.verdicts["rung"] == "spectrum")]
        if len(agreed):
            counts = agreed.set_index(["measure", "of"])
            row |= counts.loc[("rsa", EVERY), [*COUNTS]].to_dict() | {"v_above": counts.loc[("d", "v"), "above"]}
        holds = [one.claims[name]["holds"] for name in of_post() if name in one.claims]
        rows.append(row | {"held": holds.count(True), "judged": len(holds) - holds.count(None)})
    return pd.DataFrame(rows, columns=COLUMNS)
