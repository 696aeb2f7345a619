"""Judges of a phase beside the one that labels its rounds, and what they are bound to."""

from ..orchestrator.config.schema import Config
from ..orchestrator.parts.judge import JudgeContext, JudgePart
from ..orchestrator.protocols import Judge, Opinion, Scorers


def build_judge(
    judge: JudgePart, config: Config, scorers: Scorers | None, *purpose: str, own_logps: bool
) -> Judge | None:
    """The judge's function with its configuration bound; None where nobody judges.

    `purpose` keeps apart the seeds of judges that are asked about the same responses. `own_logps`: what is judged
    was sampled from the plain prompts, so that its log-probs are the policy's own."""
    return judge.build(JudgeContext(seed=config.run.seed, purpose=purpose, scorers=scorers, own_logps=own_logps))


def build_canary_judge(config: Config, scorers: Scorers | None) -> Judge | None:
    """The judge of planted responses, which nobody sampled: none where it asks for the policy's log-probs of them,
    which no actor beside the rollout engines holds, or judges judgments."""
    judge = config.judge.both_ways()
    if judge.of_form is not None or not _can_ask(judge, config):
        return None
    return build_judge(judge, config, scorers, "canary", own_logps=False)


def build_moving_judge(judge: JudgePart, config: Config, scorers: Scorers | None, *purpose: str) -> Judge | None:
    """`judge` for responses of another policy than the one that judges now: none where the policy does not judge, or
    where its log-probs of them are asked for, which no actor beside the rollout engines holds."""
    if not judge.by_policy() or not _can_ask(judge, config):
        return None
    return build_judge(judge, config, scorers, *purpose, own_logps=False)


def build_opinions(config: Config, scorers: Scorers | None) -> tuple[Opinion, Opinion] | None:
    """The policy's, and that of a judge that is not the policy: where one of the round's judge and the evaluation's is
    each, and both can judge any response."""
    found: dict[bool, Opinion] = {}
    for judge in (config.judge.both_ways(), config.evaluation.judge.both_ways()):
        if not judge.of_responses or not _can_ask(judge, config):
            continue
        built = build_judge(judge, config, scorers, "self_preference", own_logps=False)
        assert built is not None
        found[judge.by_policy()] = Opinion(judge=built, reading=judge.reading())
    return (found[True], found[False]) if len(found) == 2 else None


def _can_ask(judge: JudgePart, config: Config) -> bool:
    """Whether what a judge of any policy's responses asks is held beside the rollout engines."""
    return {*judge.models(own_logps=False)} <= {*config.held_models}
