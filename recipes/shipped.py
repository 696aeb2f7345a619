"""Every part that is shipped, imported and thereby registered."""

import importlib
import pkgutil

from . import conditioning, filters, generation, judges, pairing

ROOMS = (generation, judges, pairing, filters, conditioning)

for room in ROOMS:
    for module in pkgutil.iter_modules(room.__path__, f"{room.__name__}."):
        importlib.import_module(module.name)
