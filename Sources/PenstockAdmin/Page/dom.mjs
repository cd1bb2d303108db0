// SPDX-License-Identifier: Apache-2.0

// Makes the document what a view says it is, and keeps elements that stay, with their focus and what was typed there.
// Text becomes text nodes and attributes, never HTML.

/** What an element should be, `h("p.soft", { title: "x" }, "text")`; children are such ones, text, or nothing. */
export function h(name, ...children) {
  const [tag, ...classes] = name.split(".");
  const [first] = children;
  const hasProps = first?.constructor === Object && !first.tag;
  const props = hasProps ? { ...children.shift() } : {};
  if (classes.length) props.class = [...classes, props.class].filter(Boolean).join(" ");
  return { tag, props, children };
}

/** What is set as properties, not as attributes. */
const properties = new Set(["checked", "disabled", "max", "value"]);

/** Makes these the children of an element. */
export function patch(parent, ...children) {
  const wanted = children.flat(Infinity).filter((child) => (child ?? false) !== false);
  // By kind, in their order; what has a key is only taken for what has the same.
  const old = new Map();
  for (const node of parent.childNodes) {
    if (!old.has(node.made)) old.set(node.made, []);
    old.get(node.made).push(node);
  }
  const nodes = wanted.map((child) => old.get(kind(child))?.shift() ?? create(child));
  // Now, so that what stays in its place need not be moved, which would take its focus.
  for (const rest of old.values()) for (const node of rest) node.remove();
  let next = parent.firstChild;
  for (const [index, node] of nodes.entries()) {
    if (node === next) next = next.nextSibling;
    else parent.insertBefore(node, next);
    update(node, wanted[index]);
  }
}

function kind(child) {
  return child.tag ? `${child.tag} ${child.props.key ?? ""}` : "text";
}

function create(child) {
  const node = child.tag ? document.createElement(child.tag) : document.createTextNode("");
  node.made = kind(child);
  return node;
}

function update(node, child) {
  if (!child.tag) {
    const text = String(child);
    if (node.data !== text) node.data = text;
    return;
  }
  // Before the properties: the value of a select is one of its options.
  patch(node, ...child.children);
  const before = node.props ?? {};
  for (const name of Object.keys(before)) if (!(name in child.props)) set(node, name, null);
  for (const [name, value] of Object.entries(child.props)) {
    // A box shows what the state says; a field keeps what was typed until the state says something else.
    if (value !== before[name] || name === "checked") set(node, name, value);
  }
  node.props = child.props;
}

function set(node, name, value) {
  if (name === "key") return;
  if (name.startsWith("on")) node[name] = typeof value === "function" ? value : null;
  else if (properties.has(name)) node[name] = value ?? "";
  else if ((value ?? false) === false) node.removeAttribute(name);
  else node.setAttribute(name, value === true ? "" : value);
}
