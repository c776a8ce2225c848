// The page's behaviour: what the choices leave is shown by the plot and by the table, and each row opens its records.
const $ = (id) => document.getElementById(id);
const ALL = "all";
const MOST_ROWS = 500; // of the table at once
// Okabe and Ito's colours, which colour-blind readers tell apart; shapes differ too
const COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8a8a8a", "#b2a300"];
const SHAPES = ["circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "triangle-left", "triangle-right"];
const STAR = "M0,-1.3L.29,-.4L1.24,-.4L.47,.15L.76,1.05L0,.5L-.76,1.05L-.47,.15L-1.24,-.4L-.29,-.4Z";

async function unpacked(found) {
  if (!found.packed) return found;
  const bytes = Uint8Array.from(atob(found.packed), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
}

let data = await unpacked(JSON.parse($("data").textContent));
let board = null;
let table = null;
let view = null;

async function library(id) {
  const address = URL.createObjectURL(new Blob([$(id).textContent], { type: "text/javascript" }));
  try {
    return await import(address);
  } finally {
    URL.revokeObjectURL(address);
  }
}

const { jQuery } = await library("table-library");

// --- choices

function fill(select, options) {
  const before = select.value;
  select.replaceChildren(...options.map(([value, text]) => new Option(text, value)));
  if (options.some(([value]) => value === before)) select.value = before;
}

const distinct = (values) => [...new Set(values)].sort();

function fillForBoard() {
  const rows = board.rows.filter((row) => row.method !== "dense");
  for (const name of ["method", "targets"]) {
    fill($(name), [[ALL, "all"], ...distinct(rows.map((row) => row[name])).map((value) => [value, value])]);
  }
  const known = data.axes.filter(({ key }) => board.rows.some((row) => row.across[key] !== null));
  fill($("axis"), known.map(({ key, title }) => [key, title]));
}

function chosen(row) {
  if (row.method === "dense") return true;
  const { value } = $("only");
  return ["method", "targets"].every((name) => [ALL, row[name]].includes($(name).value))
    && (value === ALL || row.marks.includes(value));
}

// --- table

function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function encoderCell(row) {
  const cell = element("span", { className: row.marks.includes("best") ? "best" : "" });
  const button = element("button", { type: "button", className: "open", textContent: row.encoder });
  button.dataset.row = row.index;
  cell.append(button);
  for (const name of row.marks) {
    const { sign, meaning } = data.marks[name];
    const mark = element("span", { className: "mark", title: meaning, textContent: sign });
    mark.setAttribute("role", "img");
    mark.setAttribute("aria-label", meaning);
    cell.append(mark);
  }
  return cell;
}

function columns() {
  const first = {
    title: "encoder", cellType: "th", className: "dt-left",
    data: (row, kind) => (kind === "display" ? encoderCell(row) : row.encoder),
  };
  const others = board.columns.map((title, index) => ({
    title, type: "num", className: "dt-right", orderSequence: ["desc", "asc", ""],
    data: (row, kind) => row.cells[index][kind === "display" || kind === "filter" ? 0 : 1],
  }));
  return [first, ...others];
}

function showTable() {
  table?.destroy();
  $("scroll").replaceChildren(element("table", { id: "table" }));
  table = jQuery("#table").DataTable({
    data: board.rows, columns: columns(), paging: board.rows.length > MOST_ROWS, pageLength: MOST_ROWS, lengthChange: false, order: [], autoWidth: false,
    layout: { topStart: "search", topEnd: null, bottomStart: "info", bottomEnd: board.rows.length > MOST_ROWS ? "paging" : null },
    language: { search: "Find", info: "_TOTAL_ encoders", infoEmpty: "no encoder", infoFiltered: "of _MAX_" },
  });
  table.search.fixed("choice", (_text, row) => chosen(row));
  table.on("draw", showPlot);
  table.draw();
}

// --- plot

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function points(axis) {
  const { factor } = board.unit;
  return table.rows({ search: "applied" }).data().toArray()
    .filter((row) => row.across[axis.key] !== null && row.score !== null)
    .map((row) => ({
      index: row.index, encoder: row.encoder, method: row.method, targets: row.targets,
      line: row.line, again: row.again, x: row.across[axis.key], y: factor * row.score,
      low: row.std === null ? null : factor * (row.score - row.std),
      high: row.std === null ? null : factor * (row.score + row.std), shown: row.cells[0][0],
    }));
}

// No point is as good for less, or better for as much.
function front(all, less) {
  const cost = (point) => (less ? point.x : -point.x);
  const good = (point) => (board.higher ? point.y : -point.y);
  return all.filter((one) => !all.some((other) =>
    (good(other) >= good(one) && cost(other) < cost(one)) || (good(other) > good(one) && cost(other) <= cost(one))));
}

function specification(axis, all) {
  const methods = distinct(board.rows.map((row) => row.method)).filter((name) => name !== "dense");
  const domain = [...methods, "dense"];
  const ink = color("--ink");
  const x = {
    field: "x", type: "quantitative", title: axis.title,
    scale: { type: axis.key === "activation_error" ? "linear" : "log", nice: false, padding: 24 },
    axis: { format: "~s", tickCount: 8, labelOverlap: true, ...(axis.key === "rank" ? { values: distinct(all.map((point) => point.x)) } : {}) },
  };
  const y = {
    field: "y", type: "quantitative", title: board.unit.title,
    scale: { ...(board.unit.log ? { type: "log" } : { type: "linear", zero: false }), nice: false, padding: 16 },
    axis: { tickCount: 8, labelOverlap: true },
  };
  const range = (values, last) => [...methods.map((_, index) => values[index % values.length]), last];
  const lines = axis.key === "rank"
    ? { mark: { type: "line", opacity: 0.7 }, transform: [{ filter: "datum.line !== null" }],
        encoding: { x, y, detail: { field: "line" }, strokeDash: { field: "targets", title: "targets" },
          color: { field: "method", scale: { domain, range: range(COLORS, ink) } } } }
    : { data: { values: front(all, axis.less) }, mark: { type: "line", color: ink, opacity: 0.5 }, encoding: { x, y } };
  const known = all.filter((point) => point.low !== null);
  const spread = known.length === 0 ? [] : [{
    data: { values: known }, mark: { type: "rule", color: color("--faint") },
    encoding: { x, y: { ...y, field: "low" }, y2: { field: "high" } },
  }];
  const marks = (again, look) => {
    const values = all.filter((point) => point.again === again);
    return values.length === 0 ? [] : [{
      data: { values }, mark: { type: "point", size: 120, opacity: 1, cursor: "pointer", ...look },
      encoding: {
        x, y,
        color: { field: "method", title: "method", scale: { domain, range: range(COLORS, ink) } },
        shape: { field: "method", title: "method", scale: { domain, range: range(SHAPES, STAR) } },
        description: { field: "encoder" },
        tooltip: [{ field: "encoder" }, { field: "shown", title: board.unit.title }, { field: "x", title: axis.title, format: ",.4~g" }],
      },
    }];
  };
  return {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    width: "container", height: 380, autosize: { type: "fit", contains: "padding" }, background: null,
    description: `${board.unit.title} against ${axis.title}, ${all.length} encoders`,
    data: { values: all },
    layer: [
      lines,
      ...spread,
      ...marks(false, { filled: true, stroke: ink, strokeWidth: 0.7 }),
      ...marks(true, { filled: false, fill: color("--ground"), strokeWidth: 1.8 }),
    ],
    config: {
      font: "system-ui, sans-serif", view: { stroke: color("--line") },
      axis: { labelColor: ink, titleColor: ink, gridColor: color("--line"), tickColor: color("--line"), labelFontSize: 12, titleFontSize: 12 },
      legend: { labelColor: ink, titleColor: ink, orient: "bottom", columns: matchMedia("(max-width: 40rem)").matches ? 2 : 9, labelFontSize: 12 },
    },
  };
}

let latest = 0;

async function showPlot() {
  const turn = ++latest;
  const axis = data.axes.find(({ key }) => key === $("axis").value) ?? data.axes[0];
  const all = points(axis);
  $("plot").setAttribute("aria-label", `${board.unit.title} against ${axis.title}: ${all.length} encoders, as in the table below`);
  if (all.length === 0) {
    view?.finalize();
    view = null;
    $("plot").replaceChildren("No encoder to show.");
    return;
  }
  const place = element("div", {});
  place.style.width = "100%";
  $("plot").append(place);
  const made = await window.vegaEmbed(place, specification(axis, all), { actions: false, renderer: "svg" });
  if (turn !== latest) {
    made.finalize();
    place.remove();
    return;
  }
  view?.finalize();
  view = made;
  $("plot").replaceChildren(place);
  view.view.addEventListener("click", (_event, item) => {
    if (item?.datum?.index !== undefined) openRecord(item.datum.index);
  });
}

// --- records

function recordOf(index) {
  const record = board.records[index];
  return { ...record, run: { ...board.run, ...record.run } };
}

function machineOf({ machine }) {
  const gpu = machine.gpu ? `${machine.gpu}, ` : "";
  const switches = Object.entries(machine.environment ?? {}).map(([name, value]) => `, ${name}=${value}`).join("");
  return `${gpu}${machine.cpu}, ${machine.instructions}, ${machine.threads} thread${machine.threads === 1 ? "" : "s"}${switches}`;
}

function versionsOf({ versions }) {
  return Object.entries(versions).map((pair) => pair.join(" ")).join(", ");
}

function facts(record) {
  const milliseconds = (part, batch) => {
    const { median_ms, p95_ms, speed_up } = record.latency[part][batch];
    return `${median_ms.toFixed(1)} ms, 95th percentile ${p95_ms.toFixed(1)} ms, ${speed_up.toFixed(2)} times as fast as dense`;
  };
  const { size } = record;
  return [
    ["scores", Object.entries(record.scores).map(([name, value]) => `${name} ${Number(value.toPrecision(6))}`).join(", ")],
    ["LSTM parameters", `${size.lstm_parameters.toLocaleString("en")} of ${size.lstm_dense_parameters.toLocaleString("en")}`],
    ...["encoder", "model"].flatMap((part) => ["1", "32"].map((batch) => [`${part}, batch ${batch}`, milliseconds(part, batch)])),
    ["training", `best epoch ${record.best_epoch} of ${record.epochs}, ${Math.round(record.seconds)} s in all`],
    ["machine", machineOf(record)],
    ["versions", versionsOf(record)],
    ...(record.timed ? [["timed on", machineOf(record.timed)], ["timed with", versionsOf(record.timed)]] : []),
  ];
}

// With what cannot be seen, or turns the order of what can, escaped as in JSON.
function printable(text) {
  const escaped = (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return text.replace(/[^\P{C}\n]|[\p{Zl}\p{Zp}]/gu, (found) => found.split("").map(escaped).join(""));
}

// A record that is in a file of its own, which a page from disk may show but not read.
function showFile(name) {
  const link = element("a", { href: `records/${encodeURIComponent(name)}`, target: "_blank", textContent: name });
  $("facts").replaceChildren(element("dt", { textContent: "file" }), element("dd", {}, link));
  $("json").textContent = "";
}

function showRecord(index) {
  if (board.files) {
    showFile(board.files[index][1]);
    return;
  }
  const record = recordOf(index);
  $("facts").replaceChildren(...facts(record).flatMap(([name, text]) =>
    [element("dt", { textContent: name }), element("dd", { textContent: printable(text) })]));
  $("json").textContent = printable(JSON.stringify(record, null, 1));
}

const seedOf = (index) => (board.files ? board.files[index][0] : board.records[index].run.seed);

function openRecord(row) {
  const { encoder, records } = board.rows[row];
  $("record-title").textContent = `${encoder}: ${board.title}`;
  fill($("seed"), records.map((index) => [String(index), String(seedOf(index))]));
  $("seed").value = String(records[0]);
  showRecord(records[0]);
  $("record").showModal();
}

// --- all of it

function showBoard() {
  board = data.boards.find(({ id }) => id === $("task").value) ?? data.boards[0];
  if (!board) return;
  board.rows.forEach((row, index) => { row.index = index; });
  $("title").textContent = board.title;
  $("about").innerHTML = board.about;
  fillForBoard();
  showTable();
}

function showData() {
  for (const name of ["header", "summary"]) $(name).innerHTML = data[name];
  fill($("task"), data.boards.map(({ id, title }) => [id, title]));
  showBoard();
}

async function json(address) {
  return (await fetch(address, { cache: "no-store" })).json();
}

// Of a page that is served: how far the sweep is, and its new records as they come.
async function follow() {
  for (;;) {
    let newer = null;
    try {
      const { version, text } = await json("status.json");
      $("live").textContent = text;
      if (version !== document.body.dataset.version) {
        newer = await json("data.json");
        document.body.dataset.version = version;
      }
    } catch {
      $("live").textContent = "The server has stopped; this is what it showed last.";
    }
    if (newer) {
      data = newer;
      refresh();
    }
    await new Promise((done) => setTimeout(done, 1000));
  }
}

function refresh() {
  const { order, text } = table ? { order: table.order(), text: table.search() } : { order: [], text: "" };
  showData();
  if (table) table.order(order).search(text).draw();
}

fill($("only"), [[ALL, "all"], ...Object.entries(data.marks).filter(([name]) => name !== "best").map(([name, { meaning }]) => [name, meaning])]);
$("task").addEventListener("change", () => {
  history.replaceState(null, "", `#${$("task").value}`);
  showBoard();
});
for (const name of ["method", "targets", "only"]) $(name).addEventListener("change", () => table?.draw());
$("axis").addEventListener("change", () => board && showPlot());
$("seed").addEventListener("change", () => showRecord(Number($("seed").value)));
$("scroll").addEventListener("click", (event) => {
  const button = event.target.closest(".open");
  if (button) openRecord(Number(button.dataset.row));
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => board && showPlot());
fill($("task"), data.boards.map(({ id, title }) => [id, title]));
const asked = decodeURIComponent(location.hash.slice(1));
if (data.boards.some(({ id }) => id === asked)) $("task").value = asked;
showBoard();
document.body.dataset.ready = "";
if (document.body.dataset.version) follow();
