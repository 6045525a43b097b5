"""What ends with the tests, whatever ends these."""

from __future__ import annotations

import shutil

__all__ = ["dying_with_this"]


def dying_with_this(signal: str) -> list[str]:
    """What stands before a server's command, to have it sent a signal when the thread that starts it ends.

    prctl(2), PR_SET_PDEATHSIG, so on Linux; what changes the user behind it undoes it.
    """
    return ["setpriv", f"--pdeathsig={signal}"] if shutil.which("setpriv") else []
