"use strict";
// The axial stack: one picture whose image, outlines and words are exchanged.
(() => {
  const frame = document.getElementById("stack");
  const data = document.getElementById("stack-data");
  if (!frame || !data) return;
  const slices = JSON.parse(data.textContent);
  const slider = document.getElementById("stack-slider");
  const place = document.getElementById("stack-place");
  const image = frame.querySelector("image");
  const words = frame.querySelector(".tags");
  const SVG = "http://www.w3.org/2000/svg";
  let now = Number(slider.value);

  // Decoded ahead, so that scrolling does not flicker.
  const ready = slices.map((slice) => { const made = new Image(); made.src = slice.image; return made; });

  const show = (wanted) => {
    now = Math.min(slices.length - 1, Math.max(0, wanted));
    const slice = slices[now];
    image.setAttribute("href", ready[now].src);
    for (const path of frame.querySelectorAll("path[data-kind]")) {
      path.setAttribute("d", slice.paths[path.dataset.kind] || "");
    }
    words.replaceChildren(...slice.tags.map((tag) => {
      const text = document.createElementNS(SVG, "text");
      text.setAttribute("x", tag.x);
      text.setAttribute("y", tag.y);
      text.setAttribute("class", "tag");
      text.setAttribute("text-anchor", tag.side < 0 ? "end" : "start");
      text.setAttribute("fill", frame.querySelector(`.line.${tag.kind}`).getAttribute("stroke"));
      text.textContent = tag.text;
      return text;
    }));
    slider.value = String(now);
    slider.setAttribute("aria-valuetext", slice.place);
    place.textContent = slice.place;
  };

  slider.addEventListener("input", () => show(Number(slider.value)));
  frame.addEventListener("wheel", (event) => {
    if (document.activeElement !== frame) return;  // the page scrolls until the picture is clicked
    event.preventDefault();
    show(now + Math.sign(event.deltaY));
  }, { passive: false });
  const keys = {
    ArrowUp: -1, ArrowLeft: -1, ArrowDown: 1, ArrowRight: 1,
    PageUp: -5, PageDown: 5, Home: -Infinity, End: Infinity,
  };
  frame.addEventListener("keydown", (event) => {
    if (!(event.key in keys)) return;
    event.preventDefault();
    show(now + keys[event.key]);
  });
  for (const button of document.querySelectorAll("[data-slice]")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      show(Number(button.dataset.slice));
      frame.scrollIntoView({ block: "center" });
      frame.focus();
    });
  }
  document.getElementById("stack-controls").hidden = false;
  show(now);
})();

// Outlines on and off, in all pictures at once.
for (const box of document.querySelectorAll("[data-lines]")) {
  box.addEventListener("change", () =>
    document.documentElement.classList.toggle(`no-${box.dataset.lines}`, !box.checked));
}
for (const box of document.querySelectorAll("[data-possible]")) {
  box.addEventListener("change", () =>
    document.documentElement.classList.toggle("show-possible", box.checked));
}
