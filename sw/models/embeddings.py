"""Sentence embeddings of a quantized encoder beside those of the original."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from configs.errors import InputError

from .bert import EncoderModel
from .evaluate import InputRecorder
from .llama import Floats, LinearHook


@dataclass(frozen=True, kw_only=True)
class EmbeddingAgreement:
    """How close the embeddings of a quantized encoder are to those of the original.

    Attributes
    ----------
    mean_cosine : between both embeddings of a sentence, over all sentences.
    cosine_error : its standard error; nan for a single sentence.
    spearman : rank correlation of the similarities (cosines) of all pairs of sentences: whether
        both models find the same sentences alike. nan where one side is constant.
    sentences : their number.
    """

    mean_cosine: float
    cosine_error: float
    spearman: float
    sentences: int


def embedding_agreement(reference: ArrayLike, other: ArrayLike) -> EmbeddingAgreement:
    """Compare embeddings of the same sentences.

    Parameters
    ----------
    reference, other : (sentences, d), any length of the rows but 0.

    Raises
    ------
    InputError : shapes that differ or are not 2-D, fewer than 3 sentences, or rows that are zero
        or not finite.
    """
    sides = []
    for name, values in (("reference", reference), ("other", other)):
        rows = np.asarray(values, dtype=np.float64)
        if rows.ndim != 2 or len(rows) < 3:
            raise InputError(f"{name} embeddings {rows.shape}: at least 3 rows (sentences, d)")
        lengths = np.sqrt(np.sum(rows**2, axis=1, keepdims=True))
        if not (np.isfinite(lengths).all() and lengths.all()):
            raise InputError(f"{name} embeddings hold a row that is zero or not finite")
        sides.append(rows / lengths)
    first, second = sides
    if first.shape != second.shape:
        raise InputError(f"embeddings of shapes {first.shape} and {second.shape} do not compare")
    cosines = np.sum(first * second, axis=1)
    pairs = np.triu_indices(len(first), 1)
    ranks = [_ranks((side @ side.T)[pairs]) for side in sides]
    spreads = [float(rank.std()) for rank in ranks]
    centred = [rank - rank.mean() for rank in ranks]
    covariance = float(np.mean(centred[0] * centred[1]))
    return EmbeddingAgreement(
        mean_cosine=float(cosines.mean()),
        cosine_error=float(cosines.std(ddof=1)) / len(cosines) ** 0.5,
        spearman=covariance / (spreads[0] * spreads[1]) if all(spreads) else math.nan,
        sentences=len(first),
    )


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 0; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts + 1) / 2)[inverse]


def capture_sentence_inputs(
    model: EncoderModel,
    sentences: Sequence[Sequence[int]],
    tokens: int,
    *,
    linear: LinearHook | None = None,
) -> dict[str, Floats]:
    """Inputs of every block linear for the first ``tokens`` tokens of ``sentences``.

    Parameters
    ----------
    sentences : token ids of each, special tokens included.

    Returns
    -------
    Layer name -> float32 (tokens, K), in order of execution.

    Raises
    ------
    InputError : fewer than ``tokens`` tokens, or sentences that the model cannot read.
    """
    available = sum(len(sentence) for sentence in sentences)
    if not 1 <= tokens <= available:
        raise InputError(f"tokens must be from 1 to the sentences' {available}, not {tokens}")
    record = InputRecorder(linear or model.linear)
    done = 0
    for sentence in sentences:
        if done < tokens:
            model.hidden_states([sentence], linear=record)
            done += len(sentence)
    return record.inputs(tokens)
