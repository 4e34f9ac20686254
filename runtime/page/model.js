// Says what model this is, from the answer to GET /meta.

const KINDS = {
  text: "embeds texts",
  static: "embeds texts, by a table",
  clip: "embeds texts and images",
  rerank: "scores documents for a query",
};

/** What the section of each kind has in common: the part about texts. */
function textPart(bundle) {
  const section = bundle[bundle.kind];
  return bundle.kind === "clip" ? section.text : section;
}

function encodersOf(bundle) {
  const part = textPart(bundle);
  return part.encoders ?? (part.encoder ? { encoder: part.encoder } : {});
}

function showModel(meta) {
  const { bundle, serving } = meta;
  const slash = bundle.model.lastIndexOf("/") + 1;
  document.title = `${bundle.model.slice(slash)} · cpu2vec`;
  find("brand").replaceChildren(`cpu2vec ${serving.version}`);
  find("model").replaceChildren(make("span", {}, bundle.model.slice(0, slash)), bundle.model.slice(slash));
  const { dim } = textPart(bundle);
  const summary = [KINDS[bundle.kind], dim && `${dim} dimensions`, tokensOf(meta), `${bundle.precision} on ${bundle.target}`];
  find("summary").replaceChildren(...summary.filter(Boolean).map((each) => make("li", {}, each)));
  showFidelity(bundle);
  showFacts(meta);
}

function tokensOf({ serving }) {
  const windows = serving.window_tokens ? Math.max(...Object.values(serving.window_tokens)) : serving.max_tokens;
  return windows ? `${windows.toLocaleString("en")} tokens` : "";
}

function showFidelity(bundle) {
  const { cosine, scores } = bundle.fidelity ?? {};
  const cards = [];
  if (cosine) {
    cards.push(["Mean cosine", cosine.mean.toFixed(4)], ["1st percentile", cosine.p1.toFixed(4)], ["Lowest", cosine.minimum.toFixed(4)]);
  }
  if (scores) {
    cards.push(["Agreement of rankings", scores.rank_agreement.toFixed(4)]);
    cards.push(["Best document kept", `${(100 * scores.top_kept).toFixed(1)} %`]);
    cards.push(["RMS error of scores", `${(100 * scores.error_rms).toFixed(2)} %`]);
  }
  const sentences = {
    cosine: () => `Cosine of this bundle's vectors to those of the original in fp32, on ${cosine.count} held-out inputs. 1 is the same direction.`,
    scores: () => `Scores and rankings beside the original's in fp32, on ${scores.count} held-out pairs: Kendall's tau, the share of queries whose best document stays the best, and the error as a share of the scores' spread.`,
    none: () => "This bundle has not been compared with its original.",
  };
  const sentence = sentences[cosine ? "cosine" : scores ? "scores" : "none"]();
  find("fidelity").replaceChildren(
    make("dl", { class: "cards" }, ...cards.map(([name, value]) => card(name, value))),
    make("p", { class: "soft" }, sentence),
  );
}

function card(name, value, ...more) {
  return make("div", {}, make("dt", {}, name), make("dd", {}, make("span", { class: "value" }, value), ...more));
}

function showFacts({ bundle, serving }) {
  const part = textPart(bundle);
  const encoders = Object.values(encodersOf(bundle));
  const architectures = [...encoders.map((each) => each.architecture), bundle.clip?.image.architecture];
  const facts = {
    Network: [...new Set(architectures.filter(Boolean))].join(", "),
    Pooling: [...new Set(encoders.map((each) => each.pooling.modes.join(" and ")))].join(", "),
    Prompts: Object.entries(part.prompts ?? {}).map(([name, prompt]) => `${name}: “${prompt}”`).join("\n"),
    "Longer texts": { chunk: "averaged window by window", truncate: "cut", error: "refused" }[serving.long_text],
    Kernels: serving.kernels ?? (encoders.length ? "onnxruntime's own" : ""),
    Processes: `${serving.workers}`,
    Source: `${bundle.source.kind}, ${bundle.source.revision}`,
    License: bundle.licence ?? "not declared",
    "Built by": `cpu2vec ${bundle.version}`,
  };
  const known = Object.entries(facts).filter(([, value]) => value);
  find("facts").replaceChildren(...known.flatMap(([name, value]) => [
    make("dt", {}, name), make("dd", {}, ...value.split("\n").flatMap((line, i) => (i ? [make("br"), line] : [line]))),
  ]));
}
