// Charts as plain SVG, drawn at the size that they have, so that text stays readable on a phone.

const RUN_CLASSES = ["first", "second"];

// The frame of a chart: axes, grid and the two scales.
function frame(host, { x, y, height, xLabel, yLabel, percent, whole }) {
  const width = Math.max(220, host.clientWidth);
  const rows = ticks(y[0], y[1], Math.max(4, height / 50));
  const texts = rows.map((at) => (percent ? `${Math.round(100 * at)}%` : tickText(at, rows)));
  const left = Math.max(42, 14 + 7.5 * Math.max(...texts.map((text) => text.length)));
  const box = { left, right: 12, top: 14, bottom: xLabel ? 40 : 24 };
  const scale = (range, from, to) => (value) =>
    from + ((value - range[0]) / (range[1] - range[0] || 1)) * (to - from);
  const px = scale(x, box.left, width - box.right);
  const py = scale(y, height - box.bottom, box.top);
  const root = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img" });
  const grid = svg("g", { class: "grid" });
  rows.forEach((at, i) => {
    grid.append(
      svg("line", { x1: box.left, x2: width - box.right, y1: py(at), y2: py(at) }),
      svg("text", { x: box.left - 7, y: py(at) + 4, "text-anchor": "end" }, texts[i]),
    );
  });
  const columns = ticks(x[0], x[1], Math.max(3, width / 70));
  for (const at of columns.filter((value) => !whole || Number.isInteger(value))) {
    const anchor = px(at) > width - 30 ? "end" : "middle";  // the last one stays on the page
    const spot = anchor === "end" ? width - 1 : px(at);
    grid.append(svg("text", { x: spot, y: height - box.bottom + 17, "text-anchor": anchor }, short(at)));
  }
  const middle = (box.left + width - box.right) / 2;
  if (xLabel) grid.append(svg("text", { x: middle, y: height - 5, "text-anchor": "middle", class: "label" }, xLabel));
  if (yLabel) grid.append(svg("text", { x: box.left - 7, y: 9, "text-anchor": "start", class: "label" }, yLabel));
  root.append(grid);
  return { root, px, py, width, height, box };
}

// A path through points; `steps` holds a value until the next point, as a count does.
function path(points, { px, py }, steps = false) {
  let d = "";
  points.forEach(([x, y], i) => {
    if (i === 0) d = `M${px(x).toFixed(1)} ${py(y).toFixed(1)}`;
    else d += `${steps ? `H${px(x).toFixed(1)}V` : `L${px(x).toFixed(1)} `}${py(y).toFixed(1)}`;
  });
  return d;
}

function draw(host, build) {
  let last = 0;
  const paint = () => {
    if (!host.clientWidth) return;
    last = host.clientWidth;
    host.replaceChildren(build(host));
  };
  new ResizeObserver(() => host.clientWidth !== last && paint()).observe(host);
  paint();
  return paint;
}

// The share of scores above every threshold: a step down at each score.
function survival(scores, low, high) {
  const falling = scores.filter((score) => score !== null && score > low).sort((a, b) => a - b);
  const points = [[low, falling.length / scores.length]];
  falling.forEach((score, i) => points.push([score, (falling.length - i - 1) / scores.length]));
  points.push([high, points[points.length - 1][1]]);
  return points;
}

function successChart(host, study, pairs, state) {
  const tops = [9, ...pairs.flat().filter(known), ...study.marks.map((mark) => mark[1])];
  const x = [1, Math.ceil(Math.max(...tops) * 2) / 2];
  return draw(host, () => {
    const chart = frame(host, { x, y: [0, 1], height: 340, xLabel: "threshold", percent: true });
    const { root, px, py } = chart;
    root.setAttribute("aria-label", "Share of architectures above each threshold; the numbers are in the table below");
    const marks = study.marks.map(([label, at], i) => mark(chart, label, at, i));
    root.append(...marks.map((parts) => parts[0]));
    const now = study.thresholds[state.place].threshold;
    root.append(svg("line", { class: "now", x1: px(now), x2: px(now), y1: py(0), y2: py(1) }));
    RUN_CLASSES.forEach((name, i) => {
      const paper = study.paper.map((row) => [row[0], row[i + 1]]);
      root.append(svg("path", { class: `paper-line ${name}`, d: path(paper, chart) }));
      const own = survival(pairs.map((pair) => pair[i]), x[0], x[1]);
      root.append(svg("path", { class: `line ${name}`, d: path(own, chart, true) }));
    });
    root.append(...marks.map((parts) => parts[1]));
    root.addEventListener("click", (event) => {
      const box = root.getBoundingClientRect();
      const at = x[0] + ((event.clientX - box.left - px(x[0])) / (px(x[1]) - px(x[0]))) * (x[1] - x[0]);
      state.choose(nearest(study.thresholds, at));
    });
    return el("div", {}, root, legend(study));
  });
}

// A reference score: its line, which lies below the curves, and its name, which lies above them.
function mark({ px, py }, label, at, place) {
  const line = svg("line", { x1: px(at), x2: px(at), y1: py(0), y2: py(1) });
  const room = px(at) - px(1) > 130;  // to write before the line
  const spot = { x: px(at) + (room ? -5 : 5), "text-anchor": room ? "end" : "start" };
  const text = svg("text", { ...spot, y: py(1) + 14 + 15 * place });
  text.textContent = `${label} ${at.toFixed(2)}`;
  return [line, text].map((part) => svg("g", { class: "mark" }, part));
}

function legend(study) {
  const entry = (name, kind, text) =>
    el("span", {}, el("i", { class: `${kind} ${name}` }), text);
  return el("p", { class: "legend" }, RUN_CLASSES.flatMap((name, i) => [
    entry(name, "swatch", study.labels[i]),
    entry(name, "swatch dashed", `${study.labels[i]} in the paper`),
  ]));
}

const nearest = (thresholds, at) =>
  thresholds.reduce((best, row, i) =>
    Math.abs(row.threshold - at) < Math.abs(thresholds[best].threshold - at) ? i : best, 0);

function scatterChart(host, study, rows, state) {
  const top = Math.ceil(Math.max(9, ...rows.flatMap((row) => row.scores).filter(known)) * 2) / 2;
  const range = [0.4, top];
  return draw(host, () => {
    const [xLabel, yLabel] = study.labels.map((label) => `${label} score`);
    const chart = frame(host, { x: range, y: range, height: 340, xLabel, yLabel });
    const { root, px, py } = chart;
    const now = study.thresholds[state.place].threshold;
    root.setAttribute("aria-label", "Scores of each architecture under both objectives; the numbers are in the rows below");
    root.append(
      svg("line", { class: "diagonal", x1: px(1), y1: py(1), x2: px(top), y2: py(top) }),
      svg("line", { class: "now", x1: px(now), x2: px(now), y1: py(range[0]), y2: py(top) }),
      svg("line", { class: "now", x1: px(range[0]), x2: px(top), y1: py(now), y2: py(now) }),
    );
    if (rows.some((row) => !row.scores.every(known))) {
      root.append(
        svg("text", { x: px(LOST), y: py(range[0]) + 17, "text-anchor": "middle" }, "lost"),
        svg("text", { x: px(range[0]) - 7, y: py(LOST) + 4, "text-anchor": "end" }, "lost"),
      );
    }
    for (const row of rows) root.append(dot(row, chart, state));
    const kinds = Object.keys(OUTCOMES).filter((kind) => kind !== "missing");
    const keys = kinds.map((kind) => el("span", {}, el("i", { class: `dot ${kind}` }), outcomeName(kind, study)));
    return el("div", {}, root, el("p", { class: "legend" }, keys));
  });
}

// A run that was lost has no score: it lies on the edge, below 1, the least that there is.
const LOST = 0.6;

function dot(row, { px, py }, state) {
  const [x, y] = row.scores.map((score) => (known(score) ? score : LOST));
  const kind = outcomeAt(row, state.threshold());
  const said = row.scores.map((score, i) => `${row.runs[i].label} ${known(score) ? score.toFixed(2) : row.runs[i].status}`);
  const attributes = { class: `dot ${kind}`, cx: px(x), cy: py(y), r: 5, onclick: () => state.open(row) };
  return svg("circle", attributes, svg("title", {}, `${row.name}: ${said.join(", ")}`));
}

const STEPS = { xLabel: "generator updates", whole: true };

// The steps of all curves; a single step lies in the middle of the axis from 0.
function stepRange(steps) {
  const x = [Math.min(...steps), Math.max(...steps)];
  return x[0] === x[1] ? [0, 2 * x[1] || 1] : x;
}

// The values of curves with some room; equal values do not float on an axis below 0.
function valueRange(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  if (low === high && low >= 0) return [0, 2 * low || 1];
  const room = (high - low) * 0.05 || Math.abs(low) * 0.1;
  return [low - room, high + room];
}

// Rings of curves with few points, larger ones below; groups of one point each stand side by side.
const MARKED = 12;
const DODGE = 9;
function rings(points, { px, py }, { name, place = 0, of = 1 }) {
  if (points.length > MARKED) return [];
  const shift = points.length === 1 ? DODGE * (place - (of - 1) / 2) : 0;
  const r = 3.5 + 2 * Math.max(0, Math.min(of, 4) - 1 - place);
  return points.map(([step, value]) => svg("circle", { class: `ring ${name}`, cx: px(step) + shift, cy: py(value), r }));
}

// The curves of one tag, of each run that has it, with the values under the pointer.
function curveChart(host, tag, runs) {
  const found = runs.map((run) => run.curves[tag]);
  const all = found.filter(Boolean);
  const steps = all.flatMap((curve) => curve[0]);
  const values = all.flatMap((curve) => curve[1]);
  const x = stepRange(steps);
  const y = valueRange(values);
  const readout = el("output", {});
  const say = (step) => {
    const at = found.map((curve, i) => curve && `${runs[i].label} ${short(valueAt(curve, step))}`.trim());
    readout.textContent = `${short(step)}: ${at.filter(Boolean).join(", ")}`;
  };
  const figure = el("figure", { class: "curve" }, el("figcaption", {}, el("code", {}, tag), readout), host);
  draw(host, () => {
    const chart = frame(host, { x, y, height: 165, ...STEPS });
    chart.root.setAttribute("aria-label", `Learning curve of ${tag}`);
    found.forEach((curve, i) => {
      if (!curve) return;
      const points = curve[0].map((step, k) => [step, curve[1][k]]);
      chart.root.append(
        svg("path", { class: `line thin ${RUN_CLASSES[i]}`, d: path(points, chart) }),
        ...rings(points, chart, { name: RUN_CLASSES[i], place: i, of: found.length }),
      );
    });
    chart.root.addEventListener("pointermove", (event) => {
      const left = chart.root.getBoundingClientRect().left;
      const share = (event.clientX - left - chart.px(x[0])) / (chart.px(x[1]) - chart.px(x[0]));
      say(x[0] + Math.min(1, Math.max(0, share)) * (x[1] - x[0]));
    });
    return chart.root;
  });
  say(x[1]);
  return figure;
}

function valueAt([steps, values], step) {
  let place = 0;
  for (let i = 0; i < steps.length; i++) if (steps[i] <= step) place = i;
  return values[place];
}
