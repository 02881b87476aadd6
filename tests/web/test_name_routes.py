"""Names over HTTP: given, shown on groups, found again with photos added later, removed."""

import shutil

from PIL import Image

from resight.backends.manage import remove
from resight.indexing import pipeline
from web_server import V1, Running, checked


def post(server: Running, path: str, status: int = 200, **body: object) -> dict:
    return checked(server.client.post(f"{V1}/{path}", json=body), status)


def delete(server: Running, status: int = 200, **parameters: object) -> dict:
    return checked(server.client.delete(f"{V1}/names", params=parameters), status)


def test_a_named_thing_is_found_with_photos_that_were_added_later(own):
    server = own.server
    assert server.get("/names") == {"names": []}
    named = post(server, "names", name=" Our\u0020 boat", photos=[4, 5])
    assert (named["name"], named["count"], named["changed"]) == ("Our boat", 2, [4, 5])
    again = post(server, "names", name="OUR BOAT", photos=[5])
    assert (again["name"], again["changed"]) == ("OUR BOAT", [])
    added = own.photos / "object-01" / "later.png"
    Image.open(own.photos / "object-01" / "view-1.jpg").resize((300, 225)).save(added)
    shutil.copy(own.photos / "object-01" / "view-2.jpg", own.photos / "copy.jpg")
    pipeline.index([own.photos], own.collection)
    (thing,) = server.get("/names")["names"]
    assert (thing["name"], thing["count"]) == ("OUR BOAT", 3)  # a copy carries it, too
    found = post(server, "names/search", thing="our boat", k=20)
    by_name = {result["name"]: result for result in found["results"]}
    assert by_name["later.png"]["verdict"] == "same"
    assert (by_name["later.png"]["named"], by_name["later.png"]["view"]) == (False, 4)
    assert by_name["view-1.jpg"]["named"]
    assert found["query"]["photo"] in (4, 5)
    groups = server.get("/groups")["groups"]
    names = {g["names"][0] for g in groups if {4, 5} & {p["id"] for p in g["photos"]}}
    assert names == {"OUR BOAT"}
    assert {n for g in groups for n in g["names"]} == names
    removed = delete(server, name="our boat", photo=[4])
    assert (removed["count"], removed["changed"]) == (2, [4])
    assert delete(server, name="our boat")["count"] == 0
    assert server.get("/names") == {"names": []}


def test_impossible_names_are_refused(own):
    server = own.server
    post(server, "names", 422, name="  ", photos=[1])
    post(server, "names", 422, name="a\u0007", photos=[1])
    post(server, "names", 422, name="a", photos=[])
    post(server, "names", 404, name="a", photos=[1, 99])
    post(server, "names", name="a", photos=[1])
    delete(server, 404, name="b")
    delete(server, 404, name="a", photo=[2])
    post(server, "names", 422, name="\u200d", photos=[1])
    joined = "می\u200cخواهم 👨\u200d👩\u200d👧"
    assert post(server, "names", name=joined, photos=[1])["name"] == joined
    # A name stays when its photo leaves, and can be removed then.
    remove(server.get("/photos/1")["path"], own.collection)
    assert delete(server, name=joined)["count"] == 0
    post(server, "names/search", 404, thing="b")
    post(server, "names/search", 422, thing="a", box="1,1,20,20")
    assert server.get("/names")["names"][0]["count"] == 0
