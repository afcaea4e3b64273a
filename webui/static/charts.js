// Charts of the page of metrics: drawn with uPlot from /charts/data, again every few seconds while somebody looks.
// What each draws stands in the table below it as well; the page names the series and has their colours.

const AGAIN_MS = 5000;
const SHORT_S = 600;
const place = document.querySelector("[data-charts]");
const drawn = new Map();
let newest = null;

/** A colour of tokens.css as the canvas needs it: resolved for the theme that is shown. */
function colour(name) {
  const probe = document.createElement("span");
  probe.hidden = true;
  probe.className = `chart-colour-${name}`;
  place.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

function clock(plot, ticks) {
  const [first, last] = [plot.scales.x.min, plot.scales.x.max];
  const shown = { hour: "2-digit", minute: "2-digit", second: last - first < SHORT_S ? "2-digit" : undefined };
  return ticks.map((tick) => new Date(tick * 1000).toLocaleTimeString([], shown));
}

function options(series, box) {
  const [text, line] = [colour("text"), colour("line")];
  const axis = { stroke: text, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
  return {
    width: box.clientWidth,
    height: box.clientHeight,
    cursor: { y: false },
    legend: { show: false },
    scales: { y: { range: (_plot, low, high) => [Math.min(0, low ?? 0), high > 0 ? high * 1.1 : 1] } },
    axes: [{ ...axis, space: 80, values: clock }, { ...axis, size: 56 }],
    series: [{}, ...series.map((one, at) => ({ label: one.label, stroke: colour(at + 1), width: 1.5, spanGaps: false, points: { show: false } }))],
  };
}

function draw(box, times, series) {
  const known = drawn.get(box);
  const labels = series.map((one) => one.label).join("\n");
  const values = [times, ...series.map((one) => one.values)];
  if (known?.labels === labels) known.plot.setData(values);
  else {
    known?.plot.destroy();
    box.replaceChildren();
    if (series.length) drawn.set(box, { labels, plot: new window.uPlot(options(series, box), values, box) });
  }
}

function drawAll() {
  if (!newest) return;
  for (const box of place.querySelectorAll("[data-chart]")) draw(box, newest.times, newest.charts[box.dataset.chart] ?? []);
}

/** With other colours: uPlot keeps those it was made with. */
function drawAnew() {
  for (const { plot } of drawn.values()) plot.destroy();
  drawn.clear();
  drawAll();
}

async function load() {
  if (document.hidden) return;
  try {
    const answer = await fetch(place.dataset.charts, { headers: { Accept: "application/json" } });
    if (!answer.ok) return;
    newest = await answer.json();
    drawAll();
  } catch {
    // The pill at the top says that the server is away; the next time may find it.
  }
}

new ResizeObserver(() => {
  for (const [box, { plot }] of drawn) plot.setSize({ width: box.clientWidth, height: box.clientHeight });
}).observe(place);
new MutationObserver(drawAnew).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAnew);
document.addEventListener("visibilitychange", load);
setInterval(load, AGAIN_MS);
load();
