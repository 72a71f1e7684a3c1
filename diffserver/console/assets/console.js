// Keeps parts of a page current: <div data-refresh="/path" data-every="5">, at once where data-now is set.
"use strict";
async function refresh(part) {
  if (document.hidden || part.contains(document.activeElement)) return;
  const answer = await fetch(part.dataset.refresh, { headers: { "X-Part": "1" }, redirect: "error" }).catch(() => null);
  if (answer && answer.status === 401) { location.reload(); return; }
  part.toggleAttribute("data-stale", !answer || !answer.ok);
  if (answer && answer.ok) { part.innerHTML = await answer.text(); part.removeAttribute("aria-busy"); }
}
for (const part of document.querySelectorAll("[data-refresh]")) {
  const again = async () => {
    await refresh(part);
    if (part.dataset.every) setTimeout(again, part.dataset.every * 1000);
  };
  setTimeout(again, "now" in part.dataset ? 0 : part.dataset.every * 1000);
}
