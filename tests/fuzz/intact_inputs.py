"""Small intact files and requests from which mutations start, drawn and written here."""

import functools
import io
import json
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

import broken_photos
import raw_photos

PHOTO_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF", "JPEG2000")
OTHER_FORMATS = ("PPM", "ICO", "TGA", "PCX", "SGI", "ICNS", "DDS", "EPS", "PDF", "DIB", "QOI")


def photos(format: str) -> list[bytes]:
    """Return photos of a format, of all kinds that are read; none if it cannot be written."""
    broken_photos.have_heif()
    return [data for data in _all_photos() if _format(data) == format]


@functools.cache
def _all_photos() -> list[bytes]:
    return list(_draw_photos())


def _draw_photos() -> Iterator[bytes]:
    for _, data, _, _ in broken_photos.intact():
        yield data
    color, gray = broken_photos.color_picture(), broken_photos.color_picture().convert("L")
    exif = Image.Exif()
    exif[274], exif[306], exif[271] = 6, "2020:01:31 12:00:00", "maker"
    for format in ("JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF"):
        if format in Image.SAVE:
            yield _save(color, format, exif=exif.tobytes())
    if "JPEG2000" in Image.SAVE:
        for options in ({}, {"no_jp2": True}, {"irreversible": True}, {"tile_size": (32, 32)}):
            yield _save(color, "JPEG2000", **options)
        yield _save(gray, "JPEG2000")
        yield _save(color.convert("RGBA"), "JPEG2000")


def _format(data: bytes) -> str | None:
    with Image.open(io.BytesIO(data)) as image:
        return image.format


def other_files() -> list[bytes]:
    """Return pictures of formats that are not read, and raw photos."""
    Image.init()
    color, files = broken_photos.color_picture(), []
    for format in OTHER_FORMATS:
        if format in Image.SAVE:
            files.append(_save(color.quantize(16) if format == "PCX" else color, format))
    return [*files, b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>"]


def _save(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def raw_files() -> list[bytes]:
    """Return RAW photos."""
    return [*raw_photos.RAW_PHOTOS.values(), *raw_photos.OTHER_CONTAINERS.values()]


def groups() -> list[bytes]:
    """Return contents of `groups.json`."""
    return [
        json.dumps({"tower": ["a.jpg", "sub/b.jpg"], "bridge": ["c.jpg"]}).encode(),
        b'\xef\xbb\xbf{"\\u00e9": ["\\udcff.jpg"]}',
        b"{}",
    ]


def ground_truth() -> list[bytes]:
    """Return ground truth; the first byte chooses its kind, see `targets`."""
    query = {"bbx": [1.5, 2, 30, 40], "easy": [0], "hard": [1], "junk": [2], "ok": [0]}
    content = {"imlist": ["a", "b", "c"], "qimlist": ["a"], "gnd": [query]}
    texts = "oxc1_a 1.5 2.0 30.0 40.0\n"
    return [
        b"0" + json.dumps(content).encode(),
        *(b"1" + pickle.dumps(content, protocol) for protocol in (0, 1, 2, 4)),
        b"2" + texts.encode(),
        b"3a\nb\n",
        b"4100000.jpg 90\n100001.jpg 0\n",
        b"5100000.jpg\n100001.jpg\n",
    ]


def segments() -> list[bytes]:
    """Return segments without their footers."""
    from resight.descriptors.extractor import Description
    from resight.indexing.cluster import segments as cluster
    from resight.indexing.extraction import PhotoResult
    from resight.photos.files import PhotoFile

    vector = np.ones(8, np.float16)
    described = Description(vector, np.ones((2, 4), np.float16), evidence=b"evidence")
    results = [
        PhotoResult(PhotoFile(Path("/a.jpg"), 9, 7), "0" * 64, (64, 48), described),
        PhotoResult(PhotoFile(Path("/b.jpg"), 9, 7), reason="damaged"),
    ]
    plain = [PhotoResult(PhotoFile(Path("/a.jpg"), 9, 7), "0" * 64, (4, 3), Description(vector))]
    footer = len(cluster.MARK) + 32
    return [
        cluster.encode(cluster.Segment("f" * 64, tuple(each)))[:-footer]
        for each in (results, plain, [])
    ]


def safetensors_files() -> list[bytes]:
    """Return weights as safetensors."""
    from safetensors.numpy import save

    arrays = {"conv1.weight": np.ones((2, 3, 1, 1), np.float32), "fc.bias": np.ones(3, np.float32)}
    wide = {"a": np.ones(2), "b": np.ones(2, np.int64), "c": np.ones(2, np.float16)}
    return [save(arrays), save(wide, {"format": "pt"}), save({})]


def torch_files() -> list[bytes]:
    """Return weights as torch saves them, in its new and its old format, of several layouts."""
    import torch

    state = {"conv1.weight": torch.ones(2, 3, 1, 1), "fc.bias": torch.ones(3, dtype=torch.bfloat16)}
    cirtorch = {
        "meta": {"architecture": "resnet50", "pooling": "gem", "mean": [0.5] * 3, "std": [1] * 3},
        "state_dict": {**state, "pool.p": torch.ones(1)},
    }
    dirtorch = {
        "model_options": {"arch": "resnet50_rmac", "pooling": "gem", "norm_features": True},
        "state_dict": {**state, "adpool.p": torch.ones(1), "fc.weight": torch.ones(3, 2048)},
        "pca": {"Landmarks_clean": {"variance": np.ones(2), "mean": np.ones(3)}},
    }
    netvlad = {"encoder.0.weight": torch.ones(1), "pool.centroids": torch.ones(2, 512)}
    files = []
    for content in (state, cirtorch, dirtorch, netvlad):
        for new in (True, False):
            file = io.BytesIO()
            torch.save(content, file, _use_new_zipfile_serialization=new)
            files.append(file.getvalue())
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("x/data.pkl", pickle.dumps({"a": [1, 2.5, "b", None, True]}, 2))
    return [*files, archive.getvalue()]


def configurations() -> list[bytes]:
    """Return the configurations of all methods as TOML, and one with a selection."""
    from resight.methods import METHODS

    texts = {_toml(spec.config.to_dict()) for spec in METHODS.values()}
    texts |= {
        _toml(spec.config.to_dict()) + "[selection]\n" + _toml(spec.reduction.to_dict())
        for spec in METHODS.values()
    }
    return [text.encode() for text in sorted(texts)]


def _toml(fields: dict[str, object]) -> str:
    return "".join(
        f"{name} = {json.dumps(value)}\n" for name, value in fields.items() if value is not None
    )


def options() -> list[bytes]:
    """Return texts of options, a line each, in the order in which `targets` reads them."""
    lines = ["1,2,30,40", "k1=20", "shortlist=5", "1/30", "10m", "alpha-qe", "2020-01-31", "640"]
    others = ["a,b", "=", "method=x", "0", "s", "none", "", "-1"]
    return ["\n".join(each).encode() for each in (lines, others)]


def decisions() -> list[bytes]:
    """Return files of decisions, as `hints --json` writes them."""
    entry = {"verdict": "same", "contents": ["0" * 64, "f" * 64], "decided": "2024-01-01T00:00:00"}
    kept = {"verdict": "keep", "contents": ["0" * 64], "decided": "2024-01-01T00:00:00+02:00"}
    return [json.dumps({"hints": [entry, kept]}).encode(), b'{"hints": []}']


def requests() -> list[bytes]:
    """Return HTTP requests: method and target, media type, empty line, body."""
    photo = _save(broken_photos.color_picture(), "JPEG")
    part = b'--x\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
    form = part % (b"file", b'; filename="a.jpg"', photo) + part % (b"k", b"", b"3") + b"--x--\r\n"
    bodies = {
        "/search": {"photo": 1, "k": 3, "box": "1,2,30,40", "verify": 2, "min_side": 1,
                    "rerank": "aqe", "rerank_with": "shortlist=5", "taken_from": "2020-01",
                    "under": "/tmp", "mirrored": True, "limit": 1.5},
        "/explain": {"query": {"photo": 1}, "result": 2, "box": "0,0,9,9"},
        "/same": {"first": {"photo": 1}, "second": {"photo": 2}},
        "/jobs": {"action": "remove", "photos": [1]},
        "/hints": {"verdict": "same", "photos": [1, 2]},
    }  # fmt: skip
    return [
        *(
            f"POST /api/v1{path}\napplication/json\n\n{json.dumps(body)}".encode()
            for path, body in bodies.items()
        ),
        b"POST /api/v1/search\nmultipart/form-data; boundary=x\n\n" + form,
        *(
            f"GET /api/v1{path}\n\n\n".encode()
            for path in (
                "/photos?after=1&count=3", "/photos/1", "/photos/1/thumbnail?v=x", "/hints",
                "/photos/1/original", "/groups?limit=0.5&after=0&count=5", "/groups.csv?limit=1",
                "/failed", "/collection", "/jobs/x", "/jobs/x/events", "/uploads/x", "/health",
            )
        ),
        b"GET /metrics\n\n\n",
        b"GET /static/index.html\n\n\n",
        b"DELETE /api/v1/hints/x\n\n\n",
    ]  # fmt: skip
