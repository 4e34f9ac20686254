// Programs to copy, with this server's address in them.

function snippetsOf(bundle) {
  const [path, body, python, javascript] = {
    text: vectorsProgram, static: vectorsProgram, clip: clipProgram, rerank: rerankProgram,
  }[bundle.kind]();
  const token = hasToken() ? ["Authorization", "Bearer TOKEN"] : null;
  const programs = {
    curl: [
      `curl ${BASE}/${path}`, ...(token ? [`  -H '${token.join(": ")}'`] : []), `  -d '${JSON.stringify(body)}'`,
    ].join(" \\\n"),
    Python: [
      "import json", "from urllib.request import Request, urlopen", "",
      `body = ${pythonOf(body)}`,
      `request = Request("${BASE}/${path}", json.dumps(body).encode()${token ? `, {"${token[0]}": "${token[1]}"}` : ""})`,
      "with urlopen(request) as answer:", `    print(${python})`,
    ].join("\n"),
    JavaScript: [
      `const answer = await fetch("${BASE}/${path}", {`, '  method: "POST",',
      ...(token ? [`  headers: { ${token[0]}: "${token[1]}" },`] : []),
      `  body: JSON.stringify(${JSON.stringify(body)}),`, "});", `console.log(${javascript});`,
    ].join("\n"),
    Weaviate: JSON.stringify(schemaOf(bundle), null, 2),
  };
  const panels = Object.entries(programs).map(([name, text]) => [name, snippet(name, text)]);
  return tabs("Language", panels);
}

function vectorsProgram() {
  const body = { texts: EXAMPLES.passages.slice(0, 2), config: { task_type: "passage" } };
  return ["vectors", body, 'json.load(answer)["dims"]', "(await answer.json()).dims"];
}

function clipProgram() {
  const body = { texts: EXAMPLES.captions.slice(0, 2), images: [] };
  return ["vectorize", body, 'len(json.load(answer)["textVectors"])', "(await answer.json()).textVectors.length"];
}

function rerankProgram() {
  const body = { query: EXAMPLES.query, documents: EXAMPLES.passages.slice(0, 2) };
  return ["rerank", body, 'json.load(answer)["scores"]', "(await answer.json()).scores"];
}

/** JSON as Python writes it, on a line for each field. What it holds has no constants. */
function pythonOf(body) {
  const lines = Object.entries(body).map(([name, value]) => `    "${name}": ${JSON.stringify(value)},`);
  return `{\n${lines.join("\n")}\n}`;
}

/** A class for POST /v1/schema of Weaviate. */
function schemaOf({ kind }) {
  const properties = [{ name: "title", dataType: ["text"] }];
  if (kind === "rerank") return { class: "Article", moduleConfig: { "reranker-transformers": {} }, properties };
  if (kind === "clip") {
    const fields = { textFields: ["title"], imageFields: ["image"], inferenceUrl: BASE };
    properties.push({ name: "image", dataType: ["blob"] });
    return { class: "Picture", vectorizer: "multi2vec-clip", moduleConfig: { "multi2vec-clip": fields }, properties };
  }
  const module = kind === "static" ? "text2vec-model2vec" : "text2vec-transformers";
  const settings = { vectorizeClassName: false, inferenceUrl: BASE };
  return { class: "Article", vectorizer: module, moduleConfig: { [module]: settings }, properties };
}

const WEAVIATE_NOTE = "The body of Weaviate's POST /v1/schema. Its address of this server is the one that Weaviate reaches it at.";

function snippet(name, text) {
  const copy = make("button", { type: "button", class: "plain", "aria-label": `Copy the ${name} snippet` }, "Copy");
  copy.addEventListener("click", async () => {
    await copyText(text);
    copy.focus();
    copy.replaceChildren("Copied");
  });
  copy.addEventListener("blur", () => copy.replaceChildren("Copy"));
  const code = make("pre", {}, text);
  const notes = name === "Weaviate" ? [make("p", { class: "soft" }, WEAVIATE_NOTE)] : [];
  return make("div", {}, make("div", { class: "snippet" }, code, copy), ...notes);
}

/** Copies also where a page that came over plain HTTP from another machine may not write to the clipboard itself. */
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return;
  } catch {
    // There is no clipboard, or it is not allowed. What is selected can still be copied.
  }
  const box = make("textarea", {});
  box.value = text;
  document.body.append(box);
  box.select();
  document.execCommand("copy");
  box.remove();
}
