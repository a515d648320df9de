"use strict";
// The page of skadl app: it asks the program for pictures and shows what it works on.

const at = (id) => document.getElementById(id);
const seen = { number: null, facts: null, zoom: "fit", x: 0, y: 0, denoised: false, turn: 0 };

async function ask(address, body) {
  const options = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  let answer;
  try {
    answer = await fetch(address, options);
  } catch {
    throw new Error("skadl has ended. Start skadl app again, then reload this page.");
  }
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.error);
  return content;
}

function complain(error) {
  at("error").textContent = error ? error.message : "";
  at("error").hidden = !error;
}

// Runs what a person asked for, and shows what went wrong.
async function attempt(work) {
  complain(null);
  try {
    return await work();
  } catch (error) {
    complain(error);
  }
}

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

// Tabs

function showTab(name) {
  for (const tab of document.querySelectorAll("[role=tab]")) {
    const chosen = tab.id === `tab-${name}`;
    tab.setAttribute("aria-selected", chosen);
    tab.tabIndex = chosen ? 0 : -1;
    at(tab.getAttribute("aria-controls")).hidden = !chosen;
  }
  if (name === "denoise") draw();
}

const tabs = [...document.querySelectorAll("[role=tab]")];
tabs.forEach((tab, index) => {
  tab.onclick = () => showTab(tab.getAttribute("aria-controls"));
  tab.onkeydown = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = tabs[(index + step + tabs.length) % tabs.length];
    next.focus();
    next.click();
  };
});

// Files

at("open").onsubmit = (event) => {
  event.preventDefault();
  attempt(async () => {
    const { turn } = seen;
    const added = await ask("/api/open", { place: at("place").value });
    await look();
    if (turn === seen.turn) choose(added[0].number); // no other was chosen meanwhile
  });
};

async function take(files) {
  for (const file of files) {
    await attempt(async () => {
      const address = `/api/upload?name=${encodeURIComponent(file.name)}`;
      const answer = await fetch(address, { method: "POST", body: file });
      const added = await answer.json();
      if (!answer.ok) throw new Error(added.error);
      await look();
      await choose(added.number);
    });
  }
}
at("choose").onchange = () => take(at("choose").files);
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") take(event.dataTransfer.files);
  });
}

function listFiles(files) {
  const shown = files.map((file) => {
    const row = element("li");
    const name = element("button", file.name, "name");
    name.type = "button";
    name.setAttribute("aria-pressed", file.number === seen.number);
    name.onclick = () => choose(file.number);
    const away = element("button", "×");
    away.type = "button";
    away.title = `Take ${file.name} off the list`;
    away.setAttribute("aria-label", away.title);
    away.onclick = () => attempt(async () => {
      await ask("/api/remove", { number: file.number });
      if (file.number === seen.number) {
        seen.number = null;
        at("viewer").hidden = true;
        at("welcome").hidden = false;
      }
      await look();
    });
    row.append(name, away);
    return row;
  });
  const list = at("files");
  const text = JSON.stringify([files, seen.number]);
  if (list.dataset.text !== text) list.replaceChildren(...shown);
  list.dataset.text = text;
}

async function choose(number) {
  await attempt(async () => {
    const turn = (seen.turn += 1);
    at("busy").textContent = "Reading…";
    let facts;
    try {
      facts = await ask(`/api/file/${number}`);
    } finally {
      if (turn === seen.turn) at("busy").textContent = "";
    }
    if (turn !== seen.turn) return; // another was chosen meanwhile
    Object.assign(seen, { number, facts, denoised: false });
    seen.x = facts.width / 2;
    seen.y = facts.height / 2;
    at("welcome").hidden = true;
    at("viewer").hidden = false;
    const rows = [
      ["Camera", facts.camera || "not in the file"],
      ["ISO", facts.iso === null ? "not in the file" : String(Math.round(facts.iso))],
      ["Noise", facts.noise || "not known"],
      ["Known from", facts.origin],
      ...facts.notes.map((note) => ["Note", note]),
    ];
    at("facts").replaceChildren(
      ...rows.flatMap(([name, text]) => [element("dt", name), element("dd", text)]),
    );
    draw();
    await look();
    await ask("/api/denoise", { number });
    await look();
  });
}

// The picture

function windowShown() {
  const { facts, zoom } = seen;
  if (zoom === "fit") {
    return { x: 0, y: 0, width: facts.width, height: facts.height, side: 1400 };
  }
  const width = Math.min(facts.width, Math.ceil(at("stage").clientWidth / zoom));
  const height = Math.min(facts.height, Math.ceil(at("stage").clientHeight / zoom));
  const keep = (middle, size, whole) =>
    Math.round(Math.max(0, Math.min(middle - size / 2, whole - size)));
  const x = keep(seen.x, width, facts.width);
  const y = keep(seen.y, height, facts.height);
  seen.x = x + width / 2;
  seen.y = y + height / 2;
  return { x, y, width, height };
}

function draw() {
  if (seen.number === null || at("stage").clientWidth === 0) return;
  const { zoom } = seen;
  const part = windowShown();
  const address = `/api/file/${seen.number}/picture?${new URLSearchParams(part)}`;
  const strength = at("strength").value / 100;
  const pictures = { before: address };
  pictures.after = seen.denoised ? `${address}&strength=${strength}` : address;
  at("stage").className = zoom === "fit" ? "fit" : "movable pixels";
  for (const [id, source] of Object.entries(pictures)) {
    const image = at(id);
    const place = () => {
      image.style.width = zoom === "fit" ? "" : `${part.width * zoom}px`;
      image.style.left = image.style.top = "50%";
      image.style.transform = zoom === "fit" ? "translate(-50%, -50%)" : "translate(-50%, -50%)";
      split();
    };
    if (image.dataset.source === source) {
      place();
      continue;
    }
    image.dataset.source = source;
    const loaded = new Image();
    loaded.onload = () => {
      if (image.dataset.source !== source) return; // another is wanted by now
      image.src = source;
      image.decode().then(place, place);
    };
    loaded.onerror = () => complain(new Error("The picture cannot be shown; open the file again."));
    loaded.src = source;
  }
}

function split() {
  const share = at("split").value / 100;
  const stage = at("stage").getBoundingClientRect();
  at("line").style.left = `${100 * share}%`;
  const after = at("after");
  const box = after.getBoundingClientRect();
  const cut = Math.max(0, Math.min(box.width, stage.left + share * stage.width - box.left));
  after.style.clipPath = `inset(0 0 0 ${cut}px)`;
}
at("split").oninput = split;
at("strength").oninput = () => {
  at("strength-shown").textContent = `${at("strength").value} %`;
};
at("strength").onchange = draw;
window.addEventListener("resize", draw);

for (const button of document.querySelectorAll("[data-zoom]")) {
  button.onclick = () => {
    seen.zoom = button.dataset.zoom === "fit" ? "fit" : Number(button.dataset.zoom);
    for (const other of document.querySelectorAll("[data-zoom]")) {
      other.setAttribute("aria-pressed", other === button);
    }
    draw();
  };
}

function move(dx, dy) {
  seen.x += dx;
  seen.y += dy;
  draw();
}
at("stage").onkeydown = (event) => {
  const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  if (!step[event.key] || seen.zoom === "fit") return;
  event.preventDefault();
  move(...step[event.key].map((x) => x * 100));
};
let grabbed = null;
at("stage").onpointerdown = (event) => {
  if (seen.zoom === "fit") return;
  grabbed = [event.clientX, event.clientY];
  at("stage").setPointerCapture(event.pointerId);
};
at("stage").onpointermove = (event) => {
  if (!grabbed) return;
  const [dx, dy] = [event.clientX - grabbed[0], event.clientY - grabbed[1]];
  for (const id of ["before", "after"]) {
    at(id).style.transform = `translate(calc(-50% + ${dx}px), calc(-50% + ${dy}px))`;
  }
  split();
};
at("stage").onpointerup = (event) => {
  if (!grabbed) return;
  const [dx, dy] = [event.clientX - grabbed[0], event.clientY - grabbed[1]];
  grabbed = null;
  if (dx || dy) move(-dx / seen.zoom, -dy / seen.zoom);
};

// Writing, checking, fitting

at("write").onsubmit = (event) => {
  event.preventDefault();
  attempt(async () => {
    const all = event.submitter && event.submitter.value === "all";
    const state = await ask("/api/state");
    const numbers = all ? state.files.map((file) => file.number) : [seen.number];
    await ask("/api/write", {
      numbers, out: at("out").value, strength: at("strength").value / 100,
    });
    await look();
  });
};
at("check-form").onsubmit = (event) => {
  event.preventDefault();
  attempt(async () => {
    await ask("/api/check", { place: at("check-place").value });
    await look();
  });
};
at("fit-form").onsubmit = (event) => {
  event.preventDefault();
  attempt(async () => {
    await ask("/api/fit", {
      place: at("fit-place").value,
      model: at("fit-model").value,
      sources: at("fit-sources").checked,
    });
    await look();
  });
};
async function useModel(path) {
  await attempt(async () => {
    await ask("/api/model", { path });
    await look();
    showTab("denoise");
    if (seen.number !== null) await choose(seen.number);
  });
}
at("universal").onclick = () => useModel("");

function lasting(seconds) {
  if (seconds === null) return "";
  return seconds < 90 ? `about ${Math.ceil(seconds)} s left` : `about ${Math.round(seconds / 60)} min left`;
}

const words = { write: "Writing", check: "Checking", fit: "Fitting", denoise: "Denoising" };

function jobRow(job) {
  const row = element("div", undefined, "job");
  const active = job.state === "waiting" || job.state === "running";
  const head = element("div", `${words[job.kind]} ${job.label}: ${job.state}`);
  row.append(head);
  if (active) {
    const bar = element("progress");
    if (job.total) {
      bar.max = job.total;
      bar.value = job.done;
    }
    const cancel = element("button", "Cancel");
    cancel.type = "button";
    cancel.onclick = () => attempt(async () => {
      await ask("/api/cancel", { number: job.number });
      await look();
    });
    row.append(bar, element("div", `${job.message} ${lasting(job.seconds_left)}`, "small"), cancel);
  }
  if (job.state === "failed") row.append(element("div", job.message, "bad"));
  if (job.kind === "write" && job.result) row.append(writtenList(job.result));
  if (job.kind === "check" && job.result) row.append(checkTable(job.result));
  if (job.kind === "fit" && job.result) row.append(fitReport(job.result));
  return row;
}

function writtenList(files) {
  const list = element("ul");
  for (const file of files) {
    const text = file.error || (file.kept ? `${file.output} was there already` : file.output);
    list.append(element("li", text, file.error ? "bad" : ""));
  }
  return list;
}

function checkTable(result) {
  const table = element("table");
  for (const pair of result.pairs) {
    const row = element("tr");
    row.append(element("td", pair.name), element("td", pair.verdict, pair.verdict));
    const said = element("td", [pair.what, pair.next_step].filter(Boolean).join(". "));
    if (pair.picture !== null) {
      const image = element("img");
      image.src = `/api/check/${pair.picture}/picture`;
      image.alt = `What was found in ${pair.name}`;
      image.loading = "lazy";
      said.append(image);
    }
    row.append(said);
    table.append(row);
  }
  const whole = element("div");
  const count = result.pairs.filter((pair) => pair.verdict === "good").length;
  whole.append(element("p", `${count} of ${result.pairs.length} pairs are good.`), table);
  for (const problem of result.problems) {
    whole.append(element("p", typeof problem === "string" ? problem : Object.values(problem).join(": "), "bad"));
  }
  return whole;
}

function fitReport(result) {
  const whole = element("div");
  const { report } = result;
  whole.append(element("p", `Written: ${result.model}`));
  const first = { noisy: "Noisy frames", start: "The network that comes with skadl" };
  const known = report.stages.filter((stage) => stage.psnr !== null);
  const lines = known.filter((stage) => first[stage.name]);
  if (known.length > lines.length) lines.push(known[known.length - 1]);
  for (const stage of lines) {
    const name = first[stage.name] || "Your model";
    whole.append(element("p", `${name}: ${stage.psnr.toFixed(2)} dB`));
  }
  const table = element("table");
  for (const domain of report.domains) {
    const row = element("tr");
    row.append(
      element("td", domain.domain),
      element("td", `${domain.accepted} of ${domain.offered} batches taken`),
    );
    table.append(row);
  }
  whole.append(table);
  for (const note of report.notes) whole.append(element("p", note, "small"));
  const use = element("button", "Use it to denoise");
  use.type = "button";
  use.onclick = () => useModel(result.model);
  whole.append(use);
  return whole;
}

function listJobs(jobs) {
  for (const [id, kinds] of [["denoise", ["write"]], ["check", ["check"]], ["fit", ["fit"]]]) {
    const own = jobs.filter((job) => kinds.includes(job.kind)).reverse();
    const text = JSON.stringify(own);
    const place = at(`jobs-${id}`);
    if (place.dataset.text === text) continue;
    place.dataset.text = text;
    const focused = place.contains(document.activeElement);
    place.replaceChildren(...own.map(jobRow));
    if (focused && place.querySelector("button")) place.querySelector("button").focus();
  }
}

// What the program does meanwhile

async function look() {
  const state = await ask("/api/state");
  listFiles(state.files);
  listJobs(state.jobs);
  if (!at("out").value) at("out").value = state.out;
  at("model").textContent = state.model || "the one that comes with skadl";
  at("universal").hidden = !state.model;
  const own = state.jobs.filter((job) => job.kind === "denoise").pop();
  const busy = own && (own.state === "running" || own.state === "waiting");
  const failed = own && own.state === "failed";
  if (seen.number !== null) {
    at("busy").textContent = busy ? "Denoising…" : "";
    if (failed && own.number !== seen.complained) {
      seen.complained = own.number;
      complain(new Error(own.message));
    }
    const denoised = state.denoised.includes(seen.number);
    if (denoised !== seen.denoised) {
      seen.denoised = denoised;
      draw();
    }
  }
  return state;
}

async function keepLooking() {
  try {
    await look();
    if (at("error").dataset.ended) {
      delete at("error").dataset.ended;
      complain(null);
    }
  } catch (error) {
    at("error").dataset.ended = "yes";
    complain(error);
  }
  setTimeout(keepLooking, 700);
}
keepLooking();
