// The rows: sorted, filtered, searched and opened.

const OUTCOMES = {
  first: (study) => `only ${study.labels[0]}`,
  second: (study) => `only ${study.labels[1]}`,
  both: () => "both",
  neither: () => "neither",
  missing: () => "not yet",
};
const outcomeName = (kind, study) => OUTCOMES[kind](study);

// Which of its two trainings succeed: a lost one does not, and without both ends there is no answer.
function outcomeAt(row, threshold) {
  if (!row.ended.every(Boolean)) return "missing";
  const [first, second] = row.scores.map((score) => known(score) && score > threshold);
  if (first && second) return "both";
  if (first) return "first";
  return second ? "second" : "neither";
}

function rowTable(data, state) {
  const { columns, rows, study } = data;
  const table = byId("rows");
  const body = el("tbody");
  const order = { column: columns[0], falling: false };
  const filters = new Map();
  let words = [];

  const valueOf = (row, column) =>
    column.type === "outcome" ? outcomeAt(row, state.threshold()) : row.cells[column.key];
  const shownValue = (row, column) => {
    const value = valueOf(row, column);
    return column.type === "outcome" ? outcomeName(value, study) : written(value, column);
  };

  function matches(row) {
    for (const [column, wanted] of filters) {
      const value = valueOf(row, column);
      if ((known(value) ? String(value) : "") !== wanted) return false;
    }
    return words.every((word) => row.text.includes(word));
  }

  function compare(a, b) {
    const [x, y] = [valueOf(a, order.column), valueOf(b, order.column)];
    if (!known(x) || !known(y)) return known(y) - known(x);  // what is unknown comes last
    const sign = order.falling ? -1 : 1;
    return sign * (typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y)));
  }

  function sortBy(column, falling) {
    Object.assign(order, { column, falling });
    for (const head of table.tHead.querySelectorAll("th[data-key]")) {
      const on = head.dataset.key === column.key;
      head.setAttribute("aria-sort", on ? (falling ? "descending" : "ascending") : "none");
    }
    refresh();
  }

  function refresh() {
    const shown = rows.filter(matches).sort(compare);
    body.replaceChildren(...shown.flatMap((row) => (row.detail ? [row.line, row.detail] : [row.line])));
    for (const row of shown) paintOutcome(row);
    byId("shown").textContent = summary(shown, data, state);
  }

  function paintOutcome(row) {
    const cell = row.line.querySelector(".outcome");
    if (!cell) return;
    const kind = outcomeAt(row, state.threshold());
    cell.replaceChildren(row.counts ? el("span", { class: `badge ${kind}` }, outcomeName(kind, study)) : "");
  }

  function toggle(row, open = !row.detail) {
    if (open === Boolean(row.detail)) return;
    row.button.setAttribute("aria-expanded", String(open));
    row.line.classList.toggle("open", open);
    if (open) {
      row.detail = el("tr", { class: "detail", id: `detail-${row.id}` }, el("td", { colspan: table.tHead.dataset.width }));
      row.line.after(row.detail);
      row.detail.firstChild.append(details(row, data));
    } else {
      row.detail.remove();
      row.detail = null;
    }
  }

  table.classList.add(data.kind);
  table.append(el("caption", { class: "hidden" }, `All ${data.noun[1]}; headers sort, rows open`));
  table.append(head(columns, (column) => sortBy(column, order.column === column && !order.falling)), body);
  for (const row of rows) row.line = line(row, columns, { toggle, shownValue });
  filterForm(data, { filters, refresh, sortBy, search: (text) => (words = text.toLowerCase().split(/\s+/).filter(Boolean)) });
  const [key, falling] = data.order || [columns[0].key, false];
  sortBy(columns.find((column) => column.key === key) || columns[0], falling);
  const shell = table.parentNode;
  new ResizeObserver(() => shell.classList.toggle("wide", table.offsetWidth > shell.clientWidth)).observe(shell);
  const open = (row) => {
    toggle(row, true);
    row.line.scrollIntoView({ block: "start", behavior: "smooth" });
    row.button.focus({ preventScroll: true });
  };
  return { refresh, open };
}

function summary(shown, data, state) {
  const counted = shown.filter((row) => row.counts);
  const all = data.rows.filter((row) => row.counts).length;
  const start = `${counted.length} of ${all} ${data.noun[1]}`;
  if (!data.study || !data.study.thresholds.length) return `${start}.`;
  const kinds = counted.map((row) => outcomeAt(row, state.threshold()));
  const parts = Object.keys(OUTCOMES)
    .map((kind) => [kinds.filter((other) => other === kind).length, outcomeName(kind, data.study)])
    .filter(([count, name]) => count || name !== "not yet");
  const counts = parts.map(([count, name]) => `${name} ${count}`).join(", ");
  return `${start}. Above ${state.threshold().toFixed(1)}: ${counts}.`;
}

function head(columns, sort) {
  const groups = el("tr", { class: "groups" }, el("td", { colspan: 2 }));
  const names = el("tr", {}, el("th", { scope: "col", class: "thumbs" }, el("span", { class: "hidden" }, "samples")));
  columns.forEach((column, i) => {
    const button = el("button", { type: "button", title: column.meaning, onclick: () => sort(column) }, breakable(column.label), el("i", { "aria-hidden": "true" }));
    const cell = el("th", { scope: "col", "data-key": column.key, class: column.type, "aria-sort": "none" }, button);
    if (i === 0) names.prepend(cell);
    else names.append(cell);
    if (i === 0) return;
    const last = groups.lastChild;
    if (column.group && last.textContent === column.group) last.colSpan += 1;
    else groups.append(el("td", { class: column.group ? "group" : null }, column.group || ""));
  });
  const grouped = columns.some((column) => column.group);
  return el("thead", { "data-width": columns.length + 1 }, grouped ? groups : null, names);
}

function line(row, columns, { toggle, shownValue }) {
  const name = known(row.cells[columns[0].key]) ? String(row.cells[columns[0].key]) : row.name;
  row.button = el("button", { type: "button", class: "opener", "aria-expanded": "false", "aria-label": `Details of ${row.name}` }, el("i", { "aria-hidden": "true" }), name);
  const thumbs = el("td", { class: "thumbs" }, row.runs.map((run, i) =>
    run.picture ? el("img", { src: run.picture, alt: "", class: RUN_CLASSES[i], decoding: "async" }) : el("span", { class: "no-picture" })));
  const cells = columns.slice(1).map((column) => {
    const text = column.type === "outcome" ? "" : shownValue(row, column);
    const status = column.run !== undefined && !text ? row.runs[column.run].status : "";
    const lost = status === "completed" ? "no score" : status;
    const classes = [column.type, column.signed && "signed", lost && (lost === "diverged" ? "lost" : "pending"), column.run !== undefined && `run ${RUN_CLASSES[column.run]}`];
    return el("td", { class: classes.filter(Boolean).join(" "), "data-label": column.short || column.label }, lost || text);
  });
  const node = el("tr", { id: `row-${row.id}`, class: row.counts ? "row" : "row reference" }, el("th", { scope: "row" }, row.button), thumbs, cells);
  node.addEventListener("click", (event) => {
    if (!String(getSelection())) toggle(row);
  });
  row.text = [row.name, ...columns.map((column) => shownValue(row, column)), ...row.runs.flatMap((run) => run.facts.map((fact) => fact[1]))].join(" ").toLowerCase();
  return node;
}

function filterForm(data, { filters, refresh, sortBy, search }) {
  const form = byId("filters");
  const find = el("input", { type: "search", placeholder: data.study ? "relu 64 diverged \u2026" : "wgan diverged \u2026", oninput: () => { search(find.value); refresh(); } });
  const set = (column, value) => { value === "any" ? filters.delete(column) : filters.set(column, value); refresh(); };
  const groups = new Map();
  for (const column of data.columns.filter((column) => column.filter)) {
    const choice = el("select", { "data-key": column.key, onchange: () => set(column, choice.value) }, options(data, column));
    const group = column.group || "";
    groups.set(group, [...(groups.get(group) || []), el("label", {}, column.label, choice)]);
  }
  const sorts = data.columns.flatMap((column, i) => [["", "\u2191"], ["-", "\u2193"]].map(([sign, arrow]) =>
    el("option", { value: `${sign}${i}` }, `${column.group ? `${column.group} ` : ""}${column.label} ${arrow}`)));
  const order = el("select", { onchange: () => sortBy(data.columns[Math.abs(Number(order.value))], order.value.startsWith("-")) }, sorts);
  const reset = el("button", { type: "reset", class: "quiet" }, "Reset");
  form.addEventListener("reset", () => { filters.clear(); search(""); refresh(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  const fields = [...groups].map(([name, labels]) => el("fieldset", {}, name ? el("legend", {}, name) : null, el("div", { class: "choices" }, labels)));
  const inner = el("details", { open: innerWidth > 720 }, el("summary", {}, "Filters"), el("div", { class: "fields" }, fields));
  form.append(el("div", { class: "tools" }, el("label", { class: "find" }, "Search", find), el("label", { class: "order" }, "Sort by", order), reset), fields.length ? inner : "");
  form.hidden = false;
}

function options(data, column) {
  const any = el("option", { value: "any" }, "any");
  if (column.type === "outcome") {
    return [any, ...Object.keys(OUTCOMES).map((kind) => el("option", { value: kind }, outcomeName(kind, data.study)))];
  }
  const values = [...new Set(data.rows.map((row) => row.cells[column.key]).filter(known))];
  values.sort((a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b))));
  return [any, ...values.map((value) => el("option", { value: String(value) }, written(value, column)))];
}

// What opening a row shows: its samples side by side, what it is, how it learned.
function details(row, data) {
  const pictures = row.runs.map((run, i) => el("figure", { class: `samples ${RUN_CLASSES[i]}` },
    el("figcaption", {}, el("b", {}, run.label), run.step === null ? "" : `${run.label ? " samples" : "Samples"} at step ${short(run.step)}`),
    run.picture ? el("img", { src: run.picture, alt: `Samples of ${row.name}, ${run.label}` }) : el("p", { class: "no-picture" }, `No samples: ${run.status}.`)));
  const drawn = data.columns.slice(1).filter((column) => column.type !== "outcome" && column.run === undefined && known(row.cells[column.key]));
  const facts = (title, pairs, name = "") => el("div", { class: "fact-list" }, el("h4", { class: name }, title),
    el("dl", {}, pairs.map(([key, value]) => el("div", { class: value.length > 20 ? "long" : null }, el("dt", {}, breakable(key)), el("dd", {}, value)))));
  const groups = new Map();
  for (const column of drawn) {
    const group = column.group || "";
    groups.set(group, [...(groups.get(group) || []), [column.label, written(row.cells[column.key], column)]]);
  }
  groups.delete("Score");
  const values = (row.lists || []).map(([title, pairs]) => [title, pairs.map(([tag, value]) => [tag, short(value)])]);
  if (row.lists) ["Final", "Run"].forEach((group) => groups.delete(group));
  const lists = [...groups, ...values].filter((list) => list[1].length).map(([title, pairs]) => facts(title, pairs));
  const of = row.runs.map((run, i) => facts(run.label || "Run", run.facts, run.label ? RUN_CLASSES[i] : ""));
  return el("div", { class: row.runs.length > 1 ? "details pair" : "details single" }, el("div", { class: "pictures" }, pictures), el("div", { class: "lists" }, lists, of), curves(row));
}

function curves(row) {
  const tags = [...new Set(row.runs.flatMap((run) => Object.keys(run.curves)))];
  if (!tags.length) return el("p", { class: "note all-curves" }, "No learning curves: metrics.jsonl is missing or empty.");
  const grid = el("div", { class: "curves" });
  const add = (some) => requestAnimationFrame(() => some.forEach((tag) => grid.append(curveChart(el("div", { class: "chart" }), tag, row.runs))));
  add(tags.slice(0, 4));
  const rest = tags.slice(4);
  const more = el("button", { type: "button", class: "quiet", onclick: () => { add(rest); more.remove(); } }, `${rest.length} more curves`);
  return el("div", { class: "all-curves" }, el("h4", {}, "Learning curves"), grid, rest.length ? more : null);
}
