"""A run's prompts: taken from the users' files into its directory, and what a user is told of them."""

from collections.abc import Mapping
from typing import Any

from ...orchestrator.config.schema import Config
from ...orchestrator.data.intake import take
from ...orchestrator.ledger.ledger import Ledger
from ...orchestrator.prompts.store import freeze_prompts, freeze_seed


def freeze_inputs(config: Config, ledger: Ledger) -> dict[str, dict[str, Any]]:
    """The run's prompts, copied into its directory; what `run.yaml` keeps of each set, with what was left out.

    Raises:
        ConfigError: as `take` and `freeze_prompts`.
    """
    evaluation = config.evaluation
    takings = take(
        config.prompts,
        used=config.prompt_sets,
        heldout=evaluation.num_prompts + (evaluation.fresh_prompts or 0),
        seed=config.run.seed,
    )
    inputs = {}
    for name, taking in takings.items():
        if name == "seed":
            frozen = freeze_seed(ledger, config.prompts, taking.without)
        else:
            frozen = freeze_prompts(
                ledger, config.prompts, field=taking.field, source=taking.source, name=name, without=taking.without
            )
        inputs[name] = {**frozen, **taking.counts}
    return inputs


def inputs_notes(header: Mapping[str, Any]) -> list[str]:
    """What a user is told of the prompts that a run took: how many, which were left out, and which were held out."""
    notes = []
    for name, frozen in header["inputs"].items():
        how = " (held out of prompts.train by run.seed)" if "split_of" in frozen else ""
        left_out = [
            f"{frozen[key]} {words}"
            for key, words in (
                ("malformed", f"malformed rows (the first: {frozen.get('first_malformed')})"),
                ("near_duplicates", "near an earlier prompt"),
                ("near_heldout", "near a held-out prompt"),
            )
            if key in frozen
        ]
        if how or left_out:
            notes.append(f"prompts.{name}: {frozen['rows']} prompts{how}; left out: {', '.join(left_out) or 'none'}")
    return notes
