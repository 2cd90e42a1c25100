"""What the tests share: gateways by their configuration, fresh topic names, the seed."""

import itertools
import os
import random

import pytest

from gateway import Gateway

SEED = int(os.environ.get("TIDEWIRE_SEED", random.SystemRandom().randrange(2**32)))

# Nothing here waits for a limit unless it tests that limit.
ROOMY = """
[[retention]]
topics = "few.>"
max_events = 3

[[retention]]
topics = ">"
max_events = 200000
max_bytes = "512MiB"
max_age = "1h"

[limits]
publishes_per_second = 10000000
"""

_numbers = itertools.count(1)


def pytest_report_header():
    return f"tidewire: seed {SEED} (repeat with TIDEWIRE_SEED={SEED})"


@pytest.fixture
def topic() -> str:
    """A topic that no other test uses."""
    return f"orders.eu.{next(_numbers)}"


@pytest.fixture
def rng(request) -> random.Random:
    """Chance that depends on the seed and the test alone."""
    return random.Random(f"{SEED} {request.node.nodeid}")


@pytest.fixture(scope="session")
def start_gateway(tmp_path_factory):
    """Starts gateways with a configuration of their own; all are stopped at the end."""
    started: list[Gateway] = []

    def start(engine: str = "memory", config: str = "", **more) -> Gateway:
        gateway = Gateway(tmp_path_factory.mktemp(engine), engine, config, **more)
        started.append(gateway)
        return gateway.start()

    yield start
    problems = []
    for gateway in started:
        try:
            gateway.stop()
        except Exception as problem:  # noqa: BLE001 - every gateway is stopped, then all is told
            problems.append(f"{gateway.folder.name}: {problem!r}")
    assert not problems, problems


@pytest.fixture(scope="session")
def gateway(start_gateway) -> Gateway:
    """Memory engine; three events are kept for topics below `few`."""
    return start_gateway("memory", ROOMY)


@pytest.fixture(scope="session", params=["memory", "disk"])
def gateway_of_each_engine(request, start_gateway, gateway) -> Gateway:
    """The same tests once for each engine."""
    return gateway if request.param == "memory" else start_gateway("disk", ROOMY)


@pytest.fixture(scope="session")
def quick_heartbeat(start_gateway) -> Gateway:
    """A gateway whose silence lasts one second."""
    return start_gateway("memory", '[limits]\nheartbeat = "1s"\n')


@pytest.fixture(params=["HTTP/1.1", "HTTP/2"])
def http(request, gateway):
    """A client for each HTTP version; the answers are checked to be of that version."""
    version = request.param

    def check(answer):
        assert answer.http_version == version

    with gateway.client(http2=version == "HTTP/2", event_hooks={"response": [check]}) as client:
        yield client
