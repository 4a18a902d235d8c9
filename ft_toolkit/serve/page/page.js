// Shows a form for the columns of the chosen model, and its prediction. The facts of the models come from /models. All texts are
// inserted as text nodes, so that no text becomes markup.
"use strict";

const byId = (id) => document.getElementById(id);
const MOST_BARS = 20;
let token = "";
let models = [];
let running = null;

function element(name, text = "", attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function request(path, body, signal) {
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  if (!body) return fetch(path, { headers, signal });
  headers["content-type"] = "application/json";
  return fetch(path, { method: "POST", headers, body: JSON.stringify(body), signal });
}

async function problemOf(response) {
  const wait = response.headers.get("retry-after");
  const later = wait ? ` Try again in ${wait} s.` : "";
  const { error } = await response.json().catch(() => ({ error: response.statusText }));
  return `${error}${later}`;
}

async function loadModels() {
  byId("problem").textContent = "";
  const response = await request("models");
  byId("access").hidden = response.status !== 401;
  if (response.status === 401) {
    if (token) byId("problem").textContent = "The token is wrong.";
    byId("token").focus();
    return;
  }
  if (!response.ok) throw new Error(await problemOf(response));
  models = await response.json();
  byId("model").replaceChildren(...models.map(({ name }) => element("option", name, { value: name })));
  byId("request").hidden = false;
  showColumns();
}

const chosen = () => models[byId("model").selectedIndex];

function showColumns() {
  const { task, version, columns, labels, max_tokens } = chosen();
  const shownLabels = labels.length ? `, labels ${labels.slice(0, 8).join(", ")}${labels.length > 8 ? " ..." : ""}` : "";
  byId("facts").textContent = `${task.replaceAll("_", " ")}, version ${version}, at most ${max_tokens} tokens at a time${shownLabels}`;
  const texts = Object.entries(columns).filter(([, facts]) => facts.kind === "text" || facts.required);
  byId("columns").replaceChildren(...texts.flatMap(([name, { meaning, required, kind }], number) => {
    const label = element("label", `${name} `, { for: `column-${number}` });
    const isNeeded = required || texts.length === 1;
    const hint = `${kind === "list" ? "; one per line" : ""}${isNeeded ? "" : "; optional"}`;
    label.append(element("small", `${meaning}${hint}`));
    const field = element("textarea", "", { id: `column-${number}`, name, rows: 2, ...(isNeeded && { required: "" }) });
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        byId("request").requestSubmit();
      }
    });
    return [label, field];
  }));
  byId("result").replaceChildren();
  byId("problem").textContent = "";
}

function readRow() {
  const fields = [...byId("columns").querySelectorAll("textarea")].filter(({ value, required }) => required || value);
  const valueOf = ({ name, value }) => chosen().columns[name].kind === "list" ? value.split("\n").filter(Boolean) : value;
  return Object.fromEntries(fields.map((field) => [field.name, valueOf(field)]));
}

async function predict(event) {
  event.preventDefault();
  const model = chosen();
  const row = readRow();
  const path = `models/${encodeURIComponent(model.name)}/${model.can_stream ? "stream" : "predict"}`;
  running = new AbortController();
  byId("send").disabled = true;
  byId("stop").hidden = !model.can_stream;
  byId("problem").textContent = "";
  byId("result").setAttribute("aria-busy", "true");
  byId("result").replaceChildren();
  try {
    const response = await request(path, model.can_stream ? { row } : { rows: [row] }, running.signal);
    if (!response.ok) throw new Error(await problemOf(response));
    const body = model.can_stream ? await readStream(response) : await response.json();
    showPrediction(model, row, body);
  } catch (error) {
    byId("problem").textContent = error.name === "AbortError" ? "Stopped." : error.message;
  } finally {
    byId("send").disabled = false;
    byId("stop").hidden = true;
    byId("result").setAttribute("aria-busy", "false");
  }
}

async function readStream(response) {
  const written = element("p", "", { class: "text" });
  byId("result").replaceChildren(written);
  const decoder = new TextDecoder();
  let rest = "";
  for (const reader = response.body.getReader(); ;) {
    const { value, done } = await reader.read();
    rest += decoder.decode(value, { stream: !done });
    const events = rest.split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const [kind, data] = event.split("\n").map((line) => line.slice(line.indexOf(": ") + 2));
      const content = JSON.parse(data);
      if (kind === "text") written.append(content.text);
      else if (kind === "prediction") return content;
      else throw new Error(content.error);
    }
    if (done) throw new Error("The connection was closed before the end of the text.");
  }
}

function showPrediction({ display }, row, body) {
  const prediction = body.predictions[0];
  const used = new Set([display.text, display.probabilities, display.spans && display.spans.key]);
  const parts = [];
  if (display.text) parts.push(element("p", prediction[display.text] || "(empty text)", { class: "text" }));
  if (display.spans) parts.push(...showSpans(display.spans, row, prediction));
  const values = Object.entries(prediction).filter(([key, value]) => !used.has(key) && isShort(value));
  const rest = display.spans ? [] : values;
  if (rest.length) parts.push(element("p", rest.filter(([key]) => key !== "score" || rest.length === 1).map(([key, value]) =>
    rest.length > 2 ? `${key} ${format(value)}` : format(value)).join(", "), { class: "answer" }));
  if (display.probabilities) parts.push(showBars(prediction[display.probabilities]));
  for (const note of body.notes) parts.push(element("p", note, { class: "quiet" }));
  const raw = element("details");
  raw.append(element("summary", "Response"), element("pre", JSON.stringify(body, null, 2), { tabindex: 0 }));
  parts.push(raw);
  byId("result").replaceChildren(...parts);
}

const isShort = (value) => value !== null && (typeof value !== "object" || (Array.isArray(value) && value.every((item) => typeof item === "string")));

function format(value) {
  if (Array.isArray(value)) return value.join(", ") || "(no label)";
  return typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(4)).toString() : String(value);
}

function showBars(probabilities) {
  const list = element("dl", "", { class: "bars" });
  const sorted = Object.entries(probabilities).sort((a, b) => b[1] - a[1]);
  for (const [label, share] of sorted.slice(0, MOST_BARS)) {
    const percent = `${(100 * share).toFixed(1)}%`;
    const bar = element("dd");
    bar.append(element("meter", percent, { min: 0, max: 1, value: share, "aria-label": label }));
    list.append(element("dt", label), bar, element("dd", percent));
  }
  return list;
}

function showSpans({ column, key }, row, prediction) {
  // Python counts code points, JavaScript counts UTF-16 units
  const text = Array.from(row[column] || "");
  const all = key ? prediction[key] : [prediction];
  const spans = all.filter(({ start, end }) => start !== null && end > start).sort((a, b) => a.start - b.start);
  const marked = element("p", "", { class: "text" });
  let position = 0;
  for (const { start, end, label, score } of spans) {
    if (start < position) continue;
    const note = [label, score === undefined ? "" : `${Math.round(100 * score)}%`].filter(Boolean).join(" ");
    const mark = element("mark", text.slice(start, end).join(""));
    mark.append(element("small", note));
    marked.append(text.slice(position, start).join(""), mark);
    position = end;
  }
  marked.append(text.slice(position).join(""));
  const answer = spans.length ? (key ? "" : text.slice(spans[0].start, spans[0].end).join("")) : "Nothing found";
  return answer ? [element("p", answer, { class: "answer" }), marked] : [marked];
}

const report = (error) => { byId("problem").textContent = error.message; };
byId("access").addEventListener("submit", (event) => {
  event.preventDefault();
  token = byId("token").value;
  loadModels().catch(report);
});
byId("model").addEventListener("change", showColumns);
byId("request").addEventListener("submit", predict);
byId("stop").addEventListener("click", () => running.abort());
loadModels().catch(report);
