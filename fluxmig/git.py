"""What a commit has in a folder, asked of git. Only reads, and git's index not even that.

Each function raises `ConfigError` where git is not there, or cannot tell.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fluxmig.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

__all__ = ["Repository", "commit", "files", "last_tag", "merge_base", "repository"]

# A hook's environment names the repository that it runs for, by paths from there. This is about the one that
# the folder is in. (git rev-parse --local-env-vars, but for configuration, which may hold safe.directory.)
_LOCAL = frozenset(
    {
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_COMMON_DIR",
        "GIT_DIR",
        "GIT_GRAFT_FILE",
        "GIT_IMPLICIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_INTERNAL_SUPER_PREFIX",
        "GIT_NAMESPACE",
        "GIT_NO_REPLACE_OBJECTS",
        "GIT_OBJECT_DIRECTORY",
        "GIT_PREFIX",
        "GIT_REPLACE_REF_BASE",
        "GIT_SHALLOW_FILE",
        "GIT_WORK_TREE",
        # Not to be together with the literal paths below.
        "GIT_GLOB_PATHSPECS",
        "GIT_ICASE_PATHSPECS",
        "GIT_NOGLOB_PATHSPECS",
    }
)
_SETTINGS = {
    "LC_ALL": "C",  # what it says is read here
    "LANGUAGE": "C",
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_TERMINAL_PROMPT": "0",  # a partial clone fetches what it lacks
}
_LINK = "120000"
_FULL_DEPTH = "in GitHub Actions, give actions/checkout `fetch-depth: 0`"


@dataclass(frozen=True, slots=True)
class Repository:
    """The git repository that a folder is in.

    Attributes:
        folder: The folder.
        prefix: Its path from the repository's root, with a slash behind; empty for the root itself.
        environ: The environment for git.
        option: Which option of the command line asks, for messages.
    """

    folder: Path
    prefix: str
    environ: Mapping[str, str]
    option: str = "--base"


def repository(folder: Path, environ: Mapping[str, str], option: str = "--base") -> Repository:
    """The repository whose working tree a folder is in, be it a clone, a worktree or a submodule.

    Args:
        folder: It has to be there.
        environ: The environment; what a hook says in it of another repository does not count.
        option: Which option of the command line asks, for messages.
    """
    kept = {name: value for name, value in environ.items() if name not in _LOCAL} | _SETTINGS
    found = Repository(folder, "", kept, option)
    done = _git(found, "rev-parse", "--is-inside-work-tree", "--show-prefix")
    if b"not a git repository" in done.stderr:
        raise _no_repository(found)
    is_inside, _, prefix = _checked(found, done).partition(b"\n")
    if is_inside != b"true":
        raise _no_repository(found)
    return replace(found, prefix=os.fsdecode(prefix.removesuffix(b"\n")))


def commit(where: Repository, ref: str) -> str:
    """The commit that a ref stands for."""
    said = b""
    if not ref.startswith("-"):  # no branch's name does, and it would be an option
        said = _git(where, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}").stdout
    if not re.fullmatch(rb"[0-9a-f]{40,64}\n", said):
        shown = "" if "://" in ref else f" {ref!r}"  # a URL in the wrong place may hold a password
        raise ConfigError(f"{where.option}: git knows no such commit{shown}", remedy=_way_to(where, ref))
    return said.decode().strip()


def last_tag(where: Repository) -> str | None:
    """The newest tag that HEAD has behind it, or is itself; None where there is none."""
    done = _git(where, "describe", "--tags", "--abbrev=0")
    return done.stdout.decode().strip() if done.returncode == 0 else None


def merge_base(where: Repository, other: str, ref: str) -> str:
    """The newest commit that HEAD and another have in common: where the present branch began.

    Args:
        where: The repository.
        other: The other commit, and
        ref: its name for people.
    """
    done = _git(where, "merge-base", "HEAD", other)
    if done.returncode == 0:
        return done.stdout.decode().split()[0]
    if _git(where, "rev-parse", "--verify", "--quiet", "HEAD^{commit}").returncode:
        raise ConfigError(f"{where.option}: HEAD has no commit yet", remedy="commit first")
    message = f"{where.option}: HEAD and {ref} have no commit in common"
    if _is_shallow(where):
        remedy = f"the clone is shallow: `git fetch --unshallow`; {_FULL_DEPTH}"
        raise ConfigError(message, remedy=remedy)
    raise ConfigError(message, remedy="name the branch that this one began from")


def files(
    where: Repository, commits: Sequence[str], wanted: Callable[[str], bool]
) -> list[dict[str, bytes | None]]:
    """For each commit, the files that it has in the folder itself; none where it has no such folder.

    Args:
        where: The repository and the folder.
        commits: The commits.
        wanted: Which names.

    Returns:
        The bytes by the name; None for a link to what is no file of that commit.
    """
    listed = [_objects(where, each, wanted) for each in commits]
    blobs = _blobs(where, sorted({name for objects in listed for name in objects.values()}))
    return [{name: blobs[blob] for name, blob in objects.items()} for objects in listed]


def _objects(where: Repository, at: str, wanted: Callable[[str], bool]) -> dict[str, str]:
    """What git calls the contents of each file."""
    listed = _git(where, "ls-tree", "-z", "--full-tree", at, "--", *filter(None, [where.prefix]))
    found = {}
    for entry in _checked(where, listed).split(b"\0")[:-1]:
        facts, _, path = entry.partition(b"\t")
        mode, kind, blob = facts.decode().split()
        name = os.fsdecode(path)[len(where.prefix) :]
        if kind == "blob" and wanted(name):
            # A link counts for what it leads to, as on disk. A question is one line, so that a path with
            # two leads nowhere.
            found[name] = f"{at}:{os.fsdecode(path)}".replace("\n", " ") if mode == _LINK else blob
    return found


def _blobs(where: Repository, objects: Sequence[str]) -> dict[str, bytes | None]:
    """The bytes of each, asked of one process (git-cat-file(1), BATCH OUTPUT)."""
    if not objects:
        return {}
    asked = b"".join(os.fsencode(name) + b"\n" for name in objects)
    answers = io.BytesIO(
        _checked(where, _git(where, "cat-file", "--batch", "--follow-symlinks", asked=asked))
    )
    found = {}
    for name in objects:
        head = answers.readline()
        is_there = not head.endswith((b" missing\n", b" ambiguous\n"))
        if not is_there and ":" not in name:
            remedy = "`git fsck` tells more; a new clone mends it"
            raise ConfigError(f"{where.option}: git lacks the object {name}", remedy=remedy)
        kind, size = head.split()[-2:] if is_there else (b"", b"-1")
        body = answers.read(int(size) + 1)[:-1] if is_there else b""
        found[name] = body if kind == b"blob" else None
    return found


# --- asking git -------------------------------------------------------------------------------------------


def _git(where: Repository, *arguments: str, asked: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            ["git", *arguments],  # noqa: S607
            cwd=where.folder,
            env=where.environ,
            input=asked,
            capture_output=True,
            check=False,
        )
    except OSError as error:
        raise ConfigError(
            f"{where.option} needs git, which cannot be run: {error.strerror}",
            remedy=f"install git, or leave {where.option} out",
        ) from error


def _checked(where: Repository, done: subprocess.CompletedProcess[bytes]) -> bytes:
    if done.returncode:
        raise _refusal(where, done.stderr)
    return done.stdout


def _refusal(where: Repository, said: bytes) -> ConfigError:
    """What git says; where it knows the way out, it says the command."""
    lines = [line.strip() for line in said.decode(errors="replace").splitlines() if line.strip()]
    first = next(
        (line for line in lines if line.startswith("fatal: ")), lines[0] if lines else "no reason given"
    )
    remedy = next((line for line in lines if line.startswith("git config ")), None)
    return ConfigError(
        f"{where.option}: git says {first.removeprefix('fatal: ')}", remedy=remedy and f"`{remedy}`"
    )


def _no_repository(where: Repository) -> ConfigError:
    return ConfigError(
        f"{where.option} needs git's working tree, and {where.folder} is in none",
        remedy=f"run it in a clone, or leave {where.option} out",
    )


def _way_to(where: Repository, ref: str) -> str:
    """How to get a branch that is not here."""
    remotes = _git(where, "remote").stdout.decode(errors="replace").split()
    first, _, rest = ref.partition("/")
    if not remotes:
        return "`git branch --all` lists the branches that there are"
    if first in remotes and rest:
        fetch = f"`git fetch {first} {rest}`"
    else:
        remote = "origin" if "origin" in remotes else remotes[0]
        fetch = (
            f"`git branch --all` lists what there is; `git fetch {remote}` and {where.option} {remote}/BRANCH"
        )
    return f"{fetch}; {_FULL_DEPTH}" if _is_shallow(where) else fetch


def _is_shallow(where: Repository) -> bool:
    return _git(where, "rev-parse", "--is-shallow-repository").stdout.strip() == b"true"
