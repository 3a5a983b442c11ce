"""All tenants together: who may come in, and what they share: the product, the deliverer, the ticker."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from threading import Lock

from mock_server.clock import Clock
from mock_server.contract import Contract, contract
from mock_server.errors import SettingsError
from mock_server.hooks.deliverer import Deliverer, HttpDeliverer
from mock_server.hooks.rules import HookRules
from mock_server.identity import Source, read_image_name
from mock_server.journal import Journal, Observer, log_explained
from mock_server.model import Job
from mock_server.product import Product, load_product
from mock_server.scenarios.director import Director
from mock_server.scenarios.rules import Scenario, all_goes_well
from mock_server.settings import Settings
from mock_server.tenant import Tenant
from mock_server.ticker import Ticker

_MANY_TENANTS = 1000
_OF_THE_WORLD = frozenset({"key", "hook_allow", "hook_timeout", "max_body", "scenario"})


class World:
    """
    Every tenant of one emulator, made when its key is first seen.

    Args:
        settings: how tenants behave that are not told otherwise.
        deliverer: sends hooks; by default over HTTP, within the address rules of the settings.
        observer: told of every journal entry of every tenant; by default it logs what was refused, and why.
        ticking: whether time brings webhooks by itself; else somebody calls `tick` of each tenant.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        deliverer: Deliverer | None = None,
        observer: Observer | None = log_explained,
        ticking: bool = True,
    ) -> None:
        self.settings = settings or Settings()
        self.scenario: Callable[[], Scenario] = all_goes_well
        """Returns what tenants play that were not told otherwise."""
        if self.settings.scenario is not None:
            # YAML takes 15 ms to import, and most worlds need none.
            from mock_server.scenarios.files import WatchedScenario

            try:
                self.scenario = WatchedScenario(self.settings.scenario)
            except SettingsError as error:
                raise SettingsError(f"scenario: {error}") from None
            self.settings = self.settings.replaced(**self.scenario().settings)
        self.contract: Contract = contract(self.settings.contract)
        self.product = load_product(self.settings.product)
        self.hook_rules = HookRules(self.settings.hook_allow)
        self.clock = Clock(self.settings.clock)
        """Dates what belongs to no tenant; each tenant has a clock of its own."""
        self.strays = Journal("", self.settings.journal, observer)
        """Requests that belong to no tenant: no key, a wrong one, an unknown path."""
        self._observer = observer
        self._deliverer = deliverer or HttpDeliverer(self.hook_rules, self.settings.hook_timeout)
        self._ticker = Ticker()
        self._watch: Callable[[Tenant], None] = self._ticker.watch if ticking else _leave_alone
        self._lock = Lock()
        self._tenants: dict[str, Tenant] = {}
        self._keys_by_tag: dict[bytes, set[str]] = {}

    def find(self, key: str | None, *, make: bool = True) -> Tenant | None:
        """Return the tenant that an API key opens, or None when it opens none, or one that is not to be made."""
        if key is None or not key.strip() or (self.settings.key and key not in self.settings.key):
            return None
        tenant = self._tenants.get(key)
        return self.tenant(key) if tenant is None and make else tenant

    def tenant(self, key: str, **changes: object) -> Tenant:
        """
        Return the tenant of `key`, making it if need be; with `changes` to the settings it is made anew, empty.

        Raises:
            SettingsError: a change is unusable, or the key is blank.
        """
        if changes:
            return self.reset(key, **changes)
        with self._lock:
            return self._tenants.get(key) or self._make(key, self.settings, self.product)

    def reset(self, key: str, **changes: object) -> Tenant:
        """Make the tenant of `key` anew, empty, with `changes` to the settings; raises SettingsError."""
        for name in changes.keys() & _OF_THE_WORLD:
            raise SettingsError(f"{name}: one for all tenants, so it cannot be set for one of them")
        settings = self.settings.replaced(**changes) if changes else self.settings
        product = load_product(settings.product) if "product" in changes else self.product
        with self._lock:
            old = self._drop(key)
            new = self._make(key, settings, product)
            if old is not None:
                new.postman.adopt(old.postman)
            return new

    def forget(self, key: str) -> None:
        """Drop the tenant of `key`, if there is one: its memory is freed, its hooks on their way are forgotten."""
        with self._lock:
            self._drop(key)

    def forget_all(self) -> None:
        """Drop every tenant, as `forget` does."""
        with self._lock:
            for key in tuple(self._tenants):
                self._drop(key)

    def _drop(self, key: str) -> Tenant | None:
        old = self._tenants.pop(key, None)
        if old is not None:
            old.close()
            self._ticker.forget(old)
            keys = self._keys_by_tag[old.source.tag]
            keys.discard(key)
            if not keys:
                del self._keys_by_tag[old.source.tag]
        return old

    def _make(self, key: str, settings: Settings, product: Product) -> Tenant:
        if not key.strip():
            raise SettingsError("key: expected a key that is not blank, for no request could carry it")
        source = Source(settings.seed, key)
        named = None if settings.plain_prompts else _ready_made
        director = Director(self.scenario, source, named, product.failure)
        tenant = Tenant(
            key, settings, product, self._deliverer, director=director, observer=self._observer, wake=self._watch
        )
        self._tenants[key] = tenant
        self._keys_by_tag.setdefault(tenant.source.tag, set()).add(key)
        return tenant

    def tenants(self) -> list[Tenant]:
        """Return all tenants, in the order in which they were made."""
        return list(self._tenants.values())

    def owner(self, job_id: str) -> Tenant | None:
        """Return the tenant that has a job of that id, looking at no more than the first thousand of them."""
        some = islice(list(self._tenants.values()), _MANY_TENANTS)
        return next((tenant for tenant in some if job_id in tenant.store.jobs), None)

    def image(self, name: str) -> tuple[Tenant, Job] | None:
        """Return the job, and its tenant, that an image name (without .webp) stands for."""
        read = read_image_name(name)
        if read is None:
            return None
        tag, job_id = read
        for key in tuple(self._keys_by_tag.get(tag, ())):
            tenant = self._tenants.get(key)
            if tenant is not None and job_id in tenant.store.jobs:
                return tenant, tenant.store.jobs[job_id]
        return None

    def close(self) -> None:
        """Stop the threads; no hook is sent any more."""
        self._ticker.close()
        self._deliverer.close()


def _leave_alone(_tenant: Tenant) -> None:
    pass


def _ready_made(name: str) -> Scenario | None:
    from mock_server.scenarios.files import ready_made

    return ready_made(name)
