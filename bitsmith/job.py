"""One job and what its steps share: model, quantized model, machine, timing."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from configs.errors import InputError
from configs.schema import RunConfig
from costmodel import Technology
from sim import WorkloadTiming, simulate_workload
from sw.accumulators import BoundReport, FloatBounds, layer_float_bounds
from sw.compile import (
    Machine,
    check_family,
    check_recipe_formats,
    machine_layer,
    resolve_machine,
    worst_case_widths,
)
from sw.formats import FormatFamily
from sw.models import (
    Architecture,
    LinearShape,
    LlamaModel,
    Model,
    apply_recipe,
    capture_inputs,
    load_model,
    prepared_model,
    quantized_linear,
)
from sw.models.text import evaluation_text
from sw.quantize import QuantizedModel, layer_plan
from sw.quantize.recipe import Plan, group_length, machine_family
from sw.workloads import Gemm, Workload, model_workload, read_gemms, read_shape

from .bounds.layers import MachineQuestion
from .hashes import files_hash, source_of

T = TypeVar("T")
#: keys or values that share a scale
KV_GROUP_SIZE = 128
#: wraps an iterable of known length and shows how far it is; the label says of what
Progress = Callable[[Iterable[T], str], Iterable[T]]


def silent(items: Iterable[Any], label: str) -> Iterable[Any]:
    """No progress display."""
    return items


def _runnable(model: Model) -> LlamaModel:
    """A model in numpy.

    Raises
    ------
    InputError : not a Llama-class model.
    """
    if not isinstance(model.architecture, Architecture):
        raise InputError(f"model '{model.name}' is not a Llama-class model")
    return LlamaModel(model.architecture, model.tensors)


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
    #: what operands the energies are those of (:class:`costmodel.Technology`)
    data: str = "real"

    @property
    def has_weights(self) -> bool:
        """Whether there is a model and not only its shapes."""
        return self.config.workload.model is not None

    def check(self) -> None:
        """Find what is wrong with the configuration before any work is done."""
        _ = self.family
        _ = self.technology
        if self.quantized_model is None:
            _ = self.workload

    @cached_property
    def technology(self) -> Technology:
        """Prices of the technology."""
        return Technology.of(self.config.technology, data=self.data)

    @cached_property
    def model(self) -> Model:
        """The floating-point model."""
        if self.config.workload.model is None:
            raise InputError("the workload gives an architecture without weights")
        return load_model(self.config.workload.model)

    @cached_property
    def workload(self) -> Workload:
        """The GEMMs of prefill and decode steps, those that stay unquantized included."""
        asked, where = self.config.workload, "workload: architecture"
        if asked.gemms is not None:
            return read_gemms(asked.gemms)
        described = asked.architecture
        if described is None and self.quantized_model is None:
            known = self.model.architecture
            described = None if known is None else asdict(known)
        if described is None:
            return self._matrices()
        causal = read_shape(described, where).causal
        return model_workload(
            described,
            where,
            prefill_tokens=asked.prefill_tokens,
            decode_steps=asked.decode_tokens if causal else 0,
            batch=asked.batch,
            lm_head=asked.lm_head,
            attention=asked.attention,
            name=asked.model,
        )

    def _matrices(self) -> Workload:
        """A workload of matrices of which no more is known than their shapes."""
        asked, stored = self.config.workload, self.quantized_model
        shapes = self.model.linear_shapes if stored is None else stored.shapes

        def gemms(tokens: int) -> tuple[Gemm, ...]:
            rows = tokens * asked.batch
            found = (Gemm(name=name, m=rows, n=n, k=k) for name, (n, k) in shapes.items())
            return tuple(found) if tokens else ()

        return Workload(
            name=asked.model or "matrices",
            prefill=gemms(asked.prefill_tokens),
            decode=gemms(1) if asked.decode_tokens else (),
            decode_steps=asked.decode_tokens,
            prefill_tokens=asked.prefill_tokens,
            batch=asked.batch,
            assumptions=("only the matrices of the file are known: the rest runs on the host",),
        )

    @cached_property
    def llama(self) -> LlamaModel:
        """The floating-point model, ready to run."""
        return _runnable(self.model)

    @cached_property
    def around(self) -> LlamaModel:
        """What the quantized layers stand in: the model after the recipe's transforms.

        Its own linears that are quantized are not the transformed ones: run it with the quantized.
        """
        if not self.quantized.float_tensors:
            return self.llama
        return _runnable(prepared_model(self.model, self.quantized))

    @cached_property
    def family(self) -> FormatFamily:
        """Formats of the weights, one family for the whole machine.

        Raises
        ------
        InputError : layers of different families, or a format that the accelerator cannot run.
        """
        array = self.config.accelerator
        if self.quantized_model is None:
            formats = {s.format for s in self.plan.values() if s is not None}
            check_recipe_formats(array, sorted(formats))
        check_family(array, self.decoded_family)
        return self.decoded_family

    @cached_property
    def decoded_family(self) -> FormatFamily:
        """The family, whether or not its scales and zero points suit the accelerator."""
        if self.quantized_model is not None:
            found = {m.family.name: m.family for m in self.quantized_model.layers.values()}
        else:
            formats = {s.format for s in self.plan.values() if s is not None}
            families = [machine_family(name) for name in sorted(formats)]
            found = {family.name: family for family in families}
        if not found:
            raise InputError("the recipe leaves every layer unquantized: the machine has no work")
        if len(found) > 1:
            raise InputError(
                f"the layers use {len(found)} format families ({', '.join(sorted(found))}): "
                "a machine decodes one, quantize all layers to formats of one family"
            )
        return next(iter(found.values()))

    @cached_property
    def plan(self) -> Plan:
        """Settings of every layer that the recipe quantizes."""
        return layer_plan(self.config.quantization, [linear.name for linear in self.linears])

    @cached_property
    def group_sizes(self) -> dict[str, int]:
        """Weights that share a scale, by layer."""
        if self.quantized_model is not None:
            layers = self.quantized_model.layers
            return {name: matrix.group_size for name, matrix in layers.items()}
        settings = {name: s for name, s in self.plan.items() if s is not None}
        return {
            linear.name: group_length(settings[linear.name], linear.in_features)
            for linear in self.linears
            if linear.name in settings
        }

    @cached_property
    def quantized(self) -> QuantizedModel:
        """The quantized model, exactly as stored."""
        if self.quantized_model is not None:
            return self.quantized_model
        return self._apply(None)

    def quantize_into(self, folder: Path) -> None:
        """Quantize into ``folder``, layer by layer, taking up what an interrupted run left."""
        if self.quantized_model is None:
            self.__dict__["quantized"] = self._apply(folder)

    def _apply(self, folder: Path | None) -> QuantizedModel:
        steps = iter(self.progress(range(len(self.model.linear_weights())), "quantize"))
        next(steps, None)
        return apply_recipe(
            self.model,
            self.config.quantization,
            folder=folder,
            source=None if folder is None else source_of(self.config.workload.model or ""),
            progress=lambda done, total: next(steps, None),
        )[1]

    @cached_property
    def bounds(self) -> BoundReport:
        """Exact accumulator bounds of every layer on this machine's schedule."""
        array = self.config.accelerator
        asked = MachineQuestion(array=array, family=self.family)
        layers = {
            name: asked.bounds(machine_layer(matrix, array))
            for name, matrix in self.progress(list(self.quantized.layers.items()), "bounds")
        }
        return BoundReport(
            layers=layers,
            inner_mode=array.inner_accumulator.mode,
            outer_mode=array.outer_accumulator.mode,
        )

    @cached_property
    def float_bounds(self) -> dict[str, FloatBounds]:
        """Largest errors of every layer on an aligned machine, over all activations."""
        array, found = self.config.accelerator, {}
        for name, matrix in self.progress(list(self.quantized.layers.items()), "bounds"):
            layer = machine_layer(matrix, array)
            members = layer.family.members
            padding = np.array([member.levels[member.padding_code] for member in members])
            found[name] = layer_float_bounds(
                layer.levels,
                widths=self.machine.floating,
                group_size=layer.group_size,
                scale_codes=layer.scale_codes,
                padding=padding[layer.format_ids],
            )
        return found

    @cached_property
    def machine(self) -> Machine:
        """The machine, ``auto`` widths proved for the model (worst case without weights)."""
        array, family = self.config.accelerator, self.family
        fixed = (array.inner_accumulator.bits, array.outer_accumulator.bits)
        if "auto" not in fixed or array.is_aligned:
            widths = (0, 0)  # not used
        elif self.has_weights:
            inner, outer = self.bounds.minimal_widths()
            assert outer is not None
            # two bits are the least that a configuration may ask for
            widths = max(2, inner), max(2, outer)
        else:
            longest = max(linear.in_features for linear in self.linears)
            return self.worst_case_machine(longest)
        return resolve_machine(array, family, *widths, group_inputs=self.group_inputs)

    @property
    def group_inputs(self) -> int:
        """Inputs of the longest group of any layer."""
        sizes = self.group_sizes
        return max(min(sizes[x.name], x.in_features) for x in self.linears if x.name in sizes)

    def worst_case_machine(self, k: int) -> Machine:
        """The machine with ``auto`` widths that hold for any weights of K up to ``k``.

        For a bare shape: whether the weights' scales suit the accelerator is not asked.
        """
        array, family = self.config.accelerator, self.decoded_family
        group_size = max(self.group_sizes.values())
        widths = worst_case_widths(array, family, group_size=group_size, k=k)
        return resolve_machine(array, family, *widths, group_inputs=group_size)

    @cached_property
    def linears(self) -> tuple[LinearShape, ...]:
        """The layers with weights that run on the array."""
        gemms = {g.name: g for g in (*self.workload.prefill, *self.workload.decode)}
        return tuple(
            LinearShape(name=g.name, out_features=g.n, in_features=g.k, count=g.matrices)
            for g in gemms.values()
            if g.operand == "weights"
        )

    @cached_property
    def timed_workload(self) -> Workload:
        """The workload without layers that stay unquantized: they run on the host."""

        def runs(gemm: Gemm) -> bool:
            return gemm.operand != "weights" or gemm.name in self.group_sizes

        whole = self.workload
        prefill = tuple(filter(runs, whole.prefill))
        decode = tuple(filter(runs, whole.decode))
        left = {g.name for g in (*whole.prefill, *whole.decode) if not runs(g)}
        notes = tuple(f"unquantized, on the host: {name}" for name in sorted(left))
        return replace(
            whole, prefill=prefill, decode=decode, assumptions=(*whole.assumptions, *notes)
        )

    @cached_property
    def kv_machine(self) -> Machine | None:
        """The array built for the formats of keys and values; None where nothing needs it."""
        gemms = [
            g for g in (*self.workload.prefill, *self.workload.decode) if g.operand != "weights"
        ]
        if not gemms:
            return None
        array, family = self.config.accelerator, machine_family(self.config.workload.kv_format)
        check_family(array, family)
        longest = max(g.at_step(self.workload.decode_steps).k for g in gemms)
        size = min(longest, KV_GROUP_SIZE)
        widths = worst_case_widths(array, family, group_size=size, k=longest)
        return resolve_machine(array, family, *widths, group_inputs=size)

    @cached_property
    def timing(self) -> WorkloadTiming:
        """Cycles of every layer for prefill and decode."""
        return simulate_workload(
            self.machine,
            self.timed_workload,
            group_size=self.group_sizes,
            memory=self.config.memory,
            kv_machine=self.kv_machine,
            kv_group_size=KV_GROUP_SIZE,
        )

    def evaluation_text(self) -> str:
        """Text that the model has not seen: its own held-out text, else the shipped one."""
        held = self.model.heldout
        return evaluation_text() if held is None else held.decode("utf-8", "replace")

    def layer_inputs(self, tokens: int) -> dict[str, NDArray[np.float32]]:
        """Inputs of every linear, (tokens, K): real text where the float model can read it.

        Other models, and quantized ones whose float model is not here, get seeded normal numbers.
        """
        if self.reads_text:
            ids = self.model.tokenizer.encode(self.evaluation_text()[: 64 * tokens])
            hook = quantized_linear(self.quantized, None, otherwise=self.around.linear)
            return capture_inputs(self.around, np.array(ids), min(tokens, len(ids)), linear=hook)
        rng = np.random.default_rng(self.config.seed)
        return {
            linear.name: rng.standard_normal((tokens, linear.in_features)).astype(np.float32)
            for linear in self.linears
        }

    @cached_property
    def reads_text(self) -> bool:
        """Whether the float model is at hand, fits the layers and predicts text."""
        try:
            shapes = self.model.linear_shapes
        except InputError:
            if self.quantized_model is None:
                raise
            return False
        made_of = self.quantized.recipe.get("source", {}).get("files_sha256")
        if made_of and made_of != files_hash(self.config.workload.model or ""):
            return False
        fits = all(shapes.get(name) == shape for name, shape in self.quantized.shapes.items())
        causal = isinstance(self.model.architecture, Architecture)
        return fits and causal and self.model.tokenizer_factory is not None
