"""Hints over HTTP: given, listed, obeyed by searches and groups, undone."""

from web_server import V1, Running, checked


def decide(server: Running, status: int = 200, **body: object) -> dict:
    return checked(server.client.post(f"{V1}/hints", json=body), status)


def test_hints_are_given_obeyed_and_undone(own):
    server = own.server
    assert server.get("/hints") == {"hints": []}
    groups = server.get("/groups")["groups"]  # cached before the hints
    assert not any({1, 4} <= {photo["id"] for photo in group["photos"]} for group in groups)
    (hint,) = decide(server, verdict="same", photos=[1, 4])["hints"]
    assert {photo["id"] for photo in hint["photos"]} == {1, 4}
    decide(server, verdict="keep", photos=[4])
    assert [entry["verdict"] for entry in server.get("/hints")["hints"]] == ["same", "keep"]
    results = {result["id"]: result for result in server.search(photo=1)["results"]}
    assert (results[4]["verdict"], results[4]["hint"]) == ("same", True)
    assert "hint" not in results[5]
    groups = server.get("/groups")["groups"]
    (group,) = [g for g in groups if {1, 4} <= {photo["id"] for photo in g["photos"]}]
    assert group["best"] == 4
    undone = checked(server.client.delete(f"{V1}/hints/{hint['id']}"), 200)
    assert undone == {"hints": [hint]}
    results = {result["id"]: result for result in server.search(photo=1)["results"]}
    assert "hint" not in results[4]


def test_impossible_hints_are_refused(own):
    server = own.server
    decide(server, verdict="same", photos=[1, 4])
    decide(server, verdict="same", photos=[4, 5])
    decide(server, 409, verdict="different", photos=[1, 5])
    decide(server, 409, verdict="same", photos=[1, 1])
    decide(server, 404, verdict="same", photos=[1, 99])
    decide(server, 422, verdict="same", photos=[1])
    decide(server, 422, verdict="maybe", photos=[1, 2])
    checked(server.client.delete(f"{V1}/hints/{'0' * 16}"), 404)
    assert len(server.get("/hints")["hints"]) == 2


def test_a_group_is_split_by_one_decision_that_is_undone_at_once(own):
    server = own.server
    decide(server, verdict="same", photos=[1, 2, 3])
    split = decide(server, verdict="different", photos=[1, 3], others=[4, 5, 4])["hints"]
    pairs = [{photo["id"] for photo in hint["photos"]} for hint in split]
    assert sorted(map(sorted, pairs)) == [[1, 4], [1, 5], [3, 4], [3, 5]]
    assert len({hint["decided"] for hint in split}) == 1
    decide(server, 422, verdict="same", photos=[1], others=[2])
    decide(server, 409, verdict="different", photos=[3], others=[2])
    replaced = decide(server, verdict="different", photos=[2], others=[1, 6])["replaced"]
    assert [hint["verdict"] for hint in replaced] == ["same"]
    undo = {"decided": split[0]["decided"]}
    undone = checked(server.client.delete(f"{V1}/hints", params=undo), 200)
    assert len(undone["hints"]) == 4
    checked(server.client.delete(f"{V1}/hints", params=undo), 404)
    assert len(server.get("/hints")["hints"]) == 3
