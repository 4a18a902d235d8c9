"use strict";
// The rows to review, their filters, and the decisions. Texts of the data are only ever set as textContent.
(() => {
  const PAGE = 100;
  const data = JSON.parse(document.getElementById("rows").textContent);
  const memory = "ft_toolkit audit " + data.fingerprint;
  const byId = (id) => document.getElementById(id);
  const filters = ["search", "fault", "split", "label", "state"].map(byId);
  const decisions = new Map(); // position of a row -> {decision, label}
  let shown = PAGE;
  let isSaved = true;

  function element(name, text, attributes = {}) {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  }

  function option(value, text, parent) {
    parent.append(element("option", text ?? value, { value }));
  }

  function remember() {
    try {
      localStorage.setItem(memory, JSON.stringify([...decisions]));
    } catch {
      // a browser may refuse to store anything for a file; the decisions are then lost with the page
    }
  }

  function decide(row, decision, label) {
    if (decision === "") decisions.delete(row);
    else decisions.set(row, label === undefined ? { decision } : { decision, label });
    isSaved = false;
    remember();
    for (const select of document.querySelectorAll(`select[data-row="${row}"]`)) setDecision(select, row);
    count();
  }

  // A select gets its labels when it is used: a thousand labels in each of a hundred rows would be slow.
  function setDecision(select, row, isComplete = select.dataset.complete === "yes") {
    const made = decisions.get(row);
    const labels = isComplete ? data.labels.filter((name) => name !== data.rows[row].label) : made?.label ? [made.label] : [];
    select.replaceChildren();
    option("", "undecided", select);
    option("keep", "keep", select);
    option("drop", "drop", select);
    for (const name of labels) option("label " + name, "relabel to " + name, select);
    select.dataset.complete = isComplete ? "yes" : "no";
    select.value = made === undefined ? "" : made.decision === "relabel" ? "label " + made.label : made.decision;
    select.closest("tr").dataset.decision = made === undefined ? "" : made.decision;
  }

  function choose(select, row) {
    const value = select.value;
    if (value.startsWith("label ")) decide(row, "relabel", value.slice("label ".length));
    else decide(row, value);
  }

  function isShown(row, fault) {
    const [search, kind, split, label, state] = filters.map((filter) => filter.value);
    const one = data.rows[row];
    if (kind !== "" && fault !== kind) return false;
    if (split !== "" && one.split !== split) return false;
    if (label !== "" && one.label !== label) return false;
    if (state !== "" && (decisions.get(row)?.decision ?? "undecided") !== state) return false;
    const words = search.toLowerCase();
    return words === "" || one.text.toLowerCase().includes(words) || one.id.toLowerCase() === words;
  }

  function rowOf(row, detail, suggestion) {
    const one = data.rows[row];
    const line = element("tr", undefined, { tabindex: "0", "data-row": row });
    if (suggestion !== null) line.dataset.suggestion = suggestion;
    const name = element("th", one.split + " " + one.id, { scope: "row" });
    const decision = element("td");
    const select = element("select", undefined, { "data-row": row, "aria-label": `decision on ${one.split} row ${one.id}` });
    decision.append(select);
    line.append(name, element("td", one.text, { class: "text" }), element("td", one.answer), element("td", detail), decision);
    setDecision(select, row, false);
    select.addEventListener("focus", () => setDecision(select, row, true));
    select.addEventListener("change", () => choose(select, row));
    return line;
  }

  function decideAll(decision) {
    for (const fault of data.faults) {
      for (const row of fault.cases.flatMap((found) => found.rows)) {
        if (!isShown(row, fault.name)) continue;
        if (decision === "undecided") decisions.delete(row);
        else decisions.set(row, { decision });
      }
    }
    isSaved = false;
    remember();
    draw();
  }

  function draw() {
    const body = byId("review").tBodies[0];
    body.replaceChildren();
    let n = 0;
    for (const fault of data.faults) {
      for (const [index, found] of fault.cases.entries()) {
        const rows = found.rows.filter((row) => isShown(row, fault.name));
        if (rows.length === 0) continue;
        if (n < shown) {
          const head = element("tr", undefined, { class: "case" });
          head.append(element("th", `${fault.title}, case ${index + 1}`, { colspan: "5", scope: "rowgroup" }));
          body.append(head);
          for (const row of rows) body.append(rowOf(row, found.detail, found.suggestion));
        }
        n += rows.length;
      }
    }
    const drawn = body.querySelectorAll("tr[data-row]").length;
    byId("drawn").textContent = n === 0 ? "No row matches these filters." : `${drawn} of ${n} rows are shown.`;
    byId("more").hidden = drawn >= n;
    count();
  }

  function count() {
    const counts = { keep: 0, relabel: 0, drop: 0 };
    for (const made of decisions.values()) counts[made.decision] += 1;
    byId("count").textContent =
      `${decisions.size} of ${data.rows.length} rows decided: ${counts.keep} keep, ${counts.relabel} relabel, ${counts.drop} drop`;
    byId("save").disabled = decisions.size === 0;
  }

  function save() {
    const made = [...decisions].sort(([first], [second]) => first - second).map(([row, { decision, label }]) => {
      const { source_split, id, hash, label: old } = data.rows[row];
      return {
        split: source_split, row: id, hash, decision,
        ...(old === null ? {} : { old_label: old }), ...(label === undefined ? {} : { label }),
      };
    });
    const text = JSON.stringify({ schema_version: 1, source: data.source, decisions: made }, null, 2) + "\n";
    const link = element("a", undefined, { download: "patch.json" });
    link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    link.click();
    URL.revokeObjectURL(link.href);
    isSaved = true;
  }

  async function open(file) {
    const position = new Map(data.rows.map((row, index) => [`${row.source_split} ${row.id} ${row.hash}`, index]));
    let n = 0;
    try {
      const read = JSON.parse(await file.text()).decisions;
      for (const { split, row, hash, decision, label } of read) {
        const index = position.get(`${split} ${row} ${hash}`);
        if (index === undefined || !["keep", "relabel", "drop"].includes(decision)) continue;
        decisions.set(index, label === undefined ? { decision } : { decision, label });
        n += 1;
      }
      byId("opened").textContent = `${n} of ${read.length} decisions of ${file.name} are about rows of this page.`;
    } catch (error) {
      byId("opened").textContent = `${file.name} is not a patch file: ${error.message}`;
    }
    remember();
    draw();
  }

  function move(line, step) {
    const lines = [...document.querySelectorAll("#review tr[data-row]")];
    const next = lines[line === null ? 0 : lines.indexOf(line) + step];
    if (next !== undefined) next.focus();
  }

  function press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) {
      if (event.key === "Escape") event.target.closest("tr")?.focus();
      return;
    }
    const line = event.target.closest("tr[data-row]");
    const keys = {
      "/": () => filters[0].focus(), j: () => move(line, 1), k: () => move(line, -1),
      ArrowDown: () => line && move(line, 1), ArrowUp: () => line && move(line, -1),
    };
    if (line !== null) {
      const row = Number(line.dataset.row);
      const suggestion = line.dataset.suggestion;
      Object.assign(keys, {
        e: () => decide(row, "keep"), d: () => decide(row, "drop"), u: () => decide(row, ""),
        r: () => line.querySelector("select").focus(),
        s: () => suggestion !== undefined && decide(row, "relabel", suggestion),
      });
    }
    const action = Object.hasOwn(keys, event.key) ? keys[event.key] : undefined;
    if (action === undefined || (event.key.startsWith("Arrow") && line === null)) return;
    event.preventDefault();
    action();
  }

  try {
    for (const [row, made] of JSON.parse(localStorage.getItem(memory) ?? "[]")) decisions.set(row, made);
  } catch {
    // see `remember`
  }
  for (const fault of data.faults) option(fault.name, fault.title, byId("fault"));
  for (const split of new Set(data.rows.map((row) => row.split))) option(split, split, byId("split"));
  for (const label of data.labels) option(label, label, byId("label"));
  byId("label").closest("label").hidden = data.labels.length === 0;
  for (const filter of filters) filter.addEventListener("input", () => { shown = PAGE; draw(); });
  byId("more").addEventListener("click", () => { shown += PAGE; draw(); });
  byId("all").addEventListener("change", (event) => {
    if (event.target.value !== "") decideAll(event.target.value);
    event.target.value = "";
  });
  byId("save").addEventListener("click", save);
  byId("open").addEventListener("change", (event) => event.target.files[0] && open(event.target.files[0]));
  document.addEventListener("keydown", press);
  window.addEventListener("beforeunload", (event) => { if (!isSaved) event.preventDefault(); });
  byId("tool").hidden = false;
  draw();
})();
