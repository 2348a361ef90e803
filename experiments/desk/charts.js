// Pictures on canvases: price with volume, orders by price, a society. Colours are the page's own.

const style = () => getComputedStyle(document.documentElement);
export const colour = (name) => style().getPropertyValue(`--${name}`).trim();

/** Fit a canvas to its box and the screen; return its context, width and height in CSS pixels. */
function begin(canvas) {
  const { width, height } = canvas.getBoundingClientRect();
  const dots = window.devicePixelRatio || 1;
  const [w, h] = [Math.round(width * dots), Math.round(height * dots)];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  const draw = canvas.getContext("2d");
  draw.setTransform(dots, 0, 0, dots, 0, 0);
  draw.clearRect(0, 0, width, height);
  draw.font = "12px system-ui, sans-serif";
  draw.lineJoin = "round";
  return [draw, width, height];
}

/** Return about `count` round numbers from low to high. */
export function ticks(low, high, count) {
  const raw = (high - low) / Math.max(1, count);
  if (!(raw > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= raw);
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-9; at += step) found.push(at);
  return found;
}

const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/**
 * Draw prices over volume.
 * series: [{values: [[day, price], ...], colour, dashed, wide}]; volume: [[day, lots], ...];
 * marks: [[day, colour], ...]; pointer and chosen: days or null.
 * Returns {dayAt(x), left, right} to find a day under a pointer.
 */
export function drawPrice(canvas, { series, volume, marks, first, last, pointer, chosen }) {
  const [draw, width, height] = begin(canvas);
  const [left, right, top, foot] = [8, width - 52, 8, height - 22];
  const cut = top + (foot - top) * 0.78;
  let low = Infinity;
  let high = -Infinity;
  for (const { values } of series)
    for (const [day, price] of values)
      if (day >= first && day <= last) {
        low = Math.min(low, price);
        high = Math.max(high, price);
      }
  if (!(high > -Infinity)) return { dayAt: () => 0 };
  const room = Math.max((high - low) * 0.06, high * 0.004);
  [low, high] = [low - room, high + room];
  const x = (day) => left + ((day - first) / Math.max(1, last - first)) * (right - left);
  const y = (price) => cut - ((price - low) / (high - low)) * (cut - top);

  draw.strokeStyle = colour("faint");
  draw.fillStyle = colour("muted");
  draw.lineWidth = 1;
  draw.textAlign = "left";
  draw.textBaseline = "middle";
  for (const price of ticks(low, high, 6)) {
    line(draw, [[left, y(price)], [right, y(price)]]);
    draw.fillText(price >= 1000 ? short.format(price) : price.toFixed(high - low < 4 ? 1 : 0), right + 7, y(price));
  }
  draw.textAlign = "center";
  draw.textBaseline = "top";
  for (const day of ticks(first, last, Math.min(9, width / 90)))
    if (Number.isInteger(day)) draw.fillText(day, x(day), foot + 6);
  draw.strokeStyle = colour("muted");
  draw.setLineDash([2, 3]);
  if (first < 0) line(draw, [[x(0), top], [x(0), foot]]);
  draw.setLineDash([]);

  const most = Math.max(1, ...volume.map(([, lots]) => lots));
  const bar = Math.max(1, ((right - left) / Math.max(1, last - first)) * 0.7);
  draw.fillStyle = colour("band");
  for (const [day, lots] of volume) {
    const tall = (lots / most) * (foot - cut - 10);
    draw.fillRect(x(day) - bar / 2, foot - tall, bar, tall);
  }
  draw.fillStyle = colour("muted");
  draw.textAlign = "left";
  draw.textBaseline = "middle";
  draw.fillText(short.format(most), right + 7, cut + 12);

  draw.save();
  draw.beginPath();
  draw.rect(left - 2, top, right - left + 4, cut - top);
  draw.clip();
  for (const { values, colour: own, dashed, wide } of series) {
    draw.strokeStyle = own;
    draw.lineWidth = wide ? 2 : 1.2;
    draw.setLineDash(dashed ? [4, 3] : []);
    line(draw, values.map(([day, price]) => [x(day), y(price)]));
  }
  draw.setLineDash([]);
  draw.restore();

  for (const [day, own] of marks) {
    draw.fillStyle = own;
    draw.beginPath();
    draw.moveTo(x(day), cut - 2);
    draw.lineTo(x(day) - 4, cut + 6);
    draw.lineTo(x(day) + 4, cut + 6);
    draw.fill();
  }
  if (chosen !== null) {
    draw.strokeStyle = colour("mark");
    draw.lineWidth = 1;
    line(draw, [[x(chosen), top], [x(chosen), foot]]);
  }
  if (pointer !== null) {
    draw.strokeStyle = colour("muted");
    draw.lineWidth = 1;
    line(draw, [[x(pointer), top], [x(pointer), foot]]);
    const said = [`day ${pointer}`];
    const dots = [];
    for (const { values, name, colour: own } of series) {
      const found = values.find(([day]) => day === pointer);
      if (found) {
        said.push(`${name} ${found[1].toFixed(2)}`);
        dots.push([x(pointer), y(found[1]), own]);
      }
    }
    const lots = volume.find(([day]) => day === pointer);
    if (lots) said.push(`volume ${lots[1].toLocaleString("en")}`);
    for (const [cx, cy, own] of dots) {
      draw.fillStyle = own;
      draw.beginPath();
      draw.arc(cx, cy, 3, 0, 7);
      draw.fill();
    }
    const box = Math.max(...said.map((text) => draw.measureText(text).width)) + 16;
    const at = x(pointer) + 10 + box > right ? x(pointer) - 10 - box : x(pointer) + 10;
    draw.fillStyle = colour("wash");
    draw.strokeStyle = colour("faint");
    draw.fillRect(at, top + 4, box, said.length * 17 + 8);
    draw.strokeRect(at, top + 4, box, said.length * 17 + 8);
    draw.fillStyle = colour("ink");
    draw.textAlign = "left";
    draw.textBaseline = "top";
    said.forEach((text, n) => draw.fillText(text, at + 8, top + 10 + n * 17));
  }
  const dayAt = (px) => Math.round(first + ((px - left) / (right - left)) * (last - first));
  return { dayAt };
}

/** Draw a turn's orders in bins of price: bids and offers, and in full colour what was filled. */
export function drawBook(canvas, book) {
  const [draw, width, height] = begin(canvas);
  if (!book || !book.bid || !book.bid.length) return;
  const [left, right, top, foot] = [8, width - 8, 8, height - 22];
  const bins = book.bid.length;
  const low = book.low / 100;
  const step = book.step / 100;
  const most = Math.max(1, ...book.bid, ...book.ask);
  const wide = (right - left) / bins;
  const x = (price) => left + ((price - low) / step) * wide;
  const place = (n, side) => left + n * wide + (side ? wide / 2 : 0);
  const bar = (n, side, lots) => {
    const tall = (lots / most) * (foot - top);
    draw.fillRect(place(n, side) + 0.5, foot - tall, Math.max(1, wide / 2 - 1), tall);
  };
  for (const [side, name, own] of [[0, "bid", "line"], [1, "ask", "mark"]]) {
    draw.fillStyle = colour(own);
    draw.globalAlpha = 0.33;
    book[name].forEach((lots, n) => bar(n, side, lots));
    draw.globalAlpha = 1;
    book[`${name}_filled`].forEach((lots, n) => bar(n, side, lots));
  }
  const last = book.last / 100;
  draw.strokeStyle = colour("ink");
  draw.setLineDash([3, 3]);
  if (last >= low && last <= low + bins * step) line(draw, [[x(last), top], [x(last), foot]]);
  draw.setLineDash([]);
  draw.fillStyle = colour("muted");
  draw.textAlign = "center";
  draw.textBaseline = "top";
  for (const price of ticks(low, low + bins * step, Math.min(7, width / 70)))
    draw.fillText(price.toFixed(step < 0.1 ? 1 : 0), Math.min(Math.max(x(price), left + 14), right - 14), foot + 6);
}

/** Draw agents on a circle by persona, their links, who told whom today, who knows the rumour. */
export function drawSociety(canvas, society, groups) {
  const [draw, width, height] = begin(canvas);
  const n = society.persona.length;
  const order = [...society.persona.keys()].sort((a, b) => society.persona[a] - society.persona[b] || a - b);
  const place = new Array(n);
  order.forEach((agent, at) => (place[agent] = (at / n) * 2 * Math.PI - Math.PI / 2));
  const [cx, cy, radius] = [width / 2, height / 2, Math.min(width * 0.3, height / 2 - 22)];
  const dot = (agent, r = radius) => [cx + r * Math.cos(place[agent]), cy + r * Math.sin(place[agent])];
  const chord = (a, b) => {
    draw.beginPath();
    draw.moveTo(...dot(a));
    draw.quadraticCurveTo(cx, cy, ...dot(b));
    draw.stroke();
  };
  draw.strokeStyle = colour("muted");
  draw.lineWidth = 0.6;
  draw.globalAlpha = 0.28;
  for (const [a, b] of society.links) chord(a, b);
  draw.globalAlpha = 0.9;
  draw.strokeStyle = colour("mark");
  draw.lineWidth = 1.1;
  for (const [a, b] of society.told) chord(a, b);
  draw.globalAlpha = 1;
  const heard = society.rumours.length ? society.rumours.at(-1).heard : [];
  const size = Math.max(1.4, Math.min(4, (radius * 3) / n));
  for (let agent = 0; agent < n; agent++) {
    draw.fillStyle = heard[agent] >= 0 ? colour("mark") : colour("line");
    draw.beginPath();
    draw.arc(...dot(agent), heard[agent] >= 0 ? size * 1.35 : size, 0, 7);
    draw.fill();
  }
  draw.fillStyle = colour("muted");
  draw.textBaseline = "middle";
  let start = 0;
  for (const persona of new Set(order.map((agent) => society.persona[agent]))) {
    const count = society.persona.filter((own) => own === persona).length;
    const middle = ((start + count / 2) / n) * 2 * Math.PI - Math.PI / 2;
    start += count;
    if (count / n < 0.015) continue;
    const [tx, ty] = [cx + (radius + 10) * Math.cos(middle), cy + (radius + 10) * Math.sin(middle)];
    draw.textAlign = Math.abs(Math.cos(middle)) < 0.2 ? "center" : Math.cos(middle) > 0 ? "left" : "right";
    draw.fillText(groups[persona], tx, ty);
  }
}

function line(draw, points) {
  draw.beginPath();
  points.forEach(([x, y], n) => (n ? draw.lineTo(x, y) : draw.moveTo(x, y)));
  draw.stroke();
}
