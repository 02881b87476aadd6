"""Clients of a soak: requests of all kinds, and checks of the answers."""

import contextlib
import hashlib
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

V1 = "/api/v1"
EXPECTED = {
    200: "",
    202: "",
    404: "a photo that was removed in this moment",
    409: "another job runs, or a file has changed",
    422: "a file that is gone",
    429: "",
    503: "",
}
"""Statuses that a client may get, with the reason of the unusual ones."""
KINDS = {"upload": 8, "photo": 12, "region": 4, "explain": 2, "groups": 1, "thumbnail": 16,
         "original": 8, "pages": 4}  # fmt: skip
PAUSE_S = 0.2
TIMEOUT_S = 300
"""Groups of each change are computed again, slowly on a machine that does other things, too."""
MAX_NOTED = 50


class Clients:
    """Clients of a server that count responses by status, and note violations; thread-safe."""

    def __init__(self, address: str, photos: list[Path], seed: int) -> None:
        parts = urlsplit(address)
        token = parse_qs(parts.query)["token"][0]
        self._url = f"{parts.scheme}://{parts.netloc}"
        self._headers = {"Authorization": f"Bearer {token}"}
        self._uploads = [photo.read_bytes() for photo in photos]
        self._seed = seed
        self._lock = threading.Lock()
        self.statuses: Counter[str] = Counter()
        self.violations: list[str] = []
        self.stopping = False
        self._going = threading.Event()
        self._going.set()
        self._working = 0

    @property
    def total(self) -> int:
        """Number of all responses."""
        return sum(self.statuses.values())

    def violate(self, text: str) -> None:
        """Note a violation, unless the server is stopping."""
        with self._lock:
            if not self.stopping and len(self.violations) < MAX_NOTED:
                self.violations.append(text)
                print("violation:", text, flush=True)

    def run(self, number: int, stop: threading.Event) -> None:
        """Send requests until the soak ends; half of the clients reconnect each time."""
        chance = random.Random(f"{self._seed} {number}")
        kinds, weights = list(KINDS), list(KINDS.values())
        client = self._connect()
        while not stop.wait(chance.uniform(0, 2 * PAUSE_S)):
            if number % 2:
                client.close()
                client = self._connect()
            kind = chance.choices(kinds, weights)[0]
            with self.work():
                try:
                    getattr(self, f"_{kind}")(client, chance)
                except httpx.HTTPError as error:
                    self.violate(f"{kind}: {type(error).__name__}: {error}")
        client.close()

    def fill_caches(self, regions: int) -> None:
        """Search by regions of many sizes: the network keeps kernels for the last of them."""
        chance = random.Random(self._seed)
        with self._connect() as client:
            for _ in range(regions):
                self._region(client, chance)

    @contextlib.contextmanager
    def work(self) -> Iterator[None]:
        """Wait until no rest is taken; the block is not interrupted by one."""
        while True:
            self._going.wait()
            with self._lock:
                if self._going.is_set():
                    self._working += 1
                    break
        try:
            yield
        finally:
            with self._lock:
                self._working -= 1

    @contextlib.contextmanager
    def rest(self) -> Iterator[None]:
        """Pause all clients while the block runs, once their current requests are done."""
        with self._lock:
            self._going.clear()
        while self._working:
            time.sleep(0.1)
        try:
            yield
        finally:
            self._going.set()

    def photos(self) -> list[dict[str, Any]]:
        """Return the first photos of the collection."""
        with self._connect() as client:
            return self._list(client)

    def run_job(self, job: dict[str, Any]) -> None:
        """Run a job until it ends."""
        with self._connect() as client:
            started = self._send(client, "POST", "/jobs", json=job)
            while started is not None:
                state = self._send(client, "GET", f"/jobs/{started.json()['id']}")
                if state is None or state.json()["state"] != "running":
                    detail = state.json()["detail"] if state else None
                    if detail and "Another program" not in detail and not self.stopping:
                        self.violate(f"job: {detail}")
                    return
                time.sleep(0.2)

    def _connect(self) -> httpx.Client:
        return httpx.Client(
            base_url=self._url, headers=self._headers, timeout=TIMEOUT_S, trust_env=False
        )

    def _send(
        self, client: httpx.Client, method: str, path: str, **options: Any
    ) -> httpx.Response | None:
        """Send a request; return the response if it is the usual one."""
        response = client.request(method, f"{V1}{path}", **options)
        with self._lock:
            self.statuses[str(response.status_code)] += 1
        if response.status_code not in EXPECTED:
            self.violate(f"{method} {path}: {response.status_code}: {response.text[:200]}")
        return response if response.is_success else None

    def _list(self, client: httpx.Client) -> list[dict[str, Any]]:
        response = self._send(client, "GET", "/photos", params={"limit": 200})
        return response.json()["photos"] if response else []

    def _any(self, client: httpx.Client, chance: random.Random) -> dict[str, Any]:
        photos = self._list(client)
        return chance.choice(photos) if photos else {"id": 1, "version": "", "width": 9}

    def _search(self, client: httpx.Client, **options: Any) -> dict[str, Any] | None:
        """Search, and check the order of the results."""
        response = self._send(client, "POST", "/search", **options)
        if response is None:
            return None
        found = response.json()
        ranks = [result["rank"] for result in found["results"]]
        if ranks != list(range(1, len(ranks) + 1)) or not found["total"]:
            self.violate(f"search: ranks {ranks} of {found['total']}")
        return found

    def _upload(self, client: httpx.Client, chance: random.Random) -> None:
        data = chance.choice(self._uploads) + chance.randbytes(8)  # cached nowhere
        found = self._search(client, files={"file": data}, data={"k": 10})
        if found is not None:
            path = f"/uploads/{found['query']['upload']}"
            self._check_bytes(client, path, hashlib.sha256(data).hexdigest())

    def _photo(self, client: httpx.Client, chance: random.Random) -> None:
        id_ = self._any(client, chance)["id"]
        found = self._search(client, json={"photo": id_, "k": 20})
        if found is None:
            return
        ids = {entry["id"] for r in found["results"] for entry in (r, *r.get("copies", ()))}
        if id_ not in ids and self._send(client, "GET", f"/photos/{id_}") is not None:
            # Arrays of a moment ago lack a photo that was just added; the next search has it.
            again = self._search(client, json={"photo": id_, "k": 20})
            ids = {e["id"] for r in (again or {"results": []})["results"]
                   for e in (r, *r.get("copies", ()))}  # fmt: skip
            if again is not None and id_ not in ids:
                self.violate(f"photo {id_} does not find itself")

    def _region(self, client: httpx.Client, chance: random.Random) -> None:
        photo = self._any(client, chance)
        box = f"0,0,{photo['width'] // 2 + chance.randrange(40)},{60 + chance.randrange(60)}"
        self._search(client, json={"photo": photo["id"], "box": box, "verify": 3})

    def _explain(self, client: httpx.Client, chance: random.Random) -> None:
        first, second = self._any(client, chance), self._any(client, chance)
        body = {"query": {"photo": first["id"]}, "result": second["id"]}
        self._send(client, "POST", "/explain", json=body)

    def _groups(self, client: httpx.Client, chance: random.Random) -> None:
        path = chance.choice(["/groups", "/groups.json", "/groups.csv"])
        self._send(client, "GET", path)

    def _thumbnail(self, client: httpx.Client, chance: random.Random) -> None:
        self._send(client, "GET", f"/photos/{self._any(client, chance)['id']}/thumbnail")

    def _original(self, client: httpx.Client, chance: random.Random) -> None:
        photo = self._any(client, chance)
        self._check_bytes(client, f"/photos/{photo['id']}/original", photo["version"])

    def _check_bytes(self, client: httpx.Client, path: str, sha256: str) -> None:
        response = self._send(client, "GET", path)
        if response is not None:
            content = hashlib.sha256(response.content).hexdigest()
            etag = response.headers.get("etag", "")  # the photo may have changed after the list
            if not content.startswith(sha256) and content[:32] not in etag:
                self.violate(f"{path}: other bytes than the photo's")

    def _pages(self, client: httpx.Client, chance: random.Random) -> None:
        for path in ("/collection", "/failed", "/health", "/hints"):
            self._send(client, "GET", path)
