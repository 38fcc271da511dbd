// Keeps the page true: times every second, the rest as soon as it changes.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const pause = (ms) => new Promise((done) => setTimeout(done, ms));

  // The same words as the server writes.
  const rough = (s) => s < 60 ? `${s} s` : s < 7200 ? `${Math.floor(s / 60)} min` : s < 172800 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86400)} d`;
  const when = (at, now) => {
    const apart = (now - at) / 1000;
    const iso = at.toISOString();
    const clock = (Math.abs(apart) < 72000 ? iso.slice(11, 16) : `${iso.slice(0, 10)} ${iso.slice(11, 16)}`) + " UTC";
    const span = rough(Math.floor(Math.abs(apart)));
    return apart < 0 ? `${clock}, in ${span}` : `${clock}, ${span} ago`;
  };
  // The reader's clock may be wrong; the server's is what the times are of.
  let ahead = 0;
  const tick = () => {
    const now = new Date(Date.now() - ahead);
    for (const time of document.querySelectorAll("time[datetime]")) {
      const words = when(new Date(time.dateTime), now);
      if (time.textContent !== words) time.textContent = words;
    }
    const next = document.querySelector("#next > time");
    if (next) next.parentElement.classList.toggle("late", now - new Date(next.dateTime) > 120000);
  };
  const listen = (answer) => {
    const date = Date.parse(answer.headers.get("date") || "");
    if (date && Math.abs(Date.now() - date) > 3000) ahead = Date.now() - date;
  };

  const show = (text) => {
    const page = new DOMParser().parseFromString(text, "text/html");
    const next = page.getElementById("main");
    const old = $("main");
    if (!next || !old) return location.reload();
    // What the reader has opened or is typing into stays.
    for (const details of old.querySelectorAll("details[open][id]")) {
      const again = next.querySelector(`details[id="${CSS.escape(details.id)}"]`);
      if (again) again.open = true;
    }
    const focus = document.activeElement && old.contains(document.activeElement) ? document.activeElement : null;
    const summary = focus && focus.closest("details[id]");
    const find = $("find");
    const typed = find && find.value;
    old.replaceWith(document.adoptNode(next));
    if (typed && $("find")) $("find").value = typed;
    if (focus && focus.id && $(focus.id)) $(focus.id).focus();
    else if (summary && $(summary.id)) $(summary.id).querySelector("summary").focus();
    document.title = page.title;
    $("icon").href = `/assets/${next.dataset.tone}.svg`;
    tick();
  };

  let lost = 0;
  const line = (words) => {
    const shown = $("line");
    shown.hidden = !words;
    if (shown.textContent !== words) shown.textContent = words;
  };

  const follow = async () => {
    for (;;) {
      if (document.hidden) {
        await new Promise((seen) => document.addEventListener("visibilitychange", seen, { once: true }));
        continue;
      }
      const began = Date.now();
      try {
        const answer = await fetch(location.pathname + location.search, {
          headers: { "If-None-Match": $("main").dataset.tag, Prefer: "wait=20", Accept: "text/html" },
          cache: "no-store",
          redirect: "manual",
          signal: AbortSignal.timeout(35000),
        });
        listen(answer);
        if (answer.type === "opaqueredirect" || answer.status === 401) return location.reload();
        if (answer.status === 200) show(await answer.text());
        else if (answer.status !== 304) throw new Error(answer.status);
        lost = 0;
        line("");
        // Where there is no place to wait, the answer comes at once.
        await pause(answer.status === 304 && Date.now() - began < 1000 ? 3000 : 300);
      } catch {
        lost = lost || began;
        line(`! the controller does not answer: this is how it was ${rough(Math.floor((Date.now() - lost) / 1000))} ago`);
        await pause(2000);
      }
    }
  };

  setInterval(tick, 1000);
  tick();
  follow();
})();
