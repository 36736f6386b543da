// The page's data: lists by column, texts by number, looked up here by row.
const DATA = JSON.parse(byId("data").textContent);
const PIPELINES = DATA.pipelines;
const STATES = Object.fromEntries(DATA.states.map((state, rank) => [state.letter, { ...state, rank }]));
const SESSIONS = DATA.sessions;
const RUNS = DATA.runs;
const ATTEMPTS = DATA.attempts;
const SESSION_COUNT = SESSIONS.label.length;
const text = (index) => DATA.texts[index];

const placeOfRun = new Map(RUNS.id.map((id, place) => [id, place]));
const placeOfSubject = new Map(DATA.subjects.map((label, place) => [label, place]));
const firstSession = [];
SESSIONS.subject.forEach((subject, index) => { if (!(subject in firstSession)) firstSession[subject] = index; });

// A page for others has numbers in the place of labels, and tells no day on which something ran.
const ANONYMOUS = DATA.anonymous;
const subjectName = (subject) => `${ANONYMOUS ? "subject " : "sub-"}${DATA.subjects[subject]}`;
const subjectHash = (subject) => `#sub-${encodeURIComponent(DATA.subjects[subject])}`;
const sessionName = (index) => `${ANONYMOUS ? "session " : "ses-"}${SESSIONS.label[index]}`;
const stateAt = (column, index) => STATES[SESSIONS.states[column][index]];
const reasonAt = (column, index) => text(SESSIONS.reasons[column][index] || 0);
const runAt = (column, index) => SESSIONS.runs[column][index];
function lastChange(index) {
  let last = null;
  for (const runs of SESSIONS.runs) {
    const at = runs[index] < 0 ? null : RUNS.updated[runs[index]];
    if (at !== null && (last === null || at > last)) last = at;
  }
  return last;
}
function sessionsOf(subject) {
  const found = [];
  for (let index = firstSession[subject]; SESSIONS.subject[index] === subject; index += 1) found.push(index);
  return found;
}
function scopeOf(place) {
  const name = subjectName(RUNS.subject[place]);
  if (RUNS.session[place] === null) return name;
  const index = SESSIONS.ids.indexOf(RUNS.session[place]);
  return index < 0 ? name : `${name} ${sessionName(index)}`;
}
const pipelineOf = (place) => (RUNS.pipeline[place] < 0 ? "" : PIPELINES[RUNS.pipeline[place]].name);

// Made when first asked for: most of it is never looked at.
function later(make) {
  let made;
  return () => (made === undefined ? (made = make()) : made);
}
function grouped(keys) {
  const groups = new Map();
  keys.forEach((key, row) => { if (groups.has(key)) groups.get(key).push(row); else groups.set(key, [row]); });
  return groups;
}
const attemptsByRun = later(() => grouped(ATTEMPTS.run));
const runsBySubject = later(() => grouped(RUNS.subject));
const attemptsOf = (place) => attemptsByRun().get(place) || [];
const minutesOf = (columns, row) => (columns.took[row] === null ? null : columns.took[row] / 60);
