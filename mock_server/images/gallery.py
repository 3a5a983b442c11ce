"""The results as files: which image a URL stands for, whether it may still be had, and its bytes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from mock_server.errors import ApiError
from mock_server.identity import day
from mock_server.model import Job, JobState
from mock_server.tenant import Tenant
from mock_server.world import World

_CACHED_IMAGES = 16


@dataclass(frozen=True, slots=True)
class Exhibit:
    """An image that may be had: its bytes, when it was made (seconds since the Unix epoch), and whose job it was."""

    tenant: Tenant
    job: Job
    made_at: float

    def bytes(self) -> bytes:
        """Return the WebP file. Takes tens of milliseconds when it has to be drawn."""
        order = self.job.order
        width, _, height = order.size.partition("x")
        if self.tenant.settings.images == "plain":
            return _remarked(_plain(int(width), int(height), int(self.job.id[0], 16)), self.job.id)
        return _draw(order.prompt, order.mode, self.job.id, int(width), int(height), order.upload)


def find(world: World, date: str, name: str) -> Exhibit:
    """
    Return the image at `/date/name.webp`.

    Raises:
        ApiError: 404: there is none, or its month is over (S1).
    """
    found = world.image(name)
    if found is None:
        raise ApiError(404, "no image is here: a restart of the server, or a reset, forgets jobs")
    tenant, job = found
    if job.state is not JobState.SUCCESS or job.finished_at is None or day(job.finished_at) != date:
        raise ApiError(404, f"no image is here: job {job.id} has none, or it was made on another day")
    age = tenant.clock.now() - job.finished_at
    if age > tenant.product.image_seconds:
        raise ApiError(
            404,
            f"this image has expired: it was kept for {tenant.product.image_seconds / 86400:g} days and is "
            f"{age / 86400:.1f} days old on this key's clock",
        )
    return Exhibit(tenant, job, job.finished_at)


@lru_cache(maxsize=64)
def _plain(width: int, height: int, shade: int) -> bytes:
    from mock_server.images.drawing import plain

    return plain(width, height, shade)


def _remarked(image: bytes, job_id: str) -> bytes:
    from mock_server.images.drawing import remarked

    return remarked(image, job_id)


@lru_cache(maxsize=_CACHED_IMAGES)
def _draw(prompt: str, mode: str, job_id: str, width: int, height: int, upload: bytes | None) -> bytes:
    # Pillow takes 40 ms to import, and only uploads and drawing need it.
    from mock_server.images.drawing import Picture, draw

    seed = int(job_id[:8], 16)
    return draw(Picture(prompt=prompt, mode=mode, seed=seed, width=width, height=height, upload=upload))
