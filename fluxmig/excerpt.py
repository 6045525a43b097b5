"""Bytes and an offset -> the lines around, with a caret."""

from __future__ import annotations

import unicodedata

__all__ = ["excerpt", "visible"]

_BEFORE, _AFTER = 2, 1
_WIDTH = 120
# A file's escape characters must not reach the terminal: their pictures (Unicode U+2400 to U+2421) do.
# Those of ISO 6429 (U+0080 to U+009F) have none.
_CONTROLS = {code: 0x2400 + code for code in range(32) if chr(code) != "\t"} | {127: 0x2421}
_CONTROLS |= dict.fromkeys(range(0x80, 0xA0), 0xFFFD)


def excerpt(source: bytes, offset: int, *, caret: bool = True) -> str:
    """The line of an offset and its neighbours, numbered, with a caret under the character.

    Long lines are cut to a window around it. The caret stands right below the character also behind tabs,
    wide characters (East Asian Width W and F, Unicode TR11) and combining marks.

    Args:
        source: The whole file, UTF-8.
        offset: Of the character, in bytes from 0.
        caret: Whether to show the caret.
    """
    line_start = source.rfind(b"\n", 0, offset) + 1
    at = len(source[line_start:offset].decode(errors="replace"))
    numbered = _lines_around(source, line_start)
    number_here = source.count(b"\n", 0, line_start) + 1
    margin = len(str(numbered[-1][0]))
    out: list[str] = []
    for number, content in numbered:
        here = number == number_here
        shown, cut = _window(content, at if here and caret else 0)
        out.append(f"  {number:>{margin}} | {shown}".rstrip())
        if here and caret:
            lead = "".join(_blank(character) for character in shown[: at - cut])
            out.append(f"  {'':>{margin}} | {lead}^")
    return "\n".join(out)


def visible(text: str) -> str:
    """The text with pictures in place of control characters, which would otherwise reach the terminal."""
    return text if text.isprintable() else text.translate(_CONTROLS)


def _lines_around(source: bytes, line_start: int) -> list[tuple[int, str]]:
    """The numbered lines around the one that begins at an offset, found without splitting the whole."""
    start = line_start
    for _ in range(_BEFORE):
        start = source.rfind(b"\n", 0, max(start - 1, 0)) + 1
    number = source.count(b"\n", 0, start) + 1
    found: list[tuple[int, str]] = []
    behind = 0
    while behind <= _AFTER:
        end = source.find(b"\n", start)
        content = source[start:] if end < 0 else source[start:end]
        text = visible(content.decode(errors="replace").rstrip("\r"))
        if text.strip() or not behind:
            found.append((number, text))
        if end < 0:
            break
        behind += start >= line_start
        start, number = end + 1, number + 1
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
