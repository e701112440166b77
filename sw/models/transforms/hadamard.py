"""Rotations of a Llama-class model that spread outliers over all channels.

QuaRot (Ashkboos et al., NeurIPS 2024, arXiv:2404.00456), the rotations that need no work at run
time: of the residual stream (R1 in SpinQuant, arXiv:2405.16406) and of the values of each head
(R2). With an orthogonal ``Q`` and norms without gains, ``rms_norm(x Q) = rms_norm(x) Q``, so::

    embedding, head, q, k, v, gate, up:  W Q         (their rows or inputs live in the stream)
    o, down:                             Q^T W       (they write into the stream; biases Q^T b)

``Q = diag(signs) H / sqrt(n)`` with random signs and a Hadamard matrix ``H``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError

from ..architecture import EMBEDDING, HEAD, Architecture
from .fold import Rewritten, Tensors, fuse_norms, stem_weight


@dataclass(frozen=True, kw_only=True, eq=False)
class Rotation:
    """An orthogonal matrix, float64 (n, n), and what it is made of."""

    matrix: NDArray[np.float64]
    name: str


def hadamard_matrix(order: int) -> NDArray[np.int8]:
    """A Hadamard matrix: entries +-1, int8 (n, n), with ``H @ H.T == n * I``.

    Sylvester's doubling and Kronecker products of the two constructions of Paley (1933), over
    fields of ``p`` or ``p**2`` elements. That covers every multiple of 4 up to 88, and the widths
    of nearly all published models (160 = 8 * 20, 576 = 16 * 36, 3584 = 128 * 28, 5120 = 256 * 20).

    Raises
    ------
    InputError : none of these constructions gives that order.
    """
    if isinstance(order, bool) or not isinstance(order, int) or order < 1:
        raise InputError(f"a Hadamard matrix has an order of at least 1, not {order!r}")
    found = _hadamard(order)
    if found is None:
        raise InputError(f"no construction of a Hadamard matrix of order {order} is known here")
    return found


def _hadamard(order: int) -> NDArray[np.int8] | None:
    if order == 1:
        return np.ones((1, 1), dtype=np.int8)
    base = order & -order
    odd = order // base
    # the smallest core, doubled as often as it takes; an order above 2 is a multiple of 4
    for doublings in range(base.bit_length() - 1, -1, -1):
        core = odd * (base >> doublings)
        small = np.ones((1, 1), dtype=np.int8) if core == 1 else _paley(core)
        if small is not None:
            return np.kron(_sylvester(doublings), small)
    for first in range(12, isqrt(order) + 1, 4):
        if order % first == 0:
            left, right = _hadamard(first), _hadamard(order // first)
            if left is not None and right is not None:
                return np.kron(left, right)
    return None


def _sylvester(doublings: int) -> NDArray[np.int8]:
    matrix = np.ones((1, 1), dtype=np.int8)
    for _ in range(doublings):
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix


def _paley(order: int) -> NDArray[np.int8] | None:
    """Paley's first construction (order q + 1, q = 3 mod 4) or second (2 q + 2, q = 1 mod 4)."""
    if order % 4:
        return None
    residues = _jacobsthal(order - 1) if (order - 1) % 4 == 3 else None
    if residues is not None:
        return _bordered(residues, -1) + np.eye(order, dtype=np.int8)
    residues = _jacobsthal(order // 2 - 1) if (order // 2 - 1) % 4 == 1 else None
    if residues is None:
        return None
    conference = _bordered(residues, 1)
    plus, minus = np.array([[1, 1], [1, -1]]), np.array([[1, -1], [-1, -1]])
    pairs = np.kron(conference, plus) + np.kron(np.eye(len(conference), dtype=int), minus)
    return pairs.astype(np.int8)


def _bordered(residues: NDArray[np.int8], corner: int) -> NDArray[np.int8]:
    """``residues`` under a row of 1 and beside a column of ``corner``, 0 where they meet."""
    matrix = np.zeros((len(residues) + 1,) * 2, dtype=np.int8)
    matrix[0, 1:], matrix[1:, 0], matrix[1:, 1:] = 1, corner, residues
    return matrix


def _jacobsthal(size: int) -> NDArray[np.int8] | None:
    """``chi(a - b)`` over a field of ``size = p`` or ``p**2`` elements (p odd), else None.

    chi is 0 at 0, 1 at squares and -1 elsewhere. Elements of the larger field are
    ``a + b sqrt(r)`` with a non-square r, numbered ``a * p + b``.
    """
    root = isqrt(size)
    if _is_odd_prime(size):
        numbers = np.arange(size)
        chi = np.full(size, -1, dtype=np.int8)
        chi[numbers**2 % size] = 1
        chi[0] = 0
        return chi[(numbers[:, None] - numbers) % size]
    if root * root != size or not _is_odd_prime(root):
        return None
    p = root
    non_square = next(r for r in range(2, p) if pow(r, (p - 1) // 2, p) == p - 1)
    a, b = np.divmod(np.arange(size), p)
    chi = np.full(size, -1, dtype=np.int8)
    chi[(a * a + non_square * b * b) % p * p + 2 * a * b % p] = 1
    chi[0] = 0
    return chi[(a[:, None] - a) % p * p + (b[:, None] - b) % p]


def _is_odd_prime(number: int) -> bool:
    return (
        number > 2
        and number % 2 == 1
        and all(number % divisor for divisor in range(3, isqrt(number) + 1, 2))
    )


def rotation(size: int, seed: int) -> Rotation:
    """A random rotation of ``size`` channels: a Hadamard matrix with random signs.

    Where no Hadamard matrix of that order is known, the largest one whose order divides it, times
    (Kronecker) a random orthogonal matrix; the name says so.
    """
    rng = np.random.default_rng(seed)
    signs = rng.choice([-1.0, 1.0], size=size)
    divisors = (n for n in range(size, 0, -1) if size % n == 0)
    core = next(found for found in map(_hadamard, divisors) if found is not None)
    order = len(core)
    matrix = core / np.sqrt(order)
    name = f"Hadamard of order {order}"
    if order < size:
        rest = size // order
        q, r = np.linalg.qr(rng.standard_normal((rest, rest)))
        matrix = np.kron(matrix, q * np.sign(np.diag(r)))
        name += f" x random orthogonal of order {rest}"
    return Rotation(matrix=signs[:, None] * matrix, name=name)


def rotate_stream(
    architecture: Architecture, tensors: Mapping[str, NDArray[np.floating]], *, seed: int = 0
) -> Rewritten:
    """Rotate the residual stream (R1). Norm gains are fused first, which may untie the head.

    Raises
    ------
    InputError : a bias of the last norm.
    """
    fused = fuse_norms(architecture, tensors)
    turn = rotation(architecture.hidden_size, seed)
    q, new = turn.matrix, dict(fused.tensors)
    for name in (EMBEDDING,) if fused.architecture.tie_word_embeddings else (EMBEDDING, HEAD):
        new[name] = (np.asarray(new[name], dtype=np.float64) @ q).astype(np.float32)
    for linear in architecture.block_linears():
        writes = linear.name.endswith(("o_proj", "down_proj"))
        weights, bias = stem_weight(new, linear.name), f"model.{linear.name}.bias"
        turned = q.T @ weights if writes else weights @ q
        new[f"model.{linear.name}.weight"] = turned.astype(np.float32)
        if writes and bias in new:
            new[bias] = (np.asarray(new[bias], dtype=np.float64) @ q).astype(np.float32)
    return Rewritten(
        architecture=fused.architecture,
        tensors=new,
        note=f"residual stream rotated: {turn.name}, seed {seed}",
    )


def rotate_values(
    architecture: Architecture, tensors: Mapping[str, NDArray[np.floating]], *, seed: int = 0
) -> Rewritten:
    """Rotate the values of every head (R2): ``Q^T`` into v_proj, ``Q`` into o_proj's columns."""
    dim = architecture.head_dim
    turn = rotation(dim, seed)
    new: Tensors = {name: tensors[name] for name in tensors}
    for layer in range(architecture.num_hidden_layers):
        v, o = f"layers.{layer}.self_attn.v_proj", f"layers.{layer}.self_attn.o_proj"
        for part in ("weight", "bias"):
            name = f"model.{v}.{part}"
            if name in new:
                # rows are channels of the heads, one head after the other
                wide = np.asarray(new[name], dtype=np.float64)
                heads = wide.reshape(-1, dim, wide.size // len(wide))
                new[name] = (turn.matrix.T @ heads).reshape(wide.shape).astype(np.float32)
        columns = stem_weight(new, o)
        turned = columns.reshape(len(columns), -1, dim) @ turn.matrix
        new[f"model.{o}.weight"] = turned.reshape(columns.shape).astype(np.float32)
    note = f"values of each head rotated: {turn.name}, seed {seed}"
    return Rewritten(architecture=architecture, tensors=new, note=note)


def hadamard(
    architecture: Architecture, tensors: Mapping[str, NDArray[np.floating]], *, seed: int = 0
) -> Rewritten:
    """Both rotations, :func:`rotate_stream` and :func:`rotate_values`."""
    stream = rotate_stream(architecture, tensors, seed=seed)
    both = rotate_values(stream.architecture, stream.tensors, seed=seed + 1)
    return Rewritten(
        architecture=both.architecture, tensors=both.tensors, note=f"{stream.note}; {both.note}"
    )
