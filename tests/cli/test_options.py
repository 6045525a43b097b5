"""Where a setting may stand: before and after the command, in variables, in files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.support import process

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Cli

# For each common option: a command, two values, and what is to be seen of each in what the command prints.
# A flag has one value, and nothing to be seen without it.
CASES: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "--database-url": (
        ("verify",),
        {
            "sqlite:///one.db": "{0}/one.db",
            "sqlite:///two.db": "{0}/two.db",
        },
    ),
    "--direct-url": (
        ("verify", "--database-url", "sqlite:///pooled.db"),
        {
            "sqlite:///one.db": "{0}/one.db",
            "sqlite:///two.db": "{0}/two.db",
        },
    ),
    "--migrations": (
        ("status", "--database-url", "sqlite://"),
        {"one": "there is no folder one", "db/two": "there is no folder db/two"},
    ),
    "--table": (
        ("verify", "--database-url", "sqlite://"),
        {"one": "Ledger:     one is", "two": "Ledger:     two is"},
    ),
    "--schema": (
        ("verify", "--database-url", "sqlite://"),
        {"main": "Ledger:     main.schema_migrations", "temp": "Ledger:     temp.schema_migrations"},
    ),
    "--color": (("status",), {"always": "\x1b[31merror: ", "never": "error: there is no database URL"}),
    "--wait": (
        ("verify", "--database-url", "sqlite:///one.db"),
        {"0": "{0}/one.db", "soon": "option --wait: must be a number of seconds, 0 or more"},
    ),
    "--postgres-bin": (
        ("status", "--database-url", "embedded"),
        {"one": "{0}/one", "two": "{0}/two"},
    ),
}
FLAGS: dict[str, tuple[tuple[str, ...], str]] = {
    "--json": (("status",), '"format": 1'),
    "--debug": (("status",), "Traceback (most recent call last)"),
}
PAIRS = [(option, first, second) for option, (_, (first, second)) in CASES.items()]
PAIRS += [(option, second, first) for option, first, second in PAIRS]


@pytest.fixture
def shows(bare: Cli, tmp_path: Path, folder: Path) -> Callable[..., bool]:
    """Whether the command of an option shows what a value of it makes it show."""

    def look(option: str, value: str, *before: str, after: tuple[str, ...] = ()) -> bool:
        for name in ("one.db", "two.db"):  # the name of one that is not there is not shown
            (tmp_path / name).touch()
        command, seen = CASES[option]
        result = bare(*before, *command, *after)
        return seen[value].format(tmp_path) in result.out + result.err

    return look


@pytest.mark.parametrize(("option", "value", "other"), PAIRS)
def test_before_the_command(option: str, value: str, other: str, shows: Callable[..., bool]) -> None:
    assert shows(option, value, option, value)


@pytest.mark.parametrize(("option", "value", "other"), PAIRS)
def test_after_the_command(option: str, value: str, other: str, shows: Callable[..., bool]) -> None:
    assert shows(option, value, after=(option, value))
    assert shows(option, value, after=(f"{option}={value}",))


@pytest.mark.parametrize(("option", "value", "other"), PAIRS)
def test_the_one_after_the_command_wins(
    option: str, value: str, other: str, shows: Callable[..., bool]
) -> None:
    assert shows(option, value, option, other, after=(option, value))


@pytest.mark.parametrize(("option", "value", "other"), PAIRS)
def test_an_option_beats_its_variable(
    option: str, value: str, other: str, shows: Callable[..., bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"FLUXMIG_{option[2:].upper().replace('-', '_')}", other)
    assert shows(option, value, option, value)
    assert shows(option, value, after=(option, value))


@pytest.mark.parametrize("option", FLAGS)
def test_flags(option: str, bare: Cli) -> None:
    command, seen = FLAGS[option]
    for args in ((option, *command), (*command, option), (option, *command, option)):
        result = bare(*args)
        assert seen in result.out + result.err
    result = bare(*command)
    assert seen not in result.out + result.err


def test_options_around_several_words(bare: Cli) -> None:
    result = bare("--migrations", "a", "create", "--with-down", "x", "--migrations", "b", "y")
    assert result.out == "Created b/001_x_y.sql\nCreated b/001_x_y.down.sql\n"


@pytest.mark.parametrize("option", ["--dry-run", "--keep-going", "--check", "--yes", "--steps"])
def test_an_option_of_one_command_is_none_of_all(option: str, bare: Cli) -> None:
    result = bare(option, "run")
    assert (result.code, result.out) == (2, "")
    assert "No such option" in result.err


# --- variables and files, end to end ----------------------------------------------------------------------


@pytest.fixture
def one(write: Callable[..., None]) -> None:
    write({"001_a.sql": "SELECT 1;"})


URL_FILES = {
    ".env": "DATABASE_URL='sqlite:///named.db'\n",
    "fluxmig.toml": 'database-url = "sqlite:///named.db"\n',
    "pyproject.toml": '[project]\nname = "x"\n[tool.fluxmig]\ndatabase-url = "sqlite:///named.db"\n',
}


@pytest.mark.usefixtures("one")
@pytest.mark.parametrize("name", URL_FILES)
def test_the_url_in_a_file(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(URL_FILES[name])
    assert process("run").returncode == 0
    assert (tmp_path / "named.db").exists()


@pytest.mark.usefixtures("one")
@pytest.mark.parametrize("name", URL_FILES)
def test_the_variable_beats_a_file(
    name: str, bare: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).write_text(URL_FILES[name])
    monkeypatch.setenv("DATABASE_URL", "sqlite:///real.db")
    assert bare("run").code == 0
    assert (tmp_path / "real.db").exists()
    assert not (tmp_path / "named.db").exists()


@pytest.mark.usefixtures("one")
def test_option_environment_dotenv_file(bare: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole order of precedence, taken down from the top."""

    def url() -> str:
        bare("run", *option)
        (made,) = tmp_path.glob("*.db")
        made.unlink()
        return made.name

    option = ["--database-url", "sqlite:///option.db"]
    monkeypatch.setenv("FLUXMIG_DATABASE_URL", "sqlite:///own.db")
    monkeypatch.setenv("DATABASE_URL", "sqlite:///shared.db")
    (tmp_path / ".env").write_text("DATABASE_URL=sqlite:///dotenv.db\n")
    (tmp_path / "fluxmig.toml").write_text('database-url = "sqlite:///toml.db"\n')
    assert url() == "option.db"
    option = []
    assert url() == "own.db"
    monkeypatch.delenv("FLUXMIG_DATABASE_URL")
    assert url() == "shared.db"
    monkeypatch.delenv("DATABASE_URL")
    assert url() == "dotenv.db"
    (tmp_path / ".env").unlink()
    assert url() == "toml.db"


def test_a_project_with_everything_in_its_file(bare: Cli, tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "001_a.sql").write_text("CREATE TABLE a (id integer);")
    (tmp_path / "pyproject.toml").write_text(
        '[tool.fluxmig]\ndatabase-url = "sqlite:///app.db"\nmigrations = "db"\ntable = "done"\njson = true\n'
    )
    assert bare("run").json["results"][0]["name"] == "001_a.sql"
    verified = bare("verify").json
    assert verified["ledger"]["table"] == "done"
    assert verified["applied"] == 1


# --- when they are wrong ----------------------------------------------------------------------------------


def test_no_url(bare: Cli, folder: Path) -> None:
    result = bare("status")
    assert (result.code, result.out, result.err) == (
        2,
        "",
        (
            "error: there is no database URL\n"
            "give --database-url URL, or set DATABASE_URL, also in a .env file;"
            " `--database-url embedded` starts a private PostgreSQL\n"
        ),
    )


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"fluxmig.toml": "tabel = 'x'\n"}, "{0}fluxmig.toml: tabel: unknown key\nDid you mean table?\n"),
        ({"fluxmig.toml": "strict = 'yes'\n"}, "{0}fluxmig.toml: strict: must be true or false"),
        ({"fluxmig.toml": "= 1\n"}, "{0}fluxmig.toml: not TOML: "),
        (
            {"fluxmig.toml": "strict = true\n", "pyproject.toml": "[tool.fluxmig]\nstrict = true\n"},
            "{0}fluxmig.toml and {0}pyproject.toml both configure fluxmig\n",
        ),
        ({".env": "DATABASE_URL='x\n"}, "{0}.env: the line of DATABASE_URL cannot be read\n"),
    ],
)
def test_a_wrong_file(files: dict[str, str], said: str, bare: Cli, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    result = bare("status")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: " + said.format(""))


def test_a_wrong_variable(bare: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUXMIG_WAIT", "soon")
    result = bare("status")
    assert (result.code, result.out, result.err) == (
        2,
        "",
        (
            "error: environment variable FLUXMIG_WAIT: must be a number of seconds, 0 or more\n"
            "Correct it, or leave it out.\n"
        ),
    )
