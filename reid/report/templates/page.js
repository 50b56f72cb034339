"use strict";
// Sorts tables, enlarges pictures, and shows the lists of all queries. It makes elements and text,
// never HTML, so that nothing that the data say can become a part of the page.
(() => {
  const make = (name, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };

  // ---- contents: folded on a phone, where they would cover the page
  const contents = document.querySelector("nav details");
  const narrow = matchMedia("(max-width: 60rem)");
  const fold = () => { contents.open = !narrow.matches; };
  narrow.addEventListener("change", fold);
  fold();
  contents.addEventListener("click", (event) => {
    if (narrow.matches && event.target.closest("a")) contents.open = false;
  });

  // ---- what is wider than the page can be scrolled with the keyboard, too
  const wide = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
      else target.removeAttribute("tabindex");
    }
  });
  document.querySelectorAll(".scroll").forEach((each) => wide.observe(each));

  // ---- tables
  const number = (text) => parseFloat(text.replaceAll(",", "").replace(/^[✓✗≤≥ ]+/, ""));
  const sort = (table, column, head) => {
    const numbers = head.classList.contains("number");
    const was = head.getAttribute("aria-sort");
    const down = was ? was === "ascending" : numbers;
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const text = (row) => row.cells[column].textContent.trim();
    const order = (a, b) => {
      if (!numbers) return text(a).localeCompare(text(b), undefined, { numeric: true });
      const [x, y] = [number(text(a)), number(text(b))];
      if (Number.isNaN(x) || Number.isNaN(y)) return (Number.isNaN(x) - Number.isNaN(y)) * (down ? -1 : 1);
      return x - y;
    };
    const rows = [...table.tBodies[0].rows].sort((a, b) => (down ? -1 : 1) * order(a, b));
    table.tBodies[0].append(...rows);
  };
  for (const table of document.querySelectorAll("table.data")) {
    if (table.tBodies[0].rows.length < 2) continue;
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = make("button", { type: "button", className: "sort" }, ...head.childNodes);
      button.addEventListener("click", () => sort(table, column, head));
      head.append(button);
    });
  }

  // ---- pictures: one stop for the tab key in each group, arrows between them, Enter enlarges
  const dialog = document.querySelector("dialog");
  const [shown, told] = [dialog.querySelector("img"), dialog.querySelector("p")];
  let current = null;
  const group = (button) => [...button.closest(".pictures").querySelectorAll(".zoom")];
  const beside = (button, step) => {
    const all = group(button);
    return all[all.indexOf(button) + step];
  };
  const enlarge = (button) => {
    current = button;
    const image = button.querySelector("img");
    if (image.dataset.number) load(image);
    shown.src = image.src;
    shown.alt = told.textContent = image.alt;
    for (const [name, step] of [["before", -1], ["next", 1]]) {
      dialog.querySelector(`[name=${name}]`).disabled = !beside(button, step);
    }
    if (!dialog.open) dialog.showModal();
  };
  const turn = (step) => { const other = beside(current, step); if (other) enlarge(other); };
  dialog.querySelector("[name=before]").addEventListener("click", () => turn(-1));
  dialog.querySelector("[name=next]").addEventListener("click", () => turn(1));
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => current.focus());
  document.addEventListener("click", (event) => {
    const button = event.target.closest(".zoom");
    if (button) enlarge(button);
  });
  document.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    if (dialog.open) { turn(step); return; }
    const button = document.activeElement.closest(".zoom");
    const other = button && beside(button, step);
    if (!other) return;
    event.preventDefault();
    button.tabIndex = -1;
    other.tabIndex = 0;
    other.focus();
  });
  const stop = (pictures) => { const first = pictures.querySelector(".zoom"); if (first) first.tabIndex = 0; };
  document.querySelectorAll(".pictures").forEach(stop);

  // ---- all queries
  let load = () => {};
  const gallery = document.getElementById("failures");
  if (!gallery) return;
  const PAGE = 25; // lists at a time
  const data = JSON.parse(gallery.querySelector(".data").textContent);
  const thumbnails = gallery.querySelector(".thumbnails").textContent;
  const starts = new Array(data.lengths.length);
  data.lengths.reduce((sum, length, i) => { starts[i] = sum; return sum + length; }, 0);
  load = (image) => {
    const i = Number(image.dataset.number);
    delete image.dataset.number;
    image.src = "data:image/webp;base64," + thumbnails.slice(starts[i], starts[i] + data.lengths[i]);
  };
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      seen.unobserve(entry.target);
      if (entry.target.dataset.number) load(entry.target);
    }
  }, { rootMargin: "400px" });

  const form = gallery.querySelector("form");
  const [status, lists, turning] = [gallery.querySelector("[role=status]"), gallery.querySelector("ol"), gallery.querySelector(".turn")];
  const camera = (list) => data.cameras[list[0]];
  const first = (list) => data.cameras[list[3][0]];
  let chosen = [];
  let page = 0;

  const choices = (select, values, all) => {
    select.replaceChildren(make("option", { value: "" }, all), ...values.map((value) => make("option", { value }, `camera ${value}`)));
  };
  const cameras = (lists, of) => [...new Set(lists.map(of))].filter((c) => c != null).sort((a, b) => a - b);
  const choose = () => {
    const experiment = data.experiments[form.experiment.value];
    choices(form.query, cameras(experiment.lists, camera), "any camera");
    choices(form.first, cameras(experiment.lists, first), "any camera");
    form.querySelector("a").href = `#${experiment.anchor}`;
    filter();
  };
  const filter = () => {
    const { lists } = data.experiments[form.experiment.value];
    const [low, high] = [form.low.valueAsNumber || 0, Number.isNaN(form.high.valueAsNumber) ? 100 : form.high.valueAsNumber];
    chosen = lists.filter((list) =>
      (form.query.value === "" || String(camera(list)) === form.query.value) &&
      (form.first.value === "" || String(first(list)) === form.first.value) &&
      100 * list[1] >= low && 100 * list[1] <= high &&
      !(form.wrong.checked && list[4][0] === "1"));
    page = 0;
    const wrong = chosen.filter((list) => list[4][0] !== "1").length;
    status.textContent = `${chosen.length.toLocaleString("en")} of ${lists.length.toLocaleString("en")} queries; the first image is wrong in ${wrong.toLocaleString("en")}.`;
    show();
  };
  const named = (i) => data.persons[i] === null ? `${data.images[i]}: not in the data set any more`
    : `${data.images[i]}: person ${data.persons[i]}, camera ${data.cameras[i]}`;
  const picture = (i, label, right) => {
    const cell = make("div", { className: right === undefined ? "query" : `judged ${right ? "right" : "wrong"}` });
    if (data.lengths[i]) {
      const image = make("img", { alt: named(i), height: 128 });
      image.dataset.number = i;
      seen.observe(image);
      cell.append(make("button", { type: "button", className: "zoom", tabIndex: -1 }, image));
    } else {
      cell.append(make("span", { className: "empty", title: `${named(i)} (picture left out)` }));
    }
    if (right !== undefined) cell.append(make("b", {}, right ? "✓ right" : "✗ wrong"), make("br"));
    cell.append(label);
    return cell;
  };
  const item = ([query, precision, rank, images, matches]) => {
    const text = `${named(query)}. AP ${(100 * precision).toFixed(2)} %, first right one at rank ${rank.toLocaleString("en")}.`;
    const shots = make("div", { className: "shots pictures" }, picture(query, "query"),
      ...images.map((i, k) => picture(i, `camera ${data.cameras[i] ?? "?"}`, matches[k] === "1")));
    stop(shots);
    return make("li", {}, make("p", {}, text), shots);
  };
  const show = () => {
    const pages = Math.max(1, Math.ceil(chosen.length / PAGE));
    seen.disconnect();
    lists.replaceChildren(...chosen.slice(page * PAGE, (page + 1) * PAGE).map(item));
    turning.hidden = pages === 1;
    turning.querySelector("span").textContent = `${page + 1} of ${pages.toLocaleString("en")}`;
    turning.querySelector("[name=before]").disabled = page === 0;
    turning.querySelector("[name=next]").disabled = page === pages - 1;
  };
  const leaf = (step) => { page += step; show(); gallery.scrollIntoView(); };
  turning.querySelector("[name=before]").addEventListener("click", () => leaf(-1));
  turning.querySelector("[name=next]").addEventListener("click", () => leaf(1));

  form.experiment.append(...data.experiments.map((each, value) =>
    make("option", { value }, `${each.name} (${each.dataset})`)));
  form.experiment.addEventListener("change", choose);
  for (const name of ["query", "first", "low", "high", "wrong"]) form[name].addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-experiment]");
    const wanted = link && data.experiments.findIndex((each) => each.anchor === link.dataset.experiment);
    if (link && wanted >= 0) { form.experiment.value = wanted; choose(); }
  });
  form.hidden = false;
  choose();
})();
