// The desk's page: takes the stream, draws it, and sends what a person does.
// Whatever came from a person or a model is set as text, never as markup.

import { colour, drawBook, drawPrice, drawSociety } from "./charts.js";

const at = (id) => document.getElementById(id);
const SPEEDS = [1, 5, 25, 1000];
const TICKS = 100; // of a unit of price
const MOST_SHOWN = 24; // rows of a table of personas
const state = { lines: new Map(), parts: {}, chosen: 0, follow: true, pointer: null, noticed: 0, axis: null };

/** Make an element with text and children. */
function make(tag, options = {}, ...children) {
  const { text, on, data, ...rest } = options;
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(rest)) made[name] = value;
  if (text !== undefined) made.textContent = text;
  for (const [name, value] of Object.entries(on ?? {})) made.addEventListener(name, value);
  made.append(...children);
  return made;
}

function draw(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const price = (ticks) => (ticks / TICKS).toFixed(2);
const whole = (n) => Math.round(n).toLocaleString("en");
const percent = (part, digits = 1) => `${part >= 0 ? "+" : "−"}${Math.abs(100 * part).toFixed(digits)} %`;
const signed = (n) => (n > 0 ? "+" : n < 0 ? "−" : "") + whole(Math.abs(n));
const brief = (n) => n.toFixed(Math.abs(n) < 1 ? 3 : 2).replace("-", "−");
const shown = () => state.lines.get(state.parts.now.branch);
const lineColour = (name) => `c${[...state.lines.keys()].indexOf(name) % 8}`;

// ---- what the server says

function listen() {
  const source = new EventSource("/stream");
  source.onmessage = ({ data }) => {
    const { lines, parts } = JSON.parse(data);
    for (const [name, { from, rows, parent }] of Object.entries(lines)) {
      const line = state.lines.get(name) ?? { rows: [], parent };
      line.rows.length = from;
      line.rows.push(...rows);
      state.lines.set(name, line);
    }
    Object.assign(state.parts, parts);
    schedule();
    if (!document.body.dataset.live) begin();
  };
  source.onopen = () => say("");
  source.onerror = async () => {
    const known = await fetch("/stream", { method: "HEAD" }).then((got) => got.status !== 403, () => null);
    if (known === false) {
      source.close();
      say("This page needs the whole address that the terminal printed, with its token.");
    } else say("The desk does not answer. If it was ended, start it again with --session.");
  };
}

function say(text) {
  at("notice").textContent = text;
}

let waiting = false;
function schedule() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    render();
  });
}

/** Send a command; show what came of it beside the form, or at the top. */
async function act(command, good = "") {
  const answer = at("answer");
  try {
    const got = await fetch("/act", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(command),
    });
    const found = await got.json();
    answer.classList.toggle("bad", !got.ok);
    answer.textContent = found.error ?? found.waiting ?? good;
    if (found.waiting) answer.dataset.waits = "yes";
    return got.ok ? (found.done ?? {}) : null;
  } catch {
    answer.classList.add("bad");
    answer.textContent = "The desk does not answer.";
    return null;
  }
}

// ---- drawing

function render() {
  const { now, about } = state.parts;
  if (!now) return;
  const line = shown();
  const days = line.rows.length;
  at("day").textContent = `day ${now.day}`;
  const turns = about.turns.length;
  at("of").textContent = `of ${about.days}${turns > 1 ? `, turn ${now.turn + 1} of ${turns}` : ""}${now.halted ? ", halted" : ""}`;
  at("play").textContent = now.playing ? "Pause" : "Play";
  at("play").disabled = at("step-day").disabled = at("step-turn").disabled = now.over;
  at("halt").textContent = now.halted ? "Resume trading" : "Halt trading";
  for (const button of at("speeds").querySelectorAll("button"))
    button.setAttribute("aria-pressed", Number(button.value) === now.speed);
  const slider = at("at");
  slider.max = days;
  if (state.follow || state.chosen > days) state.chosen = days;
  slider.value = state.chosen;
  at("at-day").textContent = state.chosen;
  at("rewind").disabled = state.chosen >= days && now.turn === 0;
  renderLines();
  renderPrice();
  renderCompare();
  renderMoved();
  renderCrowd();
  renderBook();
  renderFacts();
  renderSociety();
  renderSaid();
  renderAccount();
  renderDone();
  const { notice, stage } = state.parts;
  if (notice && notice.number !== state.noticed) {
    state.noticed = notice.number;
    say(notice.text);
  }
  at("stage").textContent = stage ? `The agents think: ${stage} …` : "";
  if (!stage && at("answer").dataset.waits) {
    delete at("answer").dataset.waits;
    at("answer").textContent = "";
  }
}

function renderLines() {
  const names = [...state.lines.keys()];
  const key = JSON.stringify([names, state.parts.now.branch]);
  const place = at("lines");
  if (place.dataset.key === key) return;
  place.dataset.key = key;
  place.replaceChildren(
    ...(names.length > 1 ? names : []).map((name) => {
      const own = name === state.parts.now.branch;
      const button = make("button", { text: name, className: "chip", on: { click: () => show(name) } });
      button.style.setProperty("--own", colour(lineColour(name)));
      button.setAttribute("aria-pressed", own);
      return button;
    }),
  );
}

function show(name) {
  state.follow = true;
  act({ do: "show", branch: name });
}

function renderPrice() {
  const { about, now } = state.parts;
  const longest = Math.max(...[...state.lines.values()].map((line) => line.rows.length));
  const past = about.past.length;
  const back = Math.min(past - 1, Math.max(40, Math.round(longest / 4)));
  const last = Math.max(longest + 2, 40);
  const unit = (ticks) => ticks / TICKS;
  const series = [
    { name: "history", colour: colour("muted"), values: about.past.map((p, n) => [n - past + 1, unit(p)]).slice(-back - 1) },
  ];
  if (about.real.length) {
    const values = [[0, unit(about.past.at(-1))], ...about.real.slice(0, last).map((p, n) => [n + 1, unit(p)])];
    series.push({ name: "real", colour: colour("muted"), dashed: true, values });
  }
  for (const [name, line] of state.lines) {
    const start = line.parent ? Math.max(0, line.parent[1]) : 0;
    const values = line.rows.slice(start).map((row, n) => [start + n + 1, unit(row[0][3])]);
    values.unshift([start, unit(start ? line.rows[start - 1]?.[0][3] ?? about.past.at(-1) : about.past.at(-1))]);
    series.push({ name, colour: colour(lineColour(name)), wide: name === now.branch, values });
  }
  // the line that is played is drawn last, over the others
  series.sort((a, b) => Number(Boolean(a.wide)) - Number(Boolean(b.wide)));
  const rows = shown().rows;
  const marks = rows.flatMap((row, n) => (row[8].length ? [[n + 1, colour("mark")]] : []));
  state.axis = drawPrice(at("price"), {
    series,
    volume: rows.map((row, n) => [n + 1, row[0][5]]),
    marks,
    first: -back,
    last,
    pointer: state.pointer,
    chosen: state.follow ? null : state.chosen,
  });
  const legend = series.map(({ name, colour: own, dashed }) => {
    const item = make("span", { text: name, className: dashed ? "dashed" : "" });
    item.style.setProperty("--own", own);
    return item;
  });
  if (at("legend").childElementCount !== legend.length || at("legend").dataset.branch !== now.branch) {
    at("legend").dataset.branch = now.branch;
    at("legend").replaceChildren(...legend);
  }
}

/** Return what a line came to, over its own days. */
function measure(line) {
  const closes = [state.parts.about.past.at(-1), ...line.rows.map((row) => row[0][3])];
  const returns = closes.slice(1).map((close, n) => Math.log(close / closes[n]));
  const mean = returns.reduce((a, b) => a + b, 0) / Math.max(1, returns.length);
  const spread = Math.sqrt(returns.reduce((a, b) => a + (b - mean) ** 2, 0) / Math.max(1, returns.length));
  let peak = 0;
  let fall = 0;
  for (const close of closes) {
    peak = Math.max(peak, close);
    fall = Math.max(fall, 1 - close / peak);
  }
  const volume = line.rows.reduce((sum, row) => sum + row[0][5], 0) / Math.max(1, line.rows.length);
  const you = state.parts.about.groups.indexOf("you");
  const profit = line.rows.length && you >= 0 ? line.rows.at(-1)[4][you] : 0;
  return { close: closes.at(-1), change: closes.at(-1) / closes[0] - 1, spread, fall, volume, profit };
}

function renderCompare() {
  const place = at("compare");
  if (state.lines.size < 2) return place.replaceChildren();
  const head = ["branch", "left", "#days", "#close", "#change", "#volatility", "#largest fall", "#volume", "#your profit"];
  const rows = [...state.lines].map(([name, line]) => {
    const found = measure(line);
    return [
      name,
      line.parent ? `${line.parent[0]}, day ${line.parent[1]}` : "",
      whole(line.rows.length),
      price(found.close),
      percent(found.change),
      `${(100 * found.spread).toFixed(2)} %`,
      `${(100 * found.fall).toFixed(1)} %`,
      whole(found.volume),
      percent(found.profit, 2),
    ];
  });
  place.replaceChildren(make("h2", { text: "Branches side by side" }), make("div", { className: "scroll" }, table(head, rows, state.parts.now.branch)));
}

function table(head, rows, strong, cells = (row) => row) {
  const number = head.map((name) => name.startsWith("#"));
  const cell = (tag, value, n) => {
    const made = make(tag, { className: number[n] ? "number" : "" });
    made.append(value);
    return made;
  };
  return make("table", {},
    make("thead", {}, make("tr", {}, ...head.map((name, n) => cell("th", name.replace("#", ""), n)))),
    make("tbody", {}, ...rows.map((row) => {
      const made = make("tr", {}, ...cells(row).map((value, n) => cell("td", value, n)));
      made.classList.toggle("you", row[0] === strong);
      return made;
    })),
  );
}

/** Return the day that the panels speak of: the chosen one, the last one otherwise. */
function spoken() {
  const { rows } = shown();
  return state.follow ? rows.length : state.chosen;
}

function renderMoved() {
  const day = spoken();
  const row = shown().rows[day - 1];
  const place = at("moved");
  if (!row) return place.replaceChildren(make("p", { className: "note", text: "Nothing yet: play a day." }));
  const before = shown().rows[day - 2]?.[0][3] ?? state.parts.about.past.at(-1);
  at("moved-note").textContent = `Day ${day - 1} to ${day}: ${price(before)} to ${price(row[0][3])} (${percent(row[0][3] / before - 1, 2)}). Lots bid for less lots offered, by who sent them.`;
  const wanted = row[5].map((lots, n) => [state.parts.about.groups[n], lots]).filter(([, lots]) => lots);
  wanted.sort((a, b) => b[1] - a[1]);
  const left = wanted.splice(MOST_SHOWN / 2, Math.max(0, wanted.length - MOST_SHOWN));
  const most = Math.max(1, ...wanted.map(([, lots]) => Math.abs(lots)));
  const bars = make("div", { className: "bars" });
  for (const [name, lots] of wanted) {
    const fill = make("div", { className: lots < 0 ? "fill down" : "fill" });
    const part = (50 * Math.abs(lots)) / most;
    fill.style.left = `${lots < 0 ? 50 - part : 50}%`;
    fill.style.width = `${part}%`;
    bars.append(make("span", { text: name }), make("div", { className: "track" }, fill), make("span", { className: "number", text: signed(lots) }));
  }
  place.replaceChildren(bars);
  if (left.length) place.append(make("p", { className: "note", text: `and ${left.length} between them` }));
}

function renderCrowd() {
  const { groups, personas } = state.parts.about;
  const { rows } = shown();
  const day = spoken();
  const row = rows[day - 1];
  if (!row) return at("crowd").replaceChildren(make("caption", { className: "note", text: "Nothing yet: play a day." }));
  const head = ["who", "#agents", "tendency", "#", "#lots each", "#profit", "profit so far", "#wanted", "#got"];
  const all = groups.map((name, n) => [name, n]);
  const large = new Set([...all].sort(([, a], [, b]) => row[7][b] - row[7][a]).slice(0, MOST_SHOWN).map(([, n]) => n));
  const some = all.filter(([name, n]) => large.has(n) || !personas.includes(name)); // you, and crowds beside
  const made = table(head, some, "you", ([name, n]) => [
    name,
    whole(row[7][n]),
    row[2][n] === null ? "" : lean(row[2][n]),
    row[2][n] === null ? "" : row[2][n].toFixed(2).replace("-", "−"),
    row[7][n] ? whole(row[3][n]) : "",
    row[7][n] ? percent(row[4][n]) : "",
    trace(rows.slice(Math.max(0, day - 120), day).map((one) => one[4][n])),
    signed(row[5][n]),
    signed(row[6][n]),
  ]);
  made.id = "crowd";
  if (some.length < all.length)
    made.append(make("caption", { className: "note", text: `Those with most agents; ${all.length - some.length} more have no more than they.` }));
  at("crowd").replaceWith(made);
}

/** Draw a mean tendency; one of a whole step fills its half. */
function lean(value) {
  const width = 28 * Math.min(1, Math.abs(value));
  return draw("svg", { width: 64, height: 12, viewBox: "0 0 64 12", "aria-hidden": "true" },
    draw("rect", { x: 31.5, y: 0, width: 1, height: 12, fill: colour("band") }),
    draw("rect", { x: value < 0 ? 32 - width : 32, y: 2, width, height: 8, rx: 1.5, fill: colour(value < 0 ? "mark" : "line") }),
  );
}

function trace(values) {
  const [low, high] = [Math.min(0, ...values), Math.max(0, ...values)];
  const span = high - low || 1;
  const y = (value) => 15 - ((value - low) / span) * 14;
  const points = values.map((value, n) => `${(n / Math.max(1, values.length - 1)) * 90},${y(value).toFixed(1)}`);
  return draw("svg", { width: 90, height: 16, viewBox: "0 0 90 16", "aria-hidden": "true" },
    draw("line", { x1: 0, x2: 90, y1: y(0), y2: y(0), stroke: colour("faint") }),
    draw("polyline", { points: points.join(" "), fill: "none", stroke: colour((values.at(-1) ?? 0) < 0 ? "mark" : "line"), "stroke-width": 1.3 }),
  );
}

function renderBook() {
  const { book } = state.parts;
  const there = book?.bid?.length;
  at("book-note").textContent = there
    ? `Turn ${book.turn + 1}, ${book.clearing}: bids left, offers right in each bin; in full colour what was filled; dashed the last price.`
    : "Nothing yet: play a turn.";
  drawBook(at("book"), book);
}

function renderFacts() {
  const { facts } = state.parts;
  at("facts-note").textContent = facts
    ? `The last ${facts.days} days (dot) beside real windows as long: 5 to 95 % (band), median (line).`
    : "They can be told from day 60 on.";
  const place = make("div", { className: "facts" });
  for (const { name, value, low, middle, high } of facts?.rows ?? []) {
    const [from, to] = [Math.min(low, value), Math.max(high, value)];
    const span = to - from || 1;
    const x = (n) => 2 + ((n - from) / span) * 96;
    const out = value < low || value > high;
    const mark = (className, left, width) => {
      const made = make("i", { className });
      made.style.left = `${left}%`;
      if (width !== undefined) made.style.width = `${width}%`;
      return made;
    };
    place.append(
      make("span", { text: name }),
      make("div", { className: "scale" }, mark("band", x(low), x(high) - x(low)), mark("middle", x(middle)), mark(out ? "dot out" : "dot", x(value))),
      make("span", { className: out ? "number out" : "number", text: brief(value) }),
      make("span", { className: "number range", text: `${brief(low)} to ${brief(high)}` }),
    );
  }
  at("facts").replaceChildren(place);
}

function renderSociety() {
  const { society, about } = state.parts;
  at("society-section").hidden = !society;
  if (!society) return;
  at("society-note").textContent = `${whole(society.count)} links; the strongest ${society.links.length} are drawn, in orange who told whom today and who knows the latest rumour.`;
  drawSociety(at("society"), society, about.groups);
  at("rumours").replaceChildren(...society.rumours.map(({ text, day, fresh, heard }) => {
    const known = heard.filter((one) => one >= 0).length;
    return make("li", { text: `“${text}” since day ${day}: ${known} of ${heard.length} know it, ${Math.round(100 * fresh)} % fresh` });
  }));
}

function renderSaid() {
  const { said, now } = state.parts;
  const key = JSON.stringify([said.messages.length, said.texts.length, now.day, now.turn, now.branch]);
  const place = at("said");
  if (place.dataset.key === key) return;
  place.dataset.key = key;
  const items = said.messages.map(({ kind, text, heard }) =>
    make("li", {}, make("span", { className: "kind", text: kind }), text, make("span", { className: "note", text: ` heard by ${heard}` })));
  items.push(...said.texts.filter(({ kind }) => kind !== "page").slice(-60).map(({ kind, who, agent, text }) =>
    make("li", {}, make("span", { className: "kind", text: kind }), make("b", { text: `${who} ${agent}: ` }), text.trim())));
  place.replaceChildren(...(items.length ? items : [make("li", { className: "note", text: "Nothing was said." })]));
}

function renderAccount() {
  const { account, about } = state.parts;
  const you = about.groups.indexOf("you");
  const profit = shown().rows.at(-1)?.[4][you] ?? 0;
  const entries = [["cash", whole(account.cash_cents / 100)], ["lots", whole(account.lots)], ["worth", whole(account.equity_cents / 100)], ["profit", percent(profit, 2)]];
  at("account").replaceChildren(...entries.flatMap(([name, value]) => [make("dt", { text: name }), make("dd", { text: value })]));
  at("told").replaceChildren(...account.told.filter((text) => /of \d+ lots|^cancel|margin|cannot/.test(text)).slice(-6).map((text) => make("li", { text })));
  at("resting").replaceChildren(...account.resting.map(([number, side, lots, ticks]) =>
    make("div", {}, make("span", { text: `${side > 0 ? "buy" : "sell"} ${whole(lots)} at ${price(ticks)} rests` }),
      make("button", { type: "button", text: "cancel", on: { click: () => happen({ kind: "order", line: `cancel ${number}` }, "It is cancelled in the next turn.") } }))));
}

function inWords(event) {
  const { kind } = event;
  const to = event.agents === undefined || event.agents === "all" ? "" : ` (to ${event.agents})`;
  if (kind === "news" || kind === "rumour") return `${kind}, ${event.tone ?? 0}: ${event.text}${to}`;
  if (kind === "order") return event.line.replace(/@ (\d+)/, (_, ticks) => `at ${price(Number(ticks))}`);
  if (kind === "settle_at") return event.factor ? `settle at ${event.factor} times` : `settle at ${price(event.price_ticks)}`;
  const skip = ["kind", "day", "turn", "asset"];
  const rest = Object.entries(event).filter(([name]) => !skip.includes(name)).map(([name, value]) => `${name} ${value}`);
  return [kind.replaceAll("_", " "), ...rest].join(", ");
}

function renderDone() {
  const { events, now } = state.parts;
  const key = JSON.stringify([events, now.branch]);
  const place = at("done");
  if (place.dataset.key === key) return;
  place.dataset.key = key;
  const coming = events.to_come.map((event) => JSON.stringify(event));
  const items = events.happened.map((event) => {
    const index = coming.indexOf(JSON.stringify(event));
    const item = make("li", {}, make("span", { className: index < 0 ? "when" : "when coming", text: `day ${event.day}` }), make("span", { className: "what", text: inWords(event) }));
    if (index >= 0) item.append(make("button", { text: "take back", on: { click: () => act({ do: "call_off", index }, "Taken back.") } }));
    return item;
  });
  place.replaceChildren(...(items.length ? items.reverse() : [make("li", { className: "note", text: "Nothing so far." })]));
}

// ---- what a person does

function happen(event, good) {
  return act({ do: "happen", event }, good);
}

const next = () => `Recorded: it happens before the next turn${state.parts.now.playing ? "" : ", when you play"}.`;

function forms() {
  at("say").addEventListener("submit", async (submitted) => {
    submitted.preventDefault();
    const kind = new FormData(at("say")).get("kind");
    const event = { kind, text: at("say-text").value.trim(), tone: Number(at("say-tone").value) };
    if (kind === "rumour") {
      event.agents = { share: Number(at("say-share").value) / 100 };
      if (at("say-persona").value) event.agents.persona = at("say-persona").value;
      event.is_true = at("say-true").checked;
    }
    if (at("say-day").value) event.day = Number(at("say-day").value);
    if (await happen(event, event.day === undefined ? next() : `Recorded: it happens on day ${event.day}.`)) at("say-text").value = "";
  });
  at("trade").addEventListener("submit", (submitted) => {
    submitted.preventDefault();
    const side = new FormData(at("trade")).get("side");
    const limit = at("limit").value;
    const how = limit ? `@ ${Math.round(Number(limit) * TICKS)}${at("gtc").checked ? " gtc" : ""}` : "market";
    happen({ kind: "order", line: `${side} ${at("lots").value} ${how}` }, next());
  });
  at("rules").addEventListener("submit", (submitted) => {
    submitted.preventDefault();
    const { terms } = state.parts.now;
    const given = {
      price_limit: Number(at("price_limit").value) / 100,
      fee_bps: Number(at("fee_bps").value),
      short_sales: at("short_sales").value,
      initial_margin_bps: Number(at("initial_margin_bps").value),
      maintenance_margin_bps: Number(at("maintenance_margin_bps").value),
    };
    const changes = Object.entries(given).filter(([name, value]) => value !== terms[name]);
    happen({ kind: "change_terms", ...Object.fromEntries(changes) }, next());
  });
  at("settle").addEventListener("submit", (submitted) => {
    submitted.preventDefault();
    const event = { kind: "settle_at" };
    if (at("settle-price").value) event.price_ticks = Math.round(Number(at("settle-price").value) * TICKS);
    if (at("settle-factor").value) event.factor = Number(at("settle-factor").value);
    happen(event, "Recorded: today's settlement is authored.");
  });
  at("annul").addEventListener("click", () => happen({ kind: "cancel_trades" }, "Recorded: today's trades are cancelled at its end."));
  at("halt").addEventListener("click", halt);
  at("replay").addEventListener("click", async () => {
    at("replayed").textContent = "Playing it again from day 0 …";
    at("replayed").classList.remove("bad");
    const found = await act({ do: "replay" });
    if (!found?.digest) at("replayed").textContent = at("answer").textContent;
    else {
      at("replayed").textContent = `${found.same ? "The same" : "NOT the same"} ${found.days} days. Tape sha256 ${found.digest}`;
      at("replayed").classList.toggle("bad", !found.same);
      at("command").textContent = found.command;
    }
  });
}

function halt() {
  const halted = state.parts.now.halted;
  happen({ kind: halted ? "resume" : "halt" }, `Recorded: trading is ${halted ? "resumed" : "halted"} before the next turn.`);
}

function openTab(name) {
  for (const tab of document.querySelectorAll("[role=tab]")) {
    const own = tab.dataset.tab === name;
    tab.setAttribute("aria-selected", own);
    tab.tabIndex = own ? 0 : -1;
    at(tab.dataset.tab).hidden = !own;
  }
  if (name === "rules" && state.parts.now) fillRules();
}

function fillRules() {
  const { terms } = state.parts.now;
  at("price_limit").value = +(100 * terms.price_limit).toFixed(4);
  for (const name of ["fee_bps", "initial_margin_bps", "maintenance_margin_bps", "short_sales"]) at(name).value = terms[name];
}

const play = () => act({ do: state.parts.now.playing ? "pause" : "play" });
const step = (unit) => {
  state.follow = true;
  return act({ do: "step", unit });
};
const setSpeed = (speed) => act({ do: "speed", days_a_second: speed });

function choose(day) {
  const days = shown().rows.length;
  state.chosen = Math.min(Math.max(0, day), days);
  state.follow = state.chosen >= days;
  schedule();
}

async function rewind() {
  const day = state.chosen;
  await act({ do: "pause" });
  if (await act({ do: "rewind", day }, `Back at day ${day}. What you did later comes again, unless you take it back.`)) state.follow = true;
}

async function fork() {
  const day = state.chosen;
  if (await act({ do: "fork", day, name: null }, `A new branch leaves at day ${day}.`)) state.follow = true;
}

function begin() {
  document.body.dataset.live = "yes";
  const { about } = state.parts;
  document.title = `${about.name} · desk`;
  at("name").textContent = about.name;
  at("setting").textContent = `${whole(about.agents)} agents, seed ${about.seed}, ${about.turns.join(", ")} · ${about.folder}`;
  at("command").textContent = `evobourse simulate ${about.bundle} --scenario ${about.folder}/${state.parts.now.scenario} --agents ${about.agents} --days ${about.days} --seed ${about.seed}`;
  at("say-persona").append(make("option", { value: "", text: "all personas" }),
    ...about.personas.map((name) => make("option", { value: name, text: name })));
  for (const speed of SPEEDS)
    at("speeds").append(make("button", { text: speed === 1000 ? "max" : String(speed), value: speed, title: `${speed === 1000 ? "As fast as it goes" : `${speed} days a second`} (${SPEEDS.indexOf(speed) + 1})`, on: { click: () => setSpeed(speed) } }));
  at("speeds").append(make("span", { className: "unit", text: "days a second" }));
  fillRules();
}

function wire() {
  at("play").addEventListener("click", play);
  at("step-turn").addEventListener("click", () => step("turn"));
  at("step-day").addEventListener("click", () => step("day"));
  at("rewind").addEventListener("click", rewind);
  at("fork").addEventListener("click", fork);
  at("help").addEventListener("click", () => at("keys").showModal());
  at("at").addEventListener("input", () => choose(Number(at("at").value)));
  for (const tab of document.querySelectorAll("[role=tab]")) {
    tab.addEventListener("click", () => openTab(tab.dataset.tab));
    tab.addEventListener("keydown", ({ key }) => {
      const tabs = [...document.querySelectorAll("[role=tab]")];
      const move = { ArrowLeft: -1, ArrowRight: 1 }[key];
      if (!move) return;
      const other = tabs.at((tabs.indexOf(tab) + move) % tabs.length);
      openTab(other.dataset.tab);
      other.focus();
    });
  }
  const kinds = () => (at("to").hidden = new FormData(at("say")).get("kind") !== "rumour");
  at("say").addEventListener("change", kinds);
  kinds();
  const tone = () => (at("say-tone-out").textContent = Number(at("say-tone").value).toFixed(1));
  const share = () => (at("say-share-out").textContent = `${at("say-share").value} %`);
  at("say-tone").addEventListener("input", tone);
  at("say-share").addEventListener("input", share);
  tone();
  const canvas = at("price");
  const dayOf = (event) => state.axis?.dayAt(event.clientX - canvas.getBoundingClientRect().left);
  canvas.addEventListener("pointermove", (event) => {
    state.pointer = dayOf(event) ?? null;
    schedule();
  });
  canvas.addEventListener("pointerleave", () => {
    state.pointer = null;
    schedule();
  });
  canvas.addEventListener("click", (event) => choose(dayOf(event)));
  addEventListener("resize", schedule);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    delete at("lines").dataset.key;
    delete at("legend").dataset.branch;
    schedule();
  });
  addEventListener("keydown", keys);
}

function keys(event) {
  const { target, key } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || !state.parts.now || at("keys").open) return;
  const typing = target.matches("input:not([type=range], [type=radio], [type=checkbox]), textarea, select");
  if (key === "Escape" && typing) return target.blur();
  if (typing) return;
  const inTabs = target.matches("[role=tab], [type=range], [type=radio]");
  const to = (tab, id) => () => {
    openTab(tab);
    at(id).focus();
  };
  const known = {
    " ": play,
    t: () => step("turn"),
    ArrowRight: () => step("day"),
    ArrowLeft: () => choose(state.chosen - 1),
    ArrowUp: () => choose(state.chosen + 10),
    ArrowDown: () => choose(state.chosen - 10),
    r: rewind,
    b: fork,
    n: to("say", "say-text"),
    o: to("trade", "lots"),
    h: halt,
    "?": () => at("keys").showModal(),
  };
  for (const [n, speed] of SPEEDS.entries()) known[n + 1] = () => setSpeed(speed);
  const doing = known[key];
  if (!doing || (inTabs && key.startsWith("Arrow")) || (key === " " && target.matches("button, input"))) return;
  event.preventDefault();
  doing();
}

openTab("say");
wire();
forms();
listen();
