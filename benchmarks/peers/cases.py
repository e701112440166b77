"""What is simulated: the linear layers of one Llama-2-7B block."""

from dataclasses import dataclass

from configs.schema import load_axis
from sw.models import Architecture
from sw.workloads import Gemm, Workload

PREFILL_TOKENS = 256


@dataclass(frozen=True, kw_only=True)
class Case:
    """GEMMs that every tool gets alike: INT8 weights and activations."""

    name: str
    gemms: tuple[Gemm, ...]

    @property
    def workload(self) -> Workload:
        """The same as one pass of a workload."""
        return Workload(name=self.name, prefill=self.gemms)


def block(tokens: int) -> tuple[Gemm, ...]:
    """The seven linear layers of one block, for ``tokens`` tokens."""
    described = load_axis("workload", "llama2_7b").architecture
    linears = Architecture.from_config(described, "llama2_7b").block_linears()
    first = [linear for linear in linears if linear.name.startswith("layers.0.")]
    return tuple(
        Gemm(name=linear.name.split(".")[-1], m=tokens, n=linear.out_features, k=linear.in_features)
        for linear in first
    )


def cases() -> dict[str, Case]:
    """All cases by name."""
    prefill, decode = block(PREFILL_TOKENS), block(1)
    every = (
        Case(name="layer_prefill", gemms=prefill),
        Case(name="layer_decode", gemms=decode),
        Case(name="q_proj_decode", gemms=tuple(g for g in decode if g.name == "q_proj")),
    )
    return {case.name: case for case in every}
