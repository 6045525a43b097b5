"""What a test session has of databases: one server, opened when it is first needed, and the templates."""

from __future__ import annotations

import secrets
import warnings
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from sqlalchemy import create_engine, make_url

from fluxmig import scratch
from fluxmig.dialects import dialect_of
from fluxmig.errors import FluxmigError
from fluxmig.testing import templates

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self

    from sqlalchemy import Engine

    from fluxmig.model import DatabaseInfo
    from fluxmig.scratch import Server
    from fluxmig.testing.templates import Recipe, Template

__all__ = ["Options", "Session", "Shared"]

_PATIENCE_S = 10.0
"""How long the end of a session waits for what earlier ones have left to be dropped."""


@dataclass(frozen=True)
class Options:
    """What a project has decided.

    Attributes:
        source: As for `open_server`; and so are
        like: the database to resemble,
        environ: the environment,
        postgres_bin: the binaries of the embedded server,
        tell: what is told a line,
        shared: the folder by which workers share a server,
        keep: and whether that stays for sessions to come.
        recipe: What the fixtures make that are not told otherwise.
        schema_file: What the result of the migrations is to equal.
        base: The git ref of the last release; None for the last tag.
    """

    source: str
    recipe: Recipe
    environ: Mapping[str, str]
    like: DatabaseInfo | None = None
    postgres_bin: Path | None = None
    tell: Callable[[str], None] = lambda _: None
    shared: Path | None = None
    keep: bool = False
    schema_file: Path = Path("schema.sql")
    base: str | None = None


@dataclass
class Shared:
    """A copy that many tests use in turn, each in a transaction that is rolled back.

    Attributes:
        engine: Its engine; every transaction is one, on SQLite too.
    """

    template: Template
    engine: Engine = field(init=False)
    _url: str = field(init=False)

    def __post_init__(self) -> None:
        self._take()

    def renew(self) -> None:
        """Takes another copy, where a test has committed something to this one."""
        self.close()
        self._take()

    def close(self) -> None:
        """Gives the copy back."""
        self.engine.dispose()
        self.template.drop(self._url)

    def _take(self) -> None:
        self._url = self.template.create()
        self.engine = create_engine(self._url)
        dialect_of(self.engine).begin_all(self.engine)


@dataclass
class Session:
    """The server and the templates of a test session.

    Attributes:
        options: What the project has decided.
        kept: The URLs of databases that stay for a person to look at, and whose test failed.
    """

    options: Options
    kept: list[tuple[str, str]] = field(default_factory=list)
    _word: str = field(default_factory=lambda: secrets.token_hex(4))
    _stack: ExitStack = field(default_factory=ExitStack)
    _server: Server | None = None
    _templates: dict[Recipe, Template | FluxmigError] = field(default_factory=dict)
    _shared: dict[Recipe, Shared] = field(default_factory=dict)

    @property
    def opened(self) -> Server | None:
        """The server, if one was needed."""
        return self._server

    @property
    def server(self) -> Server:
        """The server.

        Raises:
            FluxmigError: As `open_server`.
        """
        if self._server is None:
            options = self.options
            self._server = self._stack.enter_context(
                scratch.open_server(
                    options.source,
                    like=options.like,
                    environ=options.environ,
                    postgres_bin=options.postgres_bin,
                    tell=options.tell,
                    shared=options.shared,
                    keep=options.keep,
                )
            )
            if self._server.stays and self._server.databases.has_templates:
                self._stack.enter_context(self._server.databases.claimed(self._word))
                self._prune(self._server)
        return self._server

    def template(self, recipe: Recipe) -> Template:
        """The template of a recipe; made once, and where that failed, the same error each time."""
        if recipe not in self._templates:
            try:
                self._templates[recipe] = templates.open_template(
                    self._stack, self.server, recipe, self._word
                )
            except FluxmigError as error:
                self._templates[recipe] = error
        found = self._templates[recipe]
        if isinstance(found, FluxmigError):
            raise found
        return found

    def shared(self, recipe: Recipe) -> Shared:
        """A copy that many tests use in turn."""
        if recipe not in self._shared:
            self._shared[recipe] = Shared(self.template(recipe))
            self._stack.callback(self._shared[recipe].close)
        return self._shared[recipe]

    def keep(self, url: str, test: str) -> None:
        """Has a copy stay, for a person to look at."""
        found = make_url(templates.keep(self.server, url))
        self.kept.append((found.render_as_string(hide_password=self.server.is_given), test))

    def close(self) -> None:
        """Ends everything; what stays is what was to stay."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _prune(self, server: Server) -> None:
        """Drops what earlier sessions have left, beside the tests."""

        def work() -> None:
            try:
                templates.prune(server, now=datetime.now(UTC))
            except Exception as error:  # noqa: BLE001  # to be told where it is seen
                failures.append(error)

        def end() -> None:
            thread.join(_PATIENCE_S)
            for failure in failures:
                warnings.warn(f"databases of earlier sessions: {failure}", RuntimeWarning, stacklevel=2)

        failures: list[Exception] = []
        thread = Thread(target=work, name="fluxmig pruner of databases", daemon=True)
        thread.start()
        self._stack.callback(end)
