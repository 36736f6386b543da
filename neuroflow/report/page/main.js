// Draw the first screen, then the rest, then say that it is done.
function start() {
  document.querySelectorAll("main > section[hidden]").forEach((section) => { section.hidden = false; });
  drawOverview();
  buildMatrix();
  byId("subject").addEventListener("close", onSubjectClosed);
  byId("subject").addEventListener("click", (event) => { if (event.target === byId("subject")) byId("subject").close(); });
  window.addEventListener("hashchange", followHash);
  drawFailures();
  drawFlow();
  drawUsage();
  drawFigures();
  drawProvenance();
  followHash();
  // Two frames later all of it has been laid out and painted.
  requestAnimationFrame(() => requestAnimationFrame(() => { document.documentElement.dataset.ready = Math.round(performance.now()); }));
}
start();
