"""Carries out a plan against a live API, and holds all that is said against the contract."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from contract_tests.checker import Checker, Report
from contract_tests.exchanges import Exchange, Place, target_of
from contract_tests.findings import Note, Policy, Tally, in_order
from contract_tests.jobs import job_id_of
from contract_tests.recording import Writer
from contract_tests.redaction import Pseudonyms, redacted
from contract_tests.verify import calls, judging
from contract_tests.verify.calls import Call, Key
from contract_tests.verify.hooks import Receiver
from contract_tests.verify.line import Line
from contract_tests.verify.plan import FREE, Order, Plan, Refusal, Step
from mock_server.model import JobState

_MOST_TRIES = 3
_LONGEST_PAUSE = 60.0


class Unreachable(Exception):
    """Nobody answered the first call; the text says why."""


class _Stop(Exception):
    """The run ends here; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """
    How patient a run is.

    Args:
        interval: seconds between two fetches of a job, and before a call that met 429 is made again. No source names a
            polite one, so the default is assumed.
        patience: seconds after which a job, and a webhook, is no longer waited for.
    """

    interval: float = 3.0
    patience: float = 300.0


class Run:
    """
    One conformance run.

    Args:
        line: the way to the API.
        version: of the contract; None finds out.
        policy: what to report, and how loud.
        manners: how patient it is.
        receiver: takes the webhook; None orders none.
        writer: keeps what is said.
        pseudonyms: stand for secrets; those of `writer`.
        tell: told what happens, a line each.
        pause: waits so many seconds.

    Attributes:
        spent: quota units; of jobs that did not tell, their price.
        stopped: why the run ended before its time; "" when it did not.
    """

    def __init__(
        self,
        line: Line,
        *,
        version: str | None = None,
        policy: Policy | None = None,
        manners: Manners | None = None,
        receiver: Receiver | None = None,
        writer: Writer | None = None,
        pseudonyms: Pseudonyms | None = None,
        tell: Callable[[str], None] = lambda _line: None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.spent = FREE
        self.stopped = ""
        self._line = line
        self._checker = Checker(version, policy)
        self._policy = policy or Policy()
        self._manners = manners or Manners()
        self._receiver = receiver
        self._writer = writer
        self._latest = Place("verify", 0)
        self._pseudonyms = pseudonyms or Pseudonyms()
        self._tell = tell
        self._pause = pause
        self._tally = Tally()
        self._statuses: dict[str, int] = {}
        self._answered = False
        self._familiar = False  # whether anything was refused as this API does it

    def __call__(self, plan: Plan) -> Report:
        """
        Carry out the plan, or as much of it as brings no surprise, and return what came of it.

        Raises:
            Unreachable: nobody answered the first call.
        """
        for number, step in enumerate(plan.steps, start=1):
            try:
                self._step(step, plan.spend - self.spent)
            except _Stop as stop:
                self.stopped = self._line.masked(str(stop))
                endpoint = step.endpoint if isinstance(step, Refusal) else f"{step.endpoint}.response"
                words = f"at {step.name}, step {number} of {len(plan.steps)}: {self.stopped}"
                self._tally.note(Note("verify/stopped", endpoint, "", words), self._latest)
                break
        return self._report()

    def _step(self, step: Step, left: Decimal) -> None:
        if step.at_most:
            self._see_whom_we_talk_to()
        if step.at_most > left:
            raise _Stop(f"it could cost {step.at_most:f} quota units, {left:f} is left")
        if isinstance(step, Order):
            self._order(step)
        else:
            self._refusal(step)

    def _see_whom_we_talk_to(self) -> None:
        """Nothing is ordered from a host that refuses everything in the same way, or never as this API does."""
        seen = set(self._statuses.values())
        if not self._familiar or len(seen) == 1:
            got = f"{seen.pop()} to all" if len(seen) == 1 else "none of them"
            raise _Stop(f"expected the refusals of the TTAPI Flux API, got {got}; is that its base URL?")

    def _report(self) -> Report:
        report = self._checker.report()
        host = target_of(f"{self._line.base_url}/").host
        choice = report.contracts.get(host)
        ours = self._tally.findings(self._policy, host, choice.version if choice else "")
        return replace(report, findings=tuple(in_order([*report.findings, *ours])))

    # Calls that must be refused

    def _refusal(self, step: Refusal) -> None:
        self.spent += step.at_most  # until it is refused
        exchange = self._ask(step.call, step.name, patient=not step.at_most)
        if exchange.status is None:
            if not self._answered:
                raise Unreachable(exchange.error)
            self._note(Note("verify/no-answer", step.endpoint, "", f"{step.name}: {exchange.error}"), exchange)
            if step.at_most:
                raise _Stop(f"{step.name} was not answered, and may have been charged")
            return
        self._answered = True
        if 400 <= exchange.status < 500 and exchange.status != 429:
            self._statuses[step.name] = exchange.status
        note = judging.of_refusal(step, exchange, self._statuses.get(step.same_as, step.status))
        if note is not None:
            self._note(note, exchange)
        if judging.is_key_refused(step, exchange):
            raise _Stop("the API does not take the key")
        if where := judging.redirect_of(exchange):
            raise _Stop(f"the API redirects to {where}; if that is where it is now, give that as base URL")
        if judging.is_accepted(step, exchange):
            self.spent += step.price - step.at_most
            raise _Stop(f"{step.name} was accepted, and may have been charged")
        if judging.is_clearly_refused(exchange):
            self._familiar = True
            self.spent -= step.at_most
        elif step.at_most:
            raise _Stop(f"{step.name} was not clearly refused, and may have been charged")

    # Orders

    def _order(self, order: Order) -> None:
        receiver = self._receiver if order.thorough else None
        self.spent += order.price  # until the job tells what it cost
        exchange = self._ask(order.call(receiver.url if receiver else None), order.name, patient=False)
        endpoint, status = f"{order.endpoint}.response", exchange.status
        if status is None:
            self._note(Note("verify/no-answer", endpoint, "", f"{order.name}: {exchange.error}"), exchange)
            raise _Stop(f"{order.name} was not answered, and may have been charged")
        job_id = job_id_of(judging.body_of(exchange))
        if status >= 300 and job_id is None:
            words = f"{order.name}: expected an acceptance, got {status}"
            self._note(Note("verify/refused", endpoint, "", words, judging.OK, str(status)), exchange)
            if judging.is_clearly_refused(exchange):  # else it may have been accepted behind what answers
                self.spent -= order.price
            raise _Stop(f"{order.name} was refused")
        self._note(judging.of_success(order.name, endpoint, exchange), exchange)
        if job_id is None:
            words = f"{order.name}: no id of a job was answered; it counts as {order.price:f}"
            self._note(Note("verify/charge-unknown", endpoint, "/data", words, order.fact), exchange)
            raise _Stop("what was ordered cannot be followed")
        self._follow(order, job_id, receiver)

    def _follow(self, order: Order, job_id: str, receiver: Receiver | None) -> None:
        final, last = self._until_it_ends(order, job_id)
        surprise = ""
        if final.get("status") == JobState.SUCCESS.value:
            units = judging.charged(final)
            if (note := judging.of_charge(order, units)) is not None:
                self._note(note, last)
                surprise = "what was charged is not what was planned"
            self.spent += (order.price if units is None else units) - order.price
        else:
            reason = str(final.get("message"))
            words = f"{order.name}: the job failed; whether that is charged is not known"
            self._note(Note("verify/job-failed", "fetch.response", "/message", words, example=reason), last)
            surprise = "the job failed"
        if order.thorough:
            self._look_closer(job_id, final)
        self._download(final)
        if receiver is not None:
            self._wait_for_hook(receiver, last)
        if surprise:
            raise _Stop(surprise)

    def _until_it_ends(self, order: Order, job_id: str) -> tuple[dict[str, Any], Exchange]:
        until = time.monotonic() + self._manners.patience
        while True:
            exchange = self._ask(calls.fetch({"jobId": job_id}), f"{order.name}: fetch", patient=False)
            status = exchange.status
            final = judging.body_of(exchange)
            # As the vendor advises: no answer and 5xx are worth another try, and so is 429; other refusals are not.
            busy = status is None or status == 429 or status >= 500
            if not busy:
                self._note(judging.of_success(f"{order.name}: fetch", "fetch.response", exchange), exchange)
            if status is not None and status < 300 and final.get("status") in judging.FINAL:
                return final, exchange
            refused = status is not None and status >= 300 and not busy
            if refused or time.monotonic() >= until:
                seen = f"status {status}" if status != 200 else f"{final.get('status')}"
                words = f"{order.name}: the job did not end; what it cost is not known and counts as {order.price:f}"
                self._note(Note("verify/unfinished", "fetch.response", "", words, example=seen), exchange)
                raise _Stop("the job did not end")
            self._pause(self._manners.interval)

    def _look_closer(self, job_id: str, final: dict[str, Any]) -> None:
        for form in calls.other_forms(job_id):
            exchange = self._ask(form.call, f"fetch by {form.name}")
            self._note(judging.of_form(form, exchange, final), exchange)
        exchange = self._ask(calls.fetch({"jobId": job_id}, Key.WRONG), "fetch with another key")
        self._note(judging.of_wrong_key(exchange), exchange)

    def _download(self, final: dict[str, Any]) -> None:
        data = final.get("data")
        if isinstance(data, dict) and isinstance(url := data.get("imageUrl"), str):
            exchange = self._line.image(url)
            kept = self._keep(exchange.changed(response_body=None), "image")  # it would be most of the recording
            self._note(judging.of_image(exchange, data.get("size")), kept)

    def _wait_for_hook(self, receiver: Receiver, last: Exchange) -> None:
        arrived = receiver.wait(self._manners.patience)
        if arrived is None:
            words = f"none came within {self._manners.patience:g} s after the job had ended"
            self._note(Note("verify/hook", "callback.request", "", words), last)
            return
        self._keep(arrived, "webhook")

    # All of them

    def _ask(self, call: Call, name: str, *, patient: bool = True) -> Exchange:
        """Make a call, `patient`: again when there were too many at a time. What may cost is never sent twice."""
        for tries_left in reversed(range(_MOST_TRIES if patient else 1)):
            exchange = self._keep(self._line.ask(call), name)
            if exchange.status != 429 or not tries_left:
                break
            asked = exchange.response_headers.get("retry-after", "")
            self._pause(min(float(asked) if asked.isdecimal() else self._manners.interval, _LONGEST_PAUSE))
        return exchange

    def _keep(self, exchange: Exchange, name: str) -> Exchange:
        """Record and check what was said; return it with its place: in the recording, or else that of the plan."""
        clean = redacted(self._line.without_key(exchange), self._pseudonyms)
        self._latest, trouble = Place(f"call {name}", 0), ""
        if self._writer is not None:
            try:
                self._latest = self._writer.write(clean)
            except OSError as error:
                trouble = f"the recording cannot be written: {error.strerror or error}"
        before = set(self._checker.noted())
        self._checker.feed([clean.changed(place=self._latest)])
        news = len(set(self._checker.noted()) - before)
        outcome = exchange.status if exchange.status is not None else exchange.error
        self._tell(f"{name}: {outcome}{f', {news} new in it' if news else ''}")
        if trouble:
            raise _Stop(trouble)
        return exchange.changed(place=self._latest)

    def _note(self, note: Note | None, exchange: Exchange) -> None:
        if note is not None:
            # What an API says may have the key in it, and must not go on from here.
            note = note._replace(message=self._line.masked(note.message), example=self._line.masked(note.example))
            self._tally.note(note, exchange.place)
            self._tell(f"  {note.rule}: {note.message}")
