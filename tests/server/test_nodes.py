"""The list of compute nodes: replaced, added to and taken from by Owners, and kept."""

import pytest

EXAMPLE = ["http://1.1.1.1", "http://1.1.1.1:10-12"]


@pytest.fixture(autouse=True)
def empty(server):
    assert server.request("POST", "/computenodes", {"entries": []}).status == 200


def nodes(server, token=""):
    answer = server.request("GET", "/computenodes", token=token)
    assert answer.status == 200
    assert set(answer.json()) == {"computeNodes"}
    return answer.json()["computeNodes"]


def change(server, method, *entries, token=""):
    return server.request(method, "/computenodes", {"entries": entries}, token=token)


def test_post_replaces_put_adds_and_delete_removes(server):
    assert nodes(server) == []
    assert change(server, "POST", *EXAMPLE).status == 200
    assert nodes(server) == EXAMPLE
    assert change(server, "PUT", "https://node-3.example:12805", EXAMPLE[0]).status == 200
    assert nodes(server) == [*EXAMPLE, "https://node-3.example:12805"]
    # The old clients send the entries to remove in the body of the DELETE.
    removed = change(server, "DELETE", EXAMPLE[0], "http://9.9.9.9")
    assert removed.status == 200
    assert removed.json() == {"computeNodes": [EXAMPLE[1], "https://node-3.example:12805"]}
    assert change(server, "POST", *reversed(EXAMPLE)).json()["computeNodes"] == EXAMPLE[::-1]
    assert nodes(server) == EXAMPLE[::-1]


def test_one_node_has_one_spelling(server):
    change(server, "POST", " HTTP://Node.Example:12805/ ", "http://node.example:12805")
    assert nodes(server) == ["http://node.example:12805"]
    assert change(server, "DELETE", "http://NODE.example:12805/").json() == {"computeNodes": []}


@pytest.mark.parametrize(
    "entry",
    ["http://localhost", "https://a_b-1.c:65535", "http://1.0.1-3.1-2:12805", "http://255.0.0.0-255", "http://[::1]:8080",
     "http://a:1-65535", "http://10gateway"],
)  # fmt: skip
def test_addresses_and_ranges_are_taken(server, entry):
    assert change(server, "POST", entry).status == 200
    assert nodes(server) == [entry]


@pytest.mark.parametrize(
    "entry",
    ["", "node", "ftp://a", "http://", "http://:80", "http://a:", "http://a:0", "http://a:65536", "http://a:12-10",
     "http://a:1-2-3", "http://a:-1", "http://1.1.1", "http://1.1.1.256", "http://1.1.1.3-1", "http://1.1.1.1.1",
     "http://a/path", "http://a?x", "http://a#x", "http://u:p@a", "http://a b", "http://a..b", "http://[x]",
     "http://[12345::]", "javascript:alert(1)", "http://-a", "http://٣.1.1.1"],
)  # fmt: skip
def test_what_is_no_address_is_400_with_its_place(server, entry):
    change(server, "POST", *EXAMPLE)
    for method in ("POST", "PUT", "DELETE"):
        answer = change(server, method, "http://fine", entry)
        assert answer.status == 400
        assert answer.json()["fields"] == "$.entries[1]"
    assert nodes(server) == EXAMPLE


@pytest.mark.parametrize("body", [None, {}, {"entries": None}, {"entries": "http://a"}, {"entries": [1]}, []])
def test_a_body_that_does_not_fit_changes_nothing(server, body):
    change(server, "POST", *EXAMPLE)
    for method in ("POST", "PUT", "DELETE"):
        assert server.request(method, "/computenodes", body).status == 400
    assert nodes(server) == EXAMPLE


def test_a_thousand_are_kept_and_no_more(server):
    many = [f"http://node{number}" for number in range(1000)]
    assert change(server, "POST", *many, "http://more").status == 400
    assert change(server, "POST", *many).status == 200
    refused = change(server, "PUT", "http://more")
    assert refused.status == 400
    assert "1001 compute nodes" in refused.json()["message"]
    assert nodes(server) == many


def test_only_owners_change_the_list_and_all_see_it(server):
    change(server, "POST", *EXAMPLE)
    for role in ("Contributor", "Reader"):
        server.request("POST", "/users", {"name": role, "password": "x" * 12, "role": role})
        login = server.request("POST", "/login", {"username": role, "password": "x" * 12}, token=None).json()
        for method in ("POST", "PUT", "DELETE"):
            assert change(server, method, EXAMPLE[0], token=login["access_token"]).status == 403
        assert nodes(server, login["access_token"]) == EXAMPLE


def test_the_list_survives_a_kill(start_server):
    server = start_server()
    assert change(server, "PUT", *EXAMPLE).status == 200
    assert server.stop(kill=True) != 0
    server.start()
    assert nodes(server) == EXAMPLE
