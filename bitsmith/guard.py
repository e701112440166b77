"""Make sure that the floors below are bitsmith's own.

The package names (``configs``, ``sw``, ``hw``, ``sim``, ``costmodel``) exist elsewhere too. Each
floor is therefore imported from the folder that holds ``bitsmith``, whatever comes first on the
search path, such as a ``configs/`` in the working directory; one that somebody else imported
before is named.
"""

import importlib.util
import sys
from importlib.machinery import PathFinder
from pathlib import Path

FLOORS = ("configs", "sw", "hw", "sim", "costmodel")


def import_floors() -> None:
    """Import every floor from the folder beside this package.

    Raises
    ------
    ImportError : another package of that name is already imported, or the floor is missing.
    """
    root = Path(__file__).resolve().parent.parent
    for name in FLOORS:
        loaded = sys.modules.get(name)
        if loaded is not None:
            places = [Path(place).resolve().parent for place in getattr(loaded, "__path__", [])]
            if root not in places:
                where = getattr(loaded, "__file__", None) or places or "unknown place"
                raise ImportError(
                    f"bitsmith needs its own package '{name}', but another one is imported "
                    f"already: {where}; import bitsmith first, or from another environment"
                )
            continue
        spec = PathFinder.find_spec(name, [str(root)])
        if spec is None or spec.loader is None:
            raise ImportError(f"bitsmith's package '{name}' is missing beside {root / 'bitsmith'}")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
