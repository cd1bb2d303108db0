// SPDX-License-Identifier: Apache-2.0

// Values as text for people; null and undefined are not known.

export const unknown = "–";

const isKnown = (value) => value !== null && value !== undefined;

export function count(number) {
  return isKnown(number) ? number.toLocaleString("en") : unknown;
}

export function plural(number, word) {
  return `${count(number)} ${word}${number === 1 ? "" : "s"}`;
}

function short(number) {
  return number < 10 ? `${Math.round(number * 10) / 10}` : count(Math.round(number));
}

export function perSecond(number) {
  return isKnown(number) ? short(number) : unknown;
}

export function bytes(number) {
  if (!isKnown(number)) return unknown;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  while (number >= 1024 && units.length > 1) {
    number /= 1024;
    units.shift();
  }
  return `${short(number)} ${units[0]}`;
}

export function milliseconds(number) {
  return number < 1000 ? `${short(number)} ms` : `${short(number / 1000)} s`;
}

/** `12 s`, `3 min`, `5 h`, `2 d`. */
export function span(seconds) {
  if (seconds < 100) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 129_600 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} d`;
}

/** How long ago a time like 2026-01-31T08:00:00Z was; `now` is in milliseconds. */
export function ago(time, now) {
  const seconds = (now - Date.parse(time)) / 1000;
  return seconds < 1 ? "now" : `${span(seconds)} ago`;
}

/** Text in which characters that control others, or turn their direction, are seen and do nothing. */
export function visible(text) {
  return text.replace(
    /[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
    (character) => `\\u{${character.charCodeAt(0).toString(16)}}`,
  );
}

export function failure(error) {
  return visible([error?.type, error?.message].filter(Boolean).join(": "));
}

/** The first bytes of base64, as `1f 8b`. */
function hex(base64, most) {
  const data = atob(base64);
  const shown = Array.from(data.slice(0, most), (byte) => byte.charCodeAt(0).toString(16).padStart(2, "0"));
  return shown.join(" ") + (data.length > most ? " …" : "");
}

/** A key or a header as the API writes it: as it is, or its bytes. */
export function inline(value) {
  if (!value) return unknown;
  if (value.encoding === "base64") return hex(value.value, 64);
  return value.value === "" ? "(empty)" : visible(value.value);
}

/** A body as the API writes it: what kind it is of, and how it is shown. */
export function body(value) {
  if (!value) return { kind: "none", text: "" };
  if (value.encoding === "base64") return { kind: "not text", text: hex(value.value, 1024) };
  const json = indented(value.value);
  return { kind: json === null ? "text" : "JSON", text: visible(json ?? value.value) };
}

/** JSON with line breaks and indents, its words and numbers as they were written; null for text that is none. */
export function indented(text) {
  try {
    JSON.parse(text);
  } catch {
    return null;
  }
  let depth = 0;
  const line = () => `\n${"  ".repeat(depth)}`;
  return text.replace(/"(?:[^"\\]|\\.)*"|\s+|\[\s*\]|\{\s*\}|[[\]{},:]/g, (part) => {
    if (part[0] === '"') return part;
    if (part.trim() === "") return "";
    if (part.length > 1) return part[0] + part.at(-1);
    if (part === ":") return ": ";
    if (part === ",") return part + line();
    depth += part === "{" || part === "[" ? 1 : -1;
    return part === "{" || part === "[" ? part + line() : line() + part;
  });
}

/** Rates of counters over the latest ten seconds. */
export class Rates {
  #samples = [];

  /** The counters, an object of numbers, at a time in milliseconds. */
  add(at, counters) {
    this.#samples.push({ at, counters });
    while (this.#samples.length > 2 && this.#samples[1].at <= at - 10_000) this.#samples.shift();
  }

  /** How much one of them grows a second; null before there are two samples. */
  of(name) {
    const [first, last] = [this.#samples[0], this.#samples.at(-1)];
    return last.at > first.at ? ((last.counters[name] - first.counters[name]) * 1000) / (last.at - first.at) : null;
  }
}
