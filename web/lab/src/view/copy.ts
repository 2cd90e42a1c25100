// A command to paste, with a button that copies it.

import { bind, words } from "../i18n/index.ts";
import { el, text } from "./dom.ts";

export function command(): { readonly element: HTMLElement; show(line: string): void } {
  const code = el("code");
  const button = el("button", { type: "button", class: "quiet copy" });
  let copied = 0;
  const label = (): void => text(button, copied > 0 ? words().hint.copied : words().hint.copy);
  bind(label);
  button.onclick = () => {
    void write(code).then(() => {
      copied++;
      label();
      setTimeout(() => { copied--; label(); }, SHOW_MS);
    });
  };
  const element = el("div", { class: "command" }, el("pre", {}, code), button);
  return { element, show: (line) => text(code, line) };
}

/** Copies, or where the page may not, selects: then one key press copies. */
async function write(code: HTMLElement): Promise<void> {
  try {
    await navigator.clipboard.writeText(code.textContent ?? "");
  } catch {
    getSelection()?.selectAllChildren(code);
  }
}

const SHOW_MS = 1_500;
