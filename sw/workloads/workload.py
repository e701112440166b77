"""A workload: the GEMMs that an accelerator is to run, and what is left to the host."""

from dataclasses import dataclass, replace
from typing import Literal

from configs.errors import InputError, check_range

#: what the (N, K) matrix of a GEMM is: weights known when the machine is built; keys or values of
#: the cache, in their own format; or another activation
Operand = Literal["weights", "kv_cache", "activations"]
Phase = Literal["prefill", "decode"]


@dataclass(frozen=True, kw_only=True)
class Gemm:
    """``count`` products (M, K) x (K, N), one after another, each with operands of its own.

    Attributes
    ----------
    name : unique within a phase; of a linear layer its name in the model.
    m, n, k : tokens, output channels, inputs. Where ``grows`` names one, its size in the first
        step; every further decode step adds 1.
    count : products of these sizes in one pass (heads, experts, sequences, groups of channels).
    operand : what the (N, K) matrix is.
    grows : the dimension that is the context's length, or None.
    distinct : different (N, K) matrices among the ``count`` products; those with the same one are
        run one after another. None: all are different.
    limit : where the size that ``grows`` names stops growing (a sliding window), or None.
    """

    name: str
    m: int
    n: int
    k: int
    count: int = 1
    operand: Operand = "weights"
    grows: Literal["n", "k"] | None = None
    distinct: int | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        for field in ("m", "n", "k", "count"):
            check_range(f"{self.name}: {field}", getattr(self, field), 1, 1 << 30)
        if self.distinct is not None:
            check_range(f"{self.name}: distinct", self.distinct, 1, self.count)
        if self.limit is not None:
            if self.grows is None:
                raise InputError(f"{self.name}: limit is {self.limit}, but no size grows")
            check_range(f"{self.name}: limit", self.limit, getattr(self, self.grows), 1 << 40)

    @property
    def macs(self) -> int:
        """Useful products of the first pass."""
        return self.count * self.m * self.n * self.k

    @property
    def matrices(self) -> int:
        """Different (N, K) matrices."""
        return self.count if self.distinct is None else self.distinct

    @property
    def elements(self) -> int:
        """Elements of all different (N, K) matrices, in the first pass."""
        return self.matrices * self.n * self.k

    @property
    def results(self) -> int:
        """Elements of all results, in the first pass."""
        return self.count * self.m * self.n

    def at_step(self, step: int) -> "Gemm":
        """Its sizes in decode step ``step``, counted from 0."""
        if self.grows is None or not step:
            return self
        size = getattr(self, self.grows) + step
        if self.limit is not None:
            size = min(size, self.limit)
        return replace(self, grows=None, limit=None, **{self.grows: size})

    def over_steps(self, value: int, steps: int) -> int:
        """Sum over ``steps`` decode steps of something that is proportional to the size that grows.

        Parameters
        ----------
        value : what it is in the first step, such as :attr:`macs` or :attr:`elements`.
        """
        if self.grows is None:
            return value * steps
        size = getattr(self, self.grows)
        return value // size * sum_of_sizes(size, steps, self.limit)


@dataclass(frozen=True, kw_only=True)
class HostWork:
    """Work that no GEMM covers: done by the host, not timed.

    Attributes
    ----------
    name : e.g. ``softmax``.
    prefill, decode : elements that it touches in the prefill, and in all decode steps together.
    """

    name: str
    prefill: int
    decode: int


@dataclass(frozen=True, kw_only=True)
class Workload:
    """The GEMMs of a prefill and of one decode step, in the order of execution.

    Attributes
    ----------
    name : of the model or the file.
    prefill, decode : GEMMs; empty without the phase.
    decode_steps : how often ``decode`` runs; step 0 has the sizes given there.
    batch : sequences that run together; their tokens are in M, their caches in ``count``.
    host : what the host does.
    assumptions : what the sizes suppose, in words (balanced experts, no causal discount, ...).
    """

    name: str
    prefill: tuple[Gemm, ...]
    decode: tuple[Gemm, ...] = ()
    decode_steps: int = 0
    prefill_tokens: int = 0
    batch: int = 1
    host: tuple[HostWork, ...] = ()
    assumptions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if bool(self.decode) != bool(self.decode_steps):
            raise InputError(f"workload '{self.name}': decode and decode_steps go together")
        if not self.prefill and not self.decode:
            raise InputError(f"workload '{self.name}' has no GEMM to run")

    @property
    def macs(self) -> int:
        """Useful products of everything."""
        decode = sum(gemm.over_steps(gemm.macs, self.decode_steps) for gemm in self.decode)
        return sum(gemm.macs for gemm in self.prefill) + decode


def sum_of_sizes(first: int, steps: int, limit: int | None = None) -> int:
    """``first`` + (``first`` + 1) + ..., ``steps`` numbers, none beyond ``limit``."""
    growing = steps if limit is None else min(steps, max(0, limit - first))
    capped = 0 if limit is None else (steps - growing) * limit
    return growing * first + growing * (growing - 1) // 2 + capped
