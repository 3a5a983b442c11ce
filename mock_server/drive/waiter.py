"""The lock behind one wait of a driven thread for a condition: to wait for it is to move the clock."""

from __future__ import annotations

from time import monotonic

from mock_server.drive.members import Member, Rest


class Waiter:
    """The lock that a `Condition` makes for one wait, in a driven thread: waiting for it moves the clock."""

    def __init__(self, member: Member) -> None:
        self._member = member
        self._held = False
        self._rest: Rest | None = None

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it, waiting until it is released, or for `timeout` seconds of the clock; return whether it was had."""
        driver = self._member.driver
        deadline = driver.deadline(timeout) if timeout > 0 else None
        with driver.changed:
            if self._held and blocking:
                self._rest = Rest(self._member, deadline, notifiable=True)
        if self._rest is not None:
            driver.rest(self._rest)
        with driver.changed:
            self._rest = None
            taken, self._held = not self._held, True
            return taken

    def release(self) -> None:
        """Let it go: notify the thread that waits; RuntimeError if nobody has it."""
        with self._member.driver.changed:
            if not self._held:
                raise RuntimeError("release unlocked lock")
            self._held = False
            if self._rest is not None:
                self._rest.over = True
                # Told to go on, it is busy, although it may not run for a while.
                self._member.busy_since = monotonic()
                self._member.driver.changed.notify_all()
