"""Self-Rewarding's additive 0–5 rubric (arXiv 2401.10020), as a judging prompt."""

from ...orchestrator.data.records import Message, Prompt, Rollout
from .rendering import DISCLAIMER, render_prompt, render_response

MAX_SCORE = 5

_RUBRIC = """\
Judge how well the response answers the user. Award points one by one, each on top of the last:
1 point if the response is relevant and gives some information the user asked for, even if it is incomplete.
2 points if it addresses a substantial part of the request, without settling it.
3 points if it answers the basic elements of the request in a useful way.
4 points if it is written from an assistant's perspective and is direct, complete and well organised.
5 points if it is tailored to the request with expert knowledge, without anything superfluous.
A response that fails the first criterion gets 0.
"""


def rubric_case(prompt: Prompt, rollout: Rollout, question: str) -> tuple[Message, ...]:
    """The judging prompt, which ends in `question`. What is the same for all cases comes first, and is cached once."""
    case = render_prompt(prompt) + render_response(rollout)
    return (Message(role="user", content=f"{_RUBRIC}{DISCLAIMER}{case}\n{question}"),)
