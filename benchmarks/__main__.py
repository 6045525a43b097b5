"""`python -m benchmarks`: measures everything, and writes a page with tables and charts.

A full run takes some fifteen minutes, `--quick` five; `--only CASE` measures that alone, and `--smoke` sees
whether it all works. Peers are installed once, from npm and PyPI, into a folder of their own.
"""

from __future__ import annotations

import argparse
import compileall
import tempfile
from contextlib import ExitStack
from pathlib import Path

import fluxmig
from benchmarks import page, tools
from benchmarks.bench import Bench
from benchmarks.cases import CASES
from benchmarks.server import MEMORY, started

_RESULTS = Path(__file__).parent / "results"
_PEERS = Path(tempfile.gettempdir()) / "fluxmig-benchmarks"
_ROUNDS, _QUICK_ROUNDS = 7, 3


def main() -> None:
    """Measures what is asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="medians of three, for a look")
    parser.add_argument("--smoke", action="store_true", help="a few files, once, without peers")
    parser.add_argument("--only", choices=CASES, action="append", help="again for more; all by default")
    parser.add_argument("--rounds", type=int, help="how often each is measured")
    parser.add_argument("--name", help="the page's; `full`, `quick` or `smoke` by default")
    parser.add_argument("--results", type=Path, default=_RESULTS, help="the folder of the page")
    parser.add_argument("--peers", type=Path, default=_PEERS, help="the folder of the peers")
    parser.add_argument(
        "--disk", type=Path, help="a folder on the disk; the system's temporary one by default"
    )
    options = parser.parse_args()
    name = options.name or ("smoke" if options.smoke else "quick" if options.quick else "full")
    rounds = options.rounds or (1 if options.smoke else _QUICK_ROUNDS if options.quick else _ROUNDS)
    peers = [] if options.smoke else tools.peers(options.peers)
    # As pip does with what it installs: else a clone of fluxmig would be compiled anew in every process where
    # Python may not write.
    compileall.compile_dir(Path(fluxmig.__file__).parent, quiet=1)
    with ExitStack() as stack:

        def temporary(place: Path | None) -> Path:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fluxmig-", dir=place)))
            folder.chmod(0o755)  # for the server's own user, where this runs as root
            return folder

        memory = MEMORY if MEMORY.is_dir() else None
        servers = {
            "disk": stack.enter_context(started("disk", temporary(options.disk) / "pg")),
            "memory": stack.enter_context(started("memory", temporary(memory) / "pg")),
        }
        bench = Bench(temporary(memory), servers, peers, rounds, 0.02 if options.smoke else 1.0)
        sections = []
        for case in options.only or CASES:
            print(f"{case} ...", flush=True)  # noqa: T201
            sections.append(CASES[case](bench))
        versions = {"PostgreSQL": servers["memory"].embedded.version, **tools.versions(options.peers)}
    print(page.write(options.results, name, sections, versions))  # noqa: T201


if __name__ == "__main__":
    main()
