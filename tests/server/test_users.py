"""Local users: who may manage them, and that access ends at once."""

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from support import PASSWORD, eventually
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from jupyter_mlops.schema.access import Role

SECRET = "secret of 8+"


def login(server, name, password=SECRET):
    return server.request("POST", "/login", {"username": name, "password": password}, token=None)


def add(server, name, role="Contributor", password=SECRET, token=""):
    return server.request("POST", "/users", {"name": name, "password": password, "role": role}, token=token)


def works(server, tokens):
    return server.request("GET", "/services", token=tokens["access_token"]).status


def renews(server, tokens):
    body = {"refreshToken": tokens["refresh_token"]}
    return server.request("POST", "/login/refreshToken", body, token=None).status


@pytest.fixture
def person(server, request):
    """Add a user named after the test, logged in."""

    def make(role="Contributor", suffix=""):
        name = f"{request.node.name[:40].split('[')[0]}{suffix}"
        assert add(server, name, role).status == 201
        return name, login(server, name).json()

    return make


def test_users_are_added_listed_and_removed(server):
    added = add(server, "ada", "Reader")
    assert added.status == 201
    assert set(added.json()) == {"name", "role", "created"}
    listed = server.request("GET", "/users").json()
    assert listed[0]["name"] == "admin"
    assert listed[0]["role"] == "Owner"
    assert listed[-1] == added.json()
    assert "password" not in json.dumps(listed)
    assert login(server, "ada").status == 200
    assert server.request("DELETE", "/users/ada").json() == "user ada is removed"
    assert login(server, "ada").status == 401
    assert server.request("DELETE", "/users/ada").status == 404
    assert server.request("PATCH", "/users/ada", {"role": "Reader"}).status == 404


@pytest.mark.parametrize("name", ["Admin", "admin"])
def test_a_name_is_taken_once_whatever_its_case(server, name):
    answer = add(server, name)
    assert answer.status == 409
    assert "'admin'" in answer.json()["message"]
    assert login(server, "admin", PASSWORD).status == 200


@pytest.mark.parametrize("name", ["", "a b", "a/b", "-a", ".", "..", "a.", "é", "a" * 65, "a\n", "<script>", "a%2f"])
def test_names_outside_the_documented_set_are_400(server, name):
    answer = add(server, name)
    assert answer.status == 400
    assert answer.json()["fields"] == "$.name"


@pytest.mark.parametrize("name", ["a", "ada.lovelace@example.org", "_x-1+2", "7", "b" * 64])
def test_names_inside_it_are_taken(server, name):
    assert add(server, name).status == 201
    assert login(server, name).status == 200


@pytest.mark.parametrize(("password", "status"), [("x" * 11, 400), ("x" * 12, 201), ("ü" * 128, 201), ("x" * 129, 400)])
def test_the_password_rule_is_its_length_and_says_so(server, password, status):
    answer = add(server, f"user-{len(password)}", password=password)
    assert answer.status == status
    if status == 400:
        assert "12 to 128 characters" in answer.json()["message"]
        assert answer.json()["fields"] == "$.password"
        assert password not in answer.json()["message"]
    else:
        assert login(server, f"user-{len(password)}", password).status == 200


@pytest.mark.parametrize(
    "body", [{}, {"name": "x1", "password": SECRET}, {"name": "x1", "password": SECRET, "role": "King"}, [], None]
)
def test_a_body_that_does_not_fit_is_400(server, body):
    assert server.request("POST", "/users", body).status == 400


def test_removing_a_user_ends_the_logins_at_once_and_for_good(start_server):
    server = start_server()
    add(server, "ada")
    tokens = [login(server, "ada").json() for _ in range(2)]
    others = login(server, "admin", PASSWORD).json()
    assert server.request("DELETE", "/users/ada").status == 200
    assert [works(server, each) for each in tokens] == [401, 401]
    assert server.stop(kill=True) != 0
    server.start()
    assert [works(server, each) for each in tokens] == [401, 401]
    assert renews(server, tokens[0]) == 401
    assert add(server, "ada").status == 201  # the name again is not the login again
    assert works(server, tokens[0]) == 401
    assert works(server, others) == 200


@pytest.mark.parametrize(
    "change", [{"role": "Owner"}, {"role": "Reader"}, {"password": "another secret"}], ids=["up", "down", "password"]
)
def test_a_change_ends_the_logins_at_once(server, person, change):
    name, tokens = person(suffix=f"-{len(change)}{next(iter(change.values()))[:1]}")
    _, bystander = person(suffix=f"-b{next(iter(change.values()))[:1]}")
    answer = server.request("PATCH", f"/users/{name}", change)
    assert answer.status == 200
    assert answer.json()["role"] == change.get("role", "Contributor")
    assert works(server, tokens) == 401
    assert renews(server, tokens) == 401
    assert works(server, bystander) == 200
    again = login(server, name, change.get("password", SECRET))
    assert works(server, again.json()) == 200
    if "password" in change:
        assert login(server, name).status == 401


def test_an_open_viewer_sees_nothing_more_when_the_login_ends(server, person):
    name, tokens = person()

    async def watch():
        request = HTTPRequest(
            server.url.replace("http", "ws") + "/events",
            headers={"Authorization": f"Bearer {tokens['access_token']}"},
        )
        viewer = await websocket_connect(request)
        try:
            assert await viewer.read_message() is not None
            await asyncio.to_thread(server.request, "DELETE", f"/users/{name}")
            await asyncio.to_thread(server.publish_code, "seen", "1", "y = 1", "", "y:numeric")
            return await viewer.read_message(), viewer.close_reason
        finally:
            viewer.close()

    message, reason = asyncio.run(watch())
    assert (message, reason) == (None, "this login was ended")


def test_a_user_changes_the_own_password_and_nothing_else(server, person):
    name, tokens = person("Reader")
    _, other = person("Reader", "-2")
    path, mine = f"/users/{name}", tokens["access_token"]
    new = {"password": "a new secret"}
    wrong = server.request("PATCH", path, new | {"currentPassword": "not this one"}, token=mine)
    assert wrong.status == 403
    assert wrong.json()["fields"] == "$.currentPassword"
    assert server.request("PATCH", path, new, token=mine).status == 403
    assert server.request("PATCH", path, {"role": "Owner", "currentPassword": SECRET}, token=mine).status == 403
    both = new | {"role": "Owner", "currentPassword": SECRET}
    assert server.request("PATCH", path, both, token=mine).status == 403
    assert server.request("PATCH", path, {}, token=mine).status == 400
    stranger = server.request("PATCH", path, new | {"currentPassword": SECRET}, token=other["access_token"])
    unknown = server.request("PATCH", "/users/nobody", new | {"currentPassword": SECRET}, token=other["access_token"])
    assert (stranger.status, unknown.status) == (403, 403)
    assert stranger.json()["message"] == unknown.json()["message"]
    assert works(server, tokens) == 200
    done = server.request("PATCH", path, new | {"currentPassword": SECRET}, token=mine)
    assert done.status == 200
    assert done.json()["role"] == "Reader"
    assert works(server, tokens) == 401
    assert login(server, name, "a new secret").status == 200


@pytest.mark.slow
def test_guessing_the_present_password_is_slowed_down(start_server):
    server = start_server()
    add(server, "ada")
    token = login(server, "ada").json()["access_token"]
    body = {"password": "a new secret", "currentPassword": "guessed wrong"}
    for _ in range(10):
        assert server.request("PATCH", "/users/ada", body, token=token).status == 403
    assert server.request("PATCH", "/users/ada", body, token=token).status == 429


def test_the_last_owner_stays(start_server):
    server = start_server()
    for method, body in (("DELETE", None), ("PATCH", {"role": "Contributor"})):
        answer = server.request(method, "/users/admin", body)
        assert answer.status == 409
        assert "last Owner" in answer.json()["message"]
    assert works(server, login(server, "admin", PASSWORD).json()) == 200
    assert server.request("PATCH", "/users/admin", {"role": "Owner"}).status == 200
    assert add(server, "ada", "Owner").status == 201
    assert server.request("DELETE", "/users/admin").status == 200
    assert server.request("DELETE", "/users/ada").status == 409
    assert server.stop() == 0
    server.start()
    # Who was removed is not made again by the next start.
    assert [user["name"] for user in server.request("GET", "/users").json()] == ["ada"]
    assert login(server, "admin", PASSWORD).status == 401


@pytest.mark.slow
def test_two_owners_who_remove_each_other_do_not_both_succeed(start_server):
    server = start_server()
    add(server, "ada", "Owner")
    tokens = {name: login(server, name, word).json() for name, word in (("ada", SECRET), ("admin", PASSWORD))}
    with ThreadPoolExecutor(2) as pool:
        answers = list(
            pool.map(
                lambda pair: (
                    server.request("DELETE", f"/users/{pair[1]}", token=tokens[pair[0]]["access_token"]).status
                ),
                [("ada", "admin"), ("admin", "ada")],
            )
        )
    assert sorted(answers) in ([200, 401], [200, 409])
    assert len(server.request("GET", "/users").json()) == 1


@pytest.mark.slow
def test_logins_under_way_when_the_password_changes_do_not_get_in(start_server):
    server = start_server()
    add(server, "ada")
    got, stop = [], threading.Event()

    def keep_trying():
        while not stop.is_set():
            answer = login(server, "ada")
            if answer.status == 200:
                got.append(answer.json())
            elif answer.status == 429:
                return

    threads = [threading.Thread(target=keep_trying) for _ in range(4)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(got) > 3)
    assert server.request("PATCH", "/users/ada", {"password": "a new secret"}).status == 200
    stop.set()
    for thread in threads:
        thread.join()
    assert {works(server, tokens) for tokens in got} == {401}


def test_the_services_of_a_removed_user_stay_with_the_owners(server, person):
    name, tokens = person()
    body = {"code": "y = 1", "outputParameterDefinitions": [{"name": "y", "type": "numeric"}]}
    assert server.request("POST", "/services/left/1", body, token=tokens["access_token"]).status == 201
    assert server.request("DELETE", f"/users/{name}").status == 200
    assert server.call("left", "1").json()["outputParameters"] == {"y": 1}
    assert server.request("GET", "/services/left/1").json()[0]["versionPublishedBy"] == name
    _, other = person(suffix="-2")
    assert server.request("DELETE", "/services/left/1", token=other["access_token"]).status == 403
    assert server.request("DELETE", "/services/left/1").status == 200


@pytest.mark.parametrize("role", [Role.CONTRIBUTOR, Role.READER])
def test_only_owners_manage_users(server, person, role):
    _, tokens = person(role.value, f"-{role.value}")
    token = tokens["access_token"]
    assert server.request("GET", "/users", token=token).status == 403
    assert add(server, "eve", "Owner", token=token).status == 403
    assert server.request("DELETE", "/users/admin", token=token).status == 403
    assert server.request("PATCH", "/users/admin", {"password": "x" * 20}, token=token).status == 403
    assert login(server, "admin", PASSWORD).status == 200
    assert "eve" not in [user["name"] for user in server.request("GET", "/users").json()]


def test_lifetimes_are_settings(start_server):
    server = start_server(
        "--ServeApp.access_token_lifetime=120", "--ServeApp.refresh_token_lifetime=1", "--ServeApp.login_lifetime=600"
    )
    tokens = login(server, "admin", PASSWORD).json()
    assert tokens["expires_in"] == 120
    assert works(server, tokens) == 200
    eventually(lambda: renews(server, tokens) == 401 or None)


def test_a_refresh_slides_only_as_far_as_the_login(start_server):
    server = start_server("--ServeApp.login_lifetime=2")
    tokens = login(server, "admin", PASSWORD).json()
    renewed = server.request("POST", "/login/refreshToken", {"refreshToken": tokens["refresh_token"]}, token=None)
    assert renewed.status == 200

    def ended():
        nonlocal renewed
        body = {"refreshToken": renewed.json()["refresh_token"]}
        answer = server.request("POST", "/login/refreshToken", body, token=None)
        if answer.status == 200:
            renewed = answer
        return answer.status == 401

    eventually(ended)


def test_a_lifetime_that_is_none_is_refused(tmp_path):
    import subprocess
    import sys

    command = [sys.executable, "-m", "jupyter_mlops", "serve", "--port=0", f"--data-dir={tmp_path / 'data'}"]
    ended = subprocess.run([*command, "--ServeApp.login_lifetime=0"], capture_output=True, text=True)
    assert ended.returncode != 0
    assert "login_lifetime" in ended.stderr
