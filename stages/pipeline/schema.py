"""The schema of params.yaml: its sections, their keys, and the checks that need no model."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from stages.pipeline.word_lists import check_words, printable

#: In the place of a sentence's name, in `metrics/sentences.csv`: all of them, and that of `prompt.template`.
ALL_SENTENCES, OWN_SENTENCE = "all", "prompt"


class Section(BaseModel):
    """A block of params.yaml: no unknown key, no key left out, no silent conversion."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _not_blank(text: str) -> str:
    if not text.strip() or text != text.strip():
        raise ValueError(f"{text!r} is empty or has spaces around it")
    return printable(text)


def _has_word(template: str) -> str:
    if template.count("{word}") != 1:
        raise ValueError(f"{template!r} must hold {{word}} exactly once, where each word is put in")
    return template


Text = Annotated[str, AfterValidator(_not_blank)]
Template = Annotated[str, AfterValidator(_has_word)]
Words = Annotated[list[Text], Field(description="a list, one word a line, each after a dash: - pear")]
Memory = Annotated[str, Field(pattern=r"^\d+(\.\d+)? ?[KMGT]i?B$", description="an amount of memory such as 8GB")]
Draws = Annotated[int, Field(ge=20, le=100_000)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Positions = Annotated[list[int], Field(min_length=1, description="a list of whole numbers such as [1, -1]")]


class Model(Section):
    """Which model, and how it computes."""

    name: Text
    revision: Text
    part: Literal["encoder", "decoder"]
    weights: Literal["pretrained", "random"]
    seed: Seed
    dtype: Literal["auto", "float64", "float32", "bfloat16", "float16"]
    device: Literal["auto", "cpu", "cuda", "mps"]
    device_map: Literal["none", "auto"]
    max_memory: dict[int | Text, Memory] = Field(description="a mapping such as {0: 20GB, cpu: 8GB}")

    @model_validator(mode="after")
    def _spread_weights_are_read(self) -> "Model":
        if self.device_map == "auto" and self.weights == "random":
            raise ValueError("device_map: auto spreads weights as it reads them, it cannot go with weights: random")
        return self


class Prompt(Section):
    """The sentence around each word."""

    template: Template
    multi_token: Literal["error", "last", "mean"]


class Tokens(Section):
    """Which tokens of the prompt the analyses read."""

    context: int
    target: Literal["word"] | int


class Capture(Section):
    """What of the activations is kept."""

    positions: Literal["all"] | Positions


class Similarity(Section):
    """How alike two words' vectors are."""

    metric: Literal["cosine", "correlation", "euclidean"]
    transform: Literal["none", "center", "zscore"]
    reference_words: Words
    average_sentences: bool

    @field_validator("reference_words")
    @classmethod
    def _none_or_several(cls, words: list[str]) -> list[str]:
        if len(words) == 1:
            raise ValueError("a single word has no spread: list more, or none to take the words of the analysis")
        if twice := sorted({word for word in words if words.count(word) > 1}):
            raise ValueError(f"{twice[0]!r} is listed twice")
        return words


class Sentences(Section):
    """Further sentences around each word."""

    enabled: bool
    templates: dict[Text, Template] = Field(
        min_length=2, description="a name for each of two or more sentences, and behind it the sentence"
    )
    bootstraps: Literal["auto"] | Draws

    @field_validator("templates")
    @classmethod
    def _different(cls, templates: dict[str, str]) -> dict[str, str]:
        if taken := {ALL_SENTENCES, OWN_SENTENCE} & set(templates):
            raise ValueError(f"a sentence cannot be called {min(taken)}: the table of results does so otherwise")
        listed = list(templates.values())
        if twice := sorted({template for template in listed if listed.count(template) > 1}):
            raise ValueError(f"{twice[0]!r} is listed twice")
        return templates


class Rsa(Section):
    """How alike two matrices' similarities are."""

    comparison: Literal["pearson", "spearman", "cka_debiased"]


class Inference(Section):
    """Tests and intervals."""

    enabled: bool
    permutations: int = Field(ge=19, le=1_000_000)
    shuffles: Literal["auto", "independent", "crossed"]
    bootstraps: Literal["auto"] | Draws
    alpha: float = Field(gt=0, le=0.5)
    seed: Seed


class Controls(Section):
    """What the input gives, and other choices."""

    enabled: bool


class Nulls(Section):
    """The ladder of nulls."""

    enabled: bool
    draws: Literal["auto"] | Annotated[int, Field(ge=20, le=10_000)]
    precision: Literal["auto", "double", "single"]
    seed: Seed


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
    nulls: Nulls
    controls: Controls
    heads: Heads
    sentences: Sentences
    figures: Figures
    words_file: Text
    words: dict[Text, Words] = Field(description="a name for each category, and below it a list of its words")

    @model_validator(mode="after")
    def _enough_words(self) -> "Settings":
        check_words(self.words)
        return self

    @model_validator(mode="after")
    def _sentences_to_average(self) -> "Settings":
        if self.similarity.average_sentences and not self.sentences.enabled:
            raise ValueError("similarity.average_sentences: there is nothing to average, sentences.enabled is false")
        if self.similarity.average_sentences and self.tokens.target != "word":
            raise ValueError("similarity.average_sentences: words are then compared at their own: tokens.target: word")
        return self

    @model_validator(mode="after")
    def _tokens_are_kept(self) -> "Settings":
        kept = self.capture.positions
        for name, token in self.tokens:
            if kept != "all" and token != "word" and token not in kept:  # the word's own token is always kept
                raise ValueError(
                    f"capture.positions: {kept} lacks tokens.{name}, which is {token}: list it as it is written there"
                )
        return self
