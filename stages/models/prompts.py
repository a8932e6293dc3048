"""From words to token ids: every prompt in a row, the word in the same place in each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.errors import UserError


@dataclass(frozen=True)
class Prompts:
    """Tokenised prompts.

    A word of several tokens takes one position like any other, so that positions mean the same in every prompt.

    Attributes
    ----------
    ids : list of list of int
        Token ids, one list a word.
    tokens : list of list of str
        The same as the tokenizer writes them.
    before, after : int
        Positions before and after the word's.
    spans : list of range
        Which tokens of the prompt are the word.
    """

    ids: list[list[int]]
    tokens: list[list[str]]
    before: int
    after: int
    spans: list[range]

    @property
    def positions(self) -> int:
        """How many positions a prompt has: the word's counts as one."""
        return self.before + 1 + self.after

    def sources(self) -> np.ndarray:
        """Which token each position is read from, shape (words, positions): at the word, its last token."""
        rows = [
            [*range(span.start), span[-1], *range(span.stop, len(ids))]
            for ids, span in zip(self.ids, self.spans, strict=True)
        ]
        return np.array(rows)


def tokenise(tokenizer: Any, words: Sequence[str], template: str, multi_token: str) -> Prompts:
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

    Raises
    ------
    UserError
        For words of several tokens (all of them listed), for a word that is no token of its own, and where the text
        around the word is tokenised differently from word to word.
    """
    head, tail = template.split("{word}")
    ids, tokens, spans = [], [], []
    for word in words:
        encoded = tokenizer(head + word + tail, return_offsets_mapping=True)
        start, stop = len(head), len(head) + len(word)
        # A token covers the word where their characters overlap; a leading space may belong to the token as well.
        own = [i for i, (left, right) in enumerate(encoded["offset_mapping"]) if left < stop and right > start]
        if not own:
            raise UserError(f"words: {word!r} has no token of its own in {template!r}")
        ids.append(list(encoded["input_ids"]))
        tokens.append(tokenizer.convert_ids_to_tokens(encoded["input_ids"]))
        spans.append(range(own[0], own[-1] + 1))
    several = {w: t[s.start : s.stop] for w, t, s in zip(words, tokens, spans, strict=True) if len(s) > 1}
    if several and multi_token == "error":
        listed = "; ".join(f"{word} = {' '.join(pieces)}" for word, pieces in several.items())
        raise UserError(
            f"words of several tokens: {listed}\n"
            "choose other words, or set prompt.multi_token to last or mean (of their tokens' vectors)"
        )
    around = {(tuple(i[: s.start]), tuple(i[s.stop :])) for i, s in zip(ids, spans, strict=True)}
    if len(around) > 1:
        raise UserError(
            f"prompt.template: the text around the word is tokenised differently from word to word in {template!r}; "
            "put a space between {word} and the rest"
        )
    before, after = around.pop()
    return Prompts(ids, tokens, len(before), len(after), spans)
