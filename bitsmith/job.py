"""One job and what its steps share: model, quantized model, machine, timing."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError
from configs.schema import RunConfig
from costmodel import read_figures
from sim import ModelTiming, array_linears, simulate_model
from sw.accumulators import BoundReport, layer_bounds
from sw.compile import Machine, resolve_machine, worst_case_widths
from sw.formats import FormatFamily, family_terms, get_family
from sw.models import Architecture, LinearShape, LlamaModel, Model, capture_inputs, load_model
from sw.quantize import QuantizedModel, quantize_model

T = TypeVar("T")
#: wraps an iterable of known length and shows how far it is; the label says of what
Progress = Callable[[Iterable[T], str], Iterable[T]]


def silent(items: Iterable[Any], label: str) -> Iterable[Any]:
    """No progress display."""
    return items


@dataclass
class Job:
    """Lazy values of one configuration; each is computed at most once.

    Parameters
    ----------
    config : what to do.
    progress : how to show it.
    quantized_model : a model quantized earlier, to be used instead of quantizing again.
    """

    config: RunConfig
    progress: Progress = silent
    quantized_model: QuantizedModel | None = None

    @property
    def has_weights(self) -> bool:
        """Whether there is a model and not only its shapes."""
        return self.config.workload.model is not None

    def check(self) -> None:
        """Find what is wrong with the configuration before any work is done."""
        family_terms(self.family, lane_exponent_bits=self.config.accelerator.lane_exponent_bits)
        read_figures(self.config.technology)
        if self.quantized_model is None:
            _ = self.architecture

    @cached_property
    def model(self) -> Model:
        """The floating-point model."""
        if self.config.workload.model is None:
            raise InputError("the workload gives an architecture without weights")
        return load_model(self.config.workload.model)

    @cached_property
    def architecture(self) -> Architecture:
        """Shapes of the model."""
        described = self.config.workload.architecture
        if described is None:
            return self.model.architecture
        return Architecture.from_config(described, "workload: architecture")

    @cached_property
    def llama(self) -> LlamaModel:
        """The model, ready to run."""
        return LlamaModel(self.model.architecture, self.model.tensors)

    @cached_property
    def family(self) -> FormatFamily:
        """Formats of the weights."""
        return get_family(self.config.quantization.format)

    @cached_property
    def quantized(self) -> QuantizedModel:
        """The quantized model, exactly as stored."""
        if self.quantized_model is not None:
            return self.quantized_model
        settings = self.config.quantization
        weights = self.model.linear_weights()
        steps = iter(self.progress(range(len(weights)), "quantize"))
        next(steps, None)
        return quantize_model(
            weights,
            format_name=settings.format,
            group_size=settings.group_size,
            scale_format=settings.scale_format,
            activation_bits=settings.activation_bits,
            name=self.model.name,
            progress=lambda done, total: next(steps, None),
        )

    @cached_property
    def bounds(self) -> BoundReport:
        """Exact accumulator bounds of every layer on this machine's schedule."""
        array = self.config.accelerator
        terms = family_terms(self.family, lane_exponent_bits=array.lane_exponent_bits)
        layers = {}
        for name, matrix in self.progress(list(self.quantized.layers.items()), "bounds"):
            layers[name] = layer_bounds(
                matrix.levels,
                terms=terms,
                group_size=matrix.group_size,
                lanes=array.lanes,
                input_range=array.activation_range,
                scale_codes=matrix.with_uint8_scales().scale_codes,
            )
        return BoundReport(
            layers=layers,
            inner_mode=array.inner_accumulator.mode,
            outer_mode=array.outer_accumulator.mode,
        )

    @cached_property
    def machine(self) -> Machine:
        """The machine, ``auto`` widths proved for the model (worst case without weights)."""
        array = self.config.accelerator
        fixed = (array.inner_accumulator.bits, array.outer_accumulator.bits)
        if "auto" not in fixed:
            widths = (0, 0)  # not used
        elif self.has_weights:
            inner, outer = self.bounds.minimal_widths()
            assert outer is not None
            # two bits are the least that a configuration may ask for
            widths = max(2, inner), max(2, outer)
        else:
            longest = max(linear.in_features for linear in self.linears)
            return self.worst_case_machine(longest)
        return resolve_machine(array, self.family, *widths)

    def worst_case_machine(self, k: int) -> Machine:
        """The machine with ``auto`` widths that hold for any weights of K up to ``k``."""
        array = self.config.accelerator
        group_size = self.config.quantization.group_size
        widths = worst_case_widths(array, self.family, group_size=group_size, k=k)
        return resolve_machine(array, self.family, *widths)

    @cached_property
    def linears(self) -> tuple[LinearShape, ...]:
        """The linear layers that run on the array, from the quantized model if there is one."""
        if self.quantized_model is None:
            return array_linears(self.architecture)
        return tuple(
            LinearShape(name=name, out_features=matrix.shape[0], in_features=matrix.shape[1])
            for name, matrix in self.quantized_model.layers.items()
        )

    @cached_property
    def timing(self) -> ModelTiming:
        """Cycles of every layer for prefill and decode."""
        workload = self.config.workload
        return simulate_model(
            self.machine,
            list(self.progress(self.linears, "simulate")),
            group_size=self.config.quantization.group_size,
            prefill_tokens=workload.prefill_tokens,
            decode_tokens=workload.decode_tokens,
        )

    def layer_inputs(self, tokens: int) -> dict[str, NDArray[np.float32]]:
        """Inputs of every linear, (tokens, K): real text where the model reads bytes.

        Other models, and quantized ones whose float model is not here, get seeded normal numbers.
        """
        if self._reads_bytes():
            text = self.model.heldout or b""
            return capture_inputs(self.llama, text, min(tokens, len(text)))
        rng = np.random.default_rng(self.config.seed)
        return {
            linear.name: rng.standard_normal((tokens, linear.in_features)).astype(np.float32)
            for linear in self.linears
        }

    def _reads_bytes(self) -> bool:
        """Whether the float model is at hand, fits the layers and has held-out bytes to read."""
        try:
            shapes = {name: w.shape for name, w in self.model.linear_weights().items()}
        except InputError:
            if self.quantized_model is None:
                raise
            return False
        fits = shapes == {name: matrix.shape for name, matrix in self.quantized.layers.items()}
        return fits and self.architecture.vocab_size == 256 and bool(self.model.heldout)
