"""Texts as tokens: byte-pair encoding learned from the training part, so that whole words can be one token.

Tokens are made of bytes, every byte is one, and nothing is lost: bits per token times tokens is bits of the text, so
that bits per byte compare across vocabularies. What was learned is kept in a cache folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.caching import cache_folder
from ..core.recorder import write_atomically
from ..core.validation import OptimandError, check_int
from .containers import TextData

FORMAT = 1  # of the cached files; counts up when the encoding changes
# GPT-2's pieces on single-byte characters: a word or a number with the space before it, marks, white space.
PIECES = r" ?[A-Za-z\x80-\xff]+| ?[0-9]+| ?[^\sA-Za-z0-9\x80-\xff]+|\s+(?!\S)|\s+"
CHUNK = 1 << 16  # bytes that are encoded at once, cut at the end of a line
LARGEST = 1 << 20  # tokens of a vocabulary; the package allocates for as many as it is asked for
SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class TokenText:
    """A text as tokens (uint16 or int32 arrays), cut into the parts of the text that it was made from.

    Attributes:
        name: the text's name with the vocabulary.
        train, valid, test: token numbers.
        lengths: bytes of each token of the vocabulary.
        spelling: the tokens of the vocabulary, one after another (uint8).
        source: where the text comes from, one line.
    """

    name: str
    train: NDArray[Any]
    valid: NDArray[Any]
    test: NDArray[Any]
    lengths: NDArray[np.int64]
    spelling: NDArray[np.uint8]
    source: str

    def decode(self, tokens: NDArray[Any]) -> bytes:
        """The text that ``tokens`` stand for."""
        ends = np.cumsum(self.lengths)
        content = self.spelling.tobytes()
        return b"".join(content[ends[i] - self.lengths[i] : ends[i]] for i in tokens.tolist())


def bpe(data: TextData, vocab: int) -> TokenText:
    """Learn a byte-pair encoding of at most ``vocab`` tokens from the training part, and encode all parts.

    Args:
        data: the text.
        vocab: size of the vocabulary, from 256 to :data:`LARGEST`; a small text may not yield so many tokens.

    Raises:
        ValueError: ``vocab`` is out of range.
        OptimandError: the package ``tokenizers`` is not installed.

    Reference:
        Sennrich, Haddow, Birch, Neural Machine Translation of Rare Words with Subword Units, arXiv 1508.07909.
    """
    check_int("vocab", vocab, low=256, high=LARGEST)
    try:
        import tokenizers
    except ImportError as error:
        raise OptimandError("tokenizer 'bpe' needs the package tokenizers: pip install 'optimand[bpe]'") from error
    key = f"{FORMAT} {data.digest} {vocab} {tokenizers.__version__}"
    name = f"{data.name.replace('/', '-')}-{vocab}-{hashlib.sha256(key.encode()).hexdigest()[:12]}.npz"
    file = cache_folder("tokens") / name
    found = _read(file)
    if found is None:
        found = _learn(data, vocab)
        _write(file, found)
    return TokenText(f"{data.name}, {vocab} tokens", **found, source=data.source)


def _learn(data: TextData, vocab: int) -> dict[str, NDArray[Any]]:
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    # Each byte stands as one character, so that a token's bytes are its characters.
    tokenizer: Any = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(PIECES), behavior="isolated")
    alphabet = [chr(byte) for byte in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=vocab, initial_alphabet=alphabet, show_progress=False, special_tokens=[])
    tokenizer.train_from_iterator(_chunks(data.train), trainer)
    size = tokenizer.get_vocab_size()
    kind = np.uint16 if size <= 1 << 16 else np.int32
    table = [tokenizer.id_to_token(i).encode("latin-1") for i in range(size)]
    lengths = np.array([len(token) for token in table], dtype=np.int64)
    parts = {
        split: np.concatenate([np.array(tokenizer.encode(c).ids, dtype=kind) for c in _chunks(getattr(data, split))])
        for split in SPLITS
    }
    return {**parts, "lengths": lengths, "spelling": np.frombuffer(b"".join(table), dtype=np.uint8)}


def _chunks(text: NDArray[np.uint8]) -> Iterator[str]:
    content, start = text.tobytes(), 0
    while start < len(content):
        stop = content.rfind(b"\n", start, start + CHUNK) + 1
        stop = stop if stop > 0 else start + CHUNK
        yield content[start:stop].decode("latin-1")
        start = stop


def _read(file: Path) -> dict[str, NDArray[Any]] | None:
    try:
        with np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in (*SPLITS, "lengths", "spelling")}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


def _write(file: Path, content: dict[str, NDArray[Any]]) -> None:
    """Store what was learned; where the folder cannot be written, every process learns anew."""
    buffer = io.BytesIO()
    np.savez(buffer, **content)  # type: ignore[arg-type]
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, buffer.getvalue())
