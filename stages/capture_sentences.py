"""Run the words through further sentences and keep, of each, the vectors of the word's own token in every layer."""

from functools import partial
from typing import Any

import numpy as np

from stages.artefacts.tensors import TensorWriter, write_no_tensors
from stages.models.capture import capture, shapes
from stages.models.load import load_chosen
from stages.models.projections import find_projections
from stages.models.prompts import Prompts, tokenise
from stages.models.prove import prove
from stages.pipeline.errors import UserError
from stages.pipeline.stage import Stage, run
from stages.pipeline.word_lists import flatten, read_words


def main(stage: Stage) -> None:
    chosen, path = stage.settings.sentences, stage.output("data/sentences.safetensors")
    if not chosen.enabled:
        print("sentences.enabled is false: no further sentence is run")
        write_no_tensors(path)
        return
    loaded, multi_token = load_chosen(stage.settings.model), stage.settings.prompt.multi_token
    model, choices = loaded.model, (multi_token, getattr(loaded.model, "start", None))
    words, _ = flatten(read_words(stage.input("data/word_list.csv")))
    words = [*words, *stage.settings.similarity.reference_words]
    names, templates = list(chosen.templates), list(chosen.templates.values())
    # All are tokenised before the first is run: a mistake in the last does not cost the time of the others.
    prompts = [tokenised(loaded.tokenizer, words, *named, *choices) for named in chosen.templates.items()]
    projections = find_projections(model)
    prove(model, projections, prompts[0].ids[0])
    sizes = {
        name: shape
        for name, shape in shapes(projections, len(templates) * len(words), 1).items()
        if not name.endswith("_bias")  # the same in every sentence, and not asked for
    }
    with TensorWriter(path, sizes, {"names": names, "templates": templates}) as file:
        way = ""
        for place, sentence in enumerate(prompts):
            write = partial(write_rows, file, sizes, place * len(words))
            # What has held in the first sentence is held against one whole prompt in the others.
            rows = [len(words) - 1] if way in ("packed", "cached") else []
            way, _ = capture(model, projections, sentence, write, [sentence.word_position], multi_token, rows)
            print(f"{names[place]:18} {len(words)} prompts {way}")


def tokenised(tokenizer: Any, words: list[str], name: str, template: str, *choices: Any) -> Prompts:
    """Tokenise the words in a sentence; a mistake names it."""
    try:
        return tokenise(tokenizer, words, template, *choices)
    except UserError as error:
        raise UserError(f"sentences.templates.{name}, {template!r}: {error}") from None


def write_rows(
    file: TensorWriter, sizes: dict[str, tuple[int, ...]], first: int, name: str, row: int, block: np.ndarray
) -> None:
    """Write rows of one sentence behind those of the sentences before it."""
    if name in sizes:
        file.write(name, first + row, block)


if __name__ == "__main__":
    run("capture_sentences", main, __doc__)
