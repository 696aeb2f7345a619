"""RLCD beside its baselines on one budget: RLAIF, RLCD-Rescore, context distillation; SmolLM2-135M on CPU.

    python benchmarks/rlcd.py runs/rlcd        # plays the four recipes (resumed where they stopped), prints the table

Every recipe has the same prompts for its labels and, but for context distillation, the same PPO rounds. Final policies
answer the same held-out prompts with the same seeds, and every reward model scores every policy's answers: a reward
model favours what it was trained to favour, so read a column by its rows, not a row by its columns.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev

from rich.console import Console
from rich.table import Table

from roundelay.launch.config.loading import load_config
from roundelay.orchestrator.data.records import PairingOutcome, PreferencePair, Rollout, TokenSequence, pairs_of
from roundelay.orchestrator.evaluate.evaluation import sequences_of
from roundelay.orchestrator.ledger.ledger import Ledger
from roundelay.orchestrator.ledger.policies import reward_model_of
from roundelay.orchestrator.measure.metrics import DistinctN
from roundelay.orchestrator.parts.judge import REWARD_MODEL
from roundelay.workers.scorer import Scorer

RECIPES = ("rlcd", "rlcd_rescore", "rlaif", "context_distillation")


def play(recipe: str, root: Path, overrides: Sequence[str]) -> Ledger:
    """The recipe's run: begun, gone on with, or finished already."""
    command = ["run", f"recipe={recipe}", f"run.root={root}", f"run.name={recipe}", *overrides]
    if (root / recipe / "run.yaml").exists():
        command = ["resume", str(root / recipe)]
    subprocess.run([str(Path(sys.executable).parent / "roundelay"), *command], check=True)
    return Ledger(str(root / recipe))


def responses(ledger: Ledger, round: int) -> list[Rollout]:
    """One response to each held-out prompt."""
    return list(ledger.read_stage(round, "eval-rollouts", Rollout))


def heldout_pairs(ledger: Ledger) -> list[PreferencePair]:
    return pairs_of(list(ledger.read_stage(0, "heldout-pairs", PairingOutcome)))


def accuracy(scorer: Scorer, pairs: Sequence[PreferencePair]) -> float:
    """The share of pairs whose chosen response scores higher."""
    scores = scored(scorer, [sequence for pair in pairs for sequence in sequences_of(pair)])
    return fmean(chosen > rejected for chosen, rejected in zip(scores[::2], scores[1::2], strict=True))


def scored(scorer: Scorer, sequences: Sequence[TokenSequence]) -> list[float]:
    return [score for (score,) in scorer.score(REWARD_MODEL, sequences)]


def rewards(scorer: Scorer, rollouts: Sequence[Rollout]) -> list[float]:
    sequences = [TokenSequence(prompt_token_ids=r.prompt_token_ids, token_ids=r.token_ids) for r in rollouts]
    return scored(scorer, sequences)


def distinct_2(rollouts: Sequence[Rollout]) -> float:
    counter = DistinctN(2)
    for rollout in rollouts:
        counter.add(rollout.token_ids)
    return counter.value or 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="where the four runs are, or will be")
    parser.add_argument("overrides", nargs="*", help="for every run, such as evaluation.num_prompts=96")
    arguments = parser.parse_args()
    ledgers = {recipe: play(recipe, arguments.root, arguments.overrides) for recipe in RECIPES}
    contrast = heldout_pairs(ledgers["rlcd"])

    scorers: dict[str, Scorer] = {}
    accuracies: dict[str, str] = {}
    for recipe, ledger in ledgers.items():
        reward_model = reward_model_of(ledger, ledger.finished_rounds()[-1])
        if reward_model is not None:
            scorers[recipe] = Scorer(load_config([f"recipe={recipe}"], default_name="x"), 2)
            scorers[recipe].hold({REWARD_MODEL: reward_model})
            accuracies[recipe] = f"{100 * accuracy(scorers[recipe], contrast):.1f}%"

    answers = {"initial policy": responses(ledgers["rlcd"], 0)}
    answers |= {recipe: responses(ledger, ledger.finished_rounds()[-1]) for recipe, ledger in ledgers.items()}
    table = Table(title=f"{len(answers['rlcd'])} held-out prompts, {len(contrast)} held-out contrast pairs")
    for heading in (
        "policy",
        "its reward model: accuracy on contrast pairs",
        *(f"reward by {name}'s" for name in scorers),
    ):
        table.add_column(heading)
    table.add_column("length")
    table.add_column("distinct-2")
    for name, rollouts in answers.items():
        means = []
        for scorer in scorers.values():
            found = rewards(scorer, rollouts)
            means.append(f"{fmean(found):+.3f} ± {stdev(found) / len(found) ** 0.5:.3f}")
        length = fmean(len(rollout.token_ids) for rollout in rollouts)
        table.add_row(name, accuracies.get(name, "–"), *means, f"{length:.1f}", f"{distinct_2(rollouts):.3f}")
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
