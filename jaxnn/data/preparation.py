"""How a drawn or photographed image becomes an example of a data set."""

import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError
from scipy import ndimage

from jaxnn.errors import DataError

if TYPE_CHECKING:
    from jaxnn.data.dataset import Dataset

_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What is decoded; formats whose decoders run other programs are not among them."""

_LARGEST = 64_000_000
"""Pixels to decode: what claims to have more is taken for a decompression bomb."""

_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
"""Of red, green and blue, as JPEG has it (ITU-R BT.601)."""

_FAINTEST = 0.06
"""The contrast, of that between black and white, below which nothing is taken for ink."""

_EDGE = 0.2
"""The part of the ink's contrast in which an edge may be blurred, to either side."""

_SPECK = 0.05
"""A part of the ink is left out if it is smaller than this fraction of the largest."""


def read_image(source: str | Path | BinaryIO, *, longest: int = 512) -> np.ndarray:
    """Reads an image file, upright and not larger than needed.

    Args:
        source: a file (BMP, GIF, JPEG, PNG, PPM, TIFF or WebP), or a stream of its bytes.
        longest: an image with a longer side is reduced, anti-aliased, until that has this length.

    Returns:
        (height, width, channels) uint8, turned as its EXIF data say: grey (1 channel), grey and
        alpha (2), red, green and blue (3), or these and alpha (4). Of an animation, the first one.
        Of 16 bits of grey, the upper 8 count; but if the upper 4 are empty everywhere, as in images
        of 12 bits that are stored so, the upper 8 of the other 12.

    Raises:
        DataError: the file cannot be read, is no such image, is damaged, or is so large that it
            would be unwise to decode it.
    """
    return read_with_depth(source, longest=longest)[0]


def read_with_depth(
    source: str | Path | BinaryIO, *, longest: int = 512
) -> tuple[np.ndarray, Literal[8, 12, 16]]:
    """Reads an image file like ``read_image``; also returns of how many bits its values are."""
    name = source if isinstance(source, str | Path) else getattr(source, "name", "image")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's warnings are about what is decided here
        try:
            with Image.open(source, formats=_FORMATS) as image:
                return _pixels(image, longest)
        except UnidentifiedImageError as error:
            allowed = ", ".join(_FORMATS)
            raise DataError(f"{name}: not an image that can be read ({allowed})") from error
        except Image.DecompressionBombError as error:  # it has not even looked further
            raise DataError(
                f"{name}: refused: the image claims to have more than the {_LARGEST // 10**6} "
                "million pixels that are decoded. Save the image smaller"
            ) from error
        except OSError as error:
            why = error.strerror or f"damaged: {error}"
            raise DataError(f"{name}: cannot read the image: {why}") from error
        except DataError as error:
            raise DataError(f"{name}: {error}") from error
        except Exception as error:  # a decoder may trip over a damaged file in any way
            raise DataError(f"{name}: cannot read the image: {error}") from error


def _pixels(image: ImageFile.ImageFile, longest: int) -> tuple[np.ndarray, Literal[8, 12, 16]]:
    image.draft(None, (longest, longest))  # JPEG can be decoded at a smaller scale
    width, height = image.size
    if width * height > _LARGEST:
        raise DataError(
            f"{width} × {height} pixels are refused: at most {_LARGEST // 10**6} million are "
            "decoded. Save the image smaller"
        )
    stored = str(image.tile[0][3]) if image.tile else ""  # such as "RGB;16B"
    upright = ImageOps.exif_transpose(image)
    depth: Literal[8, 12, 16] = 8
    if upright.mode.startswith("I;16") or (upright.mode == "I" and image.format == "PPM"):
        values = np.asarray(upright)
        # A PPM file says what its largest value is, and Pillow scales it to that of 16 bits.
        depth = 12 if ";16" in stored and 0 < values.max() < 1 << 12 else 16
        upright = Image.fromarray((values >> depth - 8).astype(np.uint8))
    elif upright.mode in ("I", "F"):
        bits = "16 bits with a sign" if ";16S" in stored else "32 bits"
        raise DataError(f"pixels of {bits} are not understood. Save the image with 8 bits a color")
    elif re.search(";16[BLN]", stored):  # of which Pillow has kept the upper 8
        colors = np.asarray(upright.convert("RGB"))
        if 0 < colors.max() < 1 << 4:
            raise DataError(
                "colors of 16 bits, of which the upper 4 are empty, would lose their contrast. "
                "Save the image with 8 bits a color"
            )
    grey = upright.mode in ("1", "L", "LA", "La")
    transparent = "A" if upright.has_transparency_data else ""
    plain = upright.convert(("L" if grey else "RGB") + transparent)
    plain.thumbnail((longest, longest))
    pixels = np.asarray(plain)
    return (pixels if pixels.ndim == 3 else pixels[..., None]), depth


def prepare(image: np.ndarray, dataset: "Dataset") -> np.ndarray:
    """Turns an image into what a network that was trained on a data set can be given.

    By ``dataset.prepare`` where the data set has a way of its own. Else transparent parts become
    white, and the middle of the image, of the examples' proportions, is resized.

    Args:
        image: as ``read_image`` returns it, (height, width, 1 to 4) uint8.
        dataset: a data set of images.

    Returns:
        (*dataset.in_shape), of the type of the data set's inputs.

    Raises:
        DataError: the data set's examples are no images, or nothing is found in this one.
    """
    if dataset.prepare is not None:
        return dataset.prepare(image)
    shape, dtype = dataset.in_shape, dataset.train.inputs.dtype
    if len(shape) != 3 or shape[-1] not in (1, 3) or dtype != np.uint8:
        raise DataError(
            f"{dataset.name}: an image cannot become one of its examples: they have shape {shape} "
            f"and type {dtype}, not (height, width, 1 or 3) and uint8"
        )
    return crop_and_resize(image, shape)


def crop_and_resize(image: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Cuts the middle out of an image, as much of it as has the proportions asked for; resizes it.

    Transparent parts become white. Where the image becomes smaller, it is anti-aliased.

    Args:
        image: (height, width, 1 to 4) uint8; see ``read_image``.
        shape: (height, width, channels) of the result, with 1 channel (grey) or 3 (red, green,
            blue).

    Returns:
        Of that shape, uint8.
    """
    height, width, channels = shape
    if image.shape[-1] == channels:
        picture = Image.fromarray(image if channels == 3 else image[..., 0])
    else:
        color, alpha = _split(image)
        pixels = 1 - alpha[..., None] * (1 - color)
        if channels == 1:
            pixels = _luminance(pixels)
        elif pixels.shape[-1] == 1:
            pixels = pixels.repeat(3, -1)
        picture = Image.fromarray(_as_bytes(pixels))
    if picture.size != (width, height):
        picture = ImageOps.fit(picture, (width, height))
    return np.array(picture).reshape(shape)


def as_mnist(image: np.ndarray) -> np.ndarray:
    """Prepares a handwritten digit as the authors of MNIST prepared theirs.

    The ink (see ``find_ink``) is scaled to fit into 20x20 pixels, its proportions kept,
    anti-aliased, and placed in 28x28 so that its centre of mass lies in the pixel 14 from the top
    and 14 from the left. An image of MNIST stays as it is, but for rounding and specks.

    Args:
        image: (height, width, 1 to 4) uint8; see ``read_image``.

    Returns:
        (28, 28, 1) uint8, 0 (background) to 255 (ink).

    Raises:
        DataError: there is no ink.

    Source: Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, Gradient-based learning applied to
    document recognition, 1998, section III.A. In which pixel the centre lies shows in the data.
    """
    ink = find_ink(image, 20)
    height, width = (max(1, round(20 * side / max(ink.shape))) for side in ink.shape)
    small = _resize(ink, height, width)
    result = np.zeros((28, 28), np.float32)
    y, x = (int(center + 0.5) for center in ndimage.center_of_mass(small))
    top, left = min(max(14 - y, 0), 28 - height), min(max(14 - x, 0), 28 - width)
    result[top : top + height, left : left + width] = small / small.max()
    return _as_bytes(result)[..., None]


def as_emnist(image: np.ndarray) -> np.ndarray:
    """Prepares a handwritten character as the authors of EMNIST prepared theirs.

    The ink (see ``find_ink``) is scaled to fit into 24x24 pixels, its proportions kept,
    anti-aliased, and placed in the middle of 28x28. Unlike theirs, it is not blurred before.

    Args:
        image: (height, width, 1 to 4) uint8; see ``read_image``.

    Returns:
        (28, 28, 1) uint8, 0 (background) to 255 (ink).

    Raises:
        DataError: there is no ink.

    Source: G. Cohen et al., EMNIST: an extension of MNIST to handwritten letters, 2017, figure 1.
    """
    return _centered(find_ink(image, 24), 24)


def as_kmnist(image: np.ndarray) -> np.ndarray:
    """Prepares a written character like those of Kuzushiji-MNIST: it fills 28x28 pixels.

    The ink (see ``find_ink``) is scaled until it touches two opposite sides, its proportions kept,
    anti-aliased, and placed in the middle.

    Args:
        image: (height, width, 1 to 4) uint8; see ``read_image``.

    Returns:
        (28, 28, 1) uint8, 0 (background) to 255 (ink).

    Raises:
        DataError: there is no ink.
    """
    return _centered(find_ink(image, 28), 28)


def as_fashion_mnist(image: np.ndarray) -> np.ndarray:
    """Prepares the picture of an article as the authors of Fashion-MNIST prepared theirs.

    Where the border is light, the brightness is negated. What is not background is cut out, scaled
    until it touches two opposite sides, its proportions kept, anti-aliased, and placed in the
    middle of 28x28 pixels. Unlike theirs, it is not sharpened.

    Args:
        image: (height, width, 1 to 4) uint8, on a plain background; see ``read_image``.

    Returns:
        (28, 28, 1) uint8, 0 is the background.

    Raises:
        DataError: there is nothing but background.

    Source: H. Xiao, K. Rasul and R. Vollgraf, Fashion-MNIST, 2017, section 2.
    """
    grey = _grey(image)
    if np.median(grey[_border(grey)]) > 0.5:
        grey = 1 - grey
    article = (grey - np.median(grey[_border(grey)])).clip(0, 1)
    rows, columns = (np.flatnonzero((article > _FAINTEST).any(axis)) for axis in (1, 0))
    if not rows.size:
        raise DataError("nothing is shown in the image: hardly any of it differs from its border")
    return _centered(article[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 28)


def _centered(values: np.ndarray, side: int) -> np.ndarray:
    """Scales (height, width) to fit into a square, and places it in the middle of (28, 28, 1)."""
    height, width = (max(1, round(side * length / max(values.shape))) for length in values.shape)
    top, left = (28 - height) // 2, (28 - width) // 2
    result = np.zeros((28, 28), np.float32)
    small = _resize(values.astype(np.float32), height, width)
    result[top : top + height, left : left + width] = small
    return _as_bytes(result)[..., None]


def as_digits(image: np.ndarray) -> np.ndarray:
    """Prepares a handwritten digit as the authors of the UCI digits prepared theirs.

    They used programs of NIST to make normalized bitmaps of 32x32, and counted the inked pixels in
    each block of 4x4. As those did, the ink (see ``find_ink``) is scaled to a height of 32, sheared
    until the first pixel of its top row stands above that of its bottom row, and its strokes are
    made thicker or thinner, until as many pixels are inked as in an average example.

    Args:
        image: (height, width, 1 to 4) uint8; see ``read_image``.

    Returns:
        (8, 8, 1) uint8: 0 (background) to 16 (ink).

    Raises:
        DataError: there is no ink.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, 1998; M. Garris et
    al., NIST Form-Based Handprint Recognition System, NISTIR 5469, 1994. That their digits are
    upright in this sense, and how wide and thick they are, shows in the data.
    """
    ink = find_ink(image, 32)
    upright = _without_slant(_resize(ink, 32, min(max(round(32 * ink.shape[1] / len(ink)), 1), 24)))
    width = upright.shape[1]
    bitmap = np.zeros((32, 32), np.float32)
    left = (32 - width) // 2
    bitmap[:, left : left + width] = upright
    around = ndimage.gaussian_filter(bitmap, 1)
    inked = around >= max(np.sort(around, None)[-310], 0.02 * around.max())
    return inked.reshape(8, 4, 8, 4).sum((1, 3)).astype(np.uint8)[..., None]


def find_ink(image: np.ndarray, size: int) -> np.ndarray:
    """Finds what is drawn or written in an image, and cuts it out.

    The background is what the border consists of, be the ink darker or lighter, and transparent
    parts belong to it. It may be lit unevenly: its brightness is taken for a polynomial of degree
    2 in the position. Specks apart from the rest are left out, and so is what differs from the
    background by no more than noise does.

    Args:
        image: (height, width, 1 to 4) uint8; see ``read_image``.
        size: how many pixels high or wide the ink will be in the end.

    Returns:
        (height, width) float32, from 0 to 1: how much of each pixel is ink. There is some at each
        of the four sides.

    Raises:
        DataError: there is none, or hardly any contrast.
    """
    grey = _grey(image)
    # Where the ink itself takes up much of the border, a constant background is the better guess.
    found = [_contrast(grey, background) for background in (_constant(grey), _polynomial(grey))]
    contrast, full, noise = min(found, key=lambda guess: guess[2] / (guess[1] + 1e-6))
    if full < max(_FAINTEST, 2 * noise):
        raise DataError("nothing is drawn in the image: hardly any of it is darker or lighter")
    # An image larger than needed can do without its edges' levels of grey, where blur and traces
    # of compression are; in one of the right size they are what lies between two pixels.
    extent = max(float(np.ptp(where)) + 1 for where in np.nonzero(contrast > 0.5 * full))
    low = min(max(noise / full, _EDGE * (1 - size / extent)), 0.4)
    ink = ((contrast / full - low) / (1 - 2 * low)).clip(0, 1)
    ink *= _without_specks(ink)
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float32)


def _contrast(grey: np.ndarray, background: np.ndarray | float) -> tuple[np.ndarray, float, float]:
    """Returns how much each pixel stands out as ink does; how much full ink does; and noise."""
    contrast = grey - background
    smooth = ndimage.uniform_filter(contrast, max(1, min(grey.shape) // 100))
    if -smooth.min() > smooth.max():
        contrast, smooth = -contrast, -smooth
    strong = contrast[contrast > 0.5 * smooth.max()]
    full = float(np.quantile(strong, 0.9)) if strong.size else 0.0
    # On the side of the background where the ink is not, there is only noise.
    noise = float(np.quantile(np.maximum(-contrast, 0), 0.995))
    return contrast, full, noise


def _constant(grey: np.ndarray) -> float:
    """Returns the brightness around which a third of the border's lies most densely."""
    values = np.sort(grey[_border(grey)])
    third = max(1, values.size // 3)
    start = int((values[third:] - values[:-third]).argmin()) if values.size > third else 0
    return float(np.median(values[start : start + third]))


def _polynomial(grey: np.ndarray) -> np.ndarray:
    """Returns the background's brightness at each pixel, fitted to the border's, robustly."""
    height, width = grey.shape
    rows, columns = np.nonzero(_border(grey))
    some = slice(None, None, 1 + rows.size // 2000)  # enough for six coefficients
    values = grey[rows, columns][some].astype(np.float64)

    def terms(y: np.ndarray, x: np.ndarray) -> list[np.ndarray]:
        y, x = 2 * y / height - 1, 2 * x / width - 1
        return [np.ones_like(x), x, y, x * y, x * x, y * y]

    matrix = np.stack(terms(rows[some], columns[some]), -1)
    residuals = np.abs(values - np.median(values))
    for _ in range(5):  # what sticks out of the background may reach the border, too
        close = residuals <= 3 * np.median(residuals) + 0.02
        coefficients = np.linalg.lstsq(matrix[close], values[close])[0]
        residuals = np.abs(matrix @ coefficients - values)
    y, x = np.ogrid[:height, :width]
    brightness: np.ndarray = sum(
        (c * term for c, term in zip(coefficients, terms(y, x), strict=True)), np.zeros(grey.shape)
    )
    return brightness


def _border(grey: np.ndarray) -> np.ndarray:
    """Returns which pixels lie in a ring along the four sides, a 25th of the shorter one wide."""
    ring = max(1, min(grey.shape) // 25)
    border = np.ones(grey.shape, bool)
    border[ring:-ring, ring:-ring] = False
    return border


def _without_specks(ink: np.ndarray) -> np.ndarray:
    """Returns where the parts of ink are that are not small, and somewhere more ink than not."""
    parts, count = ndimage.label(ink > 0, np.ones((3, 3)))
    masses = np.bincount(parts.ravel(), ink.ravel(), count + 1)
    masses[np.bincount(parts[ink > 0.5], minlength=count + 1) == 0] = 0
    kept: np.ndarray = (masses > 0) & (masses >= _SPECK * masses.max())
    return kept[parts]


def _without_slant(ink: np.ndarray) -> np.ndarray:
    """Shifts each row of (32, width) so that the outer two begin in one column."""
    top, bottom = (int((row > 0.5 * row.max()).argmax()) for row in (ink[0], ink[-1]))
    shift = (top - bottom) / 31
    wide = np.pad(ink, ((0, 0), (32, 32)))
    # The value at row y and column x comes from column x + offset - shift · y.
    sheared = ndimage.affine_transform(wide, [[1, 0], [-shift, 1]], [0, 15.5 * shift], order=1)
    columns = np.flatnonzero(sheared.max(0) > 0.25 * sheared.max())
    cut = sheared[:, columns[0] : columns[-1] + 1]
    return cut if cut.shape[1] <= 32 else _resize(cut, 32, 32)


def _grey(image: np.ndarray) -> np.ndarray:
    """Returns the brightness, (height, width) float32 from 0 to 1; transparent: as the background.

    In a picture that is mostly opaque that is like the rest; else it is what ink stands out from.
    """
    color, alpha = _split(image)
    brightness = _luminance(color)
    opaque = alpha > 0.5
    if opaque.mean() > 0.5:
        background = float(np.median(brightness[opaque]))
    else:
        background = float((alpha * brightness).sum() < 0.5 * alpha.sum())
    return alpha * brightness + (1 - alpha) * background


def _split(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns color, (height, width, 1 or 3), and alpha, (height, width), float32 from 0 to 1."""
    if image.ndim != 3 or not 1 <= image.shape[-1] <= 4 or image.dtype != np.uint8:
        raise ValueError(
            f"an image must be (height, width, 1 to 4) uint8, got {image.dtype} of shape "
            f"{image.shape}"
        )
    values = image.astype(np.float32) / 255
    if image.shape[-1] in (2, 4):
        return values[..., :-1], values[..., -1]
    return values, np.ones(image.shape[:2], np.float32)


def _luminance(color: np.ndarray) -> np.ndarray:
    return color[..., 0] if color.shape[-1] == 1 else color @ _LUMINANCE


def _resize(ink: np.ndarray, height: int, width: int) -> np.ndarray:
    """Scales (height, width) float32; where it becomes smaller, by the mean of what a pixel covers.

    So did the authors of MNIST get levels of grey from bitmaps.
    """
    smaller = height <= ink.shape[0]
    how = Image.Resampling.BOX if smaller else Image.Resampling.BICUBIC
    return np.array(Image.fromarray(ink).resize((width, height), how)).clip(0, 1)


def _as_bytes(values: np.ndarray) -> np.ndarray:
    return np.rint(255 * values).astype(np.uint8)


PREPARATIONS = {
    function.__name__: function
    for function in (as_digits, as_emnist, as_fashion_mnist, as_kmnist, as_mnist)
}
"""By name: what ``Dataset.prepare`` can be."""
