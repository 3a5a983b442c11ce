"""What a conformance run will do and what that costs, known before the first call.

A *refusal* is a call that must be refused. Most are free as long as an API does not make images without a prompt. A
few have a single other fault, which a lenient API might overlook: those are made only when the budget could pay for an
acceptance. An *order* is meant to be accepted, and costs its price.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from contract_tests.exchanges import Endpoint
from contract_tests.findings import Confidence, Fact
from contract_tests.verify import calls
from contract_tests.verify.calls import PROMPT, Call, Key
from mock_server import bodies, resources
from mock_server.contract import contract, versions
from mock_server.product import Product, load_product

FREE = Decimal(0)
UNKNOWN_JOB = "fetch-unknown-job"
_WRONG_MODE = "fluxmock-no-such-mode"
_MOST_DIGITS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """
    A call that must be refused.

    Args:
        name: short and stable.
        does: what is wrong with it, for a person.
        call: what is sent.
        endpoint: the message that the answer is, such as `generate.response`.
        status: the HTTP status that is expected.
        fact: who says so.
        two_faults: something else is wrong with it too, so that it cannot be accepted; which fault is answered is not
            documented.
        same_as: name of an earlier refusal whose status is expected, instead of `status`.
        price: quota units that it counts as, should it be accepted: that of its mode, or the highest there is.
        guarded: whether it is made only where so much is left, for nothing but its only fault stands in the way.
    """

    name: str
    does: str
    call: Call
    endpoint: str
    status: int
    fact: Fact
    two_faults: bool = False
    same_as: str = ""
    price: Decimal = FREE
    guarded: bool = False

    @property
    def at_most(self) -> Decimal:
        """Quota units that must be left."""
        return self.price if self.guarded else FREE


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """
    A call that is charged.

    Args:
        name: short and stable.
        does: what is ordered, for a person.
        endpoint: where.
        fields: of the request, but for the hookUrl.
        price: quota units.
        fact: who says so.
        thorough: whether its job is looked at in every way that is free.
    """

    name: str
    does: str
    endpoint: Endpoint
    fields: dict[str, str]
    price: Decimal
    fact: Fact
    thorough: bool = False

    @property
    def at_most(self) -> Decimal:
        """Quota units that must be left."""
        return self.price

    def call(self, hook_url: str | None = None) -> Call:
        """Return what is sent."""
        fields = self.fields | ({"hookUrl": hook_url} if hook_url else {})
        return calls.edits(fields) if self.endpoint is Endpoint.EDITS else calls.generate(fields)


Step = Refusal | Order


@dataclass(frozen=True, slots=True)
class Plan:
    """
    What will be done, in this order.

    Args:
        steps: all of them.
        left_out: what the budget does not allow.
        spend: quota units that may be spent.
    """

    steps: tuple[Step, ...]
    left_out: tuple[Step, ...]
    spend: Decimal

    @property
    def price(self) -> Decimal:
        """Quota units that an API which keeps to the contract charges for it."""
        return sum((step.price for step in self.steps if isinstance(step, Order)), FREE)


def quota_units(text: str) -> Decimal | None:
    """Return an amount of quota units; None where it is no sensible one, such as one of a million digits."""
    try:
        units = Decimal(text)
    except InvalidOperation:
        return None
    if not units.is_finite() or units < 0 or len(units.as_tuple().digits) > _MOST_DIGITS:
        return None
    return units if abs(int(units.as_tuple().exponent)) <= _MOST_DIGITS else None


def make_plan(spend: Decimal, version: str | None, unknown_job: str) -> Plan:
    """
    Return what a run does.

    Args:
        spend: quota units that may be spent.
        version: of the contract; None for what all have in common.
        unknown_job: an id that no job has.
    """
    steps: list[Step] = list(_free(unknown_job))
    left_out: list[Step] = []
    left = spend
    wanted: tuple[Step, ...] = (*_guarded(), *_orders(version))
    for step in wanted:
        if step.at_most > left:
            left_out.append(step)
            continue
        steps.append(step)
        left -= step.price if isinstance(step, Order) else FREE
    return Plan(tuple(steps), tuple(left_out), spend)


def as_text(plan: Plan, base_url: str) -> str:
    """Return the plan for a person."""
    free = [step for step in plan.steps if not step.at_most]
    guarded = [step for step in plan.steps if isinstance(step, Refusal) and step.at_most]
    orders = [step for step in plan.steps if isinstance(step, Order)]
    lines = [f"{base_url}: {len(plan.steps)} steps, {plan.price:f} of {plan.spend:f} quota units"]
    lines += _told("free: there is no complete order among them", free)
    lines += _told("free, unless the API overlooks the only fault", guarded)
    lines += _told("charged; each job is then fetched until it ends, and its image once, free of charge", orders)
    lines += _told("left out, for --spend does not cover them", plan.left_out)
    usd = plan.price / load_product().quota_per_usd
    return "\n".join([*lines, "", f"total: {plan.price:f} quota units ({usd:.2f} USD)", ""])


def _told(title: str, steps: Sequence[Step]) -> Iterator[str]:
    if not steps:
        return
    yield from ("", title)
    for step in steps:
        if isinstance(step, Order):
            call, cost = step.call(), f"{step.price:f} ({step.fact.confidence})"
        else:
            call, cost = step.call, f"0, at most {step.at_most:f}" if step.at_most else "0"
        yield f"  {step.name:<29} {call!s:<27} {step.does}: {cost}"


def _free(unknown_job: str) -> Iterator[Refusal]:
    product = load_product()
    dearest, mode = _dearest(product), _cheapest(product, None)
    price = product.modes[mode].price
    unknown, faulty = {"jobId": unknown_job}, {"mode": mode}
    yield _refusal(UNKNOWN_JOB, "an id that no job has", calls.fetch(unknown), 404, fact=_http(404, assumed=True))
    for form in calls.other_forms(unknown_job):
        does = "the same, asked in another way"
        yield _refusal(f"{UNKNOWN_JOB}-{form.name}", does, form.call, 404, fact=form.fact, same_as=UNKNOWN_JOB)
    yield _refusal("fetch-no-id", "no jobId", calls.fetch({}))
    for name, key in (("no-key", Key.NONE), ("bad-key", Key.WRONG)):
        yield _refusal(f"fetch-{name}", f"{key}, and an unknown job", calls.fetch(unknown, key), 401, two_faults=True)
        for order in (calls.generate(faulty, key), calls.edits(faulty, key=key)):
            endpoint = order.path.rpartition("/")[2]
            yield _refusal(f"{endpoint}-{name}", f"{key}, and no prompt", order, 401, two_faults=True, price=price)
    yield _refusal("generate-no-prompt", "no prompt", calls.generate(faulty), price=price)
    yield _refusal("generate-nothing", "an empty object", calls.generate({}), price=dearest)
    wrong = calls.generate({"mode": _WRONG_MODE})
    yield _refusal("generate-wrong-mode", "an unknown mode, and no prompt", wrong, price=dearest)
    broken = Call("POST", "/flux/generate", {"data": b'{"prompt": "', "headers": {"Content-Type": bodies.JSON}})
    breaks_off = _http(400, assumed=True)
    yield _refusal("generate-broken-json", "JSON that breaks off", broken, fact=breaks_off, price=dearest)
    yield _refusal("edits-no-prompt", "a picture, and no prompt", calls.edits(faulty), price=price)
    yield _refusal("wrong-endpoint", "a path that there is not", Call("POST", "/flux/no-such-endpoint"), 404)


def _guarded() -> Iterator[Refusal]:
    product = load_product()
    dearest = _dearest(product)
    order = {"prompt": PROMPT, "mode": _cheapest(product, None)}
    yield _refusal("generate-no-mode", "no mode", calls.generate({"prompt": PROMPT}), price=dearest, guarded=True)
    wrong = calls.generate(order | {"mode": _WRONG_MODE})
    yield _refusal("generate-unknown-mode", "an unknown mode", wrong, price=dearest, guarded=True)
    alone = calls.edits(order, image=False)
    yield _refusal("edits-no-image", "no picture", alone, price=product.modes[order["mode"]].price, guarded=True)


def _refusal(
    name: str,
    does: str,
    call: Call,
    status: int = 400,
    *,
    fact: Fact | None = None,
    two_faults: bool = False,
    same_as: str = "",
    price: Decimal = FREE,
    guarded: bool = False,
) -> Refusal:
    endpoint = name.partition("-")[0]
    return Refusal(
        name=name,
        does=does,
        call=call,
        endpoint=f"{endpoint}.response" if endpoint in list(Endpoint) else "error.response",
        status=status,
        fact=fact or _http(status),
        two_faults=two_faults,
        same_as=same_as,
        price=price,
        guarded=guarded,
    )


def _orders(version: str | None) -> Iterator[Order]:
    product = load_product()
    mode = _cheapest(product, version)
    price, fields = product.modes[mode].price, {"prompt": PROMPT, "mode": mode}
    said = resources.load("product.json")["modes"][mode]
    sources, confidence = tuple(said["x-source"]["price"]), Confidence(said["x-confidence"]["price"])
    fact = Fact("product.json", f"/modes/{mode}/price", sources, confidence)
    yield Order(
        name="generate", does=mode, endpoint=Endpoint.GENERATE, fields=fields, price=price, fact=fact, thorough=True
    )
    # No source says that an edit costs as much as an image.
    assumed = fact._replace(sources=(), confidence=Confidence.ASSUMED)
    yield Order(name="edits", does=mode, endpoint=Endpoint.EDITS, fields=fields, price=price, fact=assumed)


def _dearest(product: Product) -> Decimal:
    return max(mode.price for mode in product.modes.values())


def _cheapest(product: Product, version: str | None) -> str:
    """Return the cheapest mode that both endpoints take; of equal ones the first that the product lists."""
    known = [
        set(contract(one).choices(f"{endpoint}.request", "mode"))
        for one in ((version,) if version else versions())
        for endpoint in (Endpoint.GENERATE, Endpoint.EDITS)
    ]
    return min(set.intersection(*known), key=lambda mode: (product.modes[mode].price, list(product.modes).index(mode)))


def _http(status: int, *, assumed: bool = False) -> Fact:
    """Return what the contract says of an HTTP status; `assumed`: that it goes with this very fault is assumed."""
    said = contract(versions()[-1]).schemas["error.response"]["x-http"][str(status)]
    pointer = f"/x-http/{status}"
    if assumed:
        return Fact("error.response.json", pointer, (), Confidence.ASSUMED)
    return Fact("error.response.json", pointer, tuple(said["x-source"]), Confidence(said["x-confidence"]))
