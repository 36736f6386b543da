// The cohort matrix: a table of which only the rows in sight exist, with one tab stop and arrow keys inside.
const OVERSCAN = 12;
const MOST_PRINTED = 3000;
const DATED = ANONYMOUS ? 0 : 1; // columns for the last change
const COLUMN_COUNT = PIPELINES.length + 1 + DATED;
const isDated = (column) => DATED === 1 && column === COLUMN_COUNT - 1;
const collator = new Intl.Collator("en", { numeric: true });
const matrix = { order: [], sort: { column: 0, down: false }, active: { row: 0, column: 0 }, rows: new Map(), printing: false };
const filters = { text: "", state: "", pipeline: "", signature: "", status: "" };
let matrixBox;
let matrixBody;
let spaceAbove;
let spaceBelow;

const haystacks = later(() => Array.from({ length: SESSION_COUNT }, (_, index) =>
  `${subjectName(SESSIONS.subject[index])} ${sessionName(index)}`.toLowerCase()));
const changes = later(() => Array.from({ length: SESSION_COUNT }, (_, index) => lastChange(index)));
const rowHeight = () => (window.matchMedia("screen and (max-width: 46rem)").matches ? 44 : 34);

function columnHead(index, long, short) {
  const arrow = svg("svg", { class: "arrow", viewBox: "0 0 8 8", "aria-hidden": "true" }, svg("path", { d: "M4 1l3.5 6h-7z" }));
  return el("th", { scope: "col", "aria-colindex": index + 1, class: isDated(index) ? "when" : null },
    el("button", { type: "button", onclick: () => sortBy(index), title: `Sort by ${long}` },
      el("span", { class: "long" }, long), el("span", { class: "short", "aria-hidden": "true" }, short), arrow),
    // Chromium repeats the head on each page, but no button in it.
    el("span", { class: "paper", "aria-hidden": "true" }, long));
}

function buildMatrix() {
  matrixBox = byId("matrix");
  matrixBody = el("tbody", {});
  spaceAbove = el("td", {});
  spaceBelow = el("td", {});
  const shorts = { bids_conversion: "BIDS", qsiprep: "prep", qsirecon: "recon", qsiparc: "parc" };
  const heads = [columnHead(0, "Session", "Session"),
    ...PIPELINES.map((pipeline, index) => columnHead(index + 1, pipeline.name, shorts[pipeline.name] || pipeline.name.slice(0, 6))),
    DATED ? columnHead(COLUMN_COUNT - 1, "Last change (UTC)", "Changed") : []].flat();
  const columns = heads.map((_, index) => el("col", { class: isDated(index) ? "when-col" : index === 0 ? "first" : null }));
  const table = el("table", {
    role: "grid", "aria-label": "Cohort: sessions by pipeline. Arrow keys move, Enter opens.", "aria-colcount": COLUMN_COUNT,
    "aria-readonly": "true", onkeydown: onMatrixKey, onfocusin: onMatrixFocus,
  }, el("colgroup", {}, columns), el("thead", {}, el("tr", { "aria-rowindex": 1 }, heads)),
  el("tbody", { class: "space", "aria-hidden": "true" }, el("tr", {}, spaceAbove)), matrixBody,
  el("tbody", { class: "space", "aria-hidden": "true" }, el("tr", {}, spaceBelow)));
  matrixBox.append(table);
  matrix.table = table;
  let asked = false;
  const onScroll = () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => { asked = false; drawRows(); });
  };
  matrixBox.addEventListener("scroll", onScroll, { passive: true });
  new ResizeObserver(onScroll).observe(matrixBox);
  for (const [name, printing] of [["beforeprint", true], ["afterprint", false]]) {
    window.addEventListener(name, () => { matrix.printing = printing; drawRows(); printPlots(printing); });
  }
  buildFilters();
  buildLegend();
  refresh();
}

function buildFilters() {
  const option = (value, words) => el("option", { value }, words);
  const present = DATA.states.filter((state) => SESSIONS.states.some((column) => column.includes(state.letter)));
  const on = (key, read) => (event) => { filters[key] = read(event.target); filters.signature = filters.status = ""; syncFilters(); refresh(); };
  byId("filters").append(
    el("label", {}, "Search", el("input", { type: "search", id: "f-text", placeholder: ANONYMOUS ? "subject 1 …" : "sub-01, ses-02 …", autocomplete: "off",
      spellcheck: "false", oninput: on("text", (target) => target.value) })),
    el("label", {}, "State", el("select", { id: "f-state", onchange: on("state", (target) => target.value) },
      option("", "any"), present.map((state) => option(state.letter, state.word)))),
    el("label", {}, "Pipeline", el("select", { id: "f-pipeline", onchange: on("pipeline", (target) => target.value) },
      option("", "any"), PIPELINES.map((pipeline) => option(pipeline.name, pipeline.name)))),
    el("label", { class: "check" }, el("input", { type: "checkbox", id: "f-failed",
      onchange: on("state", (target) => (target.checked ? "F" : "")) }), "only failed"),
    el("button", { type: "button", id: "f-reset", onclick: () => showInMatrix({}, false) }, "Show all"),
  );
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
}

function syncFilters() {
  byId("f-text").value = filters.text;
  byId("f-state").value = filters.state;
  byId("f-pipeline").value = filters.pipeline;
  byId("f-failed").checked = filters.state === "F";
}

function showInMatrix(wanted, move = true) {
  Object.assign(filters, { text: "", state: "", pipeline: "", signature: "", status: "" }, wanted);
  syncFilters();
  refresh();
  if (move) {
    byId("cohort").scrollIntoView();
    byId("h-cohort").focus({ preventScroll: true });
  }
}

function buildLegend() {
  byId("legend").append(el("details", {}, el("summary", {}, "What the states mean"),
    el("ul", {}, DATA.states.map((state) => el("li", {}, stateTag(state), ` ${state.about}`)))));
}

function matches(index, words, columns) {
  if (words.length && !words.every((word) => haystacks()[index].includes(word))) return false;
  if (filters.status && SESSIONS.status[index] !== filters.status) return false;
  if (filters.signature) {
    return columns.some((column) => {
      const place = runAt(column, index);
      return place >= 0 && text(RUNS.signature[place]) === filters.signature && text(RUNS.status[place]) === "failed"
        && !"DS".includes(SESSIONS.states[column][index]);
    });
  }
  return !filters.state || columns.some((column) => SESSIONS.states[column][index] === filters.state);
}

function refresh() {
  const words = filters.text.toLowerCase().split(/\s+/).filter(Boolean);
  const columns = PIPELINES.map((_, column) => column).filter((column) => !filters.pipeline || PIPELINES[column].name === filters.pipeline);
  const order = [];
  for (let index = 0; index < SESSION_COUNT; index += 1) if (matches(index, words, columns)) order.push(index);
  sortOrder(order);
  matrix.order = order;
  matrix.active = { row: 0, column: matrix.active.column };
  matrix.rows.forEach((row) => row.remove());
  matrix.rows.clear();
  matrixBox.scrollTop = 0;
  matrix.table.setAttribute("aria-rowcount", order.length + 1);
  const chosen = filters.signature ? `, with the failure ${filters.signature}` : filters.status === "i" ? ", invalid" : "";
  byId("shown").textContent = order.length === SESSION_COUNT
    ? `All ${plural(SESSION_COUNT, "session")}` : `${number(order.length)} of ${plural(SESSION_COUNT, "session")}${chosen}`;
  drawRows();
}

function sortOrder(order) {
  const { column, down } = matrix.sort;
  matrix.table.querySelectorAll("thead th").forEach((head, index) => {
    if (index === column) head.setAttribute("aria-sort", down ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  });
  if (column === 0) { // as the data stands
    if (down) order.reverse();
    return;
  }
  const value = isDated(column) ? (index) => changes()[index] || 0 : (index) => stateAt(column - 1, index).rank;
  order.sort((one, other) => (down ? value(other) - value(one) : value(one) - value(other)) || one - other);
}

function sortBy(column) {
  matrix.sort = { column, down: matrix.sort.column === column ? !matrix.sort.down : isDated(column) };
  refresh();
}

function rowFor(position) {
  const index = matrix.order[position];
  const subject = SESSIONS.subject[index];
  const cells = PIPELINES.map((pipeline, column) => {
    const state = stateAt(column, index);
    const place = runAt(column, index);
    const title = `${state.word}: ${reasonAt(column, index) || state.about}`;
    const content = place < 0
      ? el("span", { class: `cell st-${state.name}`, title, tabindex: -1 })
      : el("a", { class: `cell st-${state.name}`, title, href: `#run-${RUNS.id[place]}`, tabindex: -1 });
    content.append(icon(state.name), el("span", { class: "word" }, state.word));
    if (place >= 0) content.append(el("span", { class: "unseen" }, `, ${pipeline.name} of ${scopeWords(subject, index)}`));
    return el("td", { "aria-colindex": column + 2 }, content);
  });
  return el("tr", { "aria-rowindex": position + 2, "data-position": position },
    el("th", { scope: "row", "aria-colindex": 1, title: scopeWords(subject, index) }, el("a", { href: subjectHash(subject), tabindex: -1 }, subjectName(subject)),
      el("span", { class: "ses" }, sessionName(index))),
    cells,
    DATED ? el("td", { class: "when", "aria-colindex": COLUMN_COUNT }, el("span", { tabindex: -1 }, moment(lastChange(index)))) : null);
}
const scopeWords = (subject, index) => `${subjectName(subject)} ${sessionName(index)}`;

function drawRows(moving = false) {
  const height = rowHeight();
  const total = matrix.order.length;
  let first = 0;
  let end = Math.min(total, MOST_PRINTED);
  if (!matrix.printing) {
    first = Math.max(0, Math.floor(matrixBox.scrollTop / height) - OVERSCAN);
    end = Math.min(total, Math.ceil((matrixBox.scrollTop + Math.max(matrixBox.clientHeight, 300)) / height) + OVERSCAN);
  }
  // Before any row goes: were the content shorter for a moment, the browser would scroll back.
  spaceAbove.style.height = `${first * height}px`;
  spaceBelow.style.height = `${(total - end) * height}px`;
  for (const [position, row] of matrix.rows) {
    if (position >= first && position < end) continue;
    // Scrolled away by the mouse: the keyboard must not lose the table.
    if (!moving && row.contains(document.activeElement)) matrixBox.querySelector("thead button").focus({ preventScroll: true });
    row.remove();
    matrix.rows.delete(position);
  }
  for (let position = first; position < end; position += 1) {
    if (matrix.rows.has(position)) continue;
    const row = rowFor(position);
    const next = matrixBody.querySelector(":scope > tr:last-child");
    if (!next || Number(next.dataset.position) < position) matrixBody.append(row);
    else insertRow(row, position);
    matrix.rows.set(position, row);
  }
  if (matrix.active.row < first || matrix.active.row >= end) matrix.active.row = Math.min(first + OVERSCAN, Math.max(end - 1, 0));
  setTabStop();
}
function insertRow(row, position) {
  for (const other of matrixBody.children) {
    if (Number(other.dataset.position) > position) { matrixBody.insertBefore(row, other); return; }
  }
}

const targetAt = (row, column) => {
  const found = matrix.rows.get(row);
  return found ? found.children[column].querySelector("[tabindex]") : null;
};
function setTabStop() {
  matrixBody.querySelectorAll("[tabindex='0']").forEach((one) => one.setAttribute("tabindex", "-1"));
  const target = targetAt(matrix.active.row, matrix.active.column);
  if (target) target.setAttribute("tabindex", "0");
}
function onMatrixFocus(event) {
  const cell = event.target.closest("tbody td, tbody th");
  if (!cell) return;
  matrix.active = { row: Number(cell.parentNode.dataset.position), column: Number(cell.getAttribute("aria-colindex")) - 1 };
  setTabStop();
}
function focusCell(row, column) {
  const last = matrix.order.length - 1;
  if (last < 0) return;
  const visible = COLUMN_COUNT - 1 - (rowHeight() === 44 ? DATED : 0);
  matrix.active = { row: Math.min(Math.max(row, 0), last), column: Math.min(Math.max(column, 0), visible) };
  const height = rowHeight();
  const top = matrix.active.row * height;
  const room = matrixBox.clientHeight - 2.5 * height;
  if (top < matrixBox.scrollTop) matrixBox.scrollTop = top;
  else if (top > matrixBox.scrollTop + room) matrixBox.scrollTop = top - room;
  drawRows(true);
  const target = targetAt(matrix.active.row, matrix.active.column);
  if (target) target.focus({ preventScroll: true });
}
function onMatrixKey(event) {
  if (event.altKey || event.metaKey || !event.target.closest("tbody")) return;
  const { row, column } = matrix.active;
  const page = Math.max(1, Math.floor(matrixBox.clientHeight / rowHeight()) - 2);
  const moves = {
    ArrowDown: [row + 1, column], ArrowUp: [row - 1, column], ArrowRight: [row, column + 1], ArrowLeft: [row, column - 1],
    PageDown: [row + page, column], PageUp: [row - page, column],
    Home: [event.ctrlKey ? 0 : row, 0], End: [event.ctrlKey ? matrix.order.length - 1 : row, COLUMN_COUNT - 1],
  };
  const move = moves[event.key];
  if (!move) return;
  event.preventDefault();
  focusCell(move[0], move[1]);
}
