"use strict";

const all = (root, selector) => Array.from(root.querySelectorAll(selector));
const SVG = "http://www.w3.org/2000/svg";

/* Tables: sort by a heading, filter by words, hide trivial methods and intervals. */

function valueOf(row, column) {
  const cell = row.cells[column];
  if (cell.dataset.value !== undefined) return cell.dataset.value === "" ? null : Number(cell.dataset.value.replace("inf", "Infinity"));
  const text = cell.textContent.trim();
  return text !== "" && !Number.isNaN(Number(text)) ? Number(text) : text;
}

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), undefined, { numeric: true });
}

function sortTable(table, heading) {
  const column = heading.cellIndex;
  const before = heading.getAttribute("aria-sort");
  const first = heading.dataset.better === "higher" ? "descending" : "ascending";
  const order = before === null ? first : before === "ascending" ? "descending" : "ascending";
  const sign = order === "ascending" ? 1 : -1;
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  rows.sort((a, b) => {
    const x = valueOf(a, column), y = valueOf(b, column);
    if (x === null || y === null) return (x === null) - (y === null);
    return sign * compare(x, y);
  });
  all(table, "th").forEach((other) => other.removeAttribute("aria-sort"));
  heading.setAttribute("aria-sort", order);
  table.classList.add("sorted");
  body.append(...rows);
}

function makeSortable(table) {
  all(table, "thead th").forEach((heading) => {
    const button = document.createElement("button");
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => sortTable(table, heading));
  });
}

function filterTable(table, text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  for (const row of table.tBodies[0].rows) {
    const shown = Array.from(row.cells).slice(0, 3).map((cell) => cell.textContent.toLowerCase()).join(" ");
    row.hidden = !words.every((word) => shown.includes(word));
  }
}

all(document, "table.sortable").forEach(makeSortable);
all(document, "[data-filter]").forEach((input) => {
  const table = document.getElementById(input.dataset.filter);
  input.addEventListener("input", () => filterTable(table, input.value));
});
for (const name of ["trivial", "intervals"]) {
  all(document, `[data-${name}]`).forEach((box) => {
    const table = document.getElementById(box.dataset[name]);
    const apply = () => table.classList.toggle(`no-${name}`, !box.checked);
    box.addEventListener("change", apply);
    apply();
  });
}

/* Clips: one video has the recorded and the rendered frames side by side, so that they stay in step. */

const sources = new Map();

function clipSource(id) {
  if (!sources.has(id)) {
    const holder = document.getElementById(id);
    const bytes = Uint8Array.from(atob(holder.textContent), (letter) => letter.charCodeAt(0));
    sources.set(id, {
      url: URL.createObjectURL(new Blob([bytes], { type: "video/webm" })),
      fps: Number(holder.dataset.fps),
      frames: holder.dataset.frames.split(" ").map(Number),
    });
  }
  return sources.get(id);
}

class Player {
  constructor(root, onFrame) {
    this.root = root;
    this.onFrame = onFrame;
    this.canvas = root.querySelector("canvas");
    this.pen = this.canvas.getContext("2d");
    this.video = document.createElement("video");
    Object.assign(this.video, { muted: true, loop: true, playsInline: true, preload: "auto" });
    this.button = root.querySelector(".play");
    this.seekBar = root.querySelector(".seek");
    this.view = root.querySelector(".view");
    this.wipeBar = root.querySelector(".wipe input");
    this.clip = null;
    this.button.addEventListener("click", () => (this.video.paused ? this.video.play() : this.video.pause()));
    this.seekBar.addEventListener("input", () => this.seek(Number(this.seekBar.value)));
    this.view.addEventListener("change", () => this.draw());
    this.wipeBar.addEventListener("input", () => this.draw());
    root.querySelector(".clip")?.addEventListener("change", (event) => this.open(event.target.value));
    for (const name of ["play", "pause"]) this.video.addEventListener(name, () => this.showState());
    for (const name of ["loadeddata", "seeked"]) this.video.addEventListener(name, () => this.draw());
    this.canvas.addEventListener("click", () => this.button.click());
  }

  open(id) {
    const at = this.clip ? this.index() : 0;
    const playing = this.clip && !this.video.paused;
    this.clip = clipSource(id);
    this.seekBar.max = this.clip.frames.length - 1;
    this.video.src = this.clip.url;
    this.video.addEventListener("loadedmetadata", () => {
      this.seek(at);
      if (playing) this.video.play();
    }, { once: true });
  }

  index() {
    return Math.max(0, Math.min(this.clip.frames.length - 1, Math.floor(this.video.currentTime * this.clip.fps + 0.01)));
  }

  seek(index) {
    this.video.currentTime = (index + 0.5) / this.clip.fps;
  }

  seekFrame(frame) {
    if (!this.clip) return;
    const gaps = this.clip.frames.map((other) => Math.abs(other - frame));
    this.seek(gaps.indexOf(Math.min(...gaps)));
  }

  showState() {
    const playing = !this.video.paused;
    this.button.textContent = playing ? "❚❚" : "▶";
    this.button.setAttribute("aria-label", playing ? "Pause" : "Play");
    if (playing) this.tick();
  }

  tick() {
    this.draw();
    if (!this.video.paused) requestAnimationFrame(() => this.tick());
  }

  draw() {
    const { video, canvas, pen } = this;
    if (!this.clip || video.readyState < 2) return;
    const size = video.videoHeight, side = this.view.value === "side", scale = Math.max(1, Math.round(512 / size));
    this.root.classList.toggle("one", !side);
    this.root.querySelector("label.wipe").hidden = this.view.value !== "wipe";
    const edge = size * scale, width = side ? 2 * edge : edge;
    if (canvas.width !== width || canvas.height !== edge) Object.assign(canvas, { width, height: edge });
    pen.imageSmoothingQuality = "high";
    if (side) pen.drawImage(video, 0, 0, width, edge);
    else {
      pen.drawImage(video, 0, 0, size, size, 0, 0, edge, edge);
      if (this.view.value === "wipe") this.drawWipe(size, edge);
      else this.drawDifference(size, edge);
    }
    const index = this.index();
    this.seekBar.value = index;
    this.root.querySelector(".frame").textContent = `frame ${this.clip.frames[index]}`;
    this.onFrame(this.clip.frames[index]);
  }

  drawWipe(size, edge) {
    const { pen } = this, share = Number(this.wipeBar.value) / 100, cut = Math.round(share * size);
    if (cut < size) pen.drawImage(this.video, size + cut, 0, size - cut, size, (cut * edge) / size, 0, edge - (cut * edge) / size, edge);
    pen.fillStyle = "white";
    pen.fillRect((cut * edge) / size - 1, 0, 2, edge);
  }

  drawDifference(size, edge) {
    const { pen } = this;
    pen.globalCompositeOperation = "difference";
    pen.drawImage(this.video, size, 0, size, size, 0, 0, edge, edge);
    pen.globalCompositeOperation = "lighter";
    // Adding the picture to itself twice multiplies the difference by four.
    for (let i = 0; i < 2; i++) pen.drawImage(this.canvas, 0, 0);
    pen.globalCompositeOperation = "source-over";
  }
}

/* Charts: show the values under the pointer, mark the clip's frame, and go to a frame on a click. */

function lineData(chart) {
  const { x0, x1, y0, y1, log } = chart.dataset;
  const toX = (x) => Number(x0) + (x / 1000) * (x1 - x0);
  const toY = (y) => { const v = Number(y0) + (1 - y / 300) * (y1 - y0); return log === "1" ? 10 ** v : v; };
  return all(chart, "path.line").map((path) => ({
    label: path.dataset.label,
    tone: path.getAttribute("class"),
    points: (path.getAttribute("d").match(/[ML][^ML]+/g) || []).map((step) => {
      const [x, y] = step.slice(1).split(" ").map(Number);
      return { at: x, x: toX(x), y: toY(y) };
    }),
  }));
}

class Chart {
  constructor(root) {
    this.root = root;
    this.plot = root.querySelector(".plot");
    this.plot.addEventListener("pointermove", (event) => this.show(event));
    this.plot.addEventListener("pointerleave", () => this.tip?.remove());
  }

  get lines() {
    return (this.data ||= lineData(this.root));
  }

  position(event) {
    const box = this.plot.getBoundingClientRect();
    return (1000 * (event.clientX - box.left)) / box.width;
  }

  xAt(event) {
    const { x0, x1 } = this.root.dataset;
    return Number(x0) + (this.position(event) / 1000) * (x1 - x0);
  }

  show(event) {
    const at = this.position(event), right = at > 500;
    const nearest = this.lines.filter((line) => line.points.length).map((line) => ({
      ...line, point: line.points.reduce((a, b) => (Math.abs(b.at - at) < Math.abs(a.at - at) ? b : a)),
    }));
    if (!nearest.length) return;
    this.tip ||= Object.assign(document.createElement("div"), { className: "tip" });
    const digits = (value) => Number(value.toPrecision(4)).toString();
    const head = document.createElement("div");
    head.textContent = digits(nearest[0].point.x);
    this.tip.replaceChildren(head, ...nearest.map((line) => {
      const row = document.createElement("div");
      row.className = line.tone.match(/t\d/)[0];
      row.textContent = `${line.label}: ${digits(line.point.y)}`;
      return row;
    }));
    Object.assign(this.tip.style, right
      ? { left: "auto", right: `${100 - at / 10 + 2}%` }
      : { left: `${at / 10 + 2}%`, right: "auto" });
    this.plot.append(this.tip);
  }

  mark(x) {
    const { x0, x1 } = this.root.dataset;
    const at = (1000 * (x - x0)) / (x1 - x0);
    if (!this.cursor) {
      this.cursor = document.createElementNS(SVG, "path");
      this.cursor.setAttribute("class", "cursor");
      this.plot.querySelector("svg").append(this.cursor);
    }
    this.cursor.setAttribute("d", `M${at} 0V300`);
  }
}

/* Subjects: each has a tab, one chosen metric and one player. */

function setUpSubject(article) {
  const frameCharts = all(article, ".chart.by-frame").map((root) => new Chart(root));
  all(article, ".chart.by-motion").forEach((root) => new Chart(root));
  const root = article.querySelector(".player");
  const player = root && new Player(root, (frame) => frameCharts.forEach((chart) => chart.mark(frame)));
  frameCharts.forEach((chart) => chart.plot.addEventListener("click", (event) => player?.seekFrame(chart.xAt(event))));
  const buttons = all(article, ".metrics button");
  const choose = (metric) => {
    buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.metric === metric)));
    all(article, ".of-metric").forEach((part) => (part.hidden = part.dataset.metric !== metric));
  };
  buttons.forEach((button) => button.addEventListener("click", () => choose(button.dataset.metric)));
  if (buttons.length) choose(buttons[0].dataset.metric);
  return {
    open: () => { if (player && !player.clip) player.open(root.dataset.clips.split(" ")[0]); },
    close: () => player?.video.pause(),
  };
}

function setUpTabs(list) {
  const tabs = all(list, "[role=tab]");
  const panels = tabs.map((tab) => document.getElementById(tab.getAttribute("aria-controls")));
  const subjects = panels.map(setUpSubject);
  const choose = (chosen) => tabs.forEach((tab, i) => {
    const on = i === chosen;
    tab.setAttribute("aria-selected", String(on));
    tab.tabIndex = on ? 0 : -1;
    panels[i].hidden = !on;
    if (on) subjects[i].open();
    else subjects[i].close();
  });
  tabs.forEach((tab, i) => {
    tab.addEventListener("click", () => choose(i));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = (i + step + tabs.length) % tabs.length;
      choose(next);
      tabs[next].focus();
    });
  });
  choose(0);
}

all(document, "[role=tablist]").forEach(setUpTabs);
all(document, "#training .chart").forEach((root) => new Chart(root));

/* Commands: copy one with a click. */

all(document, ".copy").forEach((button) => button.addEventListener("click", async () => {
  const command = button.parentElement.querySelector(".command");
  try {
    await navigator.clipboard.writeText(command.textContent);
    button.textContent = "copied";
  } catch {
    const range = document.createRange();
    range.selectNodeContents(command);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    button.textContent = "selected";
  }
  setTimeout(() => (button.textContent = "copy"), 1500);
}));
