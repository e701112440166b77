"""PE array, tile controller, input queues and result drain."""

from .activations import FloatActivations
from .drain import ResultDrain
from .loader import ActivationLoader, WeightLoader
from .pe_array import PEArray
from .queue import Queue
from .sequencer import Sequencer
from .walker import Walker, job_layout

__all__ = [
    "ActivationLoader",
    "FloatActivations",
    "PEArray",
    "Queue",
    "ResultDrain",
    "Sequencer",
    "Walker",
    "WeightLoader",
    "job_layout",
]
