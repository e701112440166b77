"""An accelerator as a folder that a stranger can integrate: Verilog, bench, driver, papers."""

from .files import driver_source, package_files
from .purpose import Purpose
from .writer import write_package

__all__ = ["Purpose", "driver_source", "package_files", "write_package"]
