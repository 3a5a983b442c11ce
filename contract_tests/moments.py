"""When something was answered, as far as a recording says so, and what came before what."""

from __future__ import annotations

import msgspec

from contract_tests.exchanges import Exchange


class Moment(msgspec.Struct, frozen=True, gc=False):
    """
    When an answer was made: some time between `began` and `ended`.

    Args:
        file: that it was recorded in.
        began: when it was asked for, in seconds since the Unix epoch; None when unknown.
        ended: when it had come; None when unknown.
    """

    file: str
    began: float | None
    ended: float | None

    def precedes(self, later: Moment) -> bool:
        """Whether it was for sure before `later`, of which the recording tells later."""
        if self.ended is None or later.began is None:
            return self.file == later.file
        return self.ended <= later.began

    def seconds_until(self, later: Moment) -> float | None:
        """
        Return how many seconds later `later` was, at least; None when that is unknown.

        What is in the same file without a time counts as being of the same run of a client.
        """
        if self.ended is None or later.began is None:
            return 0.0 if self.file == later.file else None
        return later.began - self.ended


def moment_of(exchange: Exchange) -> Moment:
    """Return when an exchange was answered."""
    began = exchange.at
    return Moment(exchange.place.file, began, None if began is None else began + (exchange.elapsed or 0.0))


def are_two(one: Moment, other: Moment) -> bool:
    """Whether two orders are two: a folder may hold the same one twice, recorded in two ways."""
    if one.began is None or other.began is None:
        return one.file == other.file
    return one.began != other.began
