// Draws the two figures with Plotly. A state of a trial has a colour, a marker, and a kind of line,
// so that it is known without colour, too.

import { byId, count, score, STATES, stateOf, valueOf } from "/page.js";

const LOOKS = {
  complete: { symbol: "circle", dash: "solid" },
  stopped: { symbol: "triangle-up", dash: "8px,3px" },
  infeasible: { symbol: "x", dash: "dot" },
  running: { symbol: "diamond", dash: "dashdot" },
  rerun: { symbol: "square", dash: "3px,2px" },
};
const NAMES = { ...STATES, rerun: "rerun of the best" };
const CONFIG = { responsive: true, displayModeBar: false, showSendToCloud: false, doubleClick: "reset" };
const PLAIN_LOG = 5; // a largest value so many times the least one makes an axis logarithmic

// Plotly reads a few tags in its texts. None that a run brings is one.
function plain(text) {
  return String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function shortened(text, most) {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

const kindOf = (trial) => (trial.rerun ? "rerun" : trial.state);

function grouped(trials) {
  return Object.keys(LOOKS)
    .map((kind) => [kind, trials.filter((trial) => kindOf(trial) === kind)])
    .filter(([, found]) => found.length);
}

export function bestOf(study) {
  const sign = study.direction === "maximise" ? 1 : -1;
  const scored = study.trials.filter((trial) => !trial.rerun && trial.state === "complete" && trial.score !== null);
  return scored.reduce((best, trial) => (best === null || sign * trial.score > sign * best.score ? trial : best), null);
}

function hover(trial, more) {
  return plain(`${trial.rerun ? "rerun" : "trial"} ${trial.number}, ${shortened(stateOf(trial), 60)}${more}`);
}

function colours() {
  const style = getComputedStyle(document.documentElement);
  return (name) => style.getPropertyValue(`--${name === "infeasible" ? "diverged" : name}`).trim();
}

function layout(colour, x, y, more = {}) {
  const axis = { gridcolor: colour("line"), linecolor: colour("soft"), zeroline: false, automargin: true, exponentformat: "e", separatethousands: true, nticks: 6 };
  const touch = matchMedia("(pointer: coarse), (max-width: 40rem)").matches;
  return {
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: colour("ink") },
    paper_bgcolor: "transparent",
    plot_bgcolor: "transparent",
    margin: { l: 48, r: 12, t: 8, b: 40 },
    legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom", x: 0 },
    showlegend: true,
    hovermode: "closest",
    hoverlabel: { bgcolor: colour("tint"), bordercolor: colour("soft"), font: { color: colour("ink") } },
    modebar: { bgcolor: "transparent", color: colour("soft"), activecolor: colour("ink") },
    dragmode: touch ? false : "zoom", // a finger moves the page
    xaxis: { ...axis, ...x },
    yaxis: { ...axis, ...y },
    ...more,
  };
}

// A logarithmic axis where values are positive and far apart, with few, plain numbers on it.
function scale(values, log = null) {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const wanted = log ?? (values.length > 1 && least > 0 && most > PLAIN_LOG * least);
  if (!wanted) return { type: "linear" };
  return { type: "log", tickformat: "~g", dtick: most > 30 * least ? 1 : "D2" };
}

function said(trials, what) {
  const parts = grouped(trials).map(([kind, found]) => `${count(found.length)} ${NAMES[kind]}`);
  return trials.length ? `${what} of ${count(trials.length)} trials: ${parts.join(", ")}.` : "Nothing to draw yet.";
}

function tell(id, text) {
  byId(id).setAttribute("aria-label", `${text} The numbers are in the table below.`);
  byId(`${id}-said`).textContent = text;
}

export function drawCurves(study) {
  const colour = colours();
  const trials = study.trials.filter((trial) => trial.curve?.step.length);
  const best = bestOf(study);
  const losses = trials.flatMap((trial) => trial.curve.loss).filter((loss) => loss !== null);
  const traces = grouped(trials).map(([kind, found]) => curves(found, kind, colour(kind), LOOKS[kind]));
  if (best?.curve) {
    traces.push({ ...curves([best], "complete", colour("ink"), LOOKS.complete), name: `best: trial ${best.number}` });
    traces.at(-1).line.width = 2.5;
  }
  const axis = scale(losses);
  Plotly.react("curves", traces, layout(
    colour,
    { title: { text: "training step" }, rangemode: "tozero", tickformat: ",d" },
    { title: { text: axis.type === "log" ? "loss (logarithmic)" : "loss" }, ...axis },
    { uirevision: study.study },
  ), CONFIG);
  tell("curves", said(trials, "Curves") + (best ? ` The best is trial ${best.number} with ${score(best.score)}.` : ""));
}

// All curves of one kind are one line with gaps: a page draws that quickly. Where a trial was ended
// before its time, its last point is marked.
function curves(trials, kind, colour, look) {
  const found = { x: [], y: [], text: [] };
  const sizes = [];
  const mark = kind === "stopped" || kind === "infeasible" ? 8 : 0;
  for (const trial of trials) {
    const { step, loss } = trial.curve;
    found.x.push(...step, null);
    found.y.push(...loss, null);
    found.text.push(...step.map((at, place) => hover(trial, `: loss ${score(loss[place])} at step ${count(at)}`)), "");
    sizes.push(...step.map((_, place) => (place === step.length - 1 ? mark : 0)), 0);
  }
  return {
    ...found, type: "scatter", mode: mark ? "lines+markers" : "lines", name: NAMES[kind], hoverinfo: "text", connectgaps: false,
    opacity: trials.length > 20 ? 0.6 : 0.9, line: { color: colour, width: 1.4, dash: look.dash },
    marker: { color: colour, symbol: look.symbol, size: sizes, line: { width: 0 } },
  };
}

export function drawScatter(study, name) {
  const space = study.hyperparameters.find((each) => each.name === name);
  if (!space) {
    Plotly.purge("scatter");
    tell("scatter", "No hyperparameter is tuned in this study.");
    return;
  }
  const colour = colours();
  const trials = study.trials.filter((trial) => !trial.rerun && trial.hyperparameters[name] !== undefined);
  const scored = trials.filter((trial) => trial.score !== null && trial.state !== "infeasible");
  const diverged = trials.filter((trial) => trial.state === "infeasible");
  const position = positions(space);
  const traces = grouped(scored).map(([kind, found]) => points(found, kind, name, position, colour));
  if (diverged.length) traces.push({ ...points(diverged, "infeasible", name, position, colour), y: diverged.map(() => 0), yaxis: "y2" });
  const strip = { domain: [0, 0.08], range: [-1, 1], showgrid: false, zeroline: false, showticklabels: false, fixedrange: true };
  Plotly.react("scatter", traces, layout(
    colour,
    { title: { text: plain(shortened(name, 40)) }, ...xAxis(space), anchor: diverged.length ? "y2" : "y" },
    { title: { text: plain(shortened(study.score, 44)) }, ...scale(scored.map((trial) => trial.score)), domain: diverged.length ? [0.12, 1] : [0, 1] },
    { uirevision: `${study.study} ${name}`, ...(diverged.length ? { yaxis2: strip } : {}) },
  ), CONFIG);
  const strips = diverged.length ? " Those that diverged have no score and stand in a strip of their own below." : "";
  tell("scatter", said([...scored, ...diverged], `${name} against ${study.score},`) + strips);
}

function points(trials, kind, name, position, colour) {
  const text = trials.map((trial) => hover(trial, `: ${shortened(name, 40)} ${shortened(valueOf(trial.hyperparameters[name]), 40)}, score ${score(trial.score)}`));
  return {
    x: trials.map((trial) => position(trial.hyperparameters[name], trial.number)), y: trials.map((trial) => trial.score), text,
    type: "scatter", mode: "markers", name: NAMES[kind], hoverinfo: "text",
    marker: { color: colour(kind), symbol: LOOKS[kind].symbol, size: 9, opacity: 0.8, line: { width: 1, color: colour("paper") } },
  };
}

// Choices stand side by side, and their trials a little apart.
function positions(space) {
  if (space.choices === null) return (value) => value;
  return (value, number) => space.choices.findIndex((choice) => choice === value) + 0.3 * (((number * 0.618) % 1) - 0.5);
}

function xAxis(space) {
  if (space.choices === null) return scale([space.low, space.high], space.log);
  return {
    type: "linear",
    tickvals: space.choices.map((_, place) => place),
    ticktext: space.choices.map((choice) => plain(shortened(valueOf(choice), 24))),
    range: [-0.5, space.choices.length - 0.5],
  };
}
