"""Makes a scenario of a recording."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from contract_tests.checker import Checker
from contract_tests.exchanges import Endpoint, Exchange, Trouble
from contract_tests.messages import Parsed, parsed
from contract_tests.redaction import Pseudonyms, redacted
from contract_tests.scenario_making.oddities import Reading, read
from contract_tests.scenario_making.remarks import Remarks
from contract_tests.scenario_making.rulebook import rules_of, settings_of
from contract_tests.scenario_making.writing import Draft
from mock_server.model import JobState

MOST_MESSAGES = 20_000
"""Messages about this API of which a scenario is made; those after them are left out, and said."""


@dataclass(slots=True)
class Recording:
    """
    What was recorded about this API, without secrets.

    Args:
        hook_urls: all that were seen, as they were written: they are secrets.
        version: of the contract that the host speaks which most messages were about; None when there are none.
        troubles: what could not be read.
    """

    messages: list[Parsed] = field(default_factory=list)
    hook_urls: set[str] = field(default_factory=set)
    version: str | None = None
    troubles: list[Trouble] = field(default_factory=list)
    remarks: Remarks = field(default_factory=Remarks)


def gather(recorded: Iterable[Exchange | Trouble], version: str | None = None) -> Recording:
    """
    Read a recording as far as a scenario can hold it.

    Args:
        recorded: as `contract_tests.readers.read` gives it.
        version: of the contract; None finds it out.
    """
    gathered, checker = Recording(), Checker(version)
    hosts: Counter[str] = Counter()
    checker.feed(_gathered(recorded, gathered, hosts))
    contracts = checker.report().contracts
    versions = Counter({host: hosts[host] for host in contracts})
    if versions:
        host = max(versions, key=lambda name: versions[name])
        gathered.version = contracts[host].version
        if len({choice.version for choice in contracts.values()}) > 1:
            gathered.remarks.note(f"hosts speak several versions of the contract; here all speak {gathered.version}")
    return gathered


def collect(recorded: Iterable[Exchange | Trouble], gathered: Recording) -> None:
    """Add what was recorded to `gathered`, whatever version of the contract it speaks."""
    for _ in _gathered(recorded, gathered, Counter()):
        pass


def _gathered(
    recorded: Iterable[Exchange | Trouble], gathered: Recording, hosts: Counter[str]
) -> Iterator[Exchange | Trouble]:
    pseudonyms = Pseudonyms()
    keys: set[str] = set()
    for item in recorded:
        if isinstance(item, Trouble):
            gathered.troubles.append(item)
            gathered.remarks.note(f"what could not be read: {item.why}", item.place)
            continue
        if len(gathered.messages) >= MOST_MESSAGES:
            gathered.remarks.note(f"only the first {MOST_MESSAGES:,} messages are in it")
            return
        clean = redacted(_without_picture(item), pseudonyms)
        message = parsed(clean)
        if message is not None:
            gathered.messages.append(message)
            gathered.hook_urls.update(_hook_urls(message), _hook_urls(parsed(item)))
            hosts[message.host] += message.endpoint is not Endpoint.CALLBACK
            keys.add(clean.request_headers.get("tt-api-key", ""))
            if len(keys - {""}) == 2:
                gathered.remarks.note("several API keys were used, whose calls are counted together", clean.place)
                keys.add("said")
        yield clean


def _hook_urls(message: Parsed | None) -> Iterator[str]:
    if message is not None and message.endpoint is Endpoint.CALLBACK:
        yield message.exchange.url
    elif message is not None and isinstance(message.request, dict):
        url = message.request.get("hookUrl")
        if isinstance(url, str) and url:
            yield url


def _without_picture(exchange: Exchange) -> Exchange:
    kind = exchange.response_headers.get("content-type", "")
    return exchange.changed(response_body=None) if kind.startswith("image/") else exchange


def make(gathered: Recording, name: str, source: str, *, lost_hooks: bool = False) -> Draft:
    """
    Return the scenario that plays a recording.

    Args:
        gathered: what was recorded, with a version of the contract.
        name: of the scenario.
        source: what the recording is called.
        lost_hooks: webhooks that are not in the recording never came, even if there are none in it.
    """
    remarks = gathered.remarks
    reading = read(gathered.messages, gathered.hook_urls, gathered.version or "", remarks, lost_hooks=lost_hooks)
    _note_times(reading, remarks)
    jobs = len(reading.told.jobs)
    head = (
        f"Made of {source} by `fluxmock scenarios from`: {_count(len(gathered.messages), 'message')}, "
        f"{_count(jobs, 'job')}. Ids, images and hook URLs are those of each run."
    )
    return Draft(name, _story(reading), settings_of(reading), rules_of(reading), head, remarks.lines())


def _note_times(reading: Reading, remarks: Remarks) -> None:
    for played in reading.jobs:
        life, first = played.life, (*played.job.fetches, *played.job.hooks, None)[0]
        place = None if first is None else first.exchange.place
        if not life.timed:
            remarks.note("how long a job took is not recorded: it takes as long as the emulator's jobs do", place)
        if life.final is None and any(look.state for look in life.looks):
            remarks.note("a job's end is not recorded, so it never ends here: give it other run_seconds", place)


def _story(reading: Reading) -> str:
    """Tell in one line what happens."""
    lives = [played.life for played in reading.jobs]
    failed = sum(life.final == JobState.FAILED for life in lives)
    calls = [call for of in reading.submissions.values() for call in of]
    calls += [call for played in reading.jobs for call in (*played.fetches, *played.images)]
    refused = sum(call.message.exchange.status is not None and "status" in call.then for call in calls)
    silent = sum(call.message.exchange.status is None for call in calls)
    changed = sum(
        bool({"set", "remove", "rename", "body"} & call.then.keys()) and "status" not in call.then for call in calls
    )
    hooks = sum(bool(played.deliveries.rules) for played in reading.jobs)
    told = [
        f"{_count(len(lives), 'job')}{f', {failed} of which failed' if failed else ''}",
        f"{_count(refused, 'answer')} with another status" if refused else "",
        f"{_count(silent, 'call')} without an answer" if silent else "",
        f"{_count(changed, 'answer')} with another body" if changed else "",
        f"the webhooks of {_count(hooks, 'job')} not as usual" if hooks else "",
    ]
    return f"As it was recorded: {'; '.join(filter(None, told))}."


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
