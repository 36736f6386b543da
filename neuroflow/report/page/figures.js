// Key figures: how each is distributed over the cohort, and which sessions stand far from the others.
const FAR = 3.5; // robust z: Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993
const SHOWN_FAR = 4;

function distributed(kind) {
  const sorted = [...kind.values].sort((one, other) => one - other);
  const median = quantile(sorted, 0.5);
  const spread = quantile(kind.values.map((value) => Math.abs(value - median)).sort((one, other) => one - other), 0.5);
  const far = spread === 0 || sorted.length < 8 ? [] : kind.values.map((value, row) => ({ session: kind.sessions[row], value, z: (0.6745 * (value - median)) / spread }))
    .filter((one) => Math.abs(one.z) > FAR).sort((one, other) => Math.abs(other.z) - Math.abs(one.z));
  return { ...kind, sorted, median, first: quantile(sorted, 0.25), third: quantile(sorted, 0.75), far, bySession: new Map(kind.sessions.map((session, row) => [session, kind.values[row]])) };
}
const figureKinds = later(() => DATA.figures.kinds.map(distributed));
const withUnit = (kind, value) => `${figure(value)}${kind.unit ? ` ${kind.unit}` : ""}`;

function spread(kind, width, marked = []) {
  const height = 30;
  const low = kind.sorted[0];
  const high = kind.sorted[kind.sorted.length - 1];
  const x = (value) => 4 + (high === low ? 0.5 : (value - low) / (high - low)) * (width - 8);
  const count = 24;
  const heights = new Array(count).fill(0);
  kind.sorted.forEach((value) => { heights[Math.min(count - 1, Math.floor(high === low ? count / 2 : ((value - low) / (high - low)) * count))] += 1; });
  const most = Math.max(...heights);
  const wide = (width - 8) / count;
  return svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" },
    heights.map((here, index) => here ? svg("rect", { class: "hist", x: 4 + index * wide, width: wide - 0.6, y: 22 - Math.max((here / most) * 20, 1.2), height: Math.max((here / most) * 20, 1.2) }) : null),
    svg("line", { class: "whisker", x1: x(low), x2: x(high), y1: 26, y2: 26 }),
    kind.sorted.length < FEWEST ? null : svg("rect", { class: "box", x: x(kind.first), width: Math.max(x(kind.third) - x(kind.first), 2), y: 23.5, height: 5 }),
    marked.map((value) => svg("circle", { class: "dot", cx: x(value), cy: 20, r: 4.5 })));
}

function drawFigures() {
  const box = byId("figure-table");
  const { read, kept, left, unreadable, problems } = DATA.figures;
  const kinds = figureKinds();
  const notes = [];
  if (left) notes.push(`For ${plural(left, "result")} no time was left: make the report again, or with a longer --read-for.`);
  if (unreadable) notes.push(`${plural(unreadable, "result")} could not be read whole${problems.length ? `: ${problems.join("; ")}${unreadable > problems.length ? "; and others" : ""}` : ""}.`);
  const shownNotes = notes.map((note) => el("p", { class: "note any" }, note));
  if (!kinds.length) {
    fill(box, {}, [el("p", {}, read + kept + left ? "The results hold no key figures." : "No key figures were read."), shownNotes]);
    return;
  }
  const rows = kinds.map((kind) => el("tr", {},
    el("th", { scope: "row" }, kind.label, el("span", { class: "unseen" }, ","), " ", el("span", { class: "soft" }, kind.pipeline)),
    el("td", { class: "number" }, number(kind.sorted.length)),
    el("td", { class: "number" }, withUnit(kind, kind.median)),
    el("td", { class: "number" }, kind.sorted.length < FEWEST ? `too few (${kind.sorted.length})` : `${figure(kind.first)} – ${figure(kind.third)}`),
    el("td", { class: "number" }, `${figure(kind.sorted[0])} – ${figure(kind.sorted[kind.sorted.length - 1])}`),
    el("td", {}, spread(kind, 150)),
    el("td", {}, kind.far.length ? [kind.far.slice(0, SHOWN_FAR).map((one, position) => [position ? ", " : "",
      el("a", { href: subjectHash(SESSIONS.subject[one.session]), title: `${sessionName(one.session)}: ${withUnit(kind, one.value)}` }, scopeWords(SESSIONS.subject[one.session], one.session))]),
    kind.far.length > SHOWN_FAR ? ` and ${number(kind.far.length - SHOWN_FAR)} more` : ""] : el("span", { class: "soft" }, "none"))));
  fill(box, {}, [scroller("Key figures over all sessions", el("table", {}, el("caption", {}, "Over all sessions"),
    el("thead", {}, el("tr", {}, ["Figure", "Sessions", "Median", "Middle half", "Range", "Spread", "Far from the others"].map((word, index) =>
      el("th", { scope: "col", class: index && index < 5 ? "number" : null }, word)))), el("tbody", {}, rows))),
  el("p", { class: "note" }, `Read from ${plural(read + kept, "result")} of the pipelines. Far from the others: a robust z-score beyond ${FAR}, which calls for a look and proves nothing. Each subject's own values are on its page.`),
  shownNotes]);
}
