"""Run a stage as `python -m stages.X` does, and write down what it took: settings, declared files, modules."""

import json
import runpy
import sys
from pathlib import Path


def main(name: str, report: str) -> None:
    sys.path.insert(0, "")  # the folder that is the subject of the test
    from stages.pipeline import stage

    taken = {"params": set(), "inputs": set()}
    get, give = stage.Declared.__getattr__, stage.Stage.input

    def reading(self, key):
        value = get(self, key)
        if not isinstance(value, stage.Declared):
            taken["params"].add(self._prefix + key)
        return value

    def opening(self, path):
        taken["inputs"].add(path)
        return give(self, path)

    stage.Declared.__getattr__, stage.Stage.input = reading, opening
    sys.argv = [f"stages.{name}"]
    runpy.run_module(f"stages.{name}", run_name="__main__", alter_sys=True)  # processes of its own look there
    modules = {
        module.__file__.replace("\\", "/").split("/stages/", 1)[1]
        for key, module in sys.modules.items()
        if (key == "stages" or key.startswith("stages.")) and module.__file__  # none: its docstring is no dep
    }
    found = {**{key: sorted(value) for key, value in taken.items()}, "modules": sorted({*modules, f"{name}.py"})}
    found["torch"] = "torch" in sys.modules
    Path(report).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
