"""Quality against accumulator width against hardware: `bitsmith widths`."""

from .study import METHODS, WidthSettings, width_rows
from .tasks import DIGITS, DigitsTask, LanguageTask, Task, find_task
from .trained import read_trained, trained_rows

__all__ = [
    "DIGITS",
    "METHODS",
    "DigitsTask",
    "LanguageTask",
    "Task",
    "WidthSettings",
    "find_task",
    "read_trained",
    "trained_rows",
    "width_rows",
]
