"""What the host does of a transformer: everything that is no GEMM on the array, in elements."""

from collections import Counter
from collections.abc import Sequence

from .blocks import Pass
from .shapes import TransformerShape
from .workload import Gemm, HostWork

Counts = Counter[str]


def host_work(prefill: Counts, decode: Counts) -> tuple[HostWork, ...]:
    """Both phases together, by name, in the order of first appearance."""
    names = dict.fromkeys([*prefill, *decode])
    found = (HostWork(name=n, prefill=prefill[n], decode=decode[n]) for n in names)
    return tuple(work for work in found if work.prefill or work.decode)


def phase_counts(shape: TransformerShape, run: Pass, gemms: Sequence[Gemm]) -> Counts:
    """Elements of all passes of a phase, by kind of work.

    Parameters
    ----------
    shape : of the model.
    run : one pass.
    gemms : those of the pass on the array; without any there is no work.
    """
    found: Counts = Counter()
    if not gemms:
        return found
    tokens, layers, hidden = run.rows * run.repeats, shape.num_hidden_layers, shape.hidden_size
    pairs = shape.num_attention_heads * sum(run.pairs(window) for window in shape.windows)
    found["embedding"] = tokens * (hidden if shape.patches else shape.embedding_size)
    found["norms"] = tokens * _norm_width(shape)
    rotated = (shape.num_attention_heads + shape.num_key_value_heads) * shape.rotary_size
    found["rotary positions"] = tokens * layers * rotated
    if not run.attention:
        found["products of attention"] = 2 * shape.head_dim * pairs
    found["softmax"] = pairs
    found["activation function"] = tokens * _inner_width(shape)
    found["residual sums"] = 2 * tokens * layers * hidden
    if shape.experts:
        each = shape.experts.count + shape.experts.per_token * hidden
        found["routing of experts"] = tokens * len(shape.experts.layers) * each
    logits = run.sequences * run.logits * run.repeats
    if not run.head:
        found["products of lm_head"] = logits * shape.vocab_size * shape.embedding_size
    found["activation quantization"] = (
        tokens * _input_width(shape, run)
        + run.attention * pairs
        + logits * _head_width(shape, run)
        + (run.rows - run.sequences) * _patch_width(shape)
    )
    found["rescaling of results"] = sum(_results(gemm, run.repeats) for gemm in gemms)
    return found


def _results(gemm: Gemm, steps: int) -> int:
    """Results of a GEMM over all steps."""
    if gemm.grows == "k":
        return gemm.results * steps
    return gemm.over_steps(gemm.results, steps)


def _norm_width(shape: TransformerShape) -> int:
    """Normalized elements of one token, all layers."""
    family, hidden = shape.family, shape.hidden_size
    block = family.norms * hidden
    if shape.query_norms:
        block += shape.query_size + shape.key_value_size
    if family.sub_norms:
        block += shape.query_size + shape.intermediate_size
    return shape.num_hidden_layers * block + (family.embedding_norm + shape.final_norm) * hidden


def _inner_width(shape: TransformerShape) -> int:
    """Intermediate values of one token, all layers, two gated ones counted once."""
    experts, layers = shape.experts, shape.num_hidden_layers
    if experts is None:
        return layers * shape.intermediate_size
    sparse = experts.per_token * experts.size + experts.shared_size
    dense = (layers - len(experts.layers)) * shape.intermediate_size
    return len(experts.layers) * sparse + dense


def _input_width(shape: TransformerShape, run: Pass) -> int:
    """What is quantized of one token, all layers; layers with the same input count it once."""
    # with one norm in a block its result enters attention and feed-forward layers alike
    block = min(2, shape.family.norms) * shape.hidden_size + shape.query_size
    if run.attention:
        # queries, and keys and values for the cache
        block += shape.query_size + 2 * shape.key_value_size
    projected = shape.embedding_size if shape.embedding_size != shape.hidden_size else 0
    return shape.num_hidden_layers * block + _inner_width(shape) + projected


def _head_width(shape: TransformerShape, run: Pass) -> int:
    """What is quantized of a token with logits."""
    projected = shape.hidden_size if shape.embedding_size != shape.hidden_size else 0
    return projected + (shape.embedding_size if run.head else 0)


def _patch_width(shape: TransformerShape) -> int:
    """Values of a patch; 0 without an image."""
    return shape.patches.size if shape.patches else 0
