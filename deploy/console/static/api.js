// The console's JSON API. Addresses are relative to the page, so that a proxy may add a path.

import { parseExact } from "./text.js";

const TIMEOUT_MILLISECONDS = 20000;

/** What the connection tells the page: `lost`, `found`, `signedout` (detail: the message). */
export const connection = new EventTarget();

/** An error of the API, or status 0 if the console does not answer. */
export class ApiError extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** Return the address of `path` with those of `parameters` that have a value. */
export function address(path, parameters = {}) {
  const url = new URL(path, document.baseURI.split("#")[0]);
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== null && value !== undefined && value !== "") url.searchParams.set(name, String(value));
  }
  return url;
}

/** Return the reply to GET as a value; numbers keep their digits if `exact`. */
export async function get(path, parameters = {}, { signal, exact = false } = {}) {
  const response = await ask(address(path, parameters), { signal });
  const text = await bodyOf(response, signal);
  return exact ? parseExact(text) : JSON.parse(text);
}

/** Begin a session with `token` and return it. */
export async function signIn(token) {
  const headers = { "Content-Type": "application/json" };
  const response = await ask(address("api/session"), { method: "POST", headers, body: JSON.stringify({ token }) }, true);
  return JSON.parse(await bodyOf(response));
}

/** End the session. */
export async function signOut() {
  await ask(address("api/session"), { method: "DELETE" }, true);
}

/** Open a stream and return its response; the caller's `signal` ends it. */
export async function open(path, parameters, signal) {
  return await ask(address(path, parameters), { signal, isStream: true, headers: { Accept: "text/event-stream" } });
}

async function ask(url, { signal, isStream = false, ...request }, isSession = false) {
  const limits = [...(signal ? [signal] : []), ...(isStream ? [] : [AbortSignal.timeout(TIMEOUT_MILLISECONDS)])];
  let response;
  try {
    response = await fetch(url, { ...request, signal: AbortSignal.any(limits), cache: "no-store" });
  } catch {
    throw lost(signal);
  }
  connection.dispatchEvent(new Event("found"));
  if (response.ok) return response;
  const error = await errorOf(response);
  if (response.status === 401 && !isSession) {
    connection.dispatchEvent(new CustomEvent("signedout", { detail: error.message }));
  }
  throw error;
}

async function bodyOf(response, signal) {
  try {
    return await response.text();
  } catch {
    throw lost(signal);
  }
}

function lost(signal) {
  if (signal?.aborted) return new DOMException("The view was left.", "AbortError");
  connection.dispatchEvent(new Event("lost"));
  return new ApiError(0, "unreachable", "The console does not answer.");
}

async function errorOf(response) {
  try {
    const { code, message } = JSON.parse(await response.text());
    return new ApiError(response.status, code ?? "error", message ?? `The console answered ${response.status}.`);
  } catch {
    return new ApiError(response.status, "error", `The console answered ${response.status}.`);
  }
}
