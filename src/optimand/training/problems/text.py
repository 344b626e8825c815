"""Language modeling on bytes: one decoder in six sizes, on texts that need no download or on files."""

from __future__ import annotations

import math
from functools import partial

from ...core.validation import check_choice, check_int, check_number
from ...data import TextData, load
from ..batches import WindowData
from ..objective import language_modeling
from ..transformer import SIZES, ByteTransformer
from .register import Parts, training_problem

# what a corpus is called in a problem, and in optimand.data
CORPORA = {
    "kjv": "kjv",
    "pystdlib": "pystdlib",
    "pystdlib-head": "pystdlib_head",
    "shakespeare": "tinyshakespeare",
    "gcide": "gcide",
}

# Steps of a run, rising with the size as the data that a larger model needs does.
_BUDGETS = {"0.2m": 200, "0.5m": 500, "1m": 1000, "3m": 2000, "10m": 5000, "30m": 10000}


def check_corpus(corpus: str) -> str:
    """Return ``corpus`` if it is the name of a text, ``hub:OWNER/SET`` included; ValueError otherwise."""
    if not str(corpus).startswith("hub:"):
        check_choice("corpus", corpus, CORPORA)
    return str(corpus)


def text_of(corpus: str) -> TextData:
    """The text of this name; TypeError if it is a table."""
    data = load(CORPORA.get(corpus, corpus))
    if not isinstance(data, TextData):
        raise TypeError(f"corpus must be a text, got the table {corpus!r}")
    return data


def byte_windows(corpus: str, context: int, evaluate: int) -> WindowData:
    """The bytes of a text in windows."""
    return WindowData.from_text(text_of(corpus), context=context, evaluate=evaluate)


@training_problem("byte-lm", budget=200, target=None, objective=language_modeling, batch_size=8, warmup=0.1, clip=1.0)
def byte_lm(
    *, size: str = "0.2m", corpus: str = "kjv", context: int = 64, dropout: float = 0.0, evaluate: int = 4096
) -> Parts:
    """Transformer language model over bytes, from 0.2 to 30 million parameters, on real text.

    ``size`` is one of 0.2m, 0.5m, 1m, 3m, 10m, 30m; ``corpus`` one of kjv (King James Bible), pystdlib
    (the standard library's sources; pystdlib-head is 1.5 MB of them), shakespeare ($OPTIMAND_DATA/tinyshakespeare),
    gcide (a dictionary of English: Debian's package dict-gcide), or ``hub:OWNER/SET``.
    Ranked by bits per byte on held-out text: ``evaluate`` bytes of the validation part during a run and four
    times as many of the test part at its end, the same ones for every run.
    """
    layers, width, heads = SIZES[check_choice("size", size, SIZES)]
    check_corpus(corpus)
    check_int("context", context, low=2)
    check_int("evaluate", evaluate, low=context)
    check_number("dropout", dropout, low=0, high=1, high_open=True)
    return Parts(
        partial(byte_windows, corpus, context, evaluate),
        partial(ByteTransformer, layers, width, heads, context=context, dropout=dropout),
        f"bytes of {corpus}, transformer of {layers} layers, width {width}, context {context}",
        budget=_BUDGETS[size],
        target=3.67 if (size, corpus) == ("0.2m", "kjv") else math.nan,
    )
