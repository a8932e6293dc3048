"""A run in short: the verdicts on all findings, and the few numbers by which experiments are compared."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stages.artefacts.results import Results
from stages.artefacts.tables import empty_cells
from stages.findings.beyond import spectrum_mean
from stages.findings.carriers import units_that_carry, words_that_carry
from stages.findings.claims import CLAIMS, Verdict, of_post
from stages.findings.evidence import TESTS
from stages.geometry.names import MATRICES, PAIRS

#: By the ids of `metrics/claims.json`: the post's findings, then what is left of them.
ASKED = {**CLAIMS, **TESTS}


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
    held = {name for name, verdict in verdicts.items() if verdict.holds}
    beyond = [v.holds is True and v.beyond["verdict"] == "yes" for v in map(verdicts.get, of_post()) if v.beyond]
    tables = ("controls", "correlation", "heads", "head_nulls")
    return {
        **{name: round(float(value), 3) for name, value in numbers.items() if value is not None},
        "claims": len(held & set(of_post())),
        "tests": len(held & set(TESTS)),
        **({"beyond": sum(beyond)} if beyond else {}),
        "strongest_heads": [
            f"{name} {strongest(cells['value'], run.numbers)}"
            for (measure, name), cells in run.heads.items()
            if measure == "d" and np.isfinite(cells["value"]).any()
        ],
        "notes": [
            *(note for name in tables for note in empty_cells(f"{name}.csv", getattr(run, name), run.numbers)),
            *words_that_carry(run),
            *units_that_carry(run),
            *(f"{name} is not judged: {v.reason}" for name, v in verdicts.items() if v.measured is None),
        ],
    }


def strongest(d: np.ndarray, layers: Sequence[int]) -> str:
    """Name the head with the largest Cohen's d, of shape (layers, heads): of equal ones the first; NaN is none.

    Examples
    --------
    >>> strongest(np.array([[0.1, 0.2], [2.5, 0.3]]), [3, 7])
    'L7H0'
    """
    place, head = np.unravel_index(np.nanargmax(d), np.shape(d))
    return f"L{layers[place]}H{head}"
