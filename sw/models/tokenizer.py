"""Tokenizers: text to token ids and back, for models that read bytes and for those that do not."""

import heapq
import json
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from configs.errors import InputError

# pre-tokenizers of GGUF files (key tokenizer.ggml.pre) that split off every digit, and that do not
SINGLE_DIGITS = ("smollm",)
PLAIN = ("gpt-2",)
CONTROL, USER_DEFINED = 3, 4  # values of tokenizer.ggml.token_type


class Tokenizer(Protocol):
    """Text to token ids and back."""

    def encode(self, text: str) -> list[int]:
        """Ids of ``text``, with the first token that the model expects, if it does expect one."""

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ``ids``; bytes that are not UTF-8 become U+FFFD.

        Raises
        ------
        InputError : an id outside the vocabulary.
        """

    def byte_lengths(self, ids: Sequence[int]) -> list[int]:
        """UTF-8 bytes of text that each of ``ids`` stands for, where they follow each other.

        Raises
        ------
        InputError : an id outside the vocabulary, or a tokenizer that does not keep all text.
        """


class ByteTokenizer:
    """Token id = byte."""

    def encode(self, text: str) -> list[int]:
        """UTF-8 bytes of ``text``."""
        return list(text.encode())

    def decode(self, ids: Sequence[int]) -> str:
        """Text of bytes ``ids``."""
        _check_ids(ids, 256)
        return bytes(ids).decode(errors="replace")

    def byte_lengths(self, ids: Sequence[int]) -> list[int]:
        """One each."""
        _check_ids(ids, 256)
        return [1] * len(ids)


class ScoredTokenizer:
    """Byte-pair encoding by scores, as in llama2.c and SentencePiece.

    Text becomes single characters (bytes where a character has no token); of all adjacent pairs
    whose concatenation is a token, the one with the highest score is merged, the leftmost of equal
    ones, until there is none. A blank is put before the text, and the beginning-of-sequence token
    (id 1) before that.

    Parameters
    ----------
    pieces : bytes of each token; ids 0 to 2 are unknown, beginning and end of sequence, and ids
        3 to 258 stand for the bytes 0 to 255.
    scores : one for each token.
    """

    START, STOP, FIRST_BYTE = 1, 2, 3

    def __init__(self, pieces: Sequence[bytes], scores: Sequence[float]) -> None:
        self._pieces = list(pieces)
        self._scores = list(scores)
        self._ids: dict[bytes, int] = {}
        for index, piece in enumerate(pieces):
            self._ids.setdefault(piece, index)

    def encode(self, text: str) -> list[int]:
        """Ids of ``text``, the beginning-of-sequence token first."""
        if not text:
            return [self.START]
        symbols: list[int] = []
        for character in " " + text:
            raw = character.encode()
            known = self._ids.get(raw)
            symbols += [b + self.FIRST_BYTE for b in raw] if known is None else [known]
        return [self.START, *self._merged(symbols)]

    def _merged(self, ids: list[int]) -> list[int]:
        """Apply the merges; a heap of candidate pairs over a linked list of tokens."""
        after = [*range(1, len(ids)), -1]
        before = list(range(-1, len(ids) - 1))
        heap: list[tuple[float, int, int, int, int]] = []

        def offer(left: int) -> None:
            right = after[left] if left >= 0 else -1
            if right >= 0:
                merged = self._ids.get(self._pieces[ids[left]] + self._pieces[ids[right]])
                if merged is not None:
                    heapq.heappush(
                        heap, (-self._scores[merged], left, ids[left], ids[right], merged)
                    )

        for place in range(len(ids)):
            offer(place)
        while heap:
            _, left, first, second, merged = heapq.heappop(heap)
            right = after[left]
            if right < 0 or (ids[left], ids[right]) != (first, second):
                continue  # one of the two has been merged meanwhile
            ids[left], ids[right] = merged, -1
            after[left] = after[right]
            if after[right] >= 0:
                before[after[right]] = left
            offer(before[left])
            offer(left)
        return [token for token in ids if token >= 0]

    def _texts(self, ids: Sequence[int]) -> list[bytes]:
        """Bytes that each token stands for, without the blank that encoding put first."""
        _check_ids(ids, len(self._pieces))
        texts: list[bytes] = []
        for place, token in enumerate(ids):
            piece = self._pieces[token]
            if token in (self.START, self.STOP):
                piece = b""
            elif self.FIRST_BYTE <= token < self.FIRST_BYTE + 256:
                piece = bytes([token - self.FIRST_BYTE])
            elif place and ids[place - 1] == self.START and piece.startswith(b" "):
                piece = piece[1:]
            texts.append(piece)
        return texts

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ``ids``; beginning and end of sequence stand for nothing."""
        return b"".join(self._texts(ids)).decode(errors="replace")

    def byte_lengths(self, ids: Sequence[int]) -> list[int]:
        """Bytes of each token; none for beginning and end of sequence."""
        return [len(text) for text in self._texts(ids)]


class LibraryTokenizer:
    """A tokenizer of the ``tokenizers`` library.

    Parameters
    ----------
    inner : a ``tokenizers.Tokenizer``.
    piece_bytes : bytes that a token (as the vocabulary spells it) stands for; None if the
        tokenizer does not keep all text.
    start : id put before every text, or None.
    """

    def __init__(
        self, inner: Any, piece_bytes: Callable[[str], int] | None, start: int | None = None
    ) -> None:
        self._inner = inner
        self._piece_bytes = piece_bytes
        self._start = [] if start is None else [start]

    @property
    def vocab_size(self) -> int:
        """Number of tokens, special ones included."""
        return self._inner.get_vocab_size(with_added_tokens=True)

    def encode(self, text: str) -> list[int]:
        """Ids of ``text`` with the special tokens of the tokenizer around it."""
        return self._start + self._inner.encode(text).ids

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ``ids``, special tokens spelled out."""
        _check_ids(ids, self.vocab_size)
        return self._inner.decode([int(i) for i in ids], skip_special_tokens=False)

    def byte_lengths(self, ids: Sequence[int]) -> list[int]:
        """Bytes of each token; a special one counts as it is spelled."""
        _check_ids(ids, self.vocab_size)
        lengths = self._lengths
        return [lengths[int(i)] for i in ids]

    @cached_property
    def _lengths(self) -> dict[int, int]:
        if self._piece_bytes is None:
            raise InputError("this tokenizer drops part of the text: bytes cannot be counted")
        added = self._inner.get_added_tokens_decoder()
        return {
            index: len(piece.encode()) if index in added else self._piece_bytes(piece)
            for piece, index in self._inner.get_vocab(with_added_tokens=True).items()
        }


def _check_ids(ids: Sequence[int], vocabulary: int) -> None:
    for token in ids:
        if not 0 <= token < vocabulary:
            raise InputError(f"token {token} is outside the vocabulary 0..{vocabulary - 1}")


def _library() -> ModuleType:
    try:
        import tokenizers
    except ImportError as error:
        raise InputError(
            "this model's tokenizer needs a library: run \"pip install 'bitsmith[readers]'\""
        ) from error
    return tokenizers


def byte_tokenizer() -> ByteTokenizer:
    """Tokenizer of a model whose 256 tokens are bytes."""
    return ByteTokenizer()


def gguf_tokenizer(metadata: Mapping[str, object]) -> LibraryTokenizer:
    """Byte-level BPE from the ``tokenizer.ggml`` keys of a GGUF file.

    Parameters
    ----------
    metadata : key -> value, strings and lists as Python's own. Read are ``model`` (``gpt2``),
        ``pre``, ``tokens``, ``token_type``, ``merges``, ``add_bos_token``, ``bos_token_id``.

    Raises
    ------
    InputError : keys that are missing, ill-typed or contradict each other, a kind of tokenizer
        that is not supported, or the ``tokenizers`` library is missing.

    Notes
    -----
    Source: the GGUF specification and the pre-tokenizer names of llama.cpp; ``smollm`` splits off
    single digits before the pattern of GPT-2.
    """
    library = _library()
    fields = _Metadata(metadata)
    kind, pre = fields.text("model"), fields.text("pre")
    if kind != "gpt2":
        raise fields.wrong("model", kind, "'gpt2' (byte-level BPE)")
    if pre not in SINGLE_DIGITS + PLAIN:
        raise fields.wrong("pre", pre, f"one of {', '.join(SINGLE_DIGITS + PLAIN)}")
    tokens, types = fields.texts("tokens"), fields.types()
    vocabulary = {token: index for index, token in enumerate(tokens)}
    if len(vocabulary) < len(tokens):
        raise InputError("GGUF key 'tokenizer.ggml.tokens' holds a token twice")
    merges = [tuple(merge.split(" ")) for merge in fields.texts("merges")]
    for merge in merges:
        if len(merge) != 2 or not {*merge, "".join(merge)} <= vocabulary.keys():
            raise fields.wrong("merges", " ".join(merge), "two tokens that make a token")
    inner = library.Tokenizer(library.models.BPE(vocab=vocabulary, merges=merges))
    byte_level = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    digits = library.pre_tokenizers.Digits(individual_digits=True)
    split = [digits, byte_level] if pre in SINGLE_DIGITS else [byte_level]
    inner.pre_tokenizer = library.pre_tokenizers.Sequence(split)
    inner.decoder = library.decoders.ByteLevel()
    special = [t for t, kind in zip(tokens, types, strict=True) if kind == CONTROL]
    inner.add_special_tokens(special)
    inner.add_tokens([t for t, kind in zip(tokens, types, strict=True) if kind == USER_DEFINED])
    return LibraryTokenizer(inner, len, fields.start(len(tokens)))


class _Metadata:
    """Typed access to the ``tokenizer.ggml`` keys of a GGUF file."""

    def __init__(self, metadata: Mapping[str, object]) -> None:
        self._metadata = metadata

    def wrong(self, key: str, value: object, valid: str) -> InputError:
        return InputError(f"GGUF key 'tokenizer.ggml.{key}' holds {value!r}, it must be {valid}")

    def _get(self, key: str) -> object:
        value = self._metadata.get(f"tokenizer.ggml.{key}")
        if value is None:
            raise InputError(f"GGUF key 'tokenizer.ggml.{key}' is missing")
        return value

    def text(self, key: str) -> str:
        value = self._get(key)
        if not isinstance(value, str):
            raise self.wrong(key, value, "text")
        return value

    def texts(self, key: str) -> list[str]:
        values = self._get(key)
        if not isinstance(values, Sequence) or isinstance(values, str) or not values:
            raise self.wrong(key, type(values).__name__, "a list of texts")
        for value in values:
            if not isinstance(value, str):
                raise self.wrong(key, value, "a list of texts")
        return list(values)

    def types(self) -> list[int]:
        """Kind of every token, as many as there are tokens; 1 (normal) where the key is absent."""
        tokens = self.texts("tokens")
        if "tokenizer.ggml.token_type" not in self._metadata:
            return [1] * len(tokens)
        values = self._get("token_type")
        try:
            kinds = [int(value) for value in values]  # type: ignore[attr-defined]
        except (TypeError, ValueError) as error:
            raise self.wrong("token_type", type(values).__name__, "a list of integers") from error
        if len(kinds) != len(tokens):
            raise self.wrong("token_type", f"{len(kinds)} values", f"{len(tokens)} of them")
        return kinds

    def start(self, tokens: int) -> int | None:
        """Id that begins every text, if any."""
        if not self._metadata.get("tokenizer.ggml.add_bos_token", False):
            return None
        value = self._get("bos_token_id")
        if not isinstance(value, int) or not 0 <= value < tokens:
            raise self.wrong("bos_token_id", value, f"from 0 to {tokens - 1}")
        return value


def file_tokenizer(path: str | Path) -> LibraryTokenizer:
    """Read a Hugging Face ``tokenizer.json``; its truncation and padding are switched off.

    Raises
    ------
    InputError : an unreadable or damaged file, or the ``tokenizers`` library is missing.
    """
    library = _library()
    try:
        text = Path(path).read_bytes().decode()
        piece_bytes = _piece_bytes(json.loads(text).get("decoder"))
        inner = library.Tokenizer.from_str(text)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except Exception as error:  # the library raises bare Exception
        raise InputError(f"{path} is not a tokenizer.json: {error}") from error
    inner.no_truncation()
    inner.no_padding()
    return LibraryTokenizer(inner, piece_bytes)


def _piece_bytes(decoder: Any) -> Callable[[str], int] | None:
    """How the decoder of a ``tokenizer.json`` counts bytes; None for one that drops text."""
    parts = (decoder or {}).get("decoders", [decoder or {}])
    kinds = {part.get("type") for part in parts}
    if "ByteLevel" in kinds:
        return len  # the vocabulary spells every byte as one character
    if kinds & {"ByteFallback", "Metaspace"}:
        return _sentencepiece_bytes
    return None


def _sentencepiece_bytes(piece: str) -> int:
    """``<0x0A>`` is one byte, U+2581 a blank."""
    if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
        return 1
    return len(piece.replace("▁", " ").encode())


def llama2c_tokenizer(path: str | Path, vocab_size: int) -> ScoredTokenizer:
    """Read the tokenizer file of llama2.c (``tokenizer.bin``, ``tok512.bin``).

    Layout, little-endian: int32 length of the longest token; then for each of ``vocab_size``
    tokens float32 score, int32 length, bytes.

    Raises
    ------
    InputError : an unreadable file, or one that does not hold exactly ``vocab_size`` tokens.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    if vocab_size < ScoredTokenizer.FIRST_BYTE + 256 or len(data) < 4 + 8 * vocab_size:
        raise InputError(f"{path} is not a llama2.c tokenizer of {vocab_size} tokens")
    (longest,) = struct.unpack_from("<i", data)
    place, pieces, scores = 4, [], []
    for token in range(vocab_size):
        score, size = struct.unpack_from("<fi", data, place) if place + 8 <= len(data) else (0, -1)
        place += 8 + size
        if not (0 <= size <= longest and place <= len(data) and math.isfinite(score)):
            raise InputError(
                f"{path}: token {token} of {vocab_size} is damaged or missing, so this is not the "
                "tokenizer of this model"
            )
        pieces.append(data[place - size : place])
        scores.append(score)
    if place != len(data):
        raise InputError(f"{path} holds {len(data) - place} bytes after token {vocab_size - 1}")
    return ScoredTokenizer(pieces, scores)
