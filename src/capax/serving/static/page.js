// Writes what the server tells into the page. Text is always set as text, so that no name that a
// run holds can become a tag.

const MISSING = "–";
export const byId = (id) => document.getElementById(id);

export const STATES = {
  complete: "complete",
  stopped: "stopped by the rule",
  infeasible: "diverged",
  running: "not ended",
};

const RUN_STATES = {
  running: ["● running", (run) => run.holder],
  finished: ["✓ finished", () => ""],
  interrupted: ["‖ not running", () => "Paused or interrupted: the same capax run goes on with it."],
};

export function count(value) {
  return value === null || value === undefined ? MISSING : value.toLocaleString("en");
}

export function score(value) {
  if (value === null || value === undefined) return MISSING;
  if (value === 0 || Math.abs(value) >= 1e-3) return value.toLocaleString("en", { maximumSignificantDigits: 4 });
  return String(Number(value.toPrecision(3)));
}

export function duration(seconds) {
  if (seconds === null) return MISSING;
  const minutes = Math.round(seconds / 60);
  if (minutes < 1) return `${Math.round(seconds)} s`;
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

// A tag with attributes and children, which are tags or text.
export function tag(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function say(id, text) {
  byId(id).textContent = text;
  byId(id).hidden = !text;
}

export function showError(text, since) {
  say("error", text ? `${text}${since ? ` What is shown is of ${since}.` : ""}` : "");
  if (text) {
    byId("state").textContent = "? not known";
    byId("state").className = "state lost";
    byId("state-said").textContent = "";
  }
}

export function showRun(run) {
  document.title = `${run.name} – capax`;
  say("directory", run.directory);
  say("name", run.name);
  say("question", run.question);
  const [state, said] = RUN_STATES[run.state];
  byId("state").textContent = state;
  byId("state").className = `state ${run.state}`;
  byId("state-said").textContent = said(run) ?? "";
  say("fault", run.fault ? `${run.fault}.` : "");
  showFacts(run);
  showTraining(run.training);
  byId("report").hidden = !run.report;
  say("left-out", run.left_out.length ? `Left out: ${run.left_out.join("; ")}` : "");
  const machines = run.environments.map(
    (each) => `${each.processor} (${each.cores} ${each.cores === 1 ? "core" : "cores"}, ${each.device}), capax ${each.capax}`,
  );
  say("machines", `Begun ${moment(new Date(run.created))}; trained on ${[...new Set(machines)].join("; ")}.`);
  say("read", `Read at ${new Date().toLocaleTimeString()}.`);
}

export function moment(date) {
  return date.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}

function showFacts(run) {
  const share = (part) => (run.trials ? `${Math.round((100 * part) / run.trials)}% of the trials` : "");
  const facts = [["Trials done", count(run.trials), `of ${count(run.planned)}`]];
  if (run.reruns_due) facts.push(["Reruns done", count(run.reruns), `of ${count(run.reruns_due)}`]);
  facts.push(["Diverged", count(run.infeasible), share(run.infeasible)]);
  facts.push(["Stopped", count(run.stopped), share(run.stopped)]);
  if (run.state !== "finished") {
    const waiting = [[run.paused, "paused at a rung"], [run.waiting, "waiting"]].filter(([number]) => number);
    facts.push(["In training", count(run.training.length), waiting.map(([number, what]) => `${count(number)} ${what}`).join(", ")]);
  }
  if (run.state === "running") {
    facts.push(["Workers", score(run.workers), ""]);
    facts.push(["Throughput", score(run.steps_per_second), "trial-steps/s"]);
    const end = run.seconds_left === null ? "" : `about ${moment(new Date(Date.now() + 1000 * run.seconds_left))}`;
    facts.push(["Time left", duration(run.seconds_left), end]);
  }
  byId("facts").replaceChildren(
    ...facts.map(([name, value, more]) => tag("div", {}, tag("dt", {}, name), tag("dd", {}, value, tag("small", {}, more)))),
  );
}

function showTraining(training) {
  byId("training-section").hidden = !training.length;
  byId("training").replaceChildren(
    ...training.map(({ trial, step, most }) => {
      const said = `${trial}: step ${count(step)}${most ? ` of at most ${count(most)}` : ""}`;
      return tag("li", {}, said, tag("progress", { value: step ?? 0, max: most ?? Math.max(1, step ?? 1), "aria-label": said }));
    }),
  );
}

const STUDY_COLUMNS = [
  ["Study", (row) => row.study, "words"],
  ["Cell", (row) => row.cell, "words"],
  ["Depth", (row) => count(row.depth)],
  ["Budget", (row) => count(row.budget)],
  ["Trials", (row) => `${count(row.trials)} of ${count(row.planned)}`],
  ["Reruns", (row) => (row.reruns_due ? `${count(row.reruns)} of ${count(row.reruns_due)}` : MISSING)],
  ["Diverged", (row) => count(row.infeasible)],
  ["Stopped", (row) => count(row.stopped)],
  ["Best", (row) => score(row.best), "wide"],
  ["95% interval", (row) => interval(row), "wide"],
];

function interval(row) {
  return row.low === null || row.high === null ? MISSING : `${score(row.low)} to ${score(row.high)}`;
}

export function showStudies(run, filter, choose) {
  byId("studies-head").replaceChildren(
    ...STUDY_COLUMNS.map(([name, , kind]) => tag("th", { scope: "col", class: kind }, name)),
  );
  const scores = new Map(run.studies.map((row) => [row.task, `${row.score}, ${better(row)}`]));
  const alike = new Set(scores.values()).size === 1;
  say("scores", [...scores].map(([task, said]) => (alike ? `Scores: ${said}.` : `${task}: ${said}.`)).slice(0, alike ? 1 : undefined).join(" "));
  byId("filter-label").hidden = run.studies.length < 8;
  const wanted = filter.toLowerCase().split(/\s+/);
  const shown = run.studies.filter((row) => wanted.every((word) => `${row.study} ${row.task} ${row.cell}`.toLowerCase().includes(word)));
  const focused = document.activeElement?.dataset?.study;
  byId("studies").replaceChildren(...shown.map((row) => studyRow(row, choose)));
  byId("studies").querySelector(`button[data-study="${CSS.escape(focused ?? "")}"]`)?.focus({ preventScroll: true });
}

function better(row) {
  return `${row.direction === "maximise" ? "higher" : "lower"} is better`;
}

function studyRow(row, choose) {
  const cells = STUDY_COLUMNS.map(([name, value, kind], place) => {
    const cell = tag("td", { class: kind, "data-name": name });
    if (place) cell.append(tag("span", {}, value(row)));
    else {
      const button = tag("button", { type: "button", class: "study", "data-study": row.study }, value(row));
      button.addEventListener("click", () => choose(row.study, true));
      cell.append(button);
    }
    return cell;
  });
  return tag("tr", { "data-study": row.study }, ...cells);
}

export function markChosen(study) {
  for (const row of byId("studies").rows) {
    const chosen = row.dataset.study === study;
    row.classList.toggle("chosen", chosen);
    row.querySelector("button").setAttribute("aria-pressed", chosen);
  }
}

// The choices of a select, kept as they are where they have not changed.
export function offer(select, names, chosen) {
  const known = [...select.options].map((option) => option.value);
  if (known.length !== names.length || known.some((name, place) => name !== names[place])) {
    select.replaceChildren(...names.map((name) => tag("option", { value: name }, name)));
  }
  select.value = chosen;
}

export function showStudy(study, row) {
  const best = row.best === null ? row.interval : `${score(row.best)} (${interval(row)}; ${row.interval})`;
  say("study-said", `${study.task}, ${study.cell}. ${study.score}, ${better(study)}. Best: ${best}.`);
  const names = study.hyperparameters.map(({ name }) => name);
  byId("trials-head").replaceChildren(
    ...["Trial", "State", "Score", "Steps", "Seconds", "Proposed by", ...names].map((name, place) => tag("th", { scope: "col", class: wordsAt(place) }, name)),
  );
  byId("trials").replaceChildren(...study.trials.map((trial) => trialRow(trial, names)));
}

const wordsAt = (place) => (place === 1 ? "words" : null); // the state

export function stateOf(trial) {
  if (trial.divergence) return `diverged: ${trial.divergence}`;
  if (trial.state === "running" && trial.paused !== null) return `not ended; paused at step ${count(trial.paused)}`;
  return STATES[trial.state];
}

function trialRow(trial, names) {
  const values = [
    `${trial.number}${trial.rerun ? " (rerun)" : ""}`,
    stateOf(trial),
    score(trial.score),
    count(trial.steps),
    score(trial.seconds),
    trial.proposed_by ?? MISSING,
    ...names.map((name) => valueOf(trial.hyperparameters[name])),
  ];
  return tag("tr", {}, ...values.map((value, place) => tag("td", { class: wordsAt(place) }, value)));
}

export function valueOf(value) {
  return typeof value === "number" ? score(value) : value === null ? "none" : String(value);
}
