// Live figures, from two scrapes of GET /metrics: what happened between them, by second.

const SECONDS_BETWEEN = 2;
const KEPT_POINTS = 60;
/** The histogram of latencies is taken over so many scrapes. */
const LATENCY_SCRAPES = 15;
/** Routes that a monitor or this page asks. */
const OF_MONITORS = /^(\/metrics|\/meta|\/health|\/info|\/openapi\.json|\/docs|\/\.well-known\/.*)$/;

/** The samples of Prometheus' text format, by name: labels and value. */
function parseMetrics(text) {
  const samples = new Map();
  for (const line of text.split("\n")) {
    const [, name, labels = "", value] = line.match(/^([a-z_:][\w:]*)(?:\{(.*)\})? (\S+)/i) ?? [];
    if (!name) continue;
    const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, label, text]) => [label, text]);
    if (!samples.has(name)) samples.set(name, []);
    samples.get(name).push({ labels: Object.fromEntries(pairs), value: value === "+Inf" ? Infinity : Number(value) });
  }
  return samples;
}

/** One scrape, reduced to what is shown. */
function reduceScrape(samples, time) {
  const counted = (name) => (samples.get(name) ?? []).filter(({ labels }) => !OF_MONITORS.test(labels.route));
  const sum = (name) => counted(name).reduce((total, { value }) => total + value, 0);
  const buckets = new Map();
  for (const { labels, value } of counted("cpu2vec_request_seconds_bucket")) {
    const bound = labels.le === "+Inf" ? Infinity : Number(labels.le);
    buckets.set(bound, (buckets.get(bound) ?? 0) + value);
  }
  return {
    time, buckets,
    requests: sum("cpu2vec_requests_total"),
    texts: sum("cpu2vec_texts_total"),
    tokens: sum("cpu2vec_tokens_total"),
    inFlight: sum("cpu2vec_requests_in_flight"),
    queued: sum("cpu2vec_queue_jobs"),
    failed: counted("cpu2vec_requests_total").reduce((total, { labels, value }) => total + (labels.status >= "500" ? value : 0), 0),
    memory: Math.max(0, ...counted("cpu2vec_resident_memory_bytes").map(({ value }) => value)),
  };
}

/** A quantile of what came between two scrapes, in seconds, as Prometheus' histogram_quantile estimates it; NaN: nothing. */
function quantile(share, before, after) {
  const bounds = [...after.buckets.keys()].sort((a, b) => a - b);
  const counts = bounds.map((bound) => after.buckets.get(bound) - (before.buckets.get(bound) ?? 0));
  const rank = share * (counts.at(-1) ?? 0);
  const index = counts.findIndex((count) => count >= rank && count > 0);
  if (index < 0) return NaN;
  const [low, below] = index ? [bounds[index - 1], counts[index - 1]] : [0, 0];
  if (bounds[index] === Infinity) return low;
  return low + ((bounds[index] - low) * (rank - below)) / (counts[index] - below);
}

/** Show figures for as long as the page is open, or nothing where the server has none. */
async function showLive() {
  let scrapes = [];
  const history = { requests: [], texts: [], tokens: [] };
  for (;;) {
    if (!document.hidden) {
      try {
        const scrape = reduceScrape(parseMetrics(await ask("metrics")), performance.now() / 1000);
        scrapes = [...scrapes, scrape].slice(-LATENCY_SCRAPES);
      } catch (error) {
        if (error instanceof Refusal && error.status !== 503) return;
        scrapes = [];
      }
      showScrapes(scrapes, history);
    }
    await new Promise((resolve) => setTimeout(resolve, 1000 * SECONDS_BETWEEN));
  }
}

function showScrapes(scrapes, history) {
  const [first, before, now] = [scrapes[0], scrapes.at(-2), scrapes.at(-1)];
  find("live").hidden = !now;
  if (!now) return;
  const seconds = before ? now.time - before.time : 1;
  for (const [name, values] of Object.entries(history)) {
    values.push(before ? Math.max(0, now[name] - before[name]) / seconds : 0);
    values.splice(0, values.length - KEPT_POINTS);
  }
  const rate = (title, values) => card(title, rounded(values.at(-1)), make("small", {}, " /s"), sparkline(values));
  const latency = (title, share) => {
    const value = quantile(share, first, now);
    return card(title, Number.isNaN(value) ? "–" : rounded(1000 * value), ...(Number.isNaN(value) ? [] : [make("small", {}, " ms")]));
  };
  find("figures").replaceChildren(
    rate("Requests", history.requests), rate("Texts", history.texts), rate("Tokens", history.tokens),
    card("Failed", `${now.failed}`, make("small", {}, ` of ${rounded(now.requests)}`)),
    latency("Latency, median", 0.5), latency("Latency, 99th percentile", 0.99),
    card("In flight", `${now.inFlight}`, make("small", {}, ` and ${now.queued} queued`)),
    ...(now.memory ? [card("Memory, largest process", rounded(now.memory / 1e6), make("small", {}, " MB"))] : []),
  );
}

function rounded(number) {
  const digits = number >= 100 || number === 0 ? 0 : number >= 10 ? 1 : 2;
  return Number(number.toFixed(digits)).toLocaleString("en");
}
