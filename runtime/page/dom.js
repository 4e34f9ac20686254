// Makes elements. What a server or a person has written becomes text, never markup: the page's policy refuses markup.

function find(id) {
  return document.getElementById(id);
}

/** An element with attributes and children. `onclick` and its like are listeners. */
function make(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

function makeSvg(name, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (typeof value === "boolean") element.toggleAttribute(name, value);
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

let lastId = 0;

/** An id that no other element has. */
function newId() {
  return `part-${++lastId}`;
}

/** A label above a control. */
function field(text, control, hint = "") {
  control.id ||= newId();
  const parts = [make("label", { for: control.id }, text)];
  if (hint) {
    const id = newId();
    control.setAttribute("aria-describedby", id);
    parts.push(make("p", { class: "soft", id }, hint));
  }
  return make("div", { class: "field" }, ...parts, control);
}

/** Panels of which one is shown; arrow keys go from tab to tab. `panels`: pairs of a name and an element. */
function tabs(label, panels) {
  const shown = panels.map(([, panel]) => panel);
  if (panels.length === 1) return make("div", {}, ...shown);
  const buttons = panels.map(([name, panel], index) => {
    panel.id ||= newId();
    fill(panel, { role: "tabpanel" }, []);
    const button = make("button", { type: "button", role: "tab", "aria-controls": panel.id, id: newId() }, name);
    panel.setAttribute("aria-labelledby", button.id);
    button.addEventListener("click", () => select(index));
    return button;
  });

  function select(chosen) {
    buttons.forEach((button, index) => {
      button.setAttribute("aria-selected", index === chosen);
      button.tabIndex = index === chosen ? 0 : -1;
      panels[index][1].hidden = index !== chosen;
    });
  }

  function move(event) {
    const last = buttons.length - 1;
    const now = buttons.indexOf(event.target);
    const steps = { ArrowRight: now === last ? 0 : now + 1, ArrowLeft: now === 0 ? last : now - 1, Home: 0, End: last };
    if (!(event.key in steps)) return;
    event.preventDefault();
    select(steps[event.key]);
    buttons[steps[event.key]].focus();
  }

  select(0);
  const list = make("div", { class: "tabs", role: "tablist", "aria-label": label, onkeydown: move }, ...buttons);
  return make("div", {}, list, ...shown);
}
