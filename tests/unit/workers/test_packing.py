"""Rows without padding: every token sees the tokens that it sees in its sequence alone, and nothing else."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GraniteConfig,
    MistralConfig,
    PretrainedConfig,
    Qwen3Config,
)

from roundelay.orchestrator.data.records import TokenSequence
from roundelay.workers.completion_model import CompletionModel
from roundelay.workers.packing import (
    ATTENTION,
    Layout,
    PackedBatch,
    Segment,
    micro_batches,
    packed_attention,
    packed_length,
    shared_length,
)

CPU = torch.device("cpu")


def sequence(prompt: Sequence[int], response: Sequence[int]) -> TokenSequence:
    return TokenSequence(prompt_token_ids=tuple(prompt), token_ids=tuple(response))


def whole(one: TokenSequence) -> list[int]:
    return [*one.prompt_token_ids, *one.token_ids]


# Every form a group can have; lengths are all different, and longer than the windows of the models below.
GROUPS = [
    [sequence(range(5, 17), (30, 31, 32, 2)), sequence(range(5, 17), (40, 41, 2))],  # a pair
    [sequence((7, 8, 9), (50, 51, 2))],  # one sequence
    [sequence(range(60, 67), (90, 91, n, 2)) for n in (92, 93, 94)],  # three that go on alike, and part in the response
    [sequence((5, 6, 7), (20, 21, 2)), sequence((5, 6, 7), (20, 21, 2))],  # the same twice
    [sequence((5, 6, 7), (20, 21)), sequence((5, 6, 7), (20, 21, 22, 23, 2))],  # one that goes on where the other ends
    [sequence((5, 6, 8), (20, 21, 22, 23, 2)), sequence((5, 6, 8), (20, 21))],
    [sequence((70, 71), (72, 73, 2)), sequence((80, 81, 82), (83, 2))],  # nothing in common
    [sequence((7, 8, 9), range(100, 112)), sequence((7, 8, 9, 100, 101), (102, 2))],  # prompts of different length
]


# ------------------------------------------------------------------------------------------------- against the models


def small(make: Any, **settings: Any) -> PretrainedConfig:
    return make(
        vocab_size=128,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=128,
        initializer_range=0.25,
        **settings,
    )


MIXED = {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1}  # layer 0 sees all, layer 1 five
CONFIGS: dict[str, Callable[[], PretrainedConfig]] = {
    "mistral, window 4": lambda: small(MistralConfig, sliding_window=4),
    "granite, attention at its own scale": lambda: small(GraniteConfig, attention_multiplier=0.7),
    "gemma3, window 4": lambda: small(
        Gemma3TextConfig,
        sliding_window=4,
        query_pre_attn_scalar=3,
        layer_types=["sliding_attention", "full_attention"],
    ),
    "qwen3": lambda: small(Qwen3Config, tie_word_embeddings=True),
    "qwen3, one layer with a window": lambda: small(Qwen3Config, **MIXED),
}


def models_of(config: PretrainedConfig, weights: Any = None) -> tuple[Any, CompletionModel]:
    """The same weights under transformers' own attention, and packed."""
    torch.manual_seed(0)
    plain: Any = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    packed: Any = AutoModelForCausalLM.from_config(deepcopy(config), attn_implementation=ATTENTION)
    plain.load_state_dict(weights or plain.state_dict())
    packed.load_state_dict(plain.state_dict())
    return plain, CompletionModel(packed)


@pytest.fixture(params=["llama, tied", "qwen2, untied", *CONFIGS])
def models(request: pytest.FixtureRequest, tiny_model: Path, untied_model: Path) -> tuple[Any, CompletionModel]:
    if request.param in CONFIGS:
        return models_of(CONFIGS[request.param]())
    path = tiny_model if request.param.startswith("llama") else untied_model
    return models_of(AutoConfig.from_pretrained(path), AutoModelForCausalLM.from_pretrained(path).state_dict())


def alone(model: Any, one: TokenSequence) -> Tensor:
    """Log-probs of a response's tokens from the plain model, on this sequence only."""
    logprobs = model(torch.tensor([whole(one)])).logits[0].log_softmax(-1)
    first = len(one.prompt_token_ids)
    return logprobs[range(first - 1, first - 1 + len(one.token_ids)), list(one.token_ids)]


def test_packed_log_probs_and_gradients_are_the_plain_models(models: tuple[Any, CompletionModel]) -> None:
    """Of all groups in one row, sequence by sequence; each token has a weight of its own in the gradient, so that
    no two errors cancel."""
    plain, packed = models
    batch = PackedBatch.of(GROUPS, CPU)
    found = batch.split(packed(batch)["logps"])
    sequences = [one for group in GROUPS for one in group]
    expected = [alone(plain, one) for one in sequences]
    for one, ours, theirs in zip(sequences, found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0, msg=lambda text, one=one: f"{one}: {text}")
    weights = torch.randn(len(batch.targets_N), generator=torch.Generator().manual_seed(1)) / len(batch.targets_N)
    (torch.cat(found) * weights).sum().backward()
    (torch.cat(expected) * weights).sum().backward()
    theirs = dict(plain.named_parameters())
    for name, parameter in packed.language_model.named_parameters():
        torch.testing.assert_close(parameter.grad, theirs[name].grad, atol=1e-5, rtol=0, msg=lambda t, n=name: n + t)


def test_the_windows_above_are_smaller_than_the_sequences() -> None:
    """Without its window a model gives other log-probs on these groups: the comparison shows that the mask is right."""
    torch.manual_seed(0)
    model: Any = AutoModelForCausalLM.from_config(CONFIGS["mistral, window 4"](), attn_implementation="eager")
    open_config = CONFIGS["mistral, window 4"]()
    open_config.sliding_window = None
    unlimited: Any = AutoModelForCausalLM.from_config(open_config, attn_implementation="eager")
    unlimited.load_state_dict(model.state_dict())
    with torch.no_grad():
        assert (alone(model, GROUPS[0][0]) - alone(unlimited, GROUPS[0][0])).abs().max() > 1e-2


def test_gradient_checkpointing_of_the_layers_changes_nothing(tiny_model: Path) -> None:
    """The row's layout reaches every layer when it is computed a second time, too."""
    _, model = models_of(AutoConfig.from_pretrained(tiny_model))
    model.train()
    gradients = []
    for checkpointed in (False, True):
        if checkpointed:
            model.language_model.gradient_checkpointing_enable()
        model.zero_grad()
        model(PackedBatch.of(GROUPS, CPU))["logps"].mean().backward()
        gradients.append([parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None])
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-7, rtol=0)


# ------------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize("one", [sequence((), (1, 2)), sequence((1, 2), ())], ids=["no prompt", "no response"])
def test_an_empty_prompt_or_response_is_refused(one: TokenSequence) -> None:
    """The first token has nothing to be predicted from; a response without tokens has no log-prob."""
    with pytest.raises(ValueError, match="empty prompt or an empty completion"):
        PackedBatch.of([[sequence((1,), (2,)), one]], CPU)


def test_a_model_with_a_soft_cap_is_refused_and_not_computed_without_it() -> None:
    """Gemma 2, as transformers itself asks for it."""
    torch.manual_seed(0)
    config = small(Gemma2Config, attn_logit_softcapping=50.0)
    model: Any = AutoModelForCausalLM.from_config(config, attn_implementation=ATTENTION)
    with pytest.raises(NotImplementedError, match="softcap"):
        CompletionModel(model)(PackedBatch.of(GROUPS, CPU))


@pytest.mark.parametrize(
    ("wanted", "named"),
    [
        ({"softcap": 30.0}, "softcap"),
        ({"s_aux": torch.zeros(2)}, "s_aux"),
        ({"position_bias": torch.zeros(1, 2, 3, 3)}, "position_bias"),
        ({"dropout": 0.1}, "dropout"),
    ],
)
def test_attention_of_another_kind_is_refused_by_name(wanted: dict[str, Any], named: str) -> None:
    states = torch.zeros(1, 2, 3, 4)
    layout = Layout(segments=(Segment(0, 0, 0, 3),))
    packed_attention(torch.nn.Identity(), states, states, states, None, packing=layout, softcap=None, s_aux=None)
    with pytest.raises(NotImplementedError, match=named):
        packed_attention(torch.nn.Identity(), states, states, states, None, packing=layout, **wanted)


# --------------------------------------------------------------------------------------------------------- the layout

# Few different tokens: common beginnings of every length come up by themselves.
TOKENS = st.lists(st.integers(1, 3), min_size=1, max_size=6)
GROUP = st.one_of(
    st.lists(st.builds(sequence, TOKENS, TOKENS), min_size=1, max_size=4),
    TOKENS.flatmap(lambda prompt: st.lists(st.builds(sequence, st.just(prompt), TOKENS), min_size=1, max_size=4)),
)


def seen_from(batch: PackedBatch, place: int) -> list[int]:
    """The places that a place attends to, itself included, as the row's segments have it."""
    (segment,) = (s for s in batch.layout.segments if s.start <= place < s.end)
    return [*range(segment.prefix_start, segment.prefix_end), *range(segment.start, place + 1)]


@given(groups=st.lists(GROUP, max_size=4))
@example(groups=GROUPS)
@example(groups=[[sequence((1,), (2,))] * 3])
def test_every_response_token_is_predicted_from_its_own_context(groups: list[list[TokenSequence]]) -> None:
    """What the place that predicts a token sees is, in order, what stands before that token in its sequence, at the
    positions 0, 1, 2, …; so in a branch positions go on from the prefix, and in the next one they start there again."""
    batch = PackedBatch.of(groups, CPU)
    ids, positions = batch.input_ids_T.tolist(), batch.positions_T.tolist()
    sequences = [one for group in groups for one in group]
    assert batch.lengths == tuple(len(one.token_ids) for one in sequences)
    assert batch.targets_N.tolist() == [token for one in sequences for token in one.token_ids]
    assert batch.rows_N.tolist() == [row for row, one in enumerate(sequences) for _ in one.token_ids]
    places = iter(zip(batch.predictors_N.tolist(), batch.own_N.tolist(), strict=True))
    for one, last in zip(sequences, batch.last_S.tolist(), strict=True):
        own = -1
        for end in range(len(one.prompt_token_ids), len(whole(one))):
            predictor, own = next(places)
            for place, context in ((predictor, whole(one)[:end]), (own, whole(one)[: end + 1])):
                seen = seen_from(batch, place)
                assert [ids[i] for i in seen] == context
                assert [positions[i] for i in seen] == list(range(len(context)))
        assert last == own
    assert next(places, None) is None


@given(groups=st.lists(GROUP, max_size=4))
@example(groups=GROUPS)
def test_segments_tile_the_row_and_each_group_takes_its_packed_length(groups: list[list[TokenSequence]]) -> None:
    """No gaps, no overlaps, nothing empty; a prefix stands before its branches and is one whole segment."""
    batch = PackedBatch.of(groups, CPU)
    segments = batch.layout.segments
    assert [s.start for s in segments] == [0, *(s.end for s in segments)][: len(segments)]
    assert all(s.start < s.end for s in segments)
    assert len(batch.input_ids_T) == len(batch.positions_T) == (segments[-1].end if segments else 0)
    assert len(batch.input_ids_T) == sum(map(packed_length, groups))
    spans = {(s.start, s.end) for s in segments if s.prefix_start == s.prefix_end}
    for segment in segments:
        if segment.prefix_start < segment.prefix_end:
            assert (segment.prefix_start, segment.prefix_end) in spans
            assert segment.prefix_end <= segment.start


def test_a_pair_is_laid_out_as_its_prompt_and_two_branches() -> None:
    """Prompt 5 6, responses 7 8 and 9: the row is 5 6 | 7 8 | 9 at positions 0 1 | 2 3 | 2. Both responses' first token
    is predicted at the prompt's last place, 1; the token 8 at that of 7, place 2."""
    batch = PackedBatch.of([[sequence((5, 6), (7, 8)), sequence((5, 6), (9,))]], CPU)
    assert batch.input_ids_T.tolist() == [5, 6, 7, 8, 9]
    assert batch.positions_T.tolist() == [0, 1, 2, 3, 2]
    assert batch.layout.segments == (Segment(0, 0, 0, 2), Segment(0, 2, 2, 4), Segment(0, 2, 4, 5))
    assert batch.predictors_N.tolist() == [1, 2, 1]
    assert batch.own_N.tolist() == [2, 3, 4]
    assert batch.last_S.tolist() == [3, 4]
    assert [part.tolist() for part in batch.split(torch.tensor([0.1, 0.2, 0.3]))] == [
        pytest.approx([0.1, 0.2]),
        pytest.approx([0.3]),
    ]


@given(prefix=st.integers(0, 6), own=st.integers(1, 6), window=st.one_of(st.none(), st.integers(1, 8)))
def test_a_segments_mask_is_causal_within_the_window(prefix: int, own: int, window: int | None) -> None:
    """Token i of the branch is at position prefix + i and sees the positions up to its own, the last `window` of them;
    None stands for plain causal attention."""
    segment = Segment(10, 10 + prefix, 20, 20 + own)
    mask = segment.mask(window, CPU)
    expected = [
        [j <= prefix + i and (window is None or prefix + i - j < window) for j in range(prefix + own)]
        for i in range(own)
    ]
    if mask is None:
        assert expected == [[j <= i for j in range(own)] for i in range(own)]
    else:
        assert mask.tolist() == expected


def test_masks_are_made_once_a_window_and_not_once_a_layer() -> None:
    layout = Layout(segments=(Segment(0, 0, 0, 4), Segment(0, 4, 4, 6)))
    assert layout.masks_of(None, CPU) is layout.masks_of(None, CPU)
    assert layout.masks_of(2, CPU) is not layout.masks_of(None, CPU)
    assert layout.masks_of(None, CPU)[0] is None


# ------------------------------------------------------------------------------------------------------------ budgets


@given(group=GROUP)
@example(group=GROUPS[4])
def test_a_group_takes_its_tokens_with_the_common_beginning_once(group: list[TokenSequence]) -> None:
    """Groups of one share nothing, whatever they look like: a tree with one branch would only be a split sequence."""
    columns = zip(*map(whole, group), strict=False)
    common = 0
    while len(set(next(columns, (0, 1)))) == 1:
        common += 1
    assert shared_length(group) == (common if len(group) > 1 else 0)
    assert packed_length(group) == shared_length(group) + sum(len(whole(one)) - shared_length(group) for one in group)


@given(
    costs=st.lists(st.integers(1, 12), max_size=20),
    tokens=st.integers(1, 20),
    examples=st.one_of(st.none(), st.integers(1, 4)),
)
def test_micro_batches_cover_all_in_order_within_their_budgets(
    costs: list[int], tokens: int, examples: int | None
) -> None:
    """None is empty; one that is over the budget holds a single example; and none could have taken the next one."""
    batches = list(micro_batches(costs, tokens=tokens, examples=examples))
    assert [index for batch in batches for index in batch] == list(range(len(costs)))
    limit = examples or len(costs)
    for batch, after in zip(batches, [*batches[1:], range(0)], strict=False):
        total = sum(costs[index] for index in batch)
        assert len(batch) == 1 or (1 < len(batch) <= limit and total <= tokens)
        assert not after or len(batch) == limit or total + costs[after.start] > tokens


def test_micro_batches_of_nothing_are_none() -> None:
    assert list(micro_batches([], tokens=4, examples=2)) == []
