"""A run in short: the verdicts on all claims, and the few numbers by which experiments are compared."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stages.artefacts.empty import empty_cells
from stages.artefacts.results import Results
from stages.findings.carriers import units_that_carry, words_that_carry
from stages.findings.claims import CLAIMS, Verdict
from stages.findings.evidence import TESTS
from stages.geometry.names import MATRICES, PAIRS

#: By the ids of `metrics/claims.json`: the post's findings, then what is left of them.
ASKED = {**CLAIMS, **TESTS}


def judge(run: Results) -> dict[str, Verdict]:
    """Judge every finding on a run, by the ids of `ASKED`."""
    return {name: claim.judge(run) for name, claim in ASKED.items()}


def summarise(run: Results, verdicts: Mapping[str, Verdict], beyond: Mapping[str, Mapping]) -> dict[str, Any]:
    """Return the few numbers by which experiments are compared.

    Parameters
    ----------
    run : Results
    verdicts : mapping of str to Verdict
        By the ids of `ASKED`.
    beyond : mapping of str to mapping
        Of `stages.findings.beyond.beyond_random_maps`.

    Returns
    -------
    dict of str to float, int or list of str
        Means over layers, to three decimals (`dvc exp show` has a column for each): ``rsa``, ``rsa_pearson`` (where
        ``rsa`` is another comparison), ``rsa_null`` (what the trained spectra give in random directions, Pearson's r),
        ``rsa_gap`` (within categories minus across; all of these over the pairs too), ``d_q``, ``d_k``, ``d_v`` and
        ``d_null`` (Cohen's d), ``qk_r`` (unit correlation of Q and K at the context token). How many ``claims`` of the
        post and ``tests`` hold, and how many of those claims lie ``beyond`` random maps. Two lists, which DVC's tables
        leave out: the ``strongest_heads``, and ``notes`` on empty cells, on what hangs on one word or unit, and on what
        is not judged. What was switched off or is not defined is left out.
    """
    gaps = [run.rsa[f"{pair}_within"] - run.rsa[f"{pair}_across"] for pair in PAIRS]
    numbers = {
        "rsa": run.rsa_by_layer().mean(),
        "rsa_pearson": None if run.comparison == "pearson" else run.pearson_by_layer().mean(),
        "rsa_null": _mean_spectrum(run, "rsa", PAIRS),
        "rsa_gap": np.mean(gaps),
        **{f"d_{name}": run.separability[name].mean() for name in MATRICES},
        "d_null": _mean_spectrum(run, "d", MATRICES),
        "qk_r": run.correlation["qk"].mean() if "qk" in run.correlation else None,
    }
    tables = ("controls", "correlation", "heads", "head_nulls")
    notes = [note for name in tables for note in empty_cells(f"{name}.csv", getattr(run, name), run.numbers)]
    notes += [*words_that_carry(run), *units_that_carry(run)]
    held = [name for name, where in beyond.items() if where["verdict"] == "yes" and verdicts[name].holds]
    return {
        **{name: round(float(value), 3) for name, value in numbers.items() if value is not None},
        **{
            kind: sum(verdicts[name].holds is True for name in asked)
            for kind, asked in {"claims": CLAIMS, "tests": TESTS}.items()
        },
        **({"beyond": len(held)} if beyond else {}),
        "strongest_heads": [
            f"{name} {strongest(run.heads[name], run.numbers)}"
            for name in MATRICES
            if run.heads and np.isfinite(run.heads[name]).any()
        ],
        "notes": notes + [f"{name} is not judged: {v.reason}" for name, v in verdicts.items() if v.measured is None],
    }


def strongest(d: np.ndarray, layers: Sequence[int]) -> str:
    """Name the head with the largest Cohen's d.

    Parameters
    ----------
    d : ndarray, shape (layers, heads)
    layers : sequence of int
        Their numbers; heads count from 0.

    Returns
    -------
    str
        Of equal ones the first. Heads without a d (NaN) do not count; there is one with.

    Examples
    --------
    >>> strongest(np.array([[0.1, 0.2], [2.5, 0.3]]), [3, 7])
    'L7H0'
    """
    place, head = np.unravel_index(np.nanargmax(d), np.shape(d))
    return f"L{layers[place]}H{head}"


def _mean_spectrum(run: Results, measure: str, names: tuple[str, ...]) -> float | None:
    """Return the mean over layers and names of what the trained spectra give in random directions."""
    return np.mean([run.nulls[measure, name, "spectrum"]["value"] for name in names]) if run.nulls else None
