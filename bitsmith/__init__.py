"""bitsmith: from a quantized model and an accelerator description to a proven, costed,
synthesizable machine.

The names below are the public, stable interface; everything else may move.
"""

from .guard import import_floors

import_floors()

from configs.errors import InputError  # noqa: E402
