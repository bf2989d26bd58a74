// The list of kidneys and lesions: what was measured, and the way to each.

const KINDS = { tumor: "Tumor", cyst: "Cyst" };
const SIDES = { left: "left", right: "right", other: "neither side" };

const element = (tag, attributes = {}, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") made.className = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
};
const ml = (value) => `${value >= 10 ? Math.round(value) : value.toFixed(1)} ml`;
const mm = (value) => `${value.toFixed(0)} mm`;

/** A place in a kidney or lesion; results of earlier versions know only the centroid. */
export const placeIn = ({ location }) => location.inside_mm ?? location.centroid_mm;

export class Findings {
  /** act(name, lesion): a command of the reader about a lesion. */
  constructor(box, jump, act) {
    [this.box, this.jump, this.act] = [box, jump, act];
    this.rows = [];
  }

  show(measured, { editable }) {
    this.rows = [];
    this.box.replaceChildren();
    this.staleNote = element("p", { class: "stale", hidden: "" }, "Changed since: save to measure anew.");
    this.box.append(this.staleNote);
    if (!measured) {
      this.box.append(element("p", { class: "hint" }, "There are no measurements of this version."));
      return;
    }
    const lesions = measured.lesions ?? [];
    const order = { right: 0, left: 1, other: 2 };
    const kidneys = [...(measured.kidneys ?? [])].sort((a, b) => order[a.side] - order[b.side]);
    for (const kidney of kidneys) {
      this.#kidney(kidney);
      lesions.filter((one) => one.kidney === kidney.id).forEach((one) => this.#lesion(one, editable));
    }
    const lone = lesions.filter((one) => !kidneys.some((kidney) => kidney.id === one.kidney));
    if (lone.length) this.box.append(element("h2", {}, "In no kidney"));
    lone.forEach((one) => this.#lesion(one, editable));
    if (measured.notes?.length) {
      this.box.append(element("h2", {}, "Notes"));
      this.box.append(element("ul", { class: "notes" }, ...measured.notes.map((note) => element("li", {}, note))));
    }
  }

  stale(changed) {
    if (this.staleNote) this.staleNote.hidden = !changed;
  }

  /** The next or previous lesion after the one that is shown. */
  walk(by) {
    const lesions = this.rows.filter((row) => row.lesion);
    if (!lesions.length) return;
    const now = lesions.findIndex((row) => row.button.getAttribute("aria-current") === "true");
    const next = now < 0 ? (by > 0 ? 0 : lesions.length - 1) : (now + by + lesions.length) % lesions.length;
    lesions[next].button.click();
    lesions[next].button.scrollIntoView({ block: "nearest" });
  }

  #row(kind, lesion, name, number, more, place) {
    const button = element("button", { class: `finding ${kind}${lesion ? " lesion" : ""}`, type: "button" },
      element("span", { class: "dot" }), element("span", { class: "name" }, name),
      element("span", { class: "number" }, number), element("span", { class: "more" }, more));
    button.addEventListener("click", () => {
      for (const row of this.rows) {
        row.button.setAttribute("aria-current", String(row.button === button));
        if (row.actions) row.actions.hidden = row.button !== button;
      }
      this.jump(place);
    });
    const row = { button, lesion };
    this.rows.push(row);
    this.box.append(button);
    return row;
  }

  #kidney(kidney) {
    const name = kidney.side === "other" ? "Kidney" : `${kidney.side === "left" ? "Left" : "Right"} kidney`;
    const doubt = kidney.is_kidney?.answer && kidney.is_kidney.answer !== "yes" ? ` · a kidney: ${kidney.is_kidney.answer}` : "";
    const more = `${mm(kidney.length_mm)} long${kidney.intensity ? ` · ${kidney.intensity.mean_hu.toFixed(0)} HU` : ""}${doubt}`;
    this.#row("kidney", null, name, ml(kidney.volume_ml), more, placeIn(kidney));
  }

  #lesion(lesion, editable) {
    const number = lesion.id.split("-").pop();
    const hu = lesion.intensity ? ` · ${lesion.intensity.mean_hu.toFixed(0)} HU` : "";
    const score = lesion.nephrometry?.total ? ` · R.E.N.A.L. ${lesion.nephrometry.total}` : "";
    const more = `${SIDES[lesion.side]} · ${ml(lesion.volume_ml)}${hu}${score}`;
    const row = this.#row(lesion.kind, lesion, `${KINDS[lesion.kind]} ${number}`, mm(lesion.diameter_mm), more, placeIn(lesion));
    if (!editable) return;
    const other = lesion.kind === "tumor" ? "cyst" : "tumor";
    const command = (name, text, title) => {
      const button = element("button", { type: "button", title }, text);
      button.addEventListener("click", () => this.act(name, lesion));
      return button;
    };
    row.actions = element("div", { class: "actions", hidden: "" },
      command("change", `Is a ${other}`, "Change its kind"),
      command("to-kidney", "Is kidney", "No lesion: kidney is there"),
      command("to-nothing", "Is nothing", "No lesion and no kidney: take it away"));
    this.box.append(row.actions);
  }
}
