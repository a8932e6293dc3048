"""A project that runs in seconds: two random models of two or three layers, two lists of six words, no figures."""

import sys
from pathlib import Path

from ruamel.yaml import YAML

sys.path.insert(0, str(Path(__file__).parents[1]))
from conftest import TINY_WORDS, Project, commit, copy_repository, digest, tiny_model

__all__ = ["EXPERIMENTS", "LISTS", "MODELS", "Project", "clone", "digest", "tiny_project"]

MODELS = {"tiny-a": 2, "tiny-b": 3}  # layers
LISTS = ("params.yaml", "data/few.csv")
OTHER_WORDS = {"space": ["sun", "planet", "orbit"], "furniture": ["sofa", "lamp", "table"]}
#: As the array script names them, in the order of its tasks.
EXPERIMENTS = tuple(f"{model}-{Path(words).stem}" for words in LISTS for model in MODELS)


def tiny_project(folder: Path) -> Project:
    """Make a repository with two tiny models and two word lists, of which nothing has been computed yet, committed."""
    project = copy_repository(folder)
    for name, layers in MODELS.items():
        tiny_model(folder / "data/models" / name, layers)
    project.set(model__name="data/models/tiny-a", model__weights="random", words=TINY_WORDS, focus_layer=1)
    project.set(inference__enabled=False, controls__enabled=False, heads__enabled=False)
    words = [f"{word},{category}\n" for category, listed in OTHER_WORDS.items() for word in listed]
    (folder / LISTS[1]).write_text("".join(["word,category\n", *words]))
    # Half of the time goes into figures, which show nothing about machines.
    yaml, path = YAML(), folder / "dvc.yaml"
    pipeline = yaml.load(path.read_text(encoding="utf-8"))
    for part, name in [(pipeline["stages"], name) for name in ("figures", "matrices", "report")] + [
        (pipeline, "plots")
    ]:
        del part[name]
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(pipeline, file)
    (folder / "dvc.lock").unlink()
    commit(project)
    return project


def clone(address: Path | str, target: Path) -> Project:
    Project(target.parent).run("git", "clone", "--quiet", str(address), str(target), timeout=120)
    return Project(target)
