"""What an objective does, in a sentence a kind (see `words`)."""

from typing import assert_never

from ..orchestrator.objective_config import (
    AttributeRegressionObjective,
    CdpoObjective,
    CreamObjective,
    CutObjective,
    DpoObjective,
    DpopObjective,
    FunctionObjective,
    GrpoObjective,
    HingeObjective,
    IpoObjective,
    KtoObjective,
    MipoObjective,
    NoObjective,
    ObjectiveConfig,
    OrpoObjective,
    PairLoss,
    PairObjective,
    PpoObjective,
    ProObjective,
    RDpoObjective,
    RdpoObjective,
    ReferenceConfig,
    RewardModelObjective,
    RlooObjective,
    RrhfObjective,
    SftObjective,
    SimpoObjective,
    SlicObjective,
    SpaObjective,
    SppoObjective,
    WrpoObjective,
)


def learnt(objective: ObjectiveConfig) -> str:
    """What the objective asks of the policy (or of a reward model), and which reference it is measured against."""
    return f"{_loss(objective)}{_further(objective)} {_against(objective.reference)}"


def _loss(objective: ObjectiveConfig) -> str:
    match objective:
        case SppoObjective(beta=beta, probabilities=kind):
            return (
                f"SPPO: a response's log-ratio to the reference moves towards its {kind} win probability minus a half, "
                f"over beta {beta:g}."
            )
        case CreamObjective(beta=beta):
            return f"CREAM, beta {beta:g}: DPO on both labels, by how far this policy and the last rank alike."
        case SpaObjective(beta=beta, label_smoothing=smoothing):
            return f"SPA, beta {beta:g}: DPO whose least certain labels are smoothed by {smoothing:g}."
        case WrpoObjective(beta=beta):
            return f"WRPO, beta {beta:g}: DPO whose chosen side moves from the policy's response to a source model's."
        case KtoObjective(beta=beta):
            return f"KTO, beta {beta:g}: each response by itself, as desirable or not."
        case RrhfObjective():
            return "RRHF: a better response is to be likelier a token than any worse one; NLL of the best."
        case ProObjective(sft_weight=weight):
            return f"PRO: a chain of choices, each the best of what is left; NLL of the best, weight {weight:g}."
        case SftObjective():
            return "Supervised: NLL of what is to be imitated (of a pair, the chosen response)."
        case CutObjective():
            return "CUT: likelihood of the response under its judgment; unlikelihood of the tokens that it blames."
        case NoObjective():
            return "Nothing: what is made is for later rounds."
        case RewardModelObjective(margin=margin):
            ahead = ", ahead by the margin of their scores" if margin == "score" else ""
            return f"A reward model, not the policy: the chosen response scores higher than the rejected one{ahead}."
        case AttributeRegressionObjective():
            return (
                "A reward model of several attributes, not the policy: what people say of a response, by squared error."
            )
        case PpoObjective(clip=clip, kl_coefficient=kl, critic=critic):
            return f"PPO, clip {clip:g}, KL {kl:g} taken from a token's reward, {critic} critic."
        case GrpoObjective(clip=clip, kl_coefficient=kl, scale=scale):
            return f"GRPO, clip {clip:g}, KL {kl:g} in the loss, advantages scaled by: {scale}."
        case RlooObjective(clip=clip, kl_coefficient=kl):
            return f"RLOO, clip {clip:g}, KL {kl:g} taken from a response's reward."
        case _:
            sentence = _pair_loss(objective)
            return f"{sentence[0].upper()}{sentence[1:]}."


def _pair_loss(loss: PairLoss) -> str:
    """Without a full stop: it may be a further loss of another."""
    match loss:
        case DpoObjective(beta=beta):
            return f"DPO, beta {beta:g}"
        case CdpoObjective(beta=beta, label_smoothing=smoothing):
            return f"conservative DPO, beta {beta:g}: a label is wrong with probability {smoothing:g}"
        case RdpoObjective(beta=beta, label_smoothing=smoothing):
            return f"robust DPO, beta {beta:g}: unbiased where a label is wrong with probability {smoothing:g}"
        case IpoObjective(beta=beta, tokens=tokens):
            return f"IPO, beta {beta:g}: the log-ratios ({tokens} over tokens) are to differ by 1/(2 beta)"
        case HingeObjective(beta=beta):
            return f"a hinge on DPO's margin, beta {beta:g}"
        case DpopObjective(beta=beta, penalty=penalty):
            return f"DPO-Positive, beta {beta:g}, penalty {penalty:g} where the chosen response gets unlikelier"
        case RDpoObjective(beta=beta, alpha=alpha):
            return f"length-regularised DPO, beta {beta:g}: each further token of the chosen one counts {alpha:g}"
        case MipoObjective(beta=beta):
            return f"MIPO, beta {beta:g}: the less the reference tells a pair apart, the more is asked"
        case SimpoObjective(beta=beta, gamma=gamma):
            return f"SimPO, beta {beta:g}: mean log-probs a token, apart by a margin of {gamma:g}"
        case OrpoObjective(weight=weight):
            return f"ORPO: NLL of the chosen response and, times {weight:g}, the odds against the rejected one"
        case SlicObjective(delta=delta, weight=weight):
            return f"SLiC: log-probs apart by {delta:g}, and NLL of the chosen response times {weight:g}"
        case FunctionObjective(function=function, parameters=parameters):
            numbers = "".join(f", {name} {value:g}" for name, value in parameters.items())
            return f"the Python function {function}{numbers}"
        case _:
            assert_never(loss)


def _further(objective: ObjectiveConfig) -> str:
    """WPO's weights and the losses that are added."""
    if not isinstance(objective, PairObjective):
        return ""
    parts = [f"{term.weight:g} × {_term(term.loss)}" for term in objective.plus]
    added = f" Added: {'; '.join(parts)}." if parts else ""
    weighed = {
        "none": "",
        "wpo": " Pairs weigh as much as the policy would sample them, at most 1 (WPO).",
        "wpo_unclipped": " Pairs weigh as much as the policy would sample them (WPO).",
    }
    return weighed[objective.weighting] + added


def _term(loss: PairLoss | SftObjective) -> str:
    return "NLL of the chosen response" if isinstance(loss, SftObjective) else _pair_loss(loss)


def _against(reference: ReferenceConfig) -> str:
    log_probs = ", by the sampler's log-probs" if reference.logps == "rollout" else ""
    match reference.policy:
        case "previous":
            return f"Reference: the policy before the round{log_probs}."
        case "initial":
            return "Reference: the initial policy."
        case "average":
            return f"Reference: the moving average of the policies, decay {reference.decay:g}."
        case "none":
            return "No reference."
        case _:
            assert_never(reference.policy)
