// Shows what the event stream tells. The script never sees a token: cookies are HttpOnly.
"use strict";

const BEFORE = 60, AFTER = 65;  // seconds on the timeline, to the left and right of now
const LANES = { access: 30, refresh: 75, requests: 125 };
const NAMES = { access: "access token", refresh: "refresh token", requests: "requests" };
const records = [];
let tokens = [];  // {kind, from, until, over}
let ahead = 0;    // seconds by which the server's clock is ahead of ours
const byId = (id) => document.getElementById(id);
const now = () => Date.now() / 1000 + ahead;

// ── What happened ────────────────────────────────────────────────────────────────

function end(kind, at) {
  for (const token of tokens)
    if (token.kind === kind) token.over = Math.min(token.over ?? token.until, at);
}

function take(record) {
  records.push(record);
  ahead = record.now - Date.now() / 1000;
  if (record.type === "request") learn(record);
  byId("log").prepend(line(record));
  byId("latest").textContent = record.type === "action" ? record.text : `${headline(record)}. ${record.text}`;
}

function learn(record) {
  if (record.who === "you" && !record.lost) {
    for (const [kind, claims] of Object.entries(record.delivered)) {
      end(kind, record.at);
      const there = "exp" in claims;
      if (there) tokens.push({ kind, from: record.at, until: claims.exp, over: null });
      byId(kind + "-claims").textContent = there ? JSON.stringify(claims, null, 1) : "none";
      if (kind === "access")
        byId("state").textContent = there ? `Signed in as ${claims.sub}.` : "Nobody is signed in.";
    }
  }
  if (record.kind === "revoked") {
    end("access", record.at);
    end("refresh", record.at);
    byId("state").textContent = "Nobody is signed in: the session has ended.";
  }
}

function element(name, text = "", kind = "") {
  const made = document.createElement(name);
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function headline(record) {
  const who = record.who === "elsewhere" ? "Elsewhere: " : "";
  return `${who}${record.line} → ${record.status}${record.lost ? " · lost on its way" : ""}`;
}

function line(record) {
  if (record.type === "action") return element("li", record.text, "action");
  const item = element("li", "", record.kind);
  item.append(element("strong", headline(record)));
  item.append(element("p", record.text));
  const shown = Object.entries(record.presented).map(([kind, state]) => `${kind} ${state}`);
  const came = shown.length ? `came with ${shown.join(", ")}` : "came without tokens";
  item.append(element("small", [came, ...record.why].join(" · ")));
  return item;
}

// ── The timeline ─────────────────────────────────────────────────────────────────

function svg(name, attributes, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

function draw() {
  const at = now();
  const width = byId("timeline").clientWidth;  // units are pixels: letters keep their size
  const x = (time) => width * (time - at + BEFORE) / (BEFORE + AFTER);
  const parts = [];
  const bar = (token, from, until, over) => {
    const [left, right] = [Math.max(0, x(from)), Math.min(width, x(until))];
    // Of twenty tokens that came at once one is to be seen, not twenty slivers over each other.
    if (right - left > (over ? 2 : 0)) parts.push(svg("rect", { x: left, y: LANES[token.kind], rx: 3, height: 16,
      width: Math.max(1, right - left - 1), class: `bar ${token.kind} ${over}` }));
  };
  for (const token of tokens) {
    const over = token.over ?? token.until;
    bar(token, token.from, Math.min(over, token.until), token.until <= at || token.over ? "over" : "");
  }
  // What is replayed comes first: the one that was reissued lies on top of its siblings.
  const behind = (record) => (record.kind === "replayed" ? 0 : 1);
  for (const record of [...records].sort((one, other) => behind(one) - behind(other)))
    if (record.type === "request" && x(record.at) > 0)
      parts.push(svg("circle", { cx: x(record.at), cy: LANES.requests - 4 + (record.id % 5) * 5, r: 6,
        class: record.kind }));
  for (const [name, y] of Object.entries(LANES)) parts.push(svg("text", { x: 4, y: y - 6 }, NAMES[name]));
  parts.push(svg("line", { x1: x(at), x2: x(at), y1: 8, y2: 150, class: "now" }));
  parts.push(svg("line", { x1: 0, x2: width, y1: 150, y2: 150, class: "axis" }));
  parts.push(svg("text", { x: x(at) - 12, y: 167 }, "now"));
  parts.push(svg("text", { x: 4, y: 167 }, `${BEFORE} s ago`));
  parts.push(svg("text", { x: width - 4, y: 167, "text-anchor": "end" }, `in ${AFTER} s`));
  byId("timeline").replaceChildren(...parts);
}

// ── Buttons ──────────────────────────────────────────────────────────────────────

const call = (who = "you") => fetch("/me", { headers: { "X-Demo": who } });
const act = (name) => fetch(`/watch/${name}`, { method: "POST", headers: { "X-Demo": "page" } });
const post = (path, form = {}) =>
  fetch(path, { method: "POST", body: new URLSearchParams(form), redirect: "manual" });

const BUTTONS = {
  "sign-in": () => post("/login", { user: "alice", remember: "on" }),
  "call": () => call(),
  "call-20": () => Promise.all(Array.from({ length: 20 }, () => call())),
  "sign-out": () => post("/logout"),
  "sign-out-everywhere": () => post("/logout-everywhere"),
  "elsewhere": () => call("elsewhere"),
};
for (const name of ["expire", "lose", "roll", "tamper", "steal"]) BUTTONS[name] = () => act(name);
for (const [id, press] of Object.entries(BUTTONS)) byId(id).addEventListener("click", press);

new EventSource("/watch/events").onmessage = (message) => take(JSON.parse(message.data));
setInterval(draw, 250);
draw();
