"""JSON Web Tokens, made by PyJWT and by hand: good ones open every door, bad ones none.

Source: protocol section 7; hazards: forged and confused tokens, rights wider than granted.
"""

import hashlib
import json

import pytest

from gateway import Gateway
from json_websocket import open_websocket
from tokens import (
    DOORS,
    PRIVATE_KEYS,
    SECRET,
    b64,
    bearer,
    claims,
    hmac_sealed,
    public_pem,
    sealed,
    signed,
)

CONFIG = f"""
[auth.anonymous]

[auth.authenticated]
subscribe = ["inbox.{{sub}}.>"]

[auth.roles.editor]
publish = ["drafts.>"]

[auth.jwt]
hs256_secret = "{SECRET}"
issuer = "https://id.example.com"
audience = "tidewire"

[[auth.keys]]
name = "shop"
sha256 = "{hashlib.sha256(b"shop-key").hexdigest()}"
"""

ISSUED = {"iss": "https://id.example.com", "aud": "tidewire"}


@pytest.fixture(scope="module")
def guarded(start_gateway) -> Gateway:
    """Tokens of one issuer, nothing for anybody else."""
    return start_gateway("memory", CONFIG)


def good(**more) -> str:
    return signed(**ISSUED | more)


def changed(place: int, part: str) -> str:
    """A good token with another part in one place."""
    parts = good().split(".")
    parts[place] = part
    return ".".join(parts)


def payload(**more) -> str:
    return b64(json.dumps(claims(**ISSUED | more)).encode())


def unsigned(algorithm: str) -> str:
    return f"{b64(json.dumps({'alg': algorithm, 'typ': 'JWT'}).encode())}.{payload()}."


def embedded() -> str:
    """Signed by a key of its own, which it brings along."""
    key = PRIVATE_KEYS["RS256"]
    numbers = key.public_key().public_numbers()
    jwk = {
        "kty": "RSA",
        "n": b64(numbers.n.to_bytes(256, "big")),
        "e": b64(numbers.e.to_bytes(3, "big")),
    }
    return signed(key, "RS256", {"jwk": jwk}, **ISSUED)


BAD = {
    "alg none": lambda: unsigned("none"),
    "alg nOnE": lambda: unsigned("nOnE"),
    "alg HS256 without a signature": lambda: unsigned("HS256"),
    "another secret": lambda: signed("another-secret-of-the-tests-0123456789", **ISSUED),
    "an empty secret": lambda: hmac_sealed(b"", **ISSUED),
    "alg HS384 under the same secret": lambda: hmac_sealed(SECRET.encode(), "HS384", **ISSUED),
    "alg HS512 under the same secret": lambda: hmac_sealed(SECRET.encode(), "HS512", **ISSUED),
    "alg RS256 by a key that nobody knows": lambda: signed(
        PRIVATE_KEYS["RS256"], "RS256", **ISSUED
    ),
    "alg ES256 by a key that nobody knows": lambda: signed(
        PRIVATE_KEYS["ES256"], "ES256", **ISSUED
    ),
    "a key in the token": embedded,
    "jku, under another secret": lambda: signed(
        "another-secret-of-the-tests-0123456789",
        headers={"jku": "http://127.0.0.1:9/keys", "x5u": "http://127.0.0.1:9/cert"},
        **ISSUED,
    ),
    "the payload of another": lambda: changed(1, payload(sub="root")),
    "a header of another": lambda: changed(0, b64(b'{"alg":"HS256"}')),
    "a signature that is cut": lambda: good()[:-2],
    "a signature that is longer": lambda: good() + "AAAA",
    "crit": lambda: good(headers={"crit": ["exp"]}),
    "crit of RFC 7797": lambda: good(headers={"crit": ["b64"], "b64": False}),
    "expired": lambda: good(exp=claims()["iat"] - 10),
    "no exp": lambda: good(exp=None),
    "exp as text": lambda: good(exp=str(claims()["exp"])),
    "no sub": lambda: good(sub=None),
    "an empty sub": lambda: good(sub=""),
    "a sub that is a number": lambda: good(sub=7),
    "the sub of a key": lambda: good(sub="key:shop"),
    "nbf in the future": lambda: good(nbf=claims()["iat"] + 60),
    "another issuer": lambda: good(iss="https://id.example.com.evil.io"),
    "no issuer": lambda: good(iss=None),
    "another audience": lambda: good(aud=["other", "Tidewire"]),
    "no audience": lambda: good(aud=None),
    "rights that are text": lambda: good(tidewire="everything"),
    "rights that are no patterns": lambda: good(tidewire={"subscribe": ["a..b"]}),
    "a payload that is no JSON": lambda: sealed({}, b64(b"nonsense")),
    "two parts": lambda: good().rpartition(".")[0],
    "five parts": lambda: good() + ".a.b",
    "padding": lambda: good() + "=",
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", BAD)
def test_a_bad_token_opens_no_door(guarded, name, door):
    assert DOORS[door](guarded, bearer(BAD[name]())) == (401, "unauthorized")


@pytest.mark.parametrize("door", DOORS)
def test_a_good_token_opens_every_door_that_it_is_for(guarded, door):
    assert DOORS[door](guarded, bearer(good())) == (200, "")


@pytest.mark.parametrize("door", [name for name in DOORS if name != "ticket"])
def test_a_good_token_without_the_right_is_forbidden(guarded, door):
    token = good(tidewire={"subscribe": ["other.>"], "publish": ["other.>"]})
    assert DOORS[door](guarded, bearer(token)) == (403, "forbidden")


def test_a_bad_token_in_an_auth_frame_is_an_error_and_the_next_may_be_good(guarded):
    with open_websocket(guarded) as socket:
        for name, bad in BAD.items():
            answer = socket.ask({"op": "auth", "ref": name, "token": bad()})
            assert (answer["op"], answer["code"]) == ("error", "unauthorized"), name
        expires = claims()["exp"] + 100
        answer = socket.ask({"op": "auth", "ref": 1, "token": good(exp=expires)})
        assert answer == {"op": "ok", "ref": 1, "expires": expires * 1000}
        answer = socket.ask({"op": "subscribe", "ref": 2, "topics": ["orders.>"]})
        assert answer["op"] == "ok"


def test_a_token_in_the_address_is_not_read(guarded):
    with guarded.client() as client:
        answer = client.get("/poll", params={"topic": "orders.a", "token": good()})
        assert answer.status_code == 401


def test_the_subject_and_the_roles_stand_for_what_is_configured(guarded):
    with guarded.client() as client:

        def poll(topic: str, token: str) -> int:
            return client.get("/poll", params={"topic": topic}, headers=bearer(token)).status_code

        def publish(topic: str, token: str) -> int:
            return client.post(f"/topics/{topic}", content="1", headers=bearer(token)).status_code

        token = good(tidewire={"roles": ["editor", "nobody-knows"]})
        assert publish("drafts.a", token) == 201
        assert publish("drafts.a", good()) == 403
        assert poll("inbox.u1.>", token) == 200
        assert poll("inbox.u2.>", token) == 403
        # A subject that is a wildcard has no inbox, least of all everybody's.
        for subject in ["*", ">", "u1.x"]:
            assert poll("inbox.u1.>", good(sub=subject)) == 403


@pytest.mark.parametrize("algorithm", PRIVATE_KEYS)
def test_the_kind_of_a_public_key_fixes_the_algorithm(start_gateway, tmp_path, algorithm):
    pem = tmp_path / "id.pem"
    pem.write_bytes(public_pem(algorithm))
    gateway = start_gateway(
        "memory", f'[auth.anonymous]\n[auth.jwt]\npublic_key_file = "{pem}"\n'
    )
    door = DOORS["poll"]
    assert door(gateway, bearer(signed(PRIVATE_KEYS[algorithm], algorithm))) == (200, "")
    bad = [
        # The public key as a secret, in both forms.
        hmac_sealed(public_pem(algorithm)),
        hmac_sealed(public_pem(algorithm).strip()),
        *(
            signed(PRIVATE_KEYS[other], other)
            for other in PRIVATE_KEYS
            if other != algorithm
        ),
    ]
    if algorithm == "RS256":
        bad += [signed(PRIVATE_KEYS["RS256"], other) for other in ("RS512", "PS256")]
    for token in bad:
        assert door(gateway, bearer(token)) == (401, "unauthorized"), token
