"""Further sentences: the words in each, and of each the vectors of the word's own token."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import nn

from stages.models.capture import Write, capture, shapes
from stages.models.passes import farthest_back
from stages.models.projections import Projection
from stages.models.prompts import Prompts, tokenise
from stages.pipeline.errors import UserError, shortened


def tokenise_sentences(
    tokenizer: Any,
    words: Sequence[str],
    templates: Mapping[str, str],
    multi_token: str,
    start: int | None,
    most: int | None,
) -> dict[str, Prompts]:
    """Tokenise the words in every sentence, before the first is run; a mistake names its sentence.

    Parameters
    ----------
    tokenizer, words, multi_token, start, most
        As `tokenise`; so are errors.
    templates : mapping of str to str
        Sentences with ``{word}``, by name.

    Returns
    -------
    dict of str to Prompts
    """
    found = {}
    for name, template in templates.items():
        try:
            found[name] = tokenise(tokenizer, words, template, multi_token, start, most)
        except UserError as error:
            said = str(error).replace("prompt.template: ", "")
            raise UserError(f"sentences.templates.{name}, {shortened(repr(template))}: {said}") from None
    return found


def sentence_shapes(projections: Sequence[Projection], sentences: Mapping[str, Prompts]) -> dict[str, tuple[int, ...]]:
    """Return what `capture_sentences` fills: name → shape.

    ``attn_{layer}_{q,k,v,x}``, shape (sentences × words, 1, units), sentence behind sentence; a bias, the same in all,
    is left out. Of no sentences, nothing.

    Parameters
    ----------
    projections : sequence of Projection
        One a layer.
    sentences : mapping of str to Prompts
        By name.
    """
    prompts = sum(len(some.ids) for some in sentences.values())
    every = shapes(projections, prompts, 1) if prompts else {}
    return {name: shape for name, shape in every.items() if not name.endswith("_bias")}


def capture_sentences(
    model: nn.Module,
    projections: Sequence[Projection],
    sentences: Mapping[str, Prompts],
    write: Write,
    multi_token: str,
    way: str,
) -> dict[str, str]:
    """Run all sentences and keep the vectors of the word's own token, sentence behind sentence.

    Parameters
    ----------
    model, projections, multi_token
        As `capture`; so are errors.
    sentences : mapping of str to Prompts
        By name; the same words in each.
    write : callable
        As that of `capture`, for the arrays of `sentence_shapes`.
    way : str
        How other prompts of these words were divided into passes. A faster way that has held there, or in the sentence
        before, is held against one whole prompt, not three.

    Returns
    -------
    dict of str to str
        How the prompts of each sentence were divided into passes.
    """
    ways: dict[str, str] = {}
    first = 0
    for name, prompts in sentences.items():

        def below(key: str, row: int, block: np.ndarray, first: int = first) -> None:
            if not key.endswith("_bias"):
                write(key, first + row, block)

        rows = [farthest_back(model, prompts)] if way == "packed" else []
        way, _ = capture(model, projections, prompts, below, [prompts.word_position], multi_token, rows)
        ways[name] = way
        first += len(prompts.ids)
    return ways
