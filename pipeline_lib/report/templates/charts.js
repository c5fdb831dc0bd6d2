// Draws the charts of the page with the theme that the reader's system asks for, and again when that changes: first those
// in sight, then the others one at a time whenever the reader does nothing, so that the page can be read at once.
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

  const places = [...document.querySelectorAll("[data-chart]")].filter((place) => place.dataset.chart in specifications);
  const AXES = 56; // about as high as what stands under and over a chart

  // room is kept for what is not drawn yet: text must not jump while it is read
  for (const place of places) {
    const height = specifications[place.dataset.chart].height;
    if (Number.isFinite(height)) place.style.minHeight = `${height + AXES}px`;
  }

  const quiet = () =>
    new Promise((resolve) => ("requestIdleCallback" in window ? requestIdleCallback(resolve, { timeout: 300 }) : setTimeout(resolve)));
  const inSight = (place) => {
    const { top, bottom } = place.getBoundingClientRect();
    return bottom > 0 && top < window.innerHeight;
  };

  const draw = async () => {
    const left = new Set(places);
    while (left.size > 0) {
      await quiet();
      const place = [...left].find(inSight) ?? left.values().next().value;
      left.delete(place);
      const name = place.dataset.chart;
      drawn.get(name)?.finalize();
      try {
        drawn.set(name, await vegaEmbed(place, specifications[name], options()));
      } catch (error) {
        place.textContent = "This chart could not be drawn; the table below says the same.";
        console.error(`${name}: ${error}`);
      }
      place.style.minHeight = "";
    }
    document.documentElement.dataset.charts = "drawn";
  };

  // one drawing after the other: a change of theme must not overtake the first
  let turn = draw();
  dark.addEventListener("change", () => (turn = turn.then(draw)));
})();
