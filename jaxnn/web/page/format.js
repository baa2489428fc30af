// Numbers as people read them. What is exact stands in data attributes and window.jaxnn.

const MINUS = "−";
const signed = (text) => text.replace("-", MINUS);

/** A number with so many significant figures: 0.0312, −1.27, 3.1e−7. */
export function number(x, figures = 3) {
  if (x === null || x === undefined) return "–";
  if (!Number.isFinite(x)) return Number.isNaN(x) ? "NaN" : x > 0 ? "∞" : `${MINUS}∞`;
  if (x === 0) return "0";
  const magnitude = Math.abs(x);
  if (magnitude >= 1e5 || magnitude < 1e-4) {
    return signed(x.toExponential(Math.max(figures - 2, 1)).replace("+", "")).replace("e-", "e" + MINUS);
  }
  const decimals = Math.max(0, figures - 1 - Math.floor(Math.log10(magnitude)));
  return signed(x.toFixed(Math.min(decimals, figures + 2)));
}

/** A share as a percentage: 98.7 %. */
export const percent = (x, decimals = 1) =>
  x === null || x === undefined ? "–" : Number.isFinite(x) ? `${(100 * x).toFixed(decimals)} %` : number(x);

/** A count: 12,345. */
export const integer = (x) =>
  x === null || x === undefined ? "–" : Math.round(x).toLocaleString("en-US").replace("-", MINUS);

/** 28 × 28 × 1; a single side as it is. */
export const size = (shape) => shape.join(" × ");

const DIGITS = "₀₁₂₃₄₅₆₇₈₉";
/** A number below the line: x₁₂. */
export const subscript = (n) => String(n).replace(/\d/g, (digit) => DIGITS[digit]);
