// The page's behaviour: what the choices leave is shown by the plot and by the table, and each row opens its records.
const $ = (id) => document.getElementById(id);
const ALL = "all";
const MOST_ROWS = 500; // of the table at once
const ERRORS = 1; // Vega's level that leaves out warnings, which it has for layers without points

async function unpacked(found) {
  if (!found.packed) return found;
  const bytes = Uint8Array.from(atob(found.packed), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
}

let data = await unpacked(JSON.parse($("data").textContent));
let board = null;
let table = null;
let plot = null; // what is drawn: a specification and its view

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
  const rows = board.rows.filter((row) => row.point.compressed);
  for (const name of ["method", "targets"]) {
    fill($(name), [[ALL, "all"], ...distinct(rows.map((row) => row.point[name])).map((value) => [value, value])]);
  }
  fill($("axis"), data.axes.filter(({ key }) => key in board.plots).map(({ key, title }) => [key, title]));
}

function chosen(row) {
  if (!row.point.compressed) return true;
  const { value } = $("only");
  return ["method", "targets"].every((name) => [ALL, row.point[name]].includes($(name).value))
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
  const button = element("button", { type: "button", className: "open", textContent: row.point.encoder });
  button.dataset.row = row.point.index;
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
    data: (row, kind) => (kind === "display" ? encoderCell(row) : row.point.encoder),
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

const colors = () => ({ ink: color("--ink"), ground: color("--ground") });

let latest = 0;

async function showPlot() {
  const turn = ++latest;
  const axis = $("axis").value;
  const specification = board.plots[axis];
  // copies, because Vega marks the objects that it gets
  const points = structuredClone(table.rows({ search: "applied" }).data().toArray().map((row) => row.point));
  const drawn = points.filter((point) => point.score !== null && (point[axis] ?? null) !== null).length;
  $("plot").setAttribute("aria-label", `${specification?.description ?? board.title}: ${drawn} encoders, as in the table below`);
  if (drawn === 0) {
    plot?.view.finalize();
    plot = null;
    $("plot").replaceChildren("No encoder to show.");
  } else if (plot?.specification === specification) {
    await plot.view.data("points", points).runAsync();
  } else {
    await draw(specification, points, turn);
  }
}

async function draw(specification, points, turn) {
  const place = element("div", {});
  place.style.width = "100%";
  $("plot").append(place);
  const params = Object.entries(colors()).map(([name, value]) => ({ name, value }));
  const { view } = await window.vegaEmbed(place, { ...specification, params, datasets: { points } }, {
    actions: false, renderer: "svg", ast: true, logLevel: ERRORS,
  });
  if (turn !== latest) {
    view.finalize();
    place.remove();
    return;
  }
  plot?.view.finalize();
  plot = { specification, view };
  $("plot").replaceChildren(place);
  view.addEventListener("click", (_event, item) => {
    if (item?.datum?.index !== undefined) openRecord(item.datum.index);
  });
}

function recolor() {
  for (const [name, value] of Object.entries(colors())) plot?.view.signal(name, value);
  plot?.view.runAsync();
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
  const { point, records } = board.rows[row];
  $("record-title").textContent = `${point.encoder}: ${board.title}`;
  fill($("seed"), records.map((index) => [String(index), String(seedOf(index))]));
  $("seed").value = String(records[0]);
  showRecord(records[0]);
  $("record").showModal();
}

// --- all of it

function showBoard() {
  board = data.boards.find(({ id }) => id === $("task").value) ?? data.boards[0];
  if (!board) return;
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
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolor);
fill($("task"), data.boards.map(({ id, title }) => [id, title]));
const asked = decodeURIComponent(location.hash.slice(1));
if (data.boards.some(({ id }) => id === asked)) $("task").value = asked;
showBoard();
document.body.dataset.ready = "";
if (document.body.dataset.version) follow();
