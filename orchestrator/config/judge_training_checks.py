"""What rounds that train the policy as a judge need of their phase, and of the phases before it."""

from ..data.records import SCORING, JudgingForm
from ..errors import ConfigError
from .schema import Config


def check_judged_pairs(config: Config) -> None:
    """Refuse judging prompts over pairs, or over judged responses, that no phase makes before. `config` is the whole
    run's.

    Raises:
        ConfigError: naming the phase, and the one before it.
    """
    before: tuple[str | None, Config] | None = None  # the newest phase whose prompts are no judging prompts
    for name in config.phases or (None,):
        phase, field = config.in_phase(name), f"phases.{name}.new_prompts.of" if name else "new_prompts.of"
        if (of := phase.new_prompts.judged()) is None:
            before = name, phase
            continue
        if of == "given":
            continue
        if before is None:
            what = "pairs that could be judged" if of == "pairs" else "judged responses"
            raise ConfigError(
                f"{field}={of}, but no phase before it makes {what}", f"put one before it, or set {field}=given"
            )
        if of == "disputed":
            _check_disputed(field, *before)
            continue
        if of == "scored":
            _check_scored(field, *before)
            continue
        pairing = before[1].pairing
        if pairing.gives() != "pairs":
            raise ConfigError(
                f"{field}=pairs, but phase {before[0]} before it has pairing.kind={pairing.kind}, which makes none",
                f"give phase {before[0]} a pairing of two responses, or set {field}=given",
            )


def _check_disputed(field: str, name: str | None, before: Config) -> None:
    """Judgments of one response differ where there are several."""
    judge, votes = before.judge.asked(), before.judge.votes_on_response()
    if votes is None or votes < 2:
        raise ConfigError(
            f"{field}=disputed takes responses whose judgments differ, but phase {name} before it has judge.kind="
            f"{judge.kind}{'' if votes is None else f' and votes={votes}'}",
            f"set judge@phases.{name}.judge=additive with votes of 2 or more, or another {field}",
        )


def _check_scored(field: str, name: str | None, before: Config) -> None:
    """Scores that a judge can be taught are the mean of what it would say next."""
    if not before.judge.expects_scores or not before.generation.samples:
        raise ConfigError(
            f"{field}=scored takes responses with an expected score, but phase {name} before it has generation.kind="
            f"{before.generation.kind} and judge.kind={before.judge.kind}",
            f"set judge@phases.{name}.judge=expected_score over sampled responses, or another {field}",
        )


def check_judge_training(config: Config) -> None:
    """Refuse a phase of judging prompts that cannot learn from them, and what needs judging prompts without them.

    Raises:
        ConfigError: naming the fields, their values and the remedy.
    """
    made, generation, judge = config.new_prompts, config.generation, config.judge
    of, form = made.judged(), made.judging_form()
    if of == "scored":
        return _check_distillation(config, form)
    as_asked = generation.samples and generation.paired_by is None
    if of is not None and (not as_asked or generation.is_again()):
        raise ConfigError(
            f"new_prompts.kind={made.kind} with generation.kind={generation.kind}: what is sampled must be judgments, "
            "as the judging prompt asks for them",
            "set generation=plain (and generation.again=false), or generation=judgments",
        )
    decoded = generation.decoded()
    if decoded and form not in decoded:
        raise ConfigError(
            f"generation.kind={generation.kind} with new_prompts.kind={made.kind}"
            f"{f', new_prompts.form={form}' if form else ''}: there is no verdict to "
            "decode as a single token",
            f"set new_prompts=judgments and new_prompts.form to one of {', '.join(decoded)}, or generation=plain",
        )
    if of == "disputed" and form != "additive":
        raise ConfigError(
            f"new_prompts.of=disputed with new_prompts.form={form}: one response is judged, not two",
            "set new_prompts.form=additive",
        )
    if judge.of_form is not None and form != judge.of_form:
        raise ConfigError(
            f"judge.kind={judge.kind} with new_prompts.kind={made.kind}: it judges judgments by the {judge.of_form} "
            "rubric",
            f"set new_prompts=judgments with new_prompts.form={judge.of_form}, or choose another judge",
        )
    if judge.knows_truth and of == "disputed":
        raise ConfigError(
            f"judge.kind={judge.kind} with new_prompts.of=disputed: nothing is known of those responses",
            "choose judge=meta, or another new_prompts.of",
        )
    if judge.knows_truth and of is None:
        raise ConfigError(
            f"judge.kind={judge.kind} with new_prompts.kind={made.kind}: something is known of judging prompts alone",
            "set new_prompts=judgments, or choose another judge",
        )
    known = form if judge.knows_truth else None
    _check_verdicts(config, known)
    _check_ranking(config, known)


def _check_distillation(config: Config, form: JudgingForm | None) -> None:
    """A judge's own scores are answers that its judging prompts come with, and are imitated."""
    generation, judge, pairing = config.generation, config.judge, config.pairing
    if form != "expected_score":
        raise ConfigError(
            f"new_prompts.of=scored with new_prompts.form={form}: the scores are judge=expected_score's",
            "set new_prompts.form=expected_score",
        )
    fits = not generation.samples and not judge.judges
    if not fits or not pairing.imitates_as_given or config.objective.examples != "demonstrations":
        raise ConfigError(
            f"new_prompts.of=scored with generation.kind={generation.kind}, judge.kind={judge.kind}, pairing.kind="
            f"{pairing.kind} and objective.kind={config.objective.kind}: a score is imitated as it is",
            "choose generation=given judge=none pairing=demonstrations objective=sft",
        )


def _check_verdicts(config: Config, form: JudgingForm | None) -> None:
    """What needs verdicts on two responses that are known to be right or wrong."""
    pairing, filter, generation = config.pairing, config.filter, config.generation
    right = pairing.takes == "truth"
    for field, kind, needs in (
        ("pairing", pairing.kind, right),
        ("filter", filter.kind, filter.right_by == "verdicts"),
    ):
        if needs and (form is None or form in SCORING):
            raise ConfigError(
                f"{field}.kind={kind} needs verdicts on two responses and what is known of them, but new_prompts.kind="
                f"{config.new_prompts.kind}{f' with new_prompts.form={form}' if form else ''} and judge.kind="
                f"{config.judge.kind}",
                f"set new_prompts=judgments, new_prompts.form=mt_bench (or another of two) and judge=truth, or choose "
                f"another {field}",
            )
    if filter.right_by == "verdicts" and not right:
        raise ConfigError(
            f"filter.kind={filter.kind} compares right verdicts, but pairing.kind={pairing.kind} takes others too",
            "set pairing=right or pairing=right_over_wrong",
        )
    samples = generation.samples_each() or 0
    if right and pairing.gives() == "pairs" and (samples < 2 or generation.sampled_with().temperature == 0):
        raise ConfigError(
            f"pairing.kind={pairing.kind} needs judgments that differ, but generation.samples_per_prompt={samples} "
            f"and generation.sampling.temperature={generation.sampled_with().temperature:g}",
            "set generation.samples_per_prompt to 2 or more, and generation.sampling.temperature above 0",
        )


def _check_ranking(config: Config, form: JudgingForm | None) -> None:
    """Scores are right together or not at all."""
    ranks = config.filter.right_by == "scores"
    if ranks != (form in SCORING):
        raise ConfigError(
            f"filter.kind={config.filter.kind} with new_prompts.kind={config.new_prompts.kind}"
            f"{f', new_prompts.form={form}' if form else ''} and judge.kind={config.judge.kind}: whether scores are "
            "right is said by their order, and by that alone",
            "set filter=ranking_agreement with new_prompts=judgments, new_prompts.form=additive (or expected_score) "
            "and judge=truth, or none of them",
        )
    if ranks and not (config.pairing.scores_groups and config.pairing.least_responses() == 1):
        raise ConfigError(
            f"filter.kind=ranking_agreement with pairing.kind={config.pairing.kind}: it takes every judgment that can "
            "be read",
            "set pairing=group and pairing.min_responses=1 (with pairing.ties=keep), and objective=sft",
        )
