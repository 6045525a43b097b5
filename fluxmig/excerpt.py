"""Text, line and column -> the lines around, with a caret."""

from __future__ import annotations

import unicodedata

__all__ = ["excerpt"]

_BEFORE, _AFTER = 2, 1
_WIDTH = 120
# A file's escape characters must not reach the terminal: their pictures (Unicode U+2400 to U+2421) do.
_CONTROLS = {code: 0x2400 + code for code in range(32) if chr(code) != "\t"} | {127: 0x2421}


def excerpt(text: str, line: int, column: int | None = None) -> str:
    """The line and its neighbours, numbered, with a caret under the column.

    Long lines are cut to a window around the column. The caret stands right below the character also
    behind tabs, wide characters (East Asian Width W and F, Unicode TR11) and combining marks.

    Args:
        text: The whole text.
        line: From 1.
        column: From 1, in characters; None for no caret.
    """
    numbered = _lines_around(text, line)
    margin = len(str(numbered[-1][0])) if numbered else 1
    out: list[str] = []
    for number, content in numbered:
        at = column - 1 if column is not None and number == line else None
        shown, offset = _window(content, at or 0)
        out.append(f"  {number:>{margin}} | {shown}".rstrip())
        if at is not None:
            lead = "".join(_blank(character) for character in shown[: at - offset])
            out.append(f"  {'':>{margin}} | {lead}^")
    return "\n".join(out)


def _lines_around(text: str, line: int) -> list[tuple[int, str]]:
    """The numbered lines around, found without splitting a text of many megabytes."""
    start = 0
    for _ in range(max(line - 1 - _BEFORE, 0)):
        start = text.find("\n", start) + 1
    first = max(line - _BEFORE, 1)
    found: list[tuple[int, str]] = []
    for number in range(first, line + _AFTER + 1):
        end = text.find("\n", start)
        content = text[start:] if end < 0 else text[start:end]
        if content.strip() or number <= line:
            found.append((number, content.rstrip("\r").translate(_CONTROLS)))
        if end < 0:
            break
        start = end + 1
    return found


def _window(content: str, at: int) -> tuple[str, int]:
    """The part of a line that is shown, and the offset of its first character; an ellipsis marks a cut."""
    if len(content) <= _WIDTH:
        return content, 0
    start = max(0, at - _WIDTH // 2)
    end = min(len(content), start + _WIDTH)
    head, tail = "…" if start else "", "…" if end < len(content) else ""
    return head + content[start:end] + tail, start - len(head)


def _blank(character: str) -> str:
    if character == "\t":
        return "\t"
    if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return ""
    return "  " if unicodedata.east_asian_width(character) in "WF" else " "
