"""What a configuration may say. Structure and ranges are checked here; names of formats and
models are resolved by the floor that owns them."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .accelerator import AcceleratorConfig
from .accelerator import AccumulatorConfig as AccumulatorConfig
from .analytic import AnalyticConfig
from .errors import InputError, check_range
from .figure import Figure as Figure
from .load import build, preset_folder, preset_names, read_yaml, resolve
from .memory import MemoryConfig
from .target import AccumulatorTarget

#: methods that quantize to an accumulator width
NARROW_METHODS = ("a2q", "a2q_plus", "axe", "axe_rtn")
#: methods that feed errors back through the correlations of the layer's inputs
FEEDBACK_METHODS = ("gptq", "axe")


@dataclass(frozen=True, kw_only=True)
class LayerQuantization:
    """How the weights of one linear layer become codes."""

    #: a number format, family, block format, pair format or plane format by name
    format: str
    #: weights that share a scale, along the input dimension; a whole row; the whole matrix
    group_size: int | Literal["channel", "tensor"] = 128
    #: output channels that share a scale
    group_rows: int = 1
    scale_format: Literal["float16", "uint8"] = "float16"
    #: scale from the largest magnitude; by least squared error of the weights, or of the layer's
    #: outputs on calibration text; from a percentile, mean or median of the magnitudes (the last
    #: two for ternary and binary weights)
    scale_rule: Literal["absmax", "mse", "output_mse", "percentile", "absmean", "absmedian"] = (
        "absmax"
    )
    #: share of the magnitudes that the grid covers, in percent, for ``scale_rule: percentile``
    percentile: float = 99.9
    #: ``float16`` repeats the released BitMoD quantizer bit for bit, ``float32`` is faster
    arithmetic: Literal["float16", "float32"] = "float16"
    #: round to nearest, or with error feedback measured on calibration text (``gptq``); or to the
    #: widths of ``accumulator``: ``a2q``, ``a2q_plus``, ``axe`` with error feedback, ``axe_rtn``
    #: without
    method: Literal["rtn", "gptq", "a2q", "a2q_plus", "axe", "axe_rtn"] = "rtn"
    #: registers that the weights must fit, for the methods that take them
    accumulator: AccumulatorTarget | None = None

    def __post_init__(self) -> None:
        self._check_accumulator()
        if isinstance(self.group_size, int):
            check_range("group_size", self.group_size, 1, 1 << 20)
        check_range("group_rows", self.group_rows, 1, 1 << 20)
        check_range("percentile", self.percentile, 50, 100)

    def _check_accumulator(self) -> None:
        narrow = self.method in NARROW_METHODS
        if self.accumulator is None:
            if narrow:
                raise InputError(
                    f"method '{self.method}' needs 'accumulator' with at least inner_bits"
                )
            return
        if not narrow:
            raise InputError(
                f"method '{self.method}' has no use for accumulator: leave it out, or choose one "
                f"of {', '.join(NARROW_METHODS)}"
            )
        if self.accumulator.outer_bits is not None and self.scale_format != "uint8":
            raise InputError(
                f"accumulator: outer_bits is {self.accumulator.outer_bits}, but the outer "
                f"accumulator sums 8-bit scale codes: set scale_format uint8, not "
                f"{self.scale_format}"
            )


@dataclass(frozen=True, kw_only=True)
class KVCacheConfig:
    """How keys and values of attention are stored."""

    key_bits: int = 4
    value_bits: int = 4
    #: tokens that share a scale of one key channel
    key_group: int = 32
    #: channels that share a scale of one token's values
    value_group: int = 32
    #: latest tokens that stay in floating point
    residual_tokens: int = 32

    def __post_init__(self) -> None:
        for name in ("key_bits", "value_bits"):
            check_range(name, getattr(self, name), 2, 16)
        for name in ("key_group", "value_group"):
            check_range(name, getattr(self, name), 1, 1 << 20)
        check_range("residual_tokens", self.residual_tokens, 0, 1 << 20)


Transform = Literal["hadamard", "smoothquant", "os_plus", "awq"]


@dataclass(frozen=True, kw_only=True)
class QuantizationConfig(LayerQuantization):
    """A recipe: how weights and activations of a whole model become codes."""

    #: width of dynamic per-token activation codes
    activation_bits: int = 8
    #: rewritings of the model that keep its function, done before quantization, in this order
    transforms: tuple[Transform, ...] = ()
    #: share of the activations' range that SmoothQuant moves into the weights
    smooth_alpha: float = 0.5
    #: tokens of calibration text that ``gptq``, ``awq``, ``smoothquant``, ``os_plus`` and
    #: ``output_mse`` read
    calibration_tokens: int = 2048
    #: file of calibration text; the text that bitsmith ships where it is left out
    calibration_text: str | None = None
    kv_cache: KVCacheConfig | None = None
    #: layer name pattern -> format name, settings that differ, or null to leave it unquantized;
    #: the first pattern that fits a layer counts
    overrides: dict[str, str | dict[str, Any] | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("activation_bits", self.activation_bits, 4, 8)
        check_range("smooth_alpha", self.smooth_alpha, 0, 1)
        check_range("calibration_tokens", self.calibration_tokens, 1, 1 << 20)
        _ = self.base
        for pattern in self.overrides:
            self.override(pattern)

    @property
    def base(self) -> LayerQuantization:
        """Settings of the layers that no override names."""
        names = [f.name for f in dataclasses.fields(LayerQuantization)]
        return self._with_inputs(LayerQuantization(**{name: getattr(self, name) for name in names}))

    def override(self, pattern: str) -> LayerQuantization | None:
        """Settings of the layers that ``pattern`` names; None leaves them unquantized."""
        given = self.overrides[pattern]
        if given is None:
            return None
        base = dataclasses.asdict(self)
        base = {f.name: base[f.name] for f in dataclasses.fields(LayerQuantization)}
        changes = {"format": given} if isinstance(given, str) else given
        built = build(LayerQuantization, {**base, **changes}, f"overrides: {pattern}")
        return self._with_inputs(built)

    def _with_inputs(self, settings: LayerQuantization) -> LayerQuantization:
        """``settings`` whose accumulator knows the width of its inputs."""
        target, bits = settings.accumulator, self.activation_bits
        if target is None:
            return settings
        if target.input_bits is not None and target.input_bits < bits:
            raise InputError(
                f"accumulator: input_bits is {target.input_bits}, activations have {bits} bits: "
                "leave it out"
            )
        target = dataclasses.replace(target, input_bits=target.input_bits or bits)
        return dataclasses.replace(settings, accumulator=target)


@dataclass(frozen=True, kw_only=True)
class WorkloadConfig:
    """The model and how much of it to run."""

    #: shipped or fetched model, or a folder with config.json and safetensors
    model: str | None = None
    #: Hugging Face style configuration, for a simulation without weights
    architecture: dict[str, Any] | None = None
    #: list of GEMMs: SCALE-Sim csv (``Layer,M,N,K,`` or a conv topology) or an ONNX graph
    gemms: str | None = None
    prefill_tokens: int = 256
    decode_tokens: int = 16
    #: sequences that run together
    batch: int = 1
    #: prompt tokens whose logits are computed; ``auto`` is ``last``, but leaves a head that is tied
    #: to the embedding to the host
    lm_head: Literal["auto", "last", "all", "none"] = "auto"
    #: where products of attention are computed
    attention: Literal["host", "array"] = "host"
    #: format of keys and values in the cache, with ``attention: array``
    kv_format: str = "int8"
    #: held-out bytes for bits per byte (byte-level models)
    evaluation_bytes: int = 20480

    def __post_init__(self) -> None:
        given = (self.model, self.architecture, self.gemms)
        if sum(source is not None for source in given) != 1:
            raise InputError("give exactly one of 'model', 'architecture' and 'gemms'")
        if self.model is not None and not self.model.strip():
            raise InputError("model is empty: give a name or a folder")
        check_range("prefill_tokens", self.prefill_tokens, 0, 1 << 20)
        check_range("decode_tokens", self.decode_tokens, 0, 1 << 20)
        check_range("batch", self.batch, 1, 1 << 16)
        check_range("evaluation_bytes", self.evaluation_bytes, 0, 1 << 30)
        if self.prefill_tokens + self.decode_tokens == 0:
            raise InputError("prefill_tokens and decode_tokens are both 0: nothing to run")


@dataclass(frozen=True, kw_only=True)
class TechnologyConfig:
    """A process: whose cells, at which node and supply, and the figures that no library gives."""

    name: str
    description: str
    #: fits of a cell library (costmodel/calibration/fits), from which everything is scaled
    library: str
    node_nm: int
    volts: float
    #: units in the names
    figures: dict[str, Figure]
    #: folder of the library's fits where ``bitsmith calibrate`` made them, not the shipped ones;
    #: a relative one starts from the file that gives it
    fits: str | None = None

    def __post_init__(self) -> None:
        if self.fits is not None and not self.fits.strip():
            raise InputError("fits is empty: give the folder of the library's fits")
        check_range("node_nm", self.node_nm, 1, 1000)
        check_range("volts", self.volts, 0.2, 5)


@dataclass(frozen=True, kw_only=True)
class VerifyConfig:
    """How much RTL is run against golden model and simulator."""

    #: rows of real activations per layer
    tokens: int = 4
    #: random idle cycles on every stream
    random_gaps: bool = True
    #: additional random shapes
    random_shapes: int = 4

    def __post_init__(self) -> None:
        check_range("tokens", self.tokens, 1, 4096)
        check_range("random_shapes", self.random_shapes, 0, 10000)


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One whole job."""

    name: str
    workload: WorkloadConfig
    quantization: QuantizationConfig
    accelerator: AcceleratorConfig
    technology: TechnologyConfig
    #: what stands behind the streams; without it they never wait
    memory: MemoryConfig | None = None
    verify: VerifyConfig = field(default_factory=VerifyConfig)
    #: seed of every random draw
    seed: int = 0
    #: run folder; relative to the working directory
    output: str = "runs"

    def __post_init__(self) -> None:
        check_range("seed", self.seed, 0, (1 << 63) - 1)
        wanted, offered = self.quantization.activation_bits, self.accelerator.activation_bits
        if wanted != offered and not self.accelerator.has_floats:
            raise InputError(
                f"quantization has activation_bits {wanted}, accelerator '{self.accelerator.name}' "
                f"takes {offered}: make them equal"
            )


AXES: dict[str, tuple[str, type]] = {
    "workload": ("workloads", WorkloadConfig),
    "quantization": ("quantization", QuantizationConfig),
    "accelerator": ("accelerators", AcceleratorConfig),
    "technology": ("technologies", TechnologyConfig),
    "memory": ("memories", MemoryConfig),
    "baseline": ("baselines", AnalyticConfig),
}
#: axes that are no keys of a run configuration
SEPARATE_AXES = ("baseline",)
RUN_AXES = tuple(axis for axis in AXES if axis not in SEPARATE_AXES)
#: axes that a run configuration may leave out
OPTIONAL_AXES = ("memory",)


def load_axis(axis: str, reference: Any, *, base: Path = Path(), where: str = "") -> Any:
    """Build the configuration of one axis from a preset name, a path or a mapping.

    Parameters
    ----------
    axis : ``workload``, ``quantization``, ``accelerator``, ``technology``, ``memory`` or
        ``baseline``.
    reference : preset name, path ending in ``.yaml`` (relative to ``base``) or mapping.
    """
    folder, kind = AXES[axis]
    data, place = resolve(folder, reference, base=base, where=where or axis)
    built: Any = build(kind, data, place)
    for name in ("calibration_text", "fits"):
        if (given := getattr(built, name, None)) is not None:
            # a relative path starts from the file that gives it
            beside = (base / reference).parent if isinstance(reference, str) else base
            built = dataclasses.replace(built, **{name: str(beside / given)})
    return built


def load_comparison(reference: Path | str) -> dict[str, QuantizationConfig]:
    """Recipes by name, in the order of the file: a preset such as ``formats``, or a YAML file.

    Each entry is a mapping of settings, a preset name or a path beside the file.
    """
    data, where = resolve("comparisons", str(reference), base=Path(), where="recipes")
    if not isinstance(data, dict) or not data or not all(isinstance(key, str) for key in data):
        raise InputError(f"{where}: expected a mapping of names to recipes")
    base = Path(reference).parent
    return {
        name: load_axis("quantization", entry, base=base, where=f"{where}: {name}")
        for name, entry in data.items()
    }


def load_run(path: Path | str) -> RunConfig:
    """Read a run configuration: a file, or the name of a shipped one such as ``quickstart``.

    Its axes may name presets, files beside it, or be inline; a model may be a folder beside it.
    """
    if str(path) in preset_names("") and not Path(path).exists():
        path = preset_folder("") / f"{path}.yaml"
    path = Path(path)
    data = read_yaml(path)
    if not isinstance(data, dict):
        raise InputError(f"{path}: expected a mapping of run settings")
    filled = {"name": path.stem, **data}
    for axis in RUN_AXES:
        if axis in filled:
            loaded = load_axis(axis, filled[axis], base=path.parent, where=f"{path}: {axis}")
            filled[axis] = loaded
    workload = filled.get("workload")
    if workload is not None and workload.model and (path.parent / workload.model).is_dir():
        folder = str(path.parent / workload.model)
        filled["workload"] = dataclasses.replace(workload, model=folder)
    plain = {key: value for key, value in filled.items() if key not in RUN_AXES}
    axes = {key: value for key, value in filled.items() if key in RUN_AXES}
    return _build_run(plain, axes, str(path))


def _build_run(plain: dict[str, Any], axes: dict[str, Any], where: str) -> RunConfig:
    """Combine loaded axes with the remaining keys under the strict loader's checks."""
    missing = [axis for axis in RUN_AXES if axis not in axes and axis not in OPTIONAL_AXES]
    if missing:
        raise InputError(f"{where}: key '{missing[0]}' is missing")
    settings = build(_PlainRun, plain, where)
    try:
        return RunConfig(**vars(settings), **axes)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


@dataclass(frozen=True, kw_only=True)
class _PlainRun:
    """The keys of :class:`RunConfig` that are not axes."""

    name: str
    verify: VerifyConfig = field(default_factory=VerifyConfig)
    seed: int = 0
    output: str = "runs"
