// How long attempts took and how much memory they used, against what is asked for.
const HIST = 58;

function drawDistribution(one, words, say) {
  return (width) => {
    const height = HIST + 42;
    const x = (value) => 1 + (value / one.top) * (width - 2);
    const most = Math.max(...one.bins);
    const wide = (width - 2) / one.bins.length;
    const [low, first, median, third, high] = one.quantiles;
    const asked = x(one.request);
    return svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${words}: ${summary(one, say)}` },
      one.bins.map((count, index) => count ? svg("rect", { class: "hist", x: 1 + index * wide, width: Math.max(wide - 0.8, 0.8),
        y: 12 + HIST - Math.max((count / most) * HIST, 1.5), height: Math.max((count / most) * HIST, 1.5) }) : null),
      svg("line", { class: "zero", x1: 0, x2: width, y1: 12 + HIST, y2: 12 + HIST }),
      one.values.length ? null : [svg("line", { class: "whisker", x1: x(low), x2: x(high), y1: HIST + 20, y2: HIST + 20 }),
        svg("rect", { class: "box", x: x(first), width: Math.max(x(third) - x(first), 2.5), y: HIST + 16, height: 8 }),
        svg("rect", { class: "median", x: x(median) - 1, width: 2, y: HIST + 16, height: 8 })],
      svg("line", { class: "request", x1: asked, x2: asked, y1: 2, y2: HIST + 26 }),
      svg("text", { x: 0, y: height - 3 }, "0"),
      svg("text", { x: asked, y: height - 3, "text-anchor": asked > width - 60 ? "end" : "middle" }, `asks ${say(one.request)}`));
  };
}
const few = (values, say) => `${values.map(say).join(", ")} (${values.length} ${values.length === 1 ? "attempt" : "attempts"}, too few for quantiles)`;

function summary(one, say) {
  if (one.values.length) return `${few(one.values, say)}, asked for ${say(one.request)}`;
  const [, , median, , high, top] = one.quantiles;
  return `median ${say(median)}, 95 % below ${say(high)}, most ${say(top)}, asked for ${say(one.request)}, ${plural(one.count, "attempt")}`;
}

function distributionFigure(one, words, say) {
  if (!one) return el("p", { class: "soft" }, `No ${words.toLowerCase()} is known yet.`);
  const box = el("div", { class: "plot" });
  const [, , median, , high, top] = one.quantiles;
  const share = (100 * high) / one.request;
  const used = share < 1 ? "less than 1" : Math.round(share);
  const told = one.values.length ? few(one.values, say) : ["median ", el("strong", {}, say(median)), `, 95 % below ${say(high)} (${used} % of what is asked for), most ${say(top)}`];
  const shape = el("figure", {}, box, el("figcaption", {}, el("span", { class: "what" }, `${words}: `), told));
  requestAnimationFrame(() => plot(box, drawDistribution(one, words, say)));
  return shape;
}

function drawUsage() {
  const box = byId("usage-plots");
  const known = DATA.usage.filter((one) => one.minutes || one.memory_mb);
  if (!known.length) {
    box.append(el("p", {}, "No attempt has succeeded yet."));
    return;
  }
  const line = svg("svg", { viewBox: "0 0 28 12", "aria-hidden": "true" }, svg("line", { class: "request", x1: 14, x2: 14, y1: 0, y2: 12 }));
  const boxKey = svg("svg", { viewBox: "0 0 28 12", "aria-hidden": "true" }, svg("line", { class: "whisker", x1: 0, x2: 28, y1: 6, y2: 6 }),
    svg("rect", { class: "box", x: 8, y: 2, width: 12, height: 8 }), svg("rect", { class: "median", x: 13, y: 2, width: 2, height: 8 }));
  box.append(el("p", { class: "soft" }, "Attempts that succeeded, against what the configuration asks for now."),
    el("ul", { class: "key" }, el("li", {}, boxKey, "5 to 95 %, the middle half, the median"), el("li", {}, line, "what is asked for")),
    el("div", { class: "usage" }, el("span", { class: "head" }, "Pipeline"), el("span", { class: "head" }, "Duration"), el("span", { class: "head" }, "Memory at its highest"),
      known.map((one) => [
        el("div", { class: "name" }, one.pipeline, el("small", {}, plural((one.minutes || one.memory_mb).count, "attempt"))),
        distributionFigure(one.minutes, "Duration", duration), distributionFigure(one.memory_mb, "Memory", memory)])));
}
