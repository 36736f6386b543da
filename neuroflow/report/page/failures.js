// What failed alike, the largest need first.
const FIRST_GROUPS = 12;

function runLink(id) {
  const place = placeOfRun.get(id);
  return place === undefined ? `run ${id}` : el("a", { href: `#run-${id}` }, scopeOf(place));
}

function failureWords(group) {
  if (!ANONYMOUS) return group.example || "No message was left";
  return `${group.pipeline} failed${group.failure ? `: ${group.failure.replaceAll("_", " ")}` : ""}`;
}

function groupCard(group) {
  const tag = (state, words) => el("span", { class: `tag state st-${state.name}` }, icon(state.name), words);
  const waits = [group.waiting ? tag(STATES.F, plural(group.waiting, "run waits for a person", "runs wait for a person")) : null,
    group.underWay ? tag(STATES.T, plural(group.underWay, "run is tried again", "runs are tried again")) : null,
    group.waiting || group.underWay ? null : el("span", { class: "tag" }, "none waits for a person")];
  const more = (group.waiting || group.runs) - group.examples.length;
  return el("li", { class: "card group" },
    el("h3", {}, failureWords(group)),
    el("div", { class: "chips" }, waits, el("span", { class: "tag" }, group.pipeline),
      group.failure && el("span", { class: "tag" }, group.failure.replaceAll("_", " ")),
      el("span", { class: "tag" }, `${plural(group.attempts, "attempt")} of ${plural(group.runs, "run")}`),
      group.signature && el("span", { class: "tag" }, "signature ", el("code", {}, group.signature))),
    group.lastAt === null ? null : el("p", { class: "soft" }, group.firstAt === group.lastAt ? `On ${moment(group.lastAt)} UTC`
      : `From ${moment(group.firstAt)} to ${moment(group.lastAt)} UTC`),
    el("p", {}, group.waiting ? "Waiting: " : "Met by: ",
      group.examples.map((id, position) => [position ? ", " : "", runLink(id)]), more > 0 ? ` and ${number(more)} more. ` : ". ",
      group.waiting && group.signature ? el("button", { type: "button", class: "plain",
        onclick: () => showInMatrix({ pipeline: group.pipeline, signature: group.signature }) }, "Show them in the cohort") : null),
    group.lines.length ? el("details", {}, el("summary", {}, `The end of the log of run ${group.exampleRun}`),
      el("pre", { tabindex: 0 }, group.lines.join("\n"))) : null,
    group.waiting && group.signature && !ANONYMOUS ? el("p", { class: "note" }, "On the cluster: ", el("code", {}, `neuroflow recovery show ${group.signature}`),
      " shows more, ", el("code", {}, `neuroflow recovery retry-all --signature ${group.signature}`), " runs them again.") : null);
}

function drawFailures() {
  const box = byId("failure-groups");
  if (!DATA.failures.length) {
    box.append(el("div", { class: "card" }, el("p", {}, "Nothing has failed.")));
    return;
  }
  const list = el("ul", { class: "groups" }, DATA.failures.slice(0, FIRST_GROUPS).map(groupCard));
  box.append(list);
  const rest = DATA.failures.slice(FIRST_GROUPS);
  if (rest.length) {
    const more = el("button", { type: "button", onclick: () => {
      const cards = rest.map(groupCard);
      list.append(...cards);
      more.remove();
      cards[0].querySelector("a, summary, button")?.focus();
    } }, `Show ${plural(rest.length, "more kind")} of failure`);
    box.append(el("p", {}, more));
  }
  if (DATA.failuresLeftOut) box.append(el("p", { class: "note" }, `${plural(DATA.failuresLeftOut, "rarer kind")} of failure are not in this page.`));
}
