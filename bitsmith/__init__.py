"""bitsmith: from a quantized model and an accelerator description to a proven, costed,
synthesizable machine.

The names below are the public, stable interface; everything else may move.
"""

from .guard import import_floors

import_floors()  # before anything below is imported

from configs.errors import InputError
from configs.schema import (
    AcceleratorConfig,
    AccumulatorConfig,
    LayerQuantization,
    QuantizationConfig,
    RunConfig,
    TechnologyConfig,
    VerifyConfig,
    WorkloadConfig,
    load_axis,
    load_comparison,
    load_run,
)
from costmodel import CostReport, cost
from hw.benches.batch import accelerator_verilog
from sim import CycleReport, Gaps, simulate_gemm, simulate_workload
from sw.accumulators import float_sum_report, layer_bounds, single_stage_bounds, witness
from sw.accumulators.orders import order_bounds, order_witness
from sw.compile import GemmProgram, GemmShape, Machine
from sw.formats import FormatFamily, NumberFormat, families, family_terms, get_family
from sw.golden import golden_gemm, rescale
from sw.models import apply_recipe, load_model
from sw.models.readers.integer_layers import integer_layers
from sw.quantize import (
    QuantizedMatrix,
    QuantizedModel,
    quantize_activations,
    quantize_layer,
    quantize_matrix,
    quantize_model,
)

from .accuracy import AccuracySettings, accuracy_table
from .flow import RunResult, run
from .job import Job
from .verify import compile_layer, layer_cases, random_cases, verify

__version__ = "0.1.0"
__all__ = [
    "AcceleratorConfig",
    "AccumulatorConfig",
    "AccuracySettings",
    "CostReport",
    "CycleReport",
    "FormatFamily",
    "Gaps",
    "GemmProgram",
    "GemmShape",
    "InputError",
    "Job",
    "LayerQuantization",
    "Machine",
    "NumberFormat",
    "QuantizationConfig",
    "QuantizedMatrix",
    "QuantizedModel",
    "RunConfig",
    "RunResult",
    "TechnologyConfig",
    "VerifyConfig",
    "WorkloadConfig",
    "accelerator_verilog",
    "accuracy_table",
    "apply_recipe",
    "compile_layer",
    "cost",
    "families",
    "family_terms",
    "float_sum_report",
    "get_family",
    "golden_gemm",
    "integer_layers",
    "layer_bounds",
    "layer_cases",
    "load_axis",
    "load_comparison",
    "load_model",
    "load_run",
    "order_bounds",
    "order_witness",
    "quantize_activations",
    "quantize_layer",
    "quantize_matrix",
    "quantize_model",
    "random_cases",
    "rescale",
    "run",
    "simulate_gemm",
    "simulate_workload",
    "single_stage_bounds",
    "verify",
    "witness",
]
