// Points behind the front: thousands, so they are one picture under the plot instead of as many
// marks. Where they are in it is kept for the pointer.

const REACH = 7;
const cloud = { left: [], top: [], indices: [], under: null };

// The picture for the plot's present axes, as plotly's layout takes it.
function cloudImage(plot, state, colour, colors) {
  const { xaxis, yaxis } = plot._fullLayout;
  const [width, height, density] = [xaxis._length, yaxis._length, 2];
  const canvas = element("canvas", { width: width * density, height: height * density });
  const pen = canvas.getContext("2d");
  pen.scale(density, density);
  pen.globalAlpha = state.color ? 0.55 : 0.4;
  Object.assign(cloud, { left: [], top: [], indices: [], under: null });
  for (const index of state.others ? otherIndices : []) {
    const [x, y] = [valueOf(state.x, index), valueOf(state.y, index)];
    if (x === null || y === null) continue;
    const [left, top] = [xaxis.d2p(x), yaxis.d2p(y)];
    if (!(left >= 0 && left <= width && top >= 0 && top <= height)) continue;
    cloud.left.push(left);
    cloud.top.push(top);
    cloud.indices.push(index);
    pen.fillStyle = state.color ? colour.of(index) : colors.c7;
    pen.beginPath();
    pen.arc(left, top, 2.2, 0, 7);
    pen.fill();
  }
  return {
    source: canvas.toDataURL(), xref: "paper", yref: "paper", x: 0, y: 1, sizex: 1, sizey: 1,
    sizing: "stretch", layer: "below",
  };
}

// Index of the point nearest to the pointer, null where none is near.
function cloudPoint(plot, event) {
  const area = plot.getBoundingClientRect();
  const { l, t } = plot._fullLayout._size;
  const [x, y] = [event.clientX - area.left - l, event.clientY - area.top - t];
  let [nearest, least] = [null, REACH * REACH];
  for (let place = 0; place < cloud.indices.length; place += 1) {
    const away = (cloud.left[place] - x) ** 2 + (cloud.top[place] - y) ** 2;
    if (away < least) [nearest, least] = [cloud.indices[place], away];
  }
  return nearest;
}

// Tooltip and choice by the pointer, where it is over no ordinary mark.
function listenToCloud(plot, choose) {
  let [pressed, last, taken] = [null, null, false];
  const look = () => {
    const found = taken || !last || last.buttons ? null : cloudPoint(plot, last);
    if (found !== null) pointTip(last, found);
    else if (cloud.under !== null && !taken) hideTip();
    cloud.under = found;
  };
  plot.on("plotly_hover", () => { taken = true; });
  plot.on("plotly_unhover", () => { taken = false; look(); });
  plot.addEventListener("pointermove", (event) => { last = event; look(); }, true);
  plot.addEventListener("pointerleave", () => { last = null; hideTip(); });
  plot.addEventListener("pointerdown", (event) => { pressed = [event.clientX, event.clientY]; }, true);
  addEventListener("pointerup", (event) => {
    const still = pressed && Math.hypot(event.clientX - pressed[0], event.clientY - pressed[1]) < 3;
    const found = still && !taken ? cloudPoint(plot, event) : null;
    if (found !== null) choose(found);
    pressed = null;
  }, true);
}
