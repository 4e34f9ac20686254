// The boxes to try the model in: inputs on one side, and what the model makes of them on the other.

const PASSAGES = [
  "The ferry leaves at seven.", "Bread rises overnight.", "Let the dough rest until morning.",
  "A storm closed the harbor.", "The museum is free on Sundays.",
];

const EXAMPLES = {
  passages: PASSAGES,
  texts: ["When does the boat depart?", ...PASSAGES],
  query: "When does the boat depart?",
  captions: ["a red circle", "a blue square", "a page of text", "a photo of a cat"],
};

function trialsOf(bundle) {
  const compare = ["Compare texts", compareTexts(bundle)];
  const byKind = {
    text: () => [compare, ["Search", searchPassages(bundle)]],
    static: () => [compare, ["Search", searchPassages(bundle)]],
    clip: () => [["Picture and texts", describePicture()], compare],
    rerank: () => [["Rank documents", rankDocuments()]],
  };
  return tabs("What to try", byKind[bundle.kind]());
}

function compareTexts(bundle) {
  const texts = linesBox(EXAMPLES.texts);
  return trial("Compare", [field("Texts", texts, "One on each line")], async () => {
    const lines = linesOf(texts, 2);
    if (lines.length > MOST_IN_HEAT_MAP) throw new Error(`Compare ${MOST_IN_HEAT_MAP} texts at most, not ${lines.length}.`);
    return [heatMap(lines, await embedTexts(bundle, lines)), `Cosines of ${lines.length} texts`];
  });
}

function searchPassages(bundle) {
  const [query, passages] = [make("input", { value: EXAMPLES.query }), linesBox(EXAMPLES.passages)];
  return trial("Search", [field("Query", query), field("Passages", passages, "One on each line")], async () => {
    const lines = linesOf(passages, 1);
    const [[asked], stored] = await Promise.all([
      embedTexts(bundle, [query.value], "query"), embedTexts(bundle, lines, "passage"),
    ]);
    return [rankedBars(lines, stored.map((vector) => cosine(asked, vector))), `Cosines of ${lines.length} passages to the query`];
  });
}

function rankDocuments() {
  const [query, documents] = [make("input", { value: EXAMPLES.query }), linesBox(EXAMPLES.passages)];
  return trial("Rank", [field("Query", query), field("Documents", documents, "One on each line")], async () => {
    const lines = linesOf(documents, 1);
    return [rankedBars(lines, await scoreDocuments(query.value, lines)), `Scores of ${lines.length} documents`];
  });
}

function describePicture() {
  const preview = make("img", { class: "preview", alt: "The picture to compare", src: drawing() });
  const file = make("input", { type: "file", accept: "image/*" });
  const texts = linesBox(EXAMPLES.captions);
  file.addEventListener("change", async () => {
    if (file.files.length) preview.src = await dataUrl(file.files[0]);
  });
  const inputs = [field("Picture", file, "It is sent to this server alone"), make("p", {}, preview)];
  return trial("Compare", [...inputs, field("Texts", texts, "One on each line")], async () => {
    const lines = linesOf(texts, 1);
    const vectors = await embedImage(preview.src, lines);
    return [rankedBars(lines, vectors.texts.map((vector) => cosine(vectors.image, vector))), `Cosines of ${lines.length} texts to the picture`];
  });
}

/** A form whose result appears beside it. `run` gives an element and what it shows; it may throw. */
function trial(action, fields, run) {
  const button = make("button", {}, action);
  const note = make("p", { class: "soft", role: "status" });
  const shown = make("div", { class: "result" });
  const form = make("form", {}, ...fields, make("div", { class: "row" }, button, make("span", { class: "soft hint" }, "or Ctrl + Enter")));

  async function submit(event) {
    event?.preventDefault();
    if (button.ariaBusy === "true") return;
    button.ariaBusy = "true";
    const began = performance.now();
    try {
      const [element, what] = await run();
      shown.replaceChildren(element);
      note.replaceChildren(`${what}, after ${Math.max(1, Math.round(performance.now() - began))} ms.`);
    } catch (error) {
      shown.replaceChildren(make("p", { class: "notice", role: "alert" }, error.message));
      note.replaceChildren();
    } finally {
      button.ariaBusy = "false";
    }
  }

  form.addEventListener("submit", submit);
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit(event);
  });
  const panel = make("div", { class: "trial" }, form, make("div", {}, shown, note));
  panel.run = submit;
  return panel;
}

function linesBox(lines) {
  const box = make("textarea", { spellcheck: "false", rows: lines.length + 1 });
  box.value = lines.join("\n");
  return box;
}

/** The lines that are not blank. Throws where there are fewer than `least`. */
function linesOf(box, least) {
  const lines = box.value.split("\n").map((line) => line.trim()).filter(Boolean);
  if (lines.length < least) throw new Error(least > 1 ? `Write at least ${least} lines.` : "Write at least one line.");
  return lines;
}

function dataUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

/** A picture to begin with: a red circle. */
function drawing() {
  const canvas = make("canvas", { width: 224, height: 224 });
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#f4f1ea";
  pen.fillRect(0, 0, 224, 224);
  pen.fillStyle = "#d3342c";
  pen.arc(112, 112, 72, 0, 2 * Math.PI);
  pen.fill();
  return canvas.toDataURL("image/png");
}
