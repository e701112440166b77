"""GEMMs of a transformer: linear layers, attention and experts, for one pass over all layers."""

from collections.abc import Iterator
from dataclasses import dataclass

from .shapes import Experts, TransformerShape
from .workload import Gemm, Operand, sum_of_sizes


@dataclass(frozen=True, kw_only=True)
class Pass:
    """All layers once, for tokens that enter together.

    Attributes
    ----------
    sequences : how many run together.
    tokens : new ones of every sequence.
    context : tokens that the last of them meets, itself included, in the first step.
    steps : how often it runs, the context growing by 1; None: once, all tokens of a prompt.
    logits : positions of every sequence with logits.
    head, attention : whether ``lm_head`` and the products of attention run on the array.
    """

    sequences: int
    tokens: int
    context: int
    steps: int | None
    logits: int
    head: bool
    attention: bool

    @property
    def rows(self) -> int:
        """Tokens of all sequences."""
        return self.sequences * self.tokens

    @property
    def repeats(self) -> int:
        """How often it runs."""
        return 1 if self.steps is None else self.steps

    def pairs(self, window: int | None) -> int:
        """Pairs of a token and a key that it meets, in one layer, over all steps.

        Whole rectangles: no discount for the causal mask. A sliding window cuts the context.
        """
        return self.rows * sum_of_sizes(attended(self, window), self.repeats, window)


@dataclass(frozen=True, kw_only=True)
class Routing:
    """How a pass loads the experts of a layer, if balanced.

    Attributes
    ----------
    assigned : pairs of a token and an expert.
    active : experts that see any token.
    rows : tokens of each of them, rounded up.
    """

    assigned: int
    active: int
    rows: int

    @classmethod
    def balanced(cls, experts: Experts, tokens: int) -> "Routing":
        """``tokens`` tokens spread as evenly as can be."""
        assigned = tokens * experts.per_token
        active = min(experts.count, assigned)
        return cls(assigned=assigned, active=active, rows=-(-assigned // active))


def pass_gemms(shape: TransformerShape, run: Pass) -> Iterator[Gemm]:
    """Every GEMM of one pass, in the order of execution.

    A layer's products of attention are one GEMM of scores and one of values per key-value head and
    sequence; the query heads that share keys are stacked in M. ``lm_head`` has that name in every
    model.
    """
    if shape.patches:
        yield _linear(
            "embeddings.patch_embeddings.projection",
            run.sequences * shape.patches.count,
            shape.hidden_size,
            shape.patches.size,
        )
    projected = shape.embedding_size != shape.hidden_size
    if projected:
        yield _linear("decoder.project_in", run.rows, shape.hidden_size, shape.embedding_size)
    for layer in range(shape.num_hidden_layers):
        prefix = f"{shape.family.names.blocks}.{layer}."
        yield from _attention(shape, run, layer, prefix)
        if shape.has_experts(layer):
            yield from _expert_layers(shape, run, prefix)
        else:
            yield from _feed_forward(shape, run, prefix)
    m = run.sequences * run.logits
    if m and projected:
        yield _linear("decoder.project_out", m, shape.embedding_size, shape.hidden_size)
    if m and run.head:
        yield _linear("lm_head", m, shape.vocab_size, shape.embedding_size)


def attended(run: Pass, window: int | None) -> int:
    """Keys that a token meets in the first step, under a sliding window."""
    return run.context if window is None else min(run.context, window)


def _linear(name: str, m: int, n: int, k: int, count: int = 1) -> Gemm:
    return Gemm(name=name, m=m, n=n, k=k, count=count)


def _attention(shape: TransformerShape, run: Pass, layer: int, prefix: str) -> Iterator[Gemm]:
    """Projections to queries, keys and values, products with the cache, output projection."""
    names, hidden = shape.family.names, shape.hidden_size
    widths = [shape.query_size, shape.key_value_size, shape.key_value_size]
    if len(names.inputs) == 1:
        widths = [sum(widths)]
    for name, width in zip(names.inputs, widths, strict=True):
        yield _linear(prefix + name, run.rows, width, hidden)
    if run.attention:
        yield from _products(shape, run, layer, prefix + names.attention)
    yield _linear(prefix + names.output, run.rows, hidden, shape.query_size)


def _products(shape: TransformerShape, run: Pass, layer: int, name: str) -> Iterator[Gemm]:
    """Scores Q K^T, where N is the context, and values P V, where K is."""
    window = shape.windows[layer]
    context, grows, limit = attended(run, window), False, None
    if run.steps is not None and (window is None or context < window):
        grows = run.steps > 1
        if grows and window is not None and context + run.steps - 1 > window:
            limit = window
    m = run.tokens * (shape.num_attention_heads // shape.num_key_value_heads)
    count = run.sequences * shape.num_key_value_heads
    operand: Operand = "kv_cache" if shape.causal else "activations"
    yield Gemm(
        name=f"{name}.scores",
        m=m,
        n=context,
        k=shape.head_dim,
        count=count,
        operand=operand,
        grows="n" if grows else None,
        limit=limit,
    )
    yield Gemm(
        name=f"{name}.values",
        m=m,
        n=shape.head_dim,
        k=context,
        count=count,
        operand=operand,
        grows="k" if grows else None,
        limit=limit,
    )


def _feed_forward(shape: TransformerShape, run: Pass, prefix: str) -> Iterator[Gemm]:
    """The dense layers up and down."""
    names, inner, hidden = shape.family.names, shape.intermediate_size, shape.hidden_size
    width = inner * (2 if names.gated else 1) // len(names.up)
    for name in names.up:
        yield _linear(prefix + name, run.rows, width, hidden)
    yield _linear(prefix + names.down, run.rows, hidden, inner)


def _expert_layers(shape: TransformerShape, run: Pass, prefix: str) -> Iterator[Gemm]:
    """Router, active experts, and the shared one with the gate before its result."""
    names, experts, hidden = shape.family.experts, shape.experts, shape.hidden_size
    assert names is not None and experts is not None
    yield _linear(prefix + names.router, run.rows, experts.count, hidden)
    routing = Routing.balanced(experts, run.rows)
    for name in names.up:
        yield _linear(prefix + name, routing.rows, experts.size, hidden, routing.active)
    yield _linear(prefix + names.down, routing.rows, hidden, experts.size, routing.active)
    if experts.shared_size:
        for name in names.shared_up:
            yield _linear(prefix + name, run.rows, experts.shared_size, hidden)
        yield _linear(prefix + names.shared_down, run.rows, hidden, experts.shared_size)
        yield _linear(prefix + names.shared_gate, run.rows, 1, hidden)
