// SPDX-License-Identifier: Apache-2.0

// The scripts of the web page, without a browser: `node --test Tests/PageTests/page.test.mjs`.

import assert from "node:assert/strict";
import test from "node:test";
import * as api from "../../Sources/PenstockAdmin/Page/api.mjs";
import { h, patch } from "../../Sources/PenstockAdmin/Page/dom.mjs";
import * as text from "../../Sources/PenstockAdmin/Page/text.mjs";
import * as views from "../../Sources/PenstockAdmin/Page/views.mjs";

test("values are written for people", () => {
  assert.equal(text.count(12345), "12,345");
  assert.equal(text.count(undefined), "–");
  assert.deepEqual([1, 2, 0].map((number) => text.plural(number, "letter")), ["1 letter", "2 letters", "0 letters"]);
  assert.deepEqual([null, 0, 0.44, 9.96, 1234.5].map(text.perSecond), ["–", "0", "0.4", "10", "1,235"]);
  assert.deepEqual([undefined, 512, 3400, 5 << 20].map(text.bytes), ["–", "512 B", "3.3 KiB", "5 MiB"]);
  assert.deepEqual([0.43, 12.4, 3210].map(text.milliseconds), ["0.4 ms", "12 ms", "3.2 s"]);
  assert.deepEqual([12, 180, 18_000, 200_000].map(text.span), ["12 s", "3 min", "5 h", "2 d"]);
  const now = Date.parse("2026-01-31T08:00:00Z");
  assert.equal(text.ago("2026-01-31T07:59:48Z", now), "12 s ago");
  assert.equal(text.ago("2026-01-31T08:00:09Z", now), "now");
});

test("characters that control others are seen and do nothing", () => {
  assert.equal(text.visible("a\u0007b\u202ec\n\td"), "a\\u{7}b\\u{202e}c\n\td");
  assert.equal(text.failure({ type: "ValueError", message: "b\u0000m" }), "ValueError: b\\u{0}m");
  assert.equal(text.failure(undefined), "");
});

test("keys and bodies are shown as they are, or as bytes", () => {
  assert.equal(text.inline(null), "–");
  assert.equal(text.inline({ encoding: "utf-8", value: "" }), "(empty)");
  assert.equal(text.inline({ encoding: "base64", value: btoa("\u00ff\u0000") }), "ff 00");
  assert.deepEqual(text.body(null), { kind: "none", text: "" });
  assert.deepEqual(text.body({ encoding: "base64", value: btoa("\u001f\u008b") }), { kind: "not text", text: "1f 8b" });
  assert.deepEqual(text.body({ encoding: "utf-8", value: "<b>" }), { kind: "text", text: "<b>" });
  assert.equal(text.body({ encoding: "base64", value: btoa("x".repeat(2000)) }).text.endsWith(" …"), true);
});

test("JSON is indented with its words and numbers as they were written", () => {
  const long = '{"id":12345678901234567890,"a":[1, {"b":"x: [\\"1,2\\"]"}],"c":[ ],"d":{}}';
  const lines = ['{', '  "id": 12345678901234567890,', '  "a": [', "    1,", "    {", '      "b": "x: [\\"1,2\\"]"', "    }",
    "  ],", '  "c": [],', '  "d": {}', "}"];
  assert.equal(text.indented(long), lines.join("\n"));
  assert.equal(text.indented(" 1.50 "), "1.50");
  assert.equal(text.indented("{'a':1}"), null);
});

test("rates are of the latest ten seconds, and unknown before there are two samples", () => {
  const rates = new text.Rates();
  rates.add(1000, { received: 5 });
  assert.equal(rates.of("received"), null);
  rates.add(3000, { received: 15 });
  assert.equal(rates.of("received"), 5);
  for (let second = 5; second <= 25; second += 2) rates.add(second * 1000, { received: 15 });
  assert.equal(rates.of("received"), 0);
});

test("a query has the members with a value, escaped", () => {
  assert.equal(api.search({ trigger: "a&b", error: "", after: undefined, limit: 3 }), "?trigger=a%26b&limit=3");
  assert.equal(api.search({}), "");
});

test("fragments lead to views and back", () => {
  assert.deepEqual(views.route(""), { view: "triggers" });
  assert.deepEqual(views.route("#/triggers/a%2Fb%20c"), { view: "trigger", name: "a/b c" });
  assert.deepEqual(views.route(views.lettersLink({ trigger: "ä", error: "?#" })), {
    view: "letters", query: { trigger: "ä", error: "?#" },
  });
  assert.deepEqual(views.route("#/dead-letters/17"), { view: "letter", name: "17" });
  assert.deepEqual(views.route("#/members"), { view: "members" });
  assert.deepEqual(views.route("#/triggers/%E0%A4%A"), { view: "triggers" });
});

/** A state as page.mjs has it, with one trigger whose texts are as bad as can be. */
function state(fragment) {
  const bad = '<img src=x onerror="alert(1)">';
  const trigger = {
    name: bad, state: "blocked", detail: bad, source_type: "kafka", function: bad,
    records: { received: 3, filtered: 0, succeeded: 1, dead_lettered: 1, cancelled: 0, released: 0, in_flight: 1 },
    invocations: { total: 3, failures: 2, in_flight: 1 },
    lag_seconds: 3, partitions: [bad], lag: [{ partition: bad, committed: "41", bytes: 2048 }],
    blocked_partitions: [{ partition: bad, since: "2026-01-31T08:00:00Z", attempts: 2, refused: false, overdue: true }],
    last_failure: { at: "2026-01-31T08:00:00Z", duration_ms: 12, error: { type: bad, message: bad } },
    last_progress: "2026-01-31T08:00:00Z", gaps: 1, latest_gaps: [{ at: "2026-01-31T07:00:00Z", partition: "orders-0", detail: "offsets 3 to 5" }], restarts: 0, durations: { count: 1, p50_seconds: 0.1, p99_seconds: 0.2 },
  };
  const key = { encoding: "utf-8", value: bad };
  const letter = {
    id: 17, trigger: bad, function: bad, partition: bad, position: "4", timestamp: bad, key, reason: bad,
    at: "2026-01-31T08:00:00.000Z",
  };
  return {
    route: views.route(fragment), now: Date.parse("2026-01-31T08:01:00Z"), updated: null, lost: bad, locked: null,
    info: { version: bad, config: bad, uptime_seconds: 5 }, triggers: [trigger], rates: new Map(), hasToken: true,
    members: {
      shared: true, leases: [],
      members: [{ id: "a", name: bad, version: bad, admin: bad, started: "2026-01-31T08:00:00Z", leases: 2, self: true }],
    },
    letters: {
      dead_letters: [{ ...letter, attempts: 2, last_error: { type: bad, message: bad } }],
      total: 300, bytes: 12, warning: bad, next: 17,
    },
    letter: {
      ...letter, attempt_count: 2, request_id: bad, headers: [{ name: bad, value: key }], body: key, body_bytes: 30,
      attempts: [{ at: bad, duration_ms: 3, error: { type: bad, message: bad } }],
    },
    selected: new Set([17]),
    redrive: { what: bad, told: 1, total: 3, counts: { failed: 1 }, waiting: { waiting_ms: 10, error: { message: bad } } },
    notices: [{ id: 1, kind: "bad", text: bad, items: [bad] }],
  };
}

/** A document that knows elements, attributes and text nodes, and nothing that could read HTML. */
globalThis.document = {
  createTextNode: (data) => ({ data }),
  createElement: (tag) => ({
    tag, childNodes: [], attributes: {},
    get firstChild() { return this.childNodes[0] ?? null; },
    insertBefore(node, before) {
      node.remove?.();
      const index = before ? this.childNodes.indexOf(before) : this.childNodes.length;
      this.childNodes.splice(index, 0, node);
      for (const [at, child] of this.childNodes.entries()) {
        child.remove = () => this.childNodes.splice(this.childNodes.indexOf(child), 1);
        Object.defineProperty(child, "nextSibling", { configurable: true, get: () => this.childNodes[this.childNodes.indexOf(child) + 1] ?? null });
        child.moved = (child.moved ?? 0) + (at === index && child === node ? 1 : 0);
      }
    },
    setAttribute(name, value) { this.attributes[name] = String(value); },
    removeAttribute(name) { delete this.attributes[name]; },
  }),
};

/** All elements of a view, drawn into the document. */
function draw(...children) {
  const root = document.createElement("main");
  patch(root, ...children);
  const all = (node) => [node, ...(node.childNodes ?? []).flatMap(all)];
  return all(root);
}

test("each view shows names, errors and records as text alone", () => {
  const act = new Proxy({}, { get: () => () => {} });
  for (const fragment of ["", "#/triggers/%3Cimg%20src%3Dx%20onerror%3D%22alert(1)%22%3E", "#/dead-letters", "#/dead-letters/17", "#/members"]) {
    const now = state(fragment);
    const nodes = ["nav", "status", "notices", "main", "footer"].flatMap((name) => draw(views[name](now, act)));
    const tags = new Set(nodes.map((node) => node.tag).filter(Boolean));
    assert.equal(tags.has("img") || tags.has("script"), false, fragment);
    assert.ok(nodes.some((node) => node.data?.includes("<img src=x")), fragment);
    for (const node of nodes) {
      for (const [name, value] of Object.entries(node.attributes ?? {})) {
        assert.match(name, /^(aria-[a-z]+|autocomplete|class|data-label|datetime|href|required|role|scope|tabindex|title|type)$/);
        if (name === "href") assert.match(value, /^#\//);
      }
    }
  }
});

test("what waits for answers is shown, and so is what was refused", () => {
  const nothing = { triggers: null, letters: null, letter: null, members: null, info: null, lost: null, redrive: null, notices: [] };
  for (const fragment of ["", "#/triggers/a", "#/dead-letters", "#/dead-letters/17", "#/members"]) {
    const nodes = draw(views.main({ ...state(fragment), ...nothing }));
    assert.ok(nodes.some((node) => node.data === "Asking …"), fragment);
  }
  for (const [fragment, part] of [["#/dead-letters", "letters"], ["#/dead-letters/17", "letter"], ["#/members", "members"]]) {
    const nodes = draw(views.main({ ...state(fragment), [part]: { refusal: "the disk is full" } }));
    assert.ok(nodes.some((node) => node.data === "the disk is full"), fragment);
  }
});

test("the field of the token has no name, so that it gets into no URL", () => {
  const fields = draw(views.main({ ...state(""), locked: "" })).filter((node) => node.tag === "input");
  assert.equal(fields.length, 1);
  assert.equal(fields[0].attributes.name, undefined);
  assert.equal(fields[0].attributes.type, "password");
});

test("elements that stay are kept in their place, and what was typed in them, too", () => {
  const root = document.createElement("main");
  const rows = (...keys) => keys.map((key) => h("p.row", { key, title: key }, key));
  patch(root, h("input", { value: "a" }), rows("a", "b", "c"));
  const [field, a, b, c] = root.childNodes;
  field.value = "typed";
  patch(root, h("input", { value: "a" }), rows("b", "d", "c"));
  assert.deepEqual(root.childNodes.map((node) => node.childNodes[0]?.data), [undefined, "b", "d", "c"]);
  assert.ok(root.childNodes[0] === field && root.childNodes[1] === b && root.childNodes[3] === c);
  assert.equal(b.moved + c.moved, 2);
  assert.equal(field.value, "typed");
  assert.equal(root.childNodes.includes(a), false);
  patch(root, h("input", { value: "b" }));
  assert.equal(root.childNodes.length, 1);
  assert.equal(field.value, "b");
});

test("attributes and handlers that are gone are taken away, and text is never a handler", () => {
  const root = document.createElement("main");
  patch(root, h("button", { title: "x", disabled: true, onclick: () => {} }, 0, null, false, "y"));
  const [button] = root.childNodes;
  assert.deepEqual(button.childNodes.map((node) => node.data), ["0", "y"]);
  assert.equal(typeof button.onclick, "function");
  patch(root, h("button", { onclick: "alert(1)" }));
  assert.deepEqual(button.attributes, {});
  assert.ok(!button.disabled && button.onclick === null && button.childNodes.length === 0);
});
