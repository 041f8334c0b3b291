"""Logins, tokens and their end."""

import base64
import json

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey
from support import PASSWORD


def login(server, password=PASSWORD, name="admin"):
    return server.request("POST", "/login", {"username": name, "password": password}, token=None)


def test_a_login_gives_tokens_that_work(server):
    tokens = login(server).json()
    assert tokens["token_type"] == "Bearer"
    assert tokens["expires_in"] == 3600
    assert server.request("GET", "/services", token=tokens["access_token"]).status == 200


def test_wrong_passwords_and_unknown_users_look_alike(server):
    wrong, unknown = login(server, "wrong password!"), login(server, "wrong password!", "nobody")
    assert wrong.status == unknown.status == 401
    assert wrong.body == unknown.body


def test_a_refresh_rotates_and_a_replay_ends_the_login(server):
    first = login(server).json()
    second = server.request("POST", "/login/refreshToken", {"refreshToken": first["refresh_token"]}, token=None)
    assert second.status == 200
    assert server.request("GET", "/services", token=second.json()["access_token"]).status == 200
    replay = server.request("POST", "/login/refreshToken", {"refreshToken": first["refresh_token"]}, token=None)
    assert replay.status == 401
    for stale in (first, second.json()):
        assert server.request("GET", "/services", token=stale["access_token"]).status == 401
    again = {"refreshToken": second.json()["refresh_token"]}
    assert server.request("POST", "/login/refreshToken", again, token=None).status == 401


def test_revoking_ends_the_access_token_too(server):
    tokens = login(server).json()
    path = f"/login/refreshToken?refreshToken={tokens['refresh_token']}"
    ended = server.request("DELETE", path, token=None)
    assert ended.status == 200
    # Generated clients of Machine Learning Server read this as a login's answer.
    assert set(ended.json()) == set(tokens)
    assert ended.json()["access_token"] == ended.json()["refresh_token"] == ""
    assert server.request("GET", "/services", token=tokens["access_token"]).status == 401


def forged(server, **changes):
    _, payload, _ = server.token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    return claims | changes


@pytest.mark.parametrize("algorithm", ["none", "None", "nOnE", ""])
def test_unsigned_tokens_are_refused(server, algorithm):
    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    token = f"{part({'alg': algorithm})}.{part(forged(server))}."
    assert server.request("GET", "/services", token=token).status == 401


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "other"}, {"aud": ["jupyter-mlops"]}, {"iss": "jupyter-mlop"}, {"use": "refresh"}, {"exp": 1},
        {"exp": "1"}, {"exp": True}, {"role": "King"}, {"sub": ""}, {"sub": 3}, {"local": "yes"}, {"sid": None},
    ],
)  # fmt: skip
def test_claims_that_are_not_ours_are_refused(server, changes):
    key = OctKey.import_key((server.data_dir / "signing-key").read_bytes())
    token = jwt.encode({"alg": "HS256"}, forged(server, **changes), key)
    assert server.request("GET", "/services", token=token).status == 401
    good = jwt.encode({"alg": "HS256"}, forged(server), key)
    assert server.request("GET", "/services", token=good).status == 200


def test_header_extras_and_foreign_keys_are_refused(server):
    key = OctKey.import_key((server.data_dir / "signing-key").read_bytes())
    for header in ({"alg": "HS256", "kid": "../../dev/null"}, {"alg": "HS256", "jku": "http://127.0.0.1:1/"}):
        assert server.request("GET", "/services", token=jwt.encode(header, forged(server), key)).status == 401
    other = OctKey.import_key(b"0" * 32)
    assert server.request("GET", "/services", token=jwt.encode({"alg": "HS256"}, forged(server), other)).status == 401


def test_guessing_is_slowed_down_from_the_eleventh_attempt(start_server):
    server = start_server()
    for _ in range(10):
        assert login(server, "wrong password!").status == 401
    refused = login(server, "wrong password!")
    assert refused.status == 429
    assert int(refused.headers["Retry-After"]) > 0


def test_tokens_of_a_stopped_server_are_worth_nothing_to_the_next(start_server):
    server = start_server()
    old = server.token
    assert server.stop() == 0
    server.start()
    assert server.request("GET", "/services", token=old).status == 401
    assert server.request("GET", "/services").status == 200


def test_a_login_survives_a_restart(start_server):
    server = start_server()
    tokens = login(server).json()
    assert server.stop(kill=True) != 0
    server.start()
    assert server.request("GET", "/services", token=tokens["access_token"]).status == 200


def test_secrets_never_reach_the_log(start_server):
    server = start_server()
    login(server, "canary-password-1")
    server.request("GET", "/services?token=canary-query-2", token="canary-token-3")
    server.request("GET", "/nothing", headers={"Cookie": "a=canary-cookie-4", "Referer": "http://x/?canary-referer-5"})
    server.stop()
    log = (server.data_dir.parent / "data.log").read_text()
    assert "GET /services" in log
    assert "canary" not in log
