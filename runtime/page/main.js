// Begins: asks what the server serves, and for a token where it wants one.

async function begin() {
  let meta;
  try {
    meta = await ask("meta");
  } catch (error) {
    const wantsToken = error instanceof Refusal && error.status === 401;
    find("sign-in").hidden = !wantsToken;
    find("failure").hidden = wantsToken;
    find("failure").replaceChildren(`The server does not say what it serves: ${error.message}`);
    find("token-error").replaceChildren(wantsToken && hasToken() ? "This is none of the allowed tokens." : "");
    if (wantsToken) find("token").focus();
    return;
  }
  find("sign-in").hidden = true;
  showModel(meta);
  const trials = trialsOf(meta.bundle);
  find("try").replaceChildren(trials);
  find("use").replaceChildren(snippetsOf(meta.bundle));
  document.querySelector("main").hidden = false;
  trials.querySelector(".trial").run();
  showLive();
}

find("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  setToken(find("token").value.trim());
  begin();
});
begin();
