"""Pictures of a digit as people have them: files that differ in everything but the digit."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

Photograph = Callable[[np.ndarray], bytes]
"""Takes ink, (height, width) uint8, 255 on 0, and gives the bytes of an image file."""


def _enlarged(ink: np.ndarray, side: int) -> Image.Image:
    scale = side / max(ink.shape)
    size = (round(ink.shape[1] * scale), round(ink.shape[0] * scale))
    return Image.fromarray(ink).resize(size, Image.Resampling.BICUBIC)


def _inverted(image: Image.Image) -> Image.Image:
    return image.point(lambda value: 255 - value)


def _file(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def _pasted(ink: np.ndarray, side: int, size: tuple[int, int], at: tuple[int, int]) -> Image.Image:
    page = Image.new("L", size, 255)
    page.paste(_inverted(_enlarged(ink, side)), at)
    return page


def white_on_black(ink: np.ndarray) -> bytes:
    return _file(_enlarged(ink, 200))


def black_on_white_500_by_300(ink: np.ndarray) -> bytes:
    return _file(_pasted(ink, 160, (500, 300), (310, 120)).convert("RGB"))


def black_on_transparent(ink: np.ndarray) -> bytes:
    alpha = np.asarray(_enlarged(ink, 150))
    return _file(Image.fromarray(np.stack([np.zeros_like(alpha), alpha], -1)))


def white_on_transparent(ink: np.ndarray) -> bytes:
    alpha = np.asarray(_enlarged(ink, 240))
    return _file(Image.fromarray(np.stack([np.full_like(alpha, 255)] * 3 + [alpha], -1)))


def jpeg_of_low_quality(ink: np.ndarray) -> bytes:
    return _file(_pasted(ink, 180, (240, 400), (10, 30)), "JPEG", quality=15)


def blue_pen_in_bad_light(ink: np.ndarray) -> bytes:
    """Paper with a gradient of light over it, noise, dirt, out of focus, and a JPEG."""
    rng = np.random.default_rng(0)
    height, width = 330, 440
    cover = 1 - np.asarray(_pasted(ink, 200, (width, height), (150, 60))) / 255
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    light = (0.7 + 0.2 * x - 0.1 * y - 0.1 * (x * x + y * y))[..., None]
    paper, pen = np.array([1, 0.97, 0.9]), np.array([0.15, 0.2, 0.5])
    picture = light * (paper + cover[..., None] * (pen - paper))
    picture += rng.normal(0, 0.03, picture.shape)
    for top, left in ((20, 30), (300, 400), (60, 380)):
        picture[top : top + 4, left : left + 4] -= 0.3
    image = Image.fromarray(np.rint(255 * picture.clip(0, 1)).astype(np.uint8))
    return _file(image.filter(ImageFilter.GaussianBlur(1.5)), "JPEG", quality=60)


def held_upright(ink: np.ndarray) -> bytes:
    """Turned by 90°, with the note in the EXIF data that a camera leaves."""
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: to be turned by 90° clockwise
    page = _pasted(ink, 220, (300, 400), (40, 150)).transpose(Image.Transpose.ROTATE_90)
    return _file(page, "JPEG", quality=85, exif=exif)


def cut_out_tightly(ink: np.ndarray) -> bytes:
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    cut = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return _file(_inverted(_enlarged(cut, 180)))


def bilevel_scan(ink: np.ndarray) -> bytes:
    return _file(_pasted(ink, 280, (340, 340), (20, 40)).convert("1"))


def sixteen_bits(ink: np.ndarray) -> bytes:
    return _file(Image.fromarray(np.asarray(_enlarged(ink, 100)).astype(np.uint16) * 257))


PHOTOGRAPHS: tuple[Photograph, ...] = (
    white_on_black,
    black_on_white_500_by_300,
    black_on_transparent,
    white_on_transparent,
    jpeg_of_low_quality,
    blue_pen_in_bad_light,
    held_upright,
    cut_out_tightly,
    bilevel_scan,
    sixteen_bits,
)
