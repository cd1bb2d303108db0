// SPDX-License-Identifier: Apache-2.0

// What the page shows, part by part, made of its state; `act` has what can be done.

import { search } from "./api.mjs";
import { h } from "./dom.mjs";
import { ago, body, bytes, count, failure, inline, milliseconds, perSecond, plural, span, unknown, visible } from "./text.mjs";

/** Characters of a body that are shown. */
const bodyMax = 200_000;

/** What a fragment such as `#/triggers/orders` asks for. */
export function route(fragment) {
  const [path, query] = fragment.replace(/^#\/?/, "").split("?");
  let parts = [];
  try {
    parts = path.split("/").filter(Boolean).map(decodeURIComponent);
  } catch {
    // No view is called so.
  }
  const [view, name] = parts;
  if (view === "triggers" && name) return { view: "trigger", name };
  if (view === "dead-letters" && name) return { view: "letter", name };
  if (view === "dead-letters") return { view: "letters", query: Object.fromEntries(new URLSearchParams(query)) };
  return { view: view === "members" ? "members" : "triggers" };
}

export const lettersLink = (query) => `#/dead-letters${search(query)}`;

// Parts of views

const h1 = (text) => h("h1", text);
const link = (href, text) => h("a", { href }, text);
const button = (label, onclick, props) => h("button", { type: "button", onclick, ...props }, label);
const remark = (kind, text) => h("p.notice", { class: kind }, h("span", text));
const asking = h("p.soft", "Asking …");
const pre = (text) => h("pre", { tabindex: 0 }, text);
const triggerLink = (name) => link(`#/triggers/${encodeURIComponent(name)}`, name);
const counts = (values) => Object.entries(values).map(([word, number]) => `${count(number)} ${word.replaceAll("_", " ")}`);
const time = (at, { now }) => (at ? h("time", { datetime: at, title: at }, ago(at, now)) : unknown);

/** Columns are `class:head`. */
function table(caption, columns, rows, keys = []) {
  const heads = columns.map((column) => column.split(":"));
  const cell = (content, index) => h("td", { class: heads[index][0], "data-label": heads[index][1] }, content);
  return h("table",
    h("caption", caption),
    h("thead", h("tr", heads.map(([kind, head]) => h("th", { scope: "col", class: kind }, head)))),
    h("tbody", rows.map((cells, index) => h("tr", { key: keys[index] }, cells.map(cell)))));
}

/** Names and values; those without a value are left out. */
function facts(values) {
  const known = Object.entries(values).filter(([, value]) => value !== null && value !== undefined);
  return h("dl", known.map(([name, value]) => [h("dt", name), h("dd", value)]));
}

// Triggers

const kinds = { running: "good", blocked: "bad", failed: "bad", starting: "calm", stopping: "calm", stopped: "calm" };
const badge = ({ state }) => h("span.state", { class: kinds[state] ?? "warn" }, state);

function overview(state) {
  if (!state.triggers) return [h1("Triggers"), asking];
  const columns = [
    "title name:Trigger", "tight:State", "number:Lag", "number:In flight", "number:In /s", "number:Done /s",
    "number:Failed calls", "number:Dead letters", "wide:Problem or last failure",
  ];
  const rows = state.triggers.map((trigger) => {
    const { records, invocations } = trigger;
    return [
      [triggerLink(trigger.name), h("small", `${trigger.source_type} → ${trigger.function}`)],
      badge(trigger),
      [count(trigger.lag_records), trigger.lag_seconds >= 1 && h("small", `oldest ${span(trigger.lag_seconds)}`)],
      [count(records.in_flight), invocations.in_flight > 0 && h("small", plural(invocations.in_flight, "call"))],
      speed(state, trigger, "received"),
      speed(state, trigger, "done"),
      h("span", { class: invocations.failures > 0 && "warn" }, count(invocations.failures)),
      records.dead_lettered > 0 ? link(lettersLink({ trigger: trigger.name }), count(records.dead_lettered)) : 0,
      trouble(state, trigger),
    ];
  });
  const caption = `${plural(rows.length, "trigger")}; counts are since Penstock started`;
  return [h1("Triggers"), table(caption, columns, rows, state.triggers.map(({ name }) => name))];
}

const speed = (state, { name }, counter) => perSecond(state.rates.get(name)?.of(counter));

function trouble(state, { detail, last_failure: last, state: word }) {
  return [
    detail && h("span.clip", { class: kinds[word] === "bad" ? "bad" : "soft" }, visible(detail)),
    last && h("span.clip.soft", time(last.at, state), ": ", failure(last.error)),
  ];
}

function trigger(state, act) {
  const { name } = state.route;
  if (!state.triggers) return [h1(name), asking];
  const trigger = state.triggers.find((trigger) => trigger.name === name);
  if (!trigger) return [h1(name), remark("bad", "There is no trigger of this name.")];
  const { records: { received, ...records }, invocations, durations, last_failure: last } = trigger;
  const quantile = (name) => `${name} ${milliseconds(durations[`${name}_seconds`] * 1000)}`;
  return [
    h("div.row", h1(name), h("span.push", badge(trigger)),
      // It can be paused and in another state, too: both are offered, but for what is surely so.
      button("Pause", () => act.order("pause", name), { disabled: trigger.state === "paused" }),
      button("Resume", () => act.order("resume", name), { disabled: trigger.state === "running" })),
    trigger.detail && remark(kinds[trigger.state] === "bad" ? "bad" : "warn", visible(trigger.detail)),
    facts({
      Source: trigger.source_type,
      Function: trigger.function,
      Lag: trigger.lag_records === undefined ? "not known" : plural(trigger.lag_records, "record"),
      "Oldest in hand": trigger.lag_seconds >= 1 ? `${span(trigger.lag_seconds)} old` : null,
      Rates: `${speed(state, trigger, "received")} records a second come, ${speed(state, trigger, "done")} are done`,
      Records: `${count(received)} received = ${counts(records).join(" + ")}`,
      Invocations: counts(invocations).join(", "),
      Durations: durations.count > 0 ? `${quantile("p50")}, ${quantile("p99")}` : null,
      Gaps: trigger.gaps > 0 ? h("span.bad", `${plural(trigger.gaps, "time")}, records were missing upstream`) : "none",
      Restarts: count(trigger.restarts),
      "Last progress": time(trigger.last_progress, state),
      "Dead letters": link(lettersLink({ trigger: name }), "those in the store"),
    }),
    h("h2", "Last failure"),
    last
      ? [h("p", time(last.at, state), `, after ${milliseconds(last.duration_ms)}`), pre(failure(last.error))]
      : h("p.soft", "None since Penstock started."),
    trigger.latest_gaps.length > 0 && [h("h2", "Latest gaps"), missing(state, trigger.latest_gaps)],
    h("h2", "Partitions"),
    partitions(state, trigger),
  ];
}

function partitions(state, { partitions, lag, blocked_partitions: blocked }) {
  const rows = [...new Set([...partitions, ...lag.map((lag) => lag.partition)])].map((name) => {
    const isThis = ({ partition }) => partition === name;
    const { committed, records, bytes: size } = lag.find(isThis) ?? {};
    return [name, committed ?? unknown, size === undefined ? count(records) : bytes(size), motion(state, blocked.find(isThis))];
  });
  const columns = ["title:Partition", "code:Checkpoint", "number:Lag", ":State"];
  return table(plural(rows.length, "partition"), columns, rows);
}

function missing(state, gaps) {
  const rows = gaps.map(({ at, partition, detail }) => [time(at, state), partition, visible(detail)]);
  return table(plural(rows.length, "gap"), [":When", "title:Partition", "wide:What is missing"], rows);
}

function motion(state, block) {
  if (!block) return "moving";
  const reason = block.refused ? "the dead-letter destination refuses" : plural(block.attempts, "attempt");
  return h("span", { class: block.overdue ? "bad" : "warn" }, "blocked ", time(block.since, state), `, ${reason}`);
}

// Dead letters

function letters(state, act) {
  const { letters: list, route: { query } } = state;
  const head = [h1("Dead letters"), filters(state, act, query)];
  if (!list) return [head, asking];
  if (list.refusal) return [head, remark("bad", list.refusal)];
  const ids = list.dead_letters.map(({ id }) => id);
  const chosen = ids.filter((id) => state.selected.has(id));
  const { trigger, error } = query;
  const all = [
    `all ${plural(list.total, "dead letter")}`, trigger && `of ${trigger}`, error && `with “${error}” in the error`,
  ].filter(Boolean).join(" ");
  const order = trigger || error ? { trigger, error } : { all: true };
  const nobody = chosen.length === 0;
  return [
    head,
    list.warning && remark("warn", list.warning),
    h("div.row",
      h("label.push", box(act, ids, !nobody && chosen.length === ids.length), "Select all that are shown"),
      orders(state, act, { ids: chosen }, plural(chosen.length, "dead letter"), `selected (${chosen.length})`, nobody),
      orders(state, act, order, all, `all ${count(list.total)}`, !list.total)),
    letterTable(state, act, list),
    h("p.row",
      query.after && link(lettersLink({ ...query, after: undefined }), "First page"),
      list.next && link(lettersLink({ ...query, after: list.next }), "Next page")),
  ];
}

function orders(state, act, order, what, label, isNone = false) {
  return [
    button(`Redrive ${label}`, () => act.redrive(order, what), { disabled: isNone || state.redrive !== null }),
    button(`Drop ${label}`, () => act.drop(order, what), { class: "danger", disabled: isNone }),
  ];
}

const box = (act, ids, checked, id) =>
  h("input", { type: "checkbox", checked, "aria-label": id, onchange: (event) => act.select(ids, event.target.checked) });

function filters(state, act, query) {
  const names = new Set((state.triggers ?? []).map((trigger) => trigger.name));
  // Letters stay when their trigger is not configured any more.
  if (query.trigger) names.add(query.trigger);
  const submit = (event) => {
    event.preventDefault();
    const [trigger, error] = event.currentTarget.querySelectorAll("select, input");
    act.go(lettersLink({ trigger: trigger.value, error: error.value }));
  };
  return h("form.row", { onsubmit: submit },
    h("label", "Trigger", h("select", { value: query.trigger ?? "" },
      h("option", { value: "" }, "all"), [...names].map((name) => h("option", { key: name, value: name }, name)))),
    h("label", "Error has", h("input", { type: "search", value: query.error ?? "" })),
    h("button", { type: "submit" }, "Filter"));
}

function letterTable(state, act, list) {
  const columns = [
    "title tight:Id", "tight:Given up", "name:Trigger", "code name:Record", "code name:Key", "number:Tries", "tight:Reason",
    "wide:Last error",
  ];
  const rows = list.dead_letters.map((letter) => [
    [box(act, [letter.id], state.selected.has(letter.id), letter.id), link(`#/dead-letters/${letter.id}`, letter.id)],
    time(letter.at, state),
    triggerLink(letter.trigger),
    `${letter.partition}:${letter.position}`,
    inline(letter.key),
    count(letter.attempts),
    letter.reason,
    h("span.clip", failure(letter.last_error)),
  ]);
  const caption = `${count(rows.length)} of ${plural(list.total, "dead letter")} (${bytes(list.bytes)}), oldest first`;
  return table(caption, columns, rows, list.dead_letters.map(({ id }) => id));
}

function letter(state, act) {
  const { letter } = state;
  const head = h1(`Dead letter ${state.route.name}`);
  if (!letter) return [head, asking];
  if (letter.refusal) return [head, remark("bad", letter.refusal), link(lettersLink({}), "All dead letters")];
  const tries = plural(letter.attempt_count, "attempt");
  const attempts = letter.attempts.map((attempt) => [attempt.at, milliseconds(attempt.duration_ms), failure(attempt.error)]);
  const { kind, text } = body(letter.body);
  const headers = letter.headers.map((header) => [header.name, inline(header.value)]);
  return [
    h("div.row", h("div.push", head), orders(state, act, { ids: [letter.id] }, `dead letter ${letter.id}`, "")),
    facts({
      Trigger: triggerLink(letter.trigger),
      Function: letter.function,
      Record: `${letter.partition}:${letter.position}`,
      Time: letter.timestamp,
      Key: inline(letter.key),
      "Given up": [time(letter.at, state), `, ${letter.at}`],
      Because: `${letter.reason}, after ${tries}`,
      "Request id": letter.request_id,
    }),
    h("h2", "Attempts"),
    table(`${count(attempts.length)} of ${tries}`, ["tight:At", "number:Took", "wide:Error"], attempts),
    headers.length > 0 && [h("h2", "Headers"), table(plural(headers.length, "header"), ["title name:Name", "code:Value"], headers)],
    h("h2", "Body ", h("small", `(${kind}, ${bytes(letter.body_bytes)})`)),
    text !== "" && pre(text.length > bodyMax ? `${text.slice(0, bodyMax)} … (cut here)` : text),
  ];
}

// Members

function members({ members: cluster, now }) {
  if (!cluster) return [h1("Members"), asking];
  if (cluster.refusal) return [h1("Members"), remark("bad", cluster.refusal)];
  if (!cluster.shared) return [h1("Members"), h("p", "One Penstock: it shares its store with nobody.")];
  const rows = cluster.members.map((member) => [
    [member.name, member.self && h("small", "this one")], member.version, time(member.started, { now }), count(member.leases),
    member.admin ?? unknown,
  ]);
  const columns = ["title:Member", ":Version", "tight:Since", "number:Leases", "code:Admin API"];
  return [h1("Members"), table(`${plural(rows.length, "Penstock")} with one store`, columns, rows)];
}

// The whole page

function unlock(state, act) {
  const submit = (event) => {
    event.preventDefault();
    const field = event.currentTarget.querySelector("input");
    act.enter(field.value.trim());
    field.value = "";
  };
  // A field without a name gets into no URL, even if the form were sent.
  return [
    h1("Token"),
    h("p", "This Penstock asks for its token, the value of ", h("code", "admin.token"), ". It is kept until this tab is closed."),
    state.locked && remark("bad", state.locked),
    h("form.row", { onsubmit: submit },
      h("label", "Token", h("input", { type: "password", autocomplete: "off", required: true })),
      h("button", { type: "submit" }, "Use it")),
  ];
}

export function main(state, act) {
  if (state.locked !== null) return h("section", { key: "unlock" }, unlock(state, act));
  const { view, name } = state.route;
  const views = { triggers: overview, trigger, letters, letter, members };
  return h("section", { key: `${view} ${name}` }, views[view](state, act));
}

export function nav({ route: { view }, members }) {
  const item = (href, label, views) => h("a", { href, "aria-current": views.includes(view) ? "page" : null }, label);
  return [
    item("#/", "Triggers", ["triggers", "trigger"]),
    item(lettersLink({}), "Dead letters", ["letters", "letter"]),
    members?.shared && item("#/members", "Members", ["members"]),
  ];
}

export function notices({ redrive, lost, updated, notices }, act) {
  const wait = redrive?.waiting;
  const notice = ({ id, kind, text, items }) => h("div.notice", { key: id, class: kind, role: "status" },
    h("span", text), button("Dismiss", () => act.dismiss(id)), items?.length > 0 && h("ul", items.map((item) => h("li", item))));
  return [
    lost && h("div.notice.bad", { key: "lost", role: "alert" },
      h("span", lost, updated && ` What is shown is of ${clock(updated)}.`, " It is asked again and again.")),
    redrive && h("div.notice", { key: "redrive" },
      h("span", `Redriving ${redrive.what}: ${redrive.told} of ${redrive.total}; ${summary(redrive)}.`,
        wait && h("small", ` It waits for ${milliseconds(wait.waiting_ms)}: ${failure(wait.error)}`)),
      h("progress", { max: redrive.total || 1, value: redrive.told, "aria-label": "Redriven" }),
      button("Stop", act.stopRedrive)),
    notices.map(notice),
  ];
}

export const summary = (run) => counts(run.counts).join(", ") || "none done";

const clock = (at) => new Date(at).toLocaleTimeString();

export function status({ lost, updated }) {
  if (lost) return updated ? `No answer since ${clock(updated)}` : "No answer";
  return updated ? `Live, ${clock(updated)}` : "";
}

export function footer({ info, hasToken }, act) {
  return [
    info && `Penstock ${info.version} · ${info.config} · up for ${span(info.uptime_seconds)} `,
    hasToken && button("Forget the token", act.forget),
  ];
}
