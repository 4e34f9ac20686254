// Asks this server. The token, where one is needed, lives in this module for as long as the page is open.

const BASE = new URL(".", location.href).href.replace(/\/+$/, "");

let token = "";

function setToken(value) {
  token = value;
}

function hasToken() {
  return token !== "";
}

/** An answer that says no; `message` is the server's own sentence. */
class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** The answer to a GET request or, with a body, to a POST request: JSON or text. Throws `Refusal`. */
async function ask(path, body) {
  const headers = {};
  // The server compares the token's UTF-8, and a header's characters are bytes.
  if (token) headers.Authorization = `Bearer ${String.fromCharCode(...new TextEncoder().encode(token))}`;
  const request = body === undefined ? { headers } : { method: "POST", headers, body: JSON.stringify(body) };
  const answer = await fetch(`${BASE}/${path}`, request);
  const isJson = (answer.headers.get("Content-Type") || "").includes("json");
  const content = isJson ? await answer.json() : await answer.text();
  if (answer.ok) return content;
  throw new Refusal(answer.status, (isJson && content.error) || `the server answered ${answer.status}`);
}
