// fetch follows redirects unless it is told not to, and takes every header but Authorization along.
import { baseUrl, headers, jobOf, order, report, TIMEOUT, wait } from "./flux.mjs";

const signal = AbortSignal.timeout(TIMEOUT);
const made = fetch(`${baseUrl}/flux/generate`, { method: "POST", headers, body: JSON.stringify(order), signal });
report(
  made
    .then((answer) => (answer.ok ? answer.json() : Promise.reject(new Error(`HTTP ${answer.status}`))))
    .then(jobOf)
    .then((id) => wait(id)),
);
