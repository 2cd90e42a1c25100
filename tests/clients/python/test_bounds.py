"""A topic that is published to without end costs no more than its retention and the named buffers.

Method: several times as much as all buffers hold together goes through a topic that keeps three events.
Source: README, `retention`, `bus.window_max_bytes` and `disk`; a peer grew until it was killed.
"""

import pytest

from conftest import ROOMY
from gateway import Gateway

MIB = 1 << 20
PAYLOAD = "x" * 60_000
BATCH = [{"topic": "few.large", "data": PAYLOAD}] * 15


@pytest.mark.parametrize("engine", ["memory", "disk"])
def test_what_is_published_without_end_stays_within_disk_and_memory(tmp_path, engine):
    gateway = Gateway(tmp_path, engine, ROOMY).start()
    try:
        # The window, 64 MiB by default, and the buffers of the store fill once.
        publish(gateway, 70 * MIB)
        memory = gateway.resident_bytes()
        publish(gateway, 230 * MIB)
        assert gateway.resident_bytes() - memory < 115 * MIB
        assert stored_bytes(gateway) < 150 * MIB
        with gateway.client() as client:
            assert client.get("/topics/few.large").json()["retained"] == 3
    finally:
        gateway.stop()


def publish(gateway: Gateway, size: int) -> None:
    for _ in range(0, size, len(BATCH) * len(PAYLOAD)):
        gateway.publish_all(BATCH)


def stored_bytes(gateway: Gateway) -> int:
    return sum(each.stat().st_size for each in gateway.data_dir.rglob("*") if each.is_file())
