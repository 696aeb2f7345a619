"""Every part that is shipped, imported and thereby registered."""

import importlib
import pkgutil

from . import conditioning, filters, generation, judges, objectives, pairing, prompts

ROOMS = (prompts, generation, judges, pairing, filters, conditioning, objectives)

for room in ROOMS:
    for module in pkgutil.iter_modules(room.__path__, f"{room.__name__}."):
        importlib.import_module(module.name)
