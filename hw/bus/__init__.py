"""AXI at the edge of the accelerator: registers, streams, and what to do when a job goes wrong."""

from .bridge import Bridge
from .control import JobControl
from .guard import StreamGuard
from .registers import RegisterFile
from .results import ResultPort
from .uart import UartReceiver, UartTransmitter

__all__ = [
    "Bridge",
    "JobControl",
    "RegisterFile",
    "ResultPort",
    "StreamGuard",
    "UartReceiver",
    "UartTransmitter",
]
