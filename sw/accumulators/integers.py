"""A layer as final integers, wherever they come from: what a bound is about."""

from dataclasses import dataclass

from configs.errors import InputError

from .checks import Integers, input_bounds, integer_array


@dataclass(frozen=True, kw_only=True, eq=False)
class IntegerLayer:
    """Dot products of integers: ``sum_k weights[n, k] * (codes[k] - input_zero_point) + bias[n]``.

    The integers are those that the hardware multiplies. Declared widths of files are not kept:
    they can be wrong, and no bound may rest on them.

    Parameters
    ----------
    name : as in the file.
    weights : (N, K), one row per output; of a convolution, K are the products of one output.
    bias : (N,), in units of one product, added into the register; ``None`` without.
    input_range : smallest and largest input code, both inclusive; ``None`` where the file does not
        say.
    input_zero_point : code that stands for 0. Padding of a convolution has this code.
    padded : whether positions beyond an edge enter the sum.

    Raises
    ------
    InputError : no matrix of integers, a bias of another length, an empty range.
    """

    name: str
    weights: Integers
    bias: Integers | None = None
    input_range: tuple[int, int] | None = None
    input_zero_point: int = 0
    padded: bool = False

    def __post_init__(self) -> None:
        try:
            weights = integer_array(self.weights, "weights", ndim=2)
            object.__setattr__(self, "weights", weights)
            if self.bias is not None:
                bias = integer_array(self.bias, "bias", ndim=1)
                if len(bias) != len(weights):
                    raise InputError(f"bias has {len(bias)} values for {len(weights)} rows")
                object.__setattr__(self, "bias", bias)
            if self.input_range is not None:
                object.__setattr__(self, "input_range", input_bounds(self.input_range))
        except InputError as error:
            raise InputError(f"layer '{self.name}': {error}") from None
