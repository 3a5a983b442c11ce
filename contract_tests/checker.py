"""Holds a whole recording against the contract, host by host, and finds out which version of it each host speaks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from contract_tests.coverage import Covered
from contract_tests.exchanges import CALLBACK, IMAGE, Endpoint, Exchange, Trouble
from contract_tests.findings import Effect, Finding, Note, Policy, Severity, Tally, in_order
from contract_tests.jobs import JobBook, image_host, job_id_of
from contract_tests.messages import MessageCheck, Parsed, parsed
from contract_tests.observed import Observations, Observed
from contract_tests.secrets import SentSecrets
from mock_server.contract import versions

Observer = Callable[[Parsed, str], None]
"""Is told each message of a recording, and the host that it belongs to."""

_AT_THE_API = frozenset(Endpoint) - {CALLBACK, IMAGE}
_SURE = 200
# Messages by which a version must lag behind the best before it is looked at no more.
MOST_HOSTS = 200
"""Hosts that are told apart. What more there are count as one that is not known, so that memory stays flat."""


@dataclass(frozen=True, slots=True)
class Choice:
    """
    Which version of the contract a host was held against.

    Args:
        version: its name.
        because: why, for a person.
        alone: messages that fit this version and none of the others.
    """

    version: str
    because: str
    alone: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """
    What came of a check.

    Args:
        findings: the worst first.
        messages: exchanges and webhooks that were about this API.
        others: exchanges that were not.
        jobs: how many were followed.
        troubles: what could not be read.
        contracts: by host, the version that it was held against.
        observed: by host, what was seen beside the findings.
        coverage: which branches of the contract were exercised; None where nobody asked.
        effects: what the findings mean for a client; None where none was given.
        empty: how many messages had no body, neither sent nor received, that could be held against the contract.
    """

    findings: tuple[Finding, ...] = ()
    messages: int = 0
    others: int = 0
    jobs: int = 0
    troubles: tuple[Trouble, ...] = ()
    contracts: dict[str, Choice] = field(default_factory=dict)
    observed: dict[str, Observed] = field(default_factory=dict)
    coverage: tuple[Covered, ...] | None = None
    effects: tuple[Effect, ...] | None = None
    empty: int = 0

    def at_least(self, severity: Severity) -> list[Finding]:
        """Return the findings that are as bad as `severity`, or worse."""
        return [finding for finding in self.findings if finding.severity.rank <= severity.rank]

    @property
    def unread(self) -> int:
        """How much could not be read; a trouble may stand for several."""
        return sum(trouble.times for trouble in self.troubles)


class _Side:
    """The messages of one host, held against one version."""

    def __init__(self, version: str) -> None:
        self.version = version
        self._check = MessageCheck(version)
        self.is_ordinary = self._check.is_ordinary
        self.tally = Tally()
        self.misfits = self.broken = 0  # messages that do not fit, and what of the contract they break in all
        self.alone = 0

    def note(self, message: Parsed) -> bool:
        """Note what does not fit; return whether the message as such does."""
        notes = self._check.notes(message)
        for note in notes:
            self.tally.note(note, message.exchange.place)
        broken = sum(note.rule.startswith(_DECISIVE) for note in notes)
        self.broken += broken
        return not broken


_DECISIVE = ("field/missing", "type/", "value/", "request/")


class _Host:
    def __init__(self, name: str, candidates: tuple[str, ...], because: str = "it fits best") -> None:
        self.name = name
        self._because = because
        self.observations = Observations()
        self.sides = [_Side(version) for version in candidates]
        self._tallies = {side.version: side.tally for side in self.sides}
        self.jobs = JobBook(name, self._tallies)

    def note(self, message: Parsed) -> None:
        misfits: list[_Side] = []
        for side in self.sides:
            if not side.is_ordinary(message) and not side.note(message):
                misfits.append(side)  # noqa: PERF401 - a comprehension is a call, and this is done for every message
        if message.exchange.sample_of:  # its job is that of no other message
            alone = JobBook(self.name, self._tallies)
            alone.note(message)
            self.jobs.seen += alone.seen
        else:
            self.jobs.note(message)
        self.observations.note(message)
        if misfits and len(self.sides) > 1:
            self._weigh(misfits)

    def _weigh(self, misfits: list[_Side]) -> None:
        fitting = [side for side in self.sides if side not in misfits]
        for side in misfits:
            side.misfits += 1
        if len(fitting) == 1:
            fitting[0].alone += 1
        best = min(side.misfits for side in self.sides)
        self.sides = [side for side in self.sides if side.misfits < best + _SURE]

    def observed(self) -> Observed:
        return self.observations.seen(self.best().version, self.jobs.times)

    def best(self) -> _Side:
        """Return the side that most messages fit, or of which they break least; of equal ones the newest."""
        return min(reversed(self.sides), key=lambda side: (side.misfits, side.broken))

    def choice(self, *, told: bool) -> Choice:
        best = self.best()
        if told:
            return Choice(best.version, "as you said", best.alone)
        if best.alone:
            fitting = "1 message fits" if best.alone == 1 else f"{best.alone:,} messages fit"
            return Choice(best.version, f"{fitting} it alone", best.alone)
        others = [side for side in self.sides if side is not best]
        if others and all(best.broken < side.broken for side in others):
            return Choice(best.version, "the messages break less of it than of any other")
        return Choice(best.version, "it fits as well as any, and is the newest" if others else self._because)


class Checker:
    """
    Takes a recording, exchange by exchange, in memory that does not grow with it.

    Args:
        version: of the contract; None finds out for each host.
        policy: what to report, and how loud.
        observers: are told each message and the host that it belongs to.

    Attributes:
        sent: the secrets that were sent; the report is without them, and so must be what else is told of the recording.
    """

    def __init__(
        self, version: str | None = None, policy: Policy | None = None, *, observers: Sequence[Observer] = ()
    ) -> None:
        self._observers = observers
        self._told = version is not None
        self._candidates = (version,) if version is not None else versions()
        self._policy = policy or Policy()
        self._hosts: dict[str, _Host] = {}
        self._troubles: list[Trouble] = []
        self.sent = SentSecrets()
        self.messages = self.empty = self.others = 0

    def feed(self, recorded: Iterable[Exchange | Trouble]) -> None:
        """Check what was recorded."""
        note_secrets, hosts = self.sent.note, self._hosts
        for item in recorded:
            if isinstance(item, Trouble):
                self._troubles.append(item)
                continue
            note_secrets(item)
            message = parsed(item)
            if message is None or (message.endpoint is IMAGE and self._is_foreign(message)):
                self.others += 1
                continue
            self.messages += 1
            if not message.response_seen:
                self.empty += message.empty
            host = hosts.get(message.host)
            if host is None or item.sample_of or message.endpoint not in _AT_THE_API:
                host = self._host_of(message)
            host.note(message)
            for observe in self._observers:
                observe(message, host.name)

    def noted(self) -> list[Note]:
        """Return the kinds of findings that there are so far, whatever the policy says."""
        return [note for host in self._hosts.values() for note in host.best().tally.kinds()]

    def report(self) -> Report:
        """End the check, and return what came of it, without the secrets that were sent."""
        findings: list[Finding] = []
        jobs: Counter[str] = Counter()
        for name, host in self._hosts.items():
            host.jobs.close()
            jobs[name] = host.jobs.seen
            side = host.best()
            findings += side.tally.findings(self._policy, name, side.version)
        report = Report(
            findings=tuple(in_order(findings)),
            messages=self.messages,
            empty=self.empty,
            others=self.others,
            jobs=jobs.total(),
            troubles=tuple(self._troubles),
            contracts={name: host.choice(told=self._told) for name, host in self._hosts.items()},
            observed={name: host.observed() for name, host in self._hosts.items()},
        )
        return self.sent.masked(report)

    def _is_foreign(self, message: Parsed) -> bool:
        """Whether it is somebody else's picture: its URL has the ending of our images, and no host of ours."""
        if message.exchange.endpoint is IMAGE or message.host == image_host():
            return False
        return not any(host.jobs.has_images_at(message.host) for host in self._hosts.values())

    def _host_of(self, message: Parsed) -> _Host:
        samples, endpoint = message.exchange.sample_of, message.endpoint
        owner = self._owner_of(message) if not samples and endpoint not in _AT_THE_API else None
        if owner is not None:
            return owner
        name, candidates = message.host, self._candidates
        if endpoint is CALLBACK:
            name = next(iter(self._hosts), "") if len(self._hosts) == 1 else ""
        elif endpoint is IMAGE:
            name = next(iter(self._hosts), "")
        said = [version for version in candidates if version in samples]
        if said and len(said) < len(candidates):
            name, candidates = f"{name or 'samples'} ({', '.join(said)})", tuple(said)
        host = self._hosts.get(name)
        if host is None and len(self._hosts) >= MOST_HOSTS:
            name, candidates = "", self._candidates
            host = self._hosts.get(name)
        if host is None:
            host = self._hosts[name] = _Host(name, candidates, "its samples say so" if said else "it fits best")
        return host

    def _owner_of(self, message: Parsed) -> _Host | None:
        """Return the host that has the job of a webhook, which goes to the client's host, or of an image."""
        if message.endpoint is CALLBACK:
            job_id = job_id_of(message.request) if isinstance(message.request, dict) else None
            return next((host for host in self._hosts.values() if job_id and job_id in host.jobs), None)
        return next((host for host in self._hosts.values() if host.jobs.has_image(message.exchange.url)), None)
