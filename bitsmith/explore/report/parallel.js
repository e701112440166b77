// Parallel coordinates: the settings that differ and the objectives, of the front and what is near.

const NONE = -0.09;
const lineIndices = [...frontIndices, ...study.near];

function settingColumn(axis) {
  const last = Math.max(1, axis.values.length - 1);
  const every = Math.ceil(axis.values.length / 9);
  const ticks = axis.values.map((text, place) => [place / last, text])
    .filter((_, place) => place % every === 0 || place === axis.values.length - 1);
  const absent = lineIndices.some((index) => axis.column[index] === ABSENT);
  return {
    name: axis.path,
    title: axis.label,
    note: "",
    ticks: absent ? [[NONE, "none"], ...ticks] : ticks,
    at: (index) => (axis.column[index] === ABSENT ? NONE : axis.column[index] / last),
  };
}

function metricColumn(metric) {
  const known = lineIndices.map((index) => metric.column[index]).filter(Number.isFinite);
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const log = low > 0 && high / low > 20;
  const scale = (value) => (log ? Math.log(value) : value);
  const back = (share) => {
    const value = scale(low) + share * (scale(high) - scale(low));
    return log ? Math.exp(value) : value;
  };
  const span = scale(high) - scale(low) || 1;
  const flipped = metric.better === "less";
  const share = (value) => (scale(value) - scale(low)) / span;
  return {
    name: metric.name,
    title: metric.name,
    note: metric.better ? `${metric.better} is better` : "",
    ticks: (high > low ? [0, 0.25, 0.5, 0.75, 1] : [0]).map((t) => [flipped ? 1 - t : t, quantity(metric, back(t), 3)]),
    at: (index) => {
      const value = metric.column[index];
      return Number.isFinite(value) ? (flipped ? 1 - share(value) : share(value)) : null;
    },
  };
}

const parallelColumns = [
  ...axes.filter((axis) => new Set(lineIndices.map((index) => axis.column[index])).size > 1).map(settingColumn),
  ...study.objectives.filter((name) => metricOf[name]).map((name) => metricColumn(metricOf[name])),
];

function passes(index, ranges) {
  return [...ranges].every(([column, [low, high]]) => {
    const place = parallelColumns[column].at(index);
    return place !== null && place >= low && place <= high;
  });
}

// Lines with gaps between points; places between the axes only serve the pointer.
function lineTrace(indices, style, marker) {
  const [x, y, customdata, size] = [[], [], [], []];
  for (const index of indices) {
    parallelColumns.forEach((column, place) => {
      const [here, next] = [column.at(index), parallelColumns[place + 1]?.at(index)];
      x.push(place);
      y.push(here);
      size.push(marker.size);
      customdata.push(index);
      for (const part of [0.25, 0.5, 0.75]) {
        if (here === null || next === null || next === undefined) continue;
        x.push(place + part);
        y.push(here + part * (next - here));
        size.push(0);
        customdata.push(index);
      }
    });
    x.push(null);
    y.push(null);
    size.push(0);
    customdata.push(null);
  }
  const mode = marker.size ? "lines+markers" : "lines";
  return { type: "scatter", mode, x, y, customdata, hoverinfo: "none", marker: { ...marker, size, opacity: 1 }, ...style };
}

function parallelTraces(state, colors) {
  const kept = lineIndices.filter((index) => passes(index, state.ranges));
  const left = lineIndices.filter((index) => !passes(index, state.ranges));
  const named = kept.filter((index) => nameOf(index) && isFront(index));
  const traces = [];
  const add = (indices, name, line, marker, more = {}) => {
    if (indices.length) traces.push(lineTrace(indices, { name, line, ...more }, marker));
  };
  add(left, "outside the chosen ranges", { color: colors.faint, width: 1 }, { size: 0 }, { hoverinfo: "skip" });
  add(kept.filter((index) => !isFront(index)), "near the front", { color: colors.c7, width: 1, dash: "dash" }, { size: 0 }, { opacity: 0.6 });
  add(kept.filter((index) => isFront(index) && !nameOf(index)), "front", { color: colors.c0, width: 1.6 }, { size: 5, color: colors.c0 }, { opacity: 0.75 });
  add(named, "knees", { color: colors.c5, width: 2.4 }, { size: 8, symbol: "diamond", color: colors.c5 });
  const nowhere = { type: "scatter", mode: "lines", x: [null], y: [null], hoverinfo: "skip" };
  return [...traces, { ...nowhere, name: "chosen point", line: { color: colors.fg, width: 3 } }];
}

// Axes, chosen ranges, and the line of the chosen point above the others.
function parallelShapes(state, colors) {
  const bars = parallelColumns.map((_, place) => ({
    type: "line", x0: place, x1: place, y0: NONE, y1: 1, line: { color: colors.dim, width: 1 },
  }));
  const ranges = [...state.ranges].map(([place, [y0, y1]]) => ({
    type: "rect", x0: place - 0.05, x1: place + 0.05, y0, y1, line: { color: colors.fg, width: 1.5 }, fillcolor: colors.c1, opacity: 0.5,
  }));
  const places = parallelColumns.map((column) => column.at(state.selected));
  const known = places.every((place) => place !== null && place >= NONE - 0.01 && place <= 1.01);
  const path = places.map((y, x) => `${x ? "L" : "M"}${x},${y}`).join("");
  const chosenLine = known && places.length > 1 ? [{ type: "path", path, line: { color: colors.fg, width: 3 } }] : [];
  return [...bars, ...ranges, ...chosenLine];
}

function shortened(text, length) {
  return text.length > length ? `${text.slice(0, length - 1)}\u2026` : text;
}

function columnTexts(colors, room) {
  return parallelColumns.flatMap((column, place) => column.ticks.map(([y, text]) => ({
    x: place, y, text: plain(shortened(text, room)), showarrow: false, xanchor: "left", xshift: 4,
    font: { size: 11, color: colors.fg }, bgcolor: colors.bg, opacity: 0.85, borderpad: 1,
  })));
}

// A title of several words takes several lines, broken at underscores and dots.
function columnTitle(column, room) {
  const lines = [""];
  for (const part of column.title.split(/(?<=[_.])/)) {
    if (lines[lines.length - 1] && (lines[lines.length - 1] + part).length > room) lines.push("");
    lines[lines.length - 1] += part;
  }
  return `<b>${lines.map(plain).join("<br>")}</b>${column.note ? `<br><span>${column.note}</span>` : ""}`;
}

function drawParallel(state) {
  const colors = palette();
  const width = $("parallel-plot").clientWidth || 1000;
  const room = Math.max(6, Math.floor((width - 80) / Math.max(1, parallelColumns.length) / 7.4));
  const layout = {
    ...baseLayout(colors),
    height: 460,
    margin: { l: 30, r: 60, t: 96, b: 14 },
    showlegend: true,
    legend: { orientation: "h", x: 0, y: 0, yanchor: "top", font: { size: 12 } },
    xaxis: {
      range: [-0.25, parallelColumns.length - 0.35], tickvals: parallelColumns.map((_, place) => place), side: "top",
      ticktext: parallelColumns.map((column) => columnTitle(column, room)), tickangle: 0, tickfont: { size: 11.5 },
      showgrid: false, zeroline: false, fixedrange: true,
    },
    yaxis: { range: [NONE - 0.05, 1.05], visible: false, fixedrange: true },
    shapes: parallelShapes(state, colors),
    annotations: columnTexts(colors, room),
    dragmode: "select",
    selections: [],
    newselection: { line: { color: colors.fg, width: 1, dash: "dot" } },
  };
  const kept = lineIndices.filter((index) => passes(index, state.ranges)).length;
  $("ranges").textContent = state.ranges.size ? `${kept} of ${lineIndices.length} lines in the chosen ranges` : "";
  $("clear-ranges").disabled = !state.ranges.size;
  return Plotly.react("parallel-plot", parallelTraces(state, colors), layout, { ...PLOT_OPTIONS, displayModeBar: false });
}
