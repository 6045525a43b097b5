"""What an option may say that stands in the help, and so is read before anything else is loaded."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["OnDuplicate"]


class OnDuplicate(StrEnum):
    """What to do when a migration creates an object that is already there."""

    MARK = "mark"
    VERIFY = "verify"
    COMPLETE = "complete"
    FAIL = "fail"
