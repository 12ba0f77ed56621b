// What the bar of the live view says about the stream and the list. Pure, but for the clock.

import { count } from "./text.js";

/** Return `kind`, `text` and `why`: a stream that is broken comes before a list that is paused. */
export function describe({ stream, detail, retryAt, unread, paused, isPaused, size }) {
  if (stream === "failed") return { kind: "broken", text: "Not connected", why: "" };
  if (stream === "waiting") {
    const seconds = Math.max(0, Math.ceil((retryAt - Date.now()) / 1000));
    return { kind: "broken", text: `${detail.error?.status ? detail.error.message : "Connection lost."} Trying again in ${seconds} s`, why: "" };
  }
  if (unread) return { kind: "broken", text: unread.split(". ")[0], why: unread };
  if (isPaused) return { kind: "paused", text: `Paused, ${count(size)} new`, why: reason(paused) };
  return stream === "open" ? { kind: "open", text: "Live", why: "" } : { kind: "connecting", text: "Connecting…", why: "" };
}

function reason({ byUser, bySelection, byOlder }) {
  if (byUser) return "";
  if (byOlder) return "Older items are shown";
  return bySelection ? "A row is selected" : "";
}
