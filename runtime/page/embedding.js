// Asks for vectors and scores, by the route that the kind of model has.

/** The vectors of texts, in order. `task`: query, passage, or none where texts are alike. */
async function embedTexts(bundle, texts, task) {
  if (bundle.kind === "clip") return (await ask("vectorize", { texts })).textVectors;
  // A model with a route for each task has none for texts without a task.
  const part = textPart(bundle);
  const needed = part.routes && Object.keys(part.routes).length && !part.default_encoder ? "passage" : undefined;
  return (await ask("vectors", { texts, config: { task_type: task ?? needed } })).vectors;
}

/** The vector of an image, which is a data URL, and those of texts. */
async function embedImage(image, texts) {
  const { textVectors, imageVectors } = await ask("vectorize", { texts, images: [image.split(",")[1]] });
  return { image: imageVectors[0], texts: textVectors };
}

/** A score for each document, in order. */
async function scoreDocuments(query, documents) {
  return (await ask("rerank", { query, documents })).scores.map((each) => each.score);
}
