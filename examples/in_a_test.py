"""The emulator in a test of your own: no waiting, because the test moves the clock; then a look behind the API.

Run: pytest in_a_test.py
"""

import json

import pytest
import requests

import mock_server
from mock_server.hooks.deliverer import RecordingDeliverer
from mock_server.model import DeliveryState, Receipt

KEY = "key-of-this-test"  # each key is a world of its own: jobs, clock, quota, hooks


@pytest.fixture
def server():
    with mock_server.serve(port=0, clock="frozen") as server:
        yield server


@pytest.fixture
def tenant(server):
    return server.tenant(KEY)


def post(server, path, **body):
    response = requests.post(server.url + path, headers={"TT-API-KEY": KEY}, json=body, timeout=10)
    response.raise_for_status()
    return response.json()


def submit(server, **more):
    return post(server, "/flux/generate", prompt="a cute cat", mode="flux1-dev", **more)["data"]["jobId"]


def test_a_job_takes_its_time(server, tenant):
    job_id = submit(server)
    assert post(server, "/flux/fetch", jobId=job_id)["status"] == "ON_QUEUE"

    tenant.clock.advance(60)

    result = post(server, "/flux/fetch", jobId=job_id)
    assert result["status"] == "SUCCESS"
    image = requests.get(result["data"]["imageUrl"], timeout=10)
    assert image.headers["Content-Type"] == "image/webp"


def test_quota_is_reserved_then_spent(server, tenant):
    before = tenant.ledger.balance()
    submit(server)
    assert (tenant.ledger.reserved, tenant.ledger.spent) == (1, 0)

    tenant.clock.advance(60)

    assert (tenant.ledger.reserved, tenant.ledger.spent) == (0, 1)
    assert tenant.ledger.balance() == before - 1


def test_a_job_that_fails(server, tenant):
    job_id = submit(server)

    tenant.jobs.fail(job_id, "prompt violation")

    result = post(server, "/flux/fetch", jobId=job_id)
    assert (result["status"], result["message"]) == ("FAILED", "prompt violation")


def test_the_image_is_kept_for_a_month(server, tenant):
    job_id = submit(server)
    tenant.clock.run_until_idle()
    url = tenant.jobs.image_url(job_id)
    assert requests.get(url, timeout=10).status_code == 200

    tenant.clock.advance(31 * 86400)

    assert requests.get(url, timeout=10).status_code == 404


def test_a_hook_is_tried_again():
    """The first attempt meets a receiver that is down, the second one that works; nothing is really sent."""
    answers = iter([Receipt(503), Receipt(200)])
    deliverer = RecordingDeliverer(lambda delivery: next(answers))
    with mock_server.serve(port=0, clock="frozen", hook_retry="60", deliverer=deliverer) as server:
        job_id = submit(server, hookUrl="http://127.0.0.1:9/hook")
        tenant = server.tenant(KEY)

        tenant.clock.run_until_idle()

        (delivery,) = tenant.hooks
        assert delivery.job_id == job_id
        assert delivery.state is DeliveryState.DELIVERED
        first, second = delivery.attempts
        assert (first.receipt.status, second.receipt.status) == (503, 200)
        assert second.at - first.at == pytest.approx(60)
        assert json.loads(delivery.body) == post(server, "/flux/fetch", jobId=job_id)
