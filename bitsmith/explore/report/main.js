// State of the page, and what changes it.

const firstNamed = Number(Object.keys(study.names).find((index) => study.names[index].split(", ").includes("knee"))
  ?? Object.keys(study.names)[0] ?? 0);
const state = {
  x: $("choice-x").value, y: $("choice-y").value, color: $("choice-color").value,
  logX: false, logY: false, others: true, intervals: $("show-intervals").checked,
  selected: firstNamed, ranges: new Map(), file: "run",
};

// Whether a log axis is possible, and wanted before anybody chooses.
function canBeLog(name) {
  return isNumeric(name) && rangeOf(name, study.numbers.keys())[0] > 0;
}

function spread(name) {
  const [low, high] = rangeOf(name, study.numbers.keys());
  return high / low;
}

function setAxis(way, name) {
  const [choice, box] = way === "x" ? [$("choice-x"), $("log-x")] : [$("choice-y"), $("log-y")];
  choice.value = name;
  box.disabled = !canBeLog(name);
  box.checked = !box.disabled && spread(name) > 8;
  state[way] = name;
  state[way === "x" ? "logX" : "logY"] = box.checked;
}

function select(index, { scroll = false } = {}) {
  state.selected = index;
  const chooser = $("point");
  if (![...chooser.options].some((option) => Number(option.value) === index)) {
    chooser.append(element("option", { value: index }, `${study.numbers[index]} (behind the front)`));
  }
  chooser.value = String(index);
  for (const row of document.querySelectorAll("#front-table tr[aria-selected]")) row.removeAttribute("aria-selected");
  $(`row-${study.numbers[index]}`)?.setAttribute("aria-selected", "true");
  if (scroll) $("front").scrollIntoView({ behavior: "smooth", block: "start" });
  return Promise.all([
    moveRing(state),
    Plotly.relayout("parallel-plot", { shapes: parallelShapes(state, palette()) }),
    drawDetail(state),
  ]);
}

function drawAll() {
  return Promise.all([drawFront(state), drawParallel(state), drawDetail(state)]);
}

function onControls() {
  for (const way of ["x", "y"]) {
    $(`choice-${way}`).addEventListener("change", (event) => { setAxis(way, event.target.value); drawFront(state); });
    $(`log-${way}`).addEventListener("change", (event) => { state[`log${way.toUpperCase()}`] = event.target.checked; drawFront(state); });
  }
  $("choice-color").addEventListener("change", (event) => { state.color = event.target.value; drawFront(state); });
  $("show-others").addEventListener("change", (event) => { state.others = event.target.checked; drawFront(state); });
  $("show-intervals").addEventListener("change", (event) => { state.intervals = event.target.checked; drawFront(state); });
  $("clear-ranges").addEventListener("click", () => { state.ranges.clear(); drawParallel(state); });
  const chooser = $("point");
  const named = Object.keys(study.names).map(Number).filter((index) => !isFront(index));
  for (const index of [...frontIndices, ...named]) {
    chooser.append(element("option", { value: index }, [study.numbers[index], nameOf(index)].filter(Boolean).join(" \u00b7 ")));
  }
  chooser.addEventListener("change", () => select(Number(chooser.value)));
  const step = (by) => select((Math.min(state.selected, study.front - 1) + by + study.front) % study.front);
  $("previous").addEventListener("click", () => step(-1));
  $("next").addEventListener("click", () => step(1));
  for (const kind of ["run", "accelerator"]) {
    $(`show-${kind}`).addEventListener("click", () => { state.file = kind; drawFile(state); });
  }
  $("download").addEventListener("click", () => download(state));
  for (const link of document.querySelectorAll("button[data-point]")) {
    link.addEventListener("click", () => {
      const index = indexOf.get(Number(link.dataset.point));
      if (index !== undefined) select(index, { scroll: true });
    });
  }
}

function onPlots() {
  $("front-plot").on("plotly_relayout", (changes) => {
    if (Object.keys(changes).some((key) => /^([xy]axis|autosize|width)/.test(key))) dressFront(state);
  });
  for (const id of ["front-plot", "parallel-plot"]) {
    $(id).on("plotly_hover", ({ points: [point], event }) => {
      if (point.customdata >= 0) pointTip(event, point.customdata);
      else baselineTip(event, study.baselines[-1 - point.customdata]);
    });
    $(id).on("plotly_unhover", hideTip);
    $(id).on("plotly_click", ({ points: [point] }) => { if (point.customdata >= 0) select(point.customdata); });
  }
  listenToCloud($("front-plot"), select);
  $("parallel-plot").on("plotly_selected", (event) => {
    if (!event || !event.range) return;
    const [[x0, x1], [y0, y1]] = [event.range.x, event.range.y].map((ends) => [...ends].sort((a, b) => a - b));
    const inside = parallelColumns.map((_, place) => place).filter((place) => place >= x0 && place <= x1);
    const nearest = Math.min(parallelColumns.length - 1, Math.max(0, Math.round((x0 + x1) / 2)));
    for (const place of inside.length ? inside : [nearest]) state.ranges.set(place, [y0, y1]);
    drawParallel(state);
  });
}

function sortTable(button) {
  const column = Number(button.dataset.column);
  const heads = [...document.querySelectorAll("#front-table th")];
  const down = heads[column].getAttribute("aria-sort") === "ascending";
  heads.forEach((head) => head.removeAttribute("aria-sort"));
  heads[column].setAttribute("aria-sort", down ? "descending" : "ascending");
  const body = document.querySelector("#front-table tbody");
  const key = (row) => {
    const cell = row.cells[column];
    return cell.firstElementChild?.dataset.value ?? cell.textContent;
  };
  const compare = (a, b) => {
    const [p, q] = [key(a), key(b)];
    const [m, n] = [Number(p), Number(q)];
    if (p === "" || q === "") return (p === "") - (q === "") || 0;
    const order = Number.isNaN(m) || Number.isNaN(n) ? p.localeCompare(q) : m - n;
    return down ? -order : order;
  };
  body.append(...[...body.rows].sort(compare));
}

function onPage() {
  for (const button of document.querySelectorAll("#front-table .sort")) {
    button.addEventListener("click", () => sortTable(button));
  }
  const repaint = (paper) => { onPaper = paper; drawAll(); };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  addEventListener("beforeprint", () => repaint(true));
  addEventListener("afterprint", () => repaint(false));
  addEventListener("scroll", hideTip, { passive: true });
}

setAxis("x", state.x);
setAxis("y", state.y);
onControls();
drawAll().then(() => select(state.selected)).then(() => {
  onPlots();
  onPage();
  document.documentElement.dataset.ready = "true";
});
