"""All kept models in one table: what agrees, what random maps give, and what lies beyond them."""

from collections.abc import Sequence

import pandas as pd

from stages.artefacts.kept import Kept
from stages.findings.beyond import EVERY
from stages.findings.claims import CLAIMS
from stages.geometry.names import MATRICES

#: The columns from the summary, as they are called there.
MEANS = ("rsa", "rsa_null", *(f"d_{name}" for name in MATRICES), "d_null")


def shelf(kept: Sequence[Kept]) -> pd.DataFrame:
    """Return a row a kept run.

    Returns
    -------
    pandas.DataFrame
        ``model``, ``parameters``, ``layers``, ``words``; means over layers as in the summary; ``above``, ``inside``,
        ``below``: RSA scores among maps with the trained spectra, under every choice; ``v_above``: layers in which V
        separates categories beyond them, likewise; ``held`` of ``judged`` claims of the post.
    """
    return pd.DataFrame([_row(one) for one in kept])


def _row(one: Kept) -> dict:
    shape = one.about["overview"]
    agreed = one.verdicts[(one.verdicts["transform"] == EVERY) & (one.verdicts["rung"] == "spectrum")]
    counts = agreed.set_index(["measure", "of"])
    found = {name: one.summary.get(name) for name in MEANS}
    if len(agreed):
        found |= {where: int(counts.loc[("rsa", EVERY), where]) for where in ("above", "inside", "below")}
        found["v_above"] = int(counts.loc[("d", "v"), "above"])
    holds = [one.claims[name]["holds"] for name in CLAIMS if name in one.claims]  # a claim may be younger than a run
    return {
        "model": one.name,
        "parameters": shape["parameters"],
        "layers": shape["layers"],
        "words": one.about["words"],
        **found,
        "held": holds.count(True),
        "judged": len(holds) - holds.count(None),
    }
