"""The end of an assistant's turn: what its template ends it with, in given responses, in sampling and in reading."""

import datetime
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.chat_tokenizers import write_chat_tokenizer
from support.shipped_templates import shipped_template
from tokenizers import Tokenizer, normalizers
from transformers import PreTrainedTokenizerFast

from roundelay.orchestrator.data.records import Message, TokenSequence
from roundelay.orchestrator.errors import ConfigError
from roundelay.workers.encoding import ChatEncoder

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA2 = (
    "{% for message in messages %}{% if message['role'] == 'user' %}[INST] {{ message['content'] }} [/INST]"
    "{% else %} {{ message['content'] }} {{ eos_token }}{% endif %}{% endfor %}"
)
NO_END = "{% for message in messages %}\n\n{{ message['role'] }}: {{ message['content'] }}{% endfor %}"


@dataclass(frozen=True, kw_only=True)
class Ends:
    """A published model's template, tokens, eos_token and generation_config, and what its turns end with."""

    template: str
    tokens: Sequence[str]
    eos: str
    stops: Sequence[str] = ()
    end: Sequence[str]


PUBLISHED = {
    "gemma": Ends(template=shipped_template("trl", "gemma"), tokens=("<start_of_turn>", "<end_of_turn>", "<eos>"),
                  eos="<eos>", end=("<end_of_turn>",)),
    "first llama 3": Ends(template=shipped_template("trl", "llama3"), eos="<|end_of_text|>",
                          tokens=("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"), end=("<|eot_id|>",)),
    "phi 3": Ends(template=shipped_template("trl", "phi3"), tokens=("<|user|>", "<|assistant|>", "<|end|>"),
                  eos="<|endoftext|>", end=("<|end|>",)),
    "chatml on a base tokenizer": Ends(template=CHATML, tokens=("<|im_start|>", "<|im_end|>"), eos="<|endoftext|>",
                                       end=("<|im_end|>",)),
    "vllm's chatml, whose last turn stays open": Ends(
        template=shipped_template("vllm", "template_chatml"), tokens=("<|im_start|>", "<|im_end|>"),
        eos="<|endoftext|>", end=("<|im_end|>",)),
    "qwen 2.5": Ends(template=shipped_template("trl", "qwen2_5"), tokens=("<|im_start|>", "<|im_end|>"),
                     eos="<|im_end|>", stops=("<|im_end|>", "<|endoftext|>"), end=("<|im_end|>",)),
    "command a": Ends(template=shipped_template("trl", "cohere2"), eos="<|END_OF_TURN_TOKEN|>",
                      tokens=("<|START_RESPONSE|>", "<|END_RESPONSE|>", "<|CHATBOT_TOKEN|>"),
                      end=("<|END_RESPONSE|>", "<|END_OF_TURN_TOKEN|>")),
    "glm 4.5": Ends(template=shipped_template("trl", "glm4moe"), tokens=("[gMASK]", "<sop>", "<|user|>"),
                    eos="<|endoftext|>", stops=("<|endoftext|>", "<|user|>"), end=("<|user|>",)),
    "gpt-oss": Ends(template=shipped_template("trl", "gptoss"), tokens=("<|start|>", "<|end|>", "<|message|>"),
                    eos="<|return|>", end=("<|return|>",)),
    "llama 2": Ends(template=LLAMA2, tokens=(), eos="</s>", end=("</s>",)),
    "no end but eos_token": Ends(template=NO_END, tokens=(), eos="</s>", end=("</s>",)),
}  # fmt: skip


def encoder(path: Path, model: Ends) -> ChatEncoder:
    extra = [token for token in model.stops if token not in (*model.tokens, model.eos)]
    tokens = [*model.tokens, *extra]
    return ChatEncoder(str(write_chat_tokenizer(path, model.template, tokens=tokens, eos=model.eos, stops=model.stops)))


@pytest.mark.parametrize("model", PUBLISHED.values(), ids=PUBLISHED)
def test_a_given_response_ends_as_the_template_ends_an_assistants_turn(model: Ends, tmp_path: Path) -> None:
    """And so does one that a policy samples: the engine stops at that token, whatever its own files name."""
    made = encoder(tmp_path, model)
    end = tuple(made.tokenizer.convert_tokens_to_ids(list(model.end)))
    text = tuple(made.tokenizer("A prime: 7.", add_special_tokens=False).input_ids)
    assert made.encode_response("A prime: 7.") == (*text, *end)
    stops = made.tokenizer.convert_tokens_to_ids([model.eos, model.end[-1], *model.stops])
    assert made.stop_ids == tuple(sorted({*stops}))


@pytest.mark.parametrize("model", PUBLISHED.values(), ids=PUBLISHED)
def test_a_given_response_that_ends_its_turn_itself_has_the_end_once(model: Ends, tmp_path: Path) -> None:
    """As data sets have that were written by a template; also with what the template writes around it."""
    made = encoder(tmp_path, model)
    once, end = made.encode_response("7."), "".join(model.end)
    for text in (f"7.{end}", f"7.{end}\n", f"7.{end}{end}", f"7.{model.eos}", f"7.{end}\n{model.eos}"):
        assert made.encode_response(text) == once
        assert made.without_end(text) == "7."


def test_an_end_in_the_middle_of_a_given_response_is_text(tmp_path: Path) -> None:
    made = encoder(tmp_path, PUBLISHED["gemma"])
    ids = made.encode_response("7.<end_of_turn> or 11.")
    assert ids.count(made.end_ids[0]) == 1 and ids[-1:] == made.end_ids
    assert made.without_end("7.<end_of_turn> or 11.") == "7.<end_of_turn> or 11."


def test_a_response_without_an_end_is_its_text_alone(tmp_path: Path) -> None:
    """Markers between responses, and judgments that were cut."""
    made = encoder(tmp_path, PUBLISHED["command a"])
    assert made.encode_response("7.", ended=False) == tuple(made.tokenizer("7.", add_special_tokens=False).input_ids)
    assert made.encode_response("", ended=False) == ()


@pytest.mark.parametrize("name", ["chatml on a base tokenizer", "command a", "qwen 2.5"])
def test_a_reward_model_reads_at_the_end_of_turn_and_at_no_two(name: str, tmp_path: Path) -> None:
    """A response that is whole is read as it is; one that was cut, or that another token ended, gets the end."""
    model = PUBLISHED[name]
    made = encoder(tmp_path, model)
    end, words = made.end_ids, (40, 41)
    others = [token for token in made.stop_ids if token not in end]
    for token_ids in [(*words, *end), words, *((*words, other) for other in others)]:
        read = made.ended(TokenSequence(prompt_token_ids=(1,), token_ids=token_ids))
        assert read == TokenSequence(prompt_token_ids=(1,), token_ids=(*words, *end))


def test_what_the_models_config_stops_at_counts_where_it_has_no_generation_config(tmp_path: Path) -> None:
    """As in vLLM."""
    path = write_chat_tokenizer(tmp_path, CHATML, tokens=("<|im_start|>", "<|im_end|>", "<|halt|>"))
    halt = ChatEncoder(str(path)).tokenizer.convert_tokens_to_ids("<|halt|>")
    (path / "config.json").write_text(json.dumps({"model_type": "llama", "eos_token_id": [halt]}))
    assert halt in ChatEncoder(str(path)).stop_ids


def test_a_template_whose_end_of_turn_is_no_token_is_refused(tmp_path: Path) -> None:
    """ChatML over a tokenizer that never heard of it: neither would a sample stop, nor a given response be like it."""
    write_chat_tokenizer(tmp_path, CHATML)
    with pytest.raises(
        ConfigError, match=r"ends the assistant's turn with '<\|im_end\|>', which is no token"
    ) as caught:
        ChatEncoder(str(tmp_path))
    assert "eos_token" in caught.value.remedy


def test_an_end_of_turn_that_the_tokenizer_does_not_find_behind_text_is_refused(tmp_path: Path) -> None:
    """Llama 2's normaliser turns a token that was added without a flag into one that only follows a space
    (findings/added_token_after_text.sh)."""
    write_chat_tokenizer(tmp_path, CHATML)
    core = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    core.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<eos>", chat_template=CHATML)
    tokenizer.add_tokens(["<|im_start|>", "<|im_end|>"])
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="no token of its tokenizer behind text") as caught:
        ChatEncoder(str(tmp_path))
    assert "normalized=False" in caught.value.remedy


# ------------------------------------------------------------------------------------------------------------ the date

DATED = "{% if strftime_now is defined %}Today: {{ strftime_now('%d %b %Y') }}\n{% endif %}" + CHATML
TOKENS = ("<|im_start|>", "<|im_end|>")
HELLO = [Message(role="user", content="Hi")]


def test_a_template_that_writes_the_date_writes_that_of_the_run(tmp_path: Path) -> None:
    """Tomorrow, and in a resumed run, the same conversation is the same tokens."""
    path = str(write_chat_tokenizer(tmp_path, DATED, tokens=TOKENS, eos="<|im_end|>"))
    made = ChatEncoder(path, date=datetime.date(2024, 7, 26))
    assert made.render(HELLO).startswith("Today: 26 Jul 2024\n<|im_start|>user\nHi<|im_end|>")
    other = ChatEncoder(path, date=datetime.date(2024, 7, 27))
    assert made.encode(HELLO) != other.encode(HELLO)
    assert made.neutralise("Today: 26 Jul 2024") == "Today: 26 Jul 2024"


def test_a_template_that_writes_the_date_is_refused_where_the_run_has_none(tmp_path: Path) -> None:
    path = str(write_chat_tokenizer(tmp_path, DATED, tokens=TOKENS, eos="<|im_end|>"))
    with pytest.raises(ConfigError, match=r"strftime_now\('%d %b %Y'\)") as caught:
        ChatEncoder(path).encode(HELLO)
    assert "model.date" in caught.value.remedy
