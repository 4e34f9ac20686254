// Draws similarities and scores.

const MOST_IN_HEAT_MAP = 16;

function cosine(a, b) {
  let dot = 0;
  let squareA = 0;
  let squareB = 0;
  for (let i = 0; i < a.length; i++) {
    dot += a[i] * b[i];
    squareA += a[i] * a[i];
    squareB += b[i] * b[i];
  }
  return dot / (Math.sqrt(squareA * squareB) || 1);
}

/** A table of cosines, the darker the closer: from the lowest of all to the highest of two different texts. */
function heatMap(texts, vectors) {
  const rows = vectors.map((a) => vectors.map((b) => cosine(a, b)));
  const others = rows.flatMap((row, i) => row.filter((_, j) => j !== i));
  const low = Math.min(...others);
  const span = Math.max(...others) - low || 1;
  const numbers = texts.map((_, i) => make("th", { scope: "col" }, `${i + 1}`));
  const lines = rows.map((row, i) =>
    make("tr", {}, make("th", { scope: "row" }, make("span", {}, make("b", {}, `${i + 1} `), texts[i])), ...row.map((value, j) => {
      if (i === j) return make("td", { class: "self" }, "·");
      const cell = make("td", { title: `${texts[i]}\n${texts[j]}` }, shorten(value));
      cell.style.setProperty("--heat", (value - low) / span);
      return cell;
    })),
  );
  const head = make("thead", {}, make("tr", {}, make("th", { "aria-label": "text" }), ...numbers));
  const size = texts.length > 9 ? "heat dense" : "heat";
  return make("table", { class: size, "aria-label": "Cosine of each two texts" }, head, make("tbody", {}, ...lines));
}

/** Items with their scores, the best first. Bars begin at 0, and those below it go to the left. */
function rankedBars(items, scores) {
  const order = scores.map((_, index) => index).sort((a, b) => scores[b] - scores[a]);
  const low = Math.min(0, ...scores);
  const span = Math.max(...scores.map(Math.abs), Math.max(0, ...scores) - low) || 1;
  const entries = order.map((index) => {
    const score = scores[index];
    const [left, width] = [Math.min(score, 0) - low, Math.abs(score)].map((value) => (100 * value) / span);
    const bar = makeSvg("svg", { viewBox: "0 0 100 1", preserveAspectRatio: "none", "aria-hidden": "true" },
      makeSvg("rect", { class: "track", width: 100, height: 1 }),
      makeSvg("rect", { class: score < 0 ? "bar below" : "bar", x: left, width, height: 1 }));
    return make("li", {}, make("span", {}, items[index]), make("span", { class: "value" }, shorten(score, 3)), bar);
  });
  return make("ol", { class: "bars" }, ...entries);
}

/** A line through the values, from 0 to the highest. */
function sparkline(values) {
  const top = Math.max(...values) || 1;
  const points = values.map((value, index) => `${index} ${(1 - value / top).toFixed(3)}`);
  const chart = { class: "spark", preserveAspectRatio: "none", viewBox: `0 0 ${Math.max(1, values.length - 1)} 1` };
  return makeSvg("svg", { ...chart, "aria-hidden": "true" }, makeSvg("path", { d: `M${points.join("L")}` }));
}

function shorten(number, digits = 2) {
  return number.toFixed(digits).replace(/^-(0\.?0*)$/, "$1").replace("-", "−");
}
