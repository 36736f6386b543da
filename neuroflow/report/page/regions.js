// A subject's values per region, each atlas and model behind a summary; its table is made when it is first opened.
function regionSections(sessions) {
  if (DATA.regions.leftOut) {
    return el("p", { class: "note" }, `These sessions have more than ${number(DATA.regions.most)} values per region, too many for a page: `,
      el("code", {}, "neuroflow export regions"), " has them.");
  }
  return DATA.regions.atlases.filter((atlas) => sessions.some((session) => atlas.sessions.includes(session))).map((atlas) => {
    const details = el("details", { class: "regions", ontoggle: () => {
      if (details.open && details.children.length === 1) details.append(regionTable(atlas, sessions));
    } }, el("summary", { class: "any" }, atlas.label));
    return details;
  });
}

function regionKind(atlas, place) {
  const rows = atlas.sessions.map((session, row) => [session, atlas.values[row][place]]).filter((pair) => pair[1] !== null);
  return distributed({ sessions: rows.map((pair) => pair[0]), values: rows.map((pair) => pair[1]) });
}

function regionTable(atlas, sessions) {
  const rows = atlas.names.map((name, place) => {
    const kind = regionKind(atlas, place);
    const own = sessions.filter((session) => kind.bySession.has(session));
    return el("tr", {}, el("td", { class: "number" }, atlas.indices[place]), el("th", { scope: "row", class: "any" }, name),
      sessions.map((session) => el("td", { class: "number" }, kind.bySession.has(session) ? figure(kind.bySession.get(session)) : "n/a",
        kind.far.some((one) => one.session === session) ? el("strong", {}, " far") : null)),
      el("td", { class: "number" }, kind.sorted.length ? figure(kind.median) : "n/a"),
      el("td", { class: "plot" }, kind.sorted.length > 1 ? spread(kind, 150, own.map((session) => kind.bySession.get(session))) : ""));
  });
  return scroller(atlas.label, el("table", {}, el("caption", { class: "unseen" }, atlas.label),
    el("thead", {}, el("tr", {}, el("th", { scope: "col", class: "number" }, "Index"), el("th", { scope: "col" }, "Region"),
      sessions.map((session) => el("th", { scope: "col", class: "number" }, sessionName(session))),
      el("th", { scope: "col", class: "number" }, "Cohort's median"), el("th", { scope: "col" }, "In the cohort"))), el("tbody", {}, rows)));
}
