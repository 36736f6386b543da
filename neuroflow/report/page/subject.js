// One subject: its sessions and results, its figures, its runs and their attempts; in a dialog that #sub-01 opens.
let shownAddress = null;

function linksOf(place) {
  return (place >= 0 && DATA.links[place]) || [];
}
function linkList(links) {
  return links.map(([name, href], position) => [position ? ", " : "", el("a", { href, target: "_blank", rel: "noopener" }, name)]);
}

function sessionTable(index) {
  const linked = PIPELINES.some((_, column) => linksOf(runAt(column, index)).length);
  const rows = PIPELINES.map((pipeline, column) => {
    const place = runAt(column, index);
    const known = place >= 0;
    const tries = known ? attemptsOf(place) : [];
    const rss = tries.length ? ATTEMPTS.rss[tries[tries.length - 1]] : null;
    return el("tr", {}, el("th", { scope: "row" }, pipeline.name), el("td", { class: "any" }, stateTag(stateAt(column, index)),
        reasonAt(column, index) ? el("div", { class: "soft" }, reasonAt(column, index)) : null),
      el("td", { class: "at" }, known ? el("a", { href: `#run-${RUNS.id[place]}` }, `run ${RUNS.id[place]}`) : ""),
      el("td", { class: "number" }, known ? duration(minutesOf(RUNS, place)) : ""), el("td", { class: "number" }, memory(rss)),
      ANONYMOUS ? null : el("td", { class: "at" }, known ? moment(RUNS.ended[place]) : ""), linked ? el("td", { class: "any" }, linkList(linksOf(place))) : null);
  });
  const reason = text(SESSIONS.reason[index]);
  return [el("h3", {}, sessionName(index)), SESSIONS.status[index] !== "r" && reason ? el("p", { class: "soft any" }, reason) : null,
    scroller(`Pipelines of ${sessionName(index)}`, el("table", {}, el("caption", { class: "unseen" }, `Pipelines of ${sessionName(index)}`),
      el("thead", {}, el("tr", {}, ["Pipeline", "State", "Run", "Last attempt took", "Memory", ...(ANONYMOUS ? [] : ["Ended (UTC)"]), ...(linked ? ["Reports"] : [])].map((word, place) =>
        el("th", { scope: "col", class: place === 3 || place === 4 ? "number" : null }, word)))), el("tbody", {}, rows)))];
}

function figureTable(sessions) {
  const kinds = figureKinds().filter((kind) => sessions.some((session) => kind.bySession.has(session)));
  if (!kinds.length) return null;
  return [el("h3", {}, "Key figures"), scroller("Key figures of this subject", el("table", {}, el("caption", { class: "unseen" }, "Key figures"),
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Figure"), sessions.map((session) => el("th", { scope: "col", class: "number" }, sessionName(session))),
      el("th", { scope: "col", class: "number" }, "Cohort's median"), el("th", { scope: "col" }, "In the cohort"))),
    el("tbody", {}, kinds.map((kind) => el("tr", {}, el("th", { scope: "row" }, kind.label, " ", el("span", { class: "soft" }, kind.pipeline)),
      sessions.map((session) => el("td", { class: "number" }, kind.bySession.has(session) ? withUnit(kind, kind.bySession.get(session)) : "",
        kind.far.some((one) => one.session === session) ? el("strong", {}, " far") : null)),
      el("td", { class: "number" }, withUnit(kind, kind.median)),
      el("td", { class: "plot" }, kind.sorted.length > 1 ? spread(kind, 150, sessions.filter((session) => kind.bySession.has(session)).map((session) => kind.bySession.get(session))) : ""))))))];
}

function attemptTable(place) {
  const rows = attemptsOf(place);
  if (!rows.length) {
    return el("p", { class: "soft" }, ATTEMPTS.complete ? "It has had no attempt." : `It came through at the first attempt${ANONYMOUS ? "" : `; neuroflow runs show ${RUNS.id[place]} has more`}.`);
  }
  const used = (row) => [duration(minutesOf(ATTEMPTS, row)), memory(ATTEMPTS.rss[row])].filter(Boolean).join(", ");
  return scroller(`Attempts of run ${RUNS.id[place]}`, el("table", { class: "attempts" }, el("caption", { class: "unseen" }, `Attempts of run ${RUNS.id[place]}`),
    el("thead", {}, el("tr", {}, ["Attempt", "Outcome", ...(ANONYMOUS ? [] : ["Job", "Node"]), "Asked for", "Used", ...(ANONYMOUS ? [] : ["Ended (UTC)"]), "Tool"].map((word) => el("th", { scope: "col" }, word)))),
    el("tbody", {}, rows.map((row) => el("tr", {}, el("th", { scope: "row" }, ATTEMPTS.number[row]),
      el("td", { class: "any" }, text(ATTEMPTS.status[row]), ATTEMPTS.failure[row] ? ` (${text(ATTEMPTS.failure[row]).replaceAll("_", " ")})` : "",
        ATTEMPTS.failure[row] && ATTEMPTS.message[row] ? el("div", { class: "soft" }, text(ATTEMPTS.message[row])) : null),
      ANONYMOUS ? null : [el("td", {}, [text(ATTEMPTS.where[row]), text(ATTEMPTS.job[row])].filter(Boolean).join(" ")), el("td", {}, text(ATTEMPTS.host[row]))],
      el("td", {}, text(ATTEMPTS.request[row])), el("td", {}, used(row)), ANONYMOUS ? null : el("td", { class: "at" }, moment(ATTEMPTS.ended[row])), el("td", {}, text(ATTEMPTS.version[row])))))));
}

function runDetails(place, chosen) {
  const id = RUNS.id[place];
  const words = [RUNS.superseded[place] ? "replaced by a later one" : "", text(RUNS.failure[place]).replaceAll("_", " ")].filter(Boolean).join(", ");
  return el("details", { class: `run ${chosen ? "chosen" : ""}`, open: chosen, id: `details-${id}` },
    el("summary", {}, el("strong", {}, `Run ${id}: ${pipelineOf(place)}`), ` of ${scopeOf(place)}, ${text(RUNS.status[place]).replaceAll("_", " ")}${words ? ` (${words})` : ""}`),
    RUNS.error[place] ? el("p", { class: "any" }, text(RUNS.error[place])) : null,
    text(RUNS.reason[place]) && RUNS.reason[place] !== RUNS.error[place] ? el("p", { class: "soft any" }, text(RUNS.reason[place])) : null,
    RUNS.started[place] === null && RUNS.ended[place] === null ? null : el("p", { class: "soft" }, [RUNS.started[place] === null ? "" : `Started ${moment(RUNS.started[place])}`,
      RUNS.ended[place] === null ? "" : `ended ${moment(RUNS.ended[place])}`].filter(Boolean).join(", ") + (RUNS.started[place] === null ? "" : " UTC")),
    linksOf(place).length ? el("p", {}, "Reports: ", linkList(linksOf(place))) : null,
    RUNS.output[place] ? el("p", { class: "soft any" }, "Results in ", el("code", {}, text(RUNS.output[place]))) : null,
    attemptTable(place));
}

function showSubject(subject, runId) {
  const dialog = byId("subject");
  const sessions = sessionsOf(subject);
  const runs = (runsBySubject().get(subject) || []).slice().reverse();
  const move = (step) => {
    const next = subject + step;
    return el("button", { type: "button", disabled: next < 0 || next >= DATA.subjects.length, onclick: () => goTo(subjectHash(next)) },
      step < 0 ? "Previous" : "Next", el("span", { class: "unseen" }, " subject"));
  };
  dialog.replaceChildren(
    el("div", { class: "head" }, el("h2", { id: "subject-name", tabindex: -1 }, subjectName(subject)),
      el("div", { class: "buttons" }, move(-1), move(1), el("button", { type: "button", onclick: () => dialog.close() }, "Close"))),
    el("div", { class: "body" }, sessions.map(sessionTable), figureTable(sessions), regionSections(sessions), el("h3", {}, "Runs, the newest first"),
      runs.map((place) => runDetails(place, RUNS.id[place] === runId))));
  document.body.classList.add("subject-open");
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  const run = runId === undefined ? null : byId(`details-${runId}`);
  if (run) {
    run.querySelector("summary").focus({ preventScroll: true });
    run.scrollIntoView({ block: "center", behavior: "instant" });
  } else byId("subject-name").focus({ preventScroll: true });
}

// Where a viewer shows the page in a sandboxed frame, the address can't be changed; the subject opens all the same.
function goTo(address) {
  try { location.hash = address; } catch { /* in a sandbox */ }
  follow(address);
}
function onLink(event) {
  const link = event.target.closest("a[href^='#run-'], a[href^='#sub-']");
  if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  goTo(link.getAttribute("href"));
}

function follow(address) {
  if (address === shownAddress && byId("subject").open) return;
  let hash = address;
  try { hash = decodeURIComponent(hash); } catch { /* a broken escape names nothing */ }
  shownAddress = address;
  const run = /^#run-(\d+)$/.exec(hash);
  const subject = hash.startsWith("#sub-") ? placeOfSubject.get(hash.slice(5)) : undefined;
  if (run && placeOfRun.has(Number(run[1]))) showSubject(RUNS.subject[placeOfRun.get(Number(run[1]))], Number(run[1]));
  else if (subject !== undefined) showSubject(subject);
  else if (byId("subject").open) byId("subject").close();
}

function onSubjectClosed() {
  shownAddress = null;
  document.body.classList.remove("subject-open");
  if (!/^#(run|sub)-/.test(location.hash)) return;
  try {
    history.replaceState(null, "", location.pathname + location.search);
  } catch { // a page in a sandbox may not
    location.hash = "";
  }
}
