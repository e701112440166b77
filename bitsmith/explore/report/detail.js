// One point: settings, metrics with intervals, layers, fidelity, and its files.

function drawCard(state) {
  const index = state.selected;
  const known = metrics.filter((metric) => Number.isFinite(metric.column[index]));
  const rows = known.map((metric) => {
    const wanted = study.objectives.includes(metric.name);
    const name = element("span", { title: metric.text }, wanted ? element("b", {}, metric.name) : metric.name);
    const ends = metric.low && metric.high && Number.isFinite(metric.low[index])
      ? element("small", { class: "dim" }, `${quantity(metric, metric.low[index], 3)} to ${quantity(metric, metric.high[index], 3)}`)
      : null;
    return [name, element("span", {}, metricText(metric, index), ends ? element("br") : null, ends)];
  });
  const badge = element("p", { class: "dim" }, [nameOf(index), isFront(index) ? "on the front" : "behind the front"].filter(Boolean).join(" \u00b7 "));
  $("card").replaceChildren(
    element("h3", {}, `Point ${study.numbers[index]}`),
    badge,
    tableOf([], settingsOf(index).map(([axis, text]) => [element("span", { title: axis.path }, axis.label), element("code", {}, text)])),
    tableOf([], rows),
  );
}

function climbed(number) {
  const found = study.promotions.filter((promotion) => promotion.number === number);
  if (!found.length) {
    return [element("h3", {}, "Fidelity"), element("p", { class: "dim" }, "All figures are the model's; this point climbed no higher.")];
  }
  const rows = found.flatMap(({ rung, rows: figures, note }) => (figures.length ? figures : [["-", null, null]])
    .map(([name, value, lower], place) => {
      const share = lower === null || !value ? NaN : 100 * (lower - value) / Math.abs(value);
      const close = Math.abs(share) < 0.005 ? "below 0.01 %" : `${share > 0 ? "+" : ""}${share.toFixed(2)} %`;
      const off = Number.isNaN(share) ? "-" : share === 0 ? "0" : close;
      return [rung, name, place ? "" : note, quantity(metricOf[name], value), quantity(metricOf[name], lower), off];
    }));
  return [
    element("h3", {}, "Fidelity"),
    tableOf(["rung", "metric", "what was run", "figure", "rung below", "rung below off by"], rows, 3),
  ];
}

const LAYER_HEADS = ["layer", "n", "k", "time", "energy", "utilization"];
const SECONDS = { unit: "s" };
const JOULES = { unit: "J" };

function drawLayers(state) {
  const colors = palette();
  const rows = study.layers[study.numbers[state.selected]] || [];
  $("layer-plot").hidden = !rows.length;
  if (!rows.length) {
    const reason = isFront(state.selected) ? "The study kept no layers of this point." : "Layers are kept of the front's points only.";
    $("detail-rows").replaceChildren(element("p", { class: "skip" }, reason));
    return Promise.resolve();
  }
  const cells = rows.map(([name, n, k, seconds, energy, use]) => [
    name, String(n), String(k), quantity(SECONDS, seconds), quantity(JOULES, energy), use === null ? "-" : `${(100 * use).toFixed(1)} %`]);
  $("detail-rows").replaceChildren(element("details", {}, element("summary", {}, "The same as a table"), tableOf(LAYER_HEADS, cells)));
  const names = rows.map(([name]) => shortened(name, 34));
  const bars = (column, unit, color, axis) => {
    const values = rows.map((row) => row[column]);
    const total = values.reduce((sum, value) => sum + (value || 0), 0) || 1;
    return {
      type: "bar", orientation: "h", y: rows.map((_, place) => place), x: values, xaxis: axis, marker: { color },
      text: values.map((value) => `${quantity(unit, value, 3)}, ${(100 * (value || 0) / total).toFixed(1)} %`),
      textposition: "auto", constraintext: "none", cliponaxis: false, hoverinfo: "skip", textfont: { size: 11.5 },
    };
  };
  const xaxis = (title, unit, domain) => ({
    title: { text: title, font: { size: 12.5 }, standoff: 8 }, domain, gridcolor: colors.faint, zerolinecolor: colors.dim,
    exponentformat: "SI", minexponent: 0, ticksuffix: unit, nticks: 6, fixedrange: true, rangemode: "tozero",
  });
  const layout = {
    ...baseLayout(colors),
    height: 90 + 27 * rows.length,
    margin: { l: 20, r: 20, t: 6, b: 50 },
    showlegend: false,
    bargap: 0.3,
    xaxis: xaxis("time, whole workload", "s", [0, 0.47]),
    xaxis2: xaxis("energy, whole workload", "J", [0.53, 1]),
    yaxis: { tickvals: rows.map((_, place) => place), ticktext: names.map(plain), autorange: "reversed", automargin: true, fixedrange: true, tickfont: { size: 12 } },
  };
  return Plotly.react("layer-plot", [bars(3, SECONDS, colors.c0, "x"), bars(4, JOULES, colors.c2, "x2")], layout, { ...PLOT_OPTIONS, displayModeBar: false });
}

// Files: written by the study, packed because they are much alike.
const filesOfPoints = (async () => {
  const bytes = decoded(study.files, Uint8Array);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
})();

const fileName = (state) => `${state.file}_${study.numbers[state.selected]}.yaml`;
const fileText = async (state) => (await filesOfPoints)[state.file][state.selected];

async function drawFile(state) {
  $("show-run").setAttribute("aria-pressed", state.file === "run");
  $("show-accelerator").setAttribute("aria-pressed", state.file === "accelerator");
  $("file-name").textContent = state.file === "run" ? `bitsmith run ${fileName(state)}` : fileName(state);
  $("yaml").textContent = await fileText(state);
}

async function download(state) {
  const url = URL.createObjectURL(new Blob([await fileText(state)], { type: "application/yaml" }));
  element("a", { href: url, download: fileName(state) }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

function drawDetail(state) {
  drawCard(state);
  $("detail-body").replaceChildren(...climbed(study.numbers[state.selected]));
  return Promise.all([drawFile(state), drawLayers(state)]);
}
