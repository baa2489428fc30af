"""The Train panel in a browser: every control, and that the page moves while the network learns."""

from collections.abc import Callable

import pytest
from lab_pages import DIGITS, DIGITS_CONVOLUTION, MNIST, needs_mnist, until
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

Lab = Callable[..., str]
Visit = Callable[..., Page]


def step(page: Page) -> int:
    return page.evaluate("jaxnn.status?.step ?? -1")


def opened(page: Page) -> None:
    until(page, lambda: step(page) >= 0)
    expect(page.locator(".verdict")).to_contain_text("taken for")


def press(page: Page, name: str) -> None:
    page.locator(".commands").get_by_role("button", name=name, exact=True).click()


def start_anew(page: Page) -> None:
    page.get_by_role("dialog").get_by_role("button", name="Start anew").click()


@pytest.mark.parametrize("config", [DIGITS, DIGITS_CONVOLUTION], ids=["dense", "convolution"])
def test_step_epoch_start_pause_reset(config: str, lab: Lab, visit: Visit) -> None:
    page = visit(lab(config, "seed=2"))
    opened(page)
    fresh = page.evaluate("Array.from(jaxnn.trace.arrays.probabilities.data)")
    press(page, "Step")
    until(page, lambda: step(page) == 1)
    expect(page.locator("[data-name=step]")).to_have_text("1")
    press(page, "Epoch")
    per_epoch = page.evaluate("jaxnn.status.steps_per_epoch")
    until(page, lambda: step(page) == per_epoch and not page.evaluate("jaxnn.status.running"))
    expect(page.locator("[data-name=epoch]")).to_have_text("1.00")

    press(page, "Start training")
    until(page, lambda: step(page) > per_epoch)
    until(page, lambda: not page.evaluate("jaxnn.status.running"))  # the config's epochs are over
    assert step(page) == 3 * per_epoch
    press(page, "Start training")
    until(page, lambda: step(page) > 3 * per_epoch)
    press(page, "Pause training")
    until(page, lambda: not page.evaluate("jaxnn.status.running"))
    paused = step(page)
    page.wait_for_timeout(300)
    assert step(page) == paused

    # What is said is what the server said.
    last = page.evaluate("jaxnn.reports.at(-1)")
    for name, key in {"speed": "examples_per_second", "gflops": "gflops"}.items():
        told = page.locator(f"[data-name={name}]").get_attribute("data-value")
        assert float(told or "nan") == last[key]
    expect(page.locator(".chart").first).to_contain_text("train")
    expect(page.locator(".chart").first).to_contain_text("validation")

    # It is asked before training is lost.
    press(page, "Reset")
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    assert step(page) == paused
    press(page, "Reset")
    start_anew(page)
    until(page, lambda: step(page) == 0)
    expect(page.locator("[data-name=speed]")).to_have_text("–")
    until(
        page,
        lambda: page.evaluate("Array.from(jaxnn.trace.arrays.probabilities.data)") == fresh,
    )


def test_network_moves_while_it_learns(lab: Lab, visit: Visit) -> None:
    needs_mnist()
    page = visit(lab(MNIST, "seed=3", "training.epochs=10000"))
    opened(page)
    page.evaluate(
        """() => {
          window.steps = new Set();
          jaxnn.on("trace", ({trace}) => window.steps.add(trace.header.step));
        }"""
    )
    before = page.locator(".weights canvas").evaluate("canvas => canvas.toDataURL()")
    press(page, "Start training")
    until(page, lambda: page.evaluate("window.steps.size") >= 5)
    after = page.locator(".weights canvas").evaluate("canvas => canvas.toDataURL()")
    assert before != after
    # Out of sight, no snapshots are asked for.
    page.get_by_role("link", name="Mistakes").click()
    page.wait_for_timeout(500)
    count = page.evaluate("window.steps.size")
    page.wait_for_timeout(500)
    assert page.evaluate("window.steps.size") <= count
    page.get_by_role("link", name="Network").click()
    until(page, lambda: page.evaluate("window.steps.size") > count)
    press(page, "Pause training")


def test_learning_rate(lab: Lab, visit: Visit) -> None:
    page = visit(lab(DIGITS, "seed=4", "optimizer={sgd: {learning_rate: {cosine: 0.2}}}"))
    opened(page)
    number = page.get_by_label("Learning rate", exact=True)
    expect(number).to_have_value("0.2")
    expect(page.locator(".rate")).to_contain_text("schedule (cosine)")
    number.fill("0.05")
    number.press("Enter")
    until(page, lambda: page.evaluate("Math.abs(jaxnn.status.learning_rate - 0.05) < 1e-6"))
    slider = page.get_by_label("Learning rate, on a logarithmic scale")
    assert float(slider.input_value()) == pytest.approx(-1.3, abs=0.01)
    slider.focus()
    slider.press("ArrowLeft")
    until(page, lambda: page.evaluate("jaxnn.status.learning_rate < 0.0499"))
    number.fill("-1")
    number.press("Enter")
    expect(page.locator("#panel-train > .error")).to_contain_text("above 0")
    expect(number).to_have_attribute("aria-invalid", "true")


IN_SIGHT = """() => {
  const spans = [...document.querySelectorAll(".chart:not([hidden]) .reading > span")];
  return spans.length === 4 && spans.every(span => {
    const inner = span.getBoundingClientRect();
    const outer = span.closest("figure").getBoundingClientRect();
    return inner.left >= outer.left && inner.right <= outer.right && inner.width > 0;
  });
}"""


def test_scales_of_the_curves(lab: Lab, visit: Visit) -> None:
    page = visit(lab(DIGITS, "seed=5"))
    opened(page)
    press(page, "Epoch")
    until(page, lambda: page.evaluate("jaxnn.reports.some(r => r.validation)"))
    charts = page.locator(".chart:visible")
    expect(page.get_by_role("radio", name="log", exact=True)).to_be_checked()
    pictures = set()
    for scale in ("log-log", "log", "linear"):
        page.locator(".curves").get_by_text(scale, exact=True).click()
        titles = ["Loss", "Accuracy" if scale == "linear" else "Errors"]
        for i, title in enumerate(titles):
            expect(charts.nth(i).locator("figcaption")).to_contain_text(title)
        page.wait_for_timeout(100)
        pictures.add(charts.first.locator("canvas").evaluate("canvas => canvas.toDataURL()"))
        page.set_viewport_size({"width": 1000, "height": 900})
        assert page.evaluate(IN_SIGHT)
        page.set_viewport_size({"width": 1440, "height": 900})
    assert len(pictures) == 3
    loss = page.evaluate("jaxnn.reports.findLast(r => r.validation).validation.loss")
    expect(charts.first.locator("b")).to_have_text(f"{loss:.3g}")
    charts.first.locator("canvas").hover()
    expect(charts.first).to_contain_text("epoch")


def layers(page: Page) -> list[str]:
    return page.evaluate("jaxnn.lab.layers.map(({name, out_shape}) => name + ' ' + out_shape)")


def test_layers_are_edited(lab: Lab, visit: Visit) -> None:
    page = visit(lab(DIGITS, "seed=6"))
    opened(page)
    rows = page.locator(".layers li")
    expect(rows).to_have_count(3)
    apply = page.get_by_role("button", name="Apply")
    expect(apply).to_be_disabled()
    page.get_by_label("units of layer 2").fill("40")
    page.get_by_label("Activation of layer 2").select_option("tanh")
    page.get_by_role("button", name="Add a layer after layer 2").click()
    page.get_by_label("units of layer 3").fill("20")
    page.get_by_label("Batch size").fill("25")
    page.get_by_label("Optimizer").select_option("sgd")
    page.get_by_label("momentum").fill("0.9")
    apply.click()
    wanted = ["flatten 64", "dense 40", "tanh 40", "dense 20", "relu 20", "dense 10"]
    until(page, lambda: layers(page) == wanted)
    config = page.evaluate("jaxnn.lab.config")
    assert config["training"]["batch_size"] == 25
    assert config["optimizer"]["sgd"]["momentum"] == 0.9
    expect(page.locator(".column-label .name")).to_have_text(
        ["input", "dense 40", "dense 20", "dense 10"]
    )
    press(page, "Step")
    until(page, lambda: step(page) == 1)
    page.get_by_role("button", name="Remove layer 3").click()
    apply.click()
    start_anew(page)
    until(page, lambda: layers(page) == ["flatten 64", "dense 40", "tanh 40", "dense 10"])
    until(page, lambda: step(page) == 0)
    page.get_by_label("units of layer 2").fill("7")
    page.get_by_role("button", name="Undo").first.click()
    expect(page.get_by_label("units of layer 2")).to_have_value("40")


def test_convolutional_network_is_made(lab: Lab, visit: Visit) -> None:
    page = visit(lab(DIGITS, "seed=7"))
    opened(page)
    page.get_by_label("Start from a network").select_option("Convolutional")
    page.get_by_label("units of layer 1").fill("5")
    page.get_by_role("button", name="Apply").click()
    until(page, lambda: "conv2d 8,8,5" in layers(page))
    expect(page.locator(".column-label .name").nth(1)).to_have_text("conv2d")
    press(page, "Step")
    until(page, lambda: step(page) == 1)


def test_errors_stand_at_their_place(lab: Lab, visit: Visit) -> None:
    page = visit(lab(DIGITS, "seed=8"))
    opened(page)
    apply = page.get_by_role("button", name="Apply")
    before = layers(page)
    page.get_by_label("units of layer 2").fill("0")
    apply.click()
    expect(page.locator(".layers li").nth(1).locator(".error")).not_to_be_empty()
    expect(page.get_by_label("units of layer 2")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("units of layer 2").fill("12")
    page.get_by_label("Layer 1", exact=True).select_option("max_pool")  # dense needs a row
    apply.click()
    expect(page.locator(".architecture .error:not(:empty)")).to_have_count(1)
    page.get_by_label("Batch size").fill("0")
    apply.click()
    expect(page.get_by_label("Batch size")).to_have_attribute("aria-invalid", "true")
    assert layers(page) == before


def test_health_sentences(lab: Lab, visit: Visit) -> None:
    page = visit(lab(DIGITS, "seed=9", "optimizer={sgd: 1e-9}", "training.epochs=5"))
    opened(page)
    press(page, "Start training")
    expect(page.locator(".health li")).to_contain_text("learning rate is too low")
    press(page, "Pause training") if page.evaluate("jaxnn.status.running") else None


def test_narrow_screen(lab: Lab, visit: Visit) -> None:
    page = visit(lab(DIGITS), width=380, height=780, touch=True, dark=True)
    opened(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 380
    page.locator(".architecture summary").click()
    expect(page.get_by_label("units of layer 2")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 380
