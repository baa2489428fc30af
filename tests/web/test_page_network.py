"""The network view in a browser: its numbers are those of ``jaxnn.trace``, its controls do what
they say."""

import json
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from lab_pages import DIGITS, DIGITS_CONVOLUTION, MNIST, needs_mnist, until
from playwright.sync_api import Page, expect
from ruamel.yaml import YAML

import jaxnn
from jaxnn.arrays import at_path
from jaxnn.config import Experiment, build, parse_config
from jaxnn.network import walk
from jaxnn.plots import style

pytestmark = pytest.mark.browser

Lab = Callable[..., str]
Visit = Callable[..., Page]

MNIST_CONVOLUTION = """\
data: {mnist: {validation: 5000}}
model:
  - conv2d: {units: 6, size: 5, stride: 2, padding: VALID}
  - relu
  - conv2d: 8
  - tanh
  - max_pool: 2
  - flatten
  - dropout: 0.2
  - dense: 24
  - sigmoid
  - dense: 10
optimizer: {adam: 0.002}
training: {epochs: 1, batch_size: 64}
"""
WIDE = """\
data: digits
model: [flatten, dense: 3000, relu, dense: 10]
optimizer: {adam: 0.001}
"""
DEEP = """\
data: digits
model:
  [conv2d: 99, relu, max_pool: 2, conv2d: 99, relu, max_pool: 2, conv2d: 99, relu, max_pool: 2,
   flatten, dense: 10]
optimizer: {adam: 0.001}
"""
NETWORKS = {
    "digits, dense": DIGITS,
    "digits, convolution": DIGITS_CONVOLUTION,
    "MNIST, dense": MNIST,
    "MNIST, convolution": MNIST_CONVOLUTION,
}


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> str:
    if request.param.startswith("MNIST"):
        needs_mnist()
    return NETWORKS[request.param]


def looked(page: Page) -> None:
    """Waits until the network has looked at the example, and that is drawn."""
    expect(page.locator(".verdict")).to_contain_text("taken for")
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def arrays(page: Page) -> dict[str, np.ndarray]:
    """All that the page has of the trace it shows."""
    given = page.evaluate(
        """() => Object.entries(jaxnn.trace.arrays).map(
          ([name, {data, shape}]) => [name, Array.from(data), shape])"""
    )
    return {name: np.array(data, np.float32).reshape(shape) for name, data, shape in given}


def experiment(config: str) -> Experiment:
    return build(parse_config(YAML(typ="safe").load(config), "test"))


def traced(config: str, shown: dict[str, np.ndarray], index: int) -> dict[str, np.ndarray]:
    """What ``jaxnn.trace`` says of a test example, with the parameters that the page shows."""
    made = experiment(config)
    leaves = [path for path, layer in walk(made.network) if not layer.layers]
    params: list[Any] = [() for _ in made.network.layers]
    for i, (position,) in enumerate(leaves):
        own = {n: shown[f"{i}.{n}"] for n in ("weight", "bias") if f"{i}.{n}" in shown}
        params[position] = own or ()
    inputs, targets = (part[index : index + 1] for part in made.dataset.test)
    x = jnp.asarray(inputs)
    state = tuple(() for _ in params)
    trace = jaxnn.trace(made.network, made.loss, tuple(params), state, x, jnp.asarray(targets))
    at = {layer.path: layer for layer in trace.layers}
    result = {"loss": np.asarray(trace.loss)}
    for i, path in enumerate(leaves):
        layer = at[path]
        result[f"{i}.input"], result[f"{i}.output"] = layer.input[0], layer.output[0]
        result[f"{i}.d_input"], result[f"{i}.d_output"] = layer.d_input[0], layer.d_output[0]
        if at_path(params, path):
            for name, gradient in layer.gradients.items():
                result[f"{i}.d_{name}"] = gradient
    return {name: np.asarray(array) for name, array in result.items()}


def agree(shown: np.ndarray, wanted: np.ndarray) -> None:
    # Float32 in two programs, which may add in another order.
    scale = float(np.abs(wanted).max()) or 1.0
    np.testing.assert_allclose(shown, wanted, rtol=1e-4, atol=1e-5 * scale)


def cards(page: Page) -> list[dict[str, Any]]:
    """The card of each neuron, and of each place in each map: what stands in its table."""
    return page.evaluate(
        """() => {
          const {view, setPin} = jaxnn.network;
          const read = () => Object.fromEntries([...document.querySelectorAll(".card td")].map(
            (cell) => [cell.dataset.name, Number(cell.dataset.value)]));
          const found = [];
          view.columns.forEach((column, k) => {
            if (column.head === null) return;
            for (let unit = 0; unit < column.count; unit++) {
              for (let pixel = 0; pixel < column.height * column.width; pixel += 7) {
                setPin({column: k, unit, pixel});
                const last = column.leaves.at(-1);
                const maps = column.kind === "maps";
                found.push({head: column.head, leaf: last, unit, pixel, maps, count: column.count,
                            ...read()});
              }
            }
          });
          setPin(null);
          return found;
        }"""
    )


def test_numbers_are_those_of_trace(network: str, lab: Lab, visit: Visit) -> None:
    page = visit(lab(network, "seed=1"))
    looked(page)
    page.get_by_role("button", name="Step", exact=True).click()
    until(page, lambda: page.evaluate("jaxnn.status.step === 1 && jaxnn.trace.header.step === 1"))
    page.get_by_label("Index of the example").fill("3")
    page.keyboard.press("Enter")
    until(page, lambda: page.evaluate("(jaxnn.trace.header.example ?? {}).index === 3"))
    looked(page)
    shown = arrays(page)
    wanted = traced(network, shown, 3)
    assert set(wanted) < set(shown)
    for name, array in wanted.items():
        agree(shown[name], array)
    told = cards(page)
    assert len(told) > 30
    for card in told:
        unit, head, leaf = card["unit"], card["head"], card["leaf"]
        i = card["pixel"] * card["count"] + unit if card["maps"] else unit
        for name, array in {
            "a": f"{leaf}.output",
            "d_a": f"{leaf}.d_output",
            "z": f"{head}.output",
            "d_z": f"{head}.d_output",
        }.items():
            if name in card:
                assert np.float32(card[name]) == shown[array].reshape(-1)[i]
        for name in {"bias", "d_bias"} & set(card):
            assert np.float32(card[name]) == shown[f"{head}.{name}"][unit]
    rows = page.locator(".outputs li").all()
    chances = [float(row.get_attribute("data-value") or "nan") for row in rows]
    np.testing.assert_array_equal(np.float32(chances), shown["probabilities"])


def test_neuron_and_edge_tell_their_numbers(lab: Lab, visit: Visit) -> None:
    page = visit(lab(DIGITS))
    looked(page)
    shown = arrays(page)
    canvas = page.locator(".stage canvas[role=application]")
    box = canvas.bounding_box()
    assert box

    def values() -> dict[str, float]:
        cells = page.locator(".card td").all()
        return {
            cell.get_attribute("data-name") or "": float(cell.get_attribute("data-value") or "nan")
            for cell in cells
        }

    spot = page.evaluate("jaxnn.network.spot(1, 5)")
    page.mouse.move(box["x"] + spot["x"], box["y"] + spot["y"])
    expect(page.locator(".card h3")).to_have_text("Neuron 5")
    assert np.float32(values()["z"]) == shown["1.output"][5]
    assert np.float32(values()["a"]) == shown["2.output"][5]
    assert np.float32(values()["d_z"]) == shown["1.d_output"][5]
    # Its incoming weights, in the shape of the input, and their gradient.
    sizes = page.locator(".card canvas").evaluate_all("all => all.map(c => [c.width, c.height])")
    assert sizes == [[8, 8], [8, 8]]
    page.mouse.click(box["x"] + spot["x"], box["y"] + spot["y"])
    page.mouse.move(box["x"] + 3, box["y"] + 3)
    expect(page.locator(".card.pinned h3")).to_have_text("Neuron 5")
    page.keyboard.press("Escape")
    expect(page.locator(".card")).to_be_hidden()

    # The strongest edge into the output, at its middle.
    edge = page.evaluate(
        """() => {
          const {from, to} = jaxnn.network.view.edges[2];
          const [i, j] = [from.at(-1), to.at(-1)];
          const [a, b] = [jaxnn.network.spot(1, i), jaxnn.network.spot(2, j)];
          return {i, j, x: (a.x + b.x) / 2, y: (a.y + b.y) / 2};
        }"""
    )
    page.mouse.move(box["x"] + edge["x"], box["y"] + edge["y"])
    expect(page.locator(".card h3")).to_contain_text("→")
    title = page.locator(".card h3").inner_text()
    i, j = (int("".join(filter(str.isdigit, part))) for part in title.split("→"))
    told = values()
    assert np.float32(told["weight"]) == shown["3.weight"][i, j]
    assert np.float32(told["d_weight"]) == shown["3.d_weight"][i, j]
    assert np.float32(told["x"]) == shown["3.input"][i]


def test_strongest_edges_are_drawn(lab: Lab, visit: Visit) -> None:
    page = visit(lab(DIGITS))
    looked(page)
    shown = arrays(page)
    for what, wanted in {
        "signal": shown["1.weight"] * shown["1.input"][:, None],
        "weight": shown["1.weight"],
    }.items():
        page.get_by_label("What edges show").select_option(what)
        page.wait_for_timeout(100)
        drawn = page.evaluate(
            "(({from, to}) => from.map((i, k) => [i, to[k]]))(jaxnn.network.view.edges[1])"
        )
        least = min(abs(wanted[i, j]) for i, j in drawn)
        assert (np.abs(wanted) > least * (1 + 1e-6)).sum() <= len(drawn)
    expect(page.locator(".edge-label").first).to_have_text("320 of 1,536")


def test_forward_and_backward(lab: Lab, visit: Visit) -> None:
    page = visit(lab(DIGITS))
    looked(page)
    shown = arrays(page)

    def drawn() -> tuple[list[np.ndarray], np.ndarray]:
        page.wait_for_timeout(100)
        values, edges = page.evaluate(
            """(({values, edges}) => [values.map(v => Array.from(v)),
              edges[2].from.map((i, k) => [i, edges[2].to[k], edges[2].value[k]])]
            )(jaxnn.network.view)"""
        )
        return [np.float32(v) for v in values], np.array(edges)

    values, _ = drawn()
    np.testing.assert_array_equal(values[1], shown["2.output"])
    page.get_by_text("Backward", exact=True).click()
    values, edges = drawn()
    np.testing.assert_array_equal(values[0], shown["0.d_input"].reshape(-1))
    np.testing.assert_array_equal(values[1], shown["2.d_output"])
    np.testing.assert_array_equal(values[2], shown["3.d_output"])
    for i, j, value in edges:
        assert np.float32(value) == shown["3.d_weight"][int(i), int(j)]


def test_steps_go_forward_and_then_backward(lab: Lab, visit: Visit) -> None:
    page = visit(lab(DIGITS))
    looked(page)
    shown = arrays(page)
    title = page.locator(".told h2")
    seen = []
    for _ in range(9):
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(60)
        seen.append(title.inner_text().split(" · ", 1)[1])
    layers = ["0 flatten", "1 dense", "2 relu", "3 dense"]
    forward = [f"Forward · {name}" for name in layers]
    backward = [f"Backward · {name}" for name in reversed(layers)]
    assert seen == [*forward, "Loss", *backward]

    # Each step's sum has the true result at its end; what is not yet computed is not shown.
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Next step (→)").click()
    page.get_by_role("button", name="Next step (→)").click()
    expect(title).to_contain_text("Forward · 1 dense")
    unit = int(np.abs(shown["1.output"]).argmax())
    result = page.locator(".sum .result span").get_attribute("data-value")
    assert np.float32(result) == shown["1.output"][unit]
    expect(page.locator(".formula")).to_contain_text("y = x W + b")
    known = page.evaluate("jaxnn.network.view.values.map(v => v !== null)")
    assert known == [True, True, False]
    numbers = [
        float(value.get_attribute("data-value") or "nan")
        for value in page.locator(".sum [data-value]").all()
    ]
    *products, rest, bias, total = numbers
    terms = [x * w for x, w in zip(products[::2], products[1::2], strict=True)]
    assert sum(terms) + rest + bias == pytest.approx(total, abs=1e-5)
    page.get_by_role("button", name="Previous step (←)").click()
    expect(title).to_contain_text("Forward · 0 flatten")
    page.get_by_role("button", name="All at once").click()
    assert page.evaluate("jaxnn.network.view.step") is None


def test_convolution_step_adds_up(lab: Lab, visit: Visit) -> None:
    needs_mnist()
    page = visit(lab(MNIST_CONVOLUTION))
    looked(page)
    for presses in (1, 3):  # both convolutions: strides and none, with and without padding
        page.keyboard.press("Escape")
        for _ in range(presses):
            page.keyboard.press("ArrowRight")
        page.wait_for_timeout(100)
        expect(page.locator(".told h2")).to_contain_text("conv2d")
        numbers = [
            float(value.get_attribute("data-value") or "nan")
            for value in page.locator(".sum [data-value]").all()
        ]
        *products, rest, bias, total = numbers
        terms = [x * w for x, w in zip(products[::2], products[1::2], strict=True)]
        assert sum(terms) + rest + bias == pytest.approx(total, abs=1e-4)


def test_more_neurons_than_fit_are_paged(lab: Lab, visit: Visit) -> None:
    page = visit(lab(WIDE))
    looked(page)
    pager = page.locator(".pager")
    expect(pager).to_contain_text("+")
    column = "jaxnn.network.view.columns[1]"
    fits = page.evaluate(f"{column}.fits")
    expect(pager).to_contain_text(f"+ {3000 - fits:,}")
    active = np.abs(arrays(page)["2.output"])
    first = page.evaluate(f"{column}.order.slice(0, {fits})")
    assert active[first].min() >= np.delete(active, first).max()
    pager.get_by_role("button", name="Next ones").click()
    expect(pager).to_contain_text(f"{fits + 1:,}–")
    expect(page.locator(".column-label").nth(1)).to_contain_text("dense 3000")


@pytest.mark.parametrize(("width", "view"), [(1440, "network"), (1440, "draw"), (1024, "network")])
def test_names_and_classes_are_not_cut_off(width: int, view: str, lab: Lab, visit: Visit) -> None:
    page = visit(lab(DEEP), view, width=width)
    looked(page)
    expect(page.locator(".pager")).to_have_count(6)  # where there are most lines
    right, bottom = page.locator(".scroller").evaluate(
        "({offsetWidth, offsetHeight}) => [offsetWidth, offsetHeight]"
    )
    edges = page.locator(".column-label, .outputs li").evaluate_all(
        """all => all.map((element) => {
          const [box, stage] = [element, element.closest(".stage")].map(
            (one) => one.getBoundingClientRect());
          return [box.right - stage.left, box.bottom - stage.top];
        })"""
    )
    assert max(x for x, _ in edges) <= right
    assert max(y for _, y in edges) <= bottom


def test_examples_are_chosen(lab: Lab, visit: Visit) -> None:
    page = visit(lab(DIGITS))
    looked(page)
    index = page.get_by_label("Index of the example")
    shown = "JSON.stringify(jaxnn.trace.header.example)"

    def shows(split: str, i: int) -> None:
        until(page, lambda: json.loads(page.evaluate(shown)) == {"split": split, "index": i})

    page.get_by_role("button", name="Next example").click()
    shows("test", 1)
    page.get_by_role("button", name="Previous example").click()
    page.get_by_role("button", name="Previous example").click()
    shows("test", page.evaluate("jaxnn.lab.dataset.splits.test") - 1)
    page.locator(".examples select").select_option("train")
    shows("train", 0)
    page.get_by_role("button", name="Any example").click()
    until(page, lambda: index.input_value() == str(page.evaluate("jaxnn.example.index")))
    labels = experiment(DIGITS).dataset.train.targets
    looked(page)
    expect(page.locator(".verdict")).to_contain_text(f"is {labels[int(index.input_value())]}")


def test_keyboard_alone(lab: Lab, visit: Visit) -> None:
    page = visit(lab(DIGITS))
    looked(page)
    page.locator(".stage canvas[role=application]").focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator(".card h3")).to_contain_text("Output")
    page.keyboard.press("Shift+ArrowLeft")
    expect(page.locator(".card h3")).to_contain_text("Neuron")
    first = page.locator(".card h3").inner_text()
    page.keyboard.press("ArrowDown")
    expect(page.locator(".card h3")).not_to_have_text(first)
    page.keyboard.press("Enter")
    expect(page.locator(".card.pinned")).to_be_visible()
    expect(page.locator(".picture [aria-live]")).to_contain_text("activation")
    page.keyboard.press("Escape")
    expect(page.locator(".card")).to_be_hidden()


def test_colors_are_those_of_the_plots(lab: Lab, visit: Visit) -> None:
    page = visit(lab(DIGITS))
    read = "name => getComputedStyle(document.documentElement).getPropertyValue(name).trim()"
    for dark in (False, True):
        assert page.evaluate(read, "--positive") == style.POSITIVE
        assert page.evaluate(read, "--negative") == style.NEGATIVE
        if not dark:
            for name in ("ink", "quiet", "faint", "track"):
                assert page.evaluate(read, f"--{name}") == getattr(style, name.upper())
            assert page.evaluate(read, "--page") == style.BACKGROUND
            page.get_by_role("button", name="Use dark colours").click()
    # The choice is kept.
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


@pytest.mark.parametrize("dark", [False, True])
def test_text_can_be_read(dark: bool, lab: Lab, visit: Visit) -> None:
    """All that is written has a contrast of 4.5 : 1 to the page and to what is raised above it."""
    page = visit(lab(DIGITS), dark=dark)
    read = "name => getComputedStyle(document.documentElement).getPropertyValue(name).trim()"

    def luminance(color: str) -> float:
        channels = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        linear = np.where(
            channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4
        )
        return float(linear @ [0.2126, 0.7152, 0.0722])

    for ground in ("--page", "--raised"):
        for ink in ("--ink", "--quiet", "--positive-text", "--negative-text", "--warning"):
            a, b = sorted(luminance(page.evaluate(read, name)) for name in (ground, ink))
            assert (b + 0.05) / (a + 0.05) >= 4.5, (ground, ink)


@pytest.mark.parametrize("view", ["network", "draw"])
def test_narrow_screen(view: str, lab: Lab, visit: Visit) -> None:
    page = visit(lab(DIGITS), view, width=380, height=780, touch=True)
    looked(page)
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 380
    spot = page.evaluate("jaxnn.network.spot(1, 5)")
    canvas = page.locator(".stage canvas[role=application]")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box
    page.touchscreen.tap(box["x"] + spot["x"], box["y"] + spot["y"])
    expect(page.locator(".card.pinned h3")).to_have_text("Neuron 5")
    page.locator(".card").get_by_role("button", name="Close").click()
    expect(page.locator(".card")).to_be_hidden()
