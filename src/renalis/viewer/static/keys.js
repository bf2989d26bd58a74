// Keys: what each does, said once for acting and for the list under "?".

const at = (id) => document.getElementById(id);
const shown = (key) => ({ " ": "Space", ArrowUp: "↑", ArrowDown: "↓", ArrowLeft: "←", ArrowRight: "→" })[key] ?? (key.length === 1 ? key.toUpperCase() : key);

/** bindings: {keys: [...], text, act, control}; mouse: [what, does]. */
export function bindKeys(bindings, mouse) {
  const list = at("keys-list");
  const add = (names, text) => {
    const term = document.createElement("dt");
    names.forEach((name, n) => {
      const key = document.createElement("kbd");
      key.textContent = name;
      term.append(n ? " " : "", key);
    });
    const does = document.createElement("dd");
    does.textContent = text;
    list.append(term, does);
  };
  for (const { keys, text, control } of bindings) add(keys.map((key) => (control ? `Ctrl ${shown(key)}` : shown(key))), text);
  for (const [what, text] of mouse) add([what], text);
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input:not([type=range]):not([type=checkbox]), select, textarea, dialog");
    if (typing || event.altKey) return;
    if (event.key === " " && event.target.closest?.("button")) return;
    const control = event.ctrlKey || event.metaKey;
    const key = event.key.length === 1 && event.key !== "?" ? event.key.toLowerCase() : event.key;
    const arrow = event.key.startsWith("Arrow") && event.target.closest?.("input[type=range], nav");
    const found = bindings.find((one) => Boolean(one.control) === control && one.keys.includes(key));
    if (!found || arrow) return;
    event.preventDefault();
    found.act(key, event);
  });
}
