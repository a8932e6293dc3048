"""All kept models in one table: what agrees, what random maps give, and what lies beyond them."""

from collections.abc import Sequence

import pandas as pd

from stages.artefacts.kept import Kept
from stages.findings.beyond import EVERY
from stages.findings.claims import of_post
from stages.geometry.names import MATRICES

#: The columns: those of the means are called as in the summary, those of counts as in `metrics/verdicts.csv`.
ABOUT, MEANS = ("parameters", "layers"), ("rsa", "rsa_null", *(f"d_{name}" for name in MATRICES), "d_null")
COUNTS = ("above", "inside", "below")
COLUMNS = ("model", *ABOUT, "words", *MEANS, *COUNTS, "v_above", "held", "judged")


def shelf(kept: Sequence[Kept]) -> pd.DataFrame:
    """Return a row a kept run, of `COLUMNS`.

    ``above``, ``inside`` and ``below`` count RSA scores among maps with the trained spectra, under every choice,
    ``v_above`` the layers in which V separates categories beyond them, likewise; ``held`` and ``judged`` count claims
    of the post, without those that are younger than the run.
    """
    rows = []
    for one in kept:
        row = {"model": one.name, **{key: one.about["overview"][key] for key in ABOUT}, "words": one.about["words"]}
        row |= {name: one.summary.get(name) for name in MEANS}
        agreed = one.verdicts[(one.verdicts["transform"] == EVERY) & (one.verdicts["rung"] == "spectrum")]
        if len(agreed):
            counts = agreed.set_index(["measure", "of"])
            row |= counts.loc[("rsa", EVERY), [*COUNTS]].to_dict() | {"v_above": counts.loc[("d", "v"), "above"]}
        holds = [one.claims[name]["holds"] for name in of_post() if name in one.claims]
        rows.append(row | {"held": holds.count(True), "judged": len(holds) - holds.count(None)})
    return pd.DataFrame(rows, columns=COLUMNS)
