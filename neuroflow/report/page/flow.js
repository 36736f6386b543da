// What ended when: completed runs above the line, failed ones below, and the sums.
const WIDEST_BARS = 110;

function bins(pipeline, days) {
  const names = pipeline ? [pipeline] : PIPELINES.map((one) => one.name);
  const all = (DATA.flow.completed[names[0]] || []).length;
  const from = Math.max(0, all - days);
  const size = [1, 7, 28, 91].find((one) => (all - from) / one <= WIDEST_BARS) || 364;
  const found = [];
  let completed = 0;
  let failed = 0;
  for (let start = from; start < all; start += size) {
    const end = Math.min(start + size, all);
    const sum = (kind) => names.reduce((total, name) => {
      let here = total;
      for (let day = start; day < end; day += 1) here += (DATA.flow[kind][name] || [])[day] || 0;
      return here;
    }, 0);
    const bin = { day: DATA.flow.first + start, completed: sum("completed"), failed: sum("failed") };
    completed += bin.completed;
    failed += bin.failed;
    found.push({ ...bin, allCompleted: completed, allFailed: failed });
  }
  return { size, found };
}

function niceTop(value) {
  if (value <= 5) return Math.max(value, 1);
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((one) => one * power).find((one) => one >= value);
}

function timeAxis(list, x, y, width) {
  const step = Math.max(1, Math.ceil(list.length / Math.max(2, Math.floor(width / 110))));
  const labels = [];
  for (let index = 0; index < list.length; index += step) {
    const at = x(index);
    if (at > width - 70 && index > 0) break;
    labels.push(svg("text", { x: at, y }, dayName(list[index].day)));
  }
  return labels;
}

function drawBars(list, size) {
  return (width) => {
    const left = 46;
    const height = 210;
    const top = niceTop(Math.max(...list.map((bin) => bin.completed), 1));
    const low = Math.max(...list.map((bin) => bin.failed), 0);
    const bottom = low ? Math.max(niceTop(low), top / 8) : 0;
    const room = height - 34;
    const zero = 10 + (room * top) / (top + bottom);
    const scale = room / (top + bottom);
    const step = (width - left - 4) / list.length;
    const x = (index) => left + index * step;
    const thick = Math.max(1, Math.min(step - 1, 26));
    const bars = list.map((bin, index) => [
      bin.completed && svg("rect", { class: "f-completed", x: x(index), y: zero - bin.completed * scale, width: thick, height: bin.completed * scale }),
      bin.failed && svg("rect", { class: "f-failed", x: x(index), y: zero, width: thick, height: bin.failed * scale }),
    ]);
    const unit = size === 1 ? "day" : size === 7 ? "week" : `${size} days`;
    return svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img",
      "aria-label": `Runs that ended per ${unit}: at most ${number(Math.max(...list.map((bin) => bin.completed)))} completed and ${number(low)} failed. The table below has the numbers.` },
    [top, top / 2].filter(Number.isInteger).map((value) => [
      svg("line", { class: "axis", x1: left, x2: width, y1: zero - value * scale, y2: zero - value * scale }),
      svg("text", { x: left - 6, y: zero - value * scale + 4, "text-anchor": "end" }, number(value))]),
    svg("text", { x: left - 6, y: zero + 4, "text-anchor": "end" }, "0"),
    low ? svg("text", { x: left - 6, y: Math.max(zero + low * scale + 4, zero + 17), "text-anchor": "end" }, number(low)) : null,
    bars, svg("line", { class: "zero", x1: left, x2: width, y1: zero, y2: zero }), timeAxis(list, x, height - 6, width));
  };
}

function drawSums(list) {
  return (width) => {
    const left = 46;
    const height = 140;
    const last = list[list.length - 1];
    const top = niceTop(Math.max(last.allCompleted, last.allFailed, 1));
    const x = (index) => left + (index * (width - left - 6)) / (list.length - 1);
    const y = (value) => 10 + (height - 34) * (1 - value / top);
    const line = (key, kind) => svg("path", { class: `s-${kind}`,
      d: list.map((bin, index) => `${index ? "L" : "M"}${x(index).toFixed(1)} ${y(bin[key]).toFixed(1)}`).join("") });
    return svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img",
      "aria-label": `Sums: ${number(last.allCompleted)} completed and ${number(last.allFailed)} failed by ${dayName(last.day)}.` },
    [0, top].map((value) => [svg("line", { class: value ? "axis" : "zero", x1: left, x2: width, y1: y(value), y2: y(value) }),
      svg("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, number(value))]),
    line("allCompleted", "completed"), line("allFailed", "failed"), timeAxis(list, x, height - 6, width));
  };
}

function flowTable(list, size) {
  return el("details", {}, el("summary", {}, "The numbers as a table"),
    scroller("Runs that ended", el("table", {}, el("caption", {}, "Runs that ended"),
      el("thead", {}, el("tr", {}, [size === 1 ? "Day" : "From", "Completed", "Failed", "Completed so far", "Failed so far"].map((word, index) =>
        el("th", { scope: "col", class: index ? "number" : null }, word)))),
      el("tbody", {}, list.filter((bin) => bin.completed || bin.failed).map((bin) => el("tr", {}, el("th", { scope: "row" }, dayName(bin.day)),
        [bin.completed, bin.failed, bin.allCompleted, bin.allFailed].map((value) => el("td", { class: "number" }, number(value)))))))));
}

function drawFlow() {
  const box = byId("flow");
  if (DATA.flow.first === null) {
    box.append(el("p", {}, "No run has ended yet."));
    return;
  }
  const all = Object.values(DATA.flow.completed)[0].length;
  const spans = [[30, "the last 30 days"], [91, "the last 3 months"], [365, "the last year"]].filter((span) => span[0] < all);
  const span = el("select", { onchange: draw }, spans.map(([days, words]) => el("option", { value: days }, words)),
    el("option", { value: all, selected: true }, "all of the time"));
  const pipeline = el("select", { onchange: draw }, el("option", { value: "" }, "all pipelines"),
    PIPELINES.map((one) => el("option", { value: one.name }, one.name)));
  const swatch = (kind, shape) => svg("svg", { viewBox: "0 0 28 12", "aria-hidden": "true" }, shape === "line"
    ? svg("path", { class: `s-${kind}`, d: "M0 6H28" }) : svg("rect", { class: `f-${kind}`, width: 28, height: 12 }));
  const drawn = el("div", {});
  box.append(el("div", { class: "plot-head filters" }, el("label", {}, "Time", span), el("label", {}, "Pipeline", pipeline)), drawn);
  function draw() {
    const { size, found } = bins(pipeline.value, Number(span.value));
    const unit = size === 1 ? "day" : size === 7 ? "week" : `${size} days`;
    const bars = el("div", { class: "plot" });
    const sums = el("div", { class: "plot" });
    drawn.replaceChildren(
      el("h3", {}, `Ended per ${unit} (UTC)`),
      el("ul", { class: "key" }, el("li", {}, swatch("completed"), "completed, above the line"), el("li", {}, swatch("failed"), "failed, below it")),
      bars);
    plot(bars, drawBars(found, size));
    if (found.length > 1) {
      drawn.append(el("h3", {}, "Ended so far"),
        el("ul", { class: "key" }, el("li", {}, swatch("completed", "line"), "completed"), el("li", {}, swatch("failed", "line"), "failed")), sums);
      plot(sums, drawSums(found));
    }
    drawn.append(flowTable(found, size));
  }
  draw();
}
