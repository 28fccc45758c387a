// What starts the page: the data, the theme, the threshold that everything follows.

function themes() {
  const button = byId("theme");
  const all = ["auto", "light", "dark"];
  const keep = (name) => { try { localStorage.setItem("gan-report-theme", name); } catch { /* a file may have no storage */ } };
  const kept = () => { try { return localStorage.getItem("gan-report-theme"); } catch { return null; } };
  const use = (name) => {
    document.documentElement.dataset.theme = name;
    button.textContent = `Theme: ${name}`;
  };
  use(all.includes(kept()) ? kept() : "auto");
  button.addEventListener("click", () => {
    const next = all[(all.indexOf(document.documentElement.dataset.theme) + 1) % all.length];
    use(next);
    keep(next);
  });
  button.hidden = false;
}

// The threshold: chosen by the slider, the chart or a row of the table, followed by all of them.
function dial(study, state, followers) {
  const slider = byId("threshold");
  const follow = () => {
    const now = study.thresholds[state.place];
    slider.value = state.place;
    byId("threshold-value").textContent = `> ${now.threshold.toFixed(1)}`;
    byId("verdict").replaceChildren(...verdict(study, now));
    byId("tiles").replaceChildren(...tiles(study, now));
    for (const body of document.querySelectorAll("[data-section=absolute] tbody")) {
      body.classList.toggle("chosen", Number(body.dataset.threshold) === now.threshold);
    }
    followers.forEach((refresh) => refresh());
  };
  state.choose = (place) => {
    if (place === state.place) return;
    state.place = place;
    follow();
  };
  slider.max = study.thresholds.length - 1;
  slider.addEventListener("input", () => state.choose(Number(slider.value)));
  for (const body of document.querySelectorAll("[data-section=absolute] tbody")) {
    body.addEventListener("click", () => state.choose(nearest(study.thresholds, Number(body.dataset.threshold))));
  }
  byId("dial").hidden = false;
  follow();
}

function verdict(study, now) {
  const [first, second, both, neither] = now.counts;
  const all = first + second + both + neither;
  const share = (count) => `${Math.round((100 * count) / all)}%`;
  return [
    el("b", { class: "first" }, study.labels[0]), ` succeeds on ${first + both} of ${all} (${share(first + both)}), `,
    el("b", { class: "second" }, study.labels[1]), ` on ${second + both} (${share(second + both)}). `,
    `Difference ${now.difference} points, p = ${now.p}.`,
  ];
}

function tiles(study, now) {
  const all = now.counts.reduce((sum, count) => sum + count, 0);
  const kinds = ["first", "second", "both", "neither"];
  return kinds.map((kind, i) => el("div", { class: `tile ${kind}` },
    el("b", {}, String(now.counts[i])), el("span", {}, outcomeName(kind, study)), el("small", {}, `${Math.round((100 * now.counts[i]) / all)}%`)));
}

function start() {
  const data = JSON.parse(byId("data").textContent);
  const { study, rows } = data;
  const state = { place: 0, threshold: () => (study && study.thresholds.length ? study.thresholds[state.place].threshold : 0), choose: () => {} };
  rows.forEach((row, i) => Object.assign(row, { id: i, detail: null, scores: row.runs.map((_, k) => row.cells[`score_${k}`]) }));
  themes();
  showTogether(data);
  if (study && study.thresholds.length) state.place = nearest(study.thresholds, 5);
  const table = rowTable(data, state);
  state.open = table.open;
  if (!study || !study.thresholds.length) return;
  const ended = rows.filter((row) => row.counts && row.ended.every(Boolean));
  const pairs = ended.map((row) => row.scores.map((score) => (known(score) ? score : null)));
  const painters = [successChart(byId("success-chart"), study, pairs, state), scatterChart(byId("scatter-chart"), study, ended, state)];
  dial(study, state, [...painters, table.refresh]);
}

start();
