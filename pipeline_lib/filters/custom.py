"""A user's own rules: expressions over signals, read from text without running it.

The notation is that of Polars in Python, with `pl.col("name")` or just `name` for a column:

    gopher_quality_num_words < 80 and language_score < 0.9
    (pl.col("c4_num_sentences") < 3) & pl.col("language").is_in(["en", "de"])

Only what looks at one document at a time is known here, so that a decision cannot depend on which documents share a
part: comparisons (chained ones too), `and or not & | ~`, arithmetic, `in`, `abs() min() max()`, and some methods.
"""

import ast
import difflib
import operator
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import reduce
from typing import Any, ClassVar

import polars as pl

_NAME = re.compile(r"[a-z][a-z0-9_]*")

_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.In: lambda column, values: column.is_in(values),
    ast.NotIn: lambda column, values: ~column.is_in(values),
}
_OPERATIONS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
}
_SIGNS: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.invert,
    ast.Invert: operator.invert,
}
_METHODS = (
    *("abs", "sqrt", "log", "log10", "exp", "round", "floor", "ceil", "clip", "add", "sub", "mul", "truediv"),
    *("eq", "ne", "lt", "le", "gt", "ge", "is_between", "is_in", "and_", "or_", "not_"),
    *("is_null", "is_not_null", "is_nan", "is_finite", "fill_null", "fill_nan"),
)
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": lambda value: value.abs(),
    "min": lambda *values: pl.min_horizontal(*values),
    "max": lambda *values: pl.max_horizontal(*values),
}


class ExpressionError(ValueError):
    """An expression that cannot be read; the message says what was found and what would do."""


@dataclass(frozen=True, kw_only=True)
class CustomRule:
    """Drop the documents for which an expression over their signals is true.

    Attributes:
        name: the reason is `custom.<name>`.
        drop_where: the expression; see the module. Where it is null for a document, that document stays.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    name: str
    drop_where: str

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"name={self.name!r}: expected lower-case letters, digits and underscores")
        try:
            parse_expression(self.drop_where)
        except ExpressionError as error:
            raise ValueError(f"custom rule {self.name!r}: {error}") from error


@dataclass(frozen=True, kw_only=True)
class CustomCondition:
    """Broken where the expression is true; the values of its columns are the evidence."""

    rule: str
    expression: str

    @property
    def columns(self) -> tuple[str, ...]:
        return columns_of(self.expression)

    @property
    def threshold(self) -> None:
        return None

    def broken(self) -> pl.Expr:
        return parse_expression(self.expression).fill_null(value=False)

    def value(self) -> pl.Expr:
        return pl.lit(None, pl.Float64)

    def evidence(self) -> pl.Expr:
        pieces = [pl.format(f"{column}={{}}", pl.col(column)) for column in self.columns]
        return pl.concat_str(pieces, separator=", ", ignore_nulls=True)

    def drops(self) -> str:
        return self.expression


def check_columns(rule: CustomRule, known: Collection[str]) -> None:
    """Refuse an expression that looks at no column, at one that is not there, or that is not a yes or no.

    Raises:
        ValueError: names the rule and the column, and the nearest one that there is.
    """
    columns = columns_of(rule.drop_where)
    if not columns:
        raise ValueError(
            f"custom rule {rule.name!r}: {rule.drop_where!r} names no signal: it says the same of every document"
        )
    for column in columns:
        if column not in known:
            close = [name for name in sorted(known) if column in name][:8]
            close = close or difflib.get_close_matches(column, sorted(known), n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(sorted(known))}"
            raise ValueError(f"custom rule {rule.name!r}: no signal is called {column!r}; {hint}")
    row = pl.DataFrame({column: "en" if column == "language" else 1.0 for column in columns})
    try:
        (kind,) = row.select(broken=parse_expression(rule.drop_where)).dtypes
    except (pl.exceptions.PolarsError, TypeError) as error:
        raise ValueError(f"custom rule {rule.name!r}: {rule.drop_where!r}: {error}") from error
    if kind != pl.Boolean:
        raise ValueError(
            f"custom rule {rule.name!r}: {rule.drop_where!r} gives {kind}, expected a yes or no such as "
            f"{columns[0]} < 10"
        )


def columns_of(expression: str) -> tuple[str, ...]:
    """The columns that an expression looks at, each once, in alphabetical order."""
    return tuple(sorted(set(parse_expression(expression).meta.root_names())))


def parse_expression(text: str) -> pl.Expr:
    """The expression that a text writes down.

    Raises:
        ExpressionError: not an expression, or one that is not among those known here.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ExpressionError(f"{text!r} is no expression ({error}); expected such as num_chars < 200") from error
    try:
        parsed = _build(tree.body, text)
    except RecursionError as error:
        raise ExpressionError(f"{text[:60]!r}... nests too deep") from error
    except (TypeError, ValueError, AttributeError, pl.exceptions.PolarsError) as error:
        if isinstance(error, ExpressionError):
            raise
        raise ExpressionError(f"{text!r}: {error}") from error
    return parsed if isinstance(parsed, pl.Expr) else pl.lit(parsed)


def _build(node: ast.expr, text: str) -> Any:
    """A Polars expression, or the plain value that a part of it writes down."""
    match node:
        case ast.Constant(value=bool() | int() | float() | str() | None):
            return node.value
        case ast.Name():
            return pl.col(node.id)
        case ast.List() | ast.Tuple() | ast.Set():
            return [_build(each, text) for each in node.elts]
        case ast.BoolOp():
            join = operator.and_ if isinstance(node.op, ast.And) else operator.or_
            return reduce(join, [_build(each, text) for each in node.values])
        case ast.UnaryOp():
            return _SIGNS[type(node.op)](_build(node.operand, text))
        case ast.BinOp() if type(node.op) in _OPERATIONS:
            return _OPERATIONS[type(node.op)](_build(node.left, text), _build(node.right, text))
        case ast.Compare() if all(type(each) in _COMPARISONS for each in node.ops):
            values = [_build(each, text) for each in (node.left, *node.comparators)]
            pairs = zip(node.ops, values, values[1:], strict=False)
            return reduce(operator.and_, [_COMPARISONS[type(each)](left, right) for each, left, right in pairs])
        case ast.Call(func=ast.Name(id=name)) if name in _FUNCTIONS and not node.keywords:
            return _FUNCTIONS[name](*[_build(each, text) for each in node.args])
        case ast.Call(func=ast.Attribute(value=ast.Name(id="pl"), attr="col"), args=[ast.Constant(value=str(column))]):
            return pl.col(column)
        case ast.Call(func=ast.Attribute(value=ast.Name(id="pl"), attr="lit"), args=[ast.Constant() as value]):
            return pl.lit(_build(value, text))
        case ast.Call(func=ast.Attribute(value=inner, attr=method)) if method in _METHODS and inner is not None:
            arguments = [_build(each, text) for each in node.args]
            named = {each.arg: _build(each.value, text) for each in node.keywords if each.arg is not None}
            return getattr(_build(inner, text), method)(*arguments, **named)
    raise ExpressionError(
        f"{text!r}: {ast.unparse(node)!r} is not known here; expected columns, numbers, comparisons, and/or/not, "
        f"arithmetic, or one of the methods {', '.join(_METHODS)}"
    )
