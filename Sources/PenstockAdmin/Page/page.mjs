// SPDX-License-Identifier: Apache-2.0

// The page's state: asks for what the view needs, and carries orders out.

import { Refusal, call, follow, token } from "./api.mjs";
import { h, patch } from "./dom.mjs";
import { Rates, failure, plural } from "./text.mjs";
import * as views from "./views.mjs";

/** Milliseconds between two looks, where somebody sees them and where nobody does. */
const pause = { seen: 2000, hidden: 30_000 };

const state = {
  route: views.route(location.hash),
  now: 0,
  updated: null,
  // Why there is no answer, and why a token is asked for; null when that is not so.
  lost: null,
  locked: null,
  hasToken: token.get() !== null,
  info: null,
  triggers: null,
  rates: new Map(),
  members: null,
  letters: null,
  selected: new Set(),
  letter: null,
  redrive: null,
  notices: [],
};

const part = (id) => document.getElementById(id);

function render() {
  state.now = Date.now();
  for (const name of ["nav", "status", "notices", "main", "footer"]) patch(part(name), views[name](state, act));
  document.body.classList.toggle("lost", state.lost !== null);
  document.title = `${state.lost ? "(!) " : ""}${part("main").querySelector("h1").textContent} · Penstock`;
}

// Looking

/** When letters and members are due to be asked for, which costs the store something. */
const due = { letters: 0, members: 0 };

let timer;
let isLooking = false;
let isDueAgain = false;

async function look() {
  clearTimeout(timer);
  isDueAgain = isLooking;
  if (isLooking || state.locked !== null) return;
  isLooking = true;
  try {
    await refresh();
    Object.assign(state, { lost: null, updated: Date.now() });
  } catch (error) {
    if (!lock(error)) state.lost = reason(error);
  }
  isLooking = false;
  render();
  if (isDueAgain) look();
  else timer = setTimeout(look, document.hidden ? pause.hidden : pause.seen);
}

function lookAnew() {
  Object.assign(due, { letters: 0, members: 0 });
  look();
}

/** An answer, or why it is refused: one part does not take the others away. */
async function ask(route, options) {
  try {
    return await call(route, options);
  } catch (error) {
    if (error instanceof Refusal && error.status !== 401) return { refusal: error.message };
    throw error;
  }
}

async function refresh() {
  const [{ triggers }, info] = await Promise.all([call("triggers"), call("info")]);
  take(triggers, info);
  const { route } = state;
  const now = performance.now();
  if (now >= due.members) {
    state.members = await ask("members");
    due.members = now + 10_000;
  }
  if (route.view === "letters" && now >= due.letters) {
    const began = performance.now();
    const letters = await ask("letters", { query: { ...route.query, limit: 100 } });
    // Many letters take the store a while: they are asked for in a twentieth of the time at most.
    due.letters = now + 20 * (performance.now() - began);
    if (state.route === route) takeLetters(letters);
  }
  if (route.view === "letter" && !state.letter) {
    const letter = await ask("letter", { values: { id: route.name } });
    if (state.route === route) state.letter = letter;
  }
}

function take(triggers, info) {
  // Another process counts from zero.
  if (state.info?.started !== info.started) state.rates.clear();
  const at = performance.now();
  for (const { name, records } of triggers) {
    if (!state.rates.has(name)) state.rates.set(name, new Rates());
    const done = records.succeeded + records.dead_lettered + records.filtered + records.cancelled;
    state.rates.get(name).add(at, { received: records.received, done });
  }
  Object.assign(state, { triggers, info });
}

function takeLetters(letters) {
  state.letters = letters;
  const ids = new Set(letters.dead_letters?.map(({ id }) => id));
  for (const id of state.selected) if (!ids.has(id)) state.selected.delete(id);
}

function forgetLetters() {
  Object.assign(state, { letters: null, letter: null });
  state.selected.clear();
}

function reason(error) {
  if (error instanceof Refusal) return `Penstock refuses: ${error.message}.`;
  return error instanceof TypeError ? "Penstock cannot be reached." : `Penstock does not answer: ${error.message}.`;
}

/** Asks for the token where its lack is the reason. */
function lock(error) {
  if (error.status !== 401) return false;
  const remark = state.hasToken ? "That is not the token." : "";
  act.forget();
  state.locked = remark;
  return true;
}

// Orders

function tell(kind, text, items) {
  state.notices = [{ id: performance.now(), kind, text, items }, ...state.notices].slice(0, 3);
}

/** Carries an order out, tells why when it is refused, and looks what became of it. */
async function attempt(work) {
  try {
    await work();
  } catch (error) {
    if (!lock(error)) tell("bad", reason(error));
  }
  render();
  lookAnew();
}

const act = {
  go: (fragment) => location.assign(fragment),

  order: (verb, name) => attempt(async () => {
    await call(verb, { values: { name }, order: {} });
    tell("good", `${name}: ${verb}d.`);
  }),

  select(ids, isSelected) {
    for (const id of ids) state.selected[isSelected ? "add" : "delete"](id);
    render();
  },

  dismiss(id) {
    state.notices = state.notices.filter((notice) => notice.id !== id);
    render();
  },

  enter(text) {
    token.set(text);
    Object.assign(state, { locked: null, hasToken: true });
    lookAnew();
  },

  forget() {
    token.forget();
    // Nothing stays on the screen that took a token to see.
    Object.assign(state, { locked: "", hasToken: false, updated: null, triggers: null, info: null, members: null, notices: [] });
    forgetLetters();
    render();
  },

  async drop(order, what) {
    if (!(await confirm("Drop", what, "What is dropped is gone for ever."))) return;
    await attempt(async () => {
      const { dropped } = await call("drop", { order });
      tell("good", `${plural(dropped, "dead letter")} dropped.`);
      if (state.letter) act.go(views.lettersLink({ trigger: state.letter.trigger }));
    });
  },

  async redrive(order, what) {
    const text = "Each is sent to its function again, in order. What fails again stays.";
    if (!(await confirm("Redrive", what, text)) || state.redrive) return;
    const run = { what, counts: {}, told: 0, total: 0, waiting: null, lines: [], controller: new AbortController() };
    state.redrive = run;
    render();
    const tellEnd = (kind, end) => tell(kind, `Redrive of ${what}: ${views.summary(run)}.${end}`, run.lines);
    await attempt(async () => {
      try {
        await carryOut(run, order);
        tellEnd(run.told === run.counts.succeeded ? "good" : "warn", "");
      } catch (error) {
        if (error.status === 401) throw error;
        const why = run.controller.signal.aborted ? "It was stopped." : reason(error);
        tellEnd("bad", ` ${why} What was not tried stays.`);
      } finally {
        Object.assign(state, { redrive: null, letter: null });
      }
    });
  },

  stopRedrive: () => state.redrive?.controller.abort(),
};

/** Follows a redrive until all was tried. */
async function carryOut(run, order) {
  for await (const event of follow("redrive", { order, signal: run.controller.signal })) {
    if (event.done) return;
    if (event.id === undefined) throw new Refusal(200, event.error.message);
    run.total = event.total;
    run.waiting = event.outcome ? null : event;
    if (event.outcome) note(run, event);
  }
  throw new Refusal(200, "it stopped before the redrive was done");
}

function note(run, { id, outcome, error }) {
  run.told += 1;
  run.counts[outcome] = (run.counts[outcome] ?? 0) + 1;
  // Many may be skipped behind one that failed.
  if (outcome === "succeeded" || outcome === "skipped" || run.lines.length >= 200) return;
  run.lines.push(`${id} ${outcome}: ${error ? failure(error) : "somebody else dropped or redrove it"}`);
}

function confirm(verb, what, text) {
  const dialog = part("dialog");
  const choice = (label, value, kind) => h("button", { type: "button", class: kind, onclick: () => dialog.close(value) }, label);
  patch(dialog,
    h("h2", { id: "question" }, `${verb} ${what}?`),
    h("p", text),
    h("div.row", choice("Cancel", "no"), choice(verb, "yes", verb === "Drop" && "danger")));
  // For Escape, which leaves it as it is.
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => resolve(dialog.returnValue === "yes");
  });
}

// The window

addEventListener("hashchange", () => {
  // A jump inside of the page is no change of the view.
  if (location.hash !== "" && !location.hash.startsWith("#/")) return;
  state.route = views.route(location.hash);
  forgetLetters();
  render();
  scrollTo(0, 0);
  part("main").focus();
  lookAnew();
});

addEventListener("visibilitychange", () => document.hidden || look());

addEventListener("beforeunload", (event) => {
  // A redrive ends when nobody reads its report any more.
  if (state.redrive) event.preventDefault();
});

render();
look();
