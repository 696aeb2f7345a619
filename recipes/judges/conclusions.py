"""What a judge says, by the judgments that it gave. The ledger keeps every vote; whatever goes by scores goes by what
the votes come to: pairing, filters, canaries, and the figures of the judge's health and drift."""

from collections.abc import Sequence

from ...orchestrator.judge_config import ImplicitRewardJudge, JudgeConfig, MetaJudge, PanelJudge, votes_of
from ...orchestrator.records import Judgment
from .meta_judge import judgments_by_strength
from .panel import panel_judgments


def conclusions(judgments: Sequence[Judgment], *, judge: JudgeConfig) -> list[Judgment]:
    """The judgments of `judge` as it means them, so that a response's score is the mean of its parsed ones.

    - a panel: one a response, of its members' votes, whose scales may differ; none of what no member could read.
    - a judge of judgments: one a judgment that was compared, with its strength.
    - two voters, whose rankings CREAM compares: those of the policy that sampled, which its pairs go by.
    - every other judge: its judgments as they are.
    """
    match judge:
        case PanelJudge(members=members, aggregate=aggregate):
            votes = [votes_of(member) for member in members.values()]
            return [
                said
                for of_prompt in _by_prompt(judgments)
                for said in panel_judgments(of_prompt, votes=votes, aggregate=aggregate)
            ]
        case MetaJudge():
            return [said for of_prompt in _by_prompt(judgments) for said in judgments_by_strength(of_prompt)]
        case ImplicitRewardJudge(voters="policy_and_previous"):
            return [judgment for judgment in judgments if judgment.vote == 0]
    return list(judgments)


def _by_prompt(judgments: Sequence[Judgment]) -> list[list[Judgment]]:
    found: dict[str, list[Judgment]] = {}
    for judgment in judgments:
        found.setdefault(judgment.prompt_id, []).append(judgment)
    return list(found.values())
