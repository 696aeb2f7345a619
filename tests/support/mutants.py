"""Mutants of a module's formulas: one sign flipped or one term dropped, and the code to try it with.

What runs them against tests is `tests/mutate_objectives.py`.
"""

import ast
import copy
import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

MODULE_LEVEL = "<module>"

SWAPPED_OPERATORS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Gt: ast.Lt,
    ast.Lt: ast.Gt,
    ast.GtE: ast.LtE,
    ast.LtE: ast.GtE,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
# What a tie does is part of a formula: > and ≥ are different ones.
MOVED_TIES: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Gt: ast.GtE,
    ast.Lt: ast.LtE,
    ast.GtE: ast.Gt,
    ast.LtE: ast.Lt,
}
SWAPPED_NAMES = {
    name: other
    for pair in (
        ("max", "min"),
        ("maximum", "minimum"),
        ("amax", "amin"),
        ("argmax", "argmin"),
        ("fmax", "fmin"),
        ("clamp_max", "clamp_min"),
        ("floor", "ceil"),
        ("all", "any"),
    )
    for name, other in (pair, pair[::-1])
}
# The builtin `sum` has no `mean` to swap with, so these only as attributes.
SWAPPED_ATTRIBUTES = {"sum": "mean", "mean": "sum", "sums": "means", "means": "sums", "nansum": "nanmean"}
SWAPPED_KEYWORDS = {"min": "max", "max": "min"}
# Functions of one value that a mutant leaves out: f(x) becomes x. Without `detach` a label would get a gradient.
LEFT_OUT = frozenset(
    {
        *("abs", "sqrt", "rsqrt", "square", "exp", "expm1", "log", "log1p"),
        *("sigmoid", "logsigmoid", "softplus", "tanh", "relu", "clamp", "floor", "flip", "detach"),
    }
)
JOINED = frozenset(("cat", "stack"))  # an element of the list is a term
FUNCTION_NAMESPACES = frozenset(("torch", "F", "math"))


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One changed expression: where it is, what it was, what it became, and the code that replaces the function's."""

    file: str
    function: str  # qualified within its module; MODULE_LEVEL for the value of a constant
    line: int
    before: str
    after: str
    code: CodeType = field(repr=False)

    @property
    def change(self) -> str:
        return f"{self.before} → {self.after}"

    @property
    def key(self) -> tuple[str, str, str]:
        return self.file, self.function, self.change


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a node hangs in the tree: an attribute of its parent, or one position of a list in it."""

    parent: ast.AST
    name: str
    position: int | None

    def put(self, node: ast.AST) -> None:
        if self.position is None:
            setattr(self.parent, self.name, node)
        else:
            getattr(self.parent, self.name)[self.position] = node


def mutants_of(path: Path) -> list[Mutant]:
    """The mutants of every function, method and constant of a module, in the order of its source."""
    tree = ast.parse(path.read_text(), str(path))
    return [mutant for qualified, node in bodies(tree) for mutant in mutants_of_body(path, qualified, node)]


def bodies(tree: ast.Module) -> Iterator[tuple[str, ast.stmt]]:
    """Functions, methods, and constants computed at import. Fields of classes and type aliases hold no formula."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            for method in node.body:
                if isinstance(method, ast.FunctionDef):
                    yield f"{node.name}.{method.name}", method
        elif isinstance(node, ast.Assign):
            yield MODULE_LEVEL, node


def mutants_of_body(path: Path, qualified: str, body: ast.stmt) -> Iterator[Mutant]:
    for place, node in expressions(body):
        for changed in changes(node):
            place.put(changed)
            yield Mutant(
                file=path.name,
                function=qualified,
                line=node.lineno,
                before=ast.unparse(node),
                after=ast.unparse(changed),
                code=compiled(path, qualified, body),
            )
        place.put(node)


def compiled(path: Path, qualified: str, body: ast.stmt) -> CodeType:
    """A function's own code object; for a constant, the code of its assignment."""
    bare = body
    if isinstance(body, ast.FunctionDef):
        bare = copy.copy(body)
        bare.decorator_list = []
    module = compile(ast.fix_missing_locations(ast.Module(body=[bare], type_ignores=[])), str(path), "exec")
    if qualified == MODULE_LEVEL:
        return module
    name = qualified.rpartition(".")[2]
    return next(code for code in module.co_consts if isinstance(code, CodeType) and code.co_name == name)


def expressions(body: ast.stmt) -> Iterator[tuple[Place, ast.expr | ast.AugAssign]]:
    """What may be mutated. Not annotations, defaults (they are bound already), docstrings, asserts and raised
    messages, nor `is_no_formula`."""
    if not isinstance(body, ast.FunctionDef):
        yield from below(None, body)
        return
    for position, statement in enumerate(body.body):
        yield from below(Place(parent=body, name="body", position=position), statement)


def below(place: Place | None, node: ast.AST) -> Iterator[tuple[Place, ast.expr | ast.AugAssign]]:
    if isinstance(node, (ast.Assert, ast.Raise, ast.JoinedStr)) or is_docstring(node):
        return
    if isinstance(node, (ast.expr, ast.AugAssign)) and place is not None:
        yield place, node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "defaults", "kw_defaults") or (name == "value" and is_no_formula(node)):
            continue
        if isinstance(value, ast.AST):
            yield from below(Place(parent=node, name=name, position=None), value)
        elif isinstance(value, list):
            for position, item in enumerate(value):
                if isinstance(item, ast.AST):
                    yield from below(Place(parent=node, name=name, position=position), item)


def is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def is_no_formula(node: ast.AST) -> bool:
    """The number of an axis, and zip's check of lengths."""
    return isinstance(node, ast.keyword) and node.arg in ("dim", "strict")


def changes(node: ast.AST) -> Iterator[ast.AST]:
    """Every single change of one node; its children are changed on their own."""
    match node:
        case ast.BinOp():
            yield from changed_operation(node)
        case ast.AugAssign(target=target, op=ast.Add() | ast.Sub(), value=value):
            other = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
            yield ast.AugAssign(target=target, op=other, value=value)
        case ast.UnaryOp(op=ast.USub() | ast.Not() | ast.Invert(), operand=operand):
            yield operand
        case ast.Compare():
            yield from changed_comparison(node)
        case ast.BoolOp(op=op, values=values):
            yield ast.BoolOp(op=ast.Or() if isinstance(op, ast.And) else ast.And(), values=values)
        case ast.IfExp(body=one, orelse=other):
            yield one
            yield other
        case ast.Dict():
            yield from dropped_entries(node)
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            yield ast.Constant(value=value + 1)
        case ast.Call():
            yield from changed_call(node)


def changed_operation(node: ast.BinOp) -> Iterator[ast.expr]:
    """a+b: a−b, a, b. a−b: a+b, a, −b. a·b: a, b. a/b and a**b: a. Bits likewise; text is no formula."""
    left, right = node.left, node.right
    if any(isinstance(side, ast.JoinedStr) or is_text(side) for side in (left, right)):
        return
    match node.op:
        case ast.Add():
            yield ast.BinOp(left=left, op=ast.Sub(), right=right)
            yield left
            yield right
        case ast.Sub():
            yield ast.BinOp(left=left, op=ast.Add(), right=right)
            yield left
            yield ast.UnaryOp(op=ast.USub(), operand=right)
        case ast.Mult():
            yield left
            yield right
        case ast.Div() | ast.FloorDiv() | ast.Pow():
            yield left
        case ast.BitAnd() | ast.BitOr():
            other = ast.BitOr() if isinstance(node.op, ast.BitAnd) else ast.BitAnd()
            yield ast.BinOp(left=left, op=other, right=right)
            yield left
            yield right


def is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def dropped_entries(node: ast.Dict) -> Iterator[ast.Dict]:
    """A metric less."""
    entries = list(zip(node.keys, node.values, strict=True))
    for position in range(len(entries)):
        kept = [*entries[:position], *entries[position + 1 :]]
        yield ast.Dict(keys=[key for key, _ in kept], values=[value for _, value in kept])


def changed_comparison(node: ast.Compare) -> Iterator[ast.Compare]:
    for position, op in enumerate(node.ops):
        for table in (SWAPPED_OPERATORS, MOVED_TIES):
            if type(op) in table:
                ops = [*node.ops[:position], table[type(op)](), *node.ops[position + 1 :]]
                yield ast.Compare(left=node.left, ops=ops, comparators=node.comparators)


def changed_call(node: ast.Call) -> Iterator[ast.expr]:
    name = called_name(node)
    if isinstance(node.func, ast.Name) and name in SWAPPED_NAMES:
        yield replaced(node, func=ast.Name(id=SWAPPED_NAMES[name], ctx=ast.Load()))
    if isinstance(node.func, ast.Attribute):
        other = SWAPPED_NAMES.get(name) or SWAPPED_ATTRIBUTES.get(name)
        if other is not None:
            yield replaced(node, func=ast.Attribute(value=node.func.value, attr=other, ctx=ast.Load()))
    if name in LEFT_OUT:
        yield argument(node)
    if name in JOINED and node.args and isinstance(node.args[0], ast.List):
        elements = node.args[0].elts
        for position in range(len(elements)):
            joined = ast.List(elts=[*elements[:position], *elements[position + 1 :]], ctx=ast.Load())
            yield ast.Call(func=node.func, args=[joined, *node.args[1:]], keywords=node.keywords)
    if name == "where" and len(node.args) == 3:
        yield node.args[1]
        yield node.args[2]
    if name == "replace":
        for position in range(len(node.keywords)):
            kept = [*node.keywords[:position], *node.keywords[position + 1 :]]
            yield ast.Call(func=node.func, args=node.args, keywords=kept)
    yield from changed_keywords(node, swap_bounds=name == "clamp")


def changed_keywords(node: ast.Call, *, swap_bounds: bool) -> Iterator[ast.Call]:
    """clamp(min=…) ↔ clamp(max=…), and every flag the other way round."""
    for position, keyword in enumerate(node.keywords):
        changed: ast.keyword | None = None
        if is_no_formula(keyword):
            continue
        if swap_bounds and keyword.arg in SWAPPED_KEYWORDS and len(node.keywords) == 1:
            changed = ast.keyword(arg=SWAPPED_KEYWORDS[keyword.arg], value=keyword.value)
        elif isinstance(keyword.value, ast.Constant) and isinstance(keyword.value.value, bool):
            changed = ast.keyword(arg=keyword.arg, value=ast.Constant(value=not keyword.value.value))
        if changed is not None:
            keywords = [*node.keywords[:position], changed, *node.keywords[position + 1 :]]
            yield ast.Call(func=node.func, args=node.args, keywords=keywords)


def called_name(node: ast.Call) -> str:
    match node.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def replaced(node: ast.Call, *, func: ast.expr) -> ast.Call:
    return ast.Call(func=func, args=node.args, keywords=node.keywords)


def argument(node: ast.Call) -> ast.expr:
    """What the function is applied to: x in f(x), torch.f(x) and x.f()."""
    match node.func:
        case ast.Attribute(value=ast.Name(id=namespace)) if namespace in FUNCTION_NAMESPACES:
            return node.args[0]
        case ast.Attribute(value=value):
            return value
    return node.args[0]


def apply(mutant: Mutant, module: ModuleType) -> None:
    """Put a mutant in the place of the original, for everyone who has imported it. There is no way back: in a child."""
    if mutant.function == MODULE_LEVEL:
        exec(mutant.code, module.__dict__)
        return
    function = function_named(mutant.function, module)
    assert function.__code__.co_freevars == mutant.code.co_freevars, f"{mutant.function} closes over other names"
    function.__code__ = mutant.code


def function_named(qualified: str, module: ModuleType) -> FunctionType:
    """The plain function under a property, a static method, or a decorator that uses `functools.wraps`."""
    found: object = module
    for name in qualified.split("."):
        found = vars(found)[name]
    if isinstance(found, property):
        found = found.fget
    elif isinstance(found, (staticmethod, classmethod)):
        found = found.__func__
    function = inspect.unwrap(found)  # pyright: ignore[reportArgumentType]
    assert isinstance(function, FunctionType), f"{qualified} of {module.__name__} is no function"
    return function
