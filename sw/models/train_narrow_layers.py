"""Linear layers that train under an accumulator's budget: A2Q and A2Q+ in PyTorch.

A row of weights, or a group of a row, is ``g * v / |v|_1``: norm ``g`` and direction ``v`` are
learned. With a scale ``s = 2**d``, learned too, the norm is cut to ``s`` times the budget and the
integers are ``w / s`` rounded toward zero, which can only shrink them: their L1 norm stays within
the budget at every step. A2Q+ centres ``v`` first. Rounding passes gradients straight through.
Weights start from trained ones: projected onto the budget (the initialisation of A2Q+) or rounded
to nearest, at the scale that loses least.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from sw.models.narrow_integers import Method, check_method, input_range, l1_budget

TINY = 1e-12
#: log2 of float16 scales that keep all their digits
SCALE_EXPONENTS = (-14.0, 15.0)
#: multiples of the absmax scale that the start tries, as powers of two
SCALE_STEPS = (torch.arange(-4, 17) / 2).tolist()
#: how far above an integer weights start, so that centring and rounding toward zero keep it
START_MARGIN = 0.25


@dataclass(frozen=True, kw_only=True)
class NarrowSettings:
    """What to train for.

    Attributes
    ----------
    method : ``a2q``, ``a2q_plus``, or ``none`` for weights without a budget, rounded to nearest.
    weight_bits, activation_bits : widths of the codes.
    inner_bits : width of the register; not used by ``none``.
    group_size : weights that share a scale and are summed in the register; ``None`` for a row.
    signed : activations in signed codes with a scale per token, as the machine takes them; else
        unsigned codes with one learned scale.
    """

    method: Method
    weight_bits: int
    activation_bits: int
    inner_bits: int | None
    group_size: int | None = None
    signed: bool = False

    def __post_init__(self):
        check_method(self.method)
        input_range(self.activation_bits, self.signed)

    @property
    def budget(self) -> int | None:
        """Largest L1 norm of a sum's integer weights, or ``None`` without one."""
        if self.method == "none":
            return None
        return l1_budget(self.method, self.inner_bits, self.activation_bits, self.signed)


def straight_through(rounded: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """The value of ``rounded``, exactly, with the gradient of ``x``."""
    return rounded.detach() + (x - x.detach())


def l1_projection(rows: torch.Tensor, radius: float) -> torch.Tensor:
    """Nearest point of the L1 ball of ``radius``, for each row of (..., K) that is outside.

    Duchi et al. (ICML 2008): magnitudes shrink by one threshold per row.
    """
    sizes = rows.abs()
    ordered = sizes.sort(dim=-1, descending=True).values
    counts = torch.arange(1, rows.shape[-1] + 1, dtype=rows.dtype)
    excess = (ordered.cumsum(-1) - radius) / counts
    kept = (ordered > excess).sum(-1, keepdim=True).clamp(min=1)
    threshold = excess.gather(-1, kept - 1).clamp(min=0)
    return rows.sign() * (sizes - threshold).clamp(min=0)


def grouped(weight: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights (N, K) as (N, groups, size), zeros behind a ragged end, and where weights are."""
    padding = -weight.shape[1] % size
    shape = (weight.shape[0], -1, size)
    present = functional.pad(torch.ones_like(weight), (0, padding)).view(shape)
    return functional.pad(weight, (0, padding)).view(shape), present


class NarrowWeight(nn.Module):
    """Weights (N, K) whose integers stay within the budget; called without arguments."""

    def __init__(self, weight: torch.Tensor, settings: NarrowSettings):
        super().__init__()
        self.settings, self.shape = settings, weight.shape
        self.largest = (1 << (settings.weight_bits - 1)) - 1
        size = settings.group_size or weight.shape[1]
        rows, present = grouped(weight.detach(), min(size, weight.shape[1]))
        self.register_buffer("present", present, persistent=False)
        scale, rows = self._start(rows)
        self.direction = nn.Parameter(rows)
        self.log_scale = nn.Parameter(scale.log2())
        norm = self._centred(rows).abs().sum(-1, keepdim=True)
        self.log_norm = nn.Parameter(norm.clamp(min=TINY).log2())

    def _start(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Scale (N, groups, 1) and weights whose integers have the least squared error."""
        base = rows.abs().amax(-1, keepdim=True).clamp(min=TINY) / self.largest
        best = torch.full_like(base, torch.inf)
        chosen, start = base.clone(), rows.clone()
        for scale in (self._half(base * 2**step) for step in SCALE_STEPS):
            for inside in self._candidates(rows / scale):
                weights = inside * scale
                norm = self._centred(weights).abs().sum(-1, keepdim=True)
                error = (self._levels(weights, norm, scale) * scale - rows).square()
                error = error.sum(-1, keepdim=True)
                better = error < best
                best = torch.where(better, error, best)
                chosen = torch.where(better, scale, chosen)
                start = torch.where(better, weights, start)
        # a row without any weight keeps its direction, or it could never grow
        empty = start.abs().sum(-1, keepdim=True) == 0
        return chosen, torch.where(empty, rows, start)

    def _candidates(self, steps: torch.Tensor) -> list[torch.Tensor]:
        """Where weights may start, in units of the scale."""
        if self.settings.budget is None:
            return [steps]
        # the projection alone leaves only fractions under a small budget: all would round to 0
        nearest = steps.sign() * (steps.abs().round() + START_MARGIN)
        nearest = torch.where(steps.abs() > 0.5, nearest, torch.zeros_like(steps))
        return [l1_projection(self._centred(steps), self.settings.budget), nearest]

    def _centred(self, rows: torch.Tensor) -> torch.Tensor:
        if self.settings.method != "a2q_plus":
            return rows
        mean = rows.sum(-1, keepdim=True) / self.present.sum(-1, keepdim=True)
        return (rows - mean) * self.present

    def _half(self, scale: torch.Tensor) -> torch.Tensor:
        """Scales as they are stored, float16."""
        low, high = (2**end for end in SCALE_EXPONENTS)
        scale = scale.clamp(low, high)
        return straight_through(scale.half().float(), scale)

    def _round(self, x: torch.Tensor) -> torch.Tensor:
        rounded = x.round() if self.settings.method == "none" else x.trunc()
        return straight_through(rounded, x).clamp(-self.largest, self.largest)

    def _levels(
        self, direction: torch.Tensor, norm: torch.Tensor, scale: torch.Tensor
    ) -> torch.Tensor:
        """Integers (N, groups, size), as floats."""
        rows = self._centred(direction)
        if self.settings.budget is not None:
            length = rows.abs().sum(-1, keepdim=True).clamp(min=TINY)
            rows = rows * (torch.minimum(norm, scale * self.settings.budget) / length)
        return self._round(rows / scale)

    def _current(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Integers and scales of the parameters as they are."""
        scale = self._half(2**self.log_scale)
        return self._levels(self.direction, 2**self.log_norm, scale), scale

    def forward(self) -> torch.Tensor:
        levels, scale = self._current()
        return (levels * scale).flatten(1)[:, : self.shape[1]]

    def integers(self) -> tuple[np.ndarray, np.ndarray]:
        """Final integers (N, K) and their float16-valued scales (N, groups)."""
        with torch.no_grad():
            levels, scale = self._current()
        return levels.flatten(1)[:, : self.shape[1]].long().numpy(), scale[..., 0].numpy()


class UnsignedInputs(nn.Module):
    """Codes ``0 .. 2**bits - 1`` with one learned scale."""

    def __init__(self, bits: int, scale: float):
        super().__init__()
        self.largest = (1 << bits) - 1
        self.log_scale = nn.Parameter(torch.tensor(scale).log2())

    @property
    def scale(self) -> torch.Tensor:
        return 2**self.log_scale

    def forward(self, x):
        steps = x / self.scale
        return straight_through(steps.round(), steps).clamp(0, self.largest) * self.scale


class SignedInputs(nn.Module):
    """Codes with a sign and a scale per token, as :func:`sw.quantize.quantize_activations`."""

    def __init__(self, bits: int):
        super().__init__()
        self.largest = (1 << (bits - 1)) - 1

    def forward(self, x):
        scale = x.detach().abs().amax(-1, keepdim=True) / self.largest
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        steps = x / scale
        return straight_through(steps.round().clamp(-self.largest, self.largest), steps) * scale


class NarrowLinear(nn.Module):
    """A linear layer whose inputs and weights are integers times scales; bias in floating point.

    Parameters
    ----------
    linear : the trained float layer.
    input_scale : where the learned scale of unsigned inputs starts; ``None`` for signed ones.
    """

    def __init__(self, linear: nn.Linear, settings: NarrowSettings, input_scale: float | None):
        super().__init__()
        self.weight = NarrowWeight(linear.weight, settings)
        self.bias = None if linear.bias is None else nn.Parameter(linear.bias.detach().clone())
        bits = settings.activation_bits
        self.inputs = SignedInputs(bits) if settings.signed else UnsignedInputs(bits, input_scale)

    def forward(self, x):
        return functional.linear(self.inputs(x), self.weight(), self.bias)
