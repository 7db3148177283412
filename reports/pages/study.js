"use strict";

const byId = (name) => document.getElementById(name);
const study = JSON.parse(byId("study").textContent);
const storageKey = `emo-bench-study-${study.id}`;
const video = byId("clip");
let state = null;
let shownAt = 0;
let current = 0;

/* The state is saved after every step, so that a reload continues from there. */

function trouble(text) {
  byId("trouble").textContent = text;
  byId("trouble").hidden = false;
}

function load() {
  try {
    return JSON.parse(localStorage.getItem(storageKey));
  } catch {
    return null;
  }
}

function save() {
  try {
    localStorage.setItem(storageKey, JSON.stringify(state));
  } catch {
    trouble("This browser does not save your answers. Please answer all clips without reloading the page.");
  }
}

/* The order of the clips: a Fisher-Yates shuffle, with a generator seeded by the study and the participant. */

function generator(text) {
  let seed = 2166136261;
  for (const letter of text) seed = Math.imul(seed ^ letter.codePointAt(0), 16777619);
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

function drawOrder(participant) {
  const random = generator(`${study.id}:${participant}`);
  const order = [...study.clips];
  for (let i = order.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  // A check is never first, so that participants see a clip before it.
  for (const check of study.checks) order.splice(1 + Math.floor(random() * order.length), 0, check);
  return order;
}

function begin(code) {
  const drawn = Array.from(crypto.getRandomValues(new Uint8Array(4)), (byte) => byte.toString(16).padStart(2, "0"));
  const participant = code.trim().replace(/[^\p{L}\p{N}_.-]/gu, "-") || drawn.join("");
  state = {
    format: study.format, study: study.id, participant, started_at: new Date().toISOString(), finished_at: null,
    order: drawOrder(participant), answers: {}, at: { clip: 0, rating: false, starts: 0 },
  };
  save();
  showTrial();
}

/* A clip, then its questions. */

function only(section) {
  for (const name of ["intro", "trial", "end"]) byId(name).hidden = name !== section;
}

function showTrial() {
  const { clip } = state.at;
  if (clip >= state.order.length) return showEnd();
  only("trial");
  byId("count").textContent = `Clip ${clip + 1} of ${state.order.length}`;
  byId("done-share").value = clip / state.order.length;
  byId("questions").reset();
  byId("stage").hidden = state.at.rating;
  byId("questions").hidden = !state.at.rating;
  if (state.at.rating) return showQuestions();
  const bytes = Uint8Array.from(atob(byId(`clip-${state.order[clip]}`).textContent), (letter) => letter.charCodeAt(0));
  if (video.src) URL.revokeObjectURL(video.src);
  video.src = URL.createObjectURL(new Blob([bytes], { type: "video/webm" }));
  byId("show").hidden = false;
  byId("show").focus();
}

async function play() {
  if (byId("show").hidden) return;
  byId("show").hidden = true;
  state.at.starts += 1;
  save();
  try {
    await video.play();
  } catch {
    byId("show").hidden = false;
    trouble("This clip did not start. Please try again, or open the page in another browser.");
  }
}

function showQuestions() {
  state.at.rating = true;
  save();
  byId("stage").hidden = true;
  byId("questions").hidden = false;
  shownAt = performance.now();
  current = 0;
  refresh();
  scrollTo(0, 0);
}

const ratings = () => study.statements.map(({ id }) => Number(new FormData(byId("questions")).get(id)) || null);

function refresh() {
  const given = ratings();
  byId("next").disabled = given.includes(null);
  document.querySelectorAll("fieldset").forEach((field, i) => field.classList.toggle("current", i === current));
}

function answer(value) {
  if (current >= study.statements.length) return;
  document.querySelector(`input[name="${study.statements[current].id}"][value="${value}"]`).checked = true;
  current = Math.min(current + 1, study.statements.length);
  refresh();
}

function next() {
  const given = ratings();
  if (given.includes(null)) return;
  state.answers[state.order[state.at.clip]] = {
    ratings: given, seconds: Math.round(performance.now() - shownAt) / 1000, starts: state.at.starts,
  };
  state.at = { clip: state.at.clip + 1, rating: false, starts: 0 };
  save();
  showTrial();
}

/* The end: a file of answers, and its text if the browser cannot save a file. */

function showEnd() {
  only("end");
  state.finished_at ||= new Date().toISOString();
  save();
  const { at, ...answers } = state;
  const text = JSON.stringify(answers, null, 1);
  byId("text").value = text;
  byId("save").href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  byId("save").download = `answers-${state.study}-${state.participant}.json`;
  byId("save").focus();
}

byId("begin").addEventListener("submit", (event) => { event.preventDefault(); begin(byId("participant").value); });
byId("show").addEventListener("click", play);
video.addEventListener("ended", showQuestions);
video.addEventListener("error", () => trouble("This browser cannot play the clip. Please open the page in another browser; your answers are kept in this browser."));
video.addEventListener("contextmenu", (event) => event.preventDefault());
byId("questions").addEventListener("change", (event) => {
  current = Math.max(current, study.statements.findIndex(({ id }) => id === event.target.name) + 1);
  refresh();
});
byId("questions").addEventListener("submit", (event) => { event.preventDefault(); next(); });
addEventListener("keydown", (event) => {
  if (byId("trial").hidden || event.ctrlKey || event.metaKey || event.altKey) return;
  if (!byId("stage").hidden) {
    if (event.key === " " || event.key === "Enter") { event.preventDefault(); play(); }
  } else if (/^[1-5]$/.test(event.key)) { event.preventDefault(); answer(event.key); }
  else if (event.key === "Backspace") { event.preventDefault(); current = Math.max(0, current - 1); refresh(); }
  else if (event.key === "Enter") { event.preventDefault(); next(); }
});

byId("save").addEventListener("click", () => { byId("another").hidden = false; });
byId("again").addEventListener("click", () => { localStorage.removeItem(storageKey); location.reload(); });

state = load();
if (state) showTrial();
else only("intro");
