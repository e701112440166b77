// Scatter of the points shown: axes and colour of choice, the front, knees, baselines.

const CATEGORY_SYMBOLS = ["circle", "square", "triangle-up", "pentagon", "triangle-down", "hexagon2", "triangle-left", "octagon"];
const BASELINE_SYMBOLS = ["star", "cross", "x", "star-triangle-up", "hourglass", "bowtie", "star-square", "hexagram"];
const frontIndices = Array.from({ length: study.front }, (_, index) => index);
const otherIndices = study.numbers.map((_, index) => index).slice(study.front);

// Viridis (van der Walt and Smith, 2015) in steps of a tenth.
const VIRIDIS = ["#440154", "#482475", "#414487", "#355f8d", "#2a788e", "#21918c", "#22a884", "#44bf70", "#7ad151", "#bddf26", "#fde725"];
const VIRIDIS_RGB = VIRIDIS.map((hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)));

// Its ends are left out that are hard to tell from the page.
function viridis(part, isDark) {
  const share = isDark ? 0.22 + 0.78 * part : 0.95 * part;
  const place = Math.min(9, Math.floor(share * 10));
  const mixed = VIRIDIS_RGB[place].map((c, i) => Math.round(c + (share * 10 - place) * (VIRIDIS_RGB[place + 1][i] - c)));
  return `rgb(${mixed.join(",")})`;
}

// Colour of every point: by number, by category, or one for all.
function colouring(name, colors) {
  if (!name) return { of: () => colors.c0 };
  if (isNumeric(name)) {
    const [low, high] = rangeOf(name, study.numbers.keys());
    const log = low > 0 && high / low > 20;
    const scale = (value) => (log ? Math.log10(value) : value);
    const span = scale(high) - scale(low) || 1;
    const of = (index) => {
      const value = valueOf(name, index);
      return value === null ? colors.faint : viridis((scale(value) - scale(low)) / span, colors.isDark);
    };
    return { of, bar: { name, low: scale(low), high: scale(high), log } };
  }
  const palette = [colors.c0, colors.c1, colors.c2, colors.c5, colors.c4, colors.c3, colors.c6, colors.c7];
  const place = (index) => axisOf[name].column[index];
  return {
    of: (index) => palette[place(index) % palette.length],
    symbol: (index) => CATEGORY_SYMBOLS[place(index) % CATEGORY_SYMBOLS.length],
    categories: axisOf[name].values.map((text, index) => [text, palette[index % palette.length], CATEGORY_SYMBOLS[index % CATEGORY_SYMBOLS.length]]),
  };
}

function rangeOf(name, indices) {
  let [low, high] = [Infinity, -Infinity];
  for (const index of indices) {
    const value = valueOf(name, index);
    if (value !== null && value < low) low = value;
    if (value !== null && value > high) high = value;
  }
  return [low, high];
}

// The scale of the colours, and what symbols mean: marks that lie nowhere.
function keys(colour, colors) {
  const nowhere = { type: "scatter", mode: "markers", x: [null], y: [null], hoverinfo: "skip" };
  if (colour.bar) {
    const { name, low, high, log } = colour.bar;
    const places = log ? [0, 0.25, 0.5, 0.75, 1].map((t) => low + t * (high - low)) : [];
    const ticks = log ? { tickvals: places, ticktext: places.map((p) => quantity(metricOf[name], 10 ** p, 3)) } : axisFormat(name);
    const colorbar = { title: { text: plain(labelOf(name)), side: "right", font: { size: 12 } }, thickness: 12, outlinewidth: 0, len: 0.9, ...ticks };
    const colorscale = VIRIDIS.map((_, place) => [place / 10, viridis(place / 10, colors.isDark)]);
    return [{ ...nowhere, showlegend: false, marker: { color: [low], cmin: low, cmax: high, colorscale, showscale: true, colorbar } }];
  }
  return (colour.categories || []).map(([text, color, symbol]) => ({
    ...nowhere, name: plain(text), marker: { size: 10, color, symbol, line: { width: 1, color: colors.fg } },
  }));
}

function marks(indices, state, colour, style) {
  const marker = { ...style.marker, color: indices.map(colour.of) };
  return {
    type: style.type || "scatter",
    mode: "markers",
    x: indices.map((index) => valueOf(state.x, index)),
    y: indices.map((index) => valueOf(state.y, index)),
    customdata: indices,
    hoverinfo: "none",
    ...style,
    marker,
  };
}

function intervalsOf(name, indices) {
  const metric = metricOf[name];
  if (!metric || !metric.low || !metric.high) return undefined;
  const away = (ends, sign) => indices.map((index) => Math.max(0, sign * (ends[index] - metric.column[index])));
  return { array: away(metric.high, 1), arrayminus: away(metric.low, -1) };
}

// The best in this view: corners where neither axis can improve without the other getting worse.
function staircase(state) {
  const [bx, by] = [betterOf(state.x), betterOf(state.y)];
  if (!bx || !by || state.x === state.y) return null;
  const [sx, sy] = [bx === "less" ? 1 : -1, by === "less" ? 1 : -1];
  const points = frontIndices.map((index) => [valueOf(state.x, index), valueOf(state.y, index)])
    .filter(([x, y]) => x !== null && y !== null)
    .sort((a, b) => sx * (a[0] - b[0]) || sy * (a[1] - b[1]));
  const best = [];
  for (const point of points) {
    if (!best.length || sy * (point[1] - best[best.length - 1][1]) < 0) best.push(point);
  }
  return best;
}

// The points behind the front are a picture; these invisible marks make the axes reach them.
function extent(state, colors) {
  const reach = (name) => (isNumeric(name) ? rangeOf(name, otherIndices) : axisOf[name].values);
  const [x, y] = [reach(state.x), reach(state.y)];
  const marker = { size: 5, color: colors.c7, opacity: 0 };
  const nowhere = { type: "scatter", mode: "markers", hoverinfo: "skip" };
  return [
    { ...nowhere, name: "other feasible points", x: [null], y: [null], marker: { ...marker, opacity: 0.7 } },
    { ...nowhere, showlegend: false, x, y: x.map((_, place) => y[place % y.length]), marker },
    { ...nowhere, showlegend: false, x: y.map((_, place) => x[place % x.length]), y, marker },
  ];
}

function frontTraces(state, colors) {
  const colour = colouring(state.color, colors);
  const traces = [];
  if (state.others && otherIndices.length) traces.push(...extent(state, colors));
  const best = staircase(state);
  if (best && best.length > 1) {
    traces.push({
      type: "scatter", mode: "lines", x: best.map((p) => p[0]), y: best.map((p) => p[1]),
      line: { shape: "hv", color: colors.dim, width: 1.5, dash: "dot" }, hoverinfo: "skip", name: "best in this view",
    });
  }
  const symbol = (index) => (colour.symbol ? colour.symbol(index) : "circle") + (quoted.has(index) ? "-open" : "");
  const front = marks(frontIndices, state, colour, {
    name: "front",
    marker: { size: 10, symbol: frontIndices.map(symbol), line: { width: frontIndices.map((i) => (quoted.has(i) ? 2 : 1)), color: colors.fg } },
  });
  if (state.intervals) {
    const bars = { type: "data", symmetric: false, thickness: 1, width: 3, color: colors.dim };
    for (const way of ["x", "y"]) {
      const found = intervalsOf(state[way], frontIndices);
      if (found) front[`error_${way}`] = { ...bars, ...found };
    }
  }
  traces.push(front, ...keys(colour, colors), ...knees(state, colors), ...baselines(state, colors), chosen(state, colors));
  return traces;
}

function knees(state, colors) {
  const indices = Object.keys(study.names).map(Number);
  if (!indices.length) return [];
  return [{
    type: "scatter", mode: "markers", name: "knees",
    x: indices.map((index) => valueOf(state.x, index)), y: indices.map((index) => valueOf(state.y, index)),
    marker: { size: 17, symbol: "diamond-open", color: colors.c5, line: { width: 2, color: colors.c5 } },
    customdata: indices, hoverinfo: "none",
  }];
}

function baselines(state, colors) {
  return study.baselines.map((baseline, place) => ({ baseline, place }))
    .filter(({ baseline }) => state.x in baseline.metrics && state.y in baseline.metrics)
    .map(({ baseline, place }, entry) => ({
      type: "scatter", mode: "markers", name: "accelerators of the literature", legendgroup: "literature",
      showlegend: entry === 0, x: [baseline.metrics[state.x]], y: [baseline.metrics[state.y]],
      marker: {
        size: 14, symbol: BASELINE_SYMBOLS[place % BASELINE_SYMBOLS.length] + (baseline.quoted ? "-open" : ""),
        color: baseline.quoted ? colors.fg : colors.c1, line: { width: 1.5, color: colors.fg },
      },
      customdata: [-1 - place], hoverinfo: "none",
    }));
}

// A ring around the chosen point; always the last trace, so that choosing another changes only it.
function chosen(state, colors) {
  return {
    type: "scatter", mode: "markers", name: "chosen point", hoverinfo: "skip",
    x: [valueOf(state.x, state.selected)], y: [valueOf(state.y, state.selected)],
    marker: { size: 24, symbol: "circle-open", color: colors.fg, line: { width: 2.5, color: colors.fg } },
  };
}

function moveRing(state) {
  const { x, y } = chosen(state, palette());
  return Plotly.restyle("front-plot", { x: [x], y: [y] }, [$("front-plot").data.length - 1]);
}

// Names beside marks: knees and baselines, on alternating sides so that neighbours stay legible.
function labels(state, colors) {
  const named = Object.keys(study.names).map(Number)
    .map((index) => ({ x: valueOf(state.x, index), y: valueOf(state.y, index), text: nameOf(index), color: colors.c5 }));
  const literature = study.baselines.filter((b) => state.x in b.metrics && state.y in b.metrics)
    .map((b) => ({ x: b.metrics[state.x], y: b.metrics[state.y], text: b.name, color: colors.fg }));
  return [...named, ...literature].filter((label) => label.x !== null && label.y !== null);
}

const onLog = (value, log) => (log ? Math.log10(value) : value);

// Where a label goes: the first of some places that hits no other label and few marks.
function annotations(state, colors) {
  const plot = $("front-plot");
  const full = plot._fullLayout;
  if (!full || !full.xaxis || !full.xaxis.d2p) return [];
  const pixel = (label) => [full.xaxis.d2p(label.x), full.yaxis.d2p(label.y)];
  const [width, height] = [full.xaxis._length, full.yaxis._length];
  const points = frontIndices.slice(0, 1500).map((index) => pixel({ x: valueOf(state.x, index), y: valueOf(state.y, index) }));
  const anchors = labels(state, colors).map(pixel);
  const within = (box, margin) => ([x, y]) => x > box[0] - margin && x < box[2] + margin && y > box[1] - margin && y < box[3] + margin;
  const taken = [];
  return labels(state, colors).map((label) => {
    const [px, py] = pixel(label);
    const w = 7 * label.text.length + 8;
    let best = null;
    for (const radius of [24, 44, 70, 100]) {
      for (const [dx, dy] of [[1, -1], [-1, -1], [1, 1], [-1, 1], [0, -1], [0, 1]]) {
        const [cx, cy] = [px + dx * (radius * 0.7 + w / 2), py + dy * radius];
        const box = [cx - w / 2, cy - 10, cx + w / 2, cy + 10];
        const outside = box[0] < 0 || box[1] < 0 || box[2] > width || box[3] > height;
        const clash = taken.filter((o) => box[0] < o[2] && o[0] < box[2] && box[1] < o[3] && o[1] < box[3]).length;
        const covered = points.filter(within(box, 6)).length;
        const hidden = anchors.filter(within(box, 9)).length;
        const cost = 1000 * outside + 300 * clash + 150 * hidden + 12 * covered + radius / 8;
        if (!best || cost < best.cost) best = { cost, box, ax: cx - px, ay: cy - py };
      }
    }
    taken.push(best.box);
    return {
      x: onLog(label.x, state.logX), y: onLog(label.y, state.logY), text: plain(label.text),
      ax: best.ax, ay: best.ay, showarrow: true, arrowhead: 0, arrowwidth: 1, arrowcolor: colors.dim, standoff: 7,
      font: { color: label.color, size: 12.5 }, bgcolor: colors.bg, opacity: 0.95, borderpad: 1,
    };
  });
}

// Numbers along a linear axis, with prefix and unit.
function axisFormat(name) {
  const unit = metricOf[name] && metricOf[name].unit !== "1" ? metricOf[name].unit : "";
  const prefixed = PREFIXED.has(unit);
  return {
    exponentformat: prefixed ? "SI" : "power",
    minexponent: prefixed ? 0 : 5,
    ticksuffix: prefixed ? (unit === "bytes" ? "B" : unit) : "",
  };
}

function scaleOf(name, log, colors) {
  const metric = metricOf[name];
  const better = betterOf(name);
  const side = better ? `; ${better} is better` : "";
  const unit = metric && metric.unit !== "1" && !PREFIXED.has(metric.unit) ? ` in ${metric.unit}` : "";
  // what is longer does not fit beside the plot; the selector above it has the whole text
  const text = metric && metric.text.length <= 36 ? `  ${plain(metric.text)}` : "";
  const title = metric ? `<b>${plain(name)}</b>${text}${unit}${side}` : `<b>${plain(labelOf(name))}</b>`;
  return {
    title: { text: title, font: { size: 12.5 }, standoff: 12 },
    ...(isNumeric(name) ? { type: log ? "log" : "linear" } : { type: "category", categoryorder: "array", categoryarray: axisOf[name].values }),
    ...axisFormat(name),
    gridcolor: colors.faint, zeroline: false, linecolor: colors.dim, showline: true, ticks: "outside", tickcolor: colors.dim,
    automargin: true,
    ...(log ? logTicks(name) : {}),
  };
}

// 1, 2, 5 of every decade with their units; more of them where there are few decades.
function logTicks(name) {
  const beside = study.baselines.map((b) => b.metrics[name]).filter((value) => value > 0);
  const ends = rangeOf(name, study.numbers.keys());
  const [low, high] = [Math.min(ends[0], ...beside), Math.max(ends[1], ...beside)].map(Math.log10);
  const steps = high - low > 5 ? [1] : high - low > 1.2 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 8];
  const ticks = [];
  for (let decade = Math.floor(low) - 1; decade <= high + 1; decade += 1) ticks.push(...steps.map((step) => step * 10 ** decade));
  return { tickvals: ticks, ticktext: ticks.map((value) => logTick(name, value)) };
}

function logTick(name, value) {
  const metric = metricOf[name];
  return metric && PREFIXED.has(metric.unit) ? quantity(metric, value, 3).replace(" ", "") : digits(value, 3);
}

function drawFront(state) {
  const colors = palette();
  const layout = {
    ...baseLayout(colors),
    modebar: { orientation: "v", bgcolor: "rgba(0,0,0,0)", color: colors.dim, activecolor: colors.fg },
    height: 560,
    margin: { l: 70, r: 16, t: 34, b: 60 },
    xaxis: scaleOf(state.x, state.logX, colors),
    yaxis: scaleOf(state.y, state.logY, colors),
    legend: { orientation: "h", x: 0, y: 1.01, yanchor: "bottom", font: { size: 12 } },
    uirevision: [state.x, state.y, state.logX, state.logY].join(" "),
    dragmode: "zoom",
  };
  return Plotly.react("front-plot", frontTraces(state, colors), layout, PLOT_OPTIONS).then(() => dressFront(state));
}

// What depends on the pixels of the axes: the picture of the cloud and the places of names.
function dressFront(state) {
  const colors = palette();
  const image = cloudImage($("front-plot"), state, colouring(state.color, colors), colors);
  return Plotly.relayout("front-plot", { images: [image], annotations: annotations(state, colors) });
}
