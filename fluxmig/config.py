"""Options, environment, `.env` and configuration files -> one frozen `Settings`.

For each setting the first place that gives it decides, whatever stands in the later ones:

1. the command line;
2. the environment, in the order of `Setting.environment`; an empty variable counts as not set;
3. `.env`, likewise, with `${NAME}` replaced; there too the real environment wins;
4. `fluxmig.toml` or `[tool.fluxmig]` in `pyproject.toml`; keys in both are an error, not a mixture;
5. the default in `Settings`.

One setting looks at another: a database URL on the command line goes before a direct URL that is not there.

A value is judged only where it decides, a file's keys and types always. No message repeats a value: it may
be a password in the wrong place.
"""

from __future__ import annotations

import io
import math
import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fluxmig.errors import ConfigError
from fluxmig.policies import OnDuplicate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["SETTINGS", "Color", "Setting", "Settings", "load", "variables"]


class Color(StrEnum):
    """When the output has colour; `auto`: on a terminal."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user has decided; `SETTINGS` says what each field means. `_s` is seconds."""

    database_url: str | None = field(default=None, repr=False)
    direct_url: str | None = field(default=None, repr=False)
    migrations: Path = Path("migrations")
    table: str = "schema_migrations"
    schema: str | None = None
    json: bool = False
    debug: bool = False
    color: Color = Color.AUTO
    dry_run: bool = False
    on_duplicate: OnDuplicate = OnDuplicate.MARK
    strict: bool = False
    strict_order: bool = False
    keep_going: bool = False
    wait_s: float = 0.0
    wait_lock_s: float = 300.0
    lock_timeout_s: float | None = None
    lock_retries: int = 10
    statement_timeout_s: float | None = None
    retry_connection_s: float = 0.0
    no_query_text: bool = False
    postgres_bin: Path | None = None
    production: bool = False

    @property
    def url(self) -> str | None:
        """Where all goes: past a pooler, if that is known."""
        return self.direct_url or self.database_url


class _Kind(NamedTuple):
    """What a setting holds: its types in TOML, its reading (None: refused)."""

    noun: str
    types: tuple[type, ...]
    read: Callable[[Any], object]
    choices: tuple[str, ...] = ()

    @property
    def is_flag(self) -> bool:
        return self.types == (bool,)

    def refusal(self, place: str) -> ConfigError:
        return ConfigError(f"{place}: must be {self.noun}", remedy="Correct it, or leave it out.")


_WORDS = dict.fromkeys(("true", "1", "yes", "on"), True) | dict.fromkeys(("false", "0", "no", "off"), False)
_NAME_BYTES = 59  # PostgreSQL cuts off what is over 63 (manual, 4.1.1), and the log's name adds _log


def _flag(value: object) -> bool | None:
    return _WORDS.get(str(value).strip().lower())


def _seconds(value: str | float) -> float | None:
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        return None
    return seconds if 0 <= seconds < math.inf else None


def _count(value: str | int) -> int | None:
    return int(value) if re.fullmatch(r"[0-9]{1,9}", str(value).strip()) else None


def _text(value: object) -> str | None:
    text = str(value)
    return text if text.strip() and "\0" not in text else None


def _name(value: object) -> str | None:
    name = _text(value)
    return name if name and name.isprintable() and len(name.encode()) <= _NAME_BYTES else None


def _one_of(choices: type[StrEnum]) -> _Kind:
    words = {choice.value: choice for choice in choices}
    read = lambda value: words.get(value.strip().lower())  # noqa: E731
    return _Kind(f"one of {', '.join(words)}", (str,), read, tuple(words))


_FLAG = _Kind("true or false (in variables also 1, yes, on, 0, no, off)", (bool,), _flag)
_SECONDS = _Kind("a number of seconds, 0 or more", (int, float), _seconds)
_COUNT = _Kind("a whole number, 0 or more", (int,), _count)
_TEXT = _Kind("a text that is not empty", (str,), _text)
_NAME = _Kind(f"a printable name of 1 to {_NAME_BYTES} bytes", (str,), _name)
_FOLDER = _Kind("the path of a folder", (str,), lambda value: (text := _text(value)) and Path(text))
_STAGE = _Kind("a text", (str,), lambda value: value.strip().lower() == "production")

# Names that other programs have too: the value -> what it says to fluxmig, None for nothing.
_SHARED: dict[str, Callable[[str], object]] = {
    "DEBUG": _flag,  # Node programs have DEBUG=express:*
    "NO_COLOR": lambda _: Color.NEVER,  # https://no-color.org: any value
    "FORCE_COLOR": lambda _: Color.ALWAYS,  # https://force-color.org: any value
}


class Setting(NamedTuple):
    """One setting: its field in `Settings`, what it holds, its variables (strongest first), its help."""

    field: str
    kind: _Kind
    environment: tuple[str, ...]
    help: str
    has_option: bool = True
    in_files: bool = True

    @property
    def key(self) -> str:
        """Its key in TOML and, behind `--`, its option: the field without its unit."""
        return self.field.removesuffix("_s").replace("_", "-")


# All there is: options, variables, files and what is written about them come from this table.
SETTINGS = (
    Setting("database_url", _TEXT, ("FLUXMIG_DATABASE_URL", "DATABASE_URL"), "The database to migrate."),
    Setting("direct_url", _TEXT, ("FLUXMIG_DIRECT_URL",), "The same database past a pooler; goes first."),
    Setting("migrations", _FOLDER, ("FLUXMIG_MIGRATIONS",), "The folder of migrations."),
    Setting("table", _NAME, ("FLUXMIG_TABLE",), "The ledger's table."),
    Setting("schema", _NAME, ("FLUXMIG_SCHEMA",), "The ledger's schema; if not set, the connection's."),
    Setting("json", _FLAG, ("FLUXMIG_JSON",), "Print JSON."),
    Setting("debug", _FLAG, ("FLUXMIG_DEBUG", "DEBUG"), "Show tracebacks and the driver's details."),
    Setting("color", _one_of(Color), ("FLUXMIG_COLOR", "NO_COLOR", "FORCE_COLOR"), "When to use colour."),
    Setting("dry_run", _FLAG, ("FLUXMIG_DRY_RUN", "DRY_RUN"), "Only say what would be done.", in_files=False),
    Setting(
        "on_duplicate",
        _one_of(OnDuplicate),
        ("FLUXMIG_ON_DUPLICATE",),
        "If an object is there already: mark the migration as applied (the default); mark it only if nothing"
        " is lost by that; complete it, without what is there; or fail.",
    ),
    Setting(
        "strict",
        _FLAG,
        ("FLUXMIG_STRICT",),
        "Refuse to run if an applied file was edited; in check, count warnings.",
    ),
    Setting("strict_order", _FLAG, ("FLUXMIG_STRICT_ORDER",), "Refuse migrations that are out of order."),
    Setting("keep_going", _FLAG, ("FLUXMIG_KEEP_GOING",), "Go on after a failure; still exit 1."),
    Setting("wait_s", _SECONDS, ("FLUXMIG_WAIT",), "Seconds to wait for a server that is starting or full."),
    Setting("wait_lock_s", _SECONDS, ("FLUXMIG_WAIT_LOCK",), "Seconds to wait for another runner's lock."),
    Setting(
        "lock_timeout_s",
        _SECONDS,
        ("FLUXMIG_LOCK_TIMEOUT",),
        "Seconds that a statement waits for a table's lock, 0 for ever; if not set, 5, or less where the"
        " server says so.",
    ),
    Setting(
        "lock_retries",
        _COUNT,
        ("FLUXMIG_LOCK_RETRIES",),
        "How often a migration is tried again that others held up.",
    ),
    Setting(
        "statement_timeout_s",
        _SECONDS,
        ("FLUXMIG_STATEMENT_TIMEOUT",),
        "Seconds that a statement may take, 0 for ever; if not set, what the server says.",
    ),
    Setting(
        "retry_connection_s",
        _SECONDS,
        ("FLUXMIG_RETRY_CONNECTION",),
        "Seconds to wait for a server that was lost on the way, to go on then.",
    ),
    Setting(
        "no_query_text",
        _FLAG,
        ("FLUXMIG_NO_QUERY_TEXT",),
        "Do not show the queries of those who hold a migration up.",
    ),
    Setting("postgres_bin", _FOLDER, ("FLUXMIG_POSTGRES_BIN",), "The folder of PostgreSQL's programs."),
    Setting(
        "production",
        _STAGE,
        ("FLUXMIG_ENV", "NODE_ENV"),
        "`production` requires SSL for PostgreSQL unless the URL says otherwise.",
        has_option=False,
        in_files=False,
    ),
)


def load(options: Mapping[str, object], environ: Mapping[str, str], directory: Path) -> Settings:
    """The settings in force. Reads `.env`, `fluxmig.toml` and `pyproject.toml` in `directory`, if there.

    Args:
        options: What the command line gives, by `Setting.field`; None is not given, False is.
        environ: The environment.
        directory: The working directory; relative folders, wherever they are written, start there.

    Raises:
        ConfigError: A file, key or value cannot be used; the message names the place.
        TypeError: An option that does not exist.
    """
    if unknown := options.keys() - {setting.field for setting in SETTINGS if setting.has_option}:
        raise TypeError(f"no such option: {', '.join(sorted(unknown))}")
    dotenv = _dotenv(directory / ".env", environ)
    prefix, table = _file(directory)
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        places = [
            (f"option --{setting.key}", options.get(setting.field)),
            *_variables(setting, "environment variable ", environ),
            *_variables(setting, f"{directory / '.env'}: ", dotenv),
            (prefix + setting.key, table.get(setting.key)),
        ]
        place, written = next((given for given in places if given[1] is not None), ("", None))
        if written is not None:
            value = values[setting.field] = setting.kind.read(written)
            if value is None:
                raise setting.kind.refusal(place)
    if options.get("database_url") is not None and options.get("direct_url") is None:
        values.pop("direct_url", None)  # who names a database on the command line means that one
    settings = Settings(**values)
    binaries = settings.postgres_bin and directory / settings.postgres_bin
    return replace(settings, migrations=directory / settings.migrations, postgres_bin=binaries)


def variables(environ: Mapping[str, str], directory: Path) -> dict[str, str]:
    """The environment and what `.env` in `directory` adds, but for libpq's own, which it would not see."""
    added = _dotenv(directory / ".env", environ)
    return {name: value for name, value in added.items() if not name.startswith("PG")} | dict(environ)


def _variables(setting: Setting, prefix: str, environ: Mapping[str, str]) -> Iterator[tuple[str, object]]:
    for name in setting.environment:
        if value := environ.get(name):
            yield prefix + name, _SHARED[name](value) if name in _SHARED else value


def _file(directory: Path) -> tuple[str, dict[str, object]]:
    """The keys of the one file that configures fluxmig, and what stands before them in messages."""
    own, project = directory / "fluxmig.toml", directory / "pyproject.toml"
    table, section = _table(own), _table(project, "tool", "fluxmig")
    if table and section:
        raise ConfigError(
            f"{own} and {project} both configure fluxmig", remedy="Move all keys into one file."
        )
    return (f"{own}: ", table) if table else (f"{project}: tool.fluxmig.", section)


def _table(path: Path, *sections: str) -> dict[str, object]:
    """A file's keys for fluxmig, all known and of the right type; none if there is no such file."""
    text = _read(path)
    if text is None:
        return {}
    import tomllib  # noqa: PLC0415  # most folders have no such file

    try:
        table: dict[str, Any] = tomllib.loads(text)
    except ValueError as error:
        raise ConfigError(f"{path}: not TOML: {error}", remedy="Mend the file there.") from None
    for section in sections:
        table = table.get(section, {})
        if not isinstance(table, dict):
            raise ConfigError(f"{path}: {section}: must be a table", remedy=f"Write [{'.'.join(sections)}].")
    kinds = {setting.key: setting.kind for setting in SETTINGS if setting.in_files}
    for key, value in table.items():
        place = f"{path}: {'.'.join((*sections, key))}"
        if key not in kinds:
            import difflib  # noqa: PLC0415  # only on the way out

            close = difflib.get_close_matches(key.lower(), kinds, n=1)
            remedy = f"Did you mean {close[0]}?" if close else f"The keys are: {', '.join(kinds)}."
            raise ConfigError(f"{place}: unknown key", remedy=remedy)
        if type(value) not in kinds[key].types:
            raise kinds[key].refusal(place)
    return table


def _dotenv(path: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The file's variables. A line that cannot be read is an error only if it names one of `SETTINGS`."""
    text = _read(path)
    if text is None:
        return {}
    from dotenv.parser import parse_stream  # noqa: PLC0415  # most folders have no such file
    from dotenv.variables import parse_variables  # noqa: PLC0415

    ours = {name for setting in SETTINGS for name in setting.environment}
    values: dict[str, str] = {}
    for binding in parse_stream(io.StringIO(text)):
        written = binding.original.string
        if binding.key is not None and binding.value is not None:
            scope = {**values, **environ}
            values[binding.key] = "".join(atom.resolve(scope) for atom in parse_variables(binding.value))
        elif (binding.error or binding.key) and (names := ours & set(re.findall(r"\w+", written))):
            problem = f"the line of {' and '.join(sorted(names))} cannot be read"
            raise ConfigError(
                f"{path}: {problem}", remedy="Write NAME=value, and close every quotation mark."
            )
    return values


def _read(path: Path) -> str | None:
    """The text of a file, or None if there is none."""
    try:
        return path.read_bytes().decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}:{line}: not UTF-8", remedy="Save the file as UTF-8.") from None
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not path.is_symlink():
            return None
        if isinstance(error, IsADirectoryError) and (path / "pyvenv.cfg").is_file():
            return None  # `.env` is a usual name for a virtual environment too
        raise ConfigError(f"{path}: cannot be read: {error.strerror}", remedy="Mend or remove it.") from error
