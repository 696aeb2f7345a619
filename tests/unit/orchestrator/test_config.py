"""The schema: what a field takes, and which combinations of fields can never run."""

import dataclasses
import re
from typing import Any

import pytest
from pydantic import ValidationError
from support.configs import (
    AB,
    ADDITIVE,
    AGREEMENT,
    ALL_CREAM,
    ANNOTATED,
    ANNOTATORS,
    BEST_WORST,
    BY_ATTRIBUTES,
    BY_CONSTRUCTION,
    BY_FUNCTION,
    BY_RANK,
    BY_REWARD_MODEL,
    BY_SPPO,
    CHECKLIST,
    CONSISTENT,
    CONTRAST,
    CREAM,
    CRITIQUE,
    CRITIQUED,
    CRITIQUES,
    CUT,
    DPO,
    ENDPOINT,
    EVOLVE,
    EXPECTED,
    FROM_KEPT,
    GIVEN_JUDGED,
    GROUP,
    GRPO,
    INITIAL,
    LADDER,
    LENGTH_MARGIN,
    LONGEST,
    MEAN_LABEL,
    META,
    MIXTURE,
    NO_JUDGE,
    NO_REFERENCE,
    ON_POLICY,
    PAIRS_JUDGED,
    PAIRWISE,
    PANEL,
    POLICY_GRADIENT,
    PPO,
    PREVIOUS,
    RANKED_LIST,
    RATING,
    REVISE,
    REWARD_MODEL,
    RIP,
    RLOO,
    SAMPLING,
    SCORE_THRESHOLD,
    SCORED,
    SELECTION,
    SELF_INSTRUCT,
    SKILL_MIX,
    SOFT,
    SWEET_SPOT,
    SYSTEM_MESSAGES,
    TOP_FRACTION,
    VALIDATOR,
    WITH_SOURCE,
    base,
    changed,
    phase,
    with_phases,
)

from roundelay.orchestrator.config.checks import check_combinations
from roundelay.orchestrator.config.schema import Config, LoraConfig
from roundelay.orchestrator.errors import ConfigError
from roundelay.orchestrator.fields import FrozenMapping
from roundelay.orchestrator.parts.objective import ObjectivePart, ReferenceConfig, Term
from roundelay.orchestrator.parts.registry import kinds
from roundelay.recipes import shipped  # noqa: F401 - registers all kinds
from roundelay.recipes.generation.contrast import AffixPair
from roundelay.recipes.generation.given import GivenGeneration
from roundelay.recipes.generation.given_and_sampled import GivenAndSampledGeneration
from roundelay.recipes.generation.mixture import MixtureWindow
from roundelay.recipes.judges.attribute_model import AttributeModelJudge
from roundelay.recipes.objectives.attribute_regression import AttributeRegressionObjective
from roundelay.recipes.objectives.dpo import DpoObjective
from roundelay.recipes.objectives.kto import KtoObjective
from roundelay.recipes.objectives.mipo import MipoObjective
from roundelay.recipes.objectives.none import NoObjective
from roundelay.recipes.objectives.orpo import OrpoObjective
from roundelay.recipes.objectives.paired import PairObjective
from roundelay.recipes.objectives.pro import ProObjective
from roundelay.recipes.objectives.rrhf import RrhfObjective
from roundelay.recipes.objectives.sft import SftObjective
from roundelay.recipes.objectives.simpo import SimpoObjective
from roundelay.recipes.objectives.slic import SlicObjective
from roundelay.recipes.objectives.spa import SpaObjective
from roundelay.recipes.objectives.sppo import SppoObjective
from roundelay.recipes.objectives.wrpo import WrpoObjective
from roundelay.recipes.pairing.demonstrations import DemonstrationsPairing

ROLLOUT = ReferenceConfig(policy="previous", logps="rollout")
KTO = KtoObjective(kind="kto", beta=0.1, desirable_weight=1.0, undesirable_weight=1.0, reference=PREVIOUS)
SFT = SftObjective(kind="sft")
SFT_TERM = Term(weight=0.2, loss=SFT)
BESIDE_GIVEN = GivenAndSampledGeneration(kind="given_and_sampled", sampling=SAMPLING, truncated="keep")
SPA = SpaObjective(
    kind="spa", beta=0.1, label_smoothing=0.1, threshold="official_code", noisy_fraction=0.1, window=50, start=0.2,
    extrapolation=0.5, reference=PREVIOUS,
)  # fmt: skip
RRHF = RrhfObjective(kind="rrhf", length_exponent=1.0, weight=1.0)
PRO = ProObjective(kind="pro", sft_weight=0.05)
ATTRIBUTE_REGRESSION = AttributeRegressionObjective(kind="attribute_regression")
FREE: list[ObjectivePart] = [
    SimpoObjective(kind="simpo", beta=2.0, gamma=1.0),
    OrpoObjective(kind="orpo", weight=0.1),
    SlicObjective(kind="slic", delta=1.0, weight=0.1),
    RRHF,
    PRO,
    SftObjective(kind="sft"),
    CUT,
    REWARD_MODEL,
    ATTRIBUTE_REGRESSION,
    NoObjective(kind="none"),
]
BOUND: list[ObjectivePart] = [
    SPA,
    KTO,
    MipoObjective(kind="mipo", beta=10.0, reference=PREVIOUS),
    SppoObjective(kind="sppo", beta=0.001, probabilities="hard", reference=PREVIOUS),
    WrpoObjective(kind="wrpo", beta=0.01, final_alpha=0.1, reference=PREVIOUS),
    CREAM,
]
SOFT_SPPO = SppoObjective(kind="sppo", beta=0.001, probabilities="soft", reference=PREVIOUS)
GIVEN = GivenGeneration(kind="given")
IMITATED = DemonstrationsPairing(kind="demonstrations")
SFT = SftObjective(kind="sft")
DESCRIBED: dict[str, Any] = {
    "generation": GIVEN, "judge": NO_JUDGE, "pairing": IMITATED, "prompts__seed__responses": ("response",),
    "prompts__seed__attributes": ("helpfulness", "verbosity"),
}  # fmt: skip
BY_ATTRIBUTE_MODEL = AttributeModelJudge(
    kind="attribute_model", weights=FrozenMapping({"helpfulness": 1.0, "verbosity": -0.4})
)
RANKED = dataclasses.replace(GROUP, ties="drop")
SINGLES = dataclasses.replace(GROUP, min_responses=1)
SOURCED: dict[str, Any] = {"pairing": WITH_SOURCE, "generation__samplers": ("policy", "/models/theirs")}
LORA = LoraConfig(rank=4, alpha=8, target_modules=())
COMPARING_ENDPOINT = changed(ENDPOINT, judge=PAIRWISE)
ASKED_ONCE = changed(PAIRWISE, orders="one")
SOME_ASKED_ONCE = changed(ANNOTATORS, members={"one": AB, "other": ASKED_ONCE})
ZERO_TO_FIVE = changed(EXPECTED, scores=("0", "1", "2", "3", "4", "5"))
ACROSS_SCALES = changed(PANEL, members={"one": EXPECTED, "other": ENDPOINT}, aggregate="majority")
WITH_REWARD_MODEL = changed(PANEL, members={"one": EXPECTED, "other": BY_REWARD_MODEL}, aggregate="majority")
REWARD_MODEL_THEN_PPO = {
    "rm": phase(rounds=1, objective=REWARD_MODEL),
    "ppo": phase(objective=PPO, judge=BY_REWARD_MODEL, **POLICY_GRADIENT),
}


# --------------------------------------------------------------------------------------------------------- combinations


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"judge": ADDITIVE},
        {"generation": CONTRAST, "judge": NO_JUDGE, "pairing": BY_CONSTRUCTION},
        {"objective__reference__policy": "none"},
        {"objective__reference__policy": "initial"},
        {"objective__reference__logps": "rollout"},
        {"generation__samples_per_prompt": 2},
        {"generation__sampling__max_tokens": 255, "evaluation__sampling__max_tokens": 255},
        {"learner__pairs_per_step": 2},
        {"learner__pairs_per_device": 1},
        {"objective": dataclasses.replace(DPO, plus=(SFT_TERM,))},
        {"objective": dataclasses.replace(SPA, extrapolation=0.0, reference=ROLLOUT)},
        {"evaluation__judge": NO_JUDGE},
        {"cluster__device": "gpu", "cluster__rollout__gpus": 0.5, "cluster__learner__gpus": 0.5},
        {
            "cluster__device": "gpu",
            "cluster__rollout__gpus": 1,
            "cluster__learner__gpus": 1,
            "cluster__rollout__speculative": '{"method": "ngram", "num_speculative_tokens": 4}',
        },
        {
            "cluster__device": "gpu",
            "cluster__rollout__gpus": 4,
            "cluster__learner__gpus": 1,
            "cluster__rollout__tensor_parallel_size": 4,
        },
        *({"pairing": pairing} for pairing in SCORED),
        *({"pairing": pairing, "objective": RRHF} for pairing in SCORED),
        {"pairing": changed(SWEET_SPOT, chosen_at="mu-sigma", rejected_at="mu-2sigma")},
        {"pairing": BY_SPPO, "objective": SOFT_SPPO},
        *({"new_prompts": made} for made in (SELF_INSTRUCT, EVOLVE, SKILL_MIX)),
        {"new_prompts": changed(SELF_INSTRUCT, per_round=8)},
        {"new_prompts": GIVEN_JUDGED},
        {"judge": BY_FUNCTION, "evaluation__judge": BY_FUNCTION},
        *(
            {"generation": generation, "judge": NO_JUDGE, "pairing": BY_CONSTRUCTION}
            for generation in (CONTRAST, SYSTEM_MESSAGES, REVISE)
        ),
        {"generation": LADDER, "judge": NO_JUDGE, "pairing": BY_RANK},
        {"generation": GIVEN, "judge": NO_JUDGE, "pairing": BY_RANK},
        *(
            {"generation": g, "judge": NO_JUDGE, "pairing": IMITATED, "objective": SFT}
            for g in (MIXTURE, REVISE, LADDER, SYSTEM_MESSAGES)
        ),
        {"generation": LADDER, "judge": NO_JUDGE, "pairing": changed(BY_RANK, take="adjacent")},
        *({"generation": LADDER, "judge": NO_JUDGE, "pairing": RANKED_LIST, "objective": o} for o in (RRHF, PRO)),
        {"judge": AB, "pairing": SOFT, "generation__samples_per_prompt": 2},
        {"judge": AB, "pairing": SOFT, "generation": CONTRAST, "objective": REWARD_MODEL},
        *({"judge": judge, "evaluation__judge": judge} for judge in (RATING, CHECKLIST, ENDPOINT, PANEL)),
        *(
            {"judge": judge, "pairing": pairing, "generation__samples_per_prompt": 2}
            for judge in (AB, PAIRWISE, COMPARING_ENDPOINT, ANNOTATORS)
            for pairing in (SOFT, CONSISTENT)
        ),
        *(
            {"judge": judge, "pairing": SOFT, "generation__samples_per_prompt": 2}
            for judge in (ASKED_ONCE, SOME_ASKED_ONCE)
        ),
        {"judge": META, "new_prompts": GIVEN_JUDGED},
        {"judge": ACROSS_SCALES, "objective": REWARD_MODEL},
        {"judge": changed(ENDPOINT, judge__sampling__max_tokens=4096)},  # its model's length is not the policy's
        {"judge": changed(PANEL, members={"one": BY_FUNCTION, "other": BY_FUNCTION}, aggregate="mean")},
        {"judge": changed(PANEL, members={"one": ADDITIVE, "other": ZERO_TO_FIVE}, aggregate="mean")},
        {"phases": {"rm": phase(rounds=1, objective=REWARD_MODEL), "dpo": phase(judge=WITH_REWARD_MODEL)}},
        {"objective": CUT, **CRITIQUES},
        {"objective": CUT, **CRITIQUES, "generation__samples_per_prompt": 1, "learner__selection": SELECTION},
        {"judge": CRITIQUE},
        {"objective": REWARD_MODEL, "evaluation__judge": BY_REWARD_MODEL},
        {"objective": GRPO, **POLICY_GRADIENT},
        {"objective": dataclasses.replace(GRPO, kl_coefficient=0.04, reference=INITIAL), **POLICY_GRADIENT},
        {"objective": RLOO, **POLICY_GRADIENT, "judge": BY_FUNCTION},
        {"objective": dataclasses.replace(RLOO, missing_eos_reward=-1.0), **POLICY_GRADIENT},
        {"objective": PPO, **POLICY_GRADIENT, "pairing": SINGLES, "generation__samples_per_prompt": 1},
        {"objective": PPO, **POLICY_GRADIENT, "generation__truncated": "drop"},
        {"objective": PPO, **POLICY_GRADIENT, "learner__optimizer": "carried"},
        {
            "objective": dataclasses.replace(
                PPO, reference=ReferenceConfig(policy="average", logps="recompute", decay=0.9)
            ),
            **POLICY_GRADIENT,
        },
        {"objective": RRHF, "pairing": RANKED},
        {"objective": PRO},
        *({"filter": filter} for filter in (RIP, SCORE_THRESHOLD, LONGEST, TOP_FRACTION, LENGTH_MARGIN, MEAN_LABEL)),
        {"filter": changed(RIP, rejected_score__at=0.0, margin__at=1.0)},
        {"filter": changed(RIP, margin__by="value", margin__at=3.5)},
        {"filter": MEAN_LABEL, "judge": AB, "pairing": SOFT, "generation__samples_per_prompt": 2},
        {"filter": LENGTH_MARGIN, "generation": CONTRAST, "judge": NO_JUDGE, "pairing": BY_CONSTRUCTION},
        *(
            {"pairing": SINGLES, "objective": SFT, "filter": filter}
            for filter in (SCORE_THRESHOLD, LONGEST, TOP_FRACTION)
        ),
        {"pairing": SINGLES, "objective": SFT, "filter": changed(LONGEST, count=31)},
        {"objective": CUT, **CRITIQUES, "filter": changed(LONGEST, count=31)},
        {"objective": dataclasses.replace(SPA, window=2, noisy_fraction=0.1)},
        {"objective": dataclasses.replace(SPA, window=1, threshold="global_quantile")},
        {
            "pairing": SINGLES,
            "objective": SFT,
            "filter": changed(LONGEST, count=63),
            "generation__samplers": ("policy", "initial"),
        },
        {"judge": VALIDATOR, "evaluation__judge": VALIDATOR},
        {"judge": VALIDATOR, "pairing": AGREEMENT, "objective": SFT, "generation__samples_per_prompt": 1},
        {"learner__selection": SELECTION},
        {"learner__optimizer": "carried", "model__dtype": "bfloat16"},
        {"learner__optimizer": "carried", "learner__zero_stage": 0},
        {"learner__zero_stage": 0, "model__dtype": "bfloat16"},
        {"phases": {"only": phase(rounds=2)}},
        {"phases": {"one": phase(rounds=1), "two": phase(rounds=1)}},
        {"phases": REWARD_MODEL_THEN_PPO, "evaluation__judge": BY_REWARD_MODEL},
    ],
)
def test_what_can_run_is_let_through(changes: dict[str, Any]) -> None:
    """Also at the limits: two samples, a response one token short of the model's length, one pair a rank, phases that
    end with the run's last round."""
    check_combinations(changed(base(), **changes))


REFUSED = [
    (
        {"generation": CONTRAST},
        ["pairing.kind=best_worst", "generation.kind=contrast"],
        ["pairing=contrast", "generation=plain"],
    ),
    (
        {"generation__samples_per_prompt": 1},
        ["generation.samples_per_prompt=1"],
        ["generation.samples_per_prompt", "2"],
    ),
    ({"judge": NO_JUDGE}, ["pairing.kind=best_worst", "judge.kind=none"], ["judge=expected_score", "judge=additive"]),
    (
        {"pairing": BY_CONSTRUCTION, "judge": NO_JUDGE},
        ["pairing.kind=contrast", "generation.kind=plain"],
        ["generation=contrast", "pairing=best_worst"],
    ),
    (
        {"pairing": BY_CONSTRUCTION, "generation": CONTRAST, "judge": ADDITIVE},
        ["pairing.kind=contrast", "judge.kind=additive"],
        ["judge=none"],
    ),
    (
        {"objective__reference": ReferenceConfig(policy="initial", logps="rollout")},
        ["objective.reference.logps=rollout", "objective.reference.policy=initial"],
        ["objective.reference.logps=recompute", "objective.reference.policy=previous"],
    ),
    (
        {"objective__reference": ReferenceConfig(policy="none", logps="rollout")},
        ["objective.reference.logps=rollout", "objective.reference.policy=none"],
        ["objective.reference.logps=recompute"],
    ),
    (
        {
            "generation": CONTRAST,
            "judge": NO_JUDGE,
            "pairing": BY_CONSTRUCTION,
            "objective__reference__logps": "rollout",
        },
        ["objective.reference.logps=rollout", "generation.kind=contrast"],
        ["objective.reference.logps=recompute"],
    ),
    (
        {"generation__sampling__max_tokens": 256},
        ["generation.sampling.max_tokens=256", "model.max_model_len=256"],
        ["generation.sampling.max_tokens", "model.max_model_len"],
    ),
    (
        {"evaluation__sampling__max_tokens": 300},
        ["evaluation.sampling.max_tokens=300", "model.max_model_len=256"],
        ["evaluation.sampling.max_tokens"],
    ),
    (
        {"learner__pairs_per_step": 1},
        ["cluster.learner.ranks=2", "learner.pairs_per_step=1"],
        ["cluster.learner.ranks", "learner.pairs_per_step"],
    ),
    (
        {"cluster__device": "gpu", "cluster__learner__gpus": 1},
        ["cluster.device=gpu", "cluster.rollout.gpus=0"],
        ["cluster.device=cpu"],
    ),
    (
        {"cluster__device": "gpu", "cluster__rollout__gpus": 1},
        ["cluster.device=gpu", "cluster.learner.gpus=0"],
        ["cluster.device=cpu"],
    ),
    (
        {"cluster__rollout__tensor_parallel_size": 2},
        ["cluster.rollout.tensor_parallel_size=2", "cluster.device=cpu"],
        ["cluster.rollout.tensor_parallel_size=1", "cluster.rollout.actors"],
    ),
    (
        {"cluster__rollout__speculative": '{"method": "ngram"}'},
        ['cluster.rollout.speculative={"method": "ngram"} with cluster.device=cpu', "in spite of its seed"],
        ["set cluster.rollout.speculative=null"],
    ),
    # Generation: what it cannot make, and what cannot be made of it.
    *(
        (
            {"pairing": pairing, "generation": generation},
            [f"pairing.kind={pairing.kind}", f"generation.kind={generation.kind}"],
            [f"pairing={own}", "generation=plain"],
        )
        for pairing in (BEST_WORST, GROUP)
        for generation, own in (
            (LADDER, "ranked"),
            (SYSTEM_MESSAGES, "contrast"),
            (REVISE, "contrast"),
            (MIXTURE, "demonstrations"),
        )
    ),
    *(
        (
            {"pairing": BY_CONSTRUCTION, "judge": NO_JUDGE, "generation": generation},
            ["pairing.kind=contrast needs a positive and a negative response", f"generation.kind={generation.kind}"],
            ["generation=contrast, system_messages, revise or given_and_sampled"],
        )
        for generation in (LADDER, MIXTURE)
    ),
    *(
        (
            {"pairing": BY_RANK, "judge": NO_JUDGE, "generation": generation},
            ["pairing.kind=ranked needs ranked responses", f"generation.kind={generation.kind}"],
            ["generation=ladder"],
        )
        for generation in (base().generation, CONTRAST, SYSTEM_MESSAGES, MIXTURE, REVISE)
    ),
    (
        {"pairing": BY_RANK, "generation": LADDER},
        ["pairing.kind=ranked labels responses by construction", "judge.kind=expected_score"],
        ["choose judge=none"],
    ),
    *(
        (
            {"pairing": SOFT, "judge": AB, "generation": generation},
            ["pairing.kind=soft compares two responses", f"generation.kind={generation.kind}"],
            ["generation=plain or contrast"],
        )
        for generation in (LADDER, SYSTEM_MESSAGES, MIXTURE, REVISE)
    ),
    *(
        (
            {"pairing": pairing, "judge": NO_JUDGE, "generation": generation, "objective__reference__logps": "rollout"},
            ["objective.reference.logps=rollout", f"generation.kind={generation.kind}"],
            ["objective.reference.logps=recompute"],
        )
        for pairing, generation in (
            (BY_RANK, LADDER),
            (BY_CONSTRUCTION, SYSTEM_MESSAGES),
            (BY_CONSTRUCTION, REVISE),
        )
    ),
    (
        {"pairing": RANKED_LIST, "judge": NO_JUDGE, "generation": LADDER},
        ["pairing.kind=ranked gives lists of responses", "objective.kind=dpo takes pairs"],
        ["objective=ppo, grpo, rloo, rrhf or pro"],
    ),
    (
        {"pairing": BY_RANK, "judge": NO_JUDGE, "generation": LADDER, "objective": RRHF},
        ["objective.kind=rrhf ranks by score", "pairing.kind=ranked scores nothing"],
        ["pairing=group"],
    ),
    (
        {"generation": changed(LADDER, levels=("good", "bad", "good")), "judge": NO_JUDGE, "pairing": BY_RANK},
        ["generation.levels holds 'good' twice"],
        ["leave one out"],
    ),
    (
        {
            "generation": changed(SYSTEM_MESSAGES, system_messages=("Be brief.", "Be brief.")),
            "judge": NO_JUDGE,
            "pairing": BY_CONSTRUCTION,
        },
        ["generation.system_messages holds 'Be brief.' twice"],
        ["leave one out"],
    ),
    *(
        (
            {"generation": changed(MIXTURE, window=MixtureWindow(size=3, carried=carried))},
            [f"generation.window.carried={carried} leaves no place in generation.window.size=3"],
            ["make the window larger"],
        )
        for carried in (3, 4)
    ),
    (
        {"generation": changed(MIXTURE, window=MixtureWindow(size=3, carried=1), layers=2)},
        ["generation.window with generation.layers=2"],
        ["set generation.layers=1, or generation.window=null"],
    ),
    (
        {"objective": KTO, "objective__reference": ROLLOUT},
        ["objective.reference.logps=rollout", "objective.kind=kto"],
        ["objective.reference.logps=recompute"],
    ),
    (
        {"objective": SPA, "objective__reference": ROLLOUT},
        ["objective.reference.logps=rollout", "objective.extrapolation=0.5"],
        ["objective.reference.logps=recompute", "objective.extrapolation=0"],
    ),
    (
        {"objective": dataclasses.replace(SPA, window=1)},
        ["objective.threshold=official_code lies between two of objective.window=1 margins"],
        ["raise objective.window"],
    ),
    (
        {"objective": dataclasses.replace(SPA, window=10, noisy_fraction=0.9)},
        ["objective.window=10 margins", "objective.noisy_fraction=0.9 counts 9 of them"],
        ["lower objective.noisy_fraction"],
    ),
    (
        {"new_prompts": SELF_INSTRUCT, "generation": BESIDE_GIVEN, "judge": NO_JUDGE, "pairing": BY_CONSTRUCTION},
        ["new_prompts.kind=self_instruct with generation.kind=given_and_sampled"],
        ["set new_prompts=none"],
    ),
    # New prompts.
    (
        {"new_prompts": changed(SELF_INSTRUCT, per_round=9)},
        ["new_prompts.per_round=9", "8 prompts"],
        ["new_prompts.per_round", "null"],
    ),
    (
        {"new_prompts": changed(SELF_INSTRUCT, sampling__max_tokens=256)},
        ["new_prompts.sampling.max_tokens=256", "model.max_model_len=256"],
        ["new_prompts.sampling.max_tokens"],
    ),
    (
        {"new_prompts": changed(EVOLVE, rules__min_words=9, rules__max_words=8)},
        ["new_prompts.rules.min_words=9", "new_prompts.rules.max_words=8"],
        ["order them"],
    ),
    (
        {"new_prompts": changed(SKILL_MIX, skills=("logic", "logic", "tact"), skills_per_prompt=3)},
        ["new_prompts.skills_per_prompt=3", "names 2"],
        ["more skills", "fewer"],
    ),
    (
        {"new_prompts": SKILL_MIX, "generation": GivenGeneration(kind="given"), "pairing": GROUP},
        ["new_prompts.kind=skill_mix", "generation.kind=given"],
        ["new_prompts=none", "generation=plain"],
    ),
    (
        {"new_prompts": GIVEN_JUDGED, "generation": CONTRAST, "judge": NO_JUDGE, "pairing": BY_CONSTRUCTION},
        ["new_prompts.kind=judgments", "generation.kind=contrast"],
        ["generation=plain"],
    ),
    (
        {"new_prompts": PAIRS_JUDGED},
        ["new_prompts.of=pairs", "no phase before it makes pairs"],
        ["new_prompts.of=given"],
    ),
    (
        {"new_prompts": FROM_KEPT},
        ["new_prompts.kind=from_kept", "round 1"],
        ["put a phase before it"],
    ),
    # Judges: of what is not compared, not trained, not counted.
    (
        {"evaluation__judge": AB},
        ["evaluation.judge.kind=ab", "one a prompt is evaluated"],
        ["judge@evaluation.judge=expected_score"],
    ),
    *(
        (
            {"evaluation__judge": judge},
            [f"evaluation.judge.kind={judge.kind} compares two responses", "one a prompt is evaluated"],
            ["judge@evaluation.judge=expected_score"],
        )
        for judge in (ANNOTATORS, META)
    ),
    (
        {"judge": ANNOTATORS, "pairing": SOFT},
        ["pairing.kind=soft compares two responses", "generation.samples_per_prompt=4"],
        ["set generation.samples_per_prompt=2"],
    ),
    (
        {
            "judge": changed(ANNOTATORS, members={"one": AB, "other": ENDPOINT}),
            "pairing": SOFT,
            "generation__samples_per_prompt": 2,
        },
        ["judge.members.other scores single responses", "annotators compare two"],
        ["judge.members.other.judge", "pairwise"],
    ),
    (
        {"judge": ANNOTATORS},
        ["pairing.kind=best_worst needs scores", "judge.kind=annotators gives none"],
        ["judge=rating"],
    ),
    (
        {"evaluation__judge": COMPARING_ENDPOINT},
        ["evaluation.judge.kind=endpoint compares two responses", "one a prompt is evaluated"],
        ["judge@evaluation.judge=expected_score"],
    ),
    (
        {"judge": changed(ENDPOINT, judge=changed(RATING, constrain_last_line=True))},
        ["judge.judge.constrain_last_line=true", "endpoint"],
        ["set judge.judge.constrain_last_line=false"],
    ),
    (
        {"judge": changed(PANEL, members={"one": EXPECTED, "other": changed(RATING, sampling__max_tokens=256)})},
        ["judge.members.other.sampling.max_tokens=256", "model.max_model_len=256"],
        ["lower judge.members.other.sampling.max_tokens"],
    ),
    (
        {"judge": changed(CHECKLIST, checklist__max_tokens=256)},
        ["judge.checklist.max_tokens=256", "model.max_model_len=256"],
        ["lower judge.checklist.max_tokens"],
    ),
    (
        {"judge": changed(PANEL, members={"one": EXPECTED, "other": changed(EXPECTED, scores=("a", "1"))})},
        ["judge.members.other.scores: 'a' is no whole number"],
        ["list numbers"],
    ),
    (
        {"judge": changed(PANEL, members={"one": EXPECTED, "other": COMPARING_ENDPOINT})},
        ["judge.members.other compares two responses"],
        ["judge@judge.members.other=rating"],
    ),
    (
        {"evaluation__judge": changed(PANEL, aggregate="majority")},
        ["evaluation.judge.aggregate=majority", "one a prompt is evaluated"],
        ["set evaluation.judge.aggregate=median", "judge@evaluation.judge=expected_score"],
    ),
    (
        {"judge": changed(ACROSS_SCALES, aggregate="median")},
        ["judge.aggregate=median", "different scales: one 0 to 1, other 1 to 10"],
        ["set judge.aggregate=majority"],
    ),
    (
        {"evaluation__judge": changed(PANEL, members={"a": BY_REWARD_MODEL, "b": BY_REWARD_MODEL})},
        ["evaluation.judge.members.a.kind=reward_model, but no phase trains one"],
        ["choose another evaluation.judge"],
    ),
    (
        {"judge": WITH_REWARD_MODEL},
        ["judge.members.other.kind=reward_model, but no earlier phase trains one"],
        ["choose another judge"],
    ),
    (
        {"judge__scores": ("0", "5", "ten")},
        ["judge.scores: 'ten' is no whole number"],
        ["list numbers, such as 0 to 5"],
    ),
    (
        {"evaluation__judge": changed(EXPECTED, scores=("1", "٢"))},
        ["evaluation.judge.scores: '٢' is no whole number"],
        ["list numbers"],
    ),
    (
        {"judge": changed(ADDITIVE, sampling__max_tokens=256)},
        ["judge.sampling.max_tokens=256", "model.max_model_len=256"],
        ["lower judge.sampling.max_tokens"],
    ),
    (
        {"evaluation__judge": changed(ADDITIVE, sampling__max_tokens=400)},
        ["evaluation.judge.sampling.max_tokens=400", "model.max_model_len=256"],
        ["lower evaluation.judge.sampling.max_tokens"],
    ),
    (
        {"judge": BY_REWARD_MODEL},
        ["judge.kind=reward_model, but no earlier phase trains one (objective.kind=reward_model)"],
        ["put such a phase before it", "choose another judge"],
    ),
    (
        # What a single phase trains judges its evaluation, but nothing that it is trained on.
        {"judge": BY_REWARD_MODEL, "objective": REWARD_MODEL},
        ["judge.kind=reward_model, but no earlier phase trains one"],
        ["choose another judge"],
    ),
    (
        {"evaluation__judge": BY_REWARD_MODEL},
        ["evaluation.judge.kind=reward_model, but no phase trains one (objective.kind=reward_model)"],
        ["choose another evaluation.judge"],
    ),
    # Pairing: what it needs of generation and judge.
    (
        {"pairing": SOFT, "generation__samples_per_prompt": 2},
        ["pairing.kind=soft", "judge.kind=expected_score"],
        ["judge=ab or judge=pairwise"],
    ),
    (
        {"pairing": CONSISTENT, "generation__samples_per_prompt": 2},
        ["pairing.kind=consistent", "judge.kind=expected_score"],
        ["judge=ab or judge=pairwise"],
    ),
    *(
        (
            {"pairing": pairing, "judge": PAIRWISE, "generation": GivenGeneration(kind="given")},
            [f"pairing.kind={pairing.kind} compares two responses", "generation.kind=given"],
            ["choose generation=plain or contrast"],
        )
        for pairing in (SOFT, CONSISTENT)
    ),
    (
        {"pairing": CONSISTENT, "judge": PAIRWISE},
        ["pairing.kind=consistent compares two responses", "generation.samples_per_prompt=4"],
        ["set generation.samples_per_prompt=2"],
    ),
    *(
        (
            {"pairing": CONSISTENT, "judge": judge, "generation__samples_per_prompt": 2},
            ["pairing.kind=consistent compares the two orders", f"{place}.orders=one"],
            [f"set {place}.orders=both", "pairing=soft"],
        )
        for place, judge in {
            "judge": ASKED_ONCE,
            "judge.judge": changed(COMPARING_ENDPOINT, judge__orders="one"),
            "judge.members.other": SOME_ASKED_ONCE,
        }.items()
    ),
    (
        {"judge": PAIRWISE},
        ["pairing.kind=best_worst needs scores", "judge.kind=pairwise gives none"],
        ["judge=rating"],
    ),
    (
        {"objective": CUT, "pairing": CRITIQUED},
        ["pairing.kind=critiqued needs judgments in words", "judge.kind=expected_score"],
        ["choose judge=critique"],
    ),
    *(
        (
            {"objective": objective, "pairing": pairing, "judge": CRITIQUE},
            [f"objective.kind={objective.kind} with pairing.kind={pairing.kind}"],
            ["choose objective=cut pairing=critiqued judge=critique"],
        )
        for objective, pairing in ((CUT, SCORED[0]), (DPO, CRITIQUED), (RRHF, CRITIQUED), (CUT, RANKED))
    ),
    (
        {"pairing": SOFT, "judge": AB},
        ["pairing.kind=soft compares two responses", "generation.samples_per_prompt=4"],
        ["set generation.samples_per_prompt=2"],
    ),
    (
        {"pairing": SOFT, "judge": AB, "generation__samples_per_prompt": 1},
        ["pairing.kind=soft", "generation.samples_per_prompt=1"],
        ["set generation.samples_per_prompt=2"],
    ),
    (
        {"judge": AB},
        ["pairing.kind=best_worst needs scores", "judge.kind=ab gives none"],
        ["judge=expected_score", "judge=reward_model", "judge=function"],
    ),
    *(
        (
            {"pairing": pairing, "judge": NO_JUDGE},
            [f"pairing.kind={pairing.kind} needs scores", "judge.kind=none gives none"],
            ["judge=expected_score", "judge=reward_model", "judge=function"],
        )
        for pairing in SCORED
    ),
    *(
        (
            {"pairing": pairing, "generation__samples_per_prompt": 1},
            [f"pairing.kind={pairing.kind} needs 2 responses a prompt", "generation.samples_per_prompt=1"],
            ["set generation.samples_per_prompt to 2 or more"],
        )
        for pairing in SCORED
    ),
    *(
        (
            {"pairing": changed(SWEET_SPOT, chosen_at=chosen, rejected_at=rejected)},
            [f"pairing.chosen_at={chosen} is not above pairing.rejected_at={rejected}"],
            ["order them as min, mu-2sigma, mu-sigma, mu, mu+sigma, mu+2sigma, max"],
        )
        for chosen, rejected in (("mu", "mu"), ("mu-sigma", "mu+sigma"), ("min", "max"), ("mu-2sigma", "mu-sigma"))
    ),
    (
        {"objective": GRPO, **POLICY_GRADIENT, "judge": NO_JUDGE},
        ["pairing.kind=group needs scores", "judge.kind=none gives none"],
        ["judge=expected_score", "judge=reward_model", "judge=function"],
    ),
    (
        {"objective": GRPO, "pairing": GROUP, "generation": CONTRAST},
        ["pairing.kind=group", "generation.kind=contrast"],
        ["pairing=contrast", "generation=plain"],
    ),
    (
        {"objective": RRHF, "pairing": dataclasses.replace(RANKED, min_responses=5)},
        ["pairing.kind=group needs 5 responses a prompt", "generation.samples_per_prompt=4"],
        ["set generation.samples_per_prompt to 5 or more"],
    ),
    (
        {"generation__sampling__temperature": 0.0},
        ["pairing.kind=best_worst needs responses that differ", "generation.sampling.temperature=0"],
        ["set generation.sampling.temperature above 0"],
    ),
    (
        {"objective": RRHF, "pairing": RANKED, "generation__sampling__temperature": 0.0},
        ["pairing.kind=group needs responses that differ", "generation.sampling.temperature=0"],
        ["set generation.sampling.temperature above 0"],
    ),
    # What an objective needs of pairing.
    *(
        (
            {"objective": objective, "generation__sampling": ON_POLICY},
            [f"objective.kind={objective.kind} learns from every scored response", "pairing.kind=best_worst"],
            ["choose pairing=group"],
        )
        for objective in (PPO, GRPO, RLOO)
    ),
    (
        {"pairing": GROUP},
        ["pairing.kind=group gives lists of responses", "objective.kind=dpo takes pairs"],
        ["pairing=best_worst", "objective=ppo, grpo, rloo, rrhf or pro"],
    ),
    (
        {"pairing": GROUP, "objective": REWARD_MODEL},
        ["pairing.kind=group gives lists of responses", "objective.kind=reward_model takes pairs"],
        ["pairing=best_worst"],
    ),
    *(
        (
            {"objective": objective, "pairing": pairing},
            [
                f"objective.kind={objective.kind} learns from differences of score",
                f"pairing.min_responses={pairing.min_responses} and pairing.ties={pairing.ties}",
            ],
            ["set pairing.min_responses=2 (or more) and pairing.ties=drop"],
        )
        for objective in (RRHF, PRO)
        for pairing in (GROUP, SINGLES, dataclasses.replace(RANKED, min_responses=1))
    ),
    *(
        (
            {"objective": SOFT_SPPO, "pairing": pairing},
            ["objective.probabilities=soft needs win probabilities", f"pairing.kind={pairing.kind} gives none"],
            ["set pairing=sppo, or objective.probabilities=hard"],
        )
        for pairing in SCORED
        if pairing is not BY_SPPO
    ),
    (
        {"objective": RRHF, "pairing": SOFT, "judge": AB, "generation__samples_per_prompt": 2},
        ["objective.kind=rrhf ranks by score", "pairing.kind=soft scores nothing"],
        ["pairing=group or best_worst"],
    ),
    # Filters: what they need of pairing, and of who learns.
    *(
        (
            {"objective": GRPO, **POLICY_GRADIENT, "filter": filter},
            [f"filter.kind={filter.kind} goes by the two responses of a pair", "pairing.kind=group gives no pairs"],
            ["choose filter=none, or a pairing that gives pairs"],
        )
        for filter in (RIP, LENGTH_MARGIN, MEAN_LABEL)
    ),
    *(
        (
            {**changes, "filter": filter},
            [f"filter.kind={filter.kind} goes by the two responses of a pair", f"pairing.kind={kind} gives no pairs"],
            ["choose filter=none, or a pairing that gives pairs"],
        )
        for filter in (RIP, LENGTH_MARGIN, MEAN_LABEL)
        for kind, changes in (
            ("critiqued", {"objective": CUT, **CRITIQUES}),
            ("demonstrations", {"pairing": IMITATED, "judge": NO_JUDGE, "objective": SFT}),
            ("ranked", {"generation": GIVEN, "judge": NO_JUDGE, "pairing": RANKED_LIST, "objective": RRHF}),
        )
    ),
    (
        {
            "generation": GIVEN,
            "judge": NO_JUDGE,
            "pairing": RANKED_LIST,
            "objective": RRHF,
            "filter": LONGEST,
        },
        ["filter.kind=longest drops single responses", "objective.kind=rrhf compares all"],
        ["choose filter=none, or objective=sft"],
    ),
    *(
        (
            {"filter": filter, "generation": CONTRAST, "judge": NO_JUDGE, "pairing": BY_CONSTRUCTION},
            [f"filter.kind={filter.kind} goes by scores", "pairing.kind=contrast gives need not have"],
            ["pairing=best_worst", "filter=none"],
        )
        for filter in (RIP, SCORE_THRESHOLD, TOP_FRACTION)
    ),
    *(
        (
            {"objective": objective, **POLICY_GRADIENT, "pairing": RANKED, "filter": filter},
            [f"filter.kind={filter.kind} drops single responses", f"objective.kind={objective.kind} compares all"],
            ["choose filter=none, or objective=sft"],
        )
        for objective, filter in ((GRPO, SCORE_THRESHOLD), (RRHF, LONGEST), (PPO, TOP_FRACTION))
    ),
    (
        {"pairing": GROUP, "objective": SFT},
        ["pairing.kind=group with objective.kind=sft and filter.kind=none", "imitate the worst"],
        ["filter=score_threshold, top_fraction or longest", "pairing=best_worst"],
    ),
    (
        {"pairing": AGREEMENT, "objective": SFT},
        ["pairing.kind=agreement needs a validator's answers", "judge.kind=expected_score"],
        ["choose judge=validator"],
    ),
    (
        {"pairing": AGREEMENT, "judge": VALIDATOR},
        ["pairing.kind=agreement has nothing to compare", "objective.kind=dpo"],
        ["choose objective=sft"],
    ),
    *(
        (
            {"pairing": AGREEMENT, "judge": VALIDATOR, "objective": SFT, "filter": filter},
            [f"filter.kind={filter.kind} with pairing.kind=agreement", "part responses from their validations"],
            ["choose filter=none"],
        )
        for filter in (RIP, LONGEST, LENGTH_MARGIN)
    ),
    *(
        (
            {"filter": changed(LONGEST, count=most), **changes},
            [f"filter.count={most} keeps everything", f"a round has {most} responses at most"],
            ["lower filter.count", "run.prompts_per_round", "filter=none"],
        )
        for most, changes in (
            (8, {}),
            (32, {"pairing": SINGLES, "objective": SFT}),
            (32, {"objective": CUT, **CRITIQUES}),
            (64, {"pairing": SINGLES, "objective": SFT, "generation__samplers": ("policy", "initial")}),
        )  # a pair or four responses a prompt
    ),
    (
        {"filter": changed(RIP, rejected_length__at=50.0)},
        ["filter.rejected_length.by=quantile with filter.rejected_length.at=50"],
        ["set filter.rejected_length.at between 0 and 1, or filter.rejected_length.by=value"],
    ),
    # Policy gradients.
    (
        {"objective": GRPO, "pairing": GROUP},
        ["objective.kind=grpo", "generation.sampling.temperature=0.7 and top_p=0.9"],
        ["set generation.sampling.temperature=1.0 and generation.sampling.top_p=1.0"],
    ),
    *(
        (
            {"objective": PPO, **POLICY_GRADIENT, "generation__sampling": changed(ON_POLICY, **{name: 0.5})},
            [f"{name}=0.5"],
            [f"generation.sampling.{name}=1.0"],
        )
        for name in ("temperature", "top_p")
    ),
    *(
        (
            {"objective": objective, **POLICY_GRADIENT, "pairing": SINGLES},
            [f"objective.kind={objective.kind} compares the responses to one prompt", "pairing.min_responses=1"],
            ["set pairing.min_responses=2 (or more)"],
        )
        for objective in (GRPO, RLOO)
    ),
    *(
        (
            {
                "objective": dataclasses.replace(RLOO, **{field: value}),
                **POLICY_GRADIENT,
                "generation__truncated": "drop",
            },
            ["generation.truncated=drop with a reward for truncated responses"],
            ["generation.truncated=keep", "objective.missing_eos_penalty=0", "missing_eos_reward=null"],
        )
        for field, value in (("missing_eos_penalty", 1.0), ("missing_eos_reward", 0.0))
    ),
    (
        {"objective": PPO, **POLICY_GRADIENT, "learner__selection": SELECTION},
        ["learner.selection measures on held-out pairs, which objective.kind=ppo does not take"],
        ["set learner.selection=null"],
    ),
    (
        {
            "objective": dataclasses.replace(RLOO, missing_eos_penalty=0.5, missing_eos_reward=0.0),
            **POLICY_GRADIENT,
        },
        ["objective.missing_eos_penalty=0.5 with objective.missing_eos_reward=0", "not both"],
        ["set objective.missing_eos_penalty=0 or objective.missing_eos_reward=null"],
    ),
    *(
        (
            {"objective": dataclasses.replace(GRPO, kl_coefficient=kl, reference=reference), **POLICY_GRADIENT},
            [f"objective.kl_coefficient={kl:g} and objective.reference.policy={reference.policy}"],
            ["objective.reference.policy=initial with a coefficient", "none with objective.kl_coefficient=0"],
        )
        for kl, reference in ((0.04, NO_REFERENCE), (0.0, INITIAL))
    ),
    (
        {"objective": dataclasses.replace(PPO, reference=PREVIOUS), **POLICY_GRADIENT},
        ["objective.kind=ppo with objective.reference.policy=previous"],
        ["set objective.reference.policy=initial"],
    ),
    (
        {"objective": dataclasses.replace(PPO, reference=ROLLOUT), **POLICY_GRADIENT},
        ["objective.kind=ppo with objective.reference.policy=previous"],
        ["set objective.reference.policy=initial"],
    ),
    # The learner.
    *(
        (
            {"learner__zero_stage": 0, "model__dtype": "bfloat16", f"learner__{field}": value},
            ["learner.zero_stage=0 and model.dtype=bfloat16", f"learner.{field}"],
            ["set learner.zero_stage=1"],
        )
        for field, value in (("checkpoint_every_steps", 5), ("selection", SELECTION), ("optimizer", "carried"))
    ),
    (
        {"learner__optimizer": "carried", "learner__lora": LORA},
        ["learner.optimizer=carried with learner.lora"],
        ["set learner.optimizer=fresh"],
    ),
]


@pytest.mark.parametrize(("changes", "fields", "remedies"), REFUSED)
def test_what_can_never_run_is_refused_with_fields_values_and_remedy(
    changes: dict[str, Any], fields: list[str], remedies: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        check_combinations(changed(base(), **changes))
    assert all(field in caught.value.what for field in fields), caught.value.what
    assert all(remedy in caught.value.remedy for remedy in remedies), caught.value.remedy


# --------------------------------------------------------------------------------------------------------------- phases

PHASES_REFUSED = [
    (
        {"first": phase(), "second": phase(), "third": phase()},
        "phases.first.rounds=null, but third comes after it",
        "give phases.first its number of rounds",
    ),
    (
        {"first": phase(rounds=1), "second": phase(), "third": phase(rounds=1)},
        "phases.second.rounds=null, but third comes after it",
        "give phases.second its number of rounds",
    ),
    (
        {"a": phase(rounds=1), "b": phase(rounds=1)},
        "run.rounds=3, but the phases a, b end after round 2",
        "lower run.rounds (a new run may set phases.b.rounds=null)",
    ),
    (
        {"ppo": REWARD_MODEL_THEN_PPO["ppo"]},
        "phases.ppo.judge.kind=reward_model, but no earlier phase trains one (objective.kind=reward_model)",
        "put such a phase before it, or choose another judge",
    ),
    (
        {"ppo": phase(rounds=1, judge=BY_REWARD_MODEL), "rm": phase(objective=REWARD_MODEL)},
        "phases.ppo.judge.kind=reward_model, but no earlier phase trains one",
        "put such a phase before it, or choose another judge",
    ),
    (
        {"rm": phase(objective=REWARD_MODEL, judge=BY_REWARD_MODEL)},
        "phases.rm.judge.kind=reward_model, but no earlier phase trains one",
        "put such a phase before it, or choose another judge",
    ),
    (
        {"made": phase(rounds=1, new_prompts=FROM_KEPT), "more": phase(new_prompts=FROM_KEPT)},
        "phases.made.new_prompts.kind=from_kept in round 1: no prompt has given a pair yet",
        "put a phase before it whose prompts are the training file's",
    ),
    (
        {"first": phase(rounds=1, new_prompts=GIVEN_JUDGED), "more": phase(new_prompts=PAIRS_JUDGED)},
        "phases.more.new_prompts.of=pairs, but no phase before it makes pairs that could be judged",
        "put one before it, or set phases.more.new_prompts.of=given",
    ),
    (
        {
            "imitated": phase(rounds=1, judge=NO_JUDGE, pairing=IMITATED, objective=SFT),
            "seed": phase(rounds=1, new_prompts=GIVEN_JUDGED),
            "more": phase(new_prompts=PAIRS_JUDGED),
        },
        "phases.more.new_prompts.of=pairs, but phase imitated before it has pairing.kind=demonstrations, which makes "
        "none",
        "give phase imitated a pairing of two responses, or set phases.more.new_prompts.of=given",
    ),
]


@pytest.mark.parametrize(("phases", "what", "remedy"), PHASES_REFUSED)
def test_phases_that_cannot_follow_each_other_are_refused(phases: dict[str, Any], what: str, remedy: str) -> None:
    """All rounds belong to a phase, and nothing is judged by a reward model before a phase has trained it."""
    with pytest.raises(ConfigError) as caught:
        check_combinations(changed(with_phases(**phases), run__rounds=3))
    assert what in caught.value.what
    assert caught.value.remedy == remedy


def test_held_out_pairs_cannot_be_made_by_a_reward_model() -> None:
    """They are made in round 0 by what stands at the top, and nothing is trained then."""
    with pytest.raises(ConfigError, match=r"judge\.kind=reward_model at the top.*held-out pairs of round 0") as caught:
        check_combinations(changed(with_phases(**REWARD_MODEL_THEN_PPO), judge=BY_REWARD_MODEL))
    assert caught.value.remedy == "set the judge in the phase that has a reward model"


@pytest.mark.parametrize(("changes", "fields", "remedies"), [case for case in REFUSED if "pairing" in case[0]])
def test_what_a_phase_cannot_run_is_refused_in_its_name(
    changes: dict[str, Any], fields: list[str], remedies: list[str]
) -> None:
    """The same checks hold in every phase, and the message says in which: the others can run."""
    with pytest.raises(ConfigError) as caught:
        check_combinations(with_phases(good=phase(rounds=1), bad=phase(**changes)))
    assert caught.value.what.startswith("in phase bad: ")
    assert all(field in caught.value.what for field in fields), caught.value.what
    assert all(remedy in caught.value.remedy for remedy in remedies), caught.value.remedy
    assert caught.value.remedy.endswith(" (here: phases.bad.…)")


def test_the_held_out_pairs_of_the_top_must_be_possible_too() -> None:
    """Though every phase has its own generation, judge and pairing."""
    phases = {"one": phase()}
    with pytest.raises(ConfigError) as caught:
        check_combinations(changed(with_phases(**phases), generation=CONTRAST))
    assert caught.value.what.startswith("pairing.kind=best_worst needs scored responses to one prompt")
    with pytest.raises(ConfigError, match=r"^evaluation\.judge\.kind=reward_model, but no phase trains one"):
        check_combinations(changed(with_phases(**phases), evaluation__judge=BY_REWARD_MODEL))


# What would fail in the middle of a run, or learn from numbers that mean something else.
LATE = [
    pytest.param(
        changed(base(), objective=changed(REWARD_MODEL, margin="score"), generation=CONTRAST, judge=NO_JUDGE,
                pairing=BY_CONSTRUCTION),
        ["objective.margin=score", "pairing.kind=contrast"],
        id="margin of pairs by construction",
    ),
    pytest.param(
        changed(base(), objective=changed(REWARD_MODEL, margin="score"), judge=AB, pairing=SOFT,
                generation__samples_per_prompt=2),
        ["objective.margin=score", "pairing.kind=soft"],
        id="margin of soft pairs",
    ),
    pytest.param(
        with_phases(one=phase(objective=SOFT_SPPO, pairing=BY_SPPO, learner__selection=SELECTION)),
        ["pairing.kind=best_worst", "objective.probabilities=soft"],
        id="margins of held-out pairs as win probabilities",
    ),
    pytest.param(
        changed(with_phases(rm=phase(rounds=1, objective=REWARD_MODEL), last=phase()), pairing=GROUP),
        ["pairing.kind=group"],
        id="held-out groups for a reward model",
    ),
    pytest.param(
        changed(base(), objective=SftObjective(kind="sft"), learner__selection=changed(SELECTION, metric="accuracy")),
        ["learner.selection.metric=accuracy", "objective.kind=sft"],
        id="selection by an accuracy that there is not",
    ),
    pytest.param(
        changed(with_phases(one=phase()), judge=changed(EXPECTED, scores=("low", "high"))),
        ["judge.scores: 'low'"],
        id="scores of the held-out pairs' judge",
    ),
    pytest.param(
        changed(
            with_phases(**REWARD_MODEL_THEN_PPO),
            cluster__device="gpu", cluster__rollout__gpus=0.5, cluster__learner__gpus=0.5, cluster__scorer__gpus=0,
        ),
        ["cluster.device=gpu", "cluster.scorer.gpus=0"],
        id="scorer without a GPU",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("config", "fields"), LATE)
def test_what_would_fail_later_or_learn_from_other_numbers_is_refused(config: Config, fields: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        check_combinations(config)
    assert all(field in caught.value.what for field in fields), caught.value.what


# -------------------------------------------------------------------------------------------- objectives and references


def test_every_kind_that_has_no_reference_or_needs_one_is_covered_here() -> None:
    needs = {kind: cls.needs_reference for kind, cls in kinds("objective").items()}
    assert {objective.kind for objective in FREE} == {kind for kind in needs if needs[kind] == "never"}
    assert {objective.kind for objective in BOUND} == {kind for kind in needs if needs[kind] == "always"}


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"generation": base().generation}, "generation.kind=plain and pairing.kind=demonstrations"),
        ({"pairing": GROUP, "judge": EXPECTED}, "generation.kind=given and pairing.kind=group"),
        ({"prompts__seed__attributes": ()}, r"prompts.seed.attributes=[]: every response needs its own values"),
        ({"prompts__seed__responses": ("a", "b")}, "prompts.seed.responses=[a, b]"),
    ],
)
def test_attributes_are_learnt_of_given_responses_that_people_described(change: dict[str, Any], what: str) -> None:
    check_combinations(changed(base(), objective=ATTRIBUTE_REGRESSION, **DESCRIBED))
    with pytest.raises(ConfigError, match=re.escape(what)):
        check_combinations(changed(base(), objective=ATTRIBUTE_REGRESSION, **{**DESCRIBED, **change}))


def test_an_attribute_model_evaluates_what_it_was_trained_on() -> None:
    one = phase(rounds=1, objective=ATTRIBUTE_REGRESSION, generation=GIVEN, judge=NO_JUDGE, pairing=IMITATED)
    config = changed(with_phases(one=one, two=phase()), **DESCRIBED, evaluation__judge=BY_ATTRIBUTE_MODEL)
    check_combinations(config)
    with pytest.raises(ConfigError, match=re.escape("evaluation.judge.weights are of tact")):
        check_combinations(changed(config, evaluation__judge=changed(BY_ATTRIBUTE_MODEL, weights={"tact": 1.0})))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({}, None),
        ({"one__objective": REWARD_MODEL, "one__generation": CONTRAST, "one__pairing": BY_CONSTRUCTION},
         "no earlier phase trains one (objective.kind=attribute_regression): the newest reward model is of "
         "objective.kind=reward_model"),
        ({"two__judge": changed(BY_ATTRIBUTE_MODEL, weights={"tact": 1.0})}, "judge.weights are of tact"),
    ],
)  # fmt: skip
def test_an_attribute_model_judges_what_it_was_trained_on(change: dict[str, Any], what: str | None) -> None:
    given = {"generation": GIVEN, "judge": NO_JUDGE, "pairing": IMITATED}
    told = {"judge": BY_ATTRIBUTE_MODEL, "pairing": ANNOTATED, "conditioning": BY_ATTRIBUTES, "objective": SFT}
    phases: dict[str, dict[str, Any]] = {
        "one": {"rounds": 1, "objective": ATTRIBUTE_REGRESSION, **given},
        "two": {"generation": GIVEN, **told},
    }
    for field, value in change.items():
        name, part = field.split("__")
        phases[name][part] = value
    config = changed(with_phases(**{name: phase(**parts) for name, parts in phases.items()}), **DESCRIBED)
    if what is None:
        return check_combinations(config)
    with pytest.raises(ConfigError, match=re.escape(what)):
        check_combinations(config)


def test_rounds_are_not_evaluated_by_reward_models_of_two_kinds() -> None:
    """The newest would score the rounds after it by another scale."""
    given = {"generation": GIVEN, "judge": NO_JUDGE, "pairing": IMITATED}
    one = phase(rounds=1, objective=ATTRIBUTE_REGRESSION, **given)
    two = phase(objective=REWARD_MODEL, generation=CONTRAST, judge=NO_JUDGE, pairing=BY_CONSTRUCTION)
    config = changed(with_phases(one=one, two=two), **DESCRIBED)
    with pytest.raises(ConfigError, match="its rounds have reward models of attribute_regression and reward_model"):
        check_combinations(changed(config, evaluation__judge=BY_REWARD_MODEL))


def test_ppos_critic_cannot_start_as_an_attribute_model() -> None:
    given = {"generation": GIVEN, "judge": NO_JUDGE, "pairing": IMITATED}
    rm = phase(rounds=1, objective=ATTRIBUTE_REGRESSION, **given)
    config = with_phases(rm=rm, ppo=phase(objective=PPO, **POLICY_GRADIENT))
    with pytest.raises(ConfigError, match="its critic starts as the newest reward model"):
        check_combinations(changed(config, **DESCRIBED))


@pytest.mark.parametrize("objective", [RRHF, PRO], ids=lambda one: one.kind)
def test_ranking_losses_need_scores(objective: ObjectivePart) -> None:
    contrast = changed(base(), generation=CONTRAST, judge=NO_JUDGE, objective=objective)
    with pytest.raises(ConfigError, match="ranks by score"):
        check_combinations(changed(contrast, pairing=BY_CONSTRUCTION))


def test_a_further_loss_with_a_reference_is_refused_where_the_main_one_has_none() -> None:
    """It would silently be computed without one."""
    dpo = DpoObjective(kind="dpo", beta=0.1)
    simpo = SimpoObjective(kind="simpo", beta=2.5, gamma=1.0, plus=(Term(weight=0.5, loss=dpo),))
    with pytest.raises(ConfigError) as caught:
        check_combinations(changed(base(), objective=simpo))
    assert "objective.plus.0.loss.kind=dpo" in caught.value.what and "objective.kind=simpo" in caught.value.what
    assert caught.value.remedy == "make dpo the objective, and simpo a further loss"


@pytest.mark.parametrize(("policy", "decay"), [("average", None), ("previous", 0.9)])
def test_an_average_has_a_decay_and_nothing_else_has(policy: str, decay: float | None) -> None:
    reference = {"objective__reference__policy": policy, "objective__reference__decay": decay}
    with pytest.raises(ConfigError, match=rf"policy={policy} with objective\.reference\.decay={decay}"):
        check_combinations(changed(base(), **reference))
    check_combinations(changed(base(), objective__reference__policy="average", objective__reference__decay=0.9))


@pytest.mark.parametrize("key", ["gradient_clipping", "bf16"])
def test_deepspeeds_keys_that_have_a_field_of_their_own_are_refused(key: str) -> None:
    with pytest.raises(ConfigError, match=rf"learner\.deepspeed sets {key}"):
        check_combinations(changed(base(), learner__deepspeed=f'{{"{key}": 1}}'))


def test_the_zero_stage_is_not_hidden_among_deepspeeds_keys() -> None:
    nested = '{"zero_optimization": {"stage": 3}}'
    with pytest.raises(ConfigError, match=r"set learner\.zero_stage"):
        check_combinations(changed(base(), learner__deepspeed=nested))


@pytest.mark.parametrize("policy", ["previous", "initial"])
@pytest.mark.parametrize("objective", FREE, ids=lambda objective: objective.kind)
def test_an_objective_without_a_reference_takes_none(objective: ObjectivePart, policy: str) -> None:
    """A reference would be loaded and computed for nothing, and believed to matter."""
    needed = CRITIQUES if objective is CUT else DESCRIBED if objective is ATTRIBUTE_REGRESSION else {}
    check_combinations(changed(base(), objective=objective, **needed))
    with pytest.raises(ConfigError) as caught:
        check_combinations(changed(base(), objective=objective, objective__reference__policy=policy, **needed))
    assert f"objective.kind={objective.kind}" in caught.value.what
    assert f"objective.reference.policy={policy}" in caught.value.what
    assert caught.value.remedy == "set objective.reference.policy=none"


@pytest.mark.parametrize("objective", BOUND, ids=lambda objective: objective.kind)
def test_an_objective_that_its_reference_defines_is_refused_without_one(objective: ObjectivePart) -> None:
    parts = ALL_CREAM if objective == CREAM else {"objective": objective}
    needed = SOURCED if objective.kind == "wrpo" else {}
    for policy in ("previous", "initial"):
        check_combinations(changed(base(), **parts, objective__reference__policy=policy, **needed))
    with pytest.raises(ConfigError) as caught:
        check_combinations(changed(base(), **parts, objective__reference__policy="none", **needed))
    assert f"objective.kind={objective.kind}" in caught.value.what
    assert "objective.reference.policy=none" in caught.value.what
    assert caught.value.remedy == "set objective.reference.policy=previous or initial"


@pytest.mark.parametrize(
    ("loss", "reference", "field", "remedy"),
    [
        (DPO, PREVIOUS, "objective.plus.1.loss.reference.policy=previous", "objective.reference"),
        (
            dataclasses.replace(DPO, reference=ReferenceConfig(policy="none", logps="recompute"), plus=(SFT_TERM,)),
            PREVIOUS,
            "objective.plus.1.loss.plus",
            "objective.plus",
        ),
        (
            MipoObjective(kind="mipo", beta=10.0),
            ReferenceConfig(policy="none", logps="recompute"),
            "objective.plus.1.loss.kind=mipo",
            "objective.reference.policy=previous",
        ),
    ],
)
def test_a_further_loss_that_would_be_computed_otherwise_than_written_is_refused(
    loss: PairObjective, reference: ReferenceConfig, field: str, remedy: str
) -> None:
    """It has the main loss's reference and no terms of its own: what says otherwise is named, with its place."""
    terms = (SFT_TERM, Term(weight=0.5, loss=loss))
    with pytest.raises(ConfigError) as caught:
        check_combinations(changed(base(), objective=dataclasses.replace(DPO, plus=terms, reference=reference)))
    assert field in caught.value.what
    assert remedy in caught.value.remedy


# --------------------------------------------------------------------------------------------------------------- fields


@pytest.mark.parametrize(
    "changes",
    [
        {"run__name": "../elsewhere"},
        {"run__name": "a/b"},
        {"run__name": ""},
        {"run__name": ".hidden"},
        {"run__rounds": 0},
        {"run__prompts_per_shard": -1},
        {"run__keep_policies": 0},
        {"generation__sampling__temperature": -0.1},
        {"generation__sampling__temperature": float("inf")},
        {"generation__sampling__top_p": 0.0},
        {"generation__sampling__top_p": 1.5},
        {"generation__truncated": "maybe"},
        {"learner__learning_rate": float("nan")},
        {"learner__learning_rate": 0.0},
        {"learner__warmup_fraction": 1.1},
        {"learner__zero_stage": 4},
        {"objective__beta": -0.1},
        {"objective__weighting": "dpo"},
        {"learner__tokens_per_device": 0},
        {"learner__pairs_per_device": 0},
        {"pairing__min_margin": -1.0},
        {"judge__scores": ("5",)},
        {"learner__optimizer": "kept"},
        {"learner__selection": {"every_steps": 0, "metric": "loss", "patience": None}},
        {"learner__selection": {"every_steps": 1, "metric": "margin", "patience": None}},
        {"learner__selection": {"every_steps": 1, "metric": "loss", "patience": 0}},
        {"cluster__scorer__actors": 0},
    ],
    ids=str,
)
def test_a_value_outside_a_fields_range_is_refused_by_its_name(changes: dict[str, Any]) -> None:
    ((field, _),) = changes.items()
    with pytest.raises(ValidationError, match=field.rpartition("__")[2]):
        changed(base(), **changes)


@pytest.mark.parametrize("function", ["", "length", "mine:", ":length", "mine.rewards:length()", "a/b:c", "mine:a.b"])
def test_a_judging_function_is_named_by_module_and_name(function: str) -> None:
    with pytest.raises(ValidationError, match="function"):
        changed(BY_FUNCTION, function=function)
    assert changed(BY_FUNCTION, function="mine.rewards_2:_length").kind == "function"


def test_a_comparison_without_instructions_is_refused() -> None:
    with pytest.raises(ValidationError, match="instructions"):
        changed(AB, instructions=())


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        (PPO, {"clip": 0.0}),
        (PPO, {"kl_coefficient": -0.1}),
        (PPO, {"missing_eos_penalty": -1.0}),
        (PPO, {"gamma": 1.1}),
        (PPO, {"lam": -0.1}),
        (PPO, {"kl_estimator": "k2"}),
        (PPO, {"critic": "none"}),
        (GRPO, {"scale": "std"}),
        (GRPO, {"normaliser": "tokens"}),
        (CUT, {"threshold": 1.0}),
        (CRITIQUED, {"keep_good": 1.1}),
        (PAIRWISE, {"format": "alpaca"}),
        (PAIRWISE, {"votes": 0}),
        (PANEL, {"members": {"one": EXPECTED}}),
        (ANNOTATORS, {"members": {"one": AB}}),
        (ANNOTATORS, {"members": {"one": AB, "other": RATING}}),
        (ANNOTATORS, {"flipped_fraction": 0.5}),
        (PANEL, {"members": {"one": EXPECTED, "other": PANEL}}),
        (ENDPOINT, {"judge": EXPECTED}),
        (ENDPOINT, {"base_url": "127.0.0.1:8000/v1"}),
        (ENDPOINT, {"base_url": "http://user:secret@127.0.0.1/v1"}),
        (ENDPOINT, {"base_url": "http://127.0.0.1/v1?api_key=secret"}),
        (ENDPOINT, {"api_key_env": "sk-123"}),
        (ENDPOINT, {"attempts": 0}),
        (REWARD_MODEL, {"margin": "judge"}),
        (REWARD_MODEL, {"centring": -1.0}),
        (GROUP, {"min_responses": 0}),
        (GROUP, {"ties": "drop_all"}),
        (SWEET_SPOT, {"chosen_at": "mu+3sigma"}),
        (SCORED[2], {"few": 0}),
        (SCORED[3], {"rho": 0.6}),
        (SCORED[3], {"max_chosen_chars": 0}),
        (SCORED[5], {"choice": "min_max"}),
        (SCORED[5], {"length_penalty": -0.1}),
        (RIP, {"unit": "words"}),
        (RIP.margin, {"by": "percentile"}),
        (LONGEST, {"count": 0}),
        (TOP_FRACTION, {"fraction": 0.0}),
        (TOP_FRACTION, {"fraction": 1.1}),
        (LENGTH_MARGIN, {"max_excess": -1}),
        (SCORE_THRESHOLD, {"min_score": float("nan")}),
    ],
    ids=str,
)
def test_a_hyperparameter_outside_its_range_is_refused(part: Any, changes: dict[str, Any]) -> None:
    ((field, _),) = changes.items()
    with pytest.raises(ValidationError, match=field):
        changed(part, **changes)


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        (LADDER, {"levels": ("good",)}),
        (LADDER, {"levels": ("good", "")}),
        (SYSTEM_MESSAGES, {"system_messages": ("Be brief.",)}),
        (MIXTURE, {"proposals": 0}),
        (MIXTURE, {"layers": 0}),
        (MIXTURE, {"trained_under": "nothing"}),
        (MIXTURE, {"window": {"size": 3, "carried": 0}}),
        (REVISE, {"revisions": 0}),
        (BY_RANK, {"take": "best"}),
    ],
    ids=str,
)
def test_a_way_of_generation_outside_its_range_is_refused(part: Any, changes: dict[str, Any]) -> None:
    ((field, _),) = changes.items()
    with pytest.raises(ValidationError, match=field):
        changed(part, **changes)


def test_a_contrast_without_affixes_is_refused() -> None:
    with pytest.raises(ValidationError, match="affixes"):
        changed(CONTRAST, affixes=())
    with pytest.raises(ValidationError, match="negative"):
        AffixPair(positive="being kind", negative="")


def test_unknown_keys_are_refused_and_configurations_are_frozen() -> None:
    with pytest.raises(ValidationError, match="batch_size"):
        ReferenceConfig(policy="initial", logps="recompute", batch_size=3)  # pyright: ignore[reportCallIssue]
    config = base()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.run.seed = 1  # pyright: ignore[reportAttributeAccessIssue]
    assert config.run.seed == 0
