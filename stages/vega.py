"""Write the plotting library Vega-Lite as one script, so that the pages that draw with it need no network."""

import vl_convert

from stages.pipeline.stage import Stage, run


def main(stage: Stage) -> None:
    # In a function of its own: the bundle's many short names would be the page's otherwise.
    script = f"(() => {{\n{vl_convert.javascript_bundle()}\n}})();\n"
    stage.output("plots/vega.js").write_text(script, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    run("vega", main, __doc__)
