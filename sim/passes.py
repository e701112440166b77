"""Which jobs a workload takes: kinds of GEMM, their distinct shapes, and how often each is run."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError
from sw.workloads import Gemm, Workload

from .jobs import Column


@dataclass(frozen=True, kw_only=True)
class GemmKind:
    """What decides a GEMM's time; equal kinds are simulated once.

    Attributes
    ----------
    m, n, k, count, grows, limit : as of :class:`sw.workloads.Gemm`.
    steps : sizes that it goes through, 1 where it does not grow.
    cached : whether the (N, K) matrix is no weights.
    """

    m: int
    n: int
    k: int
    count: int
    grows: Literal["n", "k"] | None
    limit: int | None
    steps: int
    group_size: int
    cached: bool

    @cached_property
    def shapes(self) -> tuple[NDArray[np.int64], Column]:
        """Distinct shapes (m, n, k, group size), int64 (shapes, 4), and the passes of each."""
        one = [[self.m, self.n, self.k, self.group_size]]
        if self.grows is None:
            return np.array(one), np.ones(1, dtype=np.int64)
        size = (self.n if self.grows == "n" else self.k) + np.arange(self.steps)
        if self.limit is not None:
            size = np.minimum(size, self.limit)
        size, passes = np.unique(size, return_counts=True)
        shapes = np.repeat(one, len(size), axis=0)
        shapes[:, 1 if self.grows == "n" else 2] = size
        return shapes, passes.astype(np.int64)

    def jobs_a_pass(self, steps: int) -> int:
        """How often a pass of :attr:`shapes` is run in so many steps of a phase."""
        return self.count if self.grows else self.count * steps


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One GEMM of a phase of so many steps."""

    gemm: Gemm
    steps: int
    kind: GemmKind


def phase_entries(
    workload: Workload, group_size: int | Mapping[str, int], kv_group_size: int
) -> tuple[list[Entry], list[Entry]]:
    """GEMMs of the prefill and of the decode steps, in the order of execution.

    Raises
    ------
    InputError : a layer without group size.
    """

    def entry(gemm: Gemm, steps: int) -> Entry:
        cached = gemm.operand != "weights"
        kind = GemmKind(
            m=gemm.m,
            n=gemm.n,
            k=gemm.k,
            count=gemm.count,
            grows=gemm.grows,
            limit=gemm.limit,
            steps=steps if gemm.grows else 1,
            group_size=kv_group_size if cached else _group_of(group_size, gemm),
            cached=cached,
        )
        return Entry(gemm=gemm, steps=steps, kind=kind)

    return (
        [entry(gemm, 1) for gemm in workload.prefill],
        [entry(gemm, workload.decode_steps) for gemm in workload.decode],
    )


def _group_of(sizes: int | Mapping[str, int], gemm: Gemm) -> int:
    if isinstance(sizes, int):
        return sizes
    try:
        return sizes[gemm.name]
    except KeyError:
        raise InputError(f"layer '{gemm.name}' has no group size: it is not quantized") from None
