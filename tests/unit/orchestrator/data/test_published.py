"""Published data sets, of excerpts in their shape: read to the records that a person reads, or refused by name."""

import json
from pathlib import Path
from typing import Any

import pytest

from roundelay.orchestrator.data.records import Prompt
from roundelay.orchestrator.data.rows import placed_prompts
from roundelay.orchestrator.data.sources import PromptsConfig, PromptSource, SeedSource
from roundelay.orchestrator.errors import ConfigError

PUBLISHED = Path(__file__).parents[3] / "support" / "published"
Read = tuple[list[Prompt], list[str]]


def read(path: Path, responses: tuple[str, ...] = (), attributes: tuple[str, ...] = (), **values: Any) -> Read:
    """The prompts of a file, and why rows were dropped."""
    source = PromptSource(path=str(path))
    seed = SeedSource(path=str(path), split="train", responses=("completion",))
    settings = {"prompt_column": "prompt", "id_column": None, "system": None, "malformed": "drop", **values}
    config = PromptsConfig(train=source, heldout=source, seed=seed, **settings)
    dropped: list[str] = []
    field = "prompts.seed.path" if responses else "prompts.train.path"
    placed = placed_prompts(source, config, field, responses, attributes, lambda error: dropped.append(error.what))
    return [prompt for _, prompt in placed], dropped


def said(prompt: Prompt) -> str:
    """A prompt's turns, by their speakers' first letters."""
    return " | ".join(f"{message.role[0]}: {message.content}" for message in prompt.messages)


def asked(name: str, **values: Any) -> list[str]:
    return [said(prompt) for prompt in read(PUBLISHED / name, **values)[0]]


def answered(name: str, *responses: str, **values: Any) -> list[tuple[str, tuple[str, ...]]]:
    return [(said(prompt), prompt.responses) for prompt in read(PUBLISHED / name, responses, **values)[0]]


def refusal(name: str, responses: tuple[str, ...] = (), **values: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        read(PUBLISHED / name, responses, malformed="refuse", **values)
    return f"{caught.value.what} | {caught.value.remedy}"


def test_hh_is_split_at_its_marks() -> None:
    """A mark within a sentence is text; a row whose pair answers two questions, or has an empty answer, is dropped."""
    prompts, dropped = read(PUBLISHED / "hh.jsonl", ("chosen", "rejected"), format="hh")
    assert [(said(prompt), prompt.responses) for prompt in prompts] == [
        ("u: Which wood floats best?", ("Balsa, by far.", "Granite.")),
        (
            'u: My cat sneezes. | a: Since when? | u: Since Monday. It met a man called "Human: the cat".',
            ("See a vet if it lasts.", "Ignore it."),
        ),
    ]
    assert [text.partition(": ")[0].rpartition(", ")[2] for text in dropped] == ["line 3", "line 4"]
    assert "differ before their last answers" in dropped[1]
    assert asked("hh.jsonl", format="hh")[2:] == ["u: Are you there?", "u: Name a colour. | a: Red. | u: Another?"]


def test_alpacas_input_is_part_of_what_is_asked() -> None:
    expected = [
        "u: Name three rivers of Europe.",
        "u: Put the sentence into the past tense.\n\nShe walks to work.",
        "u: Say how tall a giraffe is.",
        "u: Write a haiku about fog.",
    ]
    assert asked("alpaca.json", format="alpaca") == expected
    found = answered("alpaca.json", "completion", format="alpaca")
    assert found[1] == (expected[1], ("She walked to work.",)) and len(found) == 3
    assert asked("dolly.jsonl", format="alpaca") == [
        "u: When did the bridge open?\n\nThe bridge was begun in 1894 and opened in 1902.",
        "u: Give me a name for a grey cat.",
    ]


def test_sharegpts_conversations_are_asked_up_to_the_last_answer() -> None:
    prompts, dropped = read(PUBLISHED / "sharegpt.json", ("completion",), format="conversation")
    assert [(said(prompt), prompt.responses) for prompt in prompts] == [
        ("u: How do I boil an egg? | a: Eight minutes. | u: And soft?", ("Five.",)),
        ("a: Welcome back. | u: Go on, please.", ("Where were we?",)),
        ("s: Answer in rhyme. | u: Who are you?", ("A voice that's new.",)),
    ]
    assert len(dropped) == 2 and "row 4" in dropped[0] and "row 5" in dropped[1]


def test_ultrafeedback_is_read_for_its_prompts_and_binarized_for_its_pairs() -> None:
    assert asked("ultrafeedback.jsonl", prompt_column="instruction") == [
        "u: Sketch a plan for a herb garden.",
        "u: Do fish sleep?",
    ]
    prompts, dropped = read(PUBLISHED / "ultrafeedback_binarized.jsonl", ("chosen", "rejected"))
    assert [(said(prompt), prompt.responses) for prompt in prompts] == [
        ("u: Why is the sea salt?", ("Rivers carry it in.", "Fish."))
    ]
    assert len(dropped) == 1 and "line 2: column 'rejected' holds an empty response" in dropped[0]


def test_nectars_answers_are_ranked() -> None:
    assert answered("nectar.jsonl", "answers", format="nectar") == [
        ("u: Why do leaves turn red?",
         ("The green goes first; anthocyanin is made.", "Sugar makes pigment.", "Paint.")),
        ("u: Hi | a: Hello, what is it? | u: A rhyme for month?", ("There is none.", "Moth.")),
    ]  # fmt: skip
    assert answered("nectar.jsonl", "chosen", "rejected", format="nectar")[0][1] == (
        "The green goes first; anthocyanin is made.", "Paint.",
    )  # fmt: skip


def test_argillas_pairs_have_their_system_messages_and_histories() -> None:
    assert answered("argilla_orca.jsonl", "chosen", "rejected", format="orca") == [
        ("s: You are a poet. | u: Describe snow.", ("A hush that falls.", "Frozen water.")),
        ("u: Add 2 and 3.", ("5", "6")),
    ]
    assert answered("argilla_capybara.jsonl", "chosen", "rejected") == [
        ("u: What is moss? | a: A small plant. | u: Does it flower?", ("No: spores.", "Yes, in May."))
    ]


def test_helpsteers_rows_are_responses_with_their_labels() -> None:
    """Two rows with one prompt have two ids; the first is that of the prompt alone."""
    attributes = ("helpfulness", "verbosity")
    prompts, _ = read(PUBLISHED / "helpsteer.jsonl", ("response",), attributes)
    assert [(said(p), p.responses, p.labels) for p in prompts] == [
        ("u: Summarise: bees dance.", ("Bees dance to point the way.",), (4.0, 1.0)),
        ("u: Summarise: bees dance.", ("Bees.",), (0.0, 0.0)),
    ]
    assert prompts[0].id != prompts[1].id
    assert prompts[0].id == read(PUBLISHED / "helpsteer.jsonl")[0][0].id
    assert asked("helpsteer2.jsonl", format="helpsteer2") == [
        "u: What is a fugue?",
        "u: What is a canon? | a: A strict one. | u: And a round?",
    ]


def test_pkus_better_response_is_chosen() -> None:
    jar, box = "u: How do I open a stuck jar?", "u: How do I lift a heavy box?"
    assert answered("pku.jsonl", "chosen", "rejected", format="pku") == [
        (jar, ("Warm the lid under the tap.", "Pull.")),
        (box, ("Bend your knees.", "Fast.")),
    ]
    safer = answered("pku.jsonl", "chosen", "rejected", format="pku_safer")
    assert safer[0] == (jar, ("Pull.", "Warm the lid under the tap."))


def test_oassts_prompts_are_those_that_begin_a_tree() -> None:
    assert asked("oasst.jsonl", format="oasst") == ["u: How are pearls made?", "u: ¿Qué hora es?"]


def test_ultrachat_and_guanaco_are_conversations() -> None:
    assert answered("ultrachat.jsonl", "completion", format="conversation") == [
        ("u: How is paper made? | a: From pulp. | u: And before pulp?", ("From rags.",)),
        ("u: Name a knot.", ("The bowline.",)),
    ]
    assert asked("ultrachat_200k.jsonl", format="conversation") == [
        "u: How is glass made? | a: From sand. | u: Which sand?"
    ]
    assert asked("guanaco.jsonl", prompt_column="text", format="guanaco") == [
        "u: What is tin? | a: A metal. | u: Its symbol?"
    ]


@pytest.mark.parametrize(
    ("name", "responses", "values", "says"),
    [
        ("hh.jsonl", (), {}, ["HH", "prompts.format=hh"]),
        ("hh.jsonl", ("chosen", "rejected"), {}, ["a transcript of several turns", "prompts.seed.format=hh"]),
        ("hh.jsonl", (), {"prompt_column": "chosen"}, ["a transcript of several turns", "prompts.format=hh"]),
        ("alpaca.json", (), {"prompt_column": "instruction"}, ["'input' belongs to the prompt", "format=alpaca"]),
        ("alpaca.json", (), {}, ["Alpaca", "prompts.format=alpaca"]),
        ("dolly.jsonl", (), {"prompt_column": "instruction"}, ["'context' belongs", "Dolly", "format=alpaca"]),
        ("sharegpt.json", (), {}, ["ShareGPT", "prompts.format=conversation"]),
        ("sharegpt.json", (), {"prompt_column": "conversations"}, ["malformed", "prompts.format=conversation"]),
        ("ultrafeedback.jsonl", (), {}, ["UltraFeedback", "prompts.prompt_column=instruction"]),
        ("nectar.jsonl", (), {}, ["transcript", "Nectar", "prompts.format=nectar"]),
        ("argilla_orca.jsonl", (), {}, ["argilla's Orca", "format=orca"]),
        ("argilla_orca.jsonl", ("chosen", "rejected"), {"prompt_column": "input"},
         ["'system' belongs to the prompt", "prompts.seed.format=orca"]),
        ("helpsteer2.jsonl", (), {}, ["transcript", "prompts.format=helpsteer2"]),
        ("pku.jsonl", ("response_0", "response_1"), {}, ["better_response_id", "PKU-SafeRLHF", "format=pku"]),
        ("oasst.jsonl", (), {"prompt_column": "text"}, ["one message of a tree", "OASST", "prompts.format=oasst"]),
        ("ultrachat.jsonl", (), {}, ["UltraChat", "prompts.format=conversation"]),
        ("ultrachat_200k.jsonl", (), {"prompt_column": "messages"},
         ["the assistant's", "prompts.format=conversation"]),
        ("guanaco.jsonl", (), {"prompt_column": "text"}, ["transcript", "prompts.format=guanaco"]),
        ("shp.jsonl", ("human_ref_A", "human_ref_B"), {"prompt_column": "history"}, ["'labels'", "SHP"]),
        ("arena.jsonl", (), {}, ["Chatbot Arena", "winner"]),
        ("webgpt.jsonl", (), {}, ["WebGPT", "scores"]),
    ],
)  # fmt: skip
def test_what_would_be_read_wrongly_is_refused_by_name_with_the_override_that_reads_it(
    name: str, responses: tuple[str, ...], values: dict[str, Any], says: list[str]
) -> None:
    message = refusal(name, responses, **values)
    assert all(text in message for text in says), message


def test_a_column_is_taken_as_it_is_on_demand(tmp_path: Path) -> None:
    """Whoever means it says `prompts.format=columns`."""
    assert asked("alpaca.json", prompt_column="instruction", format="columns")[1] == (
        "u: Put the sentence into the past tense."
    )
    path = tmp_path / "quotes.jsonl"
    path.write_text(json.dumps({"prompt": "\n\nHuman: Hi\n\nAssistant: Ho"}) + "\n")
    assert read(path, format="columns")[0][0].messages[0].content.startswith("\n\nHuman")
