"""A transformer's ``config.json`` as a workload: prefill, decode with a growing context, host."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Literal, get_args

from configs.errors import InputError, check_range, unknown_name

from .blocks import Pass, Routing, pass_gemms
from .host import host_work, phase_counts
from .shapes import TransformerShape, read_shape
from .workload import Workload

Head = Literal["auto", "last", "all", "none"]
Place = Literal["host", "array"]


def model_workload(
    config: Mapping[str, object],
    where: str,
    *,
    prefill_tokens: int,
    decode_steps: int,
    batch: int = 1,
    lm_head: Head = "auto",
    attention: Place = "host",
    name: str | None = None,
) -> Workload:
    """The GEMMs of a transformer, from its sizes alone.

    Parameters
    ----------
    config : a parsed Hugging Face ``config.json``.
    where : the file's name, for messages.
    prefill_tokens : prompt tokens of every sequence, run together; 0 for none. Of an image model
        the tokens of one image: patches and class token.
    decode_steps : steps of one token per sequence. In step s, counted from 0, a token meets
        ``prefill_tokens + s + 1`` others, itself included.
    batch : sequences that run together, of the same length.
    lm_head : prompt tokens whose logits are computed: the ``last`` of every sequence, ``all`` or
        ``none``; in decode all, if not ``none``. ``auto`` is ``last``, but leaves a head that is
        tied to the embedding to the host.
    attention : where scores and values are computed.
    name : of the workload; default is the model type.

    Raises
    ------
    InputError : an unknown model type, a field that is missing or wrong, or numbers of tokens that
        the model cannot have.
    """
    shape = read_shape(config, where)
    _check(shape, where, lm_head, attention)
    _check_lengths(shape, where, prefill_tokens, decode_steps)
    check_range("batch", batch, 1, 1 << 20)
    prompt = Pass(
        sequences=batch,
        tokens=prefill_tokens,
        context=prefill_tokens,
        steps=None,
        logits=_logits(shape, lm_head, prefill_tokens),
        head=lm_head != "auto" or not shape.tied,
        attention=attention == "array",
    )
    step = replace(
        prompt,
        tokens=1,
        context=prefill_tokens + 1,
        steps=decode_steps,
        logits=_logits(shape, lm_head, 1),
    )
    return _workload(shape, prompt, step, shape.model_type if name is None else name)


def _workload(shape: TransformerShape, prompt: Pass, step: Pass, name: str) -> Workload:
    """Both phases, either of which may be empty."""
    prefill = tuple(pass_gemms(shape, prompt)) if prompt.tokens else ()
    decode = tuple(pass_gemms(shape, step)) if step.steps else ()
    return Workload(
        name=name,
        prefill=prefill,
        decode=decode,
        decode_steps=step.repeats,
        prefill_tokens=prompt.tokens,
        batch=prompt.sequences,
        host=host_work(phase_counts(shape, prompt, prefill), phase_counts(shape, step, decode)),
        assumptions=tuple(_assumptions(shape, prompt, step)),
    )


def _logits(shape: TransformerShape, lm_head: Head, tokens: int) -> int:
    """Positions of a sequence with logits, of ``tokens`` that enter."""
    if not shape.causal or lm_head == "none":
        return 0
    return tokens if lm_head == "all" else min(1, tokens)


def _check(shape: TransformerShape, where: str, lm_head: Head, attention: Place) -> None:
    for kind, value, valid in (
        ("lm_head", lm_head, get_args(Head)),
        ("attention", attention, get_args(Place)),
    ):
        if value not in valid:
            raise unknown_name(f"value of {kind}", value, valid)
    if not shape.causal and lm_head in ("last", "all"):
        raise InputError(
            f"{where}: a {shape.model_type} has no lm_head: lm_head is '{lm_head}', "
            "it must be 'auto' or 'none'"
        )


def _check_lengths(shape: TransformerShape, where: str, tokens: int, steps: int) -> None:
    check_range("prefill_tokens", tokens, 0, 1 << 24)
    check_range("decode_steps", steps, 0, 1 << 24)
    if not tokens and not steps:
        raise InputError("prefill_tokens and decode_steps are both 0: nothing to run")
    if shape.causal:
        return
    if steps:
        raise InputError(
            f"{where}: a {shape.model_type} is an encoder and generates no tokens: "
            f"decode_steps is {steps}, it must be 0"
        )
    if shape.patches and tokens != shape.patches.count + 1:
        raise InputError(
            f"{where}: an image of {shape.patches.count} patches and a class token is "
            f"{shape.patches.count + 1} tokens: prefill_tokens is {tokens}, it must be that"
        )


def _assumptions(shape: TransformerShape, prompt: Pass, step: Pass) -> Iterator[str]:
    """What the sizes suppose, in words."""
    if prompt.sequences > 1:
        yield f"all {prompt.sequences} sequences have the same length and run together"
    if shape.causal and prompt.tokens > 1:
        yield "products of attention in the prefill count as whole rectangles: no causal discount"
    yield from _window_assumption(shape, prompt, step)
    if shape.experts:
        yield from _routing_assumption(shape, prompt, step)
    if shape.causal and not prompt.head and prompt.logits + step.logits:
        yield "lm_head is tied to the embedding and left to the host"
    if prompt.logits and prompt.tokens > prompt.logits:
        yield "logits are computed of the last prompt token of each sequence only"
    if not prompt.attention:
        yield "the host computes the products of attention and keeps the cache"
    if not shape.causal:
        yield "pooler and classifier are left out"
    if shape.patches:
        yield "the patch embedding is one GEMM: a row per patch, the class token is added behind it"
    longest = prompt.context + step.repeats
    if shape.max_positions is not None and longest > shape.max_positions:
        yield f"the context of {longest} tokens exceeds the model's {shape.max_positions}"


def _window_assumption(shape: TransformerShape, prompt: Pass, step: Pass) -> Iterator[str]:
    """Only where a window is narrower than the context."""
    longest = prompt.context + step.repeats
    windows = [w for w in shape.windows if w is not None and w < longest]
    if windows:
        where = "" if len(windows) == len(shape.windows) else f" in {len(windows)} layers"
        yield f"a token meets at most the {windows[0]} tokens of its sliding window{where}"


def _routing_assumption(shape: TransformerShape, prompt: Pass, step: Pass) -> Iterator[str]:
    experts = shape.experts
    assert experts is not None
    yield (
        "tokens are spread evenly over the experts of a layer; weights of the active ones "
        "are read once per pass"
    )
    for phase, run, there in (
        ("prefill", prompt, prompt.tokens),
        ("decode", step, step.steps),
    ):
        if not there:
            continue
        routing = Routing.balanced(experts, run.rows)
        rounded = routing.active * routing.rows
        note = "" if rounded == routing.assigned else f" ({routing.assigned} rounded up)"
        yield (
            f"{phase}: {routing.active} of {experts.count} experts active, "
            f"{routing.rows} tokens each{note}"
        )
