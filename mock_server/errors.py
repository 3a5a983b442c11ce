"""The errors that fluxmock raises.

FluxmockError
├── SettingsError        a setting, command-line option or FLUXMOCK_* variable that cannot be used
├── IllegalTransition    a job was told to go where its state does not lead
├── UnknownJob           no job of that id in this tenant
├── UnknownDelivery      no webhook delivery of that id in this tenant
├── NotDelivered         a webhook that was waited for did not arrive
├── WorldReset           the world of a request was made anew while it was under way
└── ApiError             a request is refused: an HTTP status, and words for the person behind the client
"""

from __future__ import annotations


class FluxmockError(Exception):
    """Base of all errors raised by fluxmock."""


class SettingsError(FluxmockError):
    """A setting that cannot be used; the text names it, what was expected and what came."""


class IllegalTransition(FluxmockError):
    """A job cannot go that way from its present state."""


class UnknownJob(FluxmockError, LookupError):
    """This tenant has no job of that id."""


class UnknownDelivery(FluxmockError, LookupError):
    """This tenant has no webhook delivery of that id."""


class NotDelivered(FluxmockError, AssertionError):
    """A webhook that was waited for did not arrive; the text says what became of each."""


class WorldReset(FluxmockError):
    """The world of a request was made anew while it was under way; it is to be looked up again."""


class ApiError(FluxmockError):
    """
    A request that is refused.

    The body of the answer is the API's envelope and says only what the real API would; `explanation` goes to the
    `X-Fluxmock-Explain` header, the log and the journal.

    Args:
        status: HTTP status of the answer.
        explanation: what was expected, what came and what to do, for a person.
        headers: further headers of the answer.
    """

    def __init__(self, status: int, explanation: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(status, explanation)
        self.status = status
        self.explanation = explanation
        self.headers = headers
