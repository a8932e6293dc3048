"""Kept runs of other models: small tables, numbers in short and provenance, each in a folder of `metrics/models/`."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stages.artefacts.files import read_json, write_json
from stages.artefacts.tables import read_table
from stages.pipeline.errors import UserError
from stages.pipeline.settings import PARAMS, read_yaml

FOLDER = Path("metrics/models")
#: What of a run is kept as it is.
COPIED = ("rsa.csv", "separability.csv", "verdicts.csv", "summary.json", "claims.json")
#: And of `metrics/nulls.csv`, these rows: what one figure and one table of all models need.
NULLS = {"transform": ["none"], "comparison": ["pearson"], "measure": ["rsa", "d"], "rung": ["spectrum", "unbiased"]}
#: And of `data/capture.json`.
PROVENANCE = ("model", "revision", "weights", "dtype", "overview", "prompt", "versions", "quantization")


@dataclass(frozen=True)
class Kept:
    """A kept run.

    Attributes
    ----------
    name : str
    about : mapping
        Its provenance, number of words, and the command that makes it anew.
    rsa, separability : mapping of str to ndarray, shape (layers,)
    nulls : mapping of (measure, matrix or pair, rung) to mapping of str to ndarray, shape (layers,)
        Of raw cosines, by Pearson's r; empty where the run had none.
    summary, claims : mapping
    verdicts : pandas.DataFrame
    """

    name: str
    about: Mapping[str, Any]
    rsa: Mapping[str, np.ndarray]
    separability: Mapping[str, np.ndarray]
    nulls: Mapping[tuple[str, ...], Mapping[str, np.ndarray]]
    summary: Mapping[str, Any]
    claims: Mapping[str, Any]
    verdicts: pd.DataFrame


def keep(name: str) -> Path:
    """Keep the run of this folder; a run of that name is replaced.

    Raises
    ------
    UserError
        If the name is no name of a folder, or there is no run.
    """
    if not name or Path(name).name != name or name.startswith("."):
        raise UserError(f"{name!r} cannot name a folder")
    needed = [Path("metrics") / file for file in (*COPIED, "nulls.csv")] + [Path("data/capture.json")]
    if missing := [path.as_posix() for path in needed if not path.is_file()]:
        raise UserError(f"there is no run to keep, {missing[0]} is not there: run `dvc repro` first")
    captured = read_json(Path("data/capture.json"))
    about = {key: captured[key] for key in PROVENANCE if key in captured}
    about |= {"words": len(captured["words"]), "categories": len(set(captured["categories"])), "settings": _changed()}
    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    for file in COPIED:
        (folder / file).write_bytes((Path("metrics") / file).read_bytes())
    rows = _read_text(Path("metrics/nulls.csv"))
    kept = rows[np.logical_and.reduce([rows[column].isin(values) for column, values in NULLS.items()])]
    kept.to_csv(folder / "nulls.csv", index=False, lineterminator="\n")
    write_json(folder / "run.json", about)
    return folder


def read_kept(folder: Path = FOLDER) -> list[Kept]:
    """Read all kept runs, by name."""
    return [_read(path) for path in sorted(folder.iterdir()) if path.is_dir()] if folder.is_dir() else []


def _read(path: Path) -> Kept:
    layers = _read_text(path / "rsa.csv")["layer"].astype(int).tolist()  # a hybrid's are not counted from 0
    nulls = {}
    if len(_read_text(path / "nulls.csv")):
        nulls = {(*key[:2], key[4]): cells for key, cells in read_table(path / "nulls.csv", layers).items()}
    return Kept(
        path.name,
        read_json(path / "run.json"),
        read_table(path / "rsa.csv", layers),
        read_table(path / "separability.csv", layers),
        nulls,
        read_json(path / "summary.json"),
        read_json(path / "claims.json"),
        pd.read_csv(path / "verdicts.csv", keep_default_na=False),
    )


def _read_text(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def _changed() -> dict[str, Any]:
    """Return the settings that are not those of the last commit, by key: what makes the run anew."""
    shown = subprocess.run(["git", "show", f"HEAD:{PARAMS.as_posix()}"], capture_output=True, check=False)
    if shown.returncode:
        return {}
    from ruamel.yaml import YAML

    here, there = _leaves(read_yaml(PARAMS)), _leaves(YAML(typ="safe").load(shown.stdout.decode()))
    return {key: value for key, value in here.items() if there.get(key, json) != value}


def _leaves(settings: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(settings, dict):
        return {prefix: settings}
    return {
        key: v for name, part in settings.items() for key, v in _leaves(part, f"{prefix}.{name}".strip(".")).items()
    }
