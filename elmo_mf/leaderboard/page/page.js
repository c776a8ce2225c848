// The page's behaviour: what the choices leave is shown by the plot and by the table, and each row opens its records.
const $ = (id) => document.getElementById(id);
const ANY = "any";
const MOST_ROWS = 500; // of the table at once
const ERRORS = 1; // Vega's level that leaves out warnings, which it has for layers without points

async function unpacked(found) {
  if (!found.packed) return found;
  const bytes = Uint8Array.from(atob(found.packed), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
}

const FILTERS = ["method", "targets"];
const CHOICES = [...FILTERS, "only", "verdict", "axis"];

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
  for (const name of FILTERS) {
    fill($(name), [[ANY, "any"], ...distinct(rows.map((row) => row.point[name])).map((value) => [value, value])]);
  }
  fill($("axis"), data.axes.filter(({ key }) => key in board.plots).map(({ key, title }) => [key, title]));
}

function chosen(row) {
  if (!row.point.compressed) return true;
  const only = $("only").value;
  return FILTERS.every((name) => [ANY, row.point[name]].includes($(name).value))
    && [ANY, row.verdict].includes($("verdict").value) && (only === ANY || row.marks.includes(only));
}

// --- table

function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function encoderCell(row) {
  const cell = element("span", { className: row.marks.includes("recommended") ? "recommended" : "" });
  if (row.point.method === "baseline") cell.append("baseline: ");
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
  const others = board.columns.map(({ title, main }, index) => ({
    title, type: "num", visible: main || $("every").checked, orderSequence: ["desc", "asc", ""],
    className: ["verdict", "evidence"].includes(title) ? "text dt-left" : "dt-right",
    data: (row, kind) => row.cells[index][kind === "display" || kind === "filter" ? 0 : 1],
  }));
  return [first, ...others];
}

function showTable() {
  table?.destroy();
  $("tables").replaceChildren(element("table", { id: "table" }));
  table = jQuery("#table").DataTable({
    data: board.rows, columns: columns(), createdRow: (made, row) => made.classList.toggle("baseline", row.point.method === "baseline"), paging: board.rows.length > MOST_ROWS, pageLength: MOST_ROWS, lengthChange: false, order: [], autoWidth: false,
    layout: { topStart: "search", topEnd: null, bottomStart: "info", bottomEnd: board.rows.length > MOST_ROWS ? "paging" : null },
    language: { search: "Find", info: "_TOTAL_ encoders", infoEmpty: "no encoder", infoFiltered: "of _MAX_" },
  });
  table.search.fixed("choice", (_text, row) => chosen(row));
  table.on("draw", () => {
    showPlot();
    showScrolling();
    keepAddress();
  });
  table.draw();
}

// The table takes the keyboard's focus, and its arrow keys, only where there is something to scroll to.
function showScrolling() {
  const place = document.querySelector("#tables .dt-layout-table");
  if (!place) return;
  if (place.scrollWidth > place.clientWidth || place.scrollHeight > place.clientHeight) {
    place.tabIndex = 0;
    place.setAttribute("role", "region");
    place.setAttribute("aria-labelledby", "title");
  } else {
    for (const name of ["tabindex", "role", "aria-labelledby"]) place.removeAttribute(name);
  }
}

function showColumns() {
  board.columns.forEach(({ main }, index) => table.column(index + 1).visible(main || $("every").checked, false));
  table.columns.adjust();
  showScrolling();
  keepAddress();
}

// --- address

function keepAddress() {
  const shown = new URLSearchParams();
  for (const name of CHOICES) if ($(name).value !== $(name).options[0]?.value) shown.set(name, $(name).value);
  if ($("every").checked) shown.set("columns", "all");
  if (table?.search()) shown.set("find", table.search());
  const text = String(shown);
  history.replaceState(null, "", `#${encodeURIComponent(board.id)}${text && `?${text}`}`);
}

function readAddress() {
  const [task, text] = location.hash.slice(1).split("?");
  const asked = decodeURIComponent(task);
  if (data.boards.some(({ id }) => id === asked)) $("task").value = asked;
  const wanted = new URLSearchParams(text ?? "");
  $("every").checked = wanted.get("columns") === "all";
  showBoard(wanted);
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
    const { median_ms, p95_ms, speed_up } = times[part][batch];
    return `${median_ms.toFixed(1)} ms, 95th percentile ${p95_ms.toFixed(1)} ms, ${speed_up.toFixed(2)} times as fast as ${record.run.elmo ? "dense" : "torch.nn.LSTM"}`;
  };
  const { size } = record;
  const times = record.latency ?? {};
  const timed = ["encoder", "model"].filter((part) => times[part]);
  return [
    ["scores", Object.entries(record.scores).map(([name, value]) => `${name} ${Number(value.toPrecision(6))}`).join(", ")],
    ...(record.collapsed ? [["collapsed", "the model learned nothing from its inputs"]] : []),
    ...(size ? [["LSTM parameters", `${size.lstm_parameters.toLocaleString("en")} of ${size.lstm_dense_parameters.toLocaleString("en")}`]] : []),
    ...timed.flatMap((part) => ["1", "32"].map((batch) => [`${part}, batch ${batch}`, milliseconds(part, batch)])),
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
  const { point, use, records } = board.rows[row];
  $("record-title").textContent = `${point.encoder}: ${board.title}`;
  fill($("seed"), records.map((index) => [String(index), String(seedOf(index))]));
  $("seed").value = String(records[0]);
  $("use").hidden = !use;
  $("command").textContent = printable(use);
  showRecord(records[0]);
  $("record").showModal();
}

async function copyCommand() {
  try {
    await navigator.clipboard.writeText($("command").textContent);
    $("copy").textContent = "Copied";
    setTimeout(() => ($("copy").textContent = "Copy"), 2000);
  } catch { // where the browser allows no access to the clipboard
    getSelection().selectAllChildren($("command"));
  }
}

// --- all of it

function showBoard(wanted = new URLSearchParams()) {
  board = data.boards.find(({ id }) => id === $("task").value) ?? data.boards[0];
  if (!board) return;
  $("title").textContent = board.title;
  for (const name of ["lead", "about"]) $(name).innerHTML = board[name];
  fillForBoard();
  for (const name of CHOICES) if ([...$(name).options].some(({ value }) => value === wanted.get(name))) $(name).value = wanted.get(name);
  showTable();
  if (wanted.get("find")) table.search(wanted.get("find")).draw();
}

function showData() {
  $("header").innerHTML = data.header;
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

fill($("only"), [[ANY, "any"], ...Object.entries(data.marks).filter(([name]) => name !== "recommended").map(([name, { meaning }]) => [name, meaning])]);
fill($("verdict"), [[ANY, "any"], ...data.verdicts.map((name) => [name, name])]);
$("task").addEventListener("change", () => showBoard());
for (const name of [...FILTERS, "only", "verdict"]) $(name).addEventListener("change", () => table?.draw());
$("axis").addEventListener("change", () => {
  if (!board) return;
  showPlot();
  keepAddress();
});
$("every").addEventListener("change", () => board && showColumns());
addEventListener("resize", showScrolling);
$("seed").addEventListener("change", () => showRecord(Number($("seed").value)));
$("copy").addEventListener("click", copyCommand);
$("tables").addEventListener("click", (event) => {
  const button = event.target.closest(".open");
  if (button) openRecord(Number(button.dataset.row));
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolor);
fill($("task"), data.boards.map(({ id, title }) => [id, title]));
readAddress();
document.body.dataset.ready = "";
if (document.body.dataset.version) follow();
