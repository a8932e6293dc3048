"""Kept runs of other models: small tables, numbers in short and provenance, each in a folder of `metrics/models/`."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from stages.artefacts.files import read_json, write_json
from stages.artefacts.tables import read_table
from stages.geometry.names import Arrays, Scores
from stages.pipeline import messages, outputs
from stages.pipeline.errors import UserError
from stages.pipeline.settings import PARAMS, load, read_yaml

FOLDER = Path("metrics/models")
#: What of a run is kept as it is.
COPIED = ("rsa.csv", "separability.csv", "verdicts.csv", "summary.json", "claims.json")
#: And of `metrics/nulls.csv`, these rungs under the run's own choices: what one figure of all models needs.
KEPT_RUNGS = ("spectrum", "unbiased")
#: And of `data/capture.json`.
PROVENANCE = ("model", "revision", "weights", "dtype", "overview", "prompt", "versions", "quantisation")


class Kept(NamedTuple):
    """A kept run: its tables as `Results` has them, nulls by measure, matrix or pair, and rung, and its files."""

    name: str
    about: Mapping[str, Any]  # its provenance, the number of its words, and the settings that make it anew
    rsa: Arrays
    separability: Arrays
    nulls: Scores
    summary: Mapping[str, Any]
    claims: Mapping[str, Any]
    verdicts: pd.DataFrame

    @property
    def pearson(self) -> float:
        """Mean RSA as Pearson's r, as that of random maps is."""
        return self.summary.get("rsa_pearson", self.summary["rsa"])


def keep(name: str) -> Path:
    """Keep the run of this folder; a run of that name is replaced.

    A `UserError` if the name is no name of a folder, or there is no run.
    """
    if not name or Path(name).name != name or name.startswith("."):
        raise UserError(messages.NO_FOLDER_NAME.format(name))
    needed = [Path("metrics") / file for file in (*COPIED, "nulls.csv")] + [Path("data/capture.json")]
    if missing := [path.as_posix() for path in needed if not path.is_file()]:
        raise UserError(messages.NOTHING_TO_KEEP.format(missing[0]))
    captured = read_json(Path("data/capture.json"))
    about = {key: captured[key] for key in PROVENANCE if key in captured}
    about |= {"words": len(captured["words"]), "categories": len(set(captured["categories"])), "settings": _changed()}
    settings, rows = load(), pd.read_csv("metrics/nulls.csv", dtype=str, keep_default_na=False)
    by = rows["measure"].map({"rsa": settings.rsa.comparison, "d": "pearson"})
    own = (rows["transform"] == settings.similarity.transform) & (rows["comparison"] == by)
    rows = rows[own & rows["rung"].isin(KEPT_RUNGS)]
    path = (FOLDER / name).as_posix()
    outputs.sweep([path])
    try:
        (folder := outputs.temporary(path)).mkdir(parents=True)
        for file in COPIED:
            (folder / file).write_bytes((Path("metrics") / file).read_bytes())
        rows.to_csv(folder / "nulls.csv", index=False, lineterminator="\n")
        write_json(folder / "run.json", about)
        outputs.publish(path)
    finally:  # of a run that could not be written nothing stays, and the earlier one of that name does
        outputs.sweep([path])
    return Path(path)


def read_kept(folder: Path = FOLDER) -> list[Kept]:
    """Read all kept runs, by name."""
    return [_read(path) for path in sorted(folder.glob("[!.]*/"))]


def _read(path: Path) -> Kept:
    rsa, separability = (read_table(file, layers_in(file)) for file in (path / "rsa.csv", path / "separability.csv"))
    about, summary, claims = (read_json(path / f"{name}.json") for name in ("run", "summary", "claims"))
    verdicts, layers = pd.read_csv(path / "verdicts.csv", keep_default_na=False), layers_in(path / "nulls.csv")
    ladder = read_table(path / "nulls.csv", layers) if layers else {}  # where nulls were switched off
    nulls = {(*key[:2], key[4]): cells for key, cells in ladder.items()}
    return Kept(path.name, about, rsa, separability, nulls, summary, claims, verdicts)


def layers_in(path: Path) -> list[int]:
    """List the numbers of a table's layers, which a hybrid's do not count from 0."""
    return pd.read_csv(path, usecols=["layer"])["layer"].dropna().astype(int).unique().tolist()


def _changed() -> dict[str, Any]:
    """Return the settings that are not those of the last commit, by key: what makes the run anew."""
    shown = subprocess.run(["git", "show", f"HEAD:{PARAMS.as_posix()}"], capture_output=True, check=False)
    if shown.returncode:
        return {}
    from dvc.utils.flatten import flatten  # a quarter of a second, which stages need not wait for
    from ruamel.yaml import YAML

    here, there = flatten(read_yaml(PARAMS)), flatten(YAML(typ="safe").load(shown.stdout.decode()))
    return {key: value for key, value in here.items() if key not in there or there[key] != value}
