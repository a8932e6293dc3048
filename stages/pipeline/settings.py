"""The schema of params.yaml: every check of a user's input that needs no model, in the user's words."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    field_validator,
    model_validator,
)
from ruamel.yaml import YAML, YAMLError

from stages.pipeline.errors import UserError

PARAMS = Path("params.yaml")


class Section(BaseModel):
    """A block of params.yaml: no unknown key, no key left out, no silent conversion."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _not_blank(text: str) -> str:
    if not text.strip() or text != text.strip():
        raise ValueError(f"{text!r} is empty or has spaces around it")
    return text


def _has_word(template: str) -> str:
    if template.count("{word}") != 1:
        raise ValueError(f"{template!r} must hold {{word}} exactly once, where each word is put in")
    return template


def _all_or_several(positions: Any) -> Any:
    listed = isinstance(positions, list) and positions and all(type(position) is int for position in positions)
    if positions != "all" and not listed:
        raise ValueError(f"{positions!r} is neither all nor a list of whole numbers such as [1, -1]")
    return positions


Text = Annotated[str, AfterValidator(_not_blank)]


class Model(Section):
    """Which model, and how it computes."""

    name: Text
    revision: Text
    weights: Literal["pretrained", "random"]
    seed: int = Field(ge=0)
    dtype: Literal["float32", "bfloat16", "float16"]
    device: Literal["auto", "cpu", "cuda", "mps"]
    device_map: Literal["none", "auto"]
    max_memory: dict[int | Text, Annotated[str, Field(pattern=r"^\d+(\.\d+)? ?[KMGT]i?B$")]]

    @model_validator(mode="after")
    def _spread_weights_are_read(self) -> "Model":
        if self.device_map == "auto" and self.weights == "random":
            raise ValueError("device_map: auto spreads weights as it reads them, it cannot go with weights: random")
        return self


class Prompt(Section):
    """The sentence around each word."""

    template: Annotated[str, AfterValidator(_has_word)]
    multi_token: Literal["error", "last", "mean"]


class Tokens(Section):
    """Which tokens of the prompt the analyses read."""

    context: int
    target: int


class Capture(Section):
    """What of the activations is kept."""

    positions: Annotated[Literal["all"] | list[int], PlainValidator(_all_or_several)]


class Similarity(Section):
    """How alike two words' vectors are."""

    metric: Literal["cosine", "correlation", "euclidean"]
    transform: Literal["none", "center", "zscore"]
    reference_words: list[Text]

    @field_validator("reference_words")
    @classmethod
    def _none_or_several(cls, words: list[str]) -> list[str]:
        if len(words) == 1:
            raise ValueError("a single word has no spread: list more, or none to take the words of the analysis")
        if twice := sorted({word for word in words if words.count(word) > 1}):
            raise ValueError(f"{twice[0]!r} is listed twice")
        return words


class Rsa(Section):
    """How alike two matrices' similarities are."""

    comparison: Literal["pearson", "spearman", "cka_debiased"]


class Inference(Section):
    """Tests and intervals."""

    enabled: bool
    permutations: int = Field(ge=19)
    bootstraps: int = Field(ge=20)
    alpha: float = Field(gt=0, le=0.5)
    seed: int = Field(ge=0)


class Controls(Section):
    """The random-projection floor, and matched pairs."""

    enabled: bool
    draws: int = Field(ge=20)
    bins: int = Field(ge=2, le=1000)
    matches: int = Field(ge=20)


class Heads(Section):
    """The scores of single attention heads."""

    enabled: bool


class Figures(Section):
    """How the figures look."""

    theme: Literal["dark", "light"]
    dpi: int = Field(ge=50, le=600)
    bands: bool
    marks: bool


class Settings(Section):
    """The whole of params.yaml."""

    model: Model
    prompt: Prompt
    tokens: Tokens
    capture: Capture
    similarity: Similarity
    rsa: Rsa
    focus_layer: int = Field(ge=0)
    inference: Inference
    controls: Controls
    heads: Heads
    figures: Figures
    words_file: Text
    words: dict[Text, list[Text]]

    @model_validator(mode="after")
    def _enough_words(self) -> "Settings":
        check_words(self.words)
        return self

    @model_validator(mode="after")
    def _tokens_are_kept(self) -> "Settings":
        kept = self.capture.positions
        for name, token in self.tokens:
            if kept != "all" and token not in kept:
                raise ValueError(
                    f"capture.positions: {kept} lacks tokens.{name}, which is {token}: list it as it is written there"
                )
        return self


def check_words(
    words: Mapping[str, Sequence[str]], source: str = "words", lines: Mapping[str, Sequence[int]] | None = None
) -> None:
    """Check that a list of words can be analysed.

    Parameters
    ----------
    words : mapping of str to sequence of str
        Category → its words.
    source : str
        Where they are listed, for messages: the key of params.yaml, or a file.
    lines : mapping of str to sequence of int, optional
        Word → the lines of the file that hold it, for messages.

    Raises
    ------
    ValueError
        If there are fewer than two categories, fewer than two words in one, fewer than three pairs of words within or
        across categories, or a word is listed twice.
    """
    if len(words) < 2:
        raise ValueError(f"{source}: {len(words)} category, at least two are compared: add words of another")
    first: dict[str, str] = {}
    for word, category in zip(*flatten(words), strict=True):
        if word in first:
            where = f"twice in {category}" if first[word] == category else f"in {first[word]} and in {category}"
            where += f" (lines {' and '.join(map(str, lines[word]))})" if lines else ""
            raise ValueError(f"{source}: {word!r} is listed {where}: each word counts once")
        first[word] = category
    for category, listed in words.items():
        if len(listed) < 2:
            found = "is empty" if not listed else "has a single word"
            raise ValueError(f"{source}: the category {category} {found}, a pair within it needs at least two")
    within = sum(len(listed) * (len(listed) - 1) // 2 for listed in words.values())
    for name, pairs in {"within": within, "across": len(first) * (len(first) - 1) // 2 - within}.items():
        if pairs < 3:
            raise ValueError(f"{source}: {pairs} word pairs {name} categories, a correlation needs three: add words")


def flatten(words: Mapping[str, Sequence[str]]) -> tuple[list[str], list[str]]:
    """List all words in order, and the category of each.

    Parameters
    ----------
    words : mapping of str to sequence of str
        Category → its words.

    Returns
    -------
    words, categories : list of str
        Both of the same length: one entry a word.
    """
    pairs = [(word, category) for category, listed in words.items() for word in listed]
    return [word for word, _ in pairs], [category for _, category in pairs]


def read_yaml(path: str | Path) -> Any:
    """Read a YAML file as DVC does (YAML 1.2: a bare ``no`` is text, a bare ``7`` is not).

    Raises
    ------
    UserError
        If the file is missing or not YAML; the message names the line.
    """
    try:
        return YAML(typ="safe").load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run this in the repository's own folder") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8 text: save it again in that encoding") from None
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{path}{line}: not valid YAML: {getattr(error, 'problem', error)}") from None


def load(path: str | Path = PARAMS) -> Settings:
    """Read and check the settings.

    Parameters
    ----------
    path : str or Path
        The YAML file, ``params.yaml`` unless told.

    Returns
    -------
    Settings
        Frozen, every key present and of its type.

    Raises
    ------
    UserError
        One line a mistake: the key, what is wrong with it, what would be right.
    """
    raw = read_yaml(path)
    if not isinstance(raw, dict):
        raise UserError(f"{path} holds no settings: it must have the sections {', '.join(Settings.model_fields)}")
    try:
        return Settings.model_validate(raw)
    except ValidationError as error:
        raise UserError("\n".join(f"{path}: {_in_words(problem)}" for problem in error.errors())) from None


def check_focus_layer(focus_layer: int, layers: int) -> None:
    """Raise a `UserError` if the model has no layer `focus_layer`; only a captured run knows how many it has."""
    if focus_layer >= layers:
        raise UserError(f"focus_layer: {focus_layer} is not a layer of this model, which has 0 to {layers - 1}")


def find_token(token: int, length: int, setting: str) -> int:
    """Give the place of a token in a prompt of `length` tokens, counted from 0; only a captured run knows the length.

    Raises
    ------
    UserError
        If the prompt has no such token; `setting` is the key of params.yaml that chose it.
    """
    if not -length <= token < length:
        raise UserError(f"{setting}: {token} is outside the prompt of {length} tokens: {-length} to {length - 1}")
    return token % length


def _in_words(problem: Mapping[str, Any]) -> str:
    """Say one of pydantic's findings in the user's words."""
    key = ".".join(str(part) for part in problem["loc"] if part != "[key]")
    value, context = problem["input"], problem.get("ctx", {})
    match problem["type"]:
        case "missing":
            return f"{key} is missing"
        case "extra_forbidden":
            names = _known_keys(problem["loc"][:-1])
            close, known = difflib.get_close_matches(str(problem["loc"][-1]), names, n=1), ", ".join(names)
            return f"{key} is not a setting; {f'did you mean {close[0]}?' if close else f'known: {known}'}"
        case "literal_error":
            return f"{key}: {value!r} is not known; choose one of {context['expected'].replace(' or ', ', ')}"
        case "string_pattern_mismatch":
            return f"{key}: {value!r} is not an amount of memory such as 8GB"
        case "string_type" if problem["loc"][0] == "words" or "reference_words" in problem["loc"]:
            return f"{_position(problem['loc'])}: {value!r} is not text; put it in quotes or write another word"
        case "string_type":
            return f"{key}: {value!r} is not text; put it in quotes"
        case "value_error":
            message = str(context["error"])
            return f"{_position(problem['loc'])}: {message}" if problem["loc"] else message
        case _:
            return f"{key}: {value!r}: {problem['msg'][0].lower()}{problem['msg'][1:]}"


def _position(loc: tuple) -> str:
    """Name a place in params.yaml: `words.fruit, word 3` rather than `words.fruit.2`."""
    if loc and loc[-1] == "[key]":
        return "words, the name of a category"
    if loc and isinstance(loc[-1], int):
        return f"{'.'.join(map(str, loc[:-1]))}, word {loc[-1] + 1}"
    return ".".join(map(str, loc))


def _known_keys(loc: tuple) -> list[str]:
    section: Any = Settings
    for part in loc:
        section = section.model_fields[part].annotation
    return list(section.model_fields)
