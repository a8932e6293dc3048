"""Random numbers: one seed, and from it a generator of its own for each thing that is drawn."""

import numpy as np

#: What is drawn. A new stream goes to the end: the earlier ones keep their numbers.
STREAMS = ("words", "labels", "bootstrap", "nulls", "matching", "sentences", "halves")


def stream(seed: int, name: str) -> np.random.Generator:
    """Return the generator of one stream.

    Two stages that ask for the same stream draw the same numbers: the resamples of words are the same wherever
    intervals are made. Streams are independent of one another. KeyError if there is none of this name.
    """
    children = dict(zip(STREAMS, np.random.SeedSequence(seed).spawn(len(STREAMS)), strict=True))
    return np.random.default_rng(children[name])
