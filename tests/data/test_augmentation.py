"""Augmentations beside SciPy's image processing: what they do, and how often they do it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage, stats

from jaxnn.data.augmentation import (
    Augmentation,
    ByEpoch,
    _sample,
    affine,
    alternating_flip,
    compose,
    cutout,
    elastic,
    flip,
    mixup,
    shift,
)

ALL: list[Augmentation] = [
    shift(2),
    flip(),
    alternating_flip(),
    affine(rotation=15, scale=0.2, shear=0.2, translation=1.5),
    elastic(8, 2),
    cutout(3),
    mixup(0.5, classes=3),
    compose([shift(0.2), flip(), cutout(2)]),
]
NAMES = ["shift", "flip", "alternating_flip", "affine", "elastic", "cutout", "mixup", "compose"]


def some_keys(count: int, seed: int = 0) -> jax.Array:
    return jax.random.split(jax.random.key(seed), count)


def some_images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(1, 2, shape).astype(np.float32)


def applied(augmentation: Augmentation, images: np.ndarray, seed: int = 0) -> np.ndarray:
    """The images, each with a key of its own; their targets must come through as they are."""
    targets = np.arange(len(images), dtype=np.int32)
    images, after = jax.jit(augmentation)(some_keys(len(images), seed), images, targets)
    np.testing.assert_array_equal(after, targets)
    return np.asarray(images)


def places(augmentation: Augmentation, count: int, height: int, width: int) -> np.ndarray:
    """Where each pixel comes from, (count, height, width, 2): (y, x), NaN if from outside.

    Found by augmenting images whose values are the pixels' positions.
    """
    ramps = np.stack(np.mgrid[:height, :width], -1).astype(np.float32)
    return applied(augmentation, np.broadcast_to(ramps, (count, height, width, 2)))


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_sampled_as_scipy_does(channels: int) -> None:
    random = np.random.default_rng(1)
    images = some_images(3, 9, 14, channels)
    y, x = random.uniform(-4, 18, (2, 3, 9, 14))
    y[0], x[0] = np.mgrid[:9, :14]
    y[1, 0, :3] = -1, 8, 9  # the outermost pixels, and what lies just beyond
    found = _sample(jnp.asarray(images), jnp.float32(y), jnp.float32(x), 0.5)
    np.testing.assert_array_equal(found[0], images[0])
    for n in range(3):
        for c in range(channels):
            expected = ndimage.map_coordinates(
                images[n, ..., c], [y[n], x[n]], order=1, mode="grid-constant", cval=0.5
            )
            np.testing.assert_allclose(found[n, ..., c], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("distance", "most", "channels"), [(2, (2, 2), 1), (0.25, (2, 3), 3), (1, (1, 1), 3)]
)
def test_shift_is_one_of_scipys_and_all_are_as_likely(
    distance: Any, most: tuple[int, int], channels: int
) -> None:
    count = 3000
    image = some_images(8, 12, channels)
    moves = list(np.ndindex(2 * most[0] + 1, 2 * most[1] + 1))
    expected = {
        ndimage.shift(
            image, (i - most[0], j - most[1], 0), order=0, mode="constant", cval=7
        ).tobytes(): move
        for move, (i, j) in enumerate(moves)
    }
    assert len(expected) == len(moves)
    found = applied(shift(distance, fill=7), np.broadcast_to(image, (count, *image.shape)))
    numbers = np.bincount([expected[x.tobytes()] for x in found], minlength=len(moves))
    assert stats.chisquare(numbers).pvalue > 1e-3


def test_shift_may_reflect_what_was_outside() -> None:
    image = some_images(4, 5, 2)
    found = applied(shift(2, fill="reflect"), np.broadcast_to(image, (300, *image.shape)))
    padded = np.pad(image, ((2, 2), (2, 2), (0, 0)), "reflect")
    expected = {padded[i : i + 4, j : j + 5].tobytes() for i in range(5) for j in range(5)}
    assert {x.tobytes() for x in found} == expected


def test_alternating_flip_shows_each_image_in_both_forms() -> None:
    images = np.random.default_rng(0).integers(0, 256, (1000, 3, 4, 2)).astype(np.float32)
    augmentation = compose([alternating_flip(), flip(0.0)])
    assert isinstance(augmentation, ByEpoch)
    flipped = []
    for epoch in range(4):
        order = np.random.default_rng(epoch).permutation(len(images))
        found = np.empty_like(images)
        found[order] = applied(augmentation.at(epoch), images[order], seed=epoch)
        flipped.append(np.all(found == images[:, :, ::-1], (1, 2, 3)))
        assert np.all(flipped[-1] | np.all(found == images, (1, 2, 3)))
    assert abs(flipped[0].mean() - 0.5) < 0.07  # four standard errors
    np.testing.assert_array_equal(flipped[1], ~flipped[0])
    np.testing.assert_array_equal(flipped[2:], flipped[:2])
    np.testing.assert_array_equal(
        applied(augmentation, images), applied(augmentation.at(0), images)
    )


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_flip_mirrors_with_its_probability(probability: float) -> None:
    images = some_images(2000, 3, 4, 2)
    found = applied(flip(probability), images)
    flipped = np.all(found == images[:, :, ::-1], (1, 2, 3))
    assert np.all(flipped | np.all(found == images, (1, 2, 3)))
    assert abs(flipped.mean() - probability) <= 4 * np.sqrt(
        probability * (1 - probability) / len(images)
    )


def test_affine_is_scipys_affine_transform_with_what_it_draws() -> None:
    count, size, centre = 400, 40, 19.5
    augmentation = affine(rotation=20, scale=0.25, shear=0.3, translation=3, fill=np.nan)
    found = places(augmentation, count, size, size)
    image = some_images(size, size)
    images = np.broadcast_to(image[..., None], (count, size, size, 1))
    filled = affine(rotation=20, scale=0.25, shear=0.3, translation=3, fill=0.5)
    pictures = applied(filled, images)[..., 0]

    drawn = []
    pixels = np.stack(np.mgrid[:size, :size], -1).reshape(-1, 2) - centre
    for n in range(count):
        source = found[n].reshape(-1, 2) - centre
        inside = np.isfinite(source).all(-1)
        columns = np.column_stack([pixels[inside], np.ones(inside.sum())])
        solution, *_ = np.linalg.lstsq(columns, source[inside])
        matrix, offset = solution[:2].T, solution[2]
        np.testing.assert_allclose(columns @ solution, source[inside], atol=1e-3)
        expected = ndimage.affine_transform(
            *(image, matrix, centre + offset - matrix @ [centre, centre]),
            order=1,
            mode="grid-constant",
            cval=0.5,
        )
        np.testing.assert_allclose(pictures[n], expected, atol=2e-3)

        forward = np.linalg.inv(matrix)  # s R H: the image of x, then that of y
        along = forward[:, 1]
        factor = np.hypot(*along)
        angle = np.degrees(np.arctan2(along[0], along[1]))
        across = np.array([along[1], -along[0]])  # along, turned by 90°
        assert forward[:, 0] @ across == pytest.approx(factor**2, rel=1e-3)
        slant = forward[:, 0] @ along / factor**2
        drawn.append([angle / 20, (factor - 1) / 0.25, slant / 0.3, *(-forward @ offset / 3)])
    values = np.array(drawn)
    assert np.abs(values).max() <= 1.001
    for column in values.T:
        assert stats.kstest(column, stats.uniform(-1, 2).cdf).pvalue > 1e-3
    independent = np.corrcoef(values.T) - np.eye(5)
    assert np.abs(independent).max() < 4 / np.sqrt(count)


def test_affine_without_limits_changes_nothing() -> None:
    images = some_images(4, 7, 6, 3)
    np.testing.assert_array_equal(applied(affine(), images), images)


def test_elastic_displaces_as_blurred_noise_does() -> None:
    count, height, width = 1500, 14, 18
    alpha, sigma = 12.0, 3.0
    found = places(elastic(alpha, sigma, fill=np.nan), count, 3 * height, 3 * width)
    displacement = (found - np.stack(np.mgrid[: 3 * height, : 3 * width], -1))[
        :, height : 2 * height, width : 2 * width
    ]
    noise = np.random.default_rng(2).uniform(-1, 1, (count, 3 * height, 3 * width))
    blurred = ndimage.gaussian_filter(noise, sigma, mode="constant", axes=(1, 2))
    expected = alpha * blurred[:, height : 2 * height, width : 2 * width]
    for axis in range(2):
        d = displacement[..., axis]
        assert abs(d.mean()) < 0.02 * d.std()
        assert d.std() == pytest.approx(expected.std(), rel=0.02)
        for dy, dx in ((0, 3), (3, 0), (4, 5)):  # how much neighbours move alike
            alike, alike_there = (
                np.mean(e[:, dy:, dx:] * e[:, : height - dy, : width - dx]) for e in (d, expected)
            )
            assert alike == pytest.approx(alike_there, rel=0.1)
    assert abs(np.mean(displacement[..., 0] * displacement[..., 1])) < 0.02 * expected.var()


def test_elastic_fades_at_the_border_and_moves_the_image() -> None:
    """Outside the image there is no noise: SciPy's mode "constant"."""
    count, size = 3000, 16
    found = places(elastic(4, 4), count, size, size)
    noise = np.random.default_rng(3).uniform(-1, 1, (count, size, size))
    expected = 4 * ndimage.gaussian_filter(noise, 4, mode="constant", axes=(1, 2)).std(0)
    inner = slice(2, -2)  # at the very border, positions from outside are fill
    deviation = (found[..., 0] - np.arange(size)[:, None]).std(0)
    np.testing.assert_allclose(deviation[inner, inner], expected[inner, inner], rtol=0.1)

    image = some_images(size, size)
    moved = applied(elastic(4, 4), np.broadcast_to(image[..., None], (count, size, size, 1)))
    for n in range(20):
        there = ndimage.map_coordinates(image, np.moveaxis(found[n], -1, 0), order=1)
        np.testing.assert_allclose(
            moved[n, inner, inner, 0], there[inner, inner], rtol=0, atol=1e-4
        )


@pytest.mark.parametrize("size", [1, 4, 5, 30])
def test_cutout_covers_a_square_around_any_pixel(size: int) -> None:
    height, width, count = 6, 9, 4000
    image = some_images(height, width, 3)
    expected = {}
    for y, x in np.ndindex(height, width):
        covered = image.copy()
        covered[max(y - size // 2, 0) : y - size // 2 + size][
            :, max(x - size // 2, 0) : x - size // 2 + size
        ] = 0.25
        expected.setdefault(covered.tobytes(), []).append((y, x))
    found = applied(cutout(size, fill=0.25), np.broadcast_to(image, (count, *image.shape)))
    numbers = dict.fromkeys(expected, 0)
    for x in found:
        numbers[x.tobytes()] += 1
    likely = [count * len(centres) / (height * width) for centres in expected.values()]
    if len(expected) > 1:
        assert stats.chisquare(list(numbers.values()), likely).pvalue > 1e-3


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_mixup_mixes_inputs_and_targets_by_a_share_from_beta(alpha: float) -> None:
    count = 2000
    inputs, targets = some_images(count, 5), np.arange(count) % 3
    mixed, soft = mixup(alpha, classes=3)(some_keys(count), jnp.asarray(inputs), targets)
    share = np.asarray(soft)[np.arange(count), targets].astype(np.float64)
    assert stats.kstest(share, stats.beta(alpha, alpha).cdf).pvalue > 1e-3
    one_hot = np.eye(3)[targets]
    for found, x in ((mixed, inputs), (soft, one_hot)):
        part = share[:, None]
        np.testing.assert_allclose(
            found, part * x + (1 - part) * np.concatenate([x[-1:], x[:-1]]), atol=1e-6
        )
    again, twice = mixup(alpha)(some_keys(count), jnp.asarray(inputs), jnp.float32(one_hot))
    np.testing.assert_array_equal(again, mixed)
    np.testing.assert_array_equal(twice, soft)


@pytest.mark.parametrize("augmentation", ALL, ids=NAMES)
@pytest.mark.parametrize(
    ("dtype", "channels"), [("float32", 3), pytest.param("bfloat16", 1, marks=pytest.mark.long)]
)
def test_shapes_and_dtypes_stay(augmentation: Augmentation, dtype: str, channels: int) -> None:
    augmentation = jax.jit(augmentation)
    images = jnp.asarray(some_images(6, 10, 7, channels), dtype)
    targets = jnp.arange(6) % 3
    found, after = augmentation(some_keys(6), images, targets)
    assert (found.shape, found.dtype) == (images.shape, images.dtype)
    mixes = after.ndim == 2
    assert (after.shape, after.dtype) == (((6, 3), jnp.float32) if mixes else ((6,), targets.dtype))
    assert not np.array_equal(found, images)
    wide, _ = augmentation(some_keys(6), images.astype(jnp.float32), targets)
    np.testing.assert_allclose(found.astype(jnp.float32), wide, atol=0.02)


@pytest.mark.parametrize("augmentation", ALL, ids=NAMES)
def test_an_example_becomes_what_its_key_says_wherever_it_is(augmentation: Augmentation) -> None:
    draws = not isinstance(augmentation, ByEpoch)
    augmentation = jax.jit(augmentation)
    images, targets, keys = some_images(12, 10, 7, 1), np.arange(12) % 3, some_keys(12)
    found, after = augmentation(keys, images, targets)
    again, _ = augmentation(keys, images, targets)
    np.testing.assert_array_equal(again, found)
    few = slice(4, 9)
    part, part_after = augmentation(keys[few], images[few], targets[few])
    own = slice(1, None)  # with mixup, the first one's partner is another
    np.testing.assert_allclose(part[own], found[few][own], atol=1e-5)
    np.testing.assert_allclose(part_after[own], after[few][own], atol=1e-6)
    others, _ = augmentation(some_keys(12, seed=1), images, targets)
    assert np.array_equal(others, found) != draws


@pytest.mark.parametrize("augmentation", ALL, ids=NAMES)
def test_it_can_be_mapped_over(augmentation: Augmentation) -> None:
    augmentation = jax.jit(augmentation)
    keys = jax.random.split(jax.random.key(0), (2, 4))
    images, targets = some_images(2, 4, 10, 7, 1), np.arange(8).reshape(2, 4) % 3
    found, after = jax.jit(jax.vmap(augmentation))(keys, images, targets)
    for n in range(2):
        expected, targets_there = augmentation(keys[n], images[n], targets[n])
        np.testing.assert_allclose(found[n], expected, atol=1e-5)
        np.testing.assert_allclose(after[n], targets_there, atol=1e-6)


@pytest.mark.long
def test_composed_augmentations_follow_each_other_with_keys_of_their_own() -> None:
    keys, images, targets = some_keys(500), some_images(500, 8, 8, 1), np.zeros(500, np.int32)
    twice, _ = compose([flip(), flip()])(keys, images, targets)
    kept = np.all(np.asarray(twice) == images, (1, 2, 3))
    assert 0.4 < kept.mean() < 0.6  # with the same keys, two would always cancel out
    one_hot = jnp.eye(3)[targets]
    spread, soft = compose([cutout(20, fill=5), mixup()])(keys, images, one_hot)
    np.testing.assert_allclose(spread, 5, atol=1e-5)
    assert soft.shape == (500, 3)
    same, after = compose([])(keys, images, targets)
    assert same is images
    assert after is targets


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (shift, {"distance": 0}, "shift: distance must be"),
        (shift, {"distance": 1.5}, r"between 0 and 1, got 1\.5"),
        (flip, {"probability": 1.1}, "flip: probability must be in"),
        (affine, {"rotation": -1}, "affine: rotation must be at least 0, got -1"),
        (affine, {"scale": 1}, "affine: scale must be below 1, got 1"),
        (elastic, {"alpha": -1}, "elastic: alpha must be at least 0"),
        (elastic, {"sigma": 0}, "elastic: sigma must be above 0"),
        (cutout, {"size": 0}, "cutout: size must be at least 1"),
        (mixup, {"alpha": 0}, "mixup: alpha must be above 0"),
    ],
)
def test_wrong_arguments_are_refused(make: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**arguments)


@pytest.mark.parametrize("augmentation", ALL[:5], ids=NAMES[:5])
def test_only_images_can_be_moved(augmentation: Augmentation) -> None:
    with pytest.raises(ValueError, match=r"images .* not for examples of shape \(5,\)"):
        augmentation(some_keys(3), jnp.zeros((3, 5)), jnp.zeros(3, jnp.int32))


def test_what_does_not_fit_the_examples_is_refused() -> None:
    images, targets = jnp.zeros((3, 4, 6, 1)), jnp.zeros(3, jnp.int32)
    with pytest.raises(ValueError, match="images of 4×6 cannot move 4 pixels"):
        shift(4)(some_keys(3), images, targets)
    with pytest.raises(ValueError, match="classes must be given where targets are class numbers"):
        mixup()(some_keys(3), images, targets)
