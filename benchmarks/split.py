"""How fast the splitter reads, and what it holds beside the text.

    python -m benchmarks.split --megabytes 200

Each text is read in a process of its own, which reports the median speed of several runs by its own time on
the processor, and by how much the peak of its memory grew over what it needed with the text alone.
"""

# ruff: noqa: S608, T201
from __future__ import annotations

import argparse
import itertools
import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fluxmig.sql import POSTGRESQL, split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Text = Callable[[], Iterator[str]]

MEGABYTE = 1_000_000
COPY_ROWS = 20_000


def dump() -> Iterator[str]:
    """What pg_dump writes: comments, tables, functions, and data as COPY."""
    yield "-- PostgreSQL database dump\n\n\\restrict x\n\nSET standard_conforming_strings = on;\n\n"
    for number in itertools.count():
        yield f"""--
-- Name: audit_{number}(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.audit_{number}() RETURNS trigger
    LANGUAGE plpgsql
    AS $_$
BEGIN
    -- don't count; it's a comment
    INSERT INTO public.log (message) VALUES ('row; ' || NEW.id);
    RETURN NEW;
END;
$_$;


CREATE TABLE public.data_{number} (
    id integer DEFAULT nextval('public.seq'::regclass) NOT NULL,
    name text DEFAULT 'it''s'::text,
    "odd;name" numeric(10,2) /* a comment; */
);


"""
        for row in range(COPY_ROWS // 4):
            yield f"INSERT INTO public.data_{number} VALUES ({row}, 'it''s {row}; and on', {row}.50);\n"
        yield f'\nCOPY public.data_{number} (id, name, "odd;name") FROM stdin;\n'
        for row in range(COPY_ROWS):
            yield f"{row}\tit's a row with a \\n; and \\\\N\t\\N\n"
        yield "\\.\n\n\n"


def inserts() -> Iterator[str]:
    """What `pg_dump --inserts` writes."""
    for row in itertools.count():
        yield (
            f"INSERT INTO public.orders VALUES ({row}, 'customer {row}', 'street {row}, it''s', NULL,"
            f" {row}.25, '2024-01-31 12:00:00+00', true);\n"
        )


def tiny() -> Iterator[str]:
    """The shortest statements that are any use."""
    return itertools.repeat("SELECT 1;\n")


TEXTS: dict[str, Text] = {"dump": dump, "inserts": inserts, "tiny": tiny}


def write(path: Path, pieces: Iterator[str], size: int) -> None:
    """Writes a text of at least this many bytes, whole statements only."""
    with path.open("wb") as file:
        for piece in pieces:
            file.write(piece.encode())
            if file.tell() >= size and piece.endswith((";\n", "\\.\n\n\n")):
                break


def peak() -> int:
    """The most memory this process has held, in bytes; the system says it so to no other process."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@dataclass(frozen=True, slots=True)
class Split:
    """How one text was read; the line of the report."""

    name: str
    megabytes: float
    statements: int
    megabytes_s: float
    held_mb: float

    def __str__(self) -> str:
        return (
            f"{self.name:8} {self.megabytes:5.0f} MB {self.statements:>11,} statements"
            f" {self.megabytes_s:7.1f} MB/s {self.held_mb:7.1f} MB beside the text,"
            f" {self.held_mb / self.megabytes * 100:.1f} per 100 MB"
        )


def fluxmig(text: bytes) -> int:
    """How many statements fluxmig finds."""
    return len(split(text, POSTGRESQL))


def libpg_query(text: bytes) -> int:
    """How many the scanner of PostgreSQL itself finds, as libpg_query has it; it knows no rows of a COPY."""
    import pglast  # noqa: PLC0415  # where it is installed

    return len(pglast.split(text.decode(), with_parser=False, only_slices=True))


SPLITTERS: dict[str, Callable[[bytes], int]] = {"fluxmig": fluxmig, "libpg_query": libpg_query}


def measure(name: str, path: Path, repeats: int, splitter: str) -> Split:
    """Reads a text in this process."""
    text = path.read_bytes()
    SPLITTERS[splitter](b"SELECT 1;")  # what is loaded and compiled for it
    before = peak()
    seconds = []
    for _ in range(repeats):
        started = time.process_time()
        count = SPLITTERS[splitter](text)
        seconds.append(time.process_time() - started)
    size = len(text) / MEGABYTE
    return Split(name, size, count, size / statistics.median(seconds), (peak() - before) / MEGABYTE)


def measured(name: str, path: Path, repeats: int, splitter: str = "fluxmig") -> Split:
    """Reads a text in a process of its own: the peak of the last one would hide this one's."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (name, path, repeats, splitter))


def main() -> None:
    """Prints the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--text", choices=TEXTS, action="append", help="again for more; all by default")
    parser.add_argument("--megabytes", type=int, default=100, help="the size of each text")
    parser.add_argument("--repeats", type=int, default=5, help="how often each is split")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "text.sql")
        for name in options.text or TEXTS:
            write(path, TEXTS[name](), options.megabytes * MEGABYTE)
            print(measured(name, path, options.repeats), flush=True)


if __name__ == "__main__":
    main()
