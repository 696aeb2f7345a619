"""Model directories that no engine could be started with, templates that no round could use."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.bad_inputs import BadInput, CommandLine

TURNS = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
OPENS = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system turn') }}{% endif %}"
ONE_TURN = "{% if messages|length > 1 %}{{ raise_exception('turns must alternate') }}{% endif %}"
INDEX = "model.safetensors.index.json"

Change = Callable[[Path], object]


def settings(file: str = "config.json", **values: Any) -> Change:
    def change(model: Path) -> None:
        before = json.loads((model / file).read_text())
        (model / file).write_text(json.dumps({**before, **values}))

    return change


def content(file: str, data: bytes | str) -> Change:
    return lambda model: (model / file).write_bytes(data.encode() if isinstance(data, str) else data)


def weights(change: Callable[[bytes], bytes]) -> Change:
    return lambda model: (model / "model.safetensors").write_bytes(change((model / "model.safetensors").read_bytes()))


def sharded(weight_map: object) -> Change:
    """All weights under a shard's name, with an index."""

    def change(model: Path) -> None:
        (model / "model.safetensors").rename(model / "model-00001-of-00002.safetensors")
        if weight_map is not None:
            (model / INDEX).write_text(json.dumps({"weight_map": weight_map}))

    return change


def copied(name: str) -> Change:
    return lambda model: shutil.copy(model / "model.safetensors", model / name)


def template(text: str) -> Change:
    return content("chat_template.jinja", text)


MODELS: Mapping[str, tuple[Change, tuple[str, ...]]] = {
    "empty weights": (weights(lambda data: b""), ("model.safetensors is empty", "copy the file again")),
    "weights of 4 bytes": (weights(lambda data: data[:4]), ("model.safetensors is cut: 4 bytes", "copy the file")),
    "weights cut in the header": (weights(lambda data: data[:100]), ("model.safetensors is cut", "copy the file")),
    "weights cut by a byte": (weights(lambda data: data[:-1]), ("its header speaks of", "copy the file again")),
    "weights and a byte more": (weights(lambda data: data + b"x"), ("its header speaks of", "copy the file again")),
    "zeroed weights": (weights(lambda data: bytes(len(data))), ("its header cannot be read", "copy the file again")),
    "header without tensors": (weights(lambda data: b"\2" + bytes(7) + b"{}"), ("holds no tensors", "copy the file")),
    "a pointer for weights": (content("model.safetensors", "version https://git-lfs.github.com/spec/v1\n"),
                              ("no safetensors file", "copy the file again")),
    "a shard without its index": (sharded(None), ("neither model.safetensors nor", f"copy {INDEX} too")),
    "an index of a missing shard": (sharded({"x": "model-00002-of-00002.safetensors"}),
                                    ("lacks model-00002-of-00002.safetensors", "copy the file again")),
    "an index of a missing tensor": (sharded({"a.missing": "model-00001-of-00002.safetensors"}),
                                     ("the tensor a.missing is not in model-00001", "from one source")),
    "an index that is none": (sharded([1]), (f"{INDEX} is no index of weights", "copy the file again")),
    "an index that points elsewhere": (sharded({"x": "../model/model.safetensors"}), ("is no index of weights",)),
    "weights twice": (content(INDEX, '{"weight_map": {}}'), ("holds its weights twice", "take away")),
    "weights of something else beside": (copied("consolidated.safetensors"),
                                         ("consolidated.safetensors beside model.safetensors", "take away")),
    "weights by another name": (lambda model: (model / "model.safetensors").rename(model / "weights.safetensors"),
                                ("holds weights.safetensors", "rename a single file to model.safetensors")),
    "adapters beside": (content("adapter_config.json", "{}"), ("adapter_config.json beside a model", "merge_and")),
    "adapters' weights beside": (copied("adapter_model.safetensors"), ("adapter_model.safetensors", "merge_and")),
    "adapters instead": (lambda model: (model / "config.json").rename(model / "adapter_config.json"),
                         ("holds adapters (adapter_config.json) and no model", "merge them")),
    "config cut": (content("config.json", '{"a":'), ("config.json is no JSON object", "copy it again")),
    "config empty": (content("config.json", ""), ("config.json is no JSON object", "copy it again")),
    "config a list": (content("config.json", "[]"), ("config.json is no JSON object", "copy it again")),
    "config no UTF-8": (content("config.json", b'{"a": "\xe9"}'), ("config.json is no JSON object", "utf-8")),
    "gptq": (settings(quantization_config={"quant_method": "gptq", "bits": 4}),
             ("is quantised (config.json: quantization_config, gptq)", "the model that it was made of")),
    "awq": (settings(quantization_config={"quant_method": "awq"}), ("quantization_config, awq", "was made of")),
    "compressed": (settings(compression_config={"format": "x"}), ("compression_config", "was made of")),
    "old gptq": (content("quantize_config.json", "{}"), ("is quantised (quantize_config.json)", "was made of")),
    "unknown architecture": (settings(model_type="nope"), ("model_type='nope'", "check config.json")),
    "no architecture": (settings(architectures=None), ("no architectures (None)", '["LlamaForCausalLM"]')),
    "no model type": (settings(model_type=None), ("model_type=None", "check config.json")),
    "encoder": (settings(model_type="vit", architectures=["ViTModel"]), ("model_type='vit'", "AutoModelForCausalLM")),
    "masked language model": (settings(architectures=["LlamaForMaskedLM"]), ("['LlamaForMaskedLM']", "head")),
    "reward model": (settings(architectures=["LlamaForSequenceClassification"]),
                     ("['LlamaForSequenceClassification']", "a language-model head")),
    "remote code": (settings(model_type="mine", auto_map={"AutoModelForCausalLM": "mine.Mine"}),
                    ("auto_map", "model.trust_remote_code=false", "read that code")),
    "fewer embeddings than the vocabulary": (settings(vocab_size=700), ("has 600 rows", "vocab_size=700", "one model")),
    "more embeddings": (settings(vocab_size=500), ("has 600 rows", "vocab_size=500", "one model")),
    "fewer positions": (settings(max_position_embeddings=512),
                        ("model.max_model_len=1024", "512 positions", "set model.max_model_len=512 or less")),
    "a layer missing": (settings(num_hidden_layers=3), ("lacks the weights of layer 2", "num_hidden_layers=3", "copy")),
    "no head": (settings(tie_word_embeddings=False), ("no output head", "tie_word_embeddings=false", "all of its")),
    "end beyond the vocabulary": (settings(eos_token_id=99999), ("eos_token_id=99999", "600 tokens", "set it to")),
    "generation config that cannot be saved": (settings("generation_config.json", temperature=0.5, do_sample=False),
                                               ("generation_config.json is invalid", "`temperature`", "mend or")),
    "generation config out of range": (settings("generation_config.json", max_new_tokens=-1),
                                       ("generation_config.json is invalid", "is -1", "mend or delete")),
    "generation config cut": (content("generation_config.json", "{"), ("generation_config.json is no JSON", "copy")),
    "generation config's end": (settings("generation_config.json", eos_token_id="x"), ("eos_token_id='x'", "set it")),
    "tokenizer cut": (content("tokenizer.json", "{"), ("has no tokenizer that loads", "tokenizer files")),
    "tokenizer empty": (content("tokenizer.json", ""), ("has no tokenizer that loads", "tokenizer files")),
    "tokenizer config cut": (content("tokenizer_config.json", "{"), ("has no tokenizer that loads", "tokenizer files")),
    "template empty": (template(""), ("a tokenizer without a chat template", "chat_template.jinja")),
    "template cut": (template("{% for m in messages %}"), ("TemplateSyntaxError", "mend the model's chat_template")),
    "template that fails": (template("{{ nope.x.y }}"), ("'nope' is undefined", "mend the model's chat_template")),
    "template without a generation prompt": (template(TURNS), ("has no generation prompt", "<|im_start|>assistant")),
    "template that draws lots": (template("{{ ['a', 'b'] | random }}" + TURNS + OPENS), ("draws lots", "random")),
    "template without system turns": (template(NO_SYSTEM + TURNS + OPENS),
                                      ("prompt 'two'", "system, user", "no system turn", "leave such prompts out")),
    "template of a single turn": (template(ONE_TURN + TURNS + OPENS),
                                  ("prompt 'two'", "turns must alternate", "leave such prompts out")),
}  # fmt: skip


@pytest.fixture(scope="module")
def conversations(here: Path) -> Path:
    """Prompts of a plain question, and of one after a system message."""
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Which ocean is the deepest of all, and why?"},
    ]
    rows = [{"id": f"{i}", "prompt": f"Name {i} seas."} for i in range(3)] + [{"id": "two", "prompt": turns}]
    (here / "conversations.jsonl").write_text("\n".join(map(json.dumps, rows)))
    rows = [{"id": f"h{i}", "prompt": f"Name {i} hills."} for i in range(4)]
    (here / "plain.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return here


@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_cannot_start_is_refused(name: str, conversations: Path, line: CommandLine) -> None:
    change, says = MODELS[name]
    directory = conversations / name.replace(" ", "-").replace("'", "")
    shutil.copytree(conversations / "model", directory)
    change(directory)
    words = (f"model.path={directory}", "prompts.train.path=conversations.jsonl", "prompts.heldout.path=plain.jsonl",
             "prompts.id_column=id")  # fmt: skip
    dated = ("chat template of model.path=", str(directory)) if "template" in name else (f"={directory}",)
    line.refuses_run(BadInput(words=words, says=(*dated, *says) if "empty" not in name else says))


def test_templates_that_end_a_users_turn_with_the_answers_opening_are_taken(here: Path) -> None:
    """As Mistral's: nothing is to be added for generation, and nothing stands between the question and the answer."""
    from roundelay.launch.run.template_checks import check_template
    from roundelay.workers.encoding import ChatEncoder

    model = shutil.copytree(here / "model", here / "mistral")
    user, answer = "[INST] {{ m['content'] }} [/INST]", " {{ m['content'] }}{{ eos_token }}"
    turns = "{% for m in messages %}{% if m['role'] == 'user' %}" + user + "{% else %}" + answer
    template(turns + "{% endif %}{% endfor %}")(model)
    check_template(ChatEncoder(str(model)))
