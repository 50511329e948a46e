"""How templates become HTML and Markdown: names come from the user's data and stay text in both."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


def html() -> Environment:
    """For pages: everything is escaped, `code` sets what stands between ticks, `data_uri` embeds a picture."""
    environment = _environment()
    environment.filters["data_uri"] = lambda svg: f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
    environment.filters["code"] = _code
    return environment


def markdown() -> Environment:
    """For Markdown: every text is escaped, `grid` makes a table of rows."""
    environment = _environment()
    environment.finalize = lambda value: _as_markdown(value) if isinstance(value, str) else value
    environment.filters["grid"] = _grid
    environment.filters["offenders"] = lambda finding: _grid(
        [[str(row.get(column, "")) for column in finding.columns] for row in finding.rows], finding.columns
    )
    return environment


def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    folder = files("recognizer.report") / "templates"
    return Environment(
        loader=FunctionLoader(lambda name: (folder / name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _grid(rows: Iterable[Iterable[str]], columns: Iterable[str]) -> Markup:
    """A Markdown table."""
    from markupsafe import Markup

    head = [escape_markdown(column) for column in columns]
    lines = [head, ["---"] * len(head), *([escape_markdown(cell) for cell in row] for row in rows)]
    return Markup("\n".join(f"| {' | '.join(line)} |" for line in lines))  # noqa: S704 (every cell was escaped)


def _code(text: str) -> Markup:
    """Escaped for HTML, with `this` in the face of code."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 (just escaped)


def _as_markdown(text: str) -> Markup:
    """Escaped for Markdown, and marked so that it is not escaped for HTML on top."""
    from markupsafe import Markup

    return text if isinstance(text, Markup) else Markup(escape_markdown(text))  # noqa: S704 (just escaped)


# What Markdown (or HTML in it) would read as more than text; `accuracy 0.874 < 0.900` stays as readable as it is.
_MARKS = re.compile(r"[\\`*|]|~(?=~)|\](?=[(\[:])|(?<!\w)_|_(?!\w)|^[#>](?=.)|^[+-](?=[\s+-])")
_TAGS = re.compile(r"<(?=[A-Za-z/!?])|&(?=#?\w+;)")


def escape_markdown(text: str) -> str:
    """Text that shows as it is, on one line, also in a table: names come from the user's data."""
    one_line = " ".join(text.split())
    marked = _MARKS.sub(lambda found: f"\\{found.group()}", one_line)
    return _TAGS.sub(lambda found: "&lt;" if found.group() == "<" else "&amp;", marked)


def tidy(text: str) -> str:
    """Without the empty lines that the parts of a template leave where they have nothing to say."""
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"
