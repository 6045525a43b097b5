"""`fluxmig.config`: where each setting comes from, and every way in which it can be wrong."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import traceback
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from fluxmig.config import SETTINGS, Color, Setting, Settings, load, variables
from fluxmig.errors import ConfigError
from fluxmig.model import OnDuplicate

SECRET = "postgresql://ada:hunter2@db.example/studio"  # the password must not turn up in a message

# For each field two texts and what they mean. A setting without a row here fails below.
VALUES: dict[str, tuple[tuple[str, object], tuple[str, object]]] = {
    "database_url": (("sqlite:///a.db", "sqlite:///a.db"), (SECRET, SECRET)),
    "direct_url": (("sqlite:///b.db", "sqlite:///b.db"), (SECRET, SECRET)),
    "migrations": (("db/sql", Path("db/sql")), ("/srv/sql", Path("/srv/sql"))),
    "table": (("ledger", "ledger"), ("Größe 1", "Größe 1")),
    "schema": (("audit", "audit"), ("public", "public")),
    "json": (("true", True), ("false", False)),
    "debug": (("true", True), ("false", False)),
    "color": (("always", Color.ALWAYS), ("never", Color.NEVER)),
    "dry_run": (("true", True), ("false", False)),
    "on_duplicate": (("fail", OnDuplicate.FAIL), ("mark", OnDuplicate.MARK)),
    "strict": (("true", True), ("false", False)),
    "strict_order": (("true", True), ("false", False)),
    "keep_going": (("true", True), ("false", False)),
    "wait_s": (("30", 30.0), ("0", 0.0)),
    "wait_lock_s": (("1.5", 1.5), ("2", 2.0)),
    "lock_timeout_s": (("0", 0.0), ("2.5", 2.5)),
    "lock_retries": (("0", 0), ("12", 12)),
    "statement_timeout_s": (("60", 60.0), ("0", 0.0)),
    "retry_connection_s": (("90", 90.0), ("0", 0.0)),
    "no_query_text": (("true", True), ("false", False)),
    "production": (("production", True), ("development", False)),
    "postgres_bin": (("pg/bin", Path("pg/bin")), ("/usr/lib/pg", Path("/usr/lib/pg"))),
}
MARKERS: dict[str, tuple[str, object]] = {"NO_COLOR": ("1", Color.NEVER), "FORCE_COLOR": ("1", Color.ALWAYS)}
FILES = ("fluxmig.toml", "pyproject.toml")


@dataclasses.dataclass
class World:
    """What `load` gets, built up place by place."""

    directory: Path
    options: dict[str, object] = dataclasses.field(default_factory=dict)
    environ: dict[str, str] = dataclasses.field(default_factory=dict)

    def load(self) -> Settings:
        return load(self.options, self.environ, self.directory)

    def field(self, name: str) -> object:
        return getattr(self.load(), name)

    def write(self, name: str, text: str | bytes) -> None:
        (self.directory / name).write_bytes(text.encode() if isinstance(text, str) else text)

    def give(self, setting: Setting, place: str, text: str) -> None:
        where, _, name = place.partition(" ")
        if where == "option":
            self.options[setting.field] = text
        elif where == "environment":
            self.environ[name] = text
        elif where == ".env":
            with (self.directory / ".env").open("a") as file:
                file.write(f"{name}='{text}'\n")
        else:
            header = "[tool.fluxmig]\n" if where == "pyproject.toml" else ""
            written = json.dumps(text, ensure_ascii=False) if str in setting.kind.types else text
            self.write(where, f"{header}{setting.key} = {written}\n")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def places(setting: Setting) -> list[str]:
    """Where a setting can be given, the strongest first."""
    return [
        *(["option"] if setting.has_option else []),
        *(f"environment {name}" for name in setting.environment),
        *(f".env {name}" for name in setting.environment),
        *(FILES if setting.in_files else []),
    ]


def value_at(setting: Setting, place: str, index: int) -> tuple[str, object]:
    return MARKERS.get(place.partition(" ")[2], VALUES[setting.field][index])


def resolved(value: object, directory: Path) -> object:
    return directory / value if isinstance(value, Path) else value


def test_every_field_has_one_setting_and_values_here() -> None:
    names = [setting.field for setting in SETTINGS]
    assert names == [field.name for field in dataclasses.fields(Settings)]
    assert set(names) == set(VALUES)


def test_no_two_settings_share_a_variable_or_a_key() -> None:
    variables = [name for setting in SETTINGS for name in setting.environment]
    assert len(variables) == len(set(variables))
    keys = [setting.key for setting in SETTINGS]
    assert len(keys) == len(set(keys))


def test_every_setting_is_explained_in_one_line() -> None:
    for setting in SETTINGS:
        assert setting.help.endswith(".")
        assert "\n" not in setting.help


def test_the_documented_names() -> None:
    assert {setting.key: setting.environment for setting in SETTINGS} == {
        "database-url": ("FLUXMIG_DATABASE_URL", "DATABASE_URL"),
        "direct-url": ("FLUXMIG_DIRECT_URL",),
        "migrations": ("FLUXMIG_MIGRATIONS",),
        "table": ("FLUXMIG_TABLE",),
        "schema": ("FLUXMIG_SCHEMA",),
        "json": ("FLUXMIG_JSON",),
        "debug": ("FLUXMIG_DEBUG", "DEBUG"),
        "color": ("FLUXMIG_COLOR", "NO_COLOR", "FORCE_COLOR"),
        "dry-run": ("FLUXMIG_DRY_RUN", "DRY_RUN"),
        "on-duplicate": ("FLUXMIG_ON_DUPLICATE",),
        "strict": ("FLUXMIG_STRICT",),
        "strict-order": ("FLUXMIG_STRICT_ORDER",),
        "keep-going": ("FLUXMIG_KEEP_GOING",),
        "wait": ("FLUXMIG_WAIT",),
        "wait-lock": ("FLUXMIG_WAIT_LOCK",),
        "lock-timeout": ("FLUXMIG_LOCK_TIMEOUT",),
        "lock-retries": ("FLUXMIG_LOCK_RETRIES",),
        "statement-timeout": ("FLUXMIG_STATEMENT_TIMEOUT",),
        "retry-connection": ("FLUXMIG_RETRY_CONNECTION",),
        "no-query-text": ("FLUXMIG_NO_QUERY_TEXT",),
        "postgres-bin": ("FLUXMIG_POSTGRES_BIN",),
        "production": ("FLUXMIG_ENV", "NODE_ENV"),
    }
    assert [setting.key for setting in SETTINGS if not setting.in_files] == ["dry-run", "production"]
    assert [setting.key for setting in SETTINGS if not setting.has_option] == ["production"]


def test_defaults(world: World) -> None:
    assert world.load() == Settings(
        database_url=None,
        direct_url=None,
        migrations=world.directory / "migrations",
        table="schema_migrations",
        schema=None,
        json=False,
        debug=False,
        color=Color.AUTO,
        dry_run=False,
        on_duplicate=OnDuplicate.MARK,
        strict=False,
        strict_order=False,
        keep_going=False,
        wait_s=0.0,
        wait_lock_s=300.0,
        lock_timeout_s=None,
        lock_retries=10,
        statement_timeout_s=None,
        retry_connection_s=0.0,
        no_query_text=False,
        production=False,
        postgres_bin=None,
    )


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize(
    ("setting", "place"),
    [pytest.param(s, place, id=f"{s.key}-{place}") for s in SETTINGS for place in places(s)],
)
def test_each_place_alone(world: World, setting: Setting, place: str, index: int) -> None:
    text, meaning = value_at(setting, place, index)
    world.give(setting, place, text)
    defaults: dict[str, Any] = {"migrations": world.directory / "migrations"}
    given = {setting.field: resolved(meaning, world.directory)}
    assert world.load() == Settings(**(defaults | given))


PAIRS = [
    pytest.param(setting, *pair, id=f"{setting.key}-{pair[0]}-over-{pair[1]}")
    for setting in SETTINGS
    for pair in combinations(places(setting), 2)
    if pair != FILES
]


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize(("setting", "stronger", "weaker"), PAIRS)
def test_the_stronger_place_decides(
    world: World, setting: Setting, stronger: str, weaker: str, index: int
) -> None:
    text, meaning = value_at(setting, stronger, index)
    world.give(setting, weaker, value_at(setting, weaker, 1 - index)[0])
    world.give(setting, stronger, text)
    assert world.field(setting.field) == resolved(meaning, world.directory)


def test_empty_variables_count_as_not_set(world: World) -> None:
    world.environ = {name: "" for setting in SETTINGS for name in setting.environment}
    world.write(".env", "".join(f"{name}=\n" for name in world.environ))
    assert world.load() == Settings(migrations=world.directory / "migrations")


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.key)
def test_an_empty_variable_does_not_hide_a_weaker_place(world: World, setting: Setting) -> None:
    weakest = places(setting)[-1]
    world.environ = dict.fromkeys(setting.environment, "")
    text, meaning = value_at(setting, weakest, 0)
    world.give(setting, weakest, text)
    assert world.field(setting.field) == resolved(meaning, world.directory)


def test_an_option_of_none_is_not_given_and_false_is(world: World) -> None:
    world.environ = {"FLUXMIG_STRICT": "true", "FLUXMIG_JSON": "true"}
    world.options = {"strict": None, "json": False}
    settings = world.load()
    assert (settings.strict, settings.json) == (True, False)


@pytest.mark.parametrize(
    ("options", "field", "meaning"),
    [
        ({"dry_run": True}, "dry_run", True),
        ({"wait_s": 3}, "wait_s", 3.0),
        ({"wait_lock_s": 0.5}, "wait_lock_s", 0.5),
        ({"color": Color.NEVER}, "color", Color.NEVER),
        ({"on_duplicate": OnDuplicate.FAIL}, "on_duplicate", OnDuplicate.FAIL),
        ({"migrations": Path("/srv/sql")}, "migrations", Path("/srv/sql")),
    ],
)
def test_options_may_be_converted_already(
    world: World, options: dict[str, object], field: str, meaning: object
) -> None:
    world.options = options
    assert world.field(field) == meaning


def test_an_option_that_does_not_exist(world: World) -> None:
    world.options = {"dryrun": True, "production": True}
    with pytest.raises(TypeError, match=r"^no such option: dryrun, production$"):
        world.load()


TRUE = ["true", "TRUE", "True", "1", "yes", "Yes", "on", "ON", " true "]
FALSE = ["false", "FALSE", "0", "no", "No", "off", "OFF"]


@pytest.mark.parametrize("name", ["FLUXMIG_DRY_RUN", "DRY_RUN", "FLUXMIG_STRICT", "FLUXMIG_DEBUG", "DEBUG"])
@pytest.mark.parametrize(
    ("word", "meaning"), [*((word, True) for word in TRUE), *((word, False) for word in FALSE)]
)
def test_words_for_true_and_false(world: World, name: str, word: str, meaning: bool) -> None:  # noqa: FBT001
    world.environ = {name: word}
    field = next(setting.field for setting in SETTINGS if name in setting.environment)
    assert world.field(field) is meaning


@pytest.mark.parametrize("word", ["express:*", "*", "app", "-not_this", "truer", "2", " "])
def test_the_debug_variable_of_other_programs_says_nothing(world: World, word: str) -> None:
    world.environ = {"DEBUG": word}
    assert world.field("debug") is False
    world.write(".env", "FLUXMIG_DEBUG=yes\n")
    assert world.field("debug") is True


@pytest.mark.parametrize(
    ("environ", "production"),
    [
        ({"NODE_ENV": "production"}, True),
        ({"NODE_ENV": "Production "}, True),
        ({"NODE_ENV": "test"}, False),
        ({"FLUXMIG_ENV": "development", "NODE_ENV": "production"}, False),
        ({"FLUXMIG_ENV": "production", "NODE_ENV": "development"}, True),
        ({"FLUXMIG_ENV": "", "NODE_ENV": "production"}, True),
    ],
)
def test_production(world: World, environ: dict[str, str], production: bool) -> None:  # noqa: FBT001
    world.environ = environ
    assert world.field("production") is production


def test_a_stray_dotenv_never_lifts_production(world: World) -> None:
    world.environ = {"NODE_ENV": "production"}
    world.write(".env", "FLUXMIG_ENV=development\n")
    assert world.field("production") is True


def test_relative_folders_start_at_the_directory(world: World) -> None:
    settings = load({"migrations": "sql", "postgres_bin": "../pg"}, {}, Path())
    assert (settings.migrations, settings.postgres_bin) == (Path("sql"), Path("../pg"))


def test_neither_the_process_environment_nor_its_directory_is_read(
    world: World, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / ".env").write_text("FLUXMIG_SCHEMA=dotenv\n")
    (elsewhere / "fluxmig.toml").write_text("table = 'file'\n")
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("FLUXMIG_TABLE", "process")
    world.write(".env", "DATABASE_URL=sqlite:///${FLUXMIG_TABLE}\n")
    settings = world.load()
    assert (settings.database_url, settings.table, settings.schema) == (
        "sqlite:///",
        "schema_migrations",
        None,
    )


def test_the_environment_is_left_as_it_was(world: World) -> None:
    world.environ = {"FLUXMIG_TABLE": "t"}
    world.write(".env", "FLUXMIG_SCHEMA=s\n")
    before = dict(os.environ)
    world.load()
    assert (world.environ, dict(os.environ)) == ({"FLUXMIG_TABLE": "t"}, before)


@pytest.mark.parametrize("name", ["database_url", "direct_url"])
def test_the_repr_hides_the_url(world: World, name: str) -> None:
    world.options = {name: SECRET}
    settings = world.load()
    assert getattr(settings, name) == settings.url == SECRET
    assert name not in repr(settings)
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize(
    ("direct", "usual", "url"),
    [
        ("", "", None),
        ("option", "", "direct"),
        ("environment FLUXMIG_DIRECT_URL", "", "direct"),
        ("", "environment DATABASE_URL", "database"),
        ("option", "option", "direct"),
        ("environment FLUXMIG_DIRECT_URL", "environment DATABASE_URL", "direct"),
        ("fluxmig.toml", "environment FLUXMIG_DATABASE_URL", "direct"),
        (".env FLUXMIG_DIRECT_URL", "environment DATABASE_URL", "direct"),
        # Who names a database on the command line means that one.
        ("environment FLUXMIG_DIRECT_URL", "option", "database"),
        (".env FLUXMIG_DIRECT_URL", "option", "database"),
        ("fluxmig.toml", "option", "database"),
    ],
)
def test_which_url_is_used(world: World, direct: str, usual: str, url: str | None) -> None:
    settings = {setting.field: setting for setting in SETTINGS}
    for name, place in (("direct", direct), ("database", usual)):
        if place:
            world.give(settings[f"{name}_url"], place, name)
    assert world.load().url == url


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("DATABASE_URL=sqlite:///a.db # a remark\n", "sqlite:///a.db"),
        ("export DATABASE_URL='sqlite:///a b#c.db'\r\n", "sqlite:///a b#c.db"),
        ("\ufeffDATABASE_URL=sqlite:///bom.db", "sqlite:///bom.db"),
        ("DATABASE_URL=first\nDATABASE_URL=second\n", "second"),
        ("HOST=file\nDATABASE_URL=mysql://${HOST}/x\n", "mysql://file/x"),
        ("NAME=file\nDATABASE_URL=sqlite:///${NAME}\n", "sqlite:///process"),
        ("DATABASE_URL=sqlite:///${OTHER:-spare}\n", "sqlite:///spare"),
        ("DATABASE_URL=sqlite://${OTHER}/x\n", "sqlite:///x"),
        ("DATABASE_URL=postgres://a:p$w%40@h/x\n", "postgres://a:p$w%40@h/x"),
        ("DATABASE_URL=\n", None),
        ("# DATABASE_URL\n\n", None),
        ("these words are no setting\nDATABASE_URL=a\nTOKEN='open\n", "a"),
        ("", None),
    ],
)
def test_dotenv(world: World, text: str, url: str | None) -> None:
    world.environ = {"NAME": "process"}
    world.write(".env", text)
    assert world.field("database_url") == url


def test_a_virtual_environment_named_dotenv_is_no_configuration(world: World) -> None:
    (world.directory / ".env").mkdir()
    world.write(".env/pyvenv.cfg", "home = /usr/bin\n")
    assert world.load() == Settings(migrations=world.directory / "migrations")


@pytest.mark.parametrize(
    ("own", "project", "table"),
    [
        ("", "[tool.fluxmig]\ntable = 'project'", "project"),
        ("# nothing", "[tool.fluxmig]\ntable = 'project'", "project"),
        ("table = 'own'", "[tool.fluxmig]", "own"),
        ("table = 'own'", "[tool.ruff]\ntable = 'ruff'", "own"),
        ("table = 'own'", "[project]\nname = 'x'", "own"),
        ("\ufefftable = 'own'\r\n", "", "own"),
    ],
)
def test_two_files_of_which_one_has_keys(world: World, own: str, project: str, table: str) -> None:
    world.write("fluxmig.toml", own)
    world.write("pyproject.toml", project)
    assert world.field("table") == table


BOOLEAN = "must be true or false (in variables also 1, yes, on, 0, no, off)"
SECONDS = "must be a number of seconds, 0 or more"
NAME = "must be a printable name of 1 to 59 bytes"
CORRECT = "Correct it, or leave it out."
KEYS = (
    "The keys are: database-url, direct-url, migrations, table, schema, json, debug, color, on-duplicate, "
    "strict, strict-order, keep-going, wait, wait-lock, lock-timeout, lock-retries, statement-timeout, "
    "retry-connection, no-query-text, postgres-bin."
)


def refused(options: dict[str, object], environ: dict[str, str], directory: Path) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(options, environ, directory)
    assert caught.value.exit_code == 2
    return caught.value


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"database_url": ""}, "option --database-url: must be a text that is not empty"),
        ({"database_url": " \n"}, "option --database-url: must be a text that is not empty"),
        ({"migrations": ""}, "option --migrations: must be the path of a folder"),
        ({"migrations": "a\0b"}, "option --migrations: must be the path of a folder"),
        ({"postgres_bin": " "}, "option --postgres-bin: must be the path of a folder"),
        ({"table": ""}, f"option --table: {NAME}"),
        ({"table": "  "}, f"option --table: {NAME}"),
        ({"table": "a" * 60}, f"option --table: {NAME}"),
        ({"table": "ä" * 32}, f"option --table: {NAME}"),
        ({"table": "a\0b"}, f"option --table: {NAME}"),
        ({"table": "a\nb"}, f"option --table: {NAME}"),
        ({"table": "a\x1bb"}, f"option --table: {NAME}"),
        ({"table": "a\udcffb"}, f"option --table: {NAME}"),
        ({"schema": ""}, f"option --schema: {NAME}"),
        ({"json": "maybe"}, f"option --json: {BOOLEAN}"),
        ({"wait_s": -1}, f"option --wait: {SECONDS}"),
        ({"wait_lock_s": "5s"}, f"option --wait-lock: {SECONDS}"),
        ({"color": "blue"}, "option --color: must be one of auto, always, never"),
        ({"on_duplicate": "skip"}, "option --on-duplicate: must be one of mark, verify, complete, fail"),
    ],
)
def test_a_refused_option(world: World, options: dict[str, object], message: str) -> None:
    error = refused(options, {}, world.directory)
    assert (error.message, error.remedy) == (message, CORRECT)


@pytest.mark.parametrize("length", [1, 59])
def test_names_up_to_59_bytes(world: World, length: int) -> None:
    world.options = {"table": "t" * length}
    assert world.field("table") == "t" * length


REFUSED_VARIABLES = [
    *(
        ("DRY_RUN", text, BOOLEAN)
        for text in ["maybe", "treu", "2", "-1", " ", "yes please", "None", "y", "t"]
    ),
    ("FLUXMIG_DRY_RUN", "dry", BOOLEAN),
    ("FLUXMIG_DEBUG", "express:*", BOOLEAN),
    ("FLUXMIG_STRICT", "strict", BOOLEAN),
    *(
        ("FLUXMIG_WAIT", text, SECONDS)
        for text in ["-1", "-0.001", "nan", "inf", "-inf", "1e999", "10s", "1,5", "soon", " "]
    ),
    ("FLUXMIG_WAIT_LOCK", "-5", SECONDS),
    ("FLUXMIG_TABLE", " ", NAME),
    ("FLUXMIG_TABLE", "a\tb", NAME),
    ("FLUXMIG_COLOR", "true", "must be one of auto, always, never"),
    ("FLUXMIG_ON_DUPLICATE", "ignore", "must be one of mark, verify, complete, fail"),
    ("FLUXMIG_MIGRATIONS", " ", "must be the path of a folder"),
    ("DATABASE_URL", " ", "must be a text that is not empty"),
]


@pytest.mark.parametrize(("name", "text", "problem"), REFUSED_VARIABLES)
def test_a_refused_variable(world: World, name: str, text: str, problem: str) -> None:
    error = refused({}, {name: text}, world.directory)
    assert (error.message, error.remedy) == (f"environment variable {name}: {problem}", CORRECT)


@pytest.mark.parametrize(("name", "text", "problem"), REFUSED_VARIABLES)
def test_a_refused_variable_in_dotenv(world: World, name: str, text: str, problem: str) -> None:
    world.write(".env", f"{name}='{text}'\n")
    error = refused({}, {}, world.directory)
    assert (error.message, error.remedy) == (f"{world.directory}/.env: {name}: {problem}", CORRECT)


def test_a_value_that_does_not_decide_is_not_judged(world: World) -> None:
    world.environ = {"FLUXMIG_WAIT": "soon"}
    world.options = {"wait_s": 5}
    assert world.field("wait_s") == 5.0


@pytest.mark.parametrize(
    ("text", "problem", "remedy"),
    [
        ("tabel = 'x'", "tabel: unknown key", "Did you mean table?"),
        ("database_url = 'x'", "database_url: unknown key", "Did you mean database-url?"),
        ("wait_lock = 3", "wait_lock: unknown key", "Did you mean wait-lock?"),
        ("Strict = true", "Strict: unknown key", "Did you mean strict?"),
        ("WAIT = 3", "WAIT: unknown key", "Did you mean wait?"),
        ("on-duplicates = 'fail'", "on-duplicates: unknown key", "Did you mean on-duplicate?"),
        ("dry-run = true", "dry-run: unknown key", KEYS),
        ("production = true", "production: unknown key", KEYS),
        ("quux = 1", "quux: unknown key", KEYS),
        ("[deep]\ntable = 'x'", "deep: unknown key", KEYS),
        ("strict = 'true'", f"strict: {BOOLEAN}", CORRECT),
        ("strict = 1", f"strict: {BOOLEAN}", CORRECT),
        ("json = []", f"json: {BOOLEAN}", CORRECT),
        ("[strict]", f"strict: {BOOLEAN}", CORRECT),
        ("wait = '5'", f"wait: {SECONDS}", CORRECT),
        ("wait = true", f"wait: {SECONDS}", CORRECT),
        ("wait = -1", f"wait: {SECONDS}", CORRECT),
        ("wait = nan", f"wait: {SECONDS}", CORRECT),
        ("wait-lock = inf", f"wait-lock: {SECONDS}", CORRECT),
        (f"wait-lock = 1{'0' * 400}", f"wait-lock: {SECONDS}", CORRECT),
        ("wait = 2024-01-01", f"wait: {SECONDS}", CORRECT),
        ("table = 3", f"table: {NAME}", CORRECT),
        ("table = ''", f"table: {NAME}", CORRECT),
        ("schema = ''", f"schema: {NAME}", CORRECT),
        (r'table = "a\u0000b"', f"table: {NAME}", CORRECT),
        ("migrations = ''", "migrations: must be the path of a folder", CORRECT),
        (r'migrations = "a\u0000b"', "migrations: must be the path of a folder", CORRECT),
        ("migrations = ['a', 'b']", "migrations: must be the path of a folder", CORRECT),
        ("database-url = ''", "database-url: must be a text that is not empty", CORRECT),
        ("color = true", "color: must be one of auto, always, never", CORRECT),
        ("on-duplicate = 'skip'", "on-duplicate: must be one of mark, verify, complete, fail", CORRECT),
    ],
)
@pytest.mark.parametrize("name", FILES)
def test_a_refused_key(world: World, name: str, text: str, problem: str, remedy: str) -> None:
    prefix = ""
    if name == "pyproject.toml":
        text = text.replace("[deep]", "[tool.fluxmig.deep]").replace("[strict]", "[tool.fluxmig.strict]")
        text = f"[tool.fluxmig]\n{text}\n"
        prefix = "tool.fluxmig."
    world.write(name, text)
    error = refused({}, {}, world.directory)
    assert (error.message, error.remedy) == (f"{world.directory}/{name}: {prefix}{problem}", remedy)


READABLE = "Mend or remove it."


@pytest.mark.parametrize(
    ("name", "content", "problem", "remedy"),
    [
        (
            "fluxmig.toml",
            b"strict = true\nwait =\n",
            ": not TOML: Invalid value (at line 2, column 7)",
            "Mend the file there.",
        ),
        (
            "pyproject.toml",
            b"[tool.fluxmig]\ntable='a'\ntable='b'\n",
            ": not TOML: Cannot overwrite a value (at line 3, column 10)",
            "Mend the file there.",
        ),
        ("pyproject.toml", b"tool = 3", ": tool: must be a table", "Write [tool.fluxmig]."),
        ("pyproject.toml", b"[tool]\nfluxmig = true", ": fluxmig: must be a table", "Write [tool.fluxmig]."),
        ("fluxmig.toml", b"# ok\ntable = '\xff'\n", ":2: not UTF-8", "Save the file as UTF-8."),
        ("pyproject.toml", "name = 'Größe'".encode("latin-1"), ":1: not UTF-8", "Save the file as UTF-8."),
        (".env", "A=1\nB=2\nDATABASE_URL=x".encode("utf-16"), ":1: not UTF-8", "Save the file as UTF-8."),
        ("fluxmig.toml", None, ": cannot be read: Is a directory", READABLE),
        ("pyproject.toml", None, ": cannot be read: Is a directory", READABLE),
        (".env", None, ": cannot be read: Is a directory", READABLE),
        (
            ".env",
            b"A=1\nDRY_RUN='true\n",
            ": the line of DRY_RUN cannot be read",
            "Write NAME=value, and close every quotation mark.",
        ),
        (
            ".env",
            b"DRY_RUN\n",
            ": the line of DRY_RUN cannot be read",
            "Write NAME=value, and close every quotation mark.",
        ),
        (
            ".env",
            b'TOKEN="open\nDRY_RUN="true"\n',
            ": the line of DRY_RUN cannot be read",
            "Write NAME=value, and close every quotation mark.",
        ),
    ],
)
def test_a_file_that_cannot_be_used(
    world: World, name: str, content: bytes | None, problem: str, remedy: str
) -> None:
    if content is None:
        (world.directory / name).mkdir()
    else:
        world.write(name, content)
    error = refused({}, {}, world.directory)
    assert (error.message, error.remedy) == (f"{world.directory}/{name}{problem}", remedy)


@pytest.mark.parametrize("name", [".env", *FILES])
def test_a_dangling_link_is_no_missing_file(world: World, name: str) -> None:
    (world.directory / name).symlink_to("nowhere")
    error = refused({}, {}, world.directory)
    assert error.message == f"{world.directory}/{name}: cannot be read: No such file or directory"
    assert isinstance(error.__cause__, FileNotFoundError)


@pytest.mark.parametrize("name", [".env", *FILES])
def test_a_file_without_permission(world: World, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def read_bytes(path: Path) -> bytes:
        if path.name == name:
            raise PermissionError(13, "Permission denied", str(path))
        raise FileNotFoundError(2, "No such file or directory", str(path))

    monkeypatch.setattr(Path, "read_bytes", read_bytes)  # root may read everything
    error = refused({}, {}, world.directory)
    assert str(error) == f"{world.directory}/{name}: cannot be read: Permission denied\n{READABLE}"


def test_both_files_with_keys(world: World) -> None:
    world.write("fluxmig.toml", "strict = true\n")
    world.write("pyproject.toml", "[tool.fluxmig]\ntable = 'x'\n")
    error = refused({}, {}, world.directory)
    own, project = world.directory / "fluxmig.toml", world.directory / "pyproject.toml"
    assert error.message == f"{own} and {project} both configure fluxmig"
    assert error.remedy == "Move all keys into one file."


REFUSES_A_URL = [s for s in SETTINGS if s.field in {"json", "dry_run", "color", "on_duplicate", "wait_s"}]


@pytest.mark.parametrize(
    ("setting", "place"),
    [
        pytest.param(s, place, id=f"{s.key}-{place}")
        for s in REFUSES_A_URL
        for place in places(s)
        if place.partition(" ")[2] not in MARKERS
    ],
)
def test_no_message_and_no_traceback_repeats_a_value(world: World, setting: Setting, place: str) -> None:
    in_quotes = setting._replace(kind=SETTINGS[0].kind)
    world.give(in_quotes, place, SECRET)
    error = refused(world.options, world.environ, world.directory)
    assert "hunter2" not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (".env", f"DATABASE_URL='{SECRET}\n"),
        (".env", f"DATABASE_URL={SECRET}\xff"),
        *((name, f'database-url = "{SECRET}\n') for name in FILES),
        *((name, f"database-url = {SECRET}\n") for name in FILES),
        *((name, f'database-url = "{SECRET}\xff"') for name in FILES),
    ],
)
def test_a_broken_file_keeps_its_secrets(world: World, name: str, content: str) -> None:
    world.write(name, content.encode("latin-1"))
    with pytest.raises(ConfigError) as caught:
        world.load()
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


START_UP = """
import pathlib, sys
before = set(sys.modules)
from fluxmig.config import load
load({}, {}, pathlib.Path(sys.argv[1]))
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
"""


@pytest.mark.parametrize(
    ("files", "loaded"), [((), set()), ((".env",), {"dotenv"}), (("fluxmig.toml",), {"tomllib"})]
)
def test_what_an_import_loads(world: World, files: tuple[str, ...], loaded: set[str]) -> None:
    for name in files:
        world.write(name, "")
    run: Any = subprocess.run(
        [sys.executable, "-c", START_UP, str(world.directory)], capture_output=True, text=True, check=True
    )
    heavy = {"sqlalchemy", "psycopg", "rich", "click", "tomllib", "dotenv", "difflib"}
    assert set(run.stdout.split()) & heavy == loaded


def test_the_variables_are_those_of_the_environment_and_of_dotenv(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=1\nB=2\nPGHOST=nowhere\nC=${A}${B}\n")
    assert variables({"A": "3", "PGUSER": "u"}, tmp_path) == {
        "A": "3",
        "B": "2",
        "C": "32",
        "PGUSER": "u",
    }
    assert variables({"A": "3"}, tmp_path / "elsewhere") == {"A": "3"}
