// Asks the server every few seconds how the run stands, and shows it. What is chosen stands in the
// address behind #, so that it is there again after a reload.

import { drawCurves, drawScatter } from "/figures.js";
import { byId, markChosen, offer, showError, showRun, showStudies, showStudy } from "/page.js";

const EVERY = 3000; // milliseconds between two looks at a run
const RARELY = 15000; // at one that nobody runs

const chosen = new URLSearchParams(location.hash.slice(1));
let run = null; // as it was told last
let drawn = ""; // the version of the run that the figures are of
let study = null;
let since = "";

async function ask(path) {
  const answer = await fetch(path, { cache: "no-store", credentials: "same-origin" });
  const text = await answer.text();
  if (answer.ok) return JSON.parse(text);
  let said = text.trim() || answer.statusText;
  try {
    said = JSON.parse(text).error ?? said;
  } catch {
    // a refusal is plain text
  }
  throw new Error(said);
}

async function look() {
  try {
    run = await ask("/api/run");
    showRun(run);
    if (drawn !== run.version) {
      listStudies();
      await lookAtStudy();
      drawn = run.version;
    }
    since = new Date().toLocaleTimeString();
    showError("");
  } catch (error) {
    showError(error instanceof TypeError ? "capax serve does not answer; it may have ended." : error.message, since);
  }
}

function listStudies() {
  const names = run.studies.map((row) => row.study);
  if (!names.includes(chosen.get("study"))) chosen.set("study", names[0] ?? "");
  showStudies(run, byId("filter").value.trim(), choose);
  offer(byId("study"), names, chosen.get("study"));
  byId("study-section").hidden = !names.length;
  markChosen(chosen.get("study"));
}

async function lookAtStudy() {
  const name = chosen.get("study");
  if (!name) return;
  const found = await ask(`/api/study?${new URLSearchParams({ study: name })}`);
  if (found.study !== chosen.get("study")) return; // another one was chosen meanwhile
  study = found;
  showStudy(study, run.studies.find((row) => row.study === name));
  const names = study.hyperparameters.map((each) => each.name);
  const usual = names.includes("learning_rate") ? "learning_rate" : names[0] ?? "";
  if (!names.includes(chosen.get("hyperparameter"))) chosen.set("hyperparameter", usual);
  offer(byId("hyperparameter"), names, chosen.get("hyperparameter"));
  draw();
}

function draw() {
  if (study === null) return;
  drawCurves(study);
  drawScatter(study, chosen.get("hyperparameter"));
}

function remember() {
  history.replaceState(null, "", `#${chosen}`);
}

async function choose(name, scroll = false) {
  chosen.set("study", name);
  remember();
  byId("study").value = name;
  markChosen(name);
  if (scroll) byId("study-section").scrollIntoView({ block: "start" });
  try {
    await lookAtStudy();
  } catch (error) {
    showError(error.message, since);
  }
}

byId("study").addEventListener("change", (event) => choose(event.target.value));
byId("hyperparameter").addEventListener("change", (event) => {
  chosen.set("hyperparameter", event.target.value);
  remember();
  draw();
});
byId("filter").addEventListener("input", listStudies);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
document.addEventListener("visibilitychange", () => document.hidden || look());

async function go() {
  if (!document.hidden || run === null) await look();
  setTimeout(go, run?.state === "running" ? EVERY : RARELY);
}

go();
