// Where the numbers come from.
function drawProvenance() {
  const from = DATA.provenance;
  const where = ANONYMOUS ? [["Configuration", `digest ${from.config_digest}`],
    ["Left out", "labels of subjects and sessions, paths, users, hosts, days of runs, messages and logs, settings, and links to the tools' own reports. Numbers of runs are this page's own."]]
    : [["Database", `${from.database}, schema ${from.revision}`], ["Configuration", `${from.config_files.join(", ") || "none"}, digest ${from.config_digest}`]];
  const facts = [["Made", `${moment(DATA.madeAt)} UTC${ANONYMOUS ? "" : `, by ${DATA.madeBy} on ${from.host}`}`], ["neuroflow", `${from.neuroflow}, with Python ${from.python}`], ...where,
    ["Covers", [DATA.chosen ? `${plural(DATA.chosen, "chosen subject")}` : "all subjects",
      DATA.since ? `flow, time, memory and failures since ${moment(DATA.since)} UTC` : "everything since the beginning"].join("; ")]];
  const tools = from.tools.map((tool) => el("tr", {}, el("th", { scope: "row" }, tool.pipeline), el("td", {}, tool.version || "not known"),
    ANONYMOUS ? null : el("td", { class: "any" }, tool.image || "no image: a program of the host"), el("td", { class: "any mono" }, tool.digest || (tool.image ? "not read yet" : "")),
    el("td", { class: "number" }, number(tool.attempts))));
  fill(byId("provenance-facts"), {}, [el("dl", { class: "facts" }, facts.map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])),
    tools.length ? scroller("What the results were made with", el("table", {}, el("caption", {}, "What the results were made with"), el("thead", {}, el("tr", {},
      ["Pipeline", "Version", ...(ANONYMOUS ? [] : ["Image"]), "Digest"].map((word) => el("th", { scope: "col" }, word)), el("th", { scope: "col", class: "number" }, "Attempts that succeeded"))),
    el("tbody", {}, tools))) : null,
    ANONYMOUS ? null : el("details", {}, el("summary", {}, "The settings in force, without secrets"), el("pre", { tabindex: 0 }, from.settings))]);
}
