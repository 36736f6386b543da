// The first screen: how far the cohort is, pipeline by pipeline, and what needs a person.
function tile(value, words, mood) {
  return el("div", { class: `tile ${mood || ""}` }, el("dt", {}, words), el("dd", {}, value));
}

function drawOverview() {
  let done = 0;
  let stuck = 0;
  let working = 0;
  for (let index = 0; index < SESSION_COUNT; index += 1) {
    const letters = SESSIONS.states.map((column) => column[index]);
    if (letters.length && letters.every((letter) => letter === "C")) done += 1;
    else if (letters.includes("F") || SESSIONS.status[index] === "i") stuck += 1;
    else if (letters.some((letter) => "RQPTDO".includes(letter))) working += 1;
  }
  const share = SESSION_COUNT ? ` (${Math.floor((100 * done) / SESSION_COUNT)} % of all)` : "";
  byId("tiles").append(
    tile(number(DATA.subjects.length), DATA.subjects.length === 1 ? "subject" : "subjects"),
    tile(number(SESSION_COUNT), SESSION_COUNT === 1 ? "session" : "sessions"),
    tile(number(done), `sessions through all pipelines${share}`, done ? "good" : ""),
    tile(number(working), "sessions under way"),
    tile(number(stuck), "sessions that need a person", stuck ? "bad" : ""),
  );
  byId("pipelines").append(progressTable());
  byId("attention").append(...attention());
}

// Done is what came through over the present inputs; sessions that are invalid or excluded are nothing to do.
function doneOf(pipeline) {
  const done = pipeline.counts.C || 0;
  if (!pipeline.total) return "";
  return `${number(done)} of ${plural(pipeline.total, pipeline.level)} that can be run (${Math.floor((100 * done) / pipeline.total)} %)`;
}

function progressTable() {
  const rows = PIPELINES.map((pipeline) => {
    const counts = DATA.states.map((state) => [state, pipeline.counts[state.letter] || 0]).filter((pair) => pair[1]);
    counts.reverse(); // what is done comes first
    const total = counts.reduce((sum, pair) => sum + pair[1], 0);
    const bar = el("div", { class: "bar", "aria-hidden": "true" }, counts.map(([state, count]) => {
      const part = el("span", { class: `bar-${state.name}`, title: `${state.word}: ${number(count)}` });
      part.style.flex = `${count / total} 1 0`;
      return part;
    }));
    const buttons = counts.map(([state, count]) => el("button", {
      type: "button", class: `count st-${state.name}`, "data-state": state.letter,
      onclick: () => showInMatrix({ pipeline: pipeline.name, state: state.letter }),
    }, icon(state.name), `${number(count)} ${state.word}`, el("span", { class: "unseen" }, ", show them in the cohort")));
    return el("tr", {},
      el("th", { scope: "row" }, pipeline.name,
        el("span", { class: "title" }, `${pipeline.title}; runs by ${pipeline.level}`),
        pipeline.held && el("p", { class: "held any" }, `Held: ${pipeline.held}`)),
      el("td", {}, bar, el("p", { class: "done" }, doneOf(pipeline))),
      el("td", {}, el("div", { class: "counts" }, buttons)));
  });
  return el("table", { class: "progress" },
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Pipeline"), el("th", { scope: "col" }, "Progress"),
      el("th", { scope: "col" }, "Runs by state"))),
    el("tbody", {}, rows));
}

function attention() {
  const waiting = DATA.failures.filter((group) => group.waiting);
  const runs = waiting.reduce((sum, group) => sum + group.waiting, 0);
  const held = PIPELINES.filter((pipeline) => pipeline.held);
  const invalid = SESSIONS.status.filter((status) => status === "i").length;
  if (!runs && !held.length && !invalid) return [];
  const items = held.map((pipeline) => el("li", { class: "any" }, el("strong", {}, pipeline.name), ` is held: ${pipeline.held}`));
  if (runs) {
    items.push(el("li", {}, el("strong", {}, plural(runs, "run")), " failed for good, ",
      waiting.length === 1 ? "all in one way. " : `in ${waiting.length} ways. `, el("a", { href: "#failures" }, "See why")));
  }
  if (invalid) {
    items.push(el("li", {}, el("strong", {}, plural(invalid, "session")), invalid === 1 ? " is invalid" : " are invalid",
      el("span", { class: "screen" }, ": "), el("button", { type: "button", class: "plain", id: "show-invalid", onclick: () => showInMatrix({ status: "i" }) }, invalid === 1 ? "show it" : "show them")));
  }
  return [el("div", { class: "card" }, el("h3", {}, "What needs a person"), el("ul", {}, items))];
}
