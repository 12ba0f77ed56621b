// The form that begins a session.

import { signIn } from "../api.js";
import { command, element, fill, prose } from "../dom.js";

/** Show the form in `root`; `onSession(session)` follows. `reason` says why the last session ended, or is empty. */
export function mount(root, { reason, isError, onSession }) {
  const problem = element("p", { class: isError ? "callout failed" : "callout", role: "alert", hidden: !reason }, prose(reason));
  const token = element("input", { type: "password", name: "token", id: "token", autocomplete: "current-password", spellcheck: "false", required: true });
  const button = element("button", { class: "primary" }, "Sign in");
  const submit = async (event) => {
    event.preventDefault();
    if (!token.value.trim()) return;
    button.disabled = true;
    try {
      onSession(await signIn(token.value.trim()));
    } catch (error) {
      if (error.status === undefined) throw error;
      fill(problem, prose(error.message));
      problem.className = "callout failed";
      problem.hidden = false;
      token.select();
    } finally {
      button.disabled = false;
    }
  };
  fill(
    root,
    element(
      "div",
      { class: "sign-in" },
      element("h1", {}, "Sign in"),
      problem,
      element("form", { on: { submit } }, element("label", { for: "token" }, "Token"), token, button),
      element("h2", {}, "Get a token"),
      element("p", {}, prose("On the local stack, `sequence up` prints the command that shows the operator token. Elsewhere, make one:")),
      element("p", { class: "muted" }, "One project, to read"),
      command("sequence token create PROJECT --scope read"),
      element("p", { class: "muted" }, "All projects and the parts, for operators"),
      command("sequence token create --scope operate"),
    ),
  );
  token.focus();
}
