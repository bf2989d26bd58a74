"use strict";
(() => {
  const data = JSON.parse(document.getElementById("case-data").textContent);
  const PAGE = 100, VALUES = 4, TENTH = 1, FAR = 2, REPORT = 4;
  const { headings, decimals, statuses, rows } = data;
  const MARKS = headings.length, FLAGS = MARKS + 1;
  const table = document.querySelector("table.cases"), tools = document.querySelector(".tools");
  const search = tools.querySelector("input"), which = tools.querySelector("select");
  const said = tools.querySelector("output"), steps = tools.querySelectorAll("button");
  let shown = rows, first = 0, sorted = null, falling = false;

  const make = (name, text) => {
    const element = document.createElement(name);
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const head = make("tr");
  headings.forEach((heading, column) => {
    const cell = make("th"), button = make("button", heading);
    cell.scope = "col";
    button.type = "button";
    button.addEventListener("click", () => {
      falling = sorted === column ? !falling : column >= VALUES || column === 3;
      sorted = column;
      choose();
    });
    cell.append(button);
    head.append(cell);
  });
  const top = make("thead"), body = make("tbody");
  top.append(head);
  table.append(top, body);

  const inOrder = new Intl.Collator("en", { numeric: true }).compare;
  function compare(one, other) {
    const a = one[sorted], b = other[sorted];
    if (a === null || b === null) return (a === null) - (b === null);
    const order = typeof a === "string" ? inOrder(a, b) : a - b;
    return falling ? -order : order;
  }
  function wanted(row) {
    if (which.value === "tenth") return row[FLAGS] & TENTH;
    if (which.value === "far") return row[FLAGS] & FAR;
    return !which.value || statuses[row[1]] === which.value;
  }
  function choose() {
    const text = search.value.trim().toLowerCase();
    shown = rows.filter((row) => wanted(row) && row[0].toLowerCase().includes(text));
    if (sorted !== null) shown.sort(compare);
    first = 0;
    draw();
  }
  function line(row) {
    const made = make("tr"), name = make("td");
    if (row[FLAGS] & REPORT) {
      const link = make("a", row[0]);
      link.href = `${encodeURIComponent(row[0])}/report.html`;
      name.append(link);
    } else {
      name.textContent = row[0];
    }
    name.title = row[0];
    made.append(name, make("td", statuses[row[1]]));
    for (let column = 2; column < headings.length; column++) {
      const value = row[column], places = column === 2 ? 3 : column === 3 ? 0 : decimals[column - VALUES];
      const cell = make("td", value === null ? "" : value.toFixed(places));
      if (column >= VALUES && row[MARKS] >> (column - VALUES) & 1) {
        cell.className = "far";
        cell.title = "far from the others";
      }
      made.append(cell);
    }
    return made;
  }
  function draw() {
    const last = Math.min(first + PAGE, shown.length);
    body.replaceChildren(...shown.slice(first, last).map(line));
    head.querySelectorAll("th").forEach((cell, column) => {
      if (column === sorted) cell.setAttribute("aria-sort", falling ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    });
    said.textContent = shown.length ? `${first + 1} to ${last} of ${shown.length}` : "no case";
    steps[0].disabled = first === 0;
    steps[1].disabled = last >= shown.length;
  }
  steps.forEach((button) => button.addEventListener("click", () => {
    first = Math.max(0, first + PAGE * Number(button.dataset.step));
    draw();
  }));
  search.addEventListener("input", choose);
  which.addEventListener("change", choose);
  tools.addEventListener("submit", (event) => event.preventDefault());
  tools.hidden = false;
  choose();
})();
