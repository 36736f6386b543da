// Draw the first screen, then the rest, then say that it is done.
function start() {
  document.querySelectorAll("main > section[hidden]").forEach((section) => { section.hidden = false; });
  drawOverview();
  buildMatrix();
  byId("subject").addEventListener("close", onSubjectClosed);
  byId("subject").addEventListener("click", (event) => { if (event.target === byId("subject")) byId("subject").close(); });
  document.addEventListener("click", onLink);
  window.addEventListener("hashchange", () => follow(location.hash));
  drawFailures();
  drawFlow();
  drawUsage();
  drawFigures();
  drawProvenance();
  follow(location.hash);
  // Two frames later all of it has been laid out and painted.
  requestAnimationFrame(() => requestAnimationFrame(() => { document.documentElement.dataset.ready = Math.round(performance.now()); }));
}
start();
