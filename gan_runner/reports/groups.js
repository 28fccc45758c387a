// The runs of a sweep together: mean curves with bands, and values against parameters.

const groupClass = (place) => `group-${place % 8}`;

function groupLegend(host, groups, hasFloor) {
  const entry = (name, i) => el("span", {}, el("i", { class: `swatch ${groupClass(i)}` }), name);
  host.append(...groups.map(entry));
  if (hasFloor) host.append(el("span", {}, el("i", { class: "swatch dashed neither" }), "real data"));
}

// The mean curves of one tag and its floor over the steps `x`, with the values under the pointer.
function groupChart(host, chart, groups, x) {
  const { tag, meaning, curves, floor } = chart;
  const values = curves.flatMap((curve) => [...curve.low, ...curve.high]);
  const y = valueRange(known(floor) ? [...values, floor] : values);
  const readout = el("output", {});
  const say = (step) => {
    const at = curves.map((curve) => `${groups[curve.group]} ${short(valueAt([curve.steps, curve.mean], step))}`);
    readout.textContent = `${short(step)}: ${at.join(", ")}`;
  };
  const figure = el("figure", { class: "curve" }, el("figcaption", { title: meaning }, el("code", {}, tag), readout), host);
  draw(host, () => {
    const axes = frame(host, { x, y, height: 235, ...STEPS });
    axes.root.setAttribute("aria-label", `Mean curves of ${tag}`);
    if (known(floor)) {
      const line = { x1: axes.px(x[0]), x2: axes.px(x[1]), y1: axes.py(floor), y2: axes.py(floor) };
      axes.root.append(svg("line", { class: "floor", ...line }, svg("title", {}, `real data ${short(floor)}`)));
    }
    for (const curve of curves) {
      const edge = (heights) => curve.steps.map((step, k) => [step, heights[k]]);
      const back = edge(curve.low).reverse();
      const band = `${path([...edge(curve.high), ...back], axes)}Z`;
      axes.root.append(
        svg("path", { class: `band ${groupClass(curve.group)}`, d: band }),
        svg("path", { class: `line thin ${groupClass(curve.group)}`, d: path(edge(curve.mean), axes) }),
      );
      const name = groupClass(curve.group);
      axes.root.append(...rings(edge(curve.mean), axes, { name, place: curve.group, of: groups.length }));
    }
    axes.root.addEventListener("pointermove", (event) => {
      const left = axes.root.getBoundingClientRect().left;
      const share = (event.clientX - left - axes.px(x[0])) / (axes.px(x[1]) - axes.px(x[0]) || 1);
      say(x[0] + Math.min(1, Math.max(0, share)) * (x[1] - x[0]));
    });
    return axes.root;
  });
  say(x[1]);
  return figure;
}

// One dot per run; a parameter over decades has a logarithmic axis, labelled by powers of ten.
function parameterChart(host, { key, tag, log, points }) {
  const place = (value) => (log ? Math.log10(value) : value);
  const xs = points.map((point) => place(point[0]));
  const ys = points.map((point) => point[1]);
  const pad = (all) => (Math.max(...all) - Math.min(...all)) * 0.06 || Math.abs(all[0]) * 0.1 || 1;
  const x = [Math.min(...xs) - pad(xs), Math.max(...xs) + pad(xs)];
  const y = [Math.min(...ys) - pad(ys), Math.max(...ys) + pad(ys)];
  draw(host, () => {
    const axes = frame(host, { x, y, height: 240, xLabel: log ? `log10 of ${key}` : key, yLabel: tag });
    axes.root.setAttribute("aria-label", `${tag} against ${key}`);
    points.forEach((point, i) => {
      const title = svg("title", {}, `${point[2]}: ${key} ${short(point[0])}, ${tag} ${short(point[1])}`);
      axes.root.append(svg("circle", { class: "dot second", cx: axes.px(xs[i]), cy: axes.py(ys[i]), r: 5 }, title));
    });
    return axes.root;
  });
  return el("figure", { class: "curve" }, host);
}

function showTogether(data) {
  const chart = () => el("div", { class: "chart" });
  if (byId("group-charts")) {
    groupLegend(byId("groups-legend"), data.groups, data.charts.some((each) => known(each.floor)));
    const x = stepRange(data.charts.flatMap((each) => each.curves.flatMap((curve) => curve.steps)));
    for (const each of data.charts) byId("group-charts").append(groupChart(chart(), each, data.groups, x));
  }
  if (byId("parameter-charts")) {
    for (const each of data.scatters) byId("parameter-charts").append(parameterChart(chart(), each));
  }
}
