"""Which model types are captured: `python tests/model_types.py` writes the table, with --check it compares.

Every text model type of the installed transformers is built tiny, with random weights, captured and proved as a user's
model would be.
"""

import sys
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import transformers

sys.path.insert(0, str(Path(__file__).parents[1]))
from tiny_models import TYPES, build, caught

from stages.models.attentions import text_part
from stages.models.projections import describe, find_projections
from stages.models.prompts import Prompts
from stages.models.prove import prove
from stages.pipeline.errors import UserError

TABLE = Path(__file__).with_suffix(".csv")
COLUMNS = ("type", "verdict", "part", "modules", "order", "layers", "q", "k", "v", "prompts", "reason")

#: Four shared tokens, a word of one to three, one after it.
WORDS = ([50], [60, 61], [70, 71, 72])
PROMPTS = Prompts(
    names=["one", "two", "three"],
    ids=[[11, 12, 13, 14, *word, 15] for word in WORDS],
    tokens=[],
    words=[range(4, 4 + len(word)) for word in WORDS],
    before=[0, 1, 2, 3],
    after=[-1],
    mean=True,
)


def examine(model_type: str, part: str = "encoder", dtype: torch.dtype = torch.float32) -> dict[str, str]:
    """Build, capture and prove one type: a row of the table."""
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity(transformers.logging.CRITICAL)
    torch.set_num_threads(1)
    row = dict.fromkeys(COLUMNS, "") | {"type": model_type}
    try:
        model = build(model_type, dtype)
    except Exception as error:  # any: what transformers itself does not build
        reason = " ".join((str(error).strip() or type(error).__name__).split()).split(". ")[0][:160]
        return row | {"verdict": "refused", "reason": f"transformers does not build it: {reason}"}
    try:
        model = text_part(model, part)
        projections = find_projections(model)
        found = describe(model, projections)
        proof = prove(model, projections, PROMPTS, 2)
        into, way, _ = caught(model, projections, PROMPTS)
    except UserError as error:
        return row | {"verdict": "refused", "reason": " ".join(str(error).removeprefix("model.name: ").split())}
    if not all(np.isfinite(values).all() for values in into.values()):
        raise AssertionError(f"{model_type}: something was not written")
    for projection in projections if projections[0].linear else ():
        for part, matrix in projection.weights().items():
            name = f"attn_{projection.layer}_{part}"
            values = into[f"attn_{projection.layer}_x"] @ matrix.numpy() + into.get(f"{name}_bias", 0)
            np.testing.assert_allclose(values, into[name], atol=1e-4, rtol=1e-3)
    first = projections[0]
    return row | {
        "verdict": "proved",
        "part": found["part"],
        "modules": " ".join(first.layout.modules.values()),
        "order": first.layout.order,
        "layers": " ".join(str(projection.layer) for projection in projections),
        **{part: proof[part] for part in "qkv"},
        "prompts": way,
        "reason": "" if first.linear else "not linear in x",
    }


def read_table() -> list[dict[str, str]]:
    """Read the table as it is kept."""
    return pd.read_csv(TABLE, dtype=str, keep_default_na=False).to_dict("records")


def main(arguments: Sequence[str]) -> int:
    """Write the table, or compare it with what is found."""
    with ProcessPoolExecutor(2) as pool:
        rows = list(pool.map(examine, TYPES, chunksize=8))
    print(f"{sum(row['verdict'] == 'proved' for row in rows)} of {len(rows)} types captured and proved")
    if "--check" in arguments:
        different = [row["type"] for row, kept in zip(rows, read_table(), strict=True) if row != kept]
        print(f"unlike the table: {', '.join(different) or 'none'}")
        return bool(different)
    pd.DataFrame(rows, columns=COLUMNS).to_csv(TABLE, index=False, lineterminator="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
