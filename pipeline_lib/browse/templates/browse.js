// Keys: j and k go to the next and previous document, in a list and from page to page. All of it works without.
(() => {
  "use strict";
  const link = (relation) => document.querySelector(`a[rel~="${relation}"]`);
  const titles = [...document.querySelectorAll("main > .documents .title")];
  const isList = document.querySelector(".browse") !== null;

  // the one in hand; back from a document, the one that was looked at
  const current = () => document.querySelector(".title:focus") ?? document.querySelector(".document:target .title");
  const focus = (at) => {
    titles[at].focus({ preventScroll: true });
    titles[at].closest("li").scrollIntoView({ block: "nearest" });
  };
  const step = (by) => {
    if (!isList) return link(by > 0 ? "next" : "prev")?.click();
    const here = titles.indexOf(current());
    const at = here < 0 ? (by > 0 ? 0 : titles.length - 1) : here + by;
    if (at >= 0 && at < titles.length) return focus(at);
    return link(at < 0 ? "prev" : "next")?.click();
  };
  const keys = {
    j: () => step(1),
    ArrowDown: () => isList && step(1),
    k: () => step(-1),
    ArrowUp: () => isList && step(-1),
    ArrowRight: () => !isList && step(1),
    ArrowLeft: () => !isList && step(-1),
    n: () => link("next")?.click(),
    p: () => link("prev")?.click(),
    u: () => link("up")?.click(),
    d: () => document.querySelector('[data-key="d"]')?.click(),
    Enter: () => (isList && document.activeElement === document.body ? current()?.click() : false),
    "/": () => document.querySelector('input[type="search"]')?.focus(),
  };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.target.closest("input:not([type=checkbox]), select, textarea")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const does = keys[event.key];
    if (does && does() !== false) event.preventDefault();
  });
})();
