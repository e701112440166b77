"""A whole model in time: every linear layer, for a prefill and for decode steps.

On the array run the linear layers of all blocks, and ``lm_head`` where it is not tied to the
embedding. The host does the rest, and its time is not counted: embedding, norms, rotary positions,
attention scores and their products with V, softmax, SiLU, residual sums, activation quantization,
rescaling, and a tied ``lm_head``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from configs.timing import REGISTER_CYCLES
from sw.compile import GemmShape, Machine, tiling
from sw.compile.transfers import check_buffers
from sw.models import Architecture, LinearShape
from sw.models.weights import AnyArchitecture

from .activity import Activity, gemm_activity
from .array import CycleReport, simulate_gemm

HOST_WORK = (
    "embedding, norms, rotary positions, attention scores and values, softmax, SiLU, residual "
    "sums, activation quantization, rescaling, tied lm_head"
)
#: cycles from one job's last result to the acceptance of the next job: its start bit is written
#: when ``busy`` has fallen
JOB_GAP_CYCLES = REGISTER_CYCLES


@dataclass(frozen=True, kw_only=True)
class LayerTiming:
    """One linear layer.

    Attributes
    ----------
    prefill : time for all prompt tokens; None without a prefill.
    decode : time for one token; None without decode steps.
    activity : action counts of the whole workload.
    """

    name: str
    n: int
    k: int
    prefill: CycleReport | None
    decode: CycleReport | None
    decode_steps: int
    activity: Activity

    @property
    def total_cycles(self) -> int:
        """Cycles of the whole workload, the step between jobs included."""
        once = [(self.prefill, 1), (self.decode, self.decode_steps)]
        return sum(times * (r.total_cycles + JOB_GAP_CYCLES) for r, times in once if r)

    @property
    def utilization(self) -> float:
        """Useful products over those the array could do in the layer's time."""
        report = self.prefill or self.decode
        assert report is not None
        return self.activity.macs / (report.peak_macs_per_cycle * self.total_cycles)


@dataclass(frozen=True, kw_only=True)
class ModelTiming:
    """A workload on one machine: layers one after another, one job each."""

    layers: tuple[LayerTiming, ...]
    prefill_tokens: int
    decode_tokens: int

    @property
    def prefill_cycles(self) -> int:
        """Cycles of the prefill."""
        return sum(r.total_cycles + JOB_GAP_CYCLES for r in (x.prefill for x in self.layers) if r)

    @property
    def decode_step_cycles(self) -> int:
        """Cycles of one decode step."""
        return sum(r.total_cycles + JOB_GAP_CYCLES for r in (x.decode for x in self.layers) if r)

    @property
    def total_cycles(self) -> int:
        """Cycles of prefill and all decode steps."""
        return sum(layer.total_cycles for layer in self.layers)

    @property
    def activity(self) -> Activity:
        """Action counts of everything."""
        return sum((layer.activity for layer in self.layers), start=Activity())

    @property
    def causes(self) -> dict[str, int]:
        """Cycles by cause over the whole workload; job gaps are not included."""
        total: dict[str, int] = {}
        for layer in self.layers:
            for report, times in ((layer.prefill, 1), (layer.decode, layer.decode_steps)):
                for cause, cycles in (report.causes if report else {}).items():
                    total[cause] = total.get(cause, 0) + times * cycles
        return total


def array_linears(architecture: AnyArchitecture) -> tuple[LinearShape, ...]:
    """The linear layers that run on the array."""
    if isinstance(architecture, Architecture) and not architecture.tie_word_embeddings:
        return architecture.linears()
    return architecture.block_linears()


def simulate_model(
    machine: Machine,
    linears: Sequence[LinearShape],
    *,
    group_size: int | Mapping[str, int],
    prefill_tokens: int,
    decode_tokens: int,
) -> ModelTiming:
    """Cycles of every layer.

    Parameters
    ----------
    machine : the machine.
    linears : layers in order of execution; ``lm_head`` sees only the last prompt token.
    group_size : weights that share a scale, of all layers or by layer name.
    prefill_tokens : tokens of the prompt, run together; 0 for none.
    decode_tokens : steps of one token each.
    """
    timed: dict[GemmShape, tuple[CycleReport, Activity]] = {}

    def shape_of(m: int, linear: LinearShape) -> GemmShape:
        size = group_size if isinstance(group_size, int) else group_size[linear.name]
        return GemmShape(m=m, n=linear.out_features, k=linear.in_features, group_size=size)

    def time(m: int, linear: LinearShape) -> tuple[CycleReport, Activity]:
        shape = shape_of(m, linear)
        if shape not in timed:
            report = simulate_gemm(machine, shape)
            timed[shape] = report, gemm_activity(machine, shape, report)
        return timed[shape]

    check_buffers(machine, *(tiling(machine, shape_of(1, linear)) for linear in linears))
    layers = []
    for linear in linears:
        prompt = min(1, prefill_tokens) if linear.name == "lm_head" else prefill_tokens
        prefill, decode, activity = None, None, Activity()
        if prompt:
            prefill, once = time(prompt, linear)
            activity += once
        if decode_tokens:
            decode, once = time(1, linear)
            activity += once.times(decode_tokens)
        layers.append(
            LayerTiming(
                name=linear.name,
                n=linear.out_features,
                k=linear.in_features,
                prefill=prefill,
                decode=decode,
                decode_steps=decode_tokens,
                activity=activity,
            )
        )
    return ModelTiming(
        layers=tuple(layers), prefill_tokens=prefill_tokens, decode_tokens=decode_tokens
    )
