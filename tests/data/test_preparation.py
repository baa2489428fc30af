"""Images of any kind become examples: decoding, finding the ink, and each data set's own way."""

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from photographs import PHOTOGRAPHS
from PIL import Image

from jaxnn.data import Dataset, Split, data_folder, digits, find_ink, mnist, prepare, read_image
from jaxnn.data.preparation import as_mnist
from jaxnn.errors import DataError


def written(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def drawing(size: tuple[int, int] = (90, 120), at: tuple[int, int] = (20, 30)) -> np.ndarray:
    """An L, 40 high, 25 wide and 8 thick: (height, width) uint8, 255 on 0."""
    ink = np.zeros(size, np.uint8)
    top, left = at
    ink[top : top + 40, left : left + 8] = 255
    ink[top + 32 : top + 40, left : left + 25] = 255
    return ink


def grey(ink: np.ndarray) -> np.ndarray:
    return ink[..., None]


# --- Decoding


@pytest.mark.parametrize(
    ("mode", "channels"),
    [("1", 1), ("L", 1), ("P", 3), ("RGB", 3), ("CMYK", 3), ("LA", 2), ("RGBA", 4)],
)
def test_every_mode_becomes_bytes(tmp_path: Path, mode: str, channels: int) -> None:
    image = Image.fromarray(pixels(20, 30, 3)).convert(mode)
    suffix = "tif" if mode == "CMYK" else "png"
    found = read_image(written(tmp_path / f"image.{suffix}", image))
    assert found.shape == (20, 30, channels)
    assert found.dtype == np.uint8


def test_png_keeps_its_values(tmp_path: Path) -> None:
    for shape in ((20, 30), (20, 30, 2), (20, 30, 3), (20, 30, 4)):
        values = pixels(*shape)
        path = written(tmp_path / "image.png", Image.fromarray(values))
        np.testing.assert_array_equal(read_image(path), values.reshape(20, 30, -1))
        np.testing.assert_array_equal(read_image(io.BytesIO(path.read_bytes())), read_image(path))


def test_sixteen_bits_become_eight(tmp_path: Path) -> None:
    values = pixels(5, 6).astype(np.uint16) * 256 + 17
    path = written(tmp_path / "image.png", Image.fromarray(values))
    np.testing.assert_array_equal(read_image(path)[..., 0], values >> 8)
    pgm = b"P5\n6 5\n65535\n" + values.astype(">u2").tobytes()
    np.testing.assert_array_equal(read_image(io.BytesIO(pgm))[..., 0], values >> 8)


@pytest.mark.parametrize("kind", ["png", "tif", "pgm", "pgm that says so"])
def test_twelve_bits_in_sixteen_keep_their_contrast(tmp_path: Path, kind: str) -> None:
    values = pixels(5, 6).astype(np.uint16) * 16 + 7
    path = tmp_path / f"image.{kind[:3]}"
    if kind[:3] == "pgm":
        largest = 4095 if kind == "pgm that says so" else 65535
        path.write_bytes(b"P5\n6 5\n%d\n" % largest + values.astype(">u2").tobytes())
    else:
        written(path, Image.fromarray(values))
    np.testing.assert_allclose(read_image(path)[..., 0].astype(int), values >> 4, atol=1)
    dark = written(tmp_path / "dark.png", Image.fromarray(np.zeros((3, 4), np.uint16)))
    assert read_image(dark).max() == 0


def test_colors_of_twelve_bits_in_sixteen_are_refused(tmp_path: Path) -> None:
    """Pillow keeps the upper eight bits of colors."""

    def png(values: np.ndarray) -> Path:
        height, width, _ = values.shape
        rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
        header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
        chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
        (tmp_path / "colors.png").write_bytes(
            b"\x89PNG\r\n\x1a\n"
            + b"".join(
                struct.pack(">I", len(content))
                + kind
                + content
                + struct.pack(">I", zlib.crc32(kind + content))
                for kind, content in chunks
            )
        )
        return tmp_path / "colors.png"

    values = pixels(5, 6, 3).astype(np.uint16)
    np.testing.assert_array_equal(read_image(png(values * 256 + 17)), values)
    assert read_image(png(values * 0)).max() == 0
    with pytest.raises(
        DataError, match=r"colors\.png: colors of 16 bits, of which the upper 4 are"
    ):
        read_image(png(values * 16))
    header = struct.pack("<IIIIiiHHIIiiII", 62, 0, 54, 40, 2, 1, 1, 16, 0, 4, 0, 0, 0, 0)
    bmp = io.BytesIO(b"BM" + header + b"\x01\0\x01\0" + bytes(4))
    assert read_image(bmp).max() < 16  # of 16 bits for all three colors together


def test_palettes_with_transparency_have_alpha(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 2), 1)
    found = read_image(written(tmp_path / "image.png", image, transparency=0))
    assert found.shape == (4, 4, 4)
    assert found[2, 1].tolist() == [0, 0, 255, 255]
    assert found[0, 0, 3] == 0


def test_large_images_are_reduced_and_keep_their_proportions(tmp_path: Path) -> None:
    for form in ("png", "jpg"):
        path = written(tmp_path / f"image.{form}", Image.new("L", (3000, 1500), 77))
        assert read_image(path, longest=100).shape == (50, 100, 1)
        assert read_image(path).shape == (256, 512, 1)
        assert (read_image(path, longest=100) == 77).all()


def test_cameras_say_where_up_is(tmp_path: Path) -> None:
    values = np.zeros((40, 20, 3), np.uint8)
    values[:20] = 255  # the upper half is white
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = Image.fromarray(values).transpose(Image.Transpose.ROTATE_90)
    found = read_image(written(tmp_path / "image.jpg", turned, exif=exif))
    assert found.shape == (40, 20, 3)
    assert (found[:18] > 200).all()
    assert (found[22:] < 50).all()


def png_claiming(width: int, height: int) -> bytes:
    """A small PNG file that says it is large."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [12_000, 20_000, 1_000_000])
def test_decompression_bombs_are_refused(tmp_path: Path, side: int) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_claiming(side, side))
    with pytest.raises(DataError, match=r"bomb\.png: .*(refused|bomb)"):
        read_image(path)


def test_what_is_no_image_is_named(tmp_path: Path) -> None:
    good = written(tmp_path / "good.png", Image.fromarray(pixels(50, 50))).read_bytes()
    jpeg = written(tmp_path / "good.jpg", Image.fromarray(pixels(50, 50))).read_bytes()
    contents = {
        "empty.png": b"",
        "text.png": b"not an image at all",
        "vector.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
        "truncated.png": good[:200],
        "flipped.png": good[:60] + bytes([good[60] ^ 255]) + good[61:],
        "truncated.jpg": jpeg[:300],
        "claims.png": png_claiming(300, 300),
    }
    for name, content in contents.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(DataError, match=f"{name}: (not an image|cannot read the image)"):
            read_image(path)
    with pytest.raises(DataError, match=r"nowhere\.png: cannot read the image: No such file"):
        read_image(tmp_path / "nowhere.png")
    with pytest.raises(DataError, match="cannot read the image: Is a directory"):
        read_image(tmp_path)
    with pytest.raises(DataError, match="image: not an image"):
        read_image(io.BytesIO(b"?"))
    path = written(tmp_path / "float.tif", Image.new("F", (4, 4)))
    with pytest.raises(DataError, match=r"float\.tif: pixels of 32 bits are not understood"):
        read_image(path)
    image = Image.fromarray(pixels(4, 4).astype(np.uint16))
    path = written(tmp_path / "signed.tif", image, tiffinfo={339: 2})  # SampleFormat: signed
    with pytest.raises(DataError, match=r"signed\.tif: pixels of 16 bits with a sign are not und"):
        read_image(path)


# --- Finding the ink


def test_ink_is_found_in_either_polarity_and_with_alpha() -> None:
    ink = drawing()
    expected = ink[20:60, 30:55] / 255
    empty, full = np.zeros_like(ink), np.full_like(ink, 255)
    images = {
        "white on black": grey(ink),
        "black on white": grey(255 - ink),
        "faint": grey(120 - ink // 5),
        "black on transparent": np.stack([empty, ink], -1),
        "white on transparent": np.stack([full, ink], -1),
        "transparent white in an opaque picture": np.stack([full, full, full, ink], -1),
        "color": np.stack([full - ink // 2, full - ink, full - ink // 3], -1),
    }
    for name, image in images.items():
        np.testing.assert_allclose(find_ink(image, 20), expected, atol=0.01, err_msg=name)


def test_an_opaque_picture_with_transparent_corners_has_its_own_background() -> None:
    ink = drawing()
    alpha = np.full_like(ink, 255)
    alpha[:10, :10] = alpha[-10:, -10:] = 0
    found = find_ink(np.stack([255 - ink, alpha], -1), 20)
    np.testing.assert_allclose(found, ink[20:60, 30:55] / 255, atol=0.01)


def test_uneven_light_noise_and_specks_are_no_ink() -> None:
    rng = np.random.default_rng(0)
    ink = drawing((200, 240), (60, 90))
    y, x = np.mgrid[-1:1:200j, -1:1:240j]
    light = 0.7 + 0.2 * x - 0.15 * x * y - 0.1 * y * y
    image = light * (1 - 0.7 * ink / 255) + rng.normal(0, 0.02, ink.shape)
    image[10:13, 20:23] = 0.1
    found = find_ink(grey(np.rint(255 * image.clip(0, 1)).astype(np.uint8)), 20)
    assert found.shape == (40, 25)
    np.testing.assert_allclose(found.round(), ink[60:100, 90:115] / 255)


def test_parts_that_are_not_specks_stay() -> None:
    ink = np.zeros((60, 60), np.uint8)
    ink[10:50, 10:16] = 255
    ink[10:20, 40:46] = 255  # a quarter of the first
    ink[55:57, 55:57] = 255  # a sixtieth
    assert find_ink(grey(ink), 20).shape == (40, 36)


@pytest.mark.parametrize(
    "image",
    [
        np.full((50, 60, 1), 255, np.uint8),
        np.zeros((50, 60, 4), np.uint8),
        np.zeros((1, 1, 1), np.uint8),
        np.random.default_rng(0).integers(100, 140, (80, 80, 3), dtype=np.uint8),
        np.broadcast_to(np.arange(100, 200, dtype=np.uint8)[:, None, None], (100, 90, 1)),
    ],
    ids=["white", "transparent", "one pixel", "noise", "gradient"],
)
def test_where_there_is_nothing_that_is_said(image: np.ndarray) -> None:
    with pytest.raises(DataError, match="nothing is drawn in the image"):
        find_ink(image, 20)


def test_what_is_no_image_array_is_refused() -> None:
    for image in (np.zeros((5, 5), np.uint8), np.zeros((5, 5, 1)), np.zeros((5, 5, 5), np.uint8)):
        with pytest.raises(ValueError, match=r"an image must be \(height, width, 1 to 4\) uint8"):
            find_ink(image, 20)


@pytest.mark.parametrize("shape", [(1, 9, 1), (9, 1, 1), (2, 2, 1), (3, 500, 1)])
def test_tiny_and_narrow_images_are_no_trouble(shape: tuple[int, ...]) -> None:
    image = np.zeros(shape, np.uint8)
    image[shape[0] // 2, shape[1] // 2] = 255
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert prepare(image, digits()).shape == (8, 8, 1)


@pytest.mark.long
@given(st.data())
@settings(max_examples=150, deadline=None)
def test_any_image_becomes_an_example_or_has_nothing_in_it(draw: st.DataObject) -> None:
    shape = draw.draw(st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 4)))
    rng = np.random.default_rng(draw.draw(st.integers(0, 2**32 - 1)))
    levels = draw.draw(st.integers(1, 256))
    image = (rng.integers(0, levels, shape) * rng.binomial(1, rng.random() ** 3, shape)).astype(
        np.uint8
    )
    for way, out_shape in ((as_mnist, (28, 28, 1)), (digits().prepare, (8, 8, 1))):
        try:
            assert way(image).shape == out_shape
        except DataError:
            continue
        assert way(image).any()


def test_the_thinnest_strokes_are_seen() -> None:
    ink = np.zeros((500, 400), np.uint8)
    ink[50:450, 200] = 255
    ink[450, 100:300] = 255
    for image in (ink, 255 - ink):
        assert as_mnist(grey(image)).max() == 255
        assert prepare(grey(image), digits()).max() == 16


# --- MNIST's way


def test_the_longer_side_becomes_20_and_the_centre_of_mass_pixel_14() -> None:
    for ink in (drawing(), drawing((300, 200), (5, 100)), drawing().T, drawing()[::-1]):
        found = as_mnist(grey(ink))
        assert found.shape == (28, 28, 1)
        assert found.dtype == np.uint8
        assert found.max() == 255
        rows, columns = np.flatnonzero(found.any((1, 2))), np.flatnonzero(found.any((0, 2)))
        sides = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
        assert max(sides) == 20
        assert min(sides) in (12, 13)  # 25 / 40 of it
        mass = found[..., 0].astype(float)
        for axis in (0, 1):
            center = mass.sum(1 - axis) @ (np.arange(28) + 0.5) / mass.sum()
            assert 14 <= center < 15


def test_levels_of_grey_are_the_ink_that_a_pixel_covers() -> None:
    ink = np.zeros((120, 120), np.uint8)
    ink[10:110, 10:110] = 255
    ink[42:78, 42:78] = 0  # of 20 pixels, from 6.4 to 13.6: the rim of the hole covers 0.6 of one
    found = as_mnist(grey(ink))[4:24, 4:24, 0] / 255
    assert found.sum() == pytest.approx(400 - 7.2**2, rel=0.01)
    assert found[10, 5:9] == pytest.approx([1, 0.4, 0, 0], abs=0.02)


needs_mnist = pytest.mark.skipif(
    not (data_folder() / "mnist").is_dir(), reason="no folder mnist in $JAXNN_DATA"
)


@pytest.mark.long
@needs_mnist
def test_images_of_mnist_stay_as_they_are_in_either_polarity() -> None:
    inputs = mnist().test.inputs[:300]
    for images in (inputs, 255 - inputs):
        found = np.array([as_mnist(image) for image in images])
        same = np.abs(found.astype(int) - inputs).max((1, 2, 3)) <= 2
        assert same.mean() > 0.85  # in the others, specks are left out


# --- The way of the digits


def test_digits_are_8_by_8_and_0_to_16() -> None:
    data = digits()
    for ink in (drawing(), drawing((300, 200), (5, 100)), drawing()[:, ::-1]):
        found = prepare(grey(ink), data)
        assert found.shape == data.in_shape
        assert found.dtype == data.train.inputs.dtype
        assert found.max() == 16
        assert found[0].any()  # the full height
        assert found[-1].any()


def test_strokes_become_as_thick_as_those_of_an_average_example() -> None:
    data = digits()
    average = data.train.inputs.sum((1, 2, 3)).mean()
    for width in (4, 10, 16):
        ink = np.zeros((100, 90), np.uint8)
        ink[10:90, 10 : 10 + width] = ink[10 : 10 + width, 10:60] = 255
        ink[90 - width : 90, 10:60] = 255
        assert float(prepare(grey(ink), data).sum()) == pytest.approx(average, rel=0.1)


def test_digits_are_made_upright() -> None:
    y, x = np.mgrid[:100, :200]
    for slant in (-0.5, 0, 0.5):
        stroke = (np.abs(x - 100 - slant * (y - 50)) < 8) & (y >= 10) & (y < 90)
        found = prepare(grey(255 * stroke.astype(np.uint8)), digits())[..., 0]
        columns = found.sum(0)
        assert columns[2:6].sum() >= 0.95 * columns.sum()
        assert (np.diff(found.astype(int), axis=0) <= 4).all()  # each row like the one above


# --- Photographs


@pytest.mark.long
def test_photographs_of_a_digit_become_about_the_same_example() -> None:
    data = digits()
    images = data.test.inputs[:10]
    found = np.array(
        [
            [prepare(read_image(io.BytesIO(photograph(i[..., 0] * 15))), data) for i in images]
            for photograph in PHOTOGRAPHS
        ]
    )
    usual = np.median(found, 0)
    assert np.abs(usual - images).mean() < 2
    for photograph, examples in zip(PHOTOGRAPHS, found, strict=True):
        assert np.abs(examples - usual).mean() < 1, photograph.__name__


# --- Any other data set


def other(shape: tuple[int, ...], dtype: type = np.uint8) -> Dataset:
    split = Split(np.zeros((3, *shape), dtype), np.zeros(3, np.int32))
    return Dataset("other", split, split, split, ("a",), np.float32(0), np.float32(1))


def test_other_images_are_cut_to_their_proportions_and_resized() -> None:
    image = np.zeros((60, 120, 3), np.uint8)
    image[:, 30:90] = (200, 100, 50)  # the middle square
    found = prepare(image, other((10, 10, 3)))
    assert found.shape == (10, 10, 3)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found[2:-2, 2:-2], np.full((6, 6, 3), (200, 100, 50)))
    assert prepare(image, other((7, 9, 1))).shape == (7, 9, 1)
    assert prepare(image[..., :1], other((7, 9, 3))).shape == (7, 9, 3)


def test_colors_become_grey_and_what_is_transparent_white() -> None:
    red = np.full((8, 8, 3), (255, 0, 0), np.uint8)
    assert (prepare(red, other((8, 8, 1))) == 76).all()  # 0.299 of 255
    clear = np.zeros((8, 8, 4), np.uint8)
    assert (prepare(clear, other((8, 8, 3))) == 255).all()


def test_examples_that_are_no_images_cannot_be_made_of_one() -> None:
    for dataset in (other((4,)), other((8, 8, 2)), other((8, 8, 1), np.float32)):
        with pytest.raises(DataError, match="other: an image cannot become one of its examples"):
            prepare(np.zeros((8, 8, 1), np.uint8), dataset)
