"""Conversion of decoded images of any mode to RGB of 8 bits, at full or at half scale."""

from PIL import Image

from resight.photos.deep_gray import deep_gray_to_8_bit, strips

BUFFERED_FORMATS = frozenset({"WEBP", "AVIF", "JPEG2000"})
"""Decoders that hold two or three times the image as long as their `Image` lives."""


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image to RGB; transparency becomes white, and deep gray is scaled to 8 bits."""
    if _is_deep(image):
        return deep_gray_to_8_bit(image).convert("RGB")
    if "A" in image.getbands() or "transparency" in image.info:
        return _flatten_to_white(image)
    if image.mode == "RGB":
        return image.copy() if image.format in BUFFERED_FORMATS else image
    return image.convert("RGB")


def to_reduced_rgb(image: Image.Image, scale: int) -> Image.Image:
    """Convert an image to RGB in which each pixel is the mean of `scale` x `scale`.

    No copy of the full size is made, except of deep gray; metadata are kept.
    """
    if _is_deep(image):
        image = deep_gray_to_8_bit(image)
    reduced = Image.new("RGB", (-(-image.width // scale), -(-image.height // scale)))
    for top, strip in strips(image, multiple=scale):
        reduced.paste(to_rgb(strip).reduce(scale), (0, top // scale))
    reduced.info = image.info
    return reduced


def _is_deep(image: Image.Image) -> bool:
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def _flatten_to_white(image: Image.Image) -> Image.Image:
    flat = Image.new("RGB", image.size, "white")
    for top, strip in strips(image):
        rgba = strip.convert("RGBA")
        flat.paste(rgba, (0, top), mask=rgba.getchannel("A"))
    return flat
