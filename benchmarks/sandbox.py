"""Does the loop improve a model? A small one, trained from scratch by `recipe=sft` to answer small tasks and to judge
answers to them, goes through three rounds of each recipe. What is right is known, so what it learns is too.

    python benchmarks/sandbox.py runs/sandbox                              # prints the table; keeps finished runs
    python benchmarks/sandbox.py runs/sandbox --plot docs/sandbox.svg      # and draws it

True accuracy: the share of held-out tasks answered rightly, greedily. Judge accuracy: how often the policy scores the
right answer to a held-out task above a nearly right one. Every recipe has the same start, tasks, samples and rounds,
and one learning rate for each kind of update. Some have a phase before their rounds, as their papers have: SPA on
labelled pairs, RLCD for its reward model, Self-Rewarding (`self_rewarding_eft`) on its own judgments of labelled pairs.
Each form of Self-Rewarding has a control whose judge is random; the labels of EFT are then random too.

Runs are played side by side in lanes, each with its own cores, rollout engine and learner, as so small a model gains
little from a second thread.
"""

import argparse
import csv
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, fields
from functools import cache
from itertools import islice
from multiprocessing import active_children, get_context
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from rich.console import Console
from sandbox_figures import ROUNDS, STAGES, Figures, plot, tables
from sandbox_model import expected_scores, write_model
from sandbox_pairs import Paired, compared, pairs_table
from sandbox_tasks import RIGHT, WRONG, demonstrations, is_right, solution, tasks, with_filler, wrong_answer

from roundelay.launch.config.loading import config_values, load_config
from roundelay.launch.run.composition import usable_cores
from roundelay.launch.run.runs import is_finished
from roundelay.orchestrator.data.records import PairingOutcome, Rollout
from roundelay.orchestrator.ledger.layout import EVAL_ROLLOUTS, LEARN, Activity, Stage
from roundelay.orchestrator.ledger.ledger import Ledger
from roundelay.orchestrator.ledger.policies import policy_of

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from support.one_engine import OneEngine

HELDOUT = 400
LABELLED, OF_SPA = 6144, 256  # pairs, right answer above nearly right one: for EFT, and how many of them SPA has
JUDGED = 5  # nearly right answers that are set beside the right one
PROMPTS, SAMPLES = 512, 8  # a round's
DEMONSTRATIONS = 45_000

COMMON = (
    "model=local", "model.max_model_len=128", f"evaluation.num_prompts={HELDOUT}", "evaluation.sampling.max_tokens=16",
    "evaluation.sampling.temperature=0.0", "evaluation.canaries.prompts=0", "evaluation.drift_prompts=0",
    "run.prompts_per_shard=64", "cluster.rollout.max_num_seqs=256", "learner.tokens_per_device=2048",
)  # fmt: skip
SAMPLING = "{temperature: 1.0, top_p: 1.0, max_tokens: 16}"
BUDGET = (
    f"run.rounds={ROUNDS}", f"run.prompts_per_round={PROMPTS}", f"generation.samples_per_prompt={SAMPLES}",
    f"generation.sampling={SAMPLING}", "generation.truncated=keep", "learner.pairs_per_step=32",
    "learner.schedule=constant", "learner.warmup_fraction=0.0",
)  # fmt: skip
RATE = "learner.learning_rate=2.0e-5"
PREFERENCE = (*BUDGET, RATE, "objective.beta=0.1")
LONGER = f"run.rounds={ROUNDS + 1}"  # of recipes with a phase before their rounds
# The policy scores the responses of labelled pairs, and learns its scores where they rank them as they are labelled.
EFT = (
    *PREFERENCE, LONGER, "~phases.sft", f"phases.eft.prompts_per_round={2 * LABELLED}",
    "phases.eft.new_prompts.form=expected_score", "phases.eft.generation.samples_per_prompt=1",
    "phases.eft.generation.sampling={temperature: 1.0, top_p: 1.0, max_tokens: 4}",
    "phases.eft.generation.truncated=keep", "phases.eft.filter.max_share=null",
    "phases.eft.learner.learning_rate=1.0e-4", "phases.eft.learner.schedule=cosine", "phases.eft.learner.epochs=2",
)  # fmt: skip
RANDOM = "sandbox_tasks:random_score"


@dataclass(frozen=True, kw_only=True, slots=True)
class Contestant:
    """A recipe as it takes part: what is set for it, whether a phase comes before its rounds, its labelled pairs."""

    recipe: str
    words: tuple[str, ...]
    prepares: bool = False
    pairs: str = "pairs"


# In the order that they are played in: the longest first, so that lanes end together.
CONTESTANTS: Mapping[str, Contestant] = {
    "self_rewarding_eft": Contestant(
        recipe="self_rewarding_eft",
        words=(*EFT, "judge=expected_score", "judge@phases.self_rewarding.judge=expected_score"),
        prepares=True,
    ),
    "random EFT and judge": Contestant(
        recipe="self_rewarding_eft",
        words=(
            *EFT, "judge=function", f"judge.function={RANDOM}", "judge@phases.self_rewarding.judge=function",
            f"phases.self_rewarding.judge.function={RANDOM}",
        ),
        prepares=True,
        pairs="random-pairs",
    ),
    "rlcd": Contestant(
        recipe="rlcd",
        words=(
            LONGER, f"generation.affixes=[{{positive: {RIGHT}, negative: {WRONG}}}]", f"generation.sampling={SAMPLING}",
            "generation.truncated=keep",
            f"phases.reward_model.prompts_per_round={ROUNDS * PROMPTS}",
            "phases.reward_model.learner.learning_rate=3.0e-4", "phases.reward_model.learner.pairs_per_step=32",
            f"phases.ppo.prompts_per_round={PROMPTS}", f"phases.ppo.generation.samples_per_prompt={SAMPLES}",
            f"phases.ppo.generation.sampling={SAMPLING}", "phases.ppo.learner.learning_rate=1.0e-4",
            "phases.ppo.learner.pairs_per_step=64",
        ),
        prepares=True,
    ),
    "spa": Contestant(
        recipe="spa",
        words=(*BUDGET, RATE, LONGER, f"phases.seed.prompts_per_round={OF_SPA}", "phases.seed.learner.epochs=1"),
        prepares=True,
    ),
    "self_rewarding": Contestant(recipe="self_rewarding", words=PREFERENCE),
    "random judge": Contestant(
        recipe="self_rewarding", words=(*PREFERENCE, "judge=function", f"judge.function={RANDOM}")
    ),
    "true judge": Contestant(
        recipe="self_rewarding", words=(*PREFERENCE, "judge=function", "judge.function=sandbox_tasks:true_score")
    ),
    "sweet_spot": Contestant(recipe="sweet_spot", words=PREFERENCE),
    "ilr_dpo": Contestant(recipe="ilr_dpo", words=(*PREFERENCE, "objective.alpha=0.1")),
    "sppo": Contestant(recipe="sppo", words=(*BUDGET, RATE)),
    "rip": Contestant(recipe="rip", words=PREFERENCE),
    "raft": Contestant(recipe="raft", words=(*BUDGET, "learner.learning_rate=5.0e-5")),
}  # fmt: skip
# On how many seeds, where that is more than the first: six for what is claimed of every seed.
SEEDS: Mapping[str, int] = {
    "self_rewarding_eft": 6, "self_rewarding": 6, "random judge": 6, "random EFT and judge": 6, "true judge": 3,
}  # fmt: skip
EVERY_SEED = tuple(SEEDS)


@dataclass(frozen=True, slots=True)
class RoundLines:
    """An `Observer` that prints a line a round, and as a long update goes on: several runs share a terminal."""

    run: str
    rounds: int

    def stage(self, round: int, stage: Stage[Any] | Activity, done: int, total: int, tokens: int) -> None:
        ends = stage == EVAL_ROLLOUTS and done == total
        if ends or (stage == LEARN and total >= 8 and done % (total // 4) == 0):
            self.note(f"{stage.label} {done}/{total}", round)

    def metrics(self, row: dict[str, Any]) -> None: ...

    def pairs(self, round: int, outcomes: Sequence[PairingOutcome]) -> None: ...

    def note(self, text: str, round: int | None = None) -> None:
        where = "" if round is None else f"round {round}/{self.rounds} "
        print(f"{time.strftime('%H:%M:%S')}  {self.run}: {where}{text}", file=sys.stderr, flush=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """One seed's tasks, files and runs."""

    root: Path
    seed: int

    @property
    def folder(self) -> Path:
        return self.root / f"seed-{self.seed}"

    @property
    def heldout(self) -> list[str]:
        return list(islice(dict.fromkeys(islice(tasks(f"heldout-{self.seed}"), 2 * HELDOUT)), HELDOUT))

    @property
    def untrained(self) -> Path:
        """The model with random weights."""
        return self.folder / "untrained"

    def write(self) -> None:
        """Write what the runs read, if it is not there: a model, tasks to train on and to hold out, demonstrations,
        labelled pairs, and the same pairs with labels that a coin gives."""
        if (self.untrained / "tokenizer.json").exists():  # what is written last
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        heldout, drawn = self.heldout, random.Random(f"pairs-{self.seed}")
        fresh = (task for task in tasks(f"train-{self.seed}") if task not in heldout)
        train = list(islice(fresh, ROUNDS * PROMPTS))
        labelled = list(islice(fresh, LABELLED))
        files = {
            "heldout": [{"id": f"heldout-{index}", "prompt": task} for index, task in enumerate(heldout)],
            "train": [{"id": f"train-{index}", "prompt": task} for index, task in enumerate(train)],
            "demonstrations": demonstrations(str(self.seed), DEMONSTRATIONS, frozenset(heldout)),
            "pairs": [
                {
                    "id": f"pair-{index}", "prompt": task, "chosen": with_filler(solution(task), drawn),
                    "rejected": with_filler(wrong_answer(task, drawn), drawn),
                }
                for index, task in enumerate(labelled)
            ],
        }  # fmt: skip
        files["random-pairs"] = [
            {**pair, "chosen": one, "rejected": other}
            for pair in files["pairs"]
            for one, other in [drawn.sample((pair["chosen"], pair["rejected"]), 2)]
        ]
        for name, rows in files.items():
            lines = "".join(json.dumps(row) + "\n" for row in rows)
            (self.folder / f"{name}.jsonl").write_text(lines)
        write_model(self.untrained, hidden=192, layers=4, seed=self.seed)

    def play(self, name: str, words: Sequence[str], *, seed_file: str, responses: str) -> Ledger:
        """The run of this name: played, or finished already. Begun otherwise, or left unfinished, it begins anew."""
        run = self.folder / name.replace(" ", "_")
        config = load_config([
            *COMMON, f"run.root={self.folder}", f"run.name={run.name}", f"run.seed={self.seed}",
            f"prompts.train.path={self.folder / 'train.jsonl'}",
            f"prompts.heldout.path={self.folder / 'heldout.jsonl'}",
            f"prompts.seed.path={self.folder / seed_file}", f"prompts.seed.responses={responses}", *words,
        ])  # fmt: skip
        ledger = Ledger(str(run))
        begun = (run / "run.yaml").exists() and ledger.header()["config"] == config_values(config)
        if begun and is_finished(config, ledger):
            return ledger
        shutil.rmtree(run, ignore_errors=True)
        lines = RoundLines(f"seed {self.seed}, {name}", config.run.rounds)
        return engine(World(root=self.root, seed=0).untrained).run(config, lines)

    def start(self) -> str:
        """The policy that every recipe starts from: trained from scratch by our own supervised phase."""
        words = (
            "recipe=sft", f"model.path={self.untrained}", "run.rounds=1", f"run.prompts_per_round={DEMONSTRATIONS}",
            "run.prompts_per_shard=4096", "learner.epochs=1", "learner.learning_rate=2.0e-3",
            "learner.pairs_per_step=64", "learner.warmup_fraction=0.05",
        )  # fmt: skip
        ledger = self.play("start", words, seed_file="demonstrations.jsonl", responses="[response]")
        return ledger.model_path(1, "policy")

    def enter(self, name: str, start: str) -> list[Figures]:
        """A contestant's rounds."""
        one = CONTESTANTS[name]
        words = (f"recipe={one.recipe}", f"model.path={start}", *one.words)
        ledger = self.play(name, words, seed_file=f"{one.pairs}.jsonl", responses="[chosen, rejected]")
        stages = [stage for stage in STAGES if one.prepares or stage != "prepared"]
        return [self.figures(name, ledger, stage, round) for round, stage in enumerate(stages)]

    def figures(self, name: str, ledger: Ledger, stage: str, round: int) -> Figures:
        heldout = self.heldout
        said = {rollout.prompt_id: rollout for rollout in ledger.read_stage(round, "eval-rollouts", Rollout)}
        responses = [said[f"heldout-{index}"] for index in range(len(heldout))]
        made = policy_of(ledger, round)
        assert made is not None
        answers = tuple(int(is_right(task, one.text)) for task, one in zip(heldout, responses, strict=True))
        judgments = self.judgments(made.path)
        return Figures(
            seed=self.seed,
            name=name,
            stage=stage,
            true_accuracy=fmean(answers),
            judge_accuracy=fmean(judgments) / JUDGED,
            tokens=fmean(len(rollout.token_ids) for rollout in responses),
            answers=answers,
            judgments=judgments,
        )

    @cache  # noqa: B019 - a world lives as long as the process
    def judgments(self, policy: str) -> tuple[int, ...]:
        """How many of every held-out task's pairs the policy judges rightly."""
        drawn = random.Random(f"judged-{self.seed}")
        judged = [
            (task, with_filler(answer, drawn))
            for task in self.heldout
            for _ in range(JUDGED)
            for answer in (solution(task), wrong_answer(task, drawn))
        ]
        scores = expected_scores(policy, judged)
        rightly = [right > wrong for right, wrong in zip(scores[::2], scores[1::2], strict=True)]
        return tuple(sum(rightly[start : start + JUDGED]) for start in range(0, len(rightly), JUDGED))


@cache
def engine(model: Path) -> OneEngine:
    """One rollout engine and one learner process for all runs of a lane: their models differ in weights alone."""
    os.environ.setdefault("RAY_worker_niceness", "0")
    config = load_config([*COMMON, *BUDGET, f"model.path={model}"], default_name="sandbox")
    return OneEngine(config, folder=Path(__file__).parent, threads=usable_cores())


def begin_lane(cores: Any) -> None:
    """Keep this process, and those that it starts, to cores of its own. What interrupts it is up to the command."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.sched_setaffinity(0, cores.get())
    torch.set_num_threads(usable_cores())


def play_all(pool: ProcessPoolExecutor, worlds: Sequence[World], recipes: Sequence[str]) -> list[Figures]:
    """The figures of these recipes, on the first world or on all; the tables are printed as they grow."""
    starts = {pool.submit(world.start): world for world in worlds}
    entries = [
        pool.submit(starts[start].enter, name, start.result())
        for start in as_completed(starts)
        for name in recipes
        if starts[start].seed < SEEDS.get(name, 1)
    ]
    found: list[Figures] = []
    for entry in as_completed(entries):
        found += entry.result()
        found.sort(key=lambda one: (one.seed, list(CONTESTANTS).index(one.name)))
        Console(width=160).print(*tables(found, EVERY_SEED))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="where the runs are, or will be")
    parser.add_argument("--seeds", type=int, default=6, help="how many at most (default 6); see SEEDS")
    parser.add_argument("--recipes", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS), metavar="RECIPE")
    parser.add_argument("--lanes", type=int, default=2, help="how many runs are played side by side (default 2)")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw the figures there")
    arguments = parser.parse_args()
    root = arguments.root.resolve()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C does

    worlds = [World(root=root, seed=seed) for seed in range(arguments.seeds)]
    for world in worlds:
        world.write()
    context, allowed = get_context("spawn"), sorted(os.sched_getaffinity(0))
    lanes = min(arguments.lanes, len(allowed))
    cores = context.Queue()
    for lane in range(lanes):
        cores.put(allowed[lane::lanes])
    pool = ProcessPoolExecutor(lanes, context, begin_lane, (cores,))
    try:
        found = play_all(pool, worlds, arguments.recipes)
    except KeyboardInterrupt:
        for lane in active_children():
            lane.kill()  # a run that is not finished begins anew: nothing is to be kept of it
        sys.exit("interrupted; the same command goes on with the runs that are not finished")
    finally:
        pool.shutdown(cancel_futures=True)
    with open(root / "figures.csv", "w", newline="") as file:
        columns = [field.name for field in fields(Figures) if field.name not in ("answers", "judgments")]
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(asdict(one) for one in found)
    pairs = compared(found, JUDGED)
    Console(width=160).print(pairs_table(pairs))
    with open(root / "paired.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Paired)])
        writer.writeheader()
        writer.writerows(asdict(one) for one in pairs)
    if arguments.plot:
        plot(found, EVERY_SEED, arguments.plot)


if __name__ == "__main__":
    main()
