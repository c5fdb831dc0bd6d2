// Draws the charts of the page with the theme that the reader's system asks for, and again when that changes.
(() => {
  "use strict";
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const themes = read("chart-themes");
  const specifications = read("chart-specifications");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const drawn = new Map();

  const options = () => ({
    actions: false,
    ast: true, // expressions are interpreted: the page's policy allows no code made of strings
    config: labelsThatFit(themes[dark.matches ? "dark" : "light"]),
    defaultStyle: false,
    mode: "vega-lite",
    renderer: "svg",
    tooltip: { disableDefaultStyle: true },
  });

  const labelsThatFit = (theme) => {
    const labelLimit = Math.min(260, Math.round(document.documentElement.clientWidth * 0.34));
    return { ...theme, axisBand: { ...theme.axisBand, labelLimit } };
  };

  const draw = async () => {
    for (const place of document.querySelectorAll("[data-chart]")) {
      const name = place.dataset.chart;
      if (!(name in specifications)) continue;
      drawn.get(name)?.finalize();
      try {
        drawn.set(name, await vegaEmbed(place, specifications[name], options()));
      } catch (error) {
        place.textContent = "This chart could not be drawn; the table below says the same.";
        console.error(`${name}: ${error}`);
      }
    }
    document.documentElement.dataset.charts = "drawn";
  };

  // one drawing after the other: a change of theme must not overtake the first
  let turn = draw();
  dark.addEventListener("change", () => (turn = turn.then(draw)));
})();
