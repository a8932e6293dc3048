"""From words to token ids: every prompt in a row, the word in the same place in each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.pipeline.errors import UserError, some_of


@dataclass(frozen=True)
class Prompts:
    """Tokenised prompts.

    Positions count the tokens of the text. A word of several tokens takes one position like any other, and tokens that
    the tokenizer adds around the text ([CLS], [SEP], <s>) take none: so positions mean the same in every prompt and
    every model. The model sees all tokens.

    Attributes
    ----------
    names : sequence of str
        The words.
    ids : list of list of int
        Token ids, one list a word.
    tokens : list of list of str
        The same as the tokenizer writes them.
    words : list of range
        Which tokens of each prompt are the word.
    before, after : list of int
        The tokens of the text before the word, counted from the prompt's start, and after it, counted from its end.
    """

    names: Sequence[str]
    ids: list[list[int]]
    tokens: list[list[str]]
    words: list[range]
    before: list[int]
    after: list[int]

    @property
    def word_position(self) -> int:
        """Which position is the word's."""
        return len(self.before)

    @property
    def positions(self) -> int:
        """How many positions a prompt has."""
        return len(self.before) + 1 + len(self.after)

    @property
    def shared(self) -> int:
        """How many tokens all prompts begin with; at least one token of each prompt is left over."""
        shortest = min(map(len, self.ids)) - 1
        columns = zip(*(ids[:shortest] for ids in self.ids), strict=True)
        different = (i for i, column in enumerate(columns) if len(set(column)) > 1)
        return next(different, shortest)

    def sources(self) -> np.ndarray:
        """Which token each position is read from, shape (words, positions): at the word, its last token."""
        return np.array(
            [
                [*self.before, word[-1], *(len(ids) + i for i in self.after)]
                for ids, word in zip(self.ids, self.words, strict=True)
            ]
        )


def tokenise(
    tokenizer: Any,
    words: Sequence[str],
    template: str,
    multi_token: str,
    start: int | None = None,
    setting: str = "words",
) -> Prompts:
    """Put every word into the template and tokenise it.

    Parameters
    ----------
    tokenizer : transformers tokenizer
        A fast one: it tells which characters a token covers.
    words : sequence of str
    template : str
        Holds ``{word}`` once.
    multi_token : {"error", "last", "mean"}
        "error" refuses words of several tokens.
    start : int, optional
        A token to put before each prompt, which takes no position.
    setting : str
        The key of params.yaml that lists the words, for messages.

    Raises
    ------
    UserError
        For words of several tokens (all of them listed), for a word that is no token of its own, and where the text
        around the word is tokenised differently from word to word.
    """
    if not tokenizer.is_fast:
        raise UserError(
            "model.name: its tokenizer cannot tell which characters a token covers (it has no fast version)"
        )
    head, tail = template.split("{word}")
    encoded = tokenizer(
        [head + word + tail for word in words], return_offsets_mapping=True, return_special_tokens_mask=True
    )
    begun = {"input_ids": [start], "offset_mapping": [(0, 0)], "special_tokens_mask": [1]}
    ids, every, masks = (
        [[*(first if start is not None else []), *row] for row in encoded[name]] for name, first in begun.items()
    )
    tokens = [tokenizer.convert_ids_to_tokens(row) for row in ids]
    own, around = [], []
    rows = zip(words, ids, every, masks, strict=True)
    for word, row, offsets, special in rows:
        start, stop = len(head), len(head) + len(word)
        text = [i for i in range(len(row)) if not special[i]]
        # A token covers the word where their characters overlap; a leading space may belong to the token as well.
        covering = [i for i in text if offsets[i][0] < stop and offsets[i][1] > start]
        if not covering:
            raise UserError(f"{setting}: {word!r} has no token of its own in {template!r}")
        own.append(range(covering[0], covering[-1] + 1))
        before = [i for i in text if i < own[-1].start]
        after = [i - len(row) for i in text if i >= own[-1].stop]
        around.append((before, after, row[: own[-1].start], row[own[-1].stop :]))
    several = {word: row[span.start : span.stop] for word, row, span in zip(words, tokens, own, strict=True)}
    several = {word: pieces for word, pieces in several.items() if len(pieces) > 1}
    if several and multi_token == "error":
        listed = some_of([f"{word} = {' '.join(pieces)}" for word, pieces in several.items()], 100)
        raise UserError(
            f"{setting} of several tokens: {listed}\n{_space_before(tokenizer, words, template, len(several))}"
            "choose other words, or set prompt.multi_token to last or mean (of their tokens' vectors)"
        )
    if any(other != around[0] for other in around):
        raise UserError(
            f"prompt.template: the text around the word is tokenised differently from word to word in {template!r}; "
            "put a space between {word} and the rest"
        )
    return Prompts(words, ids, tokens, own, around[0][0], around[0][1])


def _space_before(tokenizer: Any, words: Sequence[str], template: str, several: int) -> str:
    """Say how many words would be single tokens behind a space; nothing where there is one, or it does not help."""
    head, tail = template.split("{word}")
    if head.endswith(" "):
        return ""
    spaced = f"{head} {{word}}{tail}"
    try:
        prompts = tokenise(tokenizer, words, spaced, "last")
    except UserError:
        return ""
    single = sum(len(word) == 1 for word in prompts.words)
    if single <= len(words) - several:
        return ""
    return f'{single} of {len(words)} are single tokens with a space before {{word}}: prompt.template: "{spaced}"; or '


def check_same_frame(prompts: Prompts, reference: Prompts) -> None:
    """Raise a `UserError` if the reference words' prompts do not have the tokens of the others around the word."""
    if (prompts.before, prompts.after) != (reference.before, reference.after):
        raise UserError(
            "similarity.reference_words: the prompt around them has other tokens than around the words; "
            "put a space between {word} and the rest of prompt.template"
        )
