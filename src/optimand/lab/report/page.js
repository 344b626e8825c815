"use strict";
(() => {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const figures = [];
  let picked = [];

  const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();

  function config() {
    const ink = css("--ink"), quiet = css("--quiet"), line = css("--line"), font = css("--sans");
    return {
      background: null,
      font,
      view: { stroke: null },
      range: { category: Array.from({ length: 8 }, (_, i) => css(`--method-${i}`)) },
      axis: {
        labelColor: quiet, titleColor: quiet, gridColor: line, domainColor: line, tickColor: line,
        labelFontSize: 12, titleFontSize: 12, titleFontWeight: 500, titlePadding: 10, tickSize: 4, domain: false,
      },
      axisX: { grid: false, domain: true },
      axisY: { ticks: false, labelPadding: 6 },
      text: { fill: ink, fontSize: 12 },
    };
  }

  // RFC 7396
  function merge(target, patch) {
    if (patch === null || typeof patch !== "object" || Array.isArray(patch)) return patch;
    const merged = target !== null && typeof target === "object" && !Array.isArray(target) ? { ...target } : {};
    for (const [key, value] of Object.entries(patch)) {
      if (value === null) delete merged[key];
      else merged[key] = merge(merged[key], value);
    }
    return merged;
  }

  function rows({ keys, rows }) {
    return rows.map((row) => Object.fromEntries(keys.map((key, i) => [key, row[i]])));
  }

  async function draw(figure) {
    const spec = figure.switches.reduce((s, w) => merge(s, w.options[w.chosen].patch), figure.spec);
    figure.result?.finalize();
    figure.result = await vegaEmbed(figure.place, spec, {
      mode: "vega-lite", renderer: "svg", actions: false, config: config(), tooltip: { theme: dark.matches ? "dark" : "light" },
    });
    await show(figure);
  }

  async function show(figure) {
    if (figure.result) await figure.result.view.signal("picked", picked).runAsync();
  }

  function addSwitch(figure, choice) {
    const box = document.createElement("div");
    box.className = "switch";
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", choice.name);
    choice.options.forEach((option, i) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = option.label;
      button.setAttribute("aria-pressed", String(i === choice.chosen));
      button.addEventListener("click", () => {
        choice.chosen = i;
        [...box.children].forEach((b, k) => b.setAttribute("aria-pressed", String(k === i)));
        draw(figure);
      });
      box.append(button);
    });
    figure.controls.append(box);
  }

  function save(figure) {
    figure.result.view.toSVG().then((text) => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
      link.download = figure.name + ".svg";
      link.click();
      URL.revokeObjectURL(link.href);
    });
  }

  function pick(label) {
    picked = picked.includes(label) ? picked.filter((other) => other !== label) : [...picked, label];
    for (const element of document.querySelectorAll("[data-method]")) {
      const on = picked.includes(element.dataset.method);
      if (element.tagName === "BUTTON") element.setAttribute("aria-pressed", String(on));
      element.classList.toggle("pale", picked.length > 0 && !on);
    }
    figures.forEach(show);
  }

  async function start() {
    for (const button of document.querySelectorAll("button[data-method]")) {
      button.addEventListener("click", () => pick(button.dataset.method));
    }
    for (const element of document.querySelectorAll("figure.chart")) {
      const { spec, switches } = JSON.parse(element.querySelector("script").textContent);
      for (const name of Object.keys(spec.datasets)) spec.datasets[name] = rows(spec.datasets[name]);
      const figure = {
        spec,
        switches: switches.map((s) => ({ ...s, chosen: 0 })),
        name: element.querySelector("h4").textContent.toLowerCase().replaceAll(" ", "-"),
        place: element.querySelector(".plot"),
        controls: element.querySelector(".controls"),
      };
      figure.switches.forEach((choice) => addSwitch(figure, choice));
      element.querySelector("button.save")?.addEventListener("click", () => save(figure));
      figures.push(figure);
      await draw(figure);
    }
    dark.addEventListener("change", () => figures.forEach(draw));
    root.dataset.drawn = String(figures.length);
  }

  start();
})();
