"""Write what the documentation says of parts, configuration and files, from the sources themselves: `make docs`.

python docs/generate.py            # writes tables between marks, and whole pages
python docs/generate.py --check    # exit code 1, and the names of pages, where one is not what would be written
"""

import argparse
import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args

import yaml

from roundelay.launch.config.loading import compose_dict, flatten
from roundelay.orchestrator.config import schema
from roundelay.orchestrator.data import records
from roundelay.orchestrator.data import sources as prompts_config
from roundelay.orchestrator.ledger.layout import STAGES
from roundelay.orchestrator.parts.registry import Group, kinds
from roundelay.recipes import shipped  # noqa: F401 - registers the parts

DOCS = Path(__file__).parent
CONFIGS = DOCS.parent / "configs"
PAGES = {
    "new_prompts": "new-prompts.md",
    "generation": "generation.md",
    "judge": "pairing.md",
    "pairing": "pairing.md",
    "filter": "pairing.md",
    "conditioning": "pairing.md",
    "objective": "objectives.md",
}
QUOTES = "'\""
ARXIV = re.compile(r"arXiv (\d{4}\.\d{5})")


def names_by_kind(group: str) -> dict[str, list[str]]:
    """The YAML files of a group by the kind that each sets, itself or by the one that it goes on from."""
    found: dict[str, list[str]] = {}
    for path in sorted((CONFIGS / group).glob("*.yaml")):
        values = yaml.safe_load(path.read_text())
        while "kind" not in values:
            (before, *_) = [name for name in values["defaults"] if name != "_self_"]
            values = yaml.safe_load((CONFIGS / group / f"{before}.yaml").read_text())
        found.setdefault(values["kind"], []).append(path.stem)
    return found


def said_of(cls: type) -> str:
    """The first paragraph of a class's docstring, papers as links."""
    first, _, _ = (inspect.getdoc(cls) or "").partition("\n\n")
    return ARXIV.sub(r"[\1](https://arxiv.org/abs/\1)", " ".join(first.split())).replace("|", r"\|")


def shipped_kinds(group: str) -> dict[str, type]:
    """The kinds of a group that are no user's."""
    return {kind: cls for kind, cls in kinds(group).items() if cls.__module__.startswith("roundelay.")}


def parts_table(group: str) -> str:
    """A row a kind: its YAML files, what it does, and its fields."""
    files = names_by_kind(group)
    rows = [f"| `{group}=` | what it does | fields |", "|---|---|---|"]
    for kind, cls in sorted(shipped_kinds(group).items(), key=lambda item: (item[0] == "none", item[0])):
        own = [f"`{field.name}`" for field in fields(cls) if field.name != "kind"]
        names = sorted(files[kind], key=lambda name: (name != kind, name))
        rows.append(f"| {', '.join(f'`{name}`' for name in names)} | {said_of(cls)} | {', '.join(own) or '–'} |")
    return "\n".join(rows)


def with_parts(text: str) -> str:
    """A page with the tables between its marks written anew."""
    for group in get_args(Group):
        begin, end = f"<!-- parts of {group}: written by `make docs` -->", f"<!-- end of parts of {group} -->"
        if begin in text:
            before, rest = text.split(begin)
            text = f"{before}{begin}\n{parts_table(group)}\n{end}{rest.split(end)[1]}"
    return text


# The configuration -----------------------------------------------------------------------------------------------


def comments_of(cls: type) -> dict[str, str]:
    """What is said of a class's fields, beside them or in the lines before."""
    source = textwrap.dedent(inspect.getsource(cls))
    lines, found = source.splitlines(), {}
    (body,) = ast.parse(source).body
    assert isinstance(body, ast.ClassDef)
    for node in body.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            words = [lines[node.end_lineno - 1][node.end_col_offset :].partition("#")[2].strip()]  # type: ignore
            above = node.lineno - 2
            while above >= 0 and lines[above].strip().startswith("#"):
                words.insert(0, lines[above].strip().lstrip("# "))
                above -= 1
            found[node.target.id] = " ".join(filter(None, words))
    return found


def type_words(annotation: str) -> str:
    """An annotation as a user reads it.

    Example:
        >>> type_words('PositiveInt | None'), type_words('Literal["keep", "drop"]')
        ('whole number above 0, or null', '`keep` or `drop`')
    """
    for pattern, word in TYPES:
        annotation = re.sub(pattern, word, annotation)
    choices = re.sub(r'Literal\[(.*?)\]', lambda match: " or ".join(
        f"`{value.strip().strip(QUOTES)}`" for value in match[1].split(",")), annotation)  # fmt: skip
    return choices.replace(" | None", ", or null").replace(" | ", " or ").replace("|", r"\|")


TYPES = (
    (r"Annotated\[int, Field\(ge=2\)\]", "whole number from 2"),
    (r"Annotated\[float, Field\(gt=0, le=1\)\]", "number above 0, at most 1"),
    (r"Annotated\[float, Field\(ge=0, le=0\.5\)\]", "number from 0 to 0.5"),
    (r"Annotated\[float, Field\(allow_inf_nan=False\)\]", "number"),
    (r"Annotated\[str, Field\(.*?\)\]", "text"),
    (r"Annotated\[(tuple\[.*\]), Field\(min_length=(\d)\)\]", r"\1 of \2 or more"),
    (r"Annotated\[Frozen\[Annotated\[(\w+)Part.*?\]\], Field\(min_length=(\d)\)\]", r"\2 or more \1s by name"),
    (r"Annotated\[Frozen\[(\w+)\], Field\(min_length=(\d)\)\]", r"\1 by name, \2 or more"),
    (r"Annotated\[(\w+)Part, AnyKind.*\]", r"a \1"),
    (r"Any(NewPrompts|Generation|Judge|Pairing|Filter|Conditioning|Objective)\b", r"a part"),
    (r"Frozen\[(\w+)\]", r"\1 by name"),
    (r"tuple\[([^\[\]]*(?:\[[^\[\]]*\])?[^\[\]]*), \.\.\.\]", r"list of \1"),
    (r"\bPositiveInt\b", "whole number above 0"), (r"\bNonNegativeInt\b", "whole number from 0"),
    (r"\bPositiveFloat\b", "number above 0"), (r"\bNonNegativeFloat\b", "number from 0"),
    (r"\bAboveOne\b", "number above 1"), (r"\bBelowHalf\b", "number from 0, below 0.5"),
    (r"\bBelowOne\b", "number from 0, below 1"), (r"\bFraction\b", "number from 0 to 1"),
    (r"\bTemperature\b", "0, or 0.01 to 2"), (r"\bTopP\b", "number above 0, at most 1"),
    (r"\bJsonText\b", "mapping of another library's settings"), (r"\bFunctionName\b", "`package.module:name`"),
    (r"\bModuleName\b", "`package.module`"), (r"\bText\b|\bstr\b", "text"), (r"\bName\b", "name"),
    (r"\bint\b", "whole number"), (r"\bfloat\b", "number"), (r"\bbool\b", "true or false"),
    (r"datetime\.date", "date"),
)  # fmt: skip


def annotations_of(cls: type) -> dict[str, str]:
    """The types of a class's fields, in the order of its fields, as they are written in it or in its bases."""
    found: dict[str, str] = {}
    for one in reversed(cls.__mro__):
        if is_dataclass(one):
            (body,) = ast.parse(textwrap.dedent(inspect.getsource(one))).body
            assert isinstance(body, ast.ClassDef)
            found |= {
                node.target.id: ast.unparse(node.annotation)
                for node in body.body
                if isinstance(node, ast.AnnAssign)
                and isinstance(node.target, ast.Name)
                and "ClassVar" not in ast.unparse(node.annotation)
            }
    return found


def keys_table(cls: type, prefix: str, defaults: dict[str, Any]) -> str:
    """A row a key of one class, and of the classes that its fields hold."""
    return "\n".join(["| key | type | default | |", "|---|---|---|---|", *_key_rows(cls, prefix, defaults)])


def _key_rows(cls: type, prefix: str, defaults: dict[str, Any]) -> Iterator[str]:
    bases = [one for one in reversed(cls.__mro__) if is_dataclass(one)]
    said = {name: words for one in bases for name, words in comments_of(one).items()}
    for name, annotation in annotations_of(cls).items():
        if name == "kind":
            continue
        key, known = f"{prefix}.{name}".lstrip("."), vars(sys.modules[cls.__module__])
        alone = annotation.removesuffix(" | None")
        if is_dataclass(inner := known.get(alone)):
            optional, text = "null, or its keys" if alone != annotation else "its keys", said.get(name, "")
            default = shown(defaults[key]) if key in defaults else "–"
            yield f"| `{key}` | {optional} | {default} | {text} |"
            yield from () if inner in SECTIONS.values() else _key_rows(inner, key, defaults)
            continue
        if (alias := known.get(alone)) is not None and "Literal" in repr(alias):
            annotation = annotation.replace(alone, repr(alias).replace("typing.", ""))
        below = any(other.startswith(f"{key}.") for other in defaults)
        default = "–" if below or key not in defaults else shown(defaults[key])
        yield f"| `{key}` | {type_words(annotation)} | {default} | {said.get(name, '').replace('|', chr(92) + '|')} |"


def shown(value: Any) -> str:
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    text = text.replace(f"{CONFIGS}/", "").replace(str(Path.home()), "~")
    text = text if len(text) <= 40 else f"{text[:37]}…"
    return f"`{text}`" if text else "empty"


SECTIONS = {
    "run": schema.RunConfig, "model": schema.ModelConfig, "prompts": prompts_config.PromptsConfig,
    "learner": schema.LearnerConfig, "learner.selection": schema.SelectionConfig,
    "learner.extrapolation": schema.ExtrapolationConfig, "learner.lora": schema.LoraConfig,
    "evaluation": schema.EvaluationConfig, "evaluation.canaries": schema.CanariesConfig,
    "cluster": schema.ClusterConfig, "cluster.rollout": schema.RolloutActors,
    "cluster.learner": schema.LearnerActors, "cluster.scorer": schema.ScorerActors,
    "tracking": schema.TrackingConfig, "phases.NAME": schema.PhaseConfig, "recipe": schema.RecipeInfo,
}  # fmt: skip


def configuration() -> str:
    """The page of every key."""
    defaults = flatten(compose_dict([], default_name="NAME", complete=False))
    text = [
        "# Configuration",
        "",
        "Every key, with its type and its default: that of `roundelay run` without any override (the recipe",
        "`self_rewarding` on `smollm2_135m`). `roundelay run --cfg` prints what a run would have. Written by",
        "`make docs` from the schema.",
        "",
    ]
    (parts,) = [row for row in _key_rows(schema.Config, "", defaults) if row.startswith("| `parts`")]
    text += ["| key | type | default | |", "|---|---|---|---|", parts, ""]
    for name, cls in SECTIONS.items():
        text += [f"## {name}", "", said_of(cls), "", keys_table(cls, name, defaults), ""]
    for group in get_args(Group):
        text += [f"## {group}", "", f"Chosen by `{group}=NAME`: [what each does]({PAGES[group]}).", ""]
        for kind, cls in sorted(shipped_kinds(group).items()):
            if len(fields(cls)) > 1:
                first = sorted(names_by_kind(group)[kind], key=lambda name: (name != kind, name))[0]
                values = yaml.safe_load((CONFIGS / group / f"{first}.yaml").read_text())
                text += [f"### {group}={kind}", "", keys_table(cls, group, flatten({group: values})), ""]
    return "\n".join(text)


# Files -----------------------------------------------------------------------------------------------------------


def files() -> str:
    """The page of what a run directory holds."""
    text = [
        "# Files of a run",
        "",
        "What a run directory holds is listed at the top of the ledger's module. A stage's records are parquet files,",
        '`rounds/NNN/STAGE/shard-IIIII.parquet`: `pandas.read_parquet("runs/demo/rounds/001/pairs")` reads a stage.',
        "Written by `make docs` from the stage table.",
        "",
        "| stage | what happens | a row is | the update depends on it |",
        "|---|---|---|---|",
    ]
    for stage in STAGES.values():
        name = f"{stage.name}[-SAMPLER]" if stage.of_samplers else stage.name
        anchor = stage.records.__name__.lower()
        needed = "yes" if stage.before_update else "no"
        text.append(f"| `{name}` | {stage.label} | [{stage.records.__name__}](#{anchor}) | {needed} |")
    waiting = list(dict.fromkeys(stage.records for stage in STAGES.values()))
    for cls in waiting:  # grows by the records that records hold
        summary = inspect.getdoc(cls).partition("Example:")[0].split()  # type: ignore
        text += ["", f"## {cls.__name__}", "", " ".join(summary), "", "| column | type | |", "|---|---|---|"]
        said = comments_of(cls)
        for name, annotation in annotations_of(cls).items():
            inner = [one for one in vars(records).values() if inspect.isclass(one) and is_dataclass(one)]
            for other in (one for one in inner if re.search(rf"\b{one.__name__}\b", annotation)):
                waiting += [] if other in waiting else [other]
                annotation = re.sub(
                    rf"\b{other.__name__}\b", f"[{other.__name__}](#{other.__name__.lower()})", annotation
                )
            text.append(f"| `{name}` | {type_words(annotation)} | {said.get(name, '')} |")
    return "\n".join([*text, ""])


def pages() -> Iterator[tuple[Path, str]]:
    """Every page, as it should be."""
    for name in sorted(set(PAGES.values())):
        yield DOCS / name, with_parts((DOCS / name).read_text())
    yield DOCS / "configuration.md", configuration()
    yield DOCS / "files.md", files()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a page would change")
    check = parser.parse_args().check
    changed = [(path, text) for path, text in pages() if not path.exists() or path.read_text() != text]
    for path, text in changed:
        print(f"{path.name}: {'is not what the sources say: run `make docs`' if check else 'written'}")
        if not check:
            path.write_text(text)
    return int(check and bool(changed))


if __name__ == "__main__":
    sys.exit(main())
