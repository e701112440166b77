"""Statistics of what the linears of a model read, and quantization in the order of execution."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from configs.errors import InputError

from .llama import Floats, LinearHook, LlamaModel

BATCH_TOKENS = 2048
#: parts of a block whose inputs are known only once the parts before are quantized
STAGES = (
    ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    ("self_attn.o_proj",),
    ("mlp.gate_proj", "mlp.up_proj"),
    ("mlp.down_proj",),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class InputStatistics:
    """What is known of the inputs X (tokens, K) of a linear.

    Attributes
    ----------
    tokens : rows of X.
    hessian : float32 (K, K), ``X^T X``, or None where it was not asked for. (Half the Hessian of
        the squared output error; the factor matters to nobody.)
    mean_abs, mean_square, lowest, highest : float64 (K,), per input channel.
    sample : float32 (rows, K), evenly spaced rows of X.
    """

    tokens: int
    hessian: Floats | None
    mean_abs: NDArray[np.float64]
    mean_square: NDArray[np.float64]
    lowest: NDArray[np.float64]
    highest: NDArray[np.float64]
    sample: Floats

    @property
    def largest(self) -> NDArray[np.float64]:
        """Greatest magnitude of every channel, (K,)."""
        return np.maximum(np.abs(self.lowest), np.abs(self.highest))

    @property
    def damping(self) -> float:
        """Damping of the Hessian for :func:`sw.quantize.gptq.gptq`: 0.3 K / tokens, 0.01 to 1.

        The released code always takes 0.01, with 262144 tokens. With a few thousand its updates
        fit the noise of the sample: in SmolLM2-135M (K 576 and 1536) the output error of linears
        on other text is least near 0.3 for 512 tokens, 0.1 to 0.3 for 2048, 0.03 to 0.1 for 8192.
        """
        return min(1.0, max(0.01, 0.3 * len(self.mean_abs) / self.tokens))

    def output_error(self, difference: Floats) -> float:
        """Sum of squares of ``X @ difference.T`` for a weight error (N, K).

        Over all tokens with a Hessian, ``tr(D H D^T)``; else over the sample.
        """
        if self.hessian is not None:
            return float(np.vdot(difference @ self.hessian, difference))
        return float(np.sum(np.square(self.sample @ difference.T)))


class _Accumulator:
    """Builds the statistics of one input from its batches."""

    def __init__(self, columns: int, *, hessian: bool, sample_rows: int) -> None:
        self.tokens = 0
        self.hessian = np.zeros((columns, columns), dtype=np.float32) if hessian else None
        self.sums = np.zeros((2, columns))
        self.lowest = np.full(columns, np.inf)
        self.highest = np.full(columns, -np.inf)
        self.rows = np.zeros((0, columns), dtype=np.float32)
        self.limit, self.stride = sample_rows, 1

    def add(self, x: Floats) -> None:
        self.sums += np.abs(x).sum(axis=0, dtype=np.float64), np.square(x).sum(axis=0)
        self.lowest = np.minimum(self.lowest, x.min(axis=0))
        self.highest = np.maximum(self.highest, x.max(axis=0))
        if self.hessian is not None:
            self.hessian += x.T @ x
        # kept are the rows whose index is a multiple of the stride
        kept = x[-self.tokens % self.stride :: self.stride]
        self.rows = np.concatenate([self.rows, kept])
        while len(self.rows) > self.limit:
            self.rows, self.stride = self.rows[::2].copy(), 2 * self.stride
        self.tokens += len(x)

    def result(self) -> InputStatistics:
        mean_abs, mean_square = self.sums / self.tokens
        return InputStatistics(
            tokens=self.tokens,
            hessian=self.hessian,
            mean_abs=mean_abs,
            mean_square=mean_square,
            lowest=self.lowest,
            highest=self.highest,
            sample=self.rows,
        )


class _Recorder:
    """Watches the calls of a linear hook; linears that read one array share their statistics."""

    def __init__(self, names: Sequence[str] | None, *, hessians: bool, sample_rows: int) -> None:
        if sample_rows < 1:
            raise InputError(f"sample_rows must be at least 1, not {sample_rows}")
        self.names = None if names is None else set(names)
        self.hessians, self.sample_rows = hessians, sample_rows
        self.accumulators: dict[str, _Accumulator] = {}
        self.leaders: dict[str, str] = {}
        self.last: tuple[str, Floats] | None = None

    def see(self, name: str, x: Floats) -> None:
        if self.names is not None and name not in self.names:
            return
        if name not in self.leaders:
            self.leaders[name] = name
            if self.last is not None and _is_same_array(x, self.last[1]):
                self.leaders[name] = self.leaders[self.last[0]]
        leader = self.leaders[name]
        self.last = name, x
        if leader != name:
            return
        if not np.isfinite(x).all():
            raise InputError(f"the inputs of '{name}' hold NaN or infinite values")
        if name not in self.accumulators:
            self.accumulators[name] = _Accumulator(
                x.shape[1], hessian=self.hessians, sample_rows=self.sample_rows
            )
        self.accumulators[name].add(x)

    def results(self) -> dict[str, InputStatistics]:
        found = {name: built.result() for name, built in self.accumulators.items()}
        return {name: found[leader] for name, leader in self.leaders.items()}


def _is_same_array(x: Floats, y: Floats) -> bool:
    """Both are views of the same elements; both are alive, so addresses tell."""
    places = [(a.__array_interface__["data"], a.shape, a.strides) for a in (x, y)]
    return places[0] == places[1]


class ForwardPass(Protocol):
    """A model's pass over a batch of tokens (batch, tokens) with replaceable linears."""

    def __call__(self, tokens: ArrayLike, /, *, linear: LinearHook | None) -> object: ...


def calibration_batches(
    tokens: ArrayLike, *, context: int, limit: int | None = None
) -> list[NDArray[np.int64]]:
    """Token ids (n,) as batches (windows, context) of about :data:`BATCH_TOKENS` tokens.

    Windows do not overlap; a last, shorter window is a batch of its own.

    Parameters
    ----------
    limit : use that many tokens: windows evenly spaced over the text, the last one cut short.

    Raises
    ------
    InputError : ids that are not a 1-D integer array of at least ``limit`` (or one) tokens, or a
        context below 1.
    """
    ids = np.asarray(tokens)
    if ids.ndim != 1 or ids.dtype.kind not in "iu" or not ids.size:
        raise InputError("calibration needs a non-empty 1-D array of token ids")
    if context < 1:
        raise InputError(f"context must be at least 1 token, not {context}")
    if limit is not None and not 1 <= limit <= len(ids):
        raise InputError(f"the calibration text has {len(ids)} tokens, {limit} are asked for")
    wanted = limit or len(ids)
    count, available = -(-wanted // context), -(-len(ids) // context)
    firsts = np.arange(count) * available // count * context
    used = np.concatenate([ids[first : first + context] for first in firsts])[:wanted]
    used = used.astype(np.int64)
    whole = len(used) // context * context
    windows, per_batch = used[:whole].reshape(-1, context), max(1, BATCH_TOKENS // context)
    batches = [windows[i : i + per_batch] for i in range(0, len(windows), per_batch)]
    return batches if whole == len(used) else [*batches, used[None, whole:]]


def collect_statistics(
    forward: ForwardPass,
    linear: LinearHook,
    batches: Iterable[NDArray[np.integer]],
    *,
    hessians: bool = True,
    sample_rows: int = 256,
    names: Sequence[str] | None = None,
    progress: Callable[[int], None] | None = None,
) -> dict[str, InputStatistics]:
    """Statistics of the inputs of every linear while a model reads ``batches``.

    For a Llama-class model: ``collect_statistics(model.hidden_states, model.linear, batches)``.
    Holds one batch of activations, and per distinct input one (K, K) Hessian and a sample.

    Parameters
    ----------
    forward : runs the model, calling the hook it is given for every linear.
    linear : computes the linears.
    hessians : also sum ``X^T X``.
    sample_rows : rows of inputs to keep at most.
    names : only these linears; None for all.
    progress : called with the number of tokens read after each batch.

    Returns
    -------
    Linear name -> statistics, in order of execution. Linears that read the same array (q, k, v)
    have the same object.

    Raises
    ------
    InputError : no batches, or inputs that are not finite.
    """
    recorder = _Recorder(names, hessians=hessians, sample_rows=sample_rows)

    def watch(name: str, x: Floats) -> Floats:
        recorder.see(name, x)
        return linear(name, x)

    done = 0
    for batch in batches:
        forward(batch, linear=watch)
        done += batch.size
        if progress is not None:
            progress(done)
    if not done:
        raise InputError("calibration needs at least one batch of tokens")
    return recorder.results()


Visit = Callable[[str, Floats, InputStatistics], Floats | None]
"""``visit(name, weights, statistics)``: the weights (N, K) that the layers after shall see, or None
to leave the linear as it is."""


def quantize_in_order(
    model: LlamaModel,
    batches: Sequence[NDArray[np.integer]],
    visit: Visit,
    *,
    hessians: bool = True,
    sample_rows: int = 256,
    staged: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Visit every block linear in order of execution, with its inputs in the quantized model.

    The statistics of a linear come from a model whose earlier linears are already replaced by what
    ``visit`` returned, as in GPTQ (arXiv:2210.17323, section 4). Holds the activations of all
    tokens at one block boundary and the statistics of one stage or block.

    Parameters
    ----------
    batches : token ids (batch, tokens) each, see :func:`calibration_batches`.
    visit : quantizes one linear.
    staged : q, k, v see the blocks before; o also them; gate, up also o; down all (four passes
        over a block, "true sequential" in the GPTQ code). False: all linears of a block see its
        unquantized others (one pass).
    progress : called with (linears done, linears) after each linear.

    Raises
    ------
    InputError : no batches, bad tokens, or inputs that are not finite.
    """
    if not batches:
        raise InputError("calibration needs at least one batch of tokens")
    states = [model.embed(batch) for batch in batches]
    count, total = 0, len(model.architecture.block_linears())
    stages = STAGES if staged else (tuple(name for stage in STAGES for name in stage),)
    for layer in range(model.architecture.num_hidden_layers):
        replaced: dict[str, Floats] = {}
        for stage in stages:
            names = [f"layers.{layer}.{name}" for name in stage]
            recorder = _Recorder(names, hessians=hessians, sample_rows=sample_rows)
            _run_block(model, layer, states, replaced, recorder)
            for name, statistics in recorder.results().items():
                weights = visit(name, model.weight(name), statistics)
                if weights is not None:
                    replaced[name] = np.asarray(weights, dtype=np.float32)
                count += 1
                if progress is not None:
                    progress(count, total)
        states = _run_block(model, layer, states, replaced, None)


def _run_block(
    model: LlamaModel,
    layer: int,
    states: list[Floats],
    replaced: dict[str, Floats],
    recorder: _Recorder | None,
) -> list[Floats]:
    """Outputs of a block for every batch; nothing is kept while a recorder watches."""

    def linear(name: str, x: Floats) -> Floats:
        if recorder is not None:
            recorder.see(name, x)
        return x @ replaced[name].T if name in replaced else model.linear(name, x)

    outputs = []
    for x in states:
        y = model.block(layer, x, linear=linear)
        if recorder is None:
            outputs.append(y)
    return outputs
