"""What is heard while a script runs: refusals, notices, and who is in the way."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from fluxmig.model.files import place

if TYPE_CHECKING:
    from pathlib import Path

    from fluxmig.model.scripts import Statement

__all__ = ["Failure", "Notice", "Session", "Wait", "WaitReason"]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the database refused a statement, and where.

    Attributes:
        path: The file.
        message: The server's message, its primary line.
        code: SQLSTATE, or the driver's name of the error, or None.
        line: Line in the file, from 1, of the error. Where the server gives no position: of the only
            mention of `object` in the statement, or else of the statement; None where not even that is
            known.
        column: Column likewise.
        statement: The failing statement, or None where it is not known (a commit, for one).
        statements: How many statements the file has.
        done: How many statements of the file stay done; 0 in a transaction.
        object: The object in question, where the message names one.
        detail: The server's DETAIL.
        hint: The server's HINT.
        context: The server's CONTEXT, such as the line in a function.
        excerpt: The lines around the place, with a caret.
        remedy: fluxmig's own advice, or None.
    """

    path: Path
    message: str
    code: str | None = None
    line: int | None = None
    column: int | None = None
    statement: Statement | None = None
    statements: int = 0
    done: int = 0
    object: str | None = None
    detail: str | None = None
    hint: str | None = None
    context: str | None = None
    excerpt: str = ""
    remedy: str | None = None

    @property
    def headline(self) -> str:
        """One line: file:line:column, the server's message and its code."""
        code = f" [{self.code}]" if self.code else ""
        return f"{place(self.path, self.line, self.column)}: {self.message}{code}"

    def __str__(self) -> str:
        lines = [self.headline]
        if self.statement and self.statements > 1:
            lines.append(
                f"in statement {self.statement.number} of {self.statements}: {_short(self.statement)}"
            )
        lines.append(self.excerpt)
        lines += [
            f"{label}: {text}"
            for label, text in (("DETAIL", self.detail), ("HINT", self.hint), ("CONTEXT", self.context))
            if text
        ]
        if self.remedy:
            lines.append(self.remedy)
        return "\n".join(line for line in lines if line)


@dataclass(frozen=True, slots=True)
class Notice:
    """What the server, or fluxmig, has to say while a migration runs.

    Attributes:
        name: The migration.
        severity: NOTICE, WARNING, INFO and the like, as the server's protocol has it; NOTE for fluxmig's own.
        message: One line or more.
        code: SQLSTATE, or None.
        detail: The server's DETAIL.
        hint: The server's HINT.
    """

    name: str
    severity: str
    message: str
    code: str | None = None
    detail: str | None = None
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody's session on the server: who has the runner's lock, or holds up a statement.

    Attributes:
        pid: Its process on the server.
        user: The login; None where it may not be seen.
        application: The name that the client gave itself, or None.
        host: The client's address; `local` for a socket.
        since: When it connected; or, where there is a state, since when it is in it.
        state: What it is doing: `active`, `idle in transaction` and the like; None where that was not asked.
        query: The beginning of its last statement in one line, or None.
    """

    pid: int
    user: str | None = None
    application: str | None = None
    host: str | None = None
    since: str | None = None
    state: str | None = None
    query: str | None = None

    def __str__(self) -> str:
        name = (self.application or "(unnamed)") if self.user else None
        named = (("user", self.user), ("application", name), ("host", self.host))
        since = (self.state or "connected", f"since {self.since}") if self.since else (self.state, "")
        parts = [f"{word} {value}".strip() for word, value in (*named, since) if word and value is not None]
        text = ", ".join([f"process {self.pid}", *parts])
        return f"{text}: {self.query}" if self.query else text


class WaitReason(StrEnum):
    """What fluxmig waits for: another runner's lock; a better moment to try a migration again; a server."""

    LOCK = "lock"
    RETRY = "retry"
    CONNECTION = "connection"


@dataclass(frozen=True, slots=True)
class Wait:
    """That fluxmig waits, and for what.

    Attributes:
        reason: Which kind of waiting.
        message: In one line, for people.
        name: The migration, or None where it is for all.
        sessions: Who is in the way, as far as it is known.
    """

    reason: WaitReason
    message: str
    name: str | None = None
    sessions: tuple[Session, ...] = ()


def _short(statement: Statement, width: int = 80) -> str:
    first = statement.first_line
    return first if len(first) <= width else first[: width - 1] + "…"
