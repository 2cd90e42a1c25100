"""Tokens that a foreign library makes, good ones and bad ones, and where they are shown.

Shape: `claims(…)` and `signed(…)` make a token; `DOORS` are the ways to show one: each returns the status and
the problem of a refusal, 200 where the door opened.
Source: protocol section 7; RFC 7515, 7519.
"""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from websockets.exceptions import InvalidStatus

from gateway import Gateway
from json_websocket import open_websocket

SECRET = "a-secret-of-the-tests-0123456789abcdef"

# Each with its algorithm; keys of 2048 bits are the smallest that may be used.
PRIVATE_KEYS = {
    "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


def claims(**more) -> dict:
    """Claims that are good for five minutes; `None` takes one away."""
    now = int(time.time())
    good = {
        "sub": "u1",
        "exp": now + 300,
        "iat": now,
        "tidewire": {"subscribe": ["orders.>"], "publish": ["orders.>"]},
    }
    return {name: value for name, value in (good | more).items() if value is not None}


def signed(key=SECRET, algorithm: str = "HS256", headers: dict | None = None, **more) -> str:
    """A token with these claims."""
    # PyJWT would refuse to make some of those that we want.
    payload = b64(json.dumps(claims(**more)).encode())
    return sealed(headers or {}, payload, key, algorithm)


def sealed(headers: dict, payload: str, key=SECRET, algorithm: str = "HS256") -> str:
    """Any header over any payload, signed all the same."""
    head = b64(json.dumps({"typ": "JWT", "alg": algorithm} | headers).encode())
    message = f"{head}.{payload}".encode()
    method = jwt.get_algorithm_by_name(algorithm)
    signature = method.sign(message, method.prepare_key(key))
    return f"{head}.{payload}.{b64(signature)}"


def hmac_sealed(key: bytes, algorithm: str = "HS256", **more) -> str:
    """HS256, HS384 or HS512 with bytes that PyJWT would not take for a secret of it."""
    head = b64(json.dumps({"typ": "JWT", "alg": algorithm}).encode())
    message = f"{head}.{b64(json.dumps(claims(**more)).encode())}"
    digest = getattr(hashlib, algorithm.replace("HS", "sha"))
    return f"{message}.{b64(hmac.new(key, message.encode(), digest).digest())}"


def public_pem(algorithm: str) -> bytes:
    key = PRIVATE_KEYS[algorithm].public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def asked(method: str, path: str, **more) -> Callable[[Gateway, dict], tuple[int, str]]:
    """A door of plain HTTP."""

    def door(gateway: Gateway, headers: dict) -> tuple[int, str]:
        with gateway.client() as client, client.stream(
            method, path, headers=headers, **more
        ) as answer:
            if answer.status_code < 400:
                return 200, ""
            answer.read()
            if answer.status_code == 401:
                assert answer.headers["www-authenticate"].startswith("Bearer")
            return answer.status_code, answer.json()["code"]

    return door


def upgraded(gateway: Gateway, headers: dict) -> tuple[int, str]:
    """The door of a WebSocket: what is refused is refused before the 101."""
    try:
        with open_websocket(gateway, "topic=orders.a", additional_headers=headers):
            return 200, ""
    except InvalidStatus as refused:
        return refused.response.status_code, json.loads(refused.response.body)["code"]


DOORS = {
    "sse": asked("GET", "/sse?topic=orders.a"),
    "poll": asked("GET", "/poll?topic=orders.a"),
    "websocket": upgraded,
    "publish": asked("POST", "/publish", json={"topic": "orders.a", "data": 1}),
    "publish to a topic": asked("POST", "/topics/orders.a", content="1"),
    "read": asked("GET", "/topics/orders.a/events"),
    "ticket": asked("POST", "/ticket"),
}
