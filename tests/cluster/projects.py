"""A project that runs in seconds: two random models of two or three layers, two lists of six words, no figures."""

import json
import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from ruamel.yaml import YAML

sys.path.insert(0, str(Path(__file__).parents[1]))
from conftest import ROOT, TINY_WORDS, Project, commit, copy_repository, digest

__all__ = ["EXPERIMENTS", "LISTS", "MODELS", "Project", "clone", "digest", "tiny_project"]

MODELS = {"tiny-a": 2, "tiny-b": 3}  # layers
LISTS = ("params.yaml", "data/few.csv")
OTHER_WORDS = {"space": ["sun", "planet", "orbit"], "furniture": ["sofa", "lamp", "table"]}
#: As the array script names them, in the order of its tasks.
EXPERIMENTS = tuple(f"{model}-{Path(words).stem}" for words in LISTS for model in MODELS)


def tiny_project(folder: Path, env: dict[str, str]) -> Project:
    """Make a repository with two tiny models and two word lists, of which nothing has been computed yet.

    Parameters
    ----------
    folder : Path
        Folder that the repository will be.
    env : dict
        Environment of its commands, beside what every test project has.

    Returns
    -------
    Project
        The repository, committed on `main`.
    """
    project = copy_repository(folder)
    project.env = {**project.env, **_changed(env)}
    for name, layers in MODELS.items():
        _model(folder / "data/models" / name, layers)
    project.set(model__name="data/models/tiny-a", model__weights="random", words=TINY_WORDS, focus_layer=1)
    project.set(inference__enabled=False, controls__enabled=False, heads__enabled=False)
    words = [f"{word},{category}\n" for category, listed in OTHER_WORDS.items() for word in listed]
    (folder / LISTS[1]).write_text("".join(["word,category\n", *words]))
    _keep_stages(folder / "dvc.yaml", "claims")
    (folder / "dvc.lock").unlink()
    commit(project)
    return project


def clone(project: Project, address: str, target: Path) -> Project:
    """Clone a repository, in the environment of `project`."""
    project.run("git", "clone", "--quiet", address, str(target), timeout=120)
    cloned = Project(target)
    cloned.env = project.env
    return cloned


def _changed(env: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if os.environ.get(name) != value}


def _model(folder: Path, layers: int) -> None:
    """Describe a model whose weights are random: it needs no weights in its folder."""
    folder.mkdir()
    shape = {"vocab_size": 6144, "n_positions": 64, "n_embd": 16, "n_layer": layers, "n_head": 2}
    description = {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", **shape}
    (folder / "config.json").write_text(json.dumps(description))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(ROOT / "data/models/gpt2-mini" / name, folder / name)


def _keep_stages(path: Path, last: str) -> None:
    """Keep a stage and what it depends on: half of the time goes into figures, which show nothing about machines."""
    yaml = YAML()
    pipeline = yaml.load(path.read_text(encoding="utf-8"))
    stages = pipeline["stages"]
    makers = {out: name for name, stage in stages.items() for out in _paths(stage.get("outs", []))}
    kept, waiting = set(), [last]
    while waiting:
        name = waiting.pop()
        kept.add(name)
        waiting += {makers[path] for path in _paths(stages[name]["deps"]) if path in makers} - kept
    for name in set(stages) - kept:
        del stages[name]
    del pipeline["plots"]
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(pipeline, file)


def _paths(entries: Iterable) -> list[str]:
    return [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]
