"""The records that flow through a round: frozen data. The ledger stores their fields as they are (`data.tables`)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from .finite import finite_fields

Variant: TypeAlias = Literal["plain", "positive", "negative", "ranked", "interim"]
FinishReason: TypeAlias = Literal["stop", "length"]
JudgmentStatus: TypeAlias = Literal["parsed", "unparsable", "truncated"]
Provenance: TypeAlias = Literal["judge", "contrast", "ranked", "truth"]
JudgingForm: TypeAlias = Literal["additive", "expected_score", "pandalm", "mt_bench", "wildbench", "arena"]
# Forms of one response; the others compare two.
SCORING: tuple[Literal["additive"], Literal["expected_score"]] = ("additive", "expected_score")


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """One turn of a conversation, as in TRL's conversational format.

    Example:
        Message(role="user", content="Name a prime.")
    """

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Truth:
    """What is known of the responses that a judging prompt shows, where the policy is trained as a judge.

    They answer the prompt `source`, whose responses are ranked: `ranks` are those of the one or two shown, in the order
    they are shown (0: the best), empty where no order is known. `form` is that of the judge who asks.

    Example:
        Truth(source="maths-001", form="mt_bench", ranks=(1, 0))
    """

    source: str
    form: JudgingForm
    ranks: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """What the policy is asked; the last message is the user's. `responses` are given ones, best first; `labels` say
    how people rate a single one, an entry an attribute. A judging prompt's right judgment follows from its `truth`.

    Example:
        Prompt(id="maths-001", messages=(Message(role="user", content="Name a prime."),))
    """

    id: str
    messages: tuple[Message, ...]
    responses: tuple[str, ...] = ()
    truth: Truth | None = None
    labels: tuple[float | None, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptCandidate:
    """A prompt that the policy wrote, or a judging prompt, kept for its round (`reason` None) or dropped. `index` is
    its place in its batch; `how` and `shown` say what was asked for and by which examples (ids of prompts) or
    ingredients.

    Example:
        PromptCandidate(prompt=prompt, index=0, how="self_instruct", shown=("maths-001",), seed=11, policy_version=0,
                        reason="too_short")
    """

    prompt: Prompt
    index: int
    how: str
    shown: tuple[str, ...]
    seed: int
    policy_version: int
    reason: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
@finite_fields("logprobs")
class Rollout:
    """One sampled response.

    `prompt_token_ids` are those of the original prompt, which the response is trained under; `sampler_token_ids` those
    it was sampled from (with affixes, for contrast variants). `token_ids` are as sampled: they end with the token that
    stopped the engine, or with a stop string's and no end of turn; `text` has neither. A given response ends as the
    template ends an assistant's turn. `logprobs` are the sampler's, one per token, at temperature 1; given ones have
    none. `sampler` is the word or path by which the configuration names who sampled; `policy_version` is negative for a
    model from outside of the run. The `sample` of a "ranked" response is its rank by construction or by its data set, 0
    the best. An "interim" one is a text on the way to a response (a proposal, a draft), neither judged nor trained on.
    `remark` says in a word why generation went no further with it, if so.

    Example:
        Rollout(prompt_id="maths-001", sample=0, variant="plain", prompt_token_ids=(1, 5), sampler_token_ids=(1, 5),
                token_ids=(7, 2), logprobs=(-0.5, -0.1), text="7", finish_reason="stop", policy_version=0, seed=11)
    """

    prompt_id: str
    sample: int
    variant: Variant
    prompt_token_ids: tuple[int, ...]
    sampler_token_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    text: str
    finish_reason: FinishReason
    policy_version: int
    seed: int
    remark: str = ""
    sampler: str = "policy"

    @property
    def truncated(self) -> bool:
        """Whether the response was cut by the token limit before the policy ended it."""
        return self.finish_reason == "length"

    @property
    def interim(self) -> bool:
        """Whether this is no response, but a text on the way to one."""
        return self.variant == "interim"


@dataclass(frozen=True, kw_only=True, slots=True)
@finite_fields("score", "probability", "choice_mass", "attributes")
class Judgment:
    """One vote on one rollout, or on two: then `probability` is that of `sample` being better than `other`.

    `score` and `probability` are None unless `status` is "parsed": a failed parse never becomes a number. `choice_mass`
    is the probability the judge put on all scores or options together (None where text was parsed). `attributes` are
    the values of a judge of several, of which the score is made. `agrees` is whether a validator says yes. The judge's
    token ids are kept of what it wrote in words, and of a validator's answer, to train a judge on; they are empty
    elsewhere. `critiqued_prompt_token_ids` are those of the conversation with the judgment in it, for CUT. Of two
    responses, even votes show `sample` first, odd ones `other`; a panel's votes are numbered on by member.

    Example:
        Judgment(prompt_id="maths-001", sample=0, vote=0, status="parsed", score=3.5, choice_mass=0.2, text="")
    """

    prompt_id: str
    sample: int
    vote: int
    status: JudgmentStatus
    score: float | None
    choice_mass: float | None
    text: str
    other: int | None = None
    probability: float | None = None
    agrees: bool | None = None
    judge_prompt_token_ids: tuple[int, ...] = ()
    judge_token_ids: tuple[int, ...] = ()
    critiqued_prompt_token_ids: tuple[int, ...] = ()
    attributes: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class CanaryJudgment:
    """A judgment of a planted response (sample 1) or of the policy's own beside it (sample 0), or a comparison of them.

    Example:
        CanaryJudgment(canary="null", judgment=judgment)
    """

    canary: str
    judgment: Judgment


@dataclass(frozen=True, kw_only=True, slots=True)
@finite_fields("margin", "label_probability", "win_probabilities")
class PreferencePair:
    """Two responses to one prompt, the first preferred.

    `margin` is the score difference (None without scores), `label_probability` the probability that `chosen` is the
    better one: 1.0 for hard labels. `win_probabilities` are those of chosen and rejected against the whole group, where
    the objective wants them (SPPO); `source` is another model's response that is preferred too (WRPO).

    Example:
        PreferencePair(prompt=prompt, chosen=a, rejected=b, margin=1.5, label_probability=1.0, provenance="judge")
    """

    prompt: Prompt
    chosen: Rollout
    rejected: Rollout
    margin: float | None
    label_probability: float
    provenance: Provenance
    win_probabilities: tuple[float, ...] | None = None
    source: Rollout | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
@finite_fields("scores")
class ResponseGroup:
    """Responses to one prompt: scored ones best first (equals in the order they were sampled), or demonstrations,
    which have no scores. What a judge wrote on them may be among demonstrations, under the judging prompt.

    For CUT, `critiqued_prompt_token_ids` has one entry a response: the prompt with the judgment on it, or the plain
    prompt of a response that is good as it is. `attributes` has one entry a response where these are annotated.

    Example:
        ResponseGroup(prompt=prompt, responses=(a, b, c), scores=(4.0, 2.5, 2.5))
    """

    prompt: Prompt
    responses: tuple[Rollout, ...]
    scores: tuple[float, ...]
    critiqued_prompt_token_ids: tuple[tuple[int, ...], ...] = ()
    attributes: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Dropped:
    """A prompt that entered the round and gave no pair, with the reason.

    Example:
        Dropped(prompt_id="maths-001", reason="tie")
    """

    prompt_id: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenSequence:
    """A prompt and a response.

    `weights` weigh the response's tokens in a token-level loss (None: all 1); `sampler_logps` are the log-probs that
    the rollout engine gave them (None: not asked for).

    Example:
        TokenSequence(prompt_token_ids=(1, 5), token_ids=(7, 2))
    """

    prompt_token_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    weights: tuple[float, ...] | None = None
    sampler_logps: tuple[float, ...] | None = None

    @property
    def num_tokens(self) -> int:
        """Of prompt and response together."""
        return len(self.prompt_token_ids) + len(self.token_ids)


@dataclass(frozen=True, kw_only=True, slots=True)
class PairingOutcome:
    """What pairing made of one prompt: exactly one of `pair`, `group` and `dropped`.

    `sequences` is what is learnt of it where a phase conditions responses (of a group, one a response), else empty.

    Example:
        PairingOutcome(pair=None, dropped=Dropped(prompt_id="maths-001", reason="tie"))
    """

    pair: PreferencePair | None
    dropped: Dropped | None
    group: ResponseGroup | None = None
    sequences: tuple[TokenSequence, ...] = ()


def pairs_of(outcomes: Sequence[PairingOutcome]) -> list[PreferencePair]:
    """The pairs among `outcomes`, in order."""
    return [outcome.pair for outcome in outcomes if outcome.pair is not None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """A fixed slice of a round's prompts: the unit of work, retry and resume.

    Example:
        Shard(round=1, index=0, prompts=(prompt,), split="train")
    """

    round: int
    index: int
    prompts: tuple[Prompt, ...]
    split: Literal["train", "heldout"]


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerationRequest:
    """One request to a rollout engine: `messages` through the chat template, continued by the model.

    `assistant_prefix` opens the assistant's turn. `plain_messages` are those whose token ids the caller also wants (a
    contrast prompt's original). A given `response` is encoded, with an end of turn if `response_ended`, and nothing is
    sampled. `choices` asks for the next-token log-probs of these strings, `constrain_to_choices` for nothing else.

    Example:
        GenerationRequest(messages=prompt.messages, seed=11, temperature=0.7, top_p=0.9, max_tokens=48)
    """

    messages: tuple[Message, ...]
    seed: int
    temperature: float
    top_p: float
    max_tokens: int
    stop: tuple[str, ...] = ()
    assistant_prefix: str = ""
    plain_messages: tuple[Message, ...] = ()
    response: str | None = None
    response_ended: bool = True
    choices: tuple[str, ...] = ()
    constrain_to_choices: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Generation:
    """An engine's answer to a `GenerationRequest`.

    `finish_reason` is "prompt_too_long" when the prompt does not fit the model: nothing was generated then.
    `choice_logprobs` has one entry per requested choice, or is empty. `marked` is the text with the marks of thought
    that it lacks (one that the prompt's end opens, or special tokens, which no text has); empty where it lacks none.

    Example:
        Generation(prompt_token_ids=(1, 5), token_ids=(7, 2), text="7", finish_reason="stop", …)
    """

    prompt_token_ids: tuple[int, ...]
    plain_token_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    text: str
    finish_reason: Literal["stop", "length", "prompt_too_long"]
    choice_logprobs: tuple[float, ...]
    marked: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingExample:
    """What an objective takes one of: a pair, a response, a ranked list.

    What `sequences` are is the objective's: (chosen, rejected); (source, chosen, rejected) for WRPO; best to worst for
    a ranked list; (response, response to another prompt if there is one) for KTO, where `desirable` is the response's
    label; (response, the same response after a judgment) for CUT; the responses to one prompt for a policy gradient.
    `scores` has one entry a sequence where the objective wants them (attribute regression: one an attribute, NaN where
    it is missing). `label_probability` is the probability that the first of a pair is the better one. `progress` is the
    share of the round's update before this example, in [0, 1), `share` its own: they set the learning rate.

    Example:
        TrainingExample(id="maths-001", sequences=(chosen, rejected), progress=0.25)
    """

    id: str
    sequences: tuple[TokenSequence, ...]
    progress: float
    share: float = field(default=0.0, compare=False)
    scores: tuple[float, ...] = ()
    label_probability: float = 1.0
    desirable: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
@finite_fields("chosen", "rejected")
class PairLogps:
    """A policy's Σ log-probs of a held-out pair's two responses under the plain prompt.

    Example:
        PairLogps(prompt_id="maths-001", chosen=-31.5, rejected=-40.25)
    """

    prompt_id: str
    chosen: float
    rejected: float


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicyRef:
    """A policy (or a reward model, a critic, a learner's checkpoint or optimizer) by the round that made it (0: the
    initial one) and where it lies. The hash is over its weights; `files` has one of every file that decides what the
    model is, and is empty where a run of format 1 recorded none.

    Example:
        PolicyRef(version=1, path="runs/demo/rounds/001/policy", sha256="9f…", files={"config.json": "3a…"})
    """

    version: int
    path: str
    sha256: str
    files: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class UpdateStart:
    """What a round's update starts from, all by identity, never by what happens to be loaded.

    `round` says which phase's objective and learner settings hold. `reference` is None without one; `critic` is what a
    critic starts from (the round before's, or a reward model), None for the policy. `optimizer` is the optimizer of the
    round before, None for a new one.

    Example:
        UpdateStart(round=1, policy=policy, reference=policy, critic=None, optimizer=None)
    """

    round: int
    policy: PolicyRef
    reference: PolicyRef | None
    critic: PolicyRef | None
    optimizer: PolicyRef | None
