// Building elements.
// Shape: one function; text goes in as text nodes, never as markup, whatever an event contains.

type Child = Node | string;
type Attributes = Readonly<Record<string, string | boolean | undefined>>;

/** An element with attributes and children. `true` is an empty attribute; `false` and `undefined` are none. */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  put(element, attributes);
  element.append(...children);
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** An SVG element. */
export function svg(tag: string, attributes: Attributes = {}, ...children: Child[]): SVGElement {
  const element = document.createElementNS(SVG, tag);
  put(element, attributes);
  element.append(...children);
  return element;
}

/** Sets the text when it changed; an untouched node costs no layout. */
export function text(node: Node, value: string): void {
  if (node.textContent !== value) node.textContent = value;
}

/** Sets or removes an attribute when it changed. */
export function attribute(element: Element, name: string, value: string | undefined): void {
  if (value === undefined) element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/** The value of a color variable in the current theme, as the canvas takes it. */
export function colorOf(name: string): string {
  let probe = probes.get(name);
  if (probe === undefined) {
    probe = el("i", { hidden: true });
    probe.style.color = `var(--${name})`;
    document.body.append(probe);
    probes.set(name, probe);
  }
  return getComputedStyle(probe).color;
}

const probes = new Map<string, HTMLElement>();

function put(element: Element, attributes: Attributes): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? "" : value);
  }
}
