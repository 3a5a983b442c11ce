"""All directives in their shortest forms, in which most faults of clients show."""

from __future__ import annotations

from contract_tests.clients.directives import hooks, images, limits, polling, prompts, reading, redirects, submitting
from contract_tests.clients.directives.base import Directive, Family


def plain() -> list[Directive]:
    """Return the shortest directives of every family."""
    return [
        *submitting.ambiguous_submits(),
        *submitting.rejected_submits(),
        *limits.busy("submit", Family.BUSY_SUBMIT),
        *limits.troubled_submits(),
        *submitting.jobs(),
        *polling.odd_fetches(),
        *limits.busy("fetch", Family.BUSY_FETCH),
        *limits.busy("submit", Family.ODD_WAIT, odd=True),
        *limits.busy("fetch", Family.ODD_WAIT, odd=True),
        *reading.unknown_fields(),
        *reading.null_data(),
        *reading.odd_messages(),
        *reading.partial_data(),
        *reading.no_image(),
        *reading.body_forms(),
        *reading.number_forms(),
        *reading.no_json(),
        *reading.closed_connections(),
        *reading.stalled(),
        *reading.dripping(),
        *images.broken_images(),
        *images.expiring_images(),
        *redirects.redirects(),
        *prompts.odd_prompts(),
        *prompts.uploads(),
        *prompts.busy_uploads(),
        *prompts.at_once(),
        *prompts.in_turn(),
        *hooks.odd_hooks(),
        *hooks.racing_hooks(),
        *hooks.repeated_hooks(),
        *hooks.lost_hooks(),
        *hooks.resent_hooks(),
        *hooks.slow_work(),
        *hooks.forged_hooks(),
    ]
