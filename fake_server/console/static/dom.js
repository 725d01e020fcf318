// Builds elements. Texts become text nodes, never markup, so nothing that a client sent can run.

const SAFE_LINK = /^(#|\/(?!\/)|https?:\/\/|blob:)/;

/**
 * An element with attributes and children. `on…` attributes are listeners, `style` is an object,
 * false and null leave an attribute or a child out.
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") setStyle(element, value);
    else if (["value", "checked", "disabled", "selected", "hidden"].includes(name)) element[name] = value;
    else if ((name === "href" || name === "src") && !SAFE_LINK.test(value)) continue;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

export function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

export function setStyle(element, properties) {
  for (const [name, value] of Object.entries(properties)) element.style.setProperty(name, value);
}

export function replace(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

/** Keeps the children of `parent` in step with `items`, and those that stay as they are. */
export function keyed(parent, items, keyOf, make, update) {
  const known = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let before = null;
  for (const item of items) {
    const key = String(keyOf(item));
    let element = known.get(key);
    if (element) {
      known.delete(key);
      update(element, item);
    } else {
      element = make(item);
      element.dataset.key = key;
    }
    const place = before ? before.nextSibling : parent.firstChild;
    if (element !== place) parent.insertBefore(element, place);
    before = element;
  }
  for (const element of known.values()) element.remove();
}

let ids = 0;

/** A control with its label, its help, and room for an error. */
export function field(label, control, { help = null, required = false } = {}) {
  const id = `field-${(ids += 1)}`;
  control.id = id;
  const error = h("p", { class: "error", id: `${id}-error`, hidden: true });
  control.setAttribute("aria-describedby", help ? `${id}-help ${id}-error` : `${id}-error`);
  const element = h(
    "div",
    { class: "field" },
    h("label", { for: id }, label, required && h("span", { class: "required", "aria-hidden": "true" }, " *")),
    control,
    help && h("p", { class: "help", id: `${id}-help` }, help),
    error,
  );
  element.control = control;
  element.fail = (message) => {
    error.textContent = message || "";
    error.hidden = !message;
    if (message) control.setAttribute("aria-invalid", "true");
    else control.removeAttribute("aria-invalid");
  };
  return element;
}

export function select(options, attributes = {}, chosen = "") {
  return h(
    "select",
    attributes,
    options.map(([value, text]) => h("option", { value, selected: value === chosen }, text)),
  );
}
