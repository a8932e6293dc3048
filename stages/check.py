"""Check the whole of params.yaml, so that a mistake in it stops the run before a model is loaded."""

from stages import settings
from stages.stage import Stage, run


def main(stage: Stage) -> None:
    settings.load(stage.input("params.yaml"))
    # The content never changes: capture depends on this file, and must not run again for a harmless edit.
    stage.output("data/checked.txt").write_text("params.yaml has no mistake\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    run("check", main, __doc__)
