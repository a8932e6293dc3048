"""A project that runs in seconds: two random models of two or three layers, two lists of six words, no figures."""

import sys
from pathlib import Path

from ruamel.yaml import YAML

sys.path.insert(0, str(Path(__file__).parents[1]))
from conftest import TINY_WORDS, Project, commit, copy_repository, tiny_model

MODELS = {"tiny-a": 2, "tiny-b": 3}  # layers
LISTS = ("params.yaml", "data/few.csv")
#: As the array script names them, in the order of its tasks.
EXPERIMENTS = tuple(f"{model}-{Path(words).stem}" for words in LISTS for model in MODELS)


def tiny_project(folder: Path) -> Project:
    """Make a repository with two tiny models and two word lists, of which nothing has been computed yet, committed."""
    project = copy_repository(folder)
    for name, layers in MODELS.items():
        tiny_model(folder / "data/models" / name, layers)
    project.set(model__name="data/models/tiny-a", model__weights="random", words=TINY_WORDS, focus_layer=1)
    project.set(inference__enabled=False, controls__enabled=False, heads__enabled=False)
    rows = ["word,category", *(f"{word},space" for word in ("sun", "planet", "orbit"))]
    rows += [f"{word},furniture" for word in ("sofa", "lamp", "table")]
    (folder / LISTS[1]).write_text("\n".join(rows))
    # Half of the time goes into figures, which show nothing about machines.
    yaml, path = YAML(), folder / "dvc.yaml"
    pipeline = yaml.load(path)
    del pipeline["plots"], pipeline["stages"]["figures"], pipeline["stages"]["matrices"], pipeline["stages"]["report"]
    yaml.dump(pipeline, path)
    (folder / "dvc.lock").unlink()
    commit(project)
    return project


def clone(address: Path | str, target: Path) -> Project:
    Project(target.parent).run("git", "clone", "--quiet", str(address), str(target))
    return Project(target)
